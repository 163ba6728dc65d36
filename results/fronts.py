"""Pareto fronts of trials: which objectives, what breaks limits, and a hypervolume with a stated reference.

front = front_by(run.trials(), ("latency_ms", "accuracy"), limits=[Limit.parse("params <= 5e6")])

Objectives are columns of `results.trial_table`: the facts accuracy, reward, macs, params and seconds, and
the metrics that evaluators report, such as latency_ms. Which are raised, and which
lowered, their names say: see `is_raised`. Only finished trials are on a front.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from results.pareto import Floats, dominated_volume, non_dominated
from results.table import TrialTable, trial_table
from results.trial import Trial
from results.wording import COST_NAMES
from search_space import InputError
from search_space.errors import suggestion

ALWAYS = ("accuracy", "reward", "macs", "params", "seconds")  # every finished trial has them
_KNOWN_BEFORE = ("macs", "params")  # arithmetic: a failed candidate has them too
_COMPARISONS: dict[str, Callable[[Any, float], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_LIMIT = re.compile(r"\s*([^<>=]*[^<>=\s])\s*(<=|>=|<|>)\s*([^\s<>=]+)\s*")
_RAISED = re.compile(r"(accuracy|reward|score|(^|[^a-z])(acc|auc|f1|top[-_]?\d+))$", re.IGNORECASE)
_BOOKKEEPING = ("id", "epochs", "arrival", "attempts", "seed")


def is_raised(objective: str) -> bool:
    """Whether more is better: of what ends in accuracy, reward, score, auc, f1, or top1 and its like (top5),
    and of acc and val_acc; all else is a cost."""
    return _RAISED.search(objective) is not None and "error" not in objective.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A bound on a column.

    Attributes:
        name: the column.
        comparison: ``<=``, ``<``, ``>=`` or ``>``.
        bound: the number on its right.
    """

    name: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """A limit from text such as ``macs<=300e6``.

        Raises:
            InputError: it is not one comparison of a column with a number.
        """
        match = _LIMIT.fullmatch(text)
        try:
            bound = float(match[3]) if match else np.nan
        except ValueError:
            bound = np.nan
        if match is None or not np.isfinite(bound):
            raise InputError(
                f"{text!r} is no limit: a column, one of <= < >= >, and a number, such as 'macs<=300e6'"
            )
        if match[1].endswith("accuracy") and 1 < bound <= 100:
            raise InputError(f"{text!r}: accuracies are from 0 to 1, such as {bound / 100:g}")
        return cls(name=match[1], comparison=match[2], bound=bound)

    def __str__(self) -> str:
        short = f"{self.bound:g}".replace("e+0", "e").replace("e+", "e")
        return f"{self.name}{self.comparison}{short if float(short) == self.bound else self.bound}"

    def excess(self, values: Floats) -> Floats:
        """By how much values (N,) break the limit, relative to its bound; 0 where they hold it, infinity
        where there is no value."""
        beyond = np.abs(values - self.bound) / (abs(self.bound) or 1.0)
        beyond = np.maximum(beyond, np.finfo(np.float64).eps)  # at the bound of < and >
        excess = np.where(_COMPARISONS[self.comparison](values, self.bound), 0.0, beyond)
        return np.where(np.isnan(values), np.inf, excess)


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The Pareto front of trials.

    Attributes:
        trials: the front, the best in the first objective first; by rising cost where that is a cost.
        places: where they stand in the list that the front was made of.
        hypervolume: share of the reference box that feasible trials dominate, see `front_by`.
        reference: the reference point, objective to value.
        objectives: columns, two or three.
        limits: what feasible trials hold.
        feasible: how many finished trials hold all limits; where none does, the front has those that break
            them least.
    """

    trials: list[Trial]
    places: list[int]
    hypervolume: float
    reference: dict[str, float]
    objectives: tuple[str, ...] = ("macs", "accuracy")
    limits: tuple[Limit, ...] = ()
    feasible: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFront:
    """A run with its front, to be shown, perhaps beside others.

    Attributes:
        name: what the run is called.
        trials: its candidates.
        front: theirs.
        baselines: reference networks measured alike.
    """

    name: str
    trials: Sequence[Trial]
    front: Front
    baselines: Sequence[Trial] = ()


def front_of(trials: Sequence[Trial], reference_cost: float, cost: str = "macs") -> Front:
    """The Pareto front of accuracy and a cost: `front_by` with its usual objectives.

    Args:
        trials: any; those without an accuracy are left out.
        reference_cost: a network at or above it counts nothing for the hypervolume.
        cost: ``macs``, ``params``, ``seconds`` or a metric.
    """
    return front_by(trials, (cost, "accuracy"), reference={"accuracy": 0.0, cost: reference_cost})


def front_by(
    trials: Sequence[Trial],
    objectives: Sequence[str] = ("macs", "accuracy"),
    *,
    limits: Sequence[Limit] = (),
    reference: Mapping[str, float] | None = None,
) -> Front:
    """The Pareto front of finished trials in two or three objectives.

    The hypervolume is the share that feasible trials dominate of the box between the reference point and the
    ideal one: 1 for what is raised, 0 for a cost. A raised value at its reference or below and a cost at its
    reference or above count nothing (a negative reward, say), and a cost below 0 counts as 0; a reward above
    1 counts whole, so that the share may pass 1.

    Args:
        trials: any; those that are not finished, or lack one of the objectives, are left out.
        objectives: columns, two or three different ones.
        limits: feasible trials come first (`results.pareto.non_dominated`).
        reference: objective to its worst value; by default `reference_point`.

    Raises:
        InputError: objectives or limits that are no columns of numbers which a finished trial has.
        ValueError: a reference that leaves no box.
    """
    table = trial_table(trials)
    check_objectives(trials, objectives, limits, table)
    reference = reference_point(trials, objectives, table=table) if reference is None else reference
    points = objective_values(trials, objectives, table)
    violation = violation_of(trials, limits, table)
    places = non_dominated(points * _signs(objectives), violation).tolist()
    feasible = np.isfinite(points).all(axis=1) & (violation == 0)
    raised_first = sorted(objectives, key=lambda name: not is_raised(name))
    return Front(
        trials=[trials[place] for place in places],
        places=places,
        hypervolume=_share(points[feasible], objectives, reference),
        reference={name: float(reference[name]) for name in raised_first},
        objectives=tuple(objectives),
        limits=tuple(limits),
        feasible=int(feasible.sum()),
    )


def check_objectives(
    trials: Sequence[Trial],
    objectives: Sequence[str],
    limits: Sequence[Limit] = (),
    table: TrialTable | None = None,
) -> None:
    """Refuse what no front can be made of.

    Args:
        trials: of a run.
        objectives: columns, two or three different ones.
        limits: may be on decisions too, where these are numbers.
        table: of the trials, where it has been made.

    Raises:
        InputError: not two or three, or one that no finished trial has, with those that there are. A cost of
            searches may be asked for before the first has finished.
    """
    if len(objectives) not in (2, 3) or len(set(objectives)) < len(objectives):
        raise InputError(f"objectives must be two or three different columns, got {', '.join(objectives)}")
    table = trial_table(trials) if table is None else table
    done = _done(trials)
    there = [name for name in table.columns if np.isfinite(_numbers(table, name)[done]).any()]
    measured = [name for name in there if name not in (*ALWAYS, *_BOOKKEEPING, *table.decisions)]
    for name in (*objectives, *(limit.name for limit in limits)):
        known = [*ALWAYS, *measured]
        among = known if name in objectives else [*known, *(d for d in there if d in table.decisions)]
        to_come = name in COST_NAMES and not done.any()  # a latency, before the first result
        if name not in among and not to_come:
            near = suggestion(name, among)
            near = near if "did you mean" in near else ""
            near = "; the papers' FLOPS are macs here" if name.lower() in ("flops", "flop", "madds") else near
            raise InputError(
                f"no finished network has a number called {name!r}; there are {', '.join(known)}{near}"
            )


def objective_values(
    trials: Sequence[Trial], objectives: Sequence[str], table: TrialTable | None = None
) -> Floats:
    """What trials have in objectives, (N, K); NaN where a trial is not finished or lacks one.

    Args:
        trials: any.
        objectives: columns.
        table: of the trials, where it has been made.
    """
    table = trial_table(trials) if table is None else table
    done = _done(trials)
    return np.column_stack([np.where(done, _numbers(table, name), np.nan) for name in objectives])


def violation_of(trials: Sequence[Trial], limits: Sequence[Limit], table: TrialTable | None = None) -> Floats:
    """By how much trials break limits, (N,): the sum of the relative excesses; infinity where a trial lacks
    a value, so that nobody knows.

    Args:
        trials: any.
        limits: on columns.
        table: of the trials, where it has been made.
    """
    table = trial_table(trials) if table is None else table
    total = np.zeros(len(trials))
    for limit in limits:
        total += limit.excess(_numbers(table, limit.name))
    return total


def reference_point(
    trials: Sequence[Trial],
    objectives: Sequence[str],
    targets: Mapping[str, float] | None = None,
    table: TrialTable | None = None,
) -> dict[str, float]:
    """The point at which hypervolume begins: 0 for what is raised; twice the target where a cost has one, so
    that runs compare, else twice the largest that was seen.

    Args:
        trials: of a run, or of all runs that are to be compared.
        objectives: columns.
        targets: cost to what a search aims at, such as ``{"macs": 400e6}``.
        table: of the trials, where it has been made.
    """
    point: dict[str, float] = {}
    for name in objectives:
        if is_raised(name):
            point[name] = 0.0
        elif targets and name in targets:
            point[name] = 2.0 * targets[name]
        else:
            table = trial_table(trials) if table is None else table
            values = _numbers(table, name)
            values = values if name in _KNOWN_BEFORE else values[_done(trials)]
            point[name] = 2.0 * (float(values[np.isfinite(values)].max(initial=0.0)) or 1.0)
    return point


def targets_of(config: Mapping[str, Any]) -> dict[str, float]:
    """The cost that a run's objective is about, such as macs, to its target; empty where there is none.

    Args:
        config: of the run, as plain data.
    """
    objective = config.get("objective") or {}
    target = objective.get("target")
    if not isinstance(target, int | float) or target <= 0:
        return {}
    return {str(objective.get("cost", "macs")): float(target)}


def cost_of(config: Mapping[str, Any]) -> str:
    """The cost that a run's objective is about; ``macs`` where there is none.

    Args:
        config: of the run, as plain data.
    """
    return next(iter(targets_of(config)), "macs")


def dominating(trial: Trial, front: Front) -> list[Trial]:
    """Networks of a front that are no worse than a finished trial in all its objectives, and better in one.

    Args:
        trial: such as a baseline; whether it holds limits does not matter here.
        front: the networks.
    """
    points = objective_values([*front.trials, trial], front.objectives) * _signs(front.objectives)
    own, theirs = points[-1], points[:-1]
    better = (theirs <= own).all(axis=1) & (theirs < own).any(axis=1)
    return [other for other, its in zip(front.trials, better, strict=True) if its]


def _signs(objectives: Sequence[str]) -> Floats:
    """What makes every objective one to lower."""
    return np.array([-1.0 if is_raised(name) else 1.0 for name in objectives])


def _share(points: Floats, objectives: Sequence[str], reference: Mapping[str, float]) -> float:
    """The hypervolume of points (N, K), as `front_by` says."""
    scaled = []  # 0 is the ideal and 1 the reference
    for values, name in zip(points.T, objectives, strict=True):
        worst = reference[name]
        if not (worst < 1 if is_raised(name) else worst > 0):
            rule = "below 1" if is_raised(name) else "above 0"
            raise ValueError(f"the reference {name} must be {rule}, got {worst}")
        share = (1.0 - values) / (1.0 - worst) if is_raised(name) else np.maximum(values, 0.0) / worst
        scaled.append(share)
    return dominated_volume(np.column_stack(scaled), np.ones(len(scaled)))


def _done(trials: Sequence[Trial]) -> npt.NDArray[np.bool_]:
    return np.array([trial.status == "done" for trial in trials], dtype=np.bool_)


def _numbers(table: TrialTable, name: str) -> Floats:
    """A column; NaN where it has no numbers."""
    values = table.columns.get(name)
    if values is None or values.dtype == object:
        return np.full(len(table), np.nan)
    return np.asarray(values, dtype=np.float64)
