"""Finalists after full training: accuracy over multiply-adds with the corrected front, and over that of the
search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from results.figures.labels import label_points, log_ticks, plain, settle
from results.figures.style import BLUE, GREEN, RED, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

FAR = 3.0  # times the least MACs: from here on the axis is logarithmic
_SPAN = 0.5  # percentage points: an axis shows as much, however near the points are
_NAMED = 30  # points: more have no names


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalPoint:
    """A network, fully trained.

    Attributes:
        name: of it.
        role: ``finalist``, ``b0`` (B0's shape at equal MACs) or ``random``.
        recommended: the search bets on it.
        macs: multiply-adds of one image.
        params: parameters.
        proxy: accuracy in the search, 0 to 1; None where it was not measured there.
        validation, validation_error: the same of validation images, which ranks are of.
        accuracy: mean over seeds, 0 to 1, of the part that is reported.
        error: half the width of the mean's 95 % interval; None with a single training.
        seeds: trainings behind the mean.
        on_front: no other is as good and as cheap.
    """

    name: str
    role: Literal["finalist", "b0", "random"]
    recommended: bool
    macs: float
    params: float
    proxy: float | None
    validation: float
    validation_error: float | None
    accuracy: float
    error: float | None
    seeds: int
    on_front: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How the networks of a kind are drawn.

    Attributes:
        label: what they are.
        colour: of them.
        marker, symbol: in matplotlib and in plotly.
        size: typographic points.
    """

    label: str
    colour: str
    marker: str
    symbol: str
    size: float


LOOKS = {
    "recommended": Look(
        label="recommended by the search", colour=RED, marker="D", symbol="diamond", size=8.0
    ),
    "finalist": Look(label="other finalists", colour=BLUE, marker="o", symbol="circle", size=7.0),
    "b0": Look(label="B0-shaped", colour=GREEN, marker="^", symbol="triangle-up", size=8.0),
    "random": Look(label="random of the space", colour="0.55", marker="s", symbol="square", size=5.5),
}


def kind_of(point: FinalPoint) -> str:
    """Its place in `LOOKS`."""
    return "recommended" if point.recommended else point.role


def finalists_figure(points: Sequence[FinalPoint], part: str, title: str) -> Figure:
    """Accuracy over multiply-adds with intervals and the front; beside it, over the accuracy of the search.

    Args:
        points: in any order; none says that there are none.
        part: of the data that accuracies are of: ``test`` or ``validation``.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    known = [point for point in points if point.proxy is not None]
    both = len(known) > 1
    figure = Figure(figsize=(11.6 if both else 7.0, 5.2), layout="constrained")
    known = [_validated(point) for point in known]
    figure.suptitle(plain(title, 110 if both else 66), parse_math=False, fontsize=12)
    panels = list(figure.subplots(1, 2 if both else 1, squeeze=False)[0])
    if not points:
        panels[0].text(0.5, 0.5, "no network has a result yet", ha="center", transform=panels[0].transAxes)
        panels[0].set(xticks=[], yticks=[])
        return figure
    _over_macs(panels[0], points, part)
    if both:
        _over_proxy(panels[1], known)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    settle(figure)  # fixes the layout: names are placed by what is free then
    figure.set_layout_engine("none")
    unit, _ = unit_of([point.macs for point in points])
    _names(panels[0], points, [point.macs / unit for point in points])
    if both:
        _names(panels[1], known, [100 * (point.proxy or 0.0) for point in known])
    return figure


def measure(points: Sequence[FinalPoint], part: str) -> str:
    """The axis of the accuracy, and what the bars are."""
    fewest, most = min(point.seeds for point in points), max(point.seeds for point in points)
    if most == 1:
        return f"{part} accuracy, % (a single training each)"
    seeds = f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
    return f"{part} accuracy, %: mean of {seeds}, bars: 95 % interval"


def _over_macs(axes: Axes, points: Sequence[FinalPoint], part: str) -> None:
    unit, word = unit_of([point.macs for point in points])
    front = sorted((point for point in points if point.on_front), key=lambda point: point.macs)
    if front:
        axes.plot(
            [point.macs / unit for point in front],
            [100 * point.accuracy for point in front],
            drawstyle="steps-post",
            color="0.35",
            linewidth=1.3,
            label="corrected Pareto front",
            zorder=2,
        )
    _draw(axes, points, [point.macs / unit for point in points])
    low, high = min(p.macs for p in points) / unit, max(p.macs for p in points) / unit
    if high > FAR * low:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.25, high * 1.25)
        log_ticks(axes.xaxis)
    else:
        room = 0.12 * (high - low) or 0.05 * high
        axes.set_xlim(low - room, high + room)
    axes.set_xlabel(f"{word}multiply-adds of one image")
    axes.set_ylabel(measure(points, part))
    axes.set_title("after full training", fontsize=10)
    _finish(axes, points)


def _validated(point: FinalPoint) -> FinalPoint:
    """The same by its validation accuracy."""
    return replace(point, accuracy=point.validation, error=point.validation_error)


def _over_proxy(axes: Axes, points: Sequence[FinalPoint]) -> None:
    proxies = [100 * (point.proxy or 0.0) for point in points]
    _draw(axes, points, proxies)
    room = max(0.12 * (max(proxies) - min(proxies)), _SPAN / 4)
    axes.set_xlim(min(proxies) - room, max(proxies) + room)
    axes.set_xlabel("validation accuracy in the search, %")
    axes.set_ylabel("validation accuracy after full training, %")
    axes.set_title("was the search's ranking right? by validation accuracy, as the ranks", fontsize=10)
    _finish(axes, points)


def bar(point: FinalPoint) -> tuple[float, float]:
    """Its interval below and above the mean, percentage points; Student's may leave 0 to 100, and is cut."""
    error = point.error or 0.0
    return 100 * min(error, point.accuracy), 100 * min(error, 1.0 - point.accuracy)


def _draw(axes: Axes, points: Sequence[FinalPoint], across: Sequence[float]) -> None:
    """Points with their intervals, the recommended one above all."""
    for order, (kind, look) in enumerate(reversed(LOOKS.items())):
        its = [(x, point) for x, point in zip(across, points, strict=True) if kind_of(point) == kind]
        bars = [(x, 100 * point.accuracy, bar(point)) for x, point in its if point.error]
        if bars:
            x, y, error = zip(*bars, strict=True)
            axes.errorbar(
                x,
                y,
                yerr=list(zip(*error, strict=True)),
                fmt="none",
                ecolor=look.colour,
                elinewidth=1.5,
                capsize=3,
                alpha=0.8,
                zorder=3 + order,
            )
        if its:
            axes.plot(
                [x for x, _ in its],
                [100 * point.accuracy for _, point in its],
                linestyle="none",
                marker=look.marker,
                markersize=look.size,
                markeredgecolor="white",
                markeredgewidth=0.7,
                color=look.colour,
                label=look.label,
                zorder=8 + order,
            )


def _finish(axes: Axes, points: Sequence[FinalPoint]) -> None:
    low = min(100 * point.accuracy - bar(point)[0] for point in points)
    high = max(100 * point.accuracy + bar(point)[1] for point in points)
    room = 0.07 * (high - low) + max(0.0, _SPAN - (high - low)) / 2
    axes.set_ylim(max(low - room, -1.0), min(high + room, 101.0))
    axes.grid(alpha=0.22)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _names(axes: Axes, points: Sequence[FinalPoint], across: Sequence[float]) -> None:
    if len(points) > _NAMED:
        return
    label_points(
        axes,
        [(x, 100 * point.accuracy) for x, point in zip(across, points, strict=True)],
        [point.name for point in points],
        [LOOKS[kind_of(point)].colour for point in points],
        8.0,
        _bars(axes, points, across),
    )


def _bars(axes: Axes, points: Sequence[FinalPoint], across: Sequence[float]) -> list[Bbox]:
    """The places of intervals, in pixels, which names keep off."""
    from matplotlib.transforms import Bbox

    boxes = []
    for x, point in zip(across, points, strict=True):
        below, above = bar(point)
        middle = 100 * point.accuracy
        ends = axes.transData.transform([(x, middle - below), (x, middle + above)])
        if point.error:
            boxes.append(Bbox([ends[0] - (3, 0), ends[1] + (3, 0)]))
    return boxes
