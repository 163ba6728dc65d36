"""What a controller has settled: the entropy of its proposals, decision by decision, over time.

Every controller is seen alike, by what it proposed and the journal keeps. The entropy is the plain estimate
from the frequencies in a window, over the logarithm of the number of choices: 1 is any choice as often as any
other, 0 is always the same. From n proposals of an even policy over K choices it comes out lower than 1 by
about (K - 1) / (2 n log K).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search_space import Decision

Floats = npt.NDArray[np.float64]
_WINDOWS = 80  # columns of a heat map


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMap:
    """Entropy of proposals.

    Attributes:
        decisions: D of them.
        ends: (W,) the number of proposals at the end of each window.
        window: proposals in each.
        entropy: (D, W), 0 to 1; 0 for a decision with one choice.
        shares: for each decision the share of each choice in the last window, (choices,).
    """

    decisions: tuple[Decision, ...]
    ends: npt.NDArray[np.int64]
    window: int
    entropy: Floats
    shares: tuple[Floats, ...]


def policy_map(indices: Sequence[Sequence[int]], decisions: Sequence[Decision]) -> PolicyMap:
    """How settled each decision was, in overlapping windows over the proposals.

    Args:
        indices: (P, D) of the proposals in order; none is allowed.
        decisions: D.
    """
    points = np.array(indices, dtype=np.int64).reshape(-1, len(decisions))
    number = len(points)
    window = min(number, max(20, min(200, number // 10)))
    ends = np.unique(np.linspace(window, number, _WINDOWS).round().astype(np.int64)) if number else _NONE
    entropy = np.zeros((len(decisions), len(ends)))
    shares = []
    for row, decision in enumerate(decisions):
        counts = _counts(points[:, row], len(decision.choices))  # (P + 1, choices)
        share = (counts[ends] - counts[ends - window]) / max(1, window)  # (W, choices)
        entropy[row] = _normalised_entropy(share)
        shares.append(share[-1] if len(ends) else np.zeros(len(decision.choices)))
    return PolicyMap(
        decisions=tuple(decisions), ends=ends, window=window, entropy=entropy, shares=tuple(shares)
    )


_NONE = np.empty(0, dtype=np.int64)


def _counts(chosen: npt.NDArray[np.int64], choices: int) -> npt.NDArray[np.int64]:
    """How often each choice had been taken before each proposal and at the end, (P + 1, choices)."""
    counts = np.zeros((len(chosen) + 1, choices), dtype=np.int64)
    counts[np.arange(1, len(chosen) + 1), chosen] = 1
    return counts.cumsum(axis=0)


def _normalised_entropy(share: Floats) -> Floats:
    """Of each row of shares, (W, K) to (W,)."""
    if share.shape[1] < 2:
        return np.zeros(len(share))
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.clip(-(share * logs).sum(axis=1) / np.log(share.shape[1]), 0.0, 1.0)
