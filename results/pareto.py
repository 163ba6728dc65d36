"""Pareto fronts and hypervolume: of points in one, two or three objectives, and of accuracy against cost.

NumPy only. Domination with limits is the one of NSGA-II (Deb et al. 2002, section VI): feasible points first.
Hypervolume (Zitzler and Thiele 1998) is what a front dominates, cut off at a reference point.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]


def non_dominated(points: npt.ArrayLike, violation: npt.ArrayLike | None = None) -> Indices:
    """The points that no other point dominates.

    A point dominates another if it is nowhere greater and somewhere less. With a violation a feasible point
    (violation 0) dominates every other that is not, and of two that are not the one that violates less;
    only points that violate equally are compared in their columns.

    Args:
        points: (N, K), K 1 to 3, to lower in every column. A row with a number that is not finite is out.
        violation: (N,), 0 or more: by how much a point breaks limits; one that is not finite is out.

    Returns:
        Indices in order of the first column, then the second, then the third. Of equal points the first one.

    Raises:
        ValueError: other shapes, or a negative violation.
    """
    p = _points(points)
    usable = np.isfinite(p).all(axis=1)
    if violation is not None:
        v = np.asarray(violation, dtype=np.float64)
        if v.shape != (len(p),):
            raise ValueError(f"violation must have shape ({len(p)},), got {v.shape}")
        if (v < 0).any():
            raise ValueError(f"violation must be 0 or more, got {np.nanmin(v)}")
        usable &= np.isfinite(v)
        usable[usable] = v[usable] == v[usable].min(initial=np.inf)
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort(p[rows].T[::-1])]  # stable: of equal points the first comes first
    p = p[rows]
    if len(rows) == 0 or p.shape[1] == 1:
        return rows[:1]
    if p.shape[1] == 2:
        before = np.concatenate([[np.inf], np.minimum.accumulate(p[:-1, 1])])
        return rows[p[:, 1] < before]
    new = np.concatenate([[True], (p[1:] != p[:-1]).any(axis=1)])
    rows, p = rows[new], p[new]
    return rows[_minima(_ranks(p[:, 1]), _ranks(p[:, 2]))]


def dominated_volume(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """The length, area or volume between points and a reference point, exactly.

    Args:
        points: (N, K), K 1 to 3, to lower in every column; one that is not below the reference in all of
            them counts nothing, nor does one with a number that is not finite.
        reference: (K,).

    Raises:
        ValueError: other shapes, or a reference that is not finite.
    """
    p, r = _points(points), np.asarray(reference, dtype=np.float64)
    if r.shape != (p.shape[1],) or not np.isfinite(r).all():
        raise ValueError(f"reference must be {p.shape[1]} finite numbers, got {r.tolist()}")
    p = p[(p < r).all(axis=1)]
    p = p[non_dominated(p)]
    if len(p) == 0:
        return 0.0
    if p.shape[1] == 1:
        return float(r[0] - p[0, 0])
    if p.shape[1] == 2:
        widths = np.diff(np.append(p[:, 0], r[0]))  # each point's second number holds up to the next first
        return float((widths * (r[1] - p[:, 1])).sum())
    p = p[np.argsort(p[:, 2], kind="stable")]
    stairs = _Staircase(float(r[0]), float(r[1]))
    areas = np.cumsum([stairs.add(x, y) for x, y in p[:, :2].tolist()])  # below each height, from the lowest
    return float((areas * np.diff(np.append(p[:, 2], r[2]))).sum())


def pareto_front(accuracy: npt.ArrayLike, cost: npt.ArrayLike) -> Indices:
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
    return non_dominated(np.column_stack([c, -a]))


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
    box = _box(reference_accuracy, reference_cost)
    a, c = _pair(accuracy, cost)
    return dominated_volume(np.column_stack([c, -a]), (reference_cost, -reference_accuracy)) / box


def hypervolume_curve(
    accuracy: npt.ArrayLike, cost: npt.ArrayLike, reference_accuracy: float, reference_cost: float
) -> Floats:
    """The hypervolume after each point: element n is `hypervolume` of the first n + 1 points, (N,).

    Args:
        accuracy, cost, reference_accuracy, reference_cost: as of `hypervolume`.

    Raises:
        ValueError: the box is empty.
    """
    box = _box(reference_accuracy, reference_cost)
    a, c = _pair(accuracy, cost)
    counts = np.isfinite(a) & np.isfinite(c) & (a > reference_accuracy) & (c < reference_cost)
    stairs = _Staircase(reference_cost, -reference_accuracy)
    gains = np.zeros(len(a))
    gains[counts] = [stairs.add(x, y) for x, y in zip(c[counts].tolist(), (-a[counts]).tolist(), strict=True)]
    return np.cumsum(gains) / box


class _Staircase:
    """Points in two columns to lower, none of which dominates another, as they come.

    Args:
        right, top: the reference point; all points are below it.
    """

    def __init__(self, right: float, top: float) -> None:
        self._right, self._top = right, top
        self._x: list[float] = []  # rises
        self._y: list[float] = []  # falls

    def add(self, x: float, y: float) -> float:
        """Take a point; the area that it adds to what is dominated."""
        xs, ys = self._x, self._y
        first = bisect_left(xs, x)
        level = ys[first - 1] if first else self._top
        if level <= y or (first < len(xs) and xs[first] == x and ys[first] <= y):
            return 0.0
        area, left, last = 0.0, x, first
        while last < len(xs) and ys[last] >= y:  # these it dominates
            area += (xs[last] - left) * (level - y)
            left, level = xs[last], ys[last]
            last += 1
        area += ((xs[last] if last < len(xs) else self._right) - left) * (level - y)
        xs[first:last] = [x]
        ys[first:last] = [y]
        return area


def _minima(y: Integers, z: Integers) -> npt.NDArray[np.bool_]:
    """Which of N distinct points in lexicographic order no earlier one dominates, (N,).

    An earlier point is nowhere greater in the first column, so two columns decide. Blocks of 1, 2, 4, ...
    points are merged: in each pair of neighbours a point of the right block falls where one of the left
    block is no greater in both. All pairs of a level are one sort and one running minimum.

    Args:
        y, z: (N,) ranks of the second and the third column.
    """
    size = len(y)
    kept = np.arange(size)  # in order of (block, y) at every level: merging is what the stable sort does
    for level in range((size - 1).bit_length()):
        pair, right = kept >> (level + 1), (kept >> level) & 1
        kept = kept[np.argsort((pair * size + y[kept]) * 2 + right, kind="stable")]
        pair, right = kept >> (level + 1), (kept >> level) & 1
        own = z[kept] - pair * (size + 1)  # all of a pair below all of the pair before: the minimum restarts
        least = np.minimum.accumulate(np.where(right == 1, own - z[kept] + size, own))
        kept = kept[(right == 0) | (least > own)]
    minima = np.zeros(size, dtype=np.bool_)
    minima[kept] = True
    return minima


def _ranks(values: Floats) -> Integers:
    """Equal values have equal ranks, from 0."""
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _points(points: npt.ArrayLike) -> Floats:
    p = np.asarray(points, dtype=np.float64)
    if p.ndim != 2 or not 1 <= p.shape[1] <= 3:
        raise ValueError(f"points must have shape (N, 1), (N, 2) or (N, 3), got {p.shape}")
    return p


def _box(reference_accuracy: float, reference_cost: float) -> float:
    if not (reference_cost > 0 and reference_accuracy < 1):
        raise ValueError(
            f"reference cost > 0 and accuracy < 1 must hold, got {reference_cost} and {reference_accuracy}"
        )
    return reference_cost * (1.0 - reference_accuracy)


def _pair(accuracy: npt.ArrayLike, cost: npt.ArrayLike) -> tuple[Floats, Floats]:
    a, c = np.asarray(accuracy, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    if a.shape != c.shape or a.ndim != 1:
        raise ValueError(f"accuracy and cost must be lists of one length, got shapes {a.shape} and {c.shape}")
    return a, c
