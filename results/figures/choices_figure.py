"""What the good networks of a search share: each choice's share among the best, beside that among all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from results.choices import ChoiceFrequencies
from results.figures.labels import plain, stage_borders

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

_ROW, _CELL = 0.3, 1.32  # inches
_COLOURS = "PuOr_r"  # purple is rarer, orange more frequent: told apart by the colour-blind
_LEAST = 0.3  # difference that has the strongest colour, if none is larger
_PART = 0.72  # of the colours: beyond it they are too dark to be written on


def choices_figure(frequencies: Sequence[ChoiceFrequencies], title: str) -> Figure:
    """A row a decision, a cell a choice: its share among the best, among all, and the difference as colour.

    Args:
        frequencies: of D decisions; none is allowed.
        title: above the figure.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    columns = max((len(found.decision.choices) for found in frequencies), default=1)
    width = 1.9 + _CELL * max(columns, 3)
    figure = Figure(figsize=(width, _ROW * max(len(frequencies), 3) + 1.7), layout="constrained")
    axes = figure.subplots()
    largest = max((float(np.abs(found.best - found.all).max()) for found in frequencies), default=0.0)
    bound = max(largest, _LEAST)
    norm = Normalize(-bound / _PART, bound / _PART)
    for row, found in enumerate(frequencies):
        _row(axes, row, found, colormaps[_COLOURS], norm)
    _frame(axes, frequencies, columns)
    bar = figure.colorbar(
        ScalarMappable(norm, _COLOURS), ax=axes, location="bottom", shrink=0.6, aspect=40, pad=0.02
    )
    bar.ax.xaxis.set_major_formatter(lambda value, place: f"{100 * value:+.0f}" if value else "0")
    bar.ax.set_xlim(-bound, bound)
    bar.set_label("share among the best minus share among all, points", fontsize=9)
    bar.outline.set_visible(False)
    figure.suptitle(
        f"{plain(title, 100)}\ncell: choice, share among the best; in brackets and as the mark: among all",
        parse_math=False,
        fontsize=10.5,
    )
    return figure


def _frame(axes: Axes, frequencies: Sequence[ChoiceFrequencies], columns: int) -> None:
    """Names of the decisions, lines between stages, no axes."""
    axes.set_xlim(0, max(columns, 3))
    axes.set_ylim(max(len(frequencies), 1), 0)
    axes.set_xticks([])
    names = [plain(found.decision.name, 36) for found in frequencies]
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8.5, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for edge in stage_borders([found.decision.name for found in frequencies]):
        axes.axhline(edge, color="0.35", linewidth=0.7, zorder=0)
    if not any(found.all.any() for found in frequencies):
        axes.text(0.5, 0.5, "no result yet", transform=axes.transAxes, ha="center", va="center", color="0.5")


def _row(axes: Axes, row: int, found: ChoiceFrequencies, colours: Colormap, norm: Normalize) -> None:
    """The choices of a decision, in their order."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    for place, choice in enumerate(found.decision.choices):
        best, among_all = float(found.best[place]), float(found.all[place])
        fill = colours(norm(best - among_all))
        ink = "black" if 0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2] > 0.5 else "white"
        axes.add_patch(Rectangle((place + 0.02, row + 0.06), 0.96, 0.88, facecolor=fill, linewidth=0))
        axes.add_patch(  # the share among the best, a bar along the cell's foot
            Rectangle((place + 0.02, row + 0.8), 0.96 * best, 0.14, facecolor=ink, alpha=0.6, linewidth=0)
        )
        axes.plot(
            [place + 0.02 + 0.96 * among_all] * 2,
            [row + 0.7, row + 0.94],
            color=ink,
            linewidth=1.4,
            path_effects=[withStroke(linewidth=3.0, foreground=fill)],
        )
        style: dict[str, Any] = {"va": "center", "color": ink}
        axes.text(
            place + 0.06,
            row + 0.42,
            plain(choice, 9),
            fontsize=8.5,
            weight="bold",
            parse_math=False,
            **style,
        )
        axes.text(
            place + 0.95,
            row + 0.42,
            f"{100 * best:.0f} % ({100 * among_all:.0f})",
            fontsize=7.5,
            ha="right",
            **style,
        )
