"""Changes of a few decisions. Points are integer arrays (N, decisions)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.int64]


def mutants(
    points: Points, each: int, changes: int, sizes: Sequence[int], rng: np.random.Generator
) -> Points:
    """Points that differ from given ones in a few decisions.

    Args:
        points: (N, decisions).
        each: mutants of each point.
        changes: draws of a decision to change, one to this many; the same may be drawn twice.
        sizes: number of choices of each decision.
        rng: draws them.

    Returns:
        (N * each, decisions); the points themselves where there is nothing to choose.
    """
    made = np.repeat(points, each, axis=0)
    counts = np.array(sizes)
    free = np.flatnonzero(counts > 1)
    if len(free) == 0 or len(made) == 0:
        return made
    rows = np.arange(len(made))
    changed = 1 + rng.integers(changes, size=len(made))
    for change in range(changes):
        columns = free[rng.integers(len(free), size=len(made))]
        steps = 1 + rng.integers(counts[columns] - 1)
        moved = (made[rows, columns] + steps) % counts[columns]
        made[rows, columns] = np.where(changed > change, moved, made[rows, columns])
    return made


def distinct(points: Points) -> npt.NDArray[np.intp]:
    """The rows (N, decisions) that are the first of their kind, as indices in rising order.

    By a hash of 64 bits, an order faster than sorting rows; a collision loses a point once in 10^12 batches.
    """
    weights = np.random.default_rng(0).integers(-(2**62), 2**62, size=points.shape[1])
    _, first = np.unique((points + 1) @ weights, return_index=True)  # wraps around
    return np.sort(first)
