"""Text in figures: names that users gave, numbers in short, and labels that keep out of one another's way.

A name is the user's: it is drawn as it is, never as a formula, and what cannot be printed is replaced.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.legend import Legend
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox, BboxBase

LONGEST = 60  # characters of a name


def plain(text: object, longest: int = LONGEST) -> str:
    """A name as one line that can be printed, shortened in the middle.

    Args:
        text: what a user called something, or chose.
        longest: characters, 3 at least.
    """
    line = text if isinstance(text, str) else f"{text:g}" if isinstance(text, float) else str(text)
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)
    if len(line) <= longest:
        return line
    end = (longest - 1) // 2
    return f"{line[: longest - 1 - end]}…{line[len(line) - end :]}"


def short(number: float) -> str:
    """385,814,752 as ``386 M``."""
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * unit:  # what would round to 1000 of the next smaller
            return f"{number / unit:.3g} {letter}"
    return f"{number:.3g}"


def log_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis that spans anything from a part of a decade to several."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0), numticks=12))
    axis.set_major_formatter(lambda value, place: f"{value:.3g}")
    axis.set_minor_formatter(NullFormatter())


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
        points: in the units of the axes; earlier ones choose first.
        names: of the points.
        colours: of the names.
        size: of the letters, typographic points.
        taken: places that are not free either, pixels.
    """
    from matplotlib.transforms import Bbox

    figure = axes.get_figure(root=True)
    assert figure is not None
    dots = [axes.transData.transform(point) for point in points]
    half = 2.5 * figure.dpi / 72
    own = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in dots]
    found = [*taken, *_lines(axes)]
    written = []
    for number, (point, name) in enumerate(zip(points, names, strict=True)):
        text = axes.annotate(
            plain(name, 28),
            point,
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=size,
            color=colours[number],
            parse_math=False,
            annotation_clip=False,
        )
        found.append(_choose(text, axes, [*own[:number], *own[number + 1 :], *found]))
        written.append(text)
    return written


def _lines(axes: Axes) -> list[Bbox]:
    """Small boxes along the lines that are drawn, pixels."""
    import numpy as np
    from matplotlib.transforms import Bbox

    boxes = []
    for line in axes.get_lines():
        if line.get_linestyle() == "None":
            continue
        corners = line.get_transform().transform(line.get_xydata())
        for start, end in itertools.pairwise(corners):
            steps = max(2, int(np.hypot(*(end - start)) / 5))
            for x, y in np.linspace(start, end, steps):
                boxes.append(Bbox.from_extents(x - 1.5, y - 1.5, x + 1.5, y + 1.5))
    return boxes


def _choose(text: Annotation, axes: Axes, taken: Sequence[Bbox]) -> Bbox:
    """Put a label where it covers least; its box."""
    best = None
    for offset, horizontal, vertical in _BESIDE:
        text.xyann = offset
        text.set(ha=horizontal, va=vertical)
        box = text.get_window_extent()
        covered = sum(_common(box, other) for other in taken)
        outside = box.width * box.height - _common(box, axes.bbox)
        cost = covered + outside
        if best is None or cost < best[0] - 1e-9:
            best = (cost, offset, horizontal, vertical, box)
        if cost <= 0:
            break
    assert best is not None
    text.xyann = best[1]
    text.set(ha=best[2], va=best[3])
    return best[4]


def _common(one: BboxBase, other: BboxBase) -> float:
    """The area that two boxes share, pixels."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(0.0, width) * max(0.0, height))
