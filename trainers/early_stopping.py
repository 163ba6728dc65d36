"""When a candidate is stopped before its last epoch: asynchronous successive halving (ASHA).

Source: arXiv 1810.05934, algorithm 2. Rungs lie at ``grace``, ``grace * reduction``, ``grace * reduction**2``
epochs, and so on. A candidate that reaches a rung goes on if it is among the best 1 / ``reduction`` of those
that have reached it so far, and is stopped otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from search_space.fields import as_floats, check_float, check_int


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopping:
    """Which rungs, and how many go on from each.

    Attributes:
        grace: epochs that every candidate trains.
        reduction: one in so many goes on from a rung.

    Raises:
        FieldError: a value out of range.
    """

    grace: int = 1
    reduction: float = 4.0

    def __post_init__(self) -> None:
        check_int("grace", self.grace, 1, 100_000)
        check_float("reduction", self.reduction, 2.0, 1000.0)
        as_floats(self, "reduction")
