"""Pareto fronts and hypervolume of accuracy (to raise) against a cost (to lower). NumPy only.

Hypervolume (Zitzler and Thiele 1998) is the area that a front dominates, cut off at a reference point.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def pareto_front(accuracy: npt.ArrayLike, cost: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """The points that no other point dominates, as indices in order of rising cost.

    A point dominates another if it is at least as good in both and better in one. Of equal points the
    first one is on the front. Points with a number that is not finite are left out.

    Args:
        accuracy: (N,), to raise.
        cost: (N,), to lower.

    Raises:
        ValueError: the two differ in shape.
    """
    a, c = _pair(accuracy, cost)
    usable = np.flatnonzero(np.isfinite(a) & np.isfinite(c))
    order = usable[np.lexsort((usable, -a[usable], c[usable]))]  # by cost, then best accuracy, then first
    if len(order) == 0:
        return order
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(a[order])[:-1]])
    return order[a[order] > best_before]


def hypervolume(
    accuracy: npt.ArrayLike, cost: npt.ArrayLike, reference_accuracy: float, reference_cost: float
) -> float:
    """The share of the box between the reference point and (cost 0, accuracy 1) that the points dominate.

    Args:
        accuracy: (N,), 0 to 1.
        cost: (N,), positive.
        reference_accuracy: what a worthless network has; points at or below it count nothing.
        reference_cost: what a network may cost at most; points at or above it count nothing.

    Returns:
        0 to 1.

    Raises:
        ValueError: the box is empty.
    """
    if not (reference_cost > 0 and reference_accuracy < 1):
        raise ValueError(
            f"reference cost > 0 and accuracy < 1 must hold, got {reference_cost} and {reference_accuracy}"
        )
    a, c = _pair(accuracy, cost)
    inside = (a > reference_accuracy) & (c < reference_cost)
    a, c = a[inside], c[inside]
    front = pareto_front(a, c)
    if len(front) == 0:
        return 0.0
    widths = np.diff(np.append(c[front], reference_cost))  # each point's accuracy holds up to the next cost
    area = float((widths * (a[front] - reference_accuracy)).sum())
    return area / (reference_cost * (1.0 - reference_accuracy))


def _pair(accuracy: npt.ArrayLike, cost: npt.ArrayLike) -> tuple[Floats, Floats]:
    a, c = np.asarray(accuracy, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    if a.shape != c.shape or a.ndim != 1:
        raise ValueError(f"accuracy and cost must be lists of one length, got shapes {a.shape} and {c.shape}")
    return a, c


def hypervolume_curve(
    accuracy: npt.ArrayLike, cost: npt.ArrayLike, reference_accuracy: float, reference_cost: float
) -> Floats:
    """The hypervolume of the first n points, for every n; arguments as of `hypervolume`.

    Returns:
        (N,), never falling.
    """
    a, c = _pair(accuracy, cost)
    costs, heights = [0.0, reference_cost], [np.inf, reference_accuracy]  # the staircase, by rising cost
    gained = np.zeros(len(a))
    for number, (height, width) in enumerate(zip(a.tolist(), c.tolist(), strict=True)):
        if not (height > reference_accuracy and width < reference_cost):
            continue
        first = bisect_right(costs, width)
        if heights[first - 1] >= height and first > 1:
            continue
        last = first
        area, left, under = 0.0, width, heights[first - 1] if first > 1 else reference_accuracy
        while True:
            area += (costs[last] - left) * (height - under)
            if heights[last] >= height or costs[last] >= reference_cost:
                break
            left, under = costs[last], heights[last]
            last += 1
        start = first - 1 if costs[first - 1] == width and first > 1 else first
        costs[start:last], heights[start:last] = [width], [height]
        gained[number] = area
    return gained.cumsum() / (reference_cost * (1.0 - reference_accuracy))
