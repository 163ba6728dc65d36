"""What all figures share: colours, units of an axis, ticks, labels, and writing a file. Nothing is shown on a
screen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from results.export import write_whole
from results.pareto import Floats
from search_space import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

FORMATS = (".png", ".svg", ".pdf")
BLUE, RED, GREEN, GREY = "#1f5fa8", "#c8442c", "#3d8b50", "0.72"
# Okabe and Ito 2008: apart for the colour-blind; without yellow, which is too light for points on white
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DECADE = (  # the most ticks on a logarithmic axis first
    (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
    (1.0, 3.0),
    (1.0,),
)
_DISTANCES = (1.0, 2.4, 4.0, 6.0)  # of a label from its point; beyond the first a line leads there
_AROUND = ((1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))


def unit_of(values: Sequence[float]) -> tuple[float, str]:
    """A unit for values of this size, and its word: ``(1e6, "million ")``."""
    largest = max(values, default=0)
    for unit, word in ((1e9, "billion "), (1e6, "million "), (1e3, "thousand ")):
        if largest >= unit:
            return unit, word
    return 1.0, ""


def plain_name(text: str, longest: int = 40) -> str:
    """A name that somebody gave, on one line and not too long. Draw it with ``parse_math=False``.

    Args:
        text: the name.
        longest: characters that are left.
    """
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


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


def place_labels(
    axes: Axes,
    labels: Sequence[tuple[str, float, float, str]],
    avoid: Sequence[tuple[float, float]] = (),
) -> None:
    """Write names beside their points where they cover neither points nor each other, as far as room allows.

    Call it when limits and scales of the axes are final.

    Args:
        axes: that has the points.
        labels: name, x, y and colour.
        avoid: x and y of other points.
    """
    if not labels:
        return
    with _any_letters():
        axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # settles where the axes are
        _place(axes, labels, avoid)


def _place(
    axes: Axes, labels: Sequence[tuple[str, float, float, str]], avoid: Sequence[tuple[float, float]]
) -> None:
    from matplotlib.patheffects import withStroke

    pixels = axes.transData.transform([*((x, y) for _, x, y, _ in labels), *avoid])
    taken = np.hstack([pixels - 5, pixels + 5])  # (N, 4): left, bottom, right, top
    for name, x, y, color in labels:
        text = axes.annotate(
            plain_name(name),
            (x, y),
            xytext=(7, 5),
            textcoords="offset points",
            fontsize="small",
            color=color,
            zorder=8,
            parse_math=False,  # a name is the user's text
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3},
        )
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        own = _settle(text, taken, np.array(axes.get_window_extent().extents))
        taken = np.vstack([taken, own])


def _settle(text: Annotation, taken: Floats, room: Floats) -> Floats:
    """Move a label to the nearest free place around its point, or the freest; the box (4,) it has there."""
    places = [(distance, *side) for distance in _DISTANCES for side in _AROUND]
    covered = []
    for place in places:
        box = _put(text, *place)
        covered.append(_covered(box, taken, room))
        if covered[-1] < 1e-6:
            return box
    return _put(text, *places[int(np.argmin(covered))])


def _put(text: Annotation, distance: float, right: int, up: int) -> Floats:
    from matplotlib.text import Text

    text.set_horizontalalignment(("center", "left", "right")[right])
    text.set_verticalalignment(("center", "bottom", "top")[up])
    text.set_position(((6 if up else 9) * distance * right, (4 if right else 8) * distance * up))
    assert text.arrow_patch is not None
    text.arrow_patch.set_visible(distance > 1)
    text.update_positions(text.figure._get_renderer())  # type: ignore[union-attr]
    return np.array(Text.get_window_extent(text).extents)  # of the letters, without the line to the point


def _covered(box: Floats, taken: Floats, room: Floats) -> float:
    """Square pixels of a box (4,) that are over others (N, 4), or out of the room (4,), which is worse."""
    others = np.vstack([taken, room])
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    areas = np.maximum(sides, 0.0).prod(axis=1)
    outside = float((box[2:] - box[:2]).prod() - areas[-1])
    return float(areas[:-1].sum()) + 3.0 * outside


@contextmanager
def _any_letters() -> Iterator[None]:
    """Names may have letters that the font has not: they become boxes, and nobody is warned."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def check_figure_path(path: Path, formats: Sequence[str] = FORMATS) -> None:
    """Refuse an ending that no figure can have.

    Args:
        path: of a figure to be.
        formats: the endings that it may have.

    Raises:
        InputError: it is not one of them.
    """
    if path.suffix.lower() not in formats:
        raise InputError(f"{path}: must end in {', '.join(formats)}")


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of the file's ending.

    Raises:
        InputError: an unknown ending, or the file cannot be written.
    """
    path = Path(path)
    check_figure_path(path)
    with _any_letters():
        write_whole(
            path, lambda unfinished: figure.savefig(unfinished, dpi=150, format=path.suffix[1:].lower())
        )
