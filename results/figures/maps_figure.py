"""Class activation maps over the images they are of: a row an image, a column a network."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from results.figures.labels import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXELS = 256  # a side of the pictures in cells
MOST_ROWS, MOST_COLUMNS = 24, 8
COLOURS = "inferno"  # from dark to light: it reads in grey too
_OVER = 0.7  # how much of a cell is heat, the rest the image in grey
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_BETWEEN = 0.14  # inches from a cell to its neighbour
_OUTSIDE = 0.45  # brightness of what a crop left out
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCell:
    """One network on one image.

    Attributes:
        words: lines above the cell, short ones: what it predicts, and how surely.
        heat: (side, side) of the central part of the picture; its positive part is shown.
    """

    words: tuple[str, ...]
    heat: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRow:
    """One image.

    Attributes:
        name: of it.
        picture: (PIXELS, PIXELS, 3).
        cells: a network each.
    """

    name: str
    picture: Pixels
    cells: tuple[MapCell, ...]


def maps_figure(rows: Sequence[MapRow], columns: Sequence[tuple[str, str]], caption: str) -> Figure:
    """The pictures at the left, and a column of heat a network.

    Args:
        rows: `MOST_ROWS` at most.
        columns: a name and a line below it, above each network's cells; `MOST_COLUMNS` at most.
        caption: below, wrapped at the width of the figure.
    """
    from matplotlib.figure import Figure

    side = 1.55 if len(rows) > 1 or len(columns) > 1 else 2.4  # inches, as all that follows
    letters = round(side / 0.068)  # that stand above a cell
    headers = [(_wrapped(name, round(0.84 * letters)), plain(more, letters)) for name, more in columns]
    words = max(len(cell.words) for row in rows for cell in row.cells)
    width = (1 + len(columns)) * (side + _BETWEEN) + 0.75
    lines = textwrap.wrap(plain(caption, 2000), max(48, round(16.5 * width)))
    top = 0.28 + 0.15 * max(name.count("\n") + 1 for name, _ in headers)
    gap, foot = 0.09 + 0.14 * words, 0.16 + 0.14 * len(lines)
    height = top + len(rows) * (side + gap) + foot
    figure = Figure(figsize=(width, height))
    for line, row in enumerate(rows):
        bottom = height - top - (line + 1) * (side + gap)
        for column in range(1 + len(columns)):
            left = 0.1 + column * (side + _BETWEEN)
            axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
            _cell(axes, row, column, letters)
    for column, (name, more) in enumerate(headers, start=1):
        middle = (0.1 + column * (side + _BETWEEN) + side / 2) / width
        _text(figure, (middle, 1 - (top - 0.2) / height), name, size=9, weight="bold")
        _text(figure, (middle, 1 - (top - 0.02) / height), more, size=7.5, colour="0.35")
    _bar(figure, width, height, top + gap, side)
    _text(figure, (0.1 / width, 0.08 / height), "\n".join(lines), "left", size=7, colour="0.3")
    return figure


def overlay(picture: Pixels, heat: Floats) -> Floats:
    """A picture in grey under the colours of a map, as RGB of 0 to 1.

    Args:
        picture: (H, H, 3).
        heat: (side, side) of its central part; the positive part over its own maximum gives the colour.

    Returns:
        (H, H, 3). What lies outside of the part is grey and dark.
    """
    from matplotlib import colormaps

    grey = np.repeat((picture @ np.array(_LUMA) / 255.0)[..., None], 3, axis=2)
    margin = (len(picture) - len(heat)) // 2
    inside = slice(margin, margin + len(heat))
    positive = np.maximum(heat, 0.0)
    share = positive / max(float(positive.max()), np.finfo(np.float32).tiny)
    colours = np.asarray(colormaps[COLOURS](share))[..., :3]
    whole = _OUTSIDE * grey
    whole[inside, inside] = _OVER * colours + (1.0 - _OVER) * grey[inside, inside]
    return whole.astype(np.float32)


def _cell(axes: Axes, row: MapRow, column: int, letters: int) -> None:
    """The picture itself in column 0, and the networks after it."""
    axes.set(xticks=(), yticks=())
    axes.spines[:].set(color="0.8", linewidth=0.5)  # pictures may be white at their edges
    words: tuple[str, ...] = (row.name,)
    if column:
        cell = row.cells[column - 1]
        words = cell.words
        axes.imshow(overlay(row.picture, cell.heat), interpolation="bilinear")
    else:
        axes.imshow(row.picture, interpolation="bilinear")
    axes.set_title(
        "\n".join(plain(line, letters) for line in words),
        fontsize=7.5,
        color="0.35" if not column else "black",
        parse_math=False,
        pad=3,
        linespacing=1.15,
    )


def _wrapped(name: str, letters: int) -> str:
    """A name on two lines at most, broken at a hyphen where there is one; shortened in the middle."""
    lines = textwrap.wrap(plain(name), letters)
    return "\n".join(lines if len(lines) < 3 else textwrap.wrap(plain(name, 2 * letters - 4), letters)[:2])


def _text(
    figure: Figure,
    place: tuple[float, float],
    text: str,
    horizontal: str = "center",
    *,
    size: float,
    weight: str = "normal",
    colour: str = "black",
) -> None:
    """A text at a place of the figure, drawn as it is."""
    figure.text(
        *place,
        text,
        va="bottom",
        ha=horizontal,
        fontsize=size,
        fontweight=weight,
        color=colour,
        linespacing=1.15,
        parse_math=False,
    )


def _bar(figure: Figure, width: float, height: float, above: float, side: float) -> None:
    """The colours, at the right of the first row."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    place = ((width - 0.55) / width, 1 - (above + side) / height, 0.09 / width, side / height)
    axes = figure.add_axes(place)
    bar = figure.colorbar(ScalarMappable(Normalize(0.0, 1.0), COLOURS), cax=axes, ticks=[0.0, 1.0])
    bar.ax.set_yticklabels(["0", "max"], fontsize=7)
    bar.ax.tick_params(length=0, pad=2)
    bar.outline.set_visible(False)
