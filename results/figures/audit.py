"""The figure of an audit: how each protocol ranks networks beside the reference, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.figures.labels import log_ticks
from results.figures.style import BLUE, RED, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPanel:
    """One protocol of an audit.

    Attributes:
        name: of the protocol.
        proxy, reference: mean accuracies of the networks, 0 to 1.
        proxy_error, reference_error: their standard deviations over seeds; 0 with one seed.
        macs: of the networks.
        tau, low, high: agreement with its interval; None where it is not defined.
        seconds: of a training; None where all failed.
    """

    name: str
    proxy: Sequence[float]
    reference: Sequence[float]
    proxy_error: Sequence[float]
    reference_error: Sequence[float]
    macs: Sequence[float]
    tau: float | None
    low: float | None
    high: float | None
    seconds: float | None


def audit_figure(panels: Sequence[AuditPanel], target: float, title: str) -> Figure:
    """A panel a protocol, and one of agreement over cost.

    Args:
        panels: the protocols, one at least.
        target: the tau to reach, a line.
        title: above the figure.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    number = len(panels) + 1
    columns = number if number <= 3 else math.ceil(number / 2) if number <= 6 else 4
    rows = math.ceil(number / columns)
    figure = Figure(figsize=(4.1 * columns + 0.9, 3.7 * rows + 0.4), layout="constrained")
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(number)]
    macs = [value for panel in panels for value in panel.macs]
    unit, word = unit_of(macs)
    low, high = min(macs, default=1.0) / unit, max(macs, default=1.0) / unit
    norm = LogNorm(low, high if high > low else 1.01 * low)
    points: Any = None
    for panel, ax in zip(panels, axes, strict=False):
        points = _ranks(ax, panel, [value / unit for value in panel.macs], norm)
    _cost(axes[-1], panels, target)
    bar = figure.colorbar(points, ax=axes[:-1], location="right", fraction=0.05, pad=0.02, aspect=30)
    bar.set_label(f"{word}multiply-adds of one image")
    log_ticks(bar.ax.yaxis)
    figure.suptitle(title)
    return figure


def _ranks(ax: Axes, panel: AuditPanel, macs: Sequence[float], norm: Any) -> Any:
    """One protocol beside the reference; the points, for the colours' scale."""
    x, y = [100 * value for value in panel.proxy], [100 * value for value in panel.reference]
    ax.errorbar(
        x,
        y,
        xerr=[100 * value for value in panel.proxy_error],
        yerr=[100 * value for value in panel.reference_error],
        fmt="none",
        ecolor="0.72",
        elinewidth=0.9,
        zorder=2,
    )
    points = ax.scatter(
        x, y, c=macs, norm=norm, cmap="viridis", s=30, edgecolors="white", linewidths=0.4, zorder=3
    )
    ax.set_xlabel("accuracy under it, %")
    ax.set_ylabel("accuracy under the reference, %")
    ax.set_title(f"{panel.name}\n{_tau_text(panel)}", fontsize=10)
    ax.grid(alpha=0.25)
    return points


def _tau_text(panel: AuditPanel) -> str:
    if panel.tau is None:
        return "τ is not defined"
    if panel.low is None or panel.high is None:
        return f"τ = {panel.tau:.2f}"
    return f"τ = {panel.tau:.2f} ({panel.low:.2f} to {panel.high:.2f})"


def _cost(ax: Axes, panels: Sequence[AuditPanel], target: float) -> None:
    """Agreement with its interval over the seconds of a training."""
    from matplotlib.patheffects import withStroke

    ax.axhline(target, color=RED, linewidth=1.2, linestyle="--", zorder=1)
    seconds = []
    for panel in panels:
        if panel.tau is None or not panel.seconds:
            continue
        seconds.append(panel.seconds)
        low = panel.tau if panel.low is None else min(panel.low, panel.tau)
        high = panel.tau if panel.high is None else max(panel.high, panel.tau)
        error = [[panel.tau - low], [high - panel.tau]]
        ax.errorbar([panel.seconds], [panel.tau], yerr=error, fmt="o", color=BLUE, capsize=3, zorder=3)
        beside = (panel.seconds, panel.tau)
        text = ax.annotate(
            panel.name, beside, xytext=(6, 4), textcoords="offset points", fontsize=8, zorder=4
        )
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])  # bars run behind names
    if seconds:
        ax.set_xscale("log")
        ax.set_xlim(min(seconds) / 1.6, max(seconds) * 2.4)  # names are written to the right
        log_ticks(ax.xaxis)
        ax.tick_params(axis="x", which="both", labelsize=8)
    ax.set_ylim(top=1.05)
    ax.text(  # at the left: names are written to the right of their points
        0.02,
        target,
        f"target {target:g}",
        color=RED,
        fontsize=8,
        ha="left",
        va="bottom",
        transform=ax.get_yaxis_transform(),
    )
    ax.set_xlabel("seconds of a training")
    ax.set_ylabel("Kendall's τ with the reference")
    ax.set_title("agreement and cost\n95 % intervals", fontsize=10)
    ax.grid(alpha=0.25)
