"""MnasNet's controller: the LSTM policy, improved by proximal policy optimisation.

Sample a batch of architectures, train and reward each, then take a few clipped policy-gradient steps:
arXiv 1807.11626, section 4.3 (the sample-eval-update loop), with the clipped surrogate of arXiv 1707.06347.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from controller.base import Controller, Outcome, Proposal
from controller.objective import Objective
from controller.policy import LSTMPolicy
from search_space import SearchSpace
from search_space.fields import check_float, check_int


class _Episode(NamedTuple):
    """One told proposal, waiting for its batch; a failed one has no reward."""

    indices: tuple[int, ...]
    log_prob: float
    reward: float | None


class PPOController(Controller):
    """An LSTM that proposes, and learns from rewards by PPO.

    Results may come late and out of order: each carries the log-probability under the policy that sampled
    it, and an update is made whenever `batch` of them are in. A failed candidate counts as the worst reward
    of its batch, so that the policy learns to leave it without a number being invented for it.

    Args:
        space, seed, objective: see `Controller`.
        hidden: units of the LSTM.
        embedding: size of a token's embedding.
        learning_rate: Adam's.
        batch: results an update.
        epochs: gradient steps an update, each over the whole batch.
        clip: how far the probability ratio may move from 1.
        entropy_bonus: weight of the policy's mean entropy a decision.
        baseline_decay: of the moving averages of the reward and of its spread.
        max_grad_norm: gradients are scaled down to this.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        objective: Objective | None = None,
        *,
        hidden: int = 100,
        embedding: int = 32,
        learning_rate: float = 0.003,
        batch: int = 16,
        epochs: int = 5,
        clip: float = 0.2,
        entropy_bonus: float = 0.01,
        baseline_decay: float = 0.9,
        max_grad_norm: float = 1.0,
    ) -> None:
        super().__init__(space, seed, objective)
        check_int("hidden", hidden, 1, 4096)
        check_int("embedding", embedding, 1, 4096)
        check_float("learning_rate", learning_rate, 1e-8, 10.0)
        check_int("batch", batch, 2, 4096)
        check_int("epochs", epochs, 1, 1000)
        check_float("clip", clip, 1e-3, 1.0)
        check_float("entropy_bonus", entropy_bonus, 0.0, 10.0)
        check_float("baseline_decay", baseline_decay, 0.0, 0.9999)
        check_float("max_grad_norm", max_grad_norm, 1e-6, 1e6)
        self.batch, self.epochs, self.clip = batch, epochs, clip
        self.entropy_bonus, self.baseline_decay = entropy_bonus, baseline_decay
        self.max_grad_norm = max_grad_norm
        self._generator = torch.Generator().manual_seed(seed)
        sizes = [len(decision.choices) for decision in space.decisions]
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            self.policy = LSTMPolicy(sizes, hidden, embedding, self._generator)
        self._optimiser = torch.optim.Adam(self.policy.parameters(), lr=learning_rate)
        self._baseline: tuple[float, float] | None = None  # moving mean and spread of the reward
        self._waiting: list[_Episode] = []
        self._updates = 0
        self._diagnostics: dict[str, float] = {}

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
            self._waiting.append(_Episode(tuple(proposal.indices), log_prob, reward))
        while len(self._waiting) >= self.batch:
            episodes, self._waiting = self._waiting[: self.batch], self._waiting[self.batch :]
            self._update(episodes)

    def _advantages(self, episodes: Sequence[_Episode]) -> Tensor | None:
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

    def _update(self, episodes: Sequence[_Episode]) -> None:
        """One PPO update: `epochs` clipped gradient steps on a batch of finished candidates."""
        advantages = self._advantages(episodes)
        if advantages is None:
            return
        sequences = torch.tensor([episode.indices for episode in episodes])  # (B, D)
        old_log_prob = torch.tensor([episode.log_prob for episode in episodes])  # (B,)
        for _ in range(self.epochs):
            log_prob, entropy = self.policy.evaluate(sequences)
            ratio = (log_prob - old_log_prob).exp()  # (B,)
            clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
            gain = torch.min(ratio * advantages, clipped * advantages).mean()
            loss = -gain - self.entropy_bonus * entropy.mean()
            self._optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self._optimiser.step()
        self._updates += 1
        self._observe(sequences, old_log_prob)

    @torch.no_grad()
    def _observe(self, sequences: Tensor, old_log_prob: Tensor) -> None:
        """What the update did, for the curves; KL by the low-variance estimate (r - 1) - log r."""
        log_prob, entropy = self.policy.evaluate(sequences)
        log_ratio = log_prob - old_log_prob
        ratio = log_ratio.exp()
        assert self._baseline is not None
        self._diagnostics = {
            "updates": float(self._updates),
            "entropy": float(entropy.mean()),
            "approx_kl": float((ratio - 1 - log_ratio).mean()),
            "clip_fraction": float(((ratio - 1).abs() > self.clip).float().mean()),
            "baseline": self._baseline[0],
        }

    def diagnostics(self) -> dict[str, float]:
        """Of the last update: policy entropy (nats a decision), KL, clip fraction, baseline."""
        return dict(self._diagnostics)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, baseline, generator, and the results that wait for their batch."""
        return {
            **super().state_dict(),
            "policy": {name: weight.clone() for name, weight in self.policy.state_dict().items()},
            "optimiser": _cloned(self._optimiser.state_dict()),
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
        self._optimiser.load_state_dict(_cloned(state["optimiser"]))
        self._generator.set_state(state["generator"])
        self._baseline = None if state["baseline"] is None else (state["baseline"][0], state["baseline"][1])
        self._waiting = [_Episode(tuple(i), log_prob, reward) for i, log_prob, reward in state["waiting"]]
        self._updates = state["updates"]
        self._diagnostics = dict(state["diagnostics"])


def _cloned(value: Any) -> Any:
    """A copy in which no tensor is shared: the optimiser changes its own in place."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _cloned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cloned(item) for item in value]
    return value
