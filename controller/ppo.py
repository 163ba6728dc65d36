"""MnasNet's controller: the LSTM policy, improved by proximal policy optimisation.

Sample a batch of architectures, train and reward each, then take a few clipped policy-gradient steps:
arXiv 1807.11626, section 4.3 (the sample-eval-update loop), with the clipped surrogate of arXiv 1707.06347.
"""

from __future__ import annotations

import torch
from torch import Tensor

from controller.objective import Objective
from controller.policy import MOST, LSTMPolicy, ppo_step
from controller.policy_gradient import PolicyGradientController
from search_space import SearchSpace
from search_space.fields import check_float, check_int


class PPOController(PolicyGradientController):
    """An LSTM that proposes, and learns from rewards by PPO.

    The defaults did best of those tried on the replay of Accel-NASBench.

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
        check_int("hidden", hidden, 1, 4096)
        check_int("embedding", embedding, 1, 4096)
        check_float("learning_rate", learning_rate, 1e-8, 10.0)
        check_int("batch", batch, 2, 4096)
        check_int("epochs", epochs, 1, 1000)
        check_float("clip", clip, 1e-3, 1.0)
        check_float("entropy_bonus", entropy_bonus, 0.0, 10.0)
        check_float("baseline_decay", baseline_decay, 0.0, 0.9999)
        check_float("max_grad_norm", max_grad_norm, 1e-6, 1e6)
        generator = torch.Generator().manual_seed(seed)
        sizes = [len(decision.choices) for decision in space.decisions]
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            policy = LSTMPolicy(sizes, hidden, embedding, generator)
        super().__init__(
            space,
            seed,
            objective,
            policy=policy,
            generator=generator,
            learning_rate=learning_rate,
            batch=batch,
            baseline_decay=baseline_decay,
        )
        self.epochs, self.clip = epochs, clip
        self.entropy_bonus, self.max_grad_norm = entropy_bonus, max_grad_norm

    def _improve(self, sequences: Tensor, old_log_prob: Tensor, advantages: Tensor) -> None:
        for _ in range(self.epochs):
            ppo_step(
                self.policy,
                self._optimiser,
                sequences,
                old_log_prob,
                advantages,
                clip=self.clip,
                entropy_bonus=self.entropy_bonus,
                max_grad_norm=self.max_grad_norm,
            )

    @torch.no_grad()
    def _observe(self, sequences: Tensor, old_log_prob: Tensor) -> dict[str, float]:
        """See `PolicyGradientController`; and the share of ratios that the clip has reached."""
        ratio = (self.policy.evaluate(sequences)[0] - old_log_prob).clamp(-MOST, MOST).exp()
        clipped = float(((ratio - 1).abs() > self.clip).float().mean())
        return {**super()._observe(sequences, old_log_prob), "clip_fraction": clipped}
