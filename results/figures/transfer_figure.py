"""Transfer learning: accuracy against parameters on eight data sets, as published and of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.figures.labels import label_points, log_ticks, plain, settle
from results.figures.style import BLUE, RED
from results.published import (
    TRANSFER_DATASETS,
    PublishedTransfer,
    TransferResult,
    published_transfer,
    source_of,
)
from results.transfer_table import TRANSFER_EDITION
from search_space import FieldError
from search_space.errors import suggestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _OTHER = "0.42", "0.6"
_COLUMNS = 4
_MARKERS = ("D", "s")  # of the public and the reported model
_DASHES = (0, (4, 3))
_BESIDE = 600.0  # million parameters: where the name of a line stands


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPoint:
    """A network of one's own, trained further on one of the data sets.

    Attributes:
        dataset: one of `results.published.TRANSFER_DATASETS`.
        name: of the network.
        params: its parameters, above 0.
        accuracy: 0 to 1.

    Raises:
        FieldError: a value breaks its rule.
    """

    dataset: str
    name: str
    params: float
    accuracy: float

    def __post_init__(self) -> None:
        if self.dataset not in TRANSFER_DATASETS:
            near = suggestion(self.dataset, TRANSFER_DATASETS)
            raise FieldError("dataset", f"must be one of the published, got {self.dataset!r}{near}")
        if not 0 < self.params < float("inf"):
            raise FieldError("params", f"must be above 0, got {self.params}")
        if not 0 <= self.accuracy <= 1:
            raise FieldError("accuracy", f"must be between 0 and 1, got {self.accuracy}")


def transfer_figure(
    points: Sequence[TransferPoint] = (), title: str = "Transfer to eight data sets"
) -> Figure:
    """A panel a data set: accuracy over parameters, the latter on a logarithmic axis.

    A model whose parameters are not printed is a line at its accuracy. An EfficientNet whose parameters are
    not printed is a ring at those that it has on another data set.

    Args:
        points: own networks.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.6, 6.7), layout="constrained")
    panels = figure.subplots(2, _COLUMNS, sharex=True)
    figure.suptitle(plain(title, 130), parse_math=False, fontsize=12)
    costs = [point.params / 1e6 for point in points]
    named = []
    for axes, row in zip(panels.flat, published_transfer(), strict=True):
        own = [point for point in points if point.dataset == row.dataset]
        named.append((axes, _panel(axes, row, own)))
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy, %", fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("million parameters", fontsize=9)
    panels[0, 0].set_xscale("log")  # the axis is shared
    panels[0, 0].set_xlim(min(1.9, *costs, 1.9) / 1.1, max(1200.0, *costs, 1200.0) * 1.1)
    log_ticks(panels[0, 0].xaxis, 6)
    figure.align_ylabels()
    _legend(figure, bool(points))
    settle(figure)  # fixes the layout: names are placed by what is free then
    figure.set_layout_engine("none")
    for axes, found in named:
        names, colours = [name for name, _, _ in found], [colour for _, colour, _ in found]
        label_points(axes, [place for _, _, place in found], names, colours, 7.5)
    return figure


def _panel(
    axes: Axes, row: PublishedTransfer, points: Sequence[TransferPoint]
) -> list[tuple[str, str, tuple[float, float]]]:
    """Everything but the names: these, their colours, and the places that they belong to."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(row.dataset, loc="left", fontsize=10)
    axes.grid(alpha=0.22)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    named = []
    for point in points:
        place = (point.params / 1e6, 100 * point.accuracy)
        axes.plot(*place, marker="o", markersize=6.5, color=RED, zorder=5)
        named.append((point.name, RED, place))
    ours = [_efficientnet(result) for result in (row.public, row.reported)]
    axes.plot([x for x, _ in ours], [y for _, y in ours], color=BLUE, linewidth=1.1, alpha=0.55, zorder=3)
    for result, place, marker in zip((row.public, row.reported), ours, _MARKERS, strict=True):
        inside = BLUE if result.own_params is not None else "white"
        axes.plot(*place, marker="o", markersize=6, color=BLUE, markerfacecolor=inside, zorder=4)
        named.append((result.own.removeprefix("EfficientNet-"), BLUE, place))
        height = 100 * result.accuracy
        if result.params is None:
            axes.axhline(height, color=_OTHER, linewidth=1.0, linestyle=_DASHES, zorder=1)
            named.append((result.model, _INK, (_BESIDE, height)))
        else:
            place = (result.params / 1e6, height)
            axes.plot(*place, marker=marker, markersize=5, color=_OTHER, zorder=2)
            named.append((result.model, _INK, place))
    axes.margins(y=0.22)
    return named


def _efficientnet(result: TransferResult) -> tuple[float, float]:
    """Million parameters and percent; where the former are not printed, those on another data set."""
    params = result.own_params
    if params is None:
        every = [each for row in published_transfer() for each in (row.public, row.reported)]
        params = next(r.own_params for r in every if r.own == result.own and r.own_params is not None)
    return params / 1e6, 100 * result.own_accuracy


def _legend(figure: Figure, own: bool) -> None:
    """What the marks mean, below the panels."""
    from matplotlib.lines import Line2D

    def mark(label: str, colour: str, marker: str, inside: str, size: float) -> Line2D:
        drawn = Line2D([], [], color=colour, marker=marker, markersize=size, linestyle="none", label=label)
        drawn.set_markerfacecolor(inside)
        return drawn

    marks = [
        mark(f"EfficientNet ({source_of(5, TRANSFER_EDITION)})", BLUE, "o", BLUE, 6),
        mark("its parameters not printed here: from another data set", BLUE, "o", "white", 6),
        mark("best with a public model", _OTHER, _MARKERS[0], _OTHER, 5),
        mark("best reported", _OTHER, _MARKERS[1], _OTHER, 5),
        Line2D(
            [], [], color=_OTHER, linewidth=1.0, linestyle=_DASHES, label="best reported, without parameters"
        ),
    ]
    if own:
        marks.append(mark("own", RED, "o", RED, 6.5))
    figure.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
