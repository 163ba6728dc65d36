"""Transfer of one's own networks: accuracy over parameters on each data set, fine-tuned and from scratch.

As figure 6 of arXiv 1905.11946, with both ways of beginning and their intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from results.figures.labels import label_points, log_ticks, plain, settle
from results.figures.style import BLUE, RED, unit_of
from search_space import FieldError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_COLUMNS = 4
_SPAN = 1.0  # percentage points: an axis shows as much, however near the points are
_LOOKS = {"finetuned": ("fine-tuned", RED, "o", 6.5), "scratch": ("from scratch", BLUE, "s", 5.5)}
_APART = {"finetuned": 0.0, "scratch": 4.5}  # typographic points to the right, so that bars can be told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTransfer:
    """A network on a data set, one way.

    Attributes:
        network, data: their names.
        start: from trained weights, or from drawn ones.
        params: its parameters, above 0.
        accuracy: mean over seeds, 0 to 1.
        interval: at 95 %, both ends; None where nothing is known.
        seeds: trainings behind the mean.

    Raises:
        FieldError: a value breaks its rule.
    """

    network: str
    data: str
    start: Literal["finetuned", "scratch"]
    params: float
    accuracy: float
    interval: tuple[float, float] | None
    seeds: int

    def __post_init__(self) -> None:
        if not 0 < self.params < float("inf"):
            raise FieldError("params", f"must be above 0, got {self.params}")
        if not 0 <= self.accuracy <= 1:
            raise FieldError("accuracy", f"must be between 0 and 1, got {self.accuracy}")

    @property
    def bar(self) -> tuple[float, float]:
        """Its interval below and above the mean, percentage points; Student's may leave 0 to 100, and is
        cut."""
        low, high = self.interval or (self.accuracy, self.accuracy)
        return 100 * (self.accuracy - max(low, 0.0)), 100 * (min(high, 1.0) - self.accuracy)


def own_transfer_figure(points: Sequence[OwnTransfer], titles: Mapping[str, str], title: str) -> Figure:
    """A panel a data set: accuracy over parameters, the latter on a logarithmic axis.

    Args:
        points: in any order; a data set without any says so.
        titles: of the panels, by data set, in their order.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, max(1, len(titles)))
    rows = -(-max(1, len(titles)) // columns)
    width = {1: 6.4, 2: 9.6}.get(columns, 3.9 * columns)
    figure = Figure(figsize=(width, 0.9 + 3.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    figure.suptitle(plain(title, 40 * columns), parse_math=False, fontsize=12)
    unit, word = unit_of([point.params for point in points])
    named = []
    for axes, (data, its) in zip(panels.flat, titles.items(), strict=False):
        own = [point for point in points if point.data == data]
        _panel(axes, own, unit)
        axes.set_title(plain(its, 44), loc="left", fontsize=10, parse_math=False)
        axes.set_xlabel(f"{word}parameters", fontsize=9)
        named.append((axes, own))
    for axes in panels.flat[len(titles) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel(_measure(points), fontsize=9)
    figure.align_ylabels()
    _legend(figure, points)
    settle(figure)  # fixes the layout: names are placed by what is free then
    figure.set_layout_engine("none")
    for axes, own in named:
        _names(axes, own, unit)
    return figure


def _measure(points: Sequence[OwnTransfer]) -> str:
    """The axis of the accuracy, and what the bars are."""
    seeds = sorted({point.seeds for point in points})
    if not seeds:
        return "accuracy, %"
    if seeds[-1] == 1:
        return "accuracy, % (one seed; bars: 95 % over images)"
    many = f"{seeds[-1]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return f"accuracy, %: mean of {many} seeds, bars: 95 %"


def _panel(axes: Axes, points: Sequence[OwnTransfer], unit: float) -> None:
    """Everything but the names."""
    from matplotlib.ticker import MaxNLocator
    from matplotlib.transforms import ScaledTranslation

    axes.grid(alpha=0.22)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
    if not points:
        axes.text(0.5, 0.5, "no training has a result yet", ha="center", transform=axes.transAxes, fontsize=9)
        axes.set(xticks=[], yticks=[])
        return
    for start, (_, colour, marker, size) in reversed(_LOOKS.items()):
        its = sorted((point for point in points if point.start == start), key=lambda point: point.params)
        if not its:
            continue
        x, y = [point.params / unit for point in its], [100 * point.accuracy for point in its]
        figure = axes.get_figure(root=True)
        assert figure is not None
        aside = axes.transData + ScaledTranslation(_APART[start] / 72, 0.0, figure.dpi_scale_trans)
        axes.plot(x, y, color=colour, linewidth=1.1, alpha=0.45, zorder=3, transform=aside)
        axes.errorbar(
            x,
            y,
            yerr=list(zip(*(point.bar for point in its), strict=True)),
            fmt=marker,
            markersize=size,
            color=colour,
            markeredgecolor="white",
            markeredgewidth=0.7,
            ecolor=colour,
            elinewidth=1.3,
            capsize=2.5,
            transform=aside,
            zorder=5,
        )
    low = min(100 * point.accuracy - point.bar[0] for point in points)
    high = max(100 * point.accuracy + point.bar[1] for point in points)
    room = 0.08 * (high - low) + max(0.0, _SPAN - (high - low)) / 2
    axes.set_ylim(low - room, high + room)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_xscale("log")
    costs = [point.params / unit for point in points]
    spread = max(1.12, (max(costs) / min(costs)) ** 0.12)
    axes.set_xlim(min(costs) / spread, max(costs) * spread)
    log_ticks(axes.xaxis, 6)


def _names(axes: Axes, points: Sequence[OwnTransfer], unit: float) -> None:
    """Each network's name once, at its fine-tuned point where there is one."""
    first = {point.network: point for point in sorted(points, key=lambda point: point.start, reverse=True)}
    places = [(point.params / unit, 100 * point.accuracy) for point in first.values()]
    colours = ["0.25"] * len(places)
    label_points(axes, places, list(first), colours, 8.0, _taken(axes, points, unit))


def _taken(axes: Axes, points: Sequence[OwnTransfer], unit: float) -> list[Bbox]:
    """The places of intervals and points, in pixels, which names keep off."""
    from matplotlib.transforms import Bbox

    boxes = []
    for point in points:
        x, y, aside = point.params / unit, 100 * point.accuracy, _APART[point.start]
        ends = axes.transData.transform([(x, y - point.bar[0]), (x, y + point.bar[1])])
        boxes.append(Bbox([ends[0] + (aside - 4, -4), ends[1] + (aside + 4, 4)]))
    return boxes


def _legend(figure: Figure, points: Sequence[OwnTransfer]) -> None:
    """What the marks mean, below the panels."""
    from matplotlib.lines import Line2D

    there = {point.start for point in points}
    marks = [
        Line2D([], [], color=colour, marker=marker, markersize=size, linewidth=1.1, label=label)
        for start, (label, colour, marker, size) in _LOOKS.items()
        if start in there
    ]
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
