"""Text in figures: names that users gave, numbers in short, and labels that keep out of one another's way.

A name is the user's: it is drawn as it is, never as a formula, and what cannot be printed is replaced.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from results.figures.style import any_letters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox, BboxBase

Floats = npt.NDArray[np.float64]
LONGEST = 60  # characters of a name
_DECADE = (  # the most ticks on a logarithmic axis first
    (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
    (1.0, 3.0),
    (1.0,),
)


def plain(text: object, longest: int = LONGEST) -> str:
    """A name as one line that can be printed, shortened in the middle.

    Args:
        text: what a user called something, or chose.
        longest: characters, 3 at least.
    """
    line = text if isinstance(text, str) else f"{text:g}" if isinstance(text, float) else str(text)
    line = "".join(
        letter if letter.isprintable() else " " if letter.isspace() else "\N{REPLACEMENT CHARACTER}"
        for letter in line
    )
    if len(line) <= longest:
        return line
    end = (longest - 1) // 2
    return f"{line[: longest - 1 - end]}…{line[len(line) - end :]}"


def log_ticks(axis: Axis, most: int = 9) -> None:
    """Plain numbers on a logarithmic axis that spans anything from a part of a decade to many.

    Call it when the limits of the axis are final: ticks are as dense as the span allows.

    Args:
        axis: logarithmic.
        most: ticks, so that their labels stay apart.
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

    low, high = sorted(axis.get_view_interval())
    ticks = _log_ticks(low, high, most)
    if len(ticks) < 3:  # a small part of a decade
        even = MaxNLocator(min(6, most - 1)).tick_values(low, high)
        ticks = [float(tick) for tick in even if low <= tick <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(lambda value, place: f"{value:.10g}")
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """The densest round numbers that are not too many; over many decades not every power of ten."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ways = [(1, factors) for factors in _DECADE]
    ways += [(every, _DECADE[-1]) for every in range(2, last - first + 2)]
    for every, factors in ways:
        ticks = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) <= most:
            return ticks
    return []


def settle(figure: Figure) -> None:
    """Fix the layout of a figure, so that names can be put where there is room then."""
    with any_letters():
        figure.draw_without_rendering()


def stage_borders(names: Sequence[str]) -> list[int]:
    """Places at which another stage begins: what stands before the first dot of a name changes.

    Args:
        names: of decisions, in order, such as ``stage2.kernel``. Names without stages have no border.
    """
    stages = [name.partition(".")[0] for name in names]
    changes = [row for row in range(1, len(stages)) if stages[row] != stages[row - 1]]
    return changes if len(changes) < len(stages) - 1 else []


def name_legend(legend: Legend, names: Sequence[str]) -> None:
    """Write users' names into a legend: not as formulas, and also those that begin with an underscore.

    Args:
        legend: with as many entries.
        names: of the entries, in order.
    """
    for entry, name in zip(legend.get_texts(), names, strict=True):
        entry.set_parse_math(False)
        entry.set_text(plain(name))


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places along a line as little as needed to be `gap` apart, between two ends where there is room.

    Args:
        places: in rising order.
        gap: between neighbours.
        low, high: the ends.

    Returns:
        As many places in the same order; evenly spread where there is not room for all.
    """
    if not places:
        return []
    gap = min(gap, (high - low) / max(1, len(places) - 1))
    groups: list[tuple[float, int]] = []  # (sum of wanted starts, members): a group stands gap by gap
    for number, place in enumerate(places):
        group = (place - number * gap, 1)
        while groups and groups[-1][0] / groups[-1][1] > group[0] / group[1]:
            before = groups.pop()
            group = (before[0] + group[0], before[1] + group[1])
        groups.append(group)
    starts = [total / members for total, members in groups for _ in range(members)]
    last = high - (len(places) - 1) * gap
    return [min(max(start, low), last) + number * gap for number, start in enumerate(starts)]


_NEAR = 5  # points: a label farther away has a line to its dot
# where a label may stand beside its point: offset in points, alignment
_BESIDE = (
    ((5, 0), "left", "center"),
    ((-5, 0), "right", "center"),
    ((0, 5), "center", "bottom"),
    ((0, -5), "center", "top"),
    ((4, 4), "left", "bottom"),
    ((-4, 4), "right", "bottom"),
    ((4, -4), "left", "top"),
    ((-4, -4), "right", "top"),
    ((9, 9), "left", "bottom"),
    ((-9, 9), "right", "bottom"),
    ((9, -9), "left", "top"),
    ((-9, -9), "right", "top"),
    ((14, 0), "left", "center"),
    ((-14, 0), "right", "center"),
    ((14, 16), "left", "bottom"),
    ((-14, 16), "right", "bottom"),
    ((14, -16), "left", "top"),
    ((-14, -16), "right", "top"),
)


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    colours: Sequence[str],
    size: float,
    taken: Sequence[Bbox] = (),
) -> list[Annotation]:
    """Write names beside points where they cover no name, point or line, as far as there is room.

    The limits of the axes and the layout of the figure must be final.

    Args:
        axes: where to.
        points: in the units of the axes; the most crowded choose first, of equals the earlier.
        names: of the points.
        colours: of the names.
        size: of the letters, typographic points.
        taken: places that are not free either, pixels.
    """
    from matplotlib.patheffects import withStroke

    figure = axes.get_figure(root=True)
    assert figure is not None
    pixel = figure.dpi / 72
    dots = axes.transData.transform(np.array(points).reshape(-1, 2))
    others = np.array([box.extents for box in taken]).reshape(-1, 4)
    around = np.concatenate([dots - 2.5 * pixel, dots + 2.5 * pixel], axis=1)  # (points, 4)
    others = np.concatenate([others, _lines(axes)])
    written = []
    for number in _by_room(dots):
        text = axes.annotate(
            plain(names[number], 28),
            points[number],
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=size,
            color=colours[number],
            parse_math=False,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colours[number], "linewidth": 0.6, "shrinkA": 0},
        )
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        found = np.concatenate([np.delete(around, number, axis=0), others])
        box = _choose(text, dots[number], np.delete(dots, number, axis=0), pixel, axes.bbox, found)
        others = np.concatenate([others, [box]])
        written.append(text)
    return written


