"""One network scaled by width, depth, resolution and all three: accuracy over multiply-adds.

The panels are figures 3, 8 and 4 of EfficientNet, arXiv 1905.11946, for one's own network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from results.figures.labels import label_points, log_ticks, plain, settle
from results.figures.style import CYCLE, RED, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Dimension = Literal["depth", "width", "resolution", "compound"]

_DIMENSIONS: tuple[Dimension, ...] = ("width", "depth", "resolution", "compound")
_LETTERS: dict[Dimension, str] = {"width": "w", "depth": "d", "resolution": "r", "compound": "φ"}
# apart for the colour-blind by colour, shape and thickness
_LOOKS: dict[Dimension, tuple[str, str]] = {
    "width": ("#0072b2", "s"),
    "depth": ("#009e73", "^"),
    "resolution": ("#cc79a7", "D"),
    "compound": (RED, "o"),
}
_COLOURS = CYCLE[::-1]  # other than those of the dimensions, as far as four lines go
_SHAPES = "os^Dv<>PX"  # of lines under pairs of depth and resolution
_INK = "0.2"
_WIDE = 12.0  # from here on, largest over smallest, multiply-adds are drawn on a logarithmic axis
_SPAN = 0.5  # percentage points: an axis shows as much, however near the points are
_NAME_SIZE = 9.0
_MANY_WIDTHS = 8  # more are not listed
_MANY_NAMES = 20  # more do not fit beside points
_NOTE = "bars: 95 % interval of the mean over seeds"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledPoint:
    """A scaled network, trained.

    Attributes:
        factor: of the depth, width or resolution; φ where all three are scaled.
        macs: multiply-adds of one image.
        accuracy: mean over seeds, 0 to 1.
        error: half the width of the mean's 95 % interval; None with a single training.
    """

    factor: float
    macs: float
    accuracy: float
    error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledLine:
    """One network scaled in one way.

    Attributes:
        name: what is scaled.
        points: the baseline, whose factor is 1 (0 of compound), first, then its scaled networks in any order;
            without it where it has no accuracy.
    """

    name: Dimension
    points: tuple[ScaledPoint, ...]

    @property
    def baseline(self) -> ScaledPoint | None:
        """What is scaled; None where it is not there."""
        unscaled = 0.0 if self.name == "compound" else 1.0
        return self.points[0] if self.points and self.points[0].factor == unscaled else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthLine:
    """One network scaled by width, on top of a depth and a resolution.

    Attributes:
        depth, resolution: factors that all its points have.
        points: their factor is the width; in any order.
    """

    depth: float
    resolution: float
    points: tuple[ScaledPoint, ...]


class _Name(NamedTuple):
    """What stands beside a point."""

    point: ScaledPoint
    text: str
    colour: str


_Named: TypeAlias = "tuple[Axes, list[_Name]]"  # what is named in a panel


def dimensions_figure(lines: Sequence[ScaledLine], widths: Sequence[WidthLine], title: str) -> Figure:
    """A panel each for width, depth and resolution; below, all ways in one, and width under other factors.

    What there is nothing for has no panel.

    Args:
        lines: one a way of scaling at most, in any order; lines without points are left out.
        widths: one a pair of depth and resolution.
        title: above the figure.

    Raises:
        ValueError: two lines have one name.
    """
    names = [line.name for line in lines]
    if len(set(names)) < len(names):
        raise ValueError(f"lines must have a name each, got {', '.join(names)}")
    lines = [line for name in _DIMENSIONS for line in lines if line.name == name and line.points]
    widths = [line for line in widths if line.points]
    single = [line for line in lines if line.name != "compound"]
    together = len(lines) > 1 or len(lines) > len(single)
    figure, panels = _sheet(len(single), together + bool(widths), title)
    if not panels:
        figure.text(0.5, 0.5, "no scaled network has an accuracy yet", ha="center", color=_INK)
        return figure
    points = [point for line in lines for point in line.points]
    points += [point for line in widths for point in line.points]
    unit, word = unit_of([point.macs for point in points])
    named = _single(panels[: len(single)], single, unit)
    if together:
        named += _together(panels[len(single)], lines, unit)
    if widths:
        named += _widths(panels[-1], widths, unit)
    for axes in panels:
        _finish(axes, f"{word}multiply-adds of one image")
    if any(point.error is not None for point in points):
        figure.supxlabel(_NOTE, x=0.01, ha="left", fontsize=9, color=_INK)
    settle(figure)  # fixes the layout: names are placed by what is free then
    figure.set_layout_engine("none")
    for axes, names_there in named:
        _write(axes, names_there, unit)
    return figure


def _sheet(upper: int, lower: int, title: str) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, in one row where they fit; rows have layouts of their own."""
    from matplotlib.figure import Figure

    rows = [upper, lower] if upper and lower and upper + lower > 3 else [upper + lower]
    wide = max(rows) > 1
    figure = Figure(figsize=(11.6 if wide else 7.0, 4.1 * len(rows) + 0.5), layout="constrained")
    figure.suptitle(plain(title, 100 if wide else 58), parse_math=False, fontsize=12)
    panels: list[Axes] = []
    for part, columns in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        panels += [part.add_subplot(1, columns, place + 1) for place in range(columns)]
    return figure, panels


