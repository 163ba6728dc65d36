"""One-exchange hill climbing with restarts: the honest baseline where measurements have no noise.

White et al., "Exploring the loss landscape in neural architecture search" (arXiv 2005.02960) found that it
beats most published methods on noise-free tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from controller.base import Controller, Outcome, Proposal
from controller.objective import Objective
from search_space import Indices, SearchSpace
from search_space.fields import check_int

Move = tuple[int, int]  # decision and its new choice


class LocalSearchController(Controller):
    """Tries the neighbours of the best point in random order, and moves on as soon as one is better.

    A climb starts at the best of a few random points, and ends when every neighbour was tried.

    Args:
        space, seed, objective: see `Controller`.
        first: random points before each climb.
    """

    def __init__(
        self, space: SearchSpace, seed: int, objective: Objective | None = None, *, first: int = 10
    ) -> None:
        super().__init__(space, seed, objective)
        check_int("first", first, 1, 100_000)
        self.first = first
        self._rng = np.random.default_rng(seed)
        self._restart()

    def _restart(self) -> None:
        self._random_left = self.first  # results to wait for before the climb
        self._top: tuple[Indices, float] | None = None  # of this climb
        self._moves: list[Move] = []  # not yet tried, next one last

    def _draw(self, n: int) -> list[Proposal]:
        points = [self._next() for _ in range(n)]
        return [Proposal(indices, self.space.choices(indices)) for indices in points]

    def _next(self) -> Indices:
        if self._random_left == 0 and self._top is not None and not self._moves:
            self._restart()
        if self._random_left > 0 or self._top is None:
            return self.space.random(self._rng)
        decision, choice = self._moves.pop()
        neighbour = list(self._top[0])
        neighbour[decision] = choice
        return tuple(neighbour)

    def _learn(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        for proposal, outcome in zip(proposals, outcomes, strict=True):
            self._random_left = max(0, self._random_left - 1)
            if outcome is not None and (self._top is None or outcome.reward > self._top[1]):
                self._top = (tuple(proposal.indices), outcome.reward)
                self._moves = self._shuffled_moves(self._top[0])

    def _shuffled_moves(self, indices: Indices) -> list[Move]:
        moves = [
            (d, choice)
            for d, decision in enumerate(self.space.decisions)
            for choice in range(len(decision.choices))
            if choice != indices[d]
        ]
        return [moves[i] for i in self._rng.permutation(len(moves))]

    def state_dict(self) -> dict[str, Any]:
        """The generator and the climb."""
        return {
            **super().state_dict(),
            "generator": self._rng.bit_generator.state,
            "random_left": self._random_left,
            "top": None if self._top is None else [list(self._top[0]), self._top[1]],
            "moves": [list(move) for move in self._moves],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Controller.load_state_dict`."""
        super().load_state_dict(state)
        self._rng.bit_generator.state = state["generator"]
        self._random_left = state["random_left"]
        self._top = None if state["top"] is None else (tuple(state["top"][0]), state["top"][1])
        self._moves = [(move[0], move[1]) for move in state["moves"]]
