"""How a search got there: reward, accuracy and cost over its candidates, and the hypervolume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from results.figures.labels import log_ticks, name_legend, plain
from results.figures.style import BLUE, RED, unit_of
from results.progress import Floats, SearchCurves
from results.wording import amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE = 12.0  # from here on, largest over smallest, a cost is drawn on a logarithmic axis
_MANY = 2000  # points that are drawn small, and as pixels in a vector file
# Okabe and Ito's colours, but for yellow: they tell apart for the colour-blind
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_LINES = ("-", "--", ":", "-.")


def search_figure(curves: SearchCurves, title: str) -> Figure:
    """Reward, accuracy and the search's cost of each result, and of the best reward until then.

    Args:
        curves: of a search, N results; none is allowed.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 7.0), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    unit, label = _cost_axis(curves)
    _panel(panels[0], curves, curves.reward, "reward", "{:.4f}".format)
    _panel(panels[1], curves, 100 * curves.accuracy, "validation accuracy, %", "{:.2f} %".format)
    _panel(
        panels[2],
        curves,
        curves.costs / unit,
        label,
        lambda cost: amount(cost * unit, curves.cost, unit=False),
    )
    if len(curves.costs) and curves.costs.max() > _WIDE * curves.costs.min() > 0:
        panels[2].set_yscale("log")
        log_ticks(panels[2].yaxis)
    panels[2].set_xlabel("results in order of arrival")
    panels[2].set_xlim(0, 1.03 * max(len(curves.ids), 2))
    panels[2].xaxis.get_major_locator().set_params(integer=True)
    if len(curves.ids):
        best = int(curves.ids[curves.best[-1]])
        handles, _ = panels[0].get_legend_handles_labels()
        names = (f"one network ({len(curves.ids):,})", "best reward so far", f"candidate {best}")
        legend = figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
        legend.legend_handles[0].set(alpha=0.6, sizes=[16])  # type: ignore[union-attr]
    figure.suptitle(plain(title, 90), parse_math=False, fontsize=12)
    return figure


def _cost_axis(curves: SearchCurves) -> tuple[float, str]:
    """What costs are divided by, and the label."""
    names = {"macs": "multiply-adds", "params": "parameters"}
    if curves.cost not in names:
        return 1.0, "latency, ms" if curves.cost == "latency_ms" else plain(curves.cost)
    unit, word = unit_of(curves.costs.tolist())
    return unit, f"{word}{names[curves.cost]}"


def _panel(
    axes: Axes, curves: SearchCurves, values: Floats, label: str, text: Callable[[float], str]
) -> None:
    """One quantity: all points faint, that of the best until then as a line, the last best ringed."""
    axes.set_ylabel(label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if not len(values):
        _nothing(axes)
        return
    x = np.arange(1, len(values) + 1)
    many = len(values) > _MANY
    axes.scatter(
        x,
        values,
        s=3 if many else 16,
        color="0.45",
        alpha=0.25 if many else 0.45,
        linewidths=0,
        rasterized=many,
        label="one network",
        zorder=2,
    )
    axes.plot(
        x, values[curves.best], drawstyle="steps-post", color=BLUE, linewidth=1.7, label="best", zorder=3
    )
    last = int(curves.best[-1])
    axes.scatter(
        [x[last]],
        [values[last]],
        s=90,
        facecolors="none",
        edgecolors=RED,
        linewidths=1.6,
        label="ring",
        zorder=4,
    )
    axes.annotate(
        text(float(values[last])),
        (1.0, values[last]),
        xycoords=("axes fraction", "data"),
        xytext=(5, 0),
        textcoords="offset points",
        color=BLUE,
        fontsize=9,
        va="center",
        annotation_clip=False,
    )


def hypervolume_figure(curves: Sequence[tuple[str, SearchCurves]], title: str) -> Figure:
    """The hypervolume of one search or of several, over their results and over the hours these cost.

    Args:
        curves: name and curves of each.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    longest = max((float(c.hours[-1]) for _, c in curves if len(c.hours)), default=0.0)
    per_hour, unit = _time_unit(longest)
    for number, (_, found) in enumerate(curves):
        style = {
            "color": _COLOURS[number % len(_COLOURS)],
            "linestyle": _LINES[number // len(_COLOURS) % len(_LINES)],
        }
        many = np.arange(1, len(found.hypervolume) + 1, dtype=np.float64)
        for axes, x in ((left, many), (right, found.hours * per_hour)):
            axes.plot(x, found.hypervolume, drawstyle="steps-post", linewidth=1.7, label=str(number), **style)
            axes.plot(x[-1:], found.hypervolume[-1:], marker="o", markersize=4, color=style["color"])
    left.set_xlabel("results in order of arrival")
    left.xaxis.get_major_locator().set_params(integer=True)
    right.set_xlabel(f"{_whose({found.hours_label for _, found in curves})}{unit}, added up over all workers")
    left.set_ylabel(f"hypervolume\n{_references(curves)}")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
        if not any(len(found.hypervolume) for _, found in curves):
            _nothing(axes)
    if len(curves) > 1:
        handles, _ = left.get_legend_handles_labels()
        legend = right.legend(
            handles, [str(place) for place in range(len(handles))], loc="lower right", fontsize=8
        )
        name_legend(legend, [name for name, _ in curves])
    figure.suptitle(plain(title, 110), parse_math=False, fontsize=12)
    return figure


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no result yet", transform=axes.transAxes, ha="center", va="center", color="0.5")


def _time_unit(hours: float) -> tuple[float, str]:
    """How many of a unit make an hour, and its name, so that the axis has readable numbers."""
    if hours >= 2:
        return 1.0, "hours"
    return (60.0, "minutes") if hours * 60 >= 2 else (3600.0, "seconds")


def _whose(labels: set[str]) -> str:
    """``GPU-`` or ``worker-``; both where runs differ."""
    return " and ".join(sorted(label.removesuffix("hours") for label in labels)) or "worker-"


def _references(curves: Sequence[tuple[str, SearchCurves]]) -> str:
    """What the hypervolume is measured from; runs with different points do not compare."""
    points = sorted({(found.reference, found.cost) for _, found in curves})
    if len(points) > 1:
        return "reference points differ: curves do not compare"
    return "".join(f"from accuracy 0, {amount(cost, name)}" for cost, name in points)
