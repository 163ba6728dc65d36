"""Where a model-based controller looks for its next candidates.

Two ways to points that a surrogate values: a policy that is trained on the surrogate (`Imagination`), and
local search on it (`climb`). Points are integer arrays (N, decisions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from controller.goal import ImaginationSettings
from controller.mutation import distinct, mutants
from controller.policy import FactorisedPolicy, LSTMPolicy, Policy, cloned, ppo_step

Points = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Value = Callable[[Points], Floats]
_RECENT = 4  # the last steps' samples become candidates
_ROUNDS = 8  # of local search
_PARENTS = 128  # of each round
_KEPT = 300  # points that a batch is chosen from


class Imagination:
    """A policy that practises on a surrogate: Dyna (Sutton 1990) with proximal policy optimisation.

    Args:
        sizes: number of choices of each decision.
        settings: kind of policy, and how it practises.
        seed: of the first weights and of the samples.
    """

    def __init__(self, sizes: Sequence[int], settings: ImaginationSettings, seed: int) -> None:
        self.samples, self.epochs = settings.samples, settings.epochs
        self.entropy_bonus = settings.entropy_bonus * len(sizes)  # ppo_step weighs the mean over decisions
        self._generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            self.policy: Policy = (
                FactorisedPolicy(sizes)
                if settings.policy == "factorised"
                else LSTMPolicy(sizes, hidden=64, embedding=24, generator=self._generator)
            )
        self._optimiser = torch.optim.Adam(
            self.policy.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99)
        )

    def practise(self, value: Value, steps: int) -> Points:
        """Train on a value function; what was sampled in the last steps.

        Args:
            value: points to what they are worth (N,).
            steps: samples to draw and learn from.

        Returns:
            Points (a few times `samples`, decisions), with repeats.
        """
        recent: list[Points] = []
        for _ in range(steps):
            sequences, log_prob = self.policy.sample(self.samples, self._generator)
            points = sequences.numpy()
            worth = value(points)
            advantages = torch.from_numpy((worth - worth.mean()) / (worth.std() + 1e-9)).float()
            for _ in range(self.epochs):
                ppo_step(
                    self.policy,
                    self._optimiser,
                    sequences,
                    log_prob,
                    advantages,
                    clip=0.2,
                    entropy_bonus=self.entropy_bonus,
                    max_grad_norm=10.0,
                )
            recent = [*recent, points][-_RECENT:]
        return np.concatenate(recent)

    @torch.no_grad()
    def entropies(self) -> torch.Tensor:
        """Of each decision given those before it, nats (D,): the mean over samples."""
        sequences, _ = self.policy.sample(64, torch.Generator().manual_seed(0))
        return self.policy.evaluate(sequences)[1]

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, generator."""
        return {
            "policy": cloned(self.policy.state_dict()),
            "optimiser": cloned(self._optimiser.state_dict()),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` gave."""
        self.policy.load_state_dict(state["policy"])
        self._optimiser.load_state_dict(cloned(state["optimiser"]))
        self._generator.set_state(state["generator"])


def climb(value: Value, starts: Points, sizes: Sequence[int], rng: np.random.Generator) -> Points:
    """Local search on a value function: rounds of mutation, the best survive.

    Args:
        value: points to what they are worth (N,).
        starts: (N, decisions).
    """
    found = starts[distinct(starts)]
    worth = value(found)
    for _ in range(_ROUNDS):
        parents = found[np.argsort(-worth, kind="stable")[:_PARENTS]]
        made = mutants(parents, 4, 2, sizes, rng)
        found, worth = np.concatenate([found, made]), np.concatenate([worth, value(made)])
        kept = distinct(found)
        found, worth = found[kept], worth[kept]
    return found[np.argsort(-worth, kind="stable")[:_KEPT]]


def balanced_design(n: int, sizes: Sequence[int], rng: np.random.Generator) -> Points:
    """First points in which every choice of a decision appears equally often, as nearly as may be.

    Of 30 such designs the one whose decisions correlate least.

    Returns:
        (n, decisions).
    """
    best, least = None, np.inf
    tries = 30 if sum(sizes) <= 2000 else 1  # the correlations take its square
    for _ in range(tries):
        points = np.stack([rng.permutation(np.resize(rng.permutation(size), n)) for size in sizes], axis=1)
        if tries == 1:
            return points
        hot = np.concatenate([np.eye(size)[points[:, d]] for d, size in enumerate(sizes)], axis=1)
        hot = hot - hot.mean(axis=0)
        correlation = float((np.triu(hot.T @ hot, 1) ** 2).sum())
        if correlation < least:
            best, least = points, correlation
    assert best is not None
    return best