def _single(panels: Sequence[Axes], lines: Sequence[ScaledLine], unit: float) -> list[_Named]:
    """A panel a dimension, with one axis of accuracy."""
    for axes, line in zip(panels, lines, strict=True):
        if axes is not panels[0]:
            axes.sharey(panels[0])
            axes.tick_params(labelleft=False)
        _line(axes, line, unit)
        _start(axes, line, unit)
        axes.set_title(f"scaled by {line.name}", fontsize=10)
    if lines:
        panels[0].set_ylabel("accuracy, %")
        _room(panels[0], [point for line in lines for point in line.points])
    return [
        (axes, [_Name(point, _factor(line.name, point), _LOOKS[line.name][0]) for point in line.points])
        for axes, line in zip(panels, lines, strict=True)
    ]


def _together(axes: Axes, lines: Sequence[ScaledLine], unit: float) -> list[_Named]:
    """All ways of scaling in one panel; the points of compound scaling are named."""
    for line in lines:
        _line(axes, line, unit, strong=line.name == "compound")
    _start(axes, lines[0], unit)
    only = len(lines) == 1
    axes.set_title("compound scaling" if only else "all ways of scaling", fontsize=10)
    axes.set_ylabel("accuracy, %")
    _room(axes, [point for line in lines for point in line.points])
    _legend(axes, len(lines) + (lines[0].baseline is not None))
    own = [point for line in lines if line.name == "compound" for point in line.points]
    start = [line.baseline for line in lines if line.name == "compound"]
    named = [_Name(point, _factor("compound", point), RED) for point in own if point not in start]
    return [(axes, named)] if named else []


def _widths(axes: Axes, lines: Sequence[WidthLine], unit: float) -> list[_Named]:
    """A line a pair of depth and resolution; which widths its points are is said once, or at each."""
    named: list[_Name] = []
    for number, line in enumerate(lines):
        colour, shape = _COLOURS[number % len(_COLOURS)], _SHAPES[number % len(_SHAPES)]
        label = f"d={_short(line.depth)}, r={_short(line.resolution)}"
        _draw(axes, line.points, unit, label, colour, shape)
        named += [_Name(point, _factor("width", point), colour) for point in line.points]
    axes.set_ylabel("accuracy, %")
    _room(axes, [name.point for name in named])
    _legend(axes, len(lines))
    title = "width, under pairs of depth and resolution"
    factors = {tuple(sorted(point.factor for point in line.points)) for line in lines}
    each = [_short(factor) for factor in min(factors)]
    if len(factors) == 1 and len(each) <= _MANY_WIDTHS:
        axes.set_title(f"{title}\npoints of each line: w={', '.join(each)}", fontsize=10)
        return []
    if len(named) > _MANY_NAMES:
        every = [name.point.factor for name in named]
        axes.set_title(f"{title}\nw={_short(min(every))} to {_short(max(every))}", fontsize=10)
        return []
    axes.set_title(title, fontsize=10)
    return [(axes, named)]


