"""The goal of a whole Pareto front: hypervolume of accuracy and cost."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from controller.coding import Coding
from controller.goal import Admissible, Floats, Goal, ImaginationSettings, Points, demoted
from controller.imagination import Imagination
from controller.mutation import mutants
from controller.objective import Objective
from controller.observations import Observations
from controller.surrogate import Surrogate
from results.pareto import pareto_front
from search_space import SearchSpace

_WEIGHTS = 4  # trade-offs that policies practise for, a batch
_EXPONENTS = (-2.2, 0.2)  # their range, log10


class FrontGoal(Goal):
    """Batches for the gain in hypervolume, were every accuracy at its upper confidence bound.

    Accuracy is a surrogate's; the cost is the space's arithmetic where there is one, else a second
    surrogate's. The reference point lies a tenth beyond the costliest of some random points, or of those
    measured, and a tenth of the range below the lowest accuracy: the costly end of the front is wanted too.

    Args:
        space, beta, settings, rng: see `Goal`.
        objective: which cost; and what a single recommended network is chosen by.
    """

    def __init__(
        self,
        space: SearchSpace,
        beta: float,
        settings: ImaginationSettings,
        rng: np.random.Generator,
        objective: Objective,
    ) -> None:
        super().__init__(space, beta, settings, rng)
        self.objective = objective
        coding = Coding(space)
        self._accuracy = Surrogate(coding)
        self._log_cost = Surrogate(coding)
        self._sample = self.random(512)  # of the space, for the reference point
        self._sample = self._sample[space.allowed(self._sample)]
        self._knows_cost = space.known_cost(self._sample, objective.cost) is not None
        self._version = -1

    def learn(self, seen: Observations) -> None:
        """See `Goal.learn`."""
        self._accuracy.learn(seen.points, _accuracies(seen), seen.measured, self.rng)
        if not self._knows_cost:
            done = seen.succeeded
            self._log_cost.learn(seen.points[done], _log(seen.cost[done]), seen.measured, self.rng)
        self._version = -1

    def _condition(self, seen: Observations) -> None:
        if self._version == seen.version:
            return
        self._accuracy.condition(seen.points, _accuracies(seen))
        if not self._knows_cost:
            done = seen.succeeded
            self._log_cost.condition(seen.points[done], _log(seen.cost[done]))
        self._version = seen.version

    def _cost(self, points: Points) -> Floats:
        known = self.space.known_cost(points, self.objective.cost)
        return np.exp(self._log_cost.mean(points)) if known is None else known

    def _bound(self, points: Points) -> Floats:
        mean, std = self._accuracy.predict(points)
        return mean + self.beta * std

    def worth(self, seen: Observations) -> Floats:
        """Reward of the posterior mean of the accuracy."""
        self._condition(seen)
        accuracy, cost = self._accuracy.mean(seen.points), self._cost(seen.points)
        return np.array(
            [self.objective.reward(float(a), float(c)) for a, c in zip(accuracy, cost, strict=True)]
        )

    def candidates(self, n: int, seen: Observations, admissible: Admissible) -> Points:
        """What policies sample that practise for several trade-offs, and mutants of the front."""
        self._condition(seen)
        done = np.flatnonzero(seen.succeeded)
        front = seen.points[done[pareto_front(seen.accuracy[done], seen.cost[done])]]
        parents = front[self.rng.integers(len(front), size=160)]
        found = [mutants(parents, 1, 2, self.sizes, self.rng)]
        if self.settings.policy == "none":
            found.append(mutants(parents, 4, 3, self.sizes, self.rng))
            return np.concatenate(found)
        for exponent in -(10.0 ** self.rng.uniform(*_EXPONENTS, size=_WEIGHTS)):
            policy = Imagination(self.sizes, self.settings, int(self.rng.integers(2**31)))
            found.append(policy.practise(partial(self._weighted, exponent, admissible), 10))
        return np.concatenate(found)

    def _weighted(self, exponent: float, admissible: Admissible, points: Points) -> Floats:
        """Logarithm of MnasNet's product with an exponent of its own."""
        value = np.log(np.maximum(self._bound(points), 1e-3)) + exponent * _log(self._cost(points))
        return demoted(value, admissible(points))

    def chosen(self, n: int, candidates: Points, seen: Observations) -> Points:
        """One after the other the largest gain, each as if those before it were on the front."""
        done = seen.succeeded
        accuracy, cost = seen.accuracy[done], seen.cost[done]
        worst = accuracy.min() - 0.1 * np.ptp(accuracy)
        most = 1.1 * float(np.concatenate([cost, self._cost(self._sample)]).max())
        if len(seen.pending):
            accuracy = np.append(accuracy, self._bound(seen.pending))
            cost = np.append(cost, self._cost(seen.pending))
        bounds, costs = self._bound(candidates), self._cost(candidates)
        chosen: list[int] = []
        for _ in range(min(n, len(candidates))):
            gains = hypervolume_gains(bounds, costs, accuracy, cost, worst, most)
            gains[chosen] = -1.0
            chosen.append(int(np.argmax(gains)))
            accuracy = np.append(accuracy, bounds[chosen[-1]])
            cost = np.append(cost, costs[chosen[-1]])
        return candidates[chosen]

    def state_dict(self) -> dict[str, Any]:
        """See `Goal.state_dict`."""
        return {
            "accuracy": self._accuracy.state_dict(),
            "log_cost": self._log_cost.state_dict(),
            "sample": torch.from_numpy(self._sample.astype(np.int32)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Goal.load_state_dict`."""
        self._accuracy.load_state_dict(state["accuracy"])
        self._log_cost.load_state_dict(state["log_cost"])
        self._sample = state["sample"].numpy().astype(np.int64)
        self._version = -1


def _log(cost: Floats) -> Floats:
    return np.log(np.maximum(cost, 1e-9))


def _accuracies(seen: Observations) -> Floats:
    """Accuracies (N,); a failure counts as the worst of those that succeeded."""
    return np.where(seen.succeeded, seen.accuracy, np.nanmin(seen.accuracy))


def hypervolume_gains(
    accuracy: Floats,
    cost: Floats,
    front_accuracy: Floats,
    front_cost: Floats,
    reference_accuracy: float,
    reference_cost: float,
) -> Floats:
    """The area (N,) that each of N points would add to what other points dominate, in accuracy times cost.

    Args:
        accuracy, cost: (N,).
        front_accuracy, front_cost: (K,) of the others, whether on their front or not.
        reference_accuracy, reference_cost: the area ends there.
    """
    front = pareto_front(front_accuracy, front_cost)
    steps = np.maximum(front_accuracy[front], reference_accuracy)
    # between two neighbours on the front the best accuracy is that of the cheaper one
    left = np.concatenate([[-np.inf], front_cost[front]])  # (K + 1,)
    right = np.concatenate([front_cost[front], [reference_cost]])
    height = np.concatenate([[reference_accuracy], steps])
    width = np.minimum(right, reference_cost) - np.maximum(left, cost[:, None])  # (N, K + 1)
    above = np.maximum(accuracy, reference_accuracy)[:, None] - height
    return (np.clip(width, 0.0, None) * np.clip(above, 0.0, None)).sum(axis=1)
