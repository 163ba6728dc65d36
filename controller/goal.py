"""What a model-based controller is after: the contract of `RewardGoal` and `FrontGoal`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.observations import Observations
from search_space import SearchSpace

Points = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Admissible = Callable[[Points], npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaginationSettings:
    """How a policy practises, see `Imagination`.

    Attributes:
        policy: ``factorised``, ``lstm``, or ``none`` (the model with local search alone).
        steps: of practice for a batch of eight; fewer for fewer.
        learning_rate, samples, epochs, entropy_bonus: of a step.
    """

    policy: str
    steps: int
    learning_rate: float
    samples: int
    epochs: int
    entropy_bonus: float


def demoted(values: Floats, admissible: npt.NDArray[np.bool_]) -> Floats:
    """Values (N,) of which those that are not admissible are below all others."""
    if admissible.all():
        return values
    return np.where(admissible, values, values - np.ptp(values) - 1.0)


class Goal(ABC):
    """Models what was measured, and chooses what to measure next.

    Args:
        space: the decisions.
        beta: how many standard deviations a confidence bound lies above the mean.
        settings: of the policy.
        rng: of the controller; every draw comes from it.
    """

    def __init__(
        self, space: SearchSpace, beta: float, settings: ImaginationSettings, rng: np.random.Generator
    ) -> None:
        self.space, self.beta, self.settings, self.rng = space, beta, settings, rng
        self.sizes = [len(decision.choices) for decision in space.decisions]

    @abstractmethod
    def learn(self, seen: Observations) -> None:
        """More was measured: fit hyper-parameters where due."""

    @abstractmethod
    def candidates(self, n: int, seen: Observations, admissible: Admissible) -> Points:
        """Points to choose a batch of `n` from; some may be known, or repeated, or not admissible."""

    @abstractmethod
    def chosen(self, n: int, candidates: Points, seen: Observations) -> Points:
        """A batch of up to `n` of the candidates."""

    @abstractmethod
    def worth(self, seen: Observations) -> Floats:
        """What the network of each row is believed to be worth (N,)."""

    def diagnostics(self) -> dict[str, float]:
        """Scalars for the curves."""
        return {}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Models and policy; the measurements and the generator are the controller's."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` gave."""

    def random(self, n: int) -> Points:
        """Uniform points (n, decisions)."""
        return np.array([self.space.random(self.rng) for _ in range(n)], dtype=np.int64)
