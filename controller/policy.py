"""Policies: distributions over sequences of choices, and the clipped step that improves them.

- `LSTMPolicy` is MnasNet's: an LSTM emits one token a decision, each token fed back to choose the next
  (arXiv 1807.11626, section 4.3, after arXiv 1611.01578, figure 2).
- `FactorisedPolicy` is TuNAS's: every decision has logits of its own (arXiv 2008.06120, section 3).

Shape letters: B sequences, D decisions, C the most choices of a decision, H hidden units.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from search_space import Decision

MOST = 20.0  # of a log-ratio: a result may come so late that its ratio overflows


class Policy(nn.Module):
    """A distribution over sequences of choices."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Choice indices (n, D) and the log-probability of each sequence (n,)."""

    @abstractmethod
    def evaluate(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of given sequences (B,); mean entropy of each decision, nats (D,)."""


def ppo_step(
    policy: Policy,
    optimiser: torch.optim.Optimizer,
    sequences: Tensor,
    old_log_prob: Tensor,
    advantages: Tensor,
    *,
    clip: float,
    entropy_bonus: float,
    max_grad_norm: float,
) -> None:
    """One gradient step of proximal policy optimisation, arXiv 1707.06347, equation 7.

    Args:
        sequences: (B, D).
        old_log_prob: (B,) under the policy that sampled them.
        advantages: (B,).
        clip: how far the probability ratio may move from 1.
        entropy_bonus: weight of the mean entropy a decision.
        max_grad_norm: gradients are scaled down to this.
    """
    log_prob, entropy = policy.evaluate(sequences)
    ratio = (log_prob - old_log_prob).clamp(-MOST, MOST).exp()  # (B,)
    clipped = ratio.clamp(1 - clip, 1 + clip)
    gain = torch.min(ratio * advantages, clipped * advantages).mean()
    loss = -gain - entropy_bonus * entropy.mean()
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(policy.parameters(), max_grad_norm)
    optimiser.step()


class FactorisedPolicy(Policy):
    """Independent logits for every decision; uniform at first.

    Args:
        sizes: number of choices of each decision, D of them.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        counts = torch.tensor(self.sizes)
        self.logits = nn.Parameter(torch.zeros(len(sizes), int(counts.max())))  # (D, C)
        self.absent = torch.arange(self.logits.shape[1])[None] >= counts[:, None]  # (D, C)

    def log_probs(self) -> Tensor:
        """Of every choice (D, C); those that are not there have a very small one."""
        return torch.log_softmax(self.logits.masked_fill(self.absent, -1e9), dim=1)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Policy.sample`."""
        log_p = self.log_probs()
        drawn = torch.multinomial(log_p.exp(), n, replacement=True, generator=generator)  # (D, n)
        return drawn.T.contiguous(), log_p.gather(1, drawn).sum(0)

    def evaluate(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """See `Policy.evaluate`."""
        log_p = self.log_probs()
        entropy = -(log_p.exp() * log_p.masked_fill(self.absent, 0.0)).sum(1)
        return log_p.gather(1, sequences.T).sum(0), entropy


class LSTMPolicy(Policy):
    """Each choice depends on those before it.

    Args:
        sizes: number of choices of each decision, D of them.
        hidden: H.
        embedding: size of a token's embedding.
        generator: draws the initial weights.
    """

    def __init__(self, sizes: Sequence[int], hidden: int, embedding: int, generator: torch.Generator) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        # one row a (decision, choice) pair, and row 0 for the start of a sequence
        offsets = [1]
        for size in self.sizes[:-1]:
            offsets.append(offsets[-1] + size)
        self.offsets = torch.tensor(offsets)  # (D,)
        self.tokens = nn.Embedding(1 + sum(self.sizes), embedding)
        self.position = nn.Parameter(torch.empty(len(self.sizes), embedding))
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(hidden, size) for size in self.sizes)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.startswith("heads"):
                    weight.zero_()  # the first policy is uniform
                else:
                    weight.uniform_(-0.1, 0.1, generator=generator)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw sequences, decision by decision.

        Returns:
            Choice indices (n, D) and the log-probability of each sequence (n,).
        """
        token = torch.zeros(n, dtype=torch.long)
        state = None
        chosen, log_prob = [], torch.zeros(n)
        for d, head in enumerate(self.heads):
            x = self.tokens(token) + self.position[d]  # (n, embedding)
            h, state = self.lstm(x[:, None], state)  # (n, 1, H)
            log_p = torch.log_softmax(head(h[:, 0]), dim=1)  # (n, choices)
            choice = torch.multinomial(log_p.exp(), 1, generator=generator)  # (n, 1)
            log_prob += log_p.gather(1, choice)[:, 0]
            chosen.append(choice)
            token = self.offsets[d] + choice[:, 0]
        return torch.cat(chosen, dim=1), log_prob

    def evaluate(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy of given sequences.

        Args:
            sequences: choice indices (B, D).

        Returns:
            Log-probability of each sequence (B,); mean entropy of each decision, nats (D,).
        """
        start = torch.zeros(len(sequences), 1, dtype=torch.long)
        tokens = torch.cat([start, (sequences + self.offsets)[:, :-1]], dim=1)  # (B, D)
        h, _ = self.lstm(self.tokens(tokens) + self.position)  # (B, D, H)
        log_prob, entropies = [], []
        for d, head in enumerate(self.heads):
            log_p = torch.log_softmax(head(h[:, d]), dim=1)  # (B, choices)
            log_prob.append(log_p.gather(1, sequences[:, d : d + 1])[:, 0])
            entropies.append(-(log_p.exp() * log_p).sum(1).mean())
        return torch.stack(log_prob).sum(0), torch.stack(entropies)


def entropy_shares(decisions: Sequence[Decision], entropy: Tensor) -> dict[str, float]:
    """How open each decision still is, from 0 (settled) to 1 (uniform); those without a choice are left out.

    Args:
        decisions: D of them.
        entropy: of each, nats (D,), as of `Policy.evaluate`.

    Returns:
        ``entropy_of/NAME`` to its entropy over the most there could be.
    """
    return {
        f"entropy_of/{decision.name}": min(1.0, nats / math.log(len(decision.choices)))
        for decision, nats in zip(decisions, entropy.tolist(), strict=True)
        if len(decision.choices) > 1
    }


def cloned(value: Any) -> Any:
    """A copy in which no tensor is shared: an optimiser changes its own in place."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: cloned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [cloned(item) for item in value]
    return value
