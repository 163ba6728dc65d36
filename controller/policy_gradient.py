"""What controllers share whose policy follows the gradient of the reward."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from controller.base import Controller, Outcome, Proposal
from controller.objective import Objective
from controller.policy import MOST, Policy, cloned, entropy_shares
from search_space import SearchSpace


class Episode(NamedTuple):
    """One told proposal, waiting for its batch; a failed one has no reward."""

    indices: tuple[int, ...]
    log_prob: float
    reward: float | None


class PolicyGradientController(Controller):
    """Samples from a policy, and improves it whenever a batch of results is in.

    Results may come late and out of order: each carries the log-probability under the policy that sampled
    it. A failed candidate counts as the worst reward of its batch, so that the policy learns to leave it
    without a number being invented for it.

    Args:
        space, seed, objective: see `Controller`.
        policy: what proposes.
        generator: draws the samples; the policy's weights were drawn from it.
        learning_rate: Adam's.
        batch: results an update.
        baseline_decay: of the moving averages of the reward and of its spread.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        objective: Objective | None,
        *,
        policy: Policy,
        generator: torch.Generator,
        learning_rate: float,
        batch: int,
        baseline_decay: float,
    ) -> None:
        super().__init__(space, seed, objective)
        self.policy, self.batch, self.baseline_decay = policy, batch, baseline_decay
        self._generator = generator
        self._optimiser = torch.optim.Adam(policy.parameters(), lr=learning_rate)
        self._baseline: tuple[float, float] | None = None  # moving mean and spread of the reward
        self._waiting: list[Episode] = []
        self._updates = 0
        self._diagnostics: dict[str, float] = {}
        self._entropies: dict[str, float] = {}  # decision to its share of the most there could be

    def _draw(self, n: int) -> list[Proposal]:
        sequences, log_probs = self.policy.sample(n, self._generator)  # (n, D), (n,)
        return [
            Proposal(tuple(indices), self.space.choices(indices), log_prob)
            for indices, log_prob in zip(sequences.tolist(), log_probs.tolist(), strict=True)
        ]

    def _learn(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        for proposal, outcome in zip(proposals, outcomes, strict=True):
            log_prob = proposal.log_prob
            if log_prob is None:  # repaired, or somebody else's: as if the policy had sampled it now
                with torch.no_grad():
                    log_prob = float(self.policy.evaluate(torch.tensor([proposal.indices]))[0])
            reward = None if outcome is None else outcome.reward
            self._waiting.append(Episode(tuple(proposal.indices), log_prob, reward))
        while len(self._waiting) >= self.batch:
            episodes, self._waiting = self._waiting[: self.batch], self._waiting[self.batch :]
            self._update(episodes)

    def _advantages(self, episodes: Sequence[Episode]) -> Tensor | None:
        """Reward over the moving baseline, in units of the moving spread; None when nothing succeeded."""
        known = [episode.reward for episode in episodes if episode.reward is not None]
        if not known:
            return None
        mean = sum(known) / len(known)
        spread = (sum((reward - mean) ** 2 for reward in known) / len(known)) ** 0.5 + 1e-6
        if self._baseline is None:
            self._baseline = (mean, spread)
        before, decay = self._baseline, self.baseline_decay
        scale = decay * before[1] + (1 - decay) * spread
        self._baseline = (decay * before[0] + (1 - decay) * mean, scale)
        worst = min(known)
        rewards = [worst if episode.reward is None else episode.reward for episode in episodes]
        return (torch.tensor(rewards) - before[0]) / scale  # (B,)

    def _update(self, episodes: Sequence[Episode]) -> None:
        advantages = self._advantages(episodes)
        if advantages is None:
            return
        sequences = torch.tensor([episode.indices for episode in episodes])  # (B, D)
        old_log_prob = torch.tensor([episode.log_prob for episode in episodes])  # (B,)
        self._improve(sequences, old_log_prob, advantages)
        self._updates += 1
        assert self._baseline is not None
        self._diagnostics = {
            "updates": float(self._updates),
            "baseline": self._baseline[0],
            **self._observe(sequences, old_log_prob),
        }

    @abstractmethod
    def _improve(self, sequences: Tensor, old_log_prob: Tensor, advantages: Tensor) -> None:
        """One update of the policy.

        Args:
            sequences: (B, D).
            old_log_prob: (B,) under the policy that sampled them.
            advantages: (B,).
        """

    @torch.no_grad()
    def _observe(self, sequences: Tensor, old_log_prob: Tensor) -> dict[str, float]:
        """What the update did, for the curves; KL by the low-variance estimate (r - 1) - log r."""
        log_prob, entropy = self.policy.evaluate(sequences)  # (B,), (D,)
        self._entropies = entropy_shares(self.space.decisions, entropy)
        log_ratio = (log_prob - old_log_prob).clamp(-MOST, MOST)
        return {
            "entropy": float(entropy.mean()),
            "approx_kl": float((log_ratio.exp() - 1 - log_ratio).mean()),
        }

    def diagnostics(self) -> dict[str, float]:
        """Of the last update: policy entropy (nats a decision), KL, baseline.

        And for each decision ``entropy_of/NAME``, the mean over the update's batch of its entropy given the
        choices before it, from 0 (settled) to 1 (uniform). The state does not hold these: after loading they
        come again with the next update.
        """
        return {**self._diagnostics, **self._entropies}

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, baseline, generator, and the results that wait for their batch."""
        return {
            **super().state_dict(),
            "policy": cloned(self.policy.state_dict()),
            "optimiser": cloned(self._optimiser.state_dict()),
            "generator": self._generator.get_state(),
            "baseline": None if self._baseline is None else list(self._baseline),
            "waiting": [[list(e.indices), e.log_prob, e.reward] for e in self._waiting],
            "updates": self._updates,
            "diagnostics": dict(self._diagnostics),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Controller.load_state_dict`."""
        super().load_state_dict(state)
        self.policy.load_state_dict(state["policy"])
        self._optimiser.load_state_dict(cloned(state["optimiser"]))
        self._generator.set_state(state["generator"])
        self._baseline = None if state["baseline"] is None else (state["baseline"][0], state["baseline"][1])
        self._waiting = [Episode(tuple(i), log_prob, reward) for i, log_prob, reward in state["waiting"]]
        self._updates = state["updates"]
        self._diagnostics, self._entropies = dict(state["diagnostics"]), {}