def _factor(name: Dimension, point: ScaledPoint) -> str:
    """``w=1.4`` or ``φ=2``."""
    factor = f"{point.factor:.3g}" if name == "compound" else _short(point.factor)
    return f"{_LETTERS[name]}={factor}"


def _short(factor: float) -> str:
    """A factor as the paper writes it: ``1.0``, ``1.15``, ``10``."""
    text = f"{factor:.3g}"
    return text if "." in text or len(text) > 1 else f"{text}.0"


def _line(axes: Axes, line: ScaledLine, unit: float, strong: bool = False) -> None:
    colour, shape = _LOOKS[line.name]
    _draw(axes, line.points, unit, line.name, colour, shape, strong)


def _draw(
    axes: Axes,
    points: Sequence[ScaledPoint],
    unit: float,
    label: str,
    colour: str,
    shape: str,
    strong: bool = False,
) -> None:
    """A line in the order of its factors, with the bars that there are."""
    ordered = sorted(points, key=lambda point: point.factor)
    bars = [(point.macs / unit, 100 * point.accuracy, 100 * point.error) for point in ordered if point.error]
    if bars:
        x, y, error = zip(*bars, strict=True)
        axes.errorbar(
            x, y, yerr=error, fmt="none", ecolor=colour, elinewidth=1.1, capsize=2.5, alpha=0.65, zorder=2
        )
    axes.plot(
        [point.macs / unit for point in ordered],
        [100 * point.accuracy for point in ordered],
        color=colour,
        marker=shape,
        markersize=7.0 if strong else 5.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linewidth=2.4 if strong else 1.5,
        label=label,
        zorder=4 if strong else 3,
    )


def _start(axes: Axes, line: ScaledLine, unit: float) -> None:
    """The baseline, which all lines begin with where it has an accuracy."""
    first = line.baseline
    if first is None:
        return
    axes.plot(
        [first.macs / unit],
        [100 * first.accuracy],
        marker="o",
        markersize=7.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linestyle="none",
        color="black",
        label="baseline",
        zorder=5,
    )


def _room(axes: Axes, points: Sequence[ScaledPoint]) -> None:
    """Limits of the axis of the accuracy: all bars are inside, and equal points have room."""
    low = min(100 * (point.accuracy - (point.error or 0.0)) for point in points)
    high = max(100 * (point.accuracy + (point.error or 0.0)) for point in points)
    room = 0.09 * (high - low) + max(0.0, _SPAN - (high - low)) / 2
    axes.set_ylim(low - room, high + room)


def _legend(axes: Axes, entries: int) -> None:
    """Below the panel, where no line can run."""
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncols=5 if entries == 5 else min(entries, 4),
        frameon=False,
        fontsize=9,
        columnspacing=1.2,
        handletextpad=0.5,
    )


def _finish(axes: Axes, label: str) -> None:
    """The axis of multiply-adds, from what is drawn."""
    values = [x for line in axes.get_lines() for x in np.asarray(line.get_xdata(), dtype=float).tolist()]
    low, high = min(values), max(values)
    if high > _WIDE * low > 0:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.3, high * 1.3)
        log_ticks(axes.xaxis, 7)
    else:
        room = 0.1 * (high - low) or 0.1 * high or 1.0
        axes.set_xlim(low - room, high + room)
    axes.set_xlabel(label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _write(axes: Axes, names: Sequence[_Name], unit: float) -> None:
    """A factor beside each point, away from bars."""
    from matplotlib.transforms import Bbox

    places = [(name.point.macs / unit, 100 * name.point.accuracy) for name in names]
    bars = []
    for (x, y), name in zip(places, names, strict=True):
        error = 100 * (name.point.error or 0.0)
        low, high = axes.transData.transform([(x, y - error), (x, y + error)])
        bars.append(Bbox([low - 2.0, high + 2.0]))
    colours = [_dark(name.colour) for name in names]
    label_points(axes, places, [name.text for name in names], colours, _NAME_SIZE, bars)


def _dark(colour: str) -> str:
    """The same hue, dark enough for letters on white."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = to_rgb(colour)
    return to_hex((0.68 * red, 0.68 * green, 0.68 * blue))
