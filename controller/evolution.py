"""Regularised evolution: the best of a few mutates, the oldest dies (arXiv 1802.01548, algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from controller.base import Controller, Outcome, Proposal
from controller.mutation import mutants
from controller.objective import Objective
from search_space import FieldError, Indices, SearchSpace
from search_space.fields import check_int


class EvolutionController(Controller):
    """A population that ages; asynchronous, as in the paper: a result joins when it arrives.

    The defaults did best of those tried on the replay of Accel-NASBench.

    Args:
        space, seed, objective: see `Controller`.
        population: the last results that may become parents.
        tournament: of which this many are drawn, and the best mutates in one decision.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        objective: Objective | None = None,
        *,
        population: int = 50,
        tournament: int = 25,
    ) -> None:
        super().__init__(space, seed, objective)
        check_int("population", population, 2, 100_000)
        check_int("tournament", tournament, 1, 100_000)
        if tournament > population:
            raise FieldError("tournament", f"must be at most population, got {tournament} of {population}")
        self.population, self.tournament = population, tournament
        self._sizes = [len(decision.choices) for decision in space.decisions]
        self._rng = np.random.default_rng(seed)
        self._proposed = 0  # up to the size of the first, random population
        self._living: list[tuple[Indices, float]] = []  # oldest first

    def _draw(self, n: int) -> list[Proposal]:
        points: list[Indices] = []
        for _ in range(n):
            if self._proposed + len(points) < self.population or not self._living:
                points.append(self.space.random(self._rng))
            else:
                points.append(self._child())
        return [Proposal(indices, self.space.choices(indices)) for indices in points]

    def _asked(self, proposals: Sequence[Proposal]) -> None:
        self._proposed = min(self.population, self._proposed + len(proposals))

    def _child(self) -> Indices:
        size = min(self.tournament, len(self._living))
        drawn = self._rng.choice(len(self._living), size, replace=False)
        parent = max((self._living[i] for i in drawn), key=lambda member: member[1])[0]
        child = mutants(np.array([parent]), 1, 1, self._sizes, self._rng)[0]
        return tuple(child.tolist())

    def _learn(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        for proposal, outcome in zip(proposals, outcomes, strict=True):
            if outcome is not None:  # a failure has no descendants
                self._living.append((tuple(proposal.indices), outcome.reward))
        self._living = self._living[-self.population :]

    def diagnostics(self) -> dict[str, float]:
        """Mean reward of the living."""
        if not self._living:
            return {}
        return {"population": float(np.mean([reward for _, reward in self._living]))}

    def state_dict(self) -> dict[str, Any]:
        """The generator and the living."""
        return {
            **super().state_dict(),
            "generator": self._rng.bit_generator.state,
            "proposed": self._proposed,
            "living": [[list(indices), reward] for indices, reward in self._living],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Controller.load_state_dict`."""
        super().load_state_dict(state)
        self._rng.bit_generator.state = state["generator"]
        self._proposed = state["proposed"]
        self._living = [(tuple(indices), reward) for indices, reward in state["living"]]
