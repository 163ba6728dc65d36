"""A confusion matrix: for each true class, how often which class was said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from results.figures.labels import plain
from results.figures.page import page_text, write_page

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Counts = npt.NDArray[np.int64]
_COUNTED, _NAMED = 20, 64  # classes: up to so many there is room for counts in the cells, and for names
_COLOURS = "Blues"
_GAMMA = 0.5  # of the colours: rare confusions are to be seen too
_LISTED = 6


def confusion_figure(confusion: Counts, class_names: Sequence[str], title: str) -> Figure:
    """The shares of each row, with the counts where there is room for them.

    Args:
        confusion: images by true class, then by the class that was said, (classes, classes).
        class_names: of the rows and columns.
        title: above the figure.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    number = len(class_names)
    side = min(max(3.2, 0.46 * number if number <= _COUNTED else 0.155 * number), 8.4)  # inches
    names = number <= _NAMED
    room = 0.085 * max(len(_short(name)) for name in class_names) if names else 0.6
    figure = Figure(figsize=(side + room + 1.5, side + room + 0.9), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(
        np.ma.masked_invalid(row_shares(confusion)),
        cmap=_COLOURS,
        norm=PowerNorm(_GAMMA, 0.0, 1.0),
        interpolation="nearest",
    )
    axes.set_facecolor("0.9")  # rows without images
    axes.set_ylabel("true class" if names else "true class, by its number")
    axes.set_xlabel("class that was said" if names else "class that was said, by its number")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0 if names else 3)
    if names:
        _names(axes, class_names)
    if number <= _COUNTED:
        _counts(axes, confusion)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=30, pad=0.02, ticks=[0, 0.05, 0.25, 0.5, 1.0])
    bar.ax.set_yticklabels(["0 %", "5 %", "25 %", "50 %", "100 %"], fontsize=8)
    bar.set_label("of the images of the true class", fontsize=8.5)
    bar.outline.set_visible(False)
    figure.suptitle(plain(title, 40 + round(12 * side)), parse_math=False, fontsize=10)
    if not names:
        figure.supxlabel(_most_often(confusion, class_names), parse_math=False, fontsize=7, color="0.25")
    return figure


def row_shares(confusion: Counts) -> npt.NDArray[np.float64]:
    """Each row over its sum, (classes, classes); NaN of a class without images."""
    totals = confusion.sum(1, keepdims=True)
    return np.where(totals > 0, confusion / np.maximum(totals, 1), np.nan)


def confusions(confusion: Counts, most: int) -> list[tuple[int, int, int]]:
    """The most frequent mistakes as true class, class that was said, and images; the most frequent first.

    Args:
        confusion: (classes, classes).
        most: so many at most.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(wrong)) for place in order]
    return [(true, said, int(wrong[true, said])) for true, said in pairs if wrong[true, said]]


def _short(name: str) -> str:
    return plain(name, 22)


def _names(axes: Axes, class_names: Sequence[str]) -> None:
    places, size = range(len(class_names)), 8.0 if len(class_names) <= _COUNTED else 6.2
    names = [_short(name) for name in class_names]
    turned = 90 if len(names) > _COUNTED or max(map(len, names)) > 4 else 0
    axes.set_xticks(places, names, rotation=turned, fontsize=size, parse_math=False)
    axes.set_yticks(places, names, fontsize=size, parse_math=False)


def _counts(axes: Axes, confusion: Counts) -> None:
    """The count of every cell that has one."""
    shares = row_shares(confusion)
    size = 8.0 if confusion.max(initial=0) < 10_000 else 6.0
    for row, column in np.argwhere(confusion).tolist():
        axes.text(
            column,
            row,
            str(confusion[row, column]),
            ha="center",
            va="center",
            fontsize=size,
            color="white" if shares[row, column] > 0.36 else "0.15",
        )


def _most_often(confusion: Counts, class_names: Sequence[str]) -> str:
    """Which classes are taken for which, where a figure has no names, two a line."""
    totals = confusion.sum(1)
    texts = [
        f"{_short(class_names[true])} ({true}) as {_short(class_names[said])} ({said}): {images} of "
        f"{totals[true]}"
        for true, said, images in confusions(confusion, _LISTED)
    ]
    lines = [";  ".join(texts[start : start + 2]) for start in range(0, len(texts), 2)]
    return "\n".join([f"most often: {lines[0]}", *lines[1:]]) if lines else ""


def save_confusion_page(confusion: Counts, class_names: Sequence[str], title: str, path: str | Path) -> None:
    """Write the matrix as an interactive page: names and counts of a cell on hovering.

    Args:
        confusion, class_names, title: as of `confusion_figure`.
        path: of the page.

    Raises:
        InputError: it cannot be written.
    """
    write_page(confusion_page_figure(confusion, class_names, title), title, path)


def confusion_page_figure(confusion: Counts, class_names: Sequence[str], title: str) -> go.Figure:
    """The plotly figure of `save_confusion_page`.

    Args:
        confusion, class_names, title: as of `confusion_figure`.
    """
    import plotly.graph_objects as go

    shares = row_shares(confusion)
    few = len(class_names) <= _NAMED
    scale = [[step**2, color] for step, color in _page_colours()]  # the root of the share, as `_GAMMA` says
    figure = go.Figure(
        go.Heatmap(
            z=[[None if np.isnan(value) else value for value in row] for row in shares.tolist()],
            zmin=0.0,
            zmax=1.0,
            colorscale=scale,
            hoverinfo="text",
            hovertext=_hover(confusion, class_names),
            xgap=int(few),
            ygap=int(few),
            colorbar={"title": {"text": "share of<br>the row"}, "tickformat": ".0%"},
        )
    )
    ticks: dict[str, Any] = {"constrain": "domain", "showgrid": False, "zeroline": False}
    if few:
        ticks["tickvals"] = list(range(len(class_names)))
        ticks["ticktext"] = [page_text(name, 22) for name in class_names]
    number = "" if few else ", by its number"
    figure.update_layout(
        title={"text": page_text(title, 110), "x": 0.5},
        xaxis={**ticks, "title": {"text": f"class that was said{number}"}},
        yaxis={
            **ticks,
            "title": {"text": f"true class{number}"},
            "autorange": "reversed",
            "scaleanchor": "x",
        },
        plot_bgcolor="#e6e6e6",
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
    )
    return figure


def _hover(confusion: Counts, class_names: Sequence[str]) -> list[list[str]]:
    """What is said of every cell that has images, as HTML; nothing of the others."""
    names = [page_text(name, 60) for name in class_names]
    totals = confusion.sum(1).tolist()
    hover = [[""] * len(names) for _ in names]
    for true, said in np.argwhere(confusion).tolist():
        what = "said rightly" if true == said else f"said to be <b>{names[said]}</b>"
        images = int(confusion[true, said])
        share = f"{images} of {totals[true]} images, {100 * images / totals[true]:.1f} %"
        hover[true][said] = f"<b>{names[true]}</b><br>{what}<br>{share}"
    return hover


def _page_colours() -> list[tuple[float, str]]:
    """Places from 0 to 1 and the colours there."""
    from plotly.colors import sample_colorscale

    places = np.linspace(0.0, 1.0, 9).tolist()
    return list(zip(places, sample_colorscale(_COLOURS, places), strict=True))
