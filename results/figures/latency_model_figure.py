"""The figure of a latency model: predicted beside measured, and MACs beside measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.figures.labels import log_ticks, plain
from results.figures.style import BLUE, GREY, RED, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAND = 0.1  # of the diagonal: predictions within so much of the measurement


def latency_model_figure(
    measured: Sequence[float],
    predicted: Sequence[float],
    macs: Sequence[float],
    *,
    model_text: str,
    macs_text: str,
    title: str,
) -> Figure:
    """Networks that a model was not fitted to: what it says of them, and what MACs alone say.

    Args:
        measured, predicted: latencies in ms (H,), one network at least.
        macs: multiply-adds of one image (H,).
        model_text, macs_text: above the two panels, such as the rank correlations.
        title: above the figure; names in it are drawn as they are.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _against_model(left, measured, predicted)
    left.set_title(plain(model_text, 80), fontsize=10.5, parse_math=False)
    unit, word = unit_of(macs)
    _points(right, [value / unit for value in macs], measured)
    right.set_xlabel(f"{word}multiply-adds of one image")
    right.set_title(plain(macs_text, 80), fontsize=10.5, parse_math=False)
    figure.suptitle(plain(title, 110), fontsize=12, parse_math=False)
    for ax in (left, right):
        ax.grid(alpha=0.25)
        log_ticks(ax.xaxis, most=7)
    log_ticks(left.yaxis, most=7)
    right.tick_params(labelleft=False)  # the scale is the left panel's
    return figure


def _against_model(ax: Axes, measured: Sequence[float], predicted: Sequence[float]) -> None:
    """Measured over predicted, with the diagonal and a band around it."""
    _points(ax, predicted, measured)
    low, high = min(*measured, *predicted) / 1.08, max(*measured, *predicted) * 1.08
    ends = [low, high]
    ax.fill_between(
        ends,
        [(1 - _BAND) * value for value in ends],
        [(1 + _BAND) * value for value in ends],
        color=GREY,
        alpha=0.35,
        linewidth=0,
        zorder=1,
        label=f"within {100 * _BAND:.0f} %",
    )
    ax.plot(ends, ends, color=RED, linewidth=1.2, zorder=2, label="equal")
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_xlabel("predicted, ms")
    ax.set_ylabel("measured, ms")
    ax.legend(loc="upper left", frameon=False, fontsize=9)


def _points(ax: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.scatter(x, y, s=22, color=BLUE, alpha=0.75, edgecolors="white", linewidths=0.4, zorder=3)
