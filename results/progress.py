"""How a search got there: its results in order of arrival, and the best until then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from results.pareto import hypervolume_curve
from results.schema import Session
from results.trial import Trial

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCurves:
    """Finished candidates in order of arrival; every array is (N,).

    Attributes:
        ids: of the candidates.
        reward, accuracy, costs: of each; the costs are of ``cost``.
        best: index of the candidate with the best reward until then; of equals the lowest number, as in
            `results.trial.ranked`.
        hypervolume: of accuracy over the cost until then.
        hours: of evaluation until then, added up over all workers; failed and stopped candidates count.
        reference: of the hypervolume: accuracy 0 and this cost.
        cost: which: ``macs``, ``params`` or a metric.
        gpus: of a worker; 0 where candidates trained on processors.
    """

    ids: npt.NDArray[np.int64]
    reward: Floats
    accuracy: Floats
    costs: Floats
    best: npt.NDArray[np.intp]
    hypervolume: Floats
    hours: Floats
    reference: float
    cost: str
    gpus: float

    @property
    def hours_label(self) -> str:
        """What the hours are of."""
        return "GPU-hours" if self.gpus else "worker-hours"


def search_curves(
    trials: Sequence[Trial], reference_cost: float, cost: str = "macs", gpus: float = 0.0
) -> SearchCurves:
    """The way of a search through its candidates.

    Args:
        trials: candidates of a run, in any order.
        reference_cost: a network at or above it counts nothing for the hypervolume.
        cost: ``macs``, ``params`` or a metric that every finished trial has.
        gpus: of a worker, perhaps a share of one; hours are GPU-hours then.
    """
    arrived = sorted((t for t in trials if t.arrival is not None), key=lambda t: t.arrival or 0)
    spent = np.cumsum([0.0 if t.reused is not None else t.seconds for t in arrived], dtype=np.float64)
    places = [i for i, t in enumerate(arrived) if t.status == "done" and t.reward is not None]
    done = [arrived[i] for i in places]
    reward = _floats([t.reward for t in done])
    accuracy = _floats([t.accuracy for t in done])
    costs = _floats([t.cost(cost) for t in done])
    ids = np.array([t.id for t in done], dtype=np.int64)
    order = np.argsort(np.lexsort((-ids, reward)))  # its place among all: no two are equal
    return SearchCurves(
        ids=ids,
        reward=reward,
        accuracy=accuracy,
        costs=costs,
        best=running_best(order),
        hypervolume=hypervolume_curve(accuracy, costs, 0.0, reference_cost),
        hours=spent[places] * (gpus or 1.0) / 3600.0,
        reference=reference_cost,
        cost=cost,
        gpus=gpus,
    )


def running_best(values: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """For each place the index of the largest value until then, the first of equals.

    Args:
        values: (N,).
    """
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        return np.empty(0, dtype=np.intp)
    before = np.concatenate([[-np.inf], np.maximum.accumulate(array)[:-1]])
    return np.maximum.accumulate(np.where(array > before, np.arange(len(array)), 0))


def worker_gpus(config: dict[str, Any], sessions: Sequence[Session]) -> float:
    """GPUs of a worker: what the configuration says, else one where the last session's machine had any."""
    said = (config.get("executor") or {}).get("gpus")
    if said is not None:
        return float(said)
    return 1.0 if sessions and sessions[-1].environment.get("gpus") else 0.0


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)
