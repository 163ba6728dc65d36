"""The goal of one network: the highest reward."""

from __future__ import annotations

from typing import Any

import numpy as np

from controller.coding import Coding
from controller.goal import Admissible, Floats, Goal, ImaginationSettings, Points, demoted
from controller.imagination import Imagination, climb
from controller.mutation import distinct, mutants
from controller.observations import Observations
from controller.policy import entropy_shares
from controller.surrogate import Surrogate
from search_space import SearchSpace

_WARP = 0.2
_SHORTLIST = 300
_MANY = 300  # measurements from which a step of practice costs enough to take fewer


class RewardGoal(Goal):
    """Upper confidence bounds on a warped reward.

    The reward is warped, ``-log(1 + (max - reward) / scale)`` with a fifth of the spread from the first to
    the ninth decile as the scale: differences among the best count, those among the worst hardly.
    """

    def __init__(
        self, space: SearchSpace, beta: float, settings: ImaginationSettings, rng: np.random.Generator
    ) -> None:
        super().__init__(space, beta, settings, rng)
        self._surrogate = Surrogate(Coding(space))
        self._imagination = None
        if settings.policy != "none":
            self._imagination = Imagination(self.sizes, settings, int(rng.integers(2**31)))
        self._version = -1  # of the measurements that the surrogate is conditioned on

    def learn(self, seen: Observations) -> None:
        """See `Goal.learn`."""
        self._surrogate.learn(seen.points, _warped(seen), seen.measured, self.rng)
        self._version = -1

    def _condition(self, seen: Observations) -> None:
        if self._version != seen.version:
            self._surrogate.condition(seen.points, _warped(seen))
            self._version = seen.version

    def _bound(self, points: Points) -> Floats:
        mean, std = self._surrogate.predict(points)
        return mean + self.beta * std

    def _value(self, points: Points, admissible: Admissible) -> Floats:
        """The bound; of points that may not be proposed less than of any other."""
        return demoted(self._bound(points), admissible(points))

    def worth(self, seen: Observations) -> Floats:
        """Posterior mean of the warped reward."""
        self._condition(seen)
        return self._surrogate.mean(seen.points)

    def candidates(self, n: int, seen: Observations, admissible: Admissible) -> Points:
        """Samples of the policy after some practice, and what local search makes of them and of the best."""
        self._condition(seen)

        def value(points: Points) -> Floats:
            return self._value(points, admissible)

        best = seen.points[np.argsort(-self.worth(seen), kind="stable")[:32]]
        if self._imagination is None:
            found = np.concatenate([best, self.random(32)])
        else:
            steps = max(6, min(self.settings.steps, self.settings.steps * n // 8))
            if len(seen) >= _MANY:
                steps = max(4, steps // 3)
            imagined = self._imagination.practise(value, steps)
            found = np.concatenate([imagined, mutants(best[:5], 10, 2, self.sizes, self.rng)])
            found = found[distinct(found)]
            found = found[np.argsort(-value(found), kind="stable")[:64]]
            found = np.concatenate([found, best[:16]])
        return climb(value, found, self.sizes, self.rng)

    def chosen(self, n: int, candidates: Points, seen: Observations) -> Points:
        """One after the other the highest bound, each as if those before it and the outstanding ones had
        been measured: their place matters, their value does not (GP-BUCB)."""
        order = np.argsort(-self._bound(candidates), kind="stable")
        candidates = candidates[order[:_SHORTLIST]]
        k, noise = len(candidates), self._surrogate.noise
        mean, covariance = self._surrogate.joint(np.concatenate([candidates, seen.pending]))
        for waiting in range(k, len(covariance)):
            covariance = _as_if_measured(covariance, waiting, noise)
        chosen: list[int] = []
        for _ in range(min(n, k)):
            bound = mean[:k] + self.beta * np.sqrt(np.maximum(np.diag(covariance)[:k], 0.0))
            bound[chosen] = -np.inf
            chosen.append(int(np.argmax(bound)))
            covariance = _as_if_measured(covariance, chosen[-1], noise)
        return candidates[chosen]

    def diagnostics(self) -> dict[str, float]:
        """Entropy of the policy, nats a decision; and of each decision, see `entropy_shares`."""
        if self._imagination is None:
            return {}
        entropies = self._imagination.entropies()
        return {"entropy": float(entropies.mean()), **entropy_shares(self.space.decisions, entropies)}

    def state_dict(self) -> dict[str, Any]:
        """See `Goal.state_dict`."""
        policy = None if self._imagination is None else self._imagination.state_dict()
        return {"surrogate": self._surrogate.state_dict(), "imagination": policy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Goal.load_state_dict`."""
        self._surrogate.load_state_dict(state["surrogate"])
        if self._imagination is not None:
            self._imagination.load_state_dict(state["imagination"])
        self._version = -1


def _warped(seen: Observations) -> Floats:
    """Warped rewards (N,); a failure counts as the worst of those that succeeded."""
    reward = np.where(seen.succeeded, seen.reward, np.nanmin(seen.reward))
    low, high = np.quantile(reward, [0.1, 0.9])
    spread = high - low if high > low else reward.max() - reward.min()
    return -np.log1p((reward.max() - reward) / (_WARP * spread + 1e-12))


def _as_if_measured(covariance: Floats, index: int, noise: float) -> Floats:
    """The covariance after a measurement at one of the points."""
    column = covariance[:, index]
    return covariance - np.outer(column, column) / (column[index] + noise)
