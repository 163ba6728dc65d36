"""Measured latency over multiply-adds, with what a device would take at constant speeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.figures.labels import label_points, log_ticks, name_legend, plain, settle
from results.figures.style import BLUE, CYCLE, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_INK = "0.25"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPoint:
    """One measured network.

    Attributes:
        name: of the network.
        macs: multiply-adds of what was timed, the whole batch; above 0.
        median_ms, p5_ms, p95_ms: of a call; above 0.
        series: device and backend in words; points of one series share a colour.
    """

    name: str
    macs: float
    median_ms: float
    p5_ms: float
    p95_ms: float
    series: str = ""


def latency_figure(points: Sequence[LatencyPoint], title: str) -> Figure:
    """Latency over multiply-adds, both logarithmic; bars are the 5th to the 95th percentile of the repeats.

    Dashed lines are constant speeds in multiply-adds a second: networks on one use the device equally well.

    Args:
        points: in any order, at least one.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 5.8), layout="constrained")
    figure.suptitle(plain(title, 100), parse_math=False, fontsize=12)
    axes = figure.add_subplot()
    unit, word = unit_of([point.macs for point in points])
    series = list(dict.fromkeys(point.series for point in points))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for name, colour in _colours(series).items():
        _series(axes, [point for point in points if point.series == name], colour, unit)
    _limits(axes, points, unit)
    log_ticks(axes.xaxis)
    log_ticks(axes.yaxis)
    axes.set_xlabel(f"{word}multiply-adds of a call; dashed: so many a second")
    axes.set_ylabel("latency, ms (median; bars: 5th to 95th percentile)")
    axes.grid(alpha=0.16)
    axes.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        handles = axes.get_legend_handles_labels()[0]
        legend = figure.legend(
            handles,
            [""] * len(handles),
            loc="outside lower center",
            ncols=1 if len(series) < 4 else 2,
            frameon=False,
            fontsize=9,
        )
        name_legend(legend, series)
    settle(figure)  # fixes the layout: names are placed by what is free then
    figure.set_layout_engine("none")
    _names(axes, points, unit, _guides(axes, points, unit))
    return figure


def _colours(series: Sequence[str]) -> dict[str, str]:
    if len(series) == 1:
        return {series[0]: BLUE}
    return {name: CYCLE[number % len(CYCLE)] for number, name in enumerate(series)}


def _series(axes: Axes, points: Sequence[LatencyPoint], colour: str, unit: float) -> None:
    middle = [point.median_ms for point in points]
    below = [max(0.0, point.median_ms - point.p5_ms) for point in points]
    above = [max(0.0, point.p95_ms - point.median_ms) for point in points]
    axes.errorbar(
        [point.macs / unit for point in points],
        middle,
        yerr=[below, above],
        fmt="o",
        markersize=6.5,
        color=colour,
        ecolor=colour,
        elinewidth=1.3,
        capsize=2.5,
        markeredgecolor="white",
        markeredgewidth=0.8,
        zorder=4,
        label="series",
    )


def _limits(axes: Axes, points: Sequence[LatencyPoint], unit: float) -> None:
    """All bars with room for names around."""
    x = [point.macs / unit for point in points]
    y = [value for point in points for value in (point.p5_ms, point.median_ms, point.p95_ms)]
    for low, high, put in ((min(x), max(x), axes.set_xlim), (min(y), max(y), axes.set_ylim)):
        room = max(1.25, (high / low) ** 0.08)
        put(low / room, high * room)


def _guides(axes: Axes, points: Sequence[LatencyPoint], unit: float) -> list[Bbox]:
    """Lines of constant speed around the points, named where they leave the axes; where the names stand."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    measured = [point.macs * 1e3 / point.median_ms for point in points]  # multiply-adds a second
    written = []
    for speed in _speeds(min(measured), max(measured)):
        ends = [x * unit * 1e3 / speed for x in (left, right)]  # ms
        axes.plot(
            [left, right], ends, color="0.82", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1, gid="speed"
        )
        at = (right, ends[1]) if ends[1] <= top else (top * speed / unit / 1e3, top)
        if at[0] <= left * 1.3 or at[1] <= bottom * 1.1:
            continue  # cuts a corner; there is no room for its name
        (x0, y0), (x1, y1) = axes.transData.transform([(left, ends[0]), (right, ends[1])])
        slope = math.atan2(y1 - y0, x1 - x0)
        cosine, sine = math.cos(slope), math.sin(slope)
        scale, word = unit_of([speed])
        text = axes.annotate(
            f"{speed / scale:g} {word}a second",
            at,
            xytext=(-11 * cosine - 1.5 * sine, -11 * sine + 1.5 * cosine),  # points along and across
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=7,
            color="0.5",
            rotation=math.degrees(slope),
            rotation_mode="anchor",
        )
        written.append(text.get_window_extent())
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    return written


def _speeds(slowest: float, fastest: float) -> list[float]:
    """Round speeds from below the slowest to above the fastest; of many decades powers of ten alone."""
    low, high = slowest / 3.2, fastest * 3.2
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1.0, 3.0) if high / low < 1e4 else (1.0,)
    speeds = [factor * 10.0**power for power in powers for factor in factors]
    return [speed for speed in speeds if low <= speed <= high]


def _names(axes: Axes, points: Sequence[LatencyPoint], unit: float, taken: Sequence[Bbox]) -> None:
    """Each network's name beside its slowest point."""
    slowest: dict[tuple[str, float], LatencyPoint] = {}
    for point in points:
        same = (point.name, point.macs)
        if same not in slowest or point.median_ms > slowest[same].median_ms:
            slowest[same] = point
    named = list(slowest.values())
    label_points(
        axes,
        [(point.macs / unit, point.median_ms) for point in named],
        [point.name for point in named],
        [_INK] * len(named),
        8,
        [*taken, *_dots(axes, points, unit)],
    )


def _dots(axes: Axes, points: Sequence[LatencyPoint], unit: float) -> list[Bbox]:
    """The places of all bars, pixels."""
    from matplotlib.transforms import Bbox

    boxes = []
    for point in points:
        x, low = axes.transData.transform((point.macs / unit, point.p5_ms))
        high = axes.transData.transform((point.macs / unit, point.p95_ms))[1]
        boxes.append(Bbox.from_extents(x - 3, low - 2, x + 3, high + 2))
    return boxes
