"""TuNAS's policy: independent logits for every decision, improved by REINFORCE.

arXiv 2008.06120, section 3, after Williams 1992: here with candidates trained one by one, not as parts of
one shared network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from controller.objective import Objective
from controller.policy import FactorisedPolicy
from controller.policy_gradient import PolicyGradientController
from search_space import SearchSpace
from search_space.fields import check_float, check_int


class ReinforceController(PolicyGradientController):
    """Every decision has logits of its own; a batch of results moves them once.

    Args:
        space, seed, objective: see `Controller`.
        learning_rate: Adam's.
        batch: results an update.
        entropy_bonus: weight of the policy's mean entropy a decision.
        baseline_decay: of the moving averages of the reward and of its spread.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        objective: Objective | None = None,
        *,
        learning_rate: float = 0.05,
        batch: int = 8,
        entropy_bonus: float = 0.0,
        baseline_decay: float = 0.9,
    ) -> None:
        check_float("learning_rate", learning_rate, 1e-8, 10.0)
        check_int("batch", batch, 2, 4096)
        check_float("entropy_bonus", entropy_bonus, 0.0, 10.0)
        check_float("baseline_decay", baseline_decay, 0.0, 0.9999)
        super().__init__(
            space,
            seed,
            objective,
            policy=FactorisedPolicy([len(decision.choices) for decision in space.decisions]),
            generator=torch.Generator().manual_seed(seed),
            learning_rate=learning_rate,
            batch=batch,
            baseline_decay=baseline_decay,
        )
        self.entropy_bonus = entropy_bonus

    def _improve(self, sequences: Tensor, old_log_prob: Tensor, advantages: Tensor) -> None:
        log_prob, entropy = self.policy.evaluate(sequences)
        loss = -(log_prob * advantages).mean() - self.entropy_bonus * entropy.mean()
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
