"""MnasNet's policy: an LSTM that emits one token a decision, each token fed back to choose the next.

Sources: arXiv 1807.11626, section 4.3, after arXiv 1611.01578 (figure 2).
Shape letters: B sequences, D decisions, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LSTMPolicy(nn.Module):
    """A distribution over sequences of choices.

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
