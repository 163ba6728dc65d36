"""Cost of many points of a stage-factorised space at once.

What a stage costs depends on its own choices and on the width before it, and on nothing else. So one table
a stage, (widths before, combinations of its choices), holds all costs of a space; the cost of a point is one
look-up a stage. Sums and paths over the tables also give the exact extremes of the space.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from search_space.architecture import Architecture
from search_space.cost import head_cost, stage_cost, stage_peak, stem_cost, stem_peak
from search_space.errors import FieldError
from search_space.latency_model import LatencyModel
from search_space.limits import Limits
from search_space.stage import Block, Head, Stage

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_CHUNK = 65_536
_SHARES = (0.5, 0.0, 1.0, 0.25, 0.75, 0.1, 0.9, 0.02, 0.98)


class _Table(NamedTuple):
    """One stage: costs by width before (rows) and combination (columns), and how to find the column."""

    macs: Ints
    params: Ints
    peak: Ints
    latency: Floats  # ms; zeros without a model
    blocks: list[list[tuple[Block, ...]]]  # what is built, to count distinct networks
    widths: list[int]
    columns: list[int]  # of the stage's decisions in a point
    radix: list[int]
    width_column: int | None
    width_of: Ints  # combination to index in `widths`


class Extremes(NamedTuple):
    """The ends of a space in one cost, exact.

    Attributes:
        smallest, largest: the values.
        smallest_at, largest_at: points that have them.
    """

    smallest: int
    largest: int
    smallest_at: tuple[int, ...]
    largest_at: tuple[int, ...]


class StageTables:
    """The tables of a space for networks with given outputs and image channels.

    Args:
        skeleton: of the space.
        make_stage: stage number and its choices to a stage.
        offered: for each stage the choices on offer.
        num_classes, in_channels: as for `cost`.
        latency: predicts what stages take; None where no latency is asked for.

    Raises:
        FieldError: the latency model cannot predict the networks.
    """

    def __init__(
        self,
        skeleton: Architecture,
        make_stage: Callable[[int, Sequence[Any]], Stage],
        offered: Sequence[Mapping[str, tuple[Any, ...]]],
        num_classes: int,
        in_channels: int,
        latency: LatencyModel | None = None,
    ) -> None:
        self._sizes = [len(values) for stage in offered for values in stage.values()]
        self._stem_macs, self._stem_params, side = stem_cost(skeleton.stem, in_channels, skeleton.image_size)
        self._stem_peak = stem_peak(skeleton.stem, in_channels, skeleton.image_size)
        self._tables: list[_Table] = []
        self._firsts: list[Ints] = []  # made when they are needed
        before, column = [skeleton.stem.channels], 0
        for number, choices in enumerate(offered):
            timed = _timed(latency, skeleton.activation, number, side)
            table = _table(number, choices, before, side, column, make_stage, timed)
            self._tables.append(table)
            column += len(choices)
            before = table.widths
            side = -(-side // skeleton.stages[number].stride)
        heads = [_headed(skeleton, width) for width in before]
        ends = [head_cost(architecture, side, num_classes) for architecture in heads]
        self._head_macs = np.array([macs for macs, _ in ends], dtype=np.int64)
        self._head_params = np.array([params for _, params in ends], dtype=np.int64)
        self._head_peak = np.array(
            [(width + skeleton.head.channels) * side * side for width in before], dtype=np.int64
        )
        self.has_latency = latency is not None
        self._stem_ms, self._head_ms = 0.0, np.zeros(len(before))
        if latency is not None:
            self._stem_ms = latency.intercept + latency.stem_ms(skeleton, in_channels)
            ends_ms = [latency.head_ms(architecture, side, num_classes) for architecture in heads]
            self._head_ms = np.array(ends_ms, dtype=np.float64)

    @property
    def columns(self) -> list[list[int]]:
        """For each stage the columns of its decisions in a point."""
        return [table.columns for table in self._tables]

    def cost(self, indices: npt.ArrayLike) -> tuple[Ints, Ints]:
        """MACs (N,) and parameters (N,) of points (N, decisions).

        Raises:
            FieldError: the wrong shape, or an index out of range.
        """
        points = self._checked(indices)
        macs, params = np.empty(len(points), np.int64), np.empty(len(points), np.int64)
        for start in range(0, len(points), _CHUNK):
            part = slice(start, start + _CHUNK)
            macs[part], params[part], _ = self._evaluate(points[part], peaks=False)
        return macs, params

    def memory(self, indices: npt.ArrayLike) -> Ints:
        """Bytes (N,) of points (N, decisions), as `search_space.memory` counts them."""
        _, params, peak = self._evaluate(self._checked(indices), peaks=True)
        return 4 * (params + peak)

    def latency(self, indices: npt.ArrayLike) -> Floats:
        """Milliseconds (N,) of points (N, decisions), as the latency model predicts them.

        Raises:
            FieldError: there is no model; the wrong shape, or an index out of range.
        """
        if not self.has_latency:
            raise FieldError("latency_ms", "needs a latency model")
        points = self._checked(indices)
        places, last = self._places(points)
        found = np.full(len(points), self._stem_ms)
        for table, at in places:
            found += table.latency.ravel().take(at)
        return found + self._head_ms[last]

    def canonical(self, indices: npt.ArrayLike) -> Ints:
        """For points (N, decisions) the first whose stages build the same, as `StageSpace.encode` gives it.

        Raises:
            FieldError: the wrong shape, or an index out of range.
        """
        points = self._checked(indices).astype(np.int64)
        before: npt.NDArray[Any] = np.zeros(len(points), dtype=np.int64)
        if not self._firsts:
            self._firsts = [_first_of_equals(table) for table in self._tables]
        for table, firsts in zip(self._tables, self._firsts, strict=True):
            combination = points[:, table.columns] @ np.array(table.radix, dtype=np.int64)
            first = firsts[before, combination]
            for column, weight in zip(table.columns, table.radix, strict=True):
                points[:, column] = first // weight % self._sizes[column]
            before = points[:, table.width_column] if table.width_column is not None else 0 * before
        return points

    def _checked(self, indices: npt.ArrayLike) -> npt.NDArray[np.int32]:
        points = np.asarray(indices)
        if points.ndim != 2 or points.shape[1] != len(self._sizes):
            raise FieldError("indices", f"must have shape (N, {len(self._sizes)}), got {points.shape}")
        if len(points) and not (
            np.issubdtype(points.dtype, np.integer)
            and points.min() >= 0
            and (points.max(axis=0) < self._sizes).all()
        ):
            raise FieldError("indices", "must be whole numbers within the choices of their decisions")
        return points.astype(np.int32, copy=False)

    def _evaluate(self, points: npt.NDArray[np.int32], peaks: bool) -> tuple[Ints, Ints, Ints]:
        macs = np.full(len(points), self._stem_macs, dtype=np.int64)
        params = np.full(len(points), self._stem_params, dtype=np.int64)
        peak = np.full(len(points), self._stem_peak, dtype=np.int64)
        places, last = self._places(points)
        for table, at in places:
            macs += table.macs.ravel().take(at)
            params += table.params.ravel().take(at)
            if peaks:
                np.maximum(peak, table.peak.ravel().take(at), out=peak)
        macs += self._head_macs[last]
        params += self._head_params[last]
        if peaks:
            np.maximum(peak, self._head_peak[last], out=peak)
        return macs, params, peak

    def _places(
        self, points: npt.NDArray[np.int32]
    ) -> tuple[list[tuple[_Table, npt.NDArray[np.int32]]], npt.NDArray[np.int32]]:
        """Stage after stage its table, and where in it points (N, decisions) stand; the widths at the end."""
        places = []
        columns = np.ascontiguousarray(points.T)  # (decisions, N)
        before = np.zeros(len(points), dtype=np.int32)
        for table in self._tables:
            at = before * np.int32(table.macs.shape[1])
            for column, weight in zip(table.columns, table.radix, strict=True):
                at += columns[column] * np.int32(weight)
            places.append((table, at))
            before = columns[table.width_column] if table.width_column is not None else np.zeros_like(before)
        return places, before

    # --- exact extremes --------------------------------------------------------------------------------

    def extremes(self, cost: str) -> Extremes:
        """The smallest and the largest ``macs`` or ``params`` of the space, by dynamic programming."""
        stem = self._stem_macs if cost == "macs" else self._stem_params
        head = self._head_macs if cost == "macs" else self._head_params
        tables = [getattr(table, cost) for table in self._tables]
        low, low_at = self._path(tables, head)
        high, high_at = self._path([-table for table in tables], -head)
        return Extremes(int(low) + stem, int(-high) + stem, low_at, high_at)

    def smallest_memory(self) -> tuple[int, tuple[int, ...]]:
        """The smallest memory of the space in bytes, exact, and a point that has it.

        For every level that activations may reach: the fewest parameters among networks that stay below.
        """
        best: tuple[float, tuple[int, ...]] = (np.inf, ())
        for level in self._peak_levels().tolist():
            if 4 * level >= best[0]:
                break
            params, at = self._path(*self._below(level, 0.0, 1.0))
            if np.isfinite(params):
                best = min(best, (4 * (params + self._stem_params + level), at))
        return int(best[0]), best[1]

    def smallest_latency(self) -> tuple[float, tuple[int, ...]]:
        """The smallest predicted latency of the space in ms, exact, and a point that has it.

        Raises:
            FieldError: there is no latency model.
        """
        if not self.has_latency:
            raise FieldError("latency_ms", "needs a latency model")
        _, at = self._path([table.latency for table in self._tables], self._head_ms)
        return float(self.latency([at])[0]), at  # added up in the order in which points are

    def _peak_levels(self) -> Ints:
        """Every value that the most activations of a network can have, rising."""
        parts = [self._head_peak, *(table.peak for table in self._tables)]
        values = np.concatenate([part.ravel() for part in parts])
        return np.unique(np.maximum(values, self._stem_peak))

    def _below(
        self, level: float, per_mac: float, per_param: float, per_ms: float = 0.0
    ) -> tuple[list[Floats], Floats]:
        """Weighted sums of MACs, parameters and latency, infinite where activations exceed a level."""
        tables = [
            np.where(
                table.peak <= level,
                per_mac * table.macs + per_param * table.params + per_ms * table.latency,
                np.inf,
            )
            for table in self._tables
        ]
        head = per_mac * self._head_macs + per_param * self._head_params + per_ms * self._head_ms
        return tables, np.where(self._head_peak <= level, head, np.inf)

    def _path(self, tables: list[npt.NDArray[Any]], head: npt.NDArray[Any]) -> tuple[float, tuple[int, ...]]:
        """The least sum over stages and head, and the point that has it (Viterbi, backwards)."""
        rest = head
        choices: list[npt.NDArray[Any]] = []
        for table, values in zip(reversed(self._tables), reversed(tables), strict=True):
            total = values + rest[table.width_of][None]  # (widths before, combinations)
            best = total.argmin(axis=1)
            choices.append(best)
            rest = total[np.arange(len(best)), best]
        before, point = 0, [0] * len(self._sizes)
        for table, best in zip(self._tables, reversed(choices), strict=True):
            combination = int(best[before])
            for column, weight in zip(table.columns, table.radix, strict=True):
                point[column] = combination // weight % self._sizes[column]
            before = int(table.width_of[combination])
        return rest[0].item(), tuple(point)

    # --- limits ----------------------------------------------------------------------------------------

    def excess(self, indices: npt.ArrayLike, limits: Limits) -> npt.NDArray[np.float64]:
        """The largest cost over its limit of points (N, decisions); at most 1 is within the limits."""
        macs, params, peak = self._evaluate(self._checked(indices), peaks=limits.memory is not None)
        costs = {"macs": macs, "params": params, "memory": 4 * (params + peak)}
        ratios = [self.latency(indices) / limits.latency_ms] if limits.latency_ms is not None else []
        ratios += [costs[name] / limit for name, limit in limits.given().items() if name in costs]
        return np.max(ratios, axis=0) if ratios else np.zeros(len(macs))

    def within(self, limits: Limits) -> tuple[int, ...]:
        """A small point within the limits.

        Raises:
            FieldError: there is none; with the smallest possible value of the limit that cannot be met.
        """
        given = limits.given()
        for name, limit in given.items():
            smallest, at = self._smallest(name)
            if smallest > limit:
                least, got = f"{smallest:,}", f"{limit:,.0f}"
                if name == "latency_ms":  # rounded up, so that the value can be given
                    least, got = f"{math.ceil(1e3 * smallest) / 1e3:,}", f"{limit:g}"
                raise FieldError(
                    f"limits.{name}", f"must be at least {least}, the least in this space, got {got}"
                )
            if self.excess([at], limits)[0] <= 1.0:
                return at
        for level in self._levels_within(given.get("memory")):
            for per_mac, per_param, per_ms in _weights(given):
                total, at = self._path(*self._below(level, per_mac, per_param, per_ms))
                if np.isfinite(total) and self.excess([at], limits)[0] <= 1.0:
                    return at
        raise FieldError(
            "limits", f"are met one by one, but no network was found that meets all of them: {given}"
        )

    def _smallest(self, cost: str) -> tuple[float, tuple[int, ...]]:
        if cost == "memory":
            return self.smallest_memory()
        if cost == "latency_ms":
            return self.smallest_latency()
        ends = self.extremes(cost)
        return ends.smallest, ends.smallest_at

    def _levels_within(self, memory: float | None) -> list[float]:
        """Levels of activations to try, from the lowest: all of them, or 64 spread over them."""
        if memory is None:
            return [float("inf")]
        levels = self._peak_levels()
        levels = levels[4 * levels <= memory]
        spread = np.unique(np.linspace(0, len(levels) - 1, 64).round().astype(int))
        return levels[spread].tolist() if len(levels) else []

    # --- counting --------------------------------------------------------------------------------------

    def distinct(self) -> int:
        """How many different networks the points build: points whose stages all build the same count once.

        Exact where no stage can be cut differently into the same layers, which holds when a stage has a
        stride or a width that the stage before it cannot have; otherwise an upper bound.
        """
        counts = {0: 1}  # index of the width before to networks up to here
        for table in self._tables:
            after: dict[int, int] = {}
            for before, number in counts.items():
                for width in range(len(table.widths)):
                    same_width = np.flatnonzero(table.width_of == width)
                    networks = len({table.blocks[before][i] for i in same_width})
                    after[width] = after.get(width, 0) + number * networks
            counts = after
        return sum(counts.values())

    def counted_exactly(self) -> bool:
        """Whether `distinct` is exact, see there."""
        for first, second in itertools.pairwise(self._tables):
            strided = all(blocks[0].stride > 1 for row in second.blocks for blocks in row)
            if not strided and set(first.widths) & set(second.widths):
                return False
        return True


def _timed(
    latency: LatencyModel | None, activation: str, number: int, side: int
) -> Callable[[Stage, int], float]:
    """What one stage takes in ms after a width; 0 without a model."""
    if latency is None:
        return lambda stage, width: 0.0
    model, path = latency, f"stages[{number}]"
    return lambda stage, width: model.stage_ms(stage, width, side, activation, path)


def _weights(given: Mapping[str, float]) -> Iterator[tuple[float, float, float]]:
    """Prices of a MAC, a parameter and a ms to look for small points with: all shares between the limits."""
    for slow in _SHARES if "latency_ms" in given else (0.0,):
        for share in _SHARES:  # between fewest MACs and fewest parameters
            per_mac = (1.0 - slow) * (1.0 - share) / given.get("macs", np.inf)
            per_param = (1.0 - slow) * share / given.get("params", given.get("memory", np.inf))
            yield per_mac, per_param, slow / given.get("latency_ms", np.inf)


def _table(
    number: int,
    choices: Mapping[str, tuple[Any, ...]],
    before: list[int],
    side: int,
    column: int,
    make_stage: Callable[[int, Sequence[Any]], Stage],
    timed: Callable[[Stage, int], float],
) -> _Table:
    stages = [make_stage(number, values) for values in itertools.product(*choices.values())]
    costs = [[stage_cost(stage, width, side) for stage in stages] for width in before]
    sizes = [len(values) for values in choices.values()]
    radix = [int(np.prod(sizes[i + 1 :], dtype=np.int64)) for i in range(len(sizes))]
    names = list(choices)
    widths = list(choices["filters"]) if "filters" in choices else [stages[0].channels]
    return _Table(
        macs=np.array([[c[0] for c in row] for row in costs], dtype=np.int64),
        params=np.array([[c[1] for c in row] for row in costs], dtype=np.int64),
        peak=np.array([[stage_peak(s, width, side) for s in stages] for width in before], dtype=np.int64),
        latency=np.array([[timed(stage, width) for stage in stages] for width in before], dtype=np.float64),
        blocks=[[tuple(stage.blocks(width)) for stage in stages] for width in before],
        widths=widths,
        columns=list(range(column, column + len(names))),
        radix=radix,
        width_column=column + names.index("filters") if "filters" in choices else None,
        width_of=np.array([widths.index(stage.channels) for stage in stages], dtype=np.int64),
    )


def _first_of_equals(table: _Table) -> Ints:
    """For each width before (rows) and combination the first combination that builds the same blocks."""
    rows = []
    for blocks in table.blocks:
        first: dict[tuple[Block, ...], int] = {}
        rows.append([first.setdefault(built, number) for number, built in enumerate(blocks)])
    return np.array(rows, dtype=np.int64)


def _headed(skeleton: Architecture, width: int) -> Architecture:
    """A network whose last stage has this width, for the head's cost."""
    last = Stage(channels=width)
    return Architecture(
        image_size=skeleton.image_size,
        stem=skeleton.stem,
        stages=(last,),
        head=Head(channels=skeleton.head.channels),
        activation=skeleton.activation,
    )
