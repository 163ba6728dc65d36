"""Random search: every proposal uniform and independent. The baseline that a controller has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from controller.base import Controller, Outcome, Proposal
from controller.objective import Objective
from search_space import SearchSpace


class RandomController(Controller):
    """Draws uniformly, with replacement; learns nothing."""

    def __init__(self, space: SearchSpace, seed: int, objective: Objective | None = None) -> None:
        super().__init__(space, seed, objective)
        self._rng = np.random.default_rng(seed)

    def _draw(self, n: int) -> list[Proposal]:
        points = [self.space.random(self._rng) for _ in range(n)]
        return [Proposal(indices, self.space.choices(indices)) for indices in points]

    def _learn(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        """The generator and the best seen."""
        return {**super().state_dict(), "generator": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Controller.load_state_dict`."""
        super().load_state_dict(state)
        self._rng.bit_generator.state = state["generator"]
