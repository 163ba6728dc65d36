"""What objectives prefer: curves of equal reward, what each would choose, and how far from the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from results.figures.labels import log_ticks, name_legend, plain
from results.figures.style import CYCLE
from results.pareto import pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
_MANY = 2000  # points that are drawn small, and as pixels in a vector file
_MARKERS = "os^DvPXp*"
_NEAR = 1.05  # times the target, or less by it: a choice on it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RewardCurve:
    """An objective as it is drawn.

    Attributes:
        name: in words.
        own: whether it is the one that is asked about.
        ratio: (N,) costs over the target, rising.
        accuracy: (N,) what has the same reward there.
        choice: cost over the target and accuracy of the network that it rewards most; None where nothing is
            known.
    """

    name: str
    own: bool
    ratio: Floats
    accuracy: Floats
    choice: tuple[float, float] | None = None


def objective_figure(curves: Sequence[RewardCurve], points: Floats, accuracy: float, title: str) -> Figure:
    """Curves of equal reward over the networks, and beside them how far each choice is from the target.

    Args:
        curves: of the objectives, one at least.
        points: (N, 2) cost over the target and accuracy (0 to 1) of networks; none is allowed, and then the
            curves are drawn alone.
        accuracy: at the target, through which all curves go.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    chosen = any(curve.choice is not None for curve in curves)
    figure = Figure(figsize=(10.4, 4.9) if chosen else (7.0, 4.9), layout="constrained")
    if chosen:
        left, right = figure.subplots(1, 2, width_ratios=(1.75, 1.0))
        _drifts(right, curves)
    else:
        left = figure.subplots()
    _window(left, points, accuracy, [c.choice for c in curves if c.choice is not None])
    _networks(left, points)
    _curves(left, curves, accuracy)
    if not chosen:
        _legend(left, curves)
    figure.suptitle(plain(title, 100), parse_math=False, fontsize=12)
    return figure


def _window(axes: Axes, points: Floats, accuracy: float, choices: Sequence[tuple[float, float]]) -> None:
    """Limits that show the networks worth seeing, and T in any case."""
    ratios, heights = [0.5, 2.0], [0.93 * accuracy, min(1.0, 1.05 * accuracy)]
    if len(points):
        front = points[pareto_front(points[:, 1], points[:, 0])]
        worth = front[front[:, 1] >= 0.8 * front[:, 1].max()]
        ratios = [0.85, 1.18, worth[:, 0].min() / 1.25, worth[:, 0].max() * 1.25]
        ratios += [ratio * factor for ratio, _ in choices for factor in (0.85, 1.18)]
        lows = [accuracy, *(its for _, its in choices), float(worth[:, 1].min())]
        span = max(float(front[:, 1].max()) - min(lows), 0.02)
        heights = [min(lows) - 0.12 * span, float(front[:, 1].max()) + 0.18 * span]
    axes.set_xscale("log")
    axes.set_xlim(min(ratios), max(ratios))
    axes.set_ylim(100 * min(heights), 100 * max(heights))
    log_ticks(axes.xaxis)
    axes.set_xlabel("cost / T")
    axes.set_ylabel("validation accuracy, %" if len(points) else "accuracy, %")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    words = "equal reward along each curve"
    words += "; the marker is the network it chooses" if choices else ""
    axes.set_title(words, fontsize=9, color="0.35")


def _networks(axes: Axes, points: Floats) -> None:
    """All networks faint, and their front."""
    if not len(points):
        return
    many = len(points) > _MANY
    axes.scatter(
        points[:, 0],
        100 * points[:, 1],
        s=3 if many else 14,
        color="0.5",
        alpha=0.3 if many else 0.45,
        linewidths=0,
        rasterized=many,
        zorder=1,
    )
    front = points[pareto_front(points[:, 1], points[:, 0])]
    axes.plot(front[:, 0], 100 * front[:, 1], drawstyle="steps-post", color="0.25", linewidth=1.1, zorder=2)


def _curves(axes: Axes, curves: Sequence[RewardCurve], accuracy: float) -> None:
    """Curves through one point at T; a network above a curve is rewarded more than that point."""
    axes.axvline(1.0, color="0.35", linewidth=1.0, linestyle=(0, (4, 3)), zorder=2)
    for place, curve in enumerate(curves):
        color, marker = _look(place)
        axes.plot(
            curve.ratio,
            100 * curve.accuracy,
            color=color,
            linewidth=2.4 if curve.own else 1.4,
            label=str(place),
            zorder=3 + curve.own,
        )
        if curve.choice is not None:
            after = sum(other.choice == curve.choice for other in curves[place + 1 :])
            axes.plot(
                curve.choice[0],
                100 * curve.choice[1],
                marker=marker,
                markersize=7.5 + 4.0 * after,  # several on one network lie within one another
                color=color,
                markeredgecolor="white",
                markeredgewidth=0.9,
                linestyle="",
                zorder=6 + 0.1 * place,
            )
    axes.plot(1.0, 100 * accuracy, marker="+", color="black", markersize=9, markeredgewidth=1.4, zorder=9)


def _legend(axes: Axes, curves: Sequence[RewardCurve]) -> None:
    """Names of the curves, where no bars beside them have these."""
    handles, names = axes.get_legend_handles_labels()
    legend = axes.legend(handles, names, loc="lower right", fontsize=8, framealpha=0.9)
    name_legend(legend, [curve.name for curve in curves])
    legend.set_zorder(10)


def _drifts(axes: Axes, curves: Sequence[RewardCurve]) -> None:
    """A bar for each objective, from the target to the cost of what it chooses."""
    ratios = [1.0 if curve.choice is None else curve.choice[0] for curve in curves]
    most = max(1.5, *ratios, *(1.0 / ratio for ratio in ratios))
    axes.set_xscale("log")
    axes.set_xlim(most**-1.2, most**1.2)
    axes.axvspan(1 / _NEAR, _NEAR, color="0.93", zorder=0)
    axes.axvline(1.0, color="0.35", linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    for place, (curve, ratio) in enumerate(zip(curves, ratios, strict=True)):
        if curve.choice is None:
            continue
        color, marker = _look(place)
        axes.barh(place, ratio - 1.0, left=1.0, height=0.45, color=color, alpha=0.8, zorder=2)
        axes.plot(ratio, place, marker=marker, color=color, markersize=8, markeredgecolor="white", zorder=3)
        axes.annotate(
            f"{ratio:.2f} x, {100 * curve.choice[1]:.1f} %",
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            fontweight="bold" if curve.own else "normal",
            annotation_clip=False,
        )
    names = [plain(curve.name, 30) for curve in curves]
    axes.set_yticks(range(len(curves)), names, fontsize=9, parse_math=False)
    for place, label in enumerate(axes.get_yticklabels()):
        label.set(color=_look(place)[0], fontweight="bold" if curves[place].own else "normal")
    axes.set_ylim(len(curves) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    log_ticks(axes.xaxis, 6)
    axes.set_xlabel("cost / T of what it chooses")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _look(place: int) -> tuple[str, str]:
    """Colour and marker."""
    return CYCLE[place % len(CYCLE)], _MARKERS[place % len(_MARKERS)]