def _by_room(dots: Floats) -> list[int]:
    """Places of dots (N, 2), those with the nearest neighbour first, to the tenth of pixels."""
    apart = np.hypot(*np.moveaxis(dots[:, None] - dots[None], 2, 0)) + np.diag(np.full(len(dots), np.inf))
    return [int(place) for place in np.argsort(apart.min(axis=1, initial=1e6) // 10, kind="stable")]


def _lines(axes: Axes) -> Floats:
    """Small boxes along the lines that are drawn, pixels: left, bottom, right, top (boxes, 4)."""
    places = [np.empty((0, 2))]
    for line in axes.get_lines():
        if line.get_linestyle() == "None":
            continue
        corners = line.get_transform().transform(line.get_xydata())
        for start, end in itertools.pairwise(corners):
            steps = max(2, int(np.hypot(*(end - start)) / 5))
            places.append(np.linspace(start, end, steps))
    middles = np.concatenate(places)
    return np.concatenate([middles - 1.5, middles + 1.5], axis=1)


def _choose(
    text: Annotation, dot: Floats, dots: Floats, pixel: float, room: BboxBase, taken: Floats
) -> Floats:
    """Put a label where it covers least, and nearer to its own dot than to others; its box, pixels (4,)."""
    from matplotlib.text import Text

    with any_letters():
        size = np.array(Text.get_window_extent(text).size)  # of the letters, without the line to the dot
    shifts = {"left": 0.0, "right": -1.0, "center": -0.5, "bottom": 0.0, "top": -1.0}
    corners = np.array(
        [dot + pixel * np.array(offset) + size * (shifts[h], shifts[v]) for offset, h, v in _BESIDE]
    )
    boxes = np.concatenate([corners, corners + size], axis=1)  # (places, 4)
    covered = _common(boxes, taken).sum(axis=1)
    outside = size.prod() - _common(boxes, np.array([room.extents])).sum(axis=1)
    own, other = _distances(boxes, dot[None])[:, 0], _distances(boxes, dots).min(axis=1, initial=np.inf)
    doubtful = 0.02 * size.prod() * (other < own + pixel)
    best = int(np.argmin(np.round(covered + outside + doubtful, 3)))  # of equals the first
    offset, horizontal, vertical = _BESIDE[best]
    text.xyann = offset
    assert text.arrow_patch is not None
    text.arrow_patch.set_visible(max(map(abs, offset)) > _NEAR)
    text.set(ha=horizontal, va=vertical)
    return boxes[best]


def _distances(boxes: Floats, dots: Floats) -> Floats:
    """From boxes (N, 4) to dots (M, 2): (N, M)."""
    before = boxes[:, None, :2] - dots[None]
    after = dots[None] - boxes[:, None, 2:]
    return np.hypot(*np.moveaxis(np.clip(np.maximum(before, after), 0.0, None), 2, 0))


def _common(boxes: Floats, others: Floats) -> Floats:
    """The areas that boxes (N, 4) share with others (M, 4): (N, M)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0.0, None).prod(axis=2)
