"""How much of what a controller proposes are the choices of one network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results import ProposalRow
from search_space import Indices, SearchSpace

LONGEST, SHORTEST = 200, 20  # proposals of a window


@dataclass(frozen=True, slots=True, kw_only=True)
class Concentration:
    """Shares of proposals that took a network's choice, one a decision and in their order.

    Attributes:
        first, last: of the first and of the last `window` proposals, 0 to 1.
        uniform: one over the number of choices, what a uniform policy gives in the long run.
        window: proposals that each share is of.
        proposals: of the run.
    """

    first: tuple[float, ...]
    last: tuple[float, ...]
    uniform: tuple[float, ...]
    window: int
    proposals: int

    def means(self) -> dict[str, float]:
        """The means over the decisions, and the window."""
        shares = {"first": self.first, "last": self.last, "uniform": self.uniform}
        return {**{name: sum(values) / len(values) for name, values in shares.items()}, "window": self.window}


def window_of(proposals: int) -> int:
    """A quarter of the proposals, at least 20 and at most 200, and never more than there are."""
    return min(proposals, LONGEST, max(SHORTEST, proposals // 4))


def concentration(
    space: SearchSpace, proposals: Sequence[ProposalRow], indices: Indices
) -> Concentration | None:
    """The shares; None where nothing was proposed.

    Choices that build the same layers count as one, so that a proposal of the very network takes all of its
    choices; where a space offers such choices, a uniform policy takes them more often than `uniform` says.

    Args:
        space: of the run.
        proposals: in their order, also those that were answered from the journal.
        indices: of the network, as `SearchSpace.encode` gives them.
    """
    if not proposals:
        return None
    window = window_of(len(proposals))
    theirs = np.array(indices)

    def shares(rows: Sequence[ProposalRow]) -> tuple[float, ...]:
        points = space.canonical([row.indices for row in rows])  # (window, decisions)
        return tuple(float(share) for share in (points == theirs).mean(axis=0))

    return Concentration(
        first=shares(proposals[:window]),
        last=shares(proposals[-window:]),
        uniform=tuple(1.0 / len(decision.choices) for decision in space.decisions),
        window=window,
        proposals=len(proposals),
    )
