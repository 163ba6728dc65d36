"""A table evaluator behind a counter: what every compared search sees, and what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from controller import Controller, Objective, Outcome
from search_space import SearchSpace
from trainers.table import TableEvaluator

Floats = npt.NDArray[np.float64]
TARGET = 390e6
OBJECTIVE = Objective(target=TARGET)


def rewards(accuracy: Floats, macs: Floats) -> Floats:
    """`OBJECTIVE` of many networks."""
    return accuracy * OBJECTIVE.ceiling(macs)


class Replay:
    """Counts evaluations up to a budget; logs the truth and what noise made of it.

    Args:
        evaluator: of a table, without noise of its own.
        space: of its points.
        budget: evaluations; what is asked beyond is not evaluated.
        noise: standard deviation of every measurement, accuracy points.
        seed: of the noise.
    """

    def __init__(
        self, evaluator: TableEvaluator, space: SearchSpace, budget: int, noise: float, seed: int
    ) -> None:
        self.evaluator, self.space, self.budget, self.noise = evaluator, space, budget, noise
        self._rng = np.random.default_rng(seed + 1_000_003)
        self._tables = space.tables()  # type: ignore[attr-defined]
        self.points: list[tuple[int, ...]] = []
        self.accuracy: list[float] = []
        self.macs: list[float] = []
        self.observed: list[float] = []
        self.recommended: list[float] = []  # true reward of the recommendation, where one was made
        self.seconds = 0.0  # processor time spent in here

    @property
    def done(self) -> bool:
        return len(self.points) >= self.budget

    def evaluate(self, points: Sequence[Sequence[int]] | npt.NDArray[Any]) -> tuple[Floats, Floats, Floats]:
        """Accuracy, MACs, reward (N,) of points (N, decisions), with noise."""
        began = time.process_time()
        x = np.asarray(points, dtype=np.int64)[: self.budget - len(self.points)]
        accuracy, macs = self.evaluator.accuracies(x), self._tables.cost(x)[0].astype(np.float64)
        noisy = accuracy + 0.01 * self.noise * self._rng.standard_normal(len(x))
        observed = rewards(noisy, macs)
        self.points += [tuple(point) for point in x.tolist()]
        self.accuracy += accuracy.tolist()
        self.macs += macs.tolist()
        self.observed += observed.tolist()
        self.seconds += time.process_time() - began
        return noisy, macs, observed

    @property
    def true(self) -> Floats:
        """Rewards without noise, in order."""
        return rewards(np.array(self.accuracy), np.array(self.macs))

    def recommend(self, point: Sequence[int]) -> None:
        """The search bets on this point from here on; within a batch it still bet on the one before."""
        at = self.points.index(tuple(point))
        before = self.recommended[-1:] or [float("nan")]
        self.recommended += before * (len(self.points) - len(self.recommended) - 1)
        self.recommended.append(float(rewards(np.array(self.accuracy[at]), np.array(self.macs[at]))))

    def bets(self) -> Floats:
        """True reward of the recommendation after each evaluation; the best observed, where none was made."""
        best = np.maximum.accumulate(self.observed)
        is_best = np.concatenate([[True], best[1:] > best[:-1]])
        observed = self.true[np.maximum.accumulate(np.where(is_best, np.arange(len(best)), 0))]
        if not self.recommended:
            return observed
        made = np.array(self.recommended)
        return np.where(np.isnan(made), observed, made)


def drive(controller: Controller, replay: Replay, batch: int) -> None:
    """Ask and tell until the budget is spent."""
    while not replay.done:
        proposals = controller.ask(min(batch, replay.budget - len(replay.points)))
        accuracy, macs, reward = replay.evaluate([proposal.indices for proposal in proposals])
        outcomes = [
            Outcome(float(a), float(m), float(r)) for a, m, r in zip(accuracy, macs, reward, strict=True)
        ]
        controller.tell(proposals, outcomes)
        replay.recommend(controller.recommend())
