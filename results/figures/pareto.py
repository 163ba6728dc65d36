"""The Pareto front of a run, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from results.figures.style import BLUE, GREEN, RED, unit_of
from results.run import Front
from results.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FAR = 4.0  # times the costliest candidate
_LABELS = {"macs": "multiply-adds", "params": "parameters"}


def pareto_figure(
    trials: list[Trial], front: Front, title: str, cost: str = "macs", baselines: Sequence[Trial] = ()
) -> Figure:
    """Every finished candidate, the Pareto front as a staircase, the best reward and the baselines marked.

    Args:
        trials: of a run.
        front: theirs.
        title: above the figure.
        cost: the axis: ``macs`` or ``params``.
        baselines: reference networks, drawn where they are finished, and with their names.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    on_front = {trial.id for trial in front.trials}
    done = [trial for trial in trials if trial.status == "done"]
    others = [trial for trial in done if trial.id not in on_front]
    references = [trial for trial in baselines if trial.status == "done"]
    unit, word = unit_of([getattr(trial, cost) for trial in [*done, *references]])
    axes.scatter(
        [getattr(trial, cost) / unit for trial in others],
        [100 * (trial.accuracy or 0.0) for trial in others],
        s=22,
        color="0.72",
        label=f"dominated ({len(others)})",
        zorder=2,
    )
    x = [getattr(trial, cost) / unit for trial in front.trials]
    y = [100 * (trial.accuracy or 0.0) for trial in front.trials]
    right = max([getattr(trial, cost) / unit for trial in [*done, *references]], default=0.0)
    axes.step([*x, *[right][: len(y)]], [*y, *y[-1:]], where="post", color=BLUE, linewidth=1.3, zorder=3)
    axes.scatter(x, y, s=38, color=BLUE, label=f"Pareto front ({len(x)})", zorder=4)
    best = max(done, key=lambda trial: (trial.reward or 0.0, -trial.id), default=None)
    if best is not None:
        axes.scatter(
            [getattr(best, cost) / unit],
            [100 * (best.accuracy or 0.0)],
            s=190,
            facecolors="none",
            edgecolors=RED,
            linewidths=1.8,
            label=f"best reward (candidate {best.id})",
            zorder=5,
        )
    if references:
        _draw_baselines(axes, references, done, cost, unit)
    axes.set_xlabel(f"{word}{_LABELS[cost]} of one image" if cost == "macs" else f"{word}{_LABELS[cost]}")
    axes.set_ylabel("validation accuracy, %")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    axes.legend(loc="best")
    return figure


def _draw_baselines(
    axes: Axes, baselines: Sequence[Trial], candidates: Sequence[Trial], cost: str, unit: float
) -> None:
    """Diamonds with names; the cost is logarithmic where one is far from the candidates."""
    x = [getattr(trial, cost) / unit for trial in baselines]
    y = [100 * (trial.accuracy or 0.0) for trial in baselines]
    axes.scatter(
        x, y, s=64, marker="D", color=GREEN, edgecolors="white", label=f"baselines ({len(x)})", zorder=6
    )
    axes.margins(x=0.08, y=0.1)
    middle = float(np.mean(axes.get_xlim()))
    for trial, at, height in zip(baselines, x, y, strict=True):
        left = at > middle
        axes.annotate(
            trial.baseline or "",
            (at, height),
            xytext=(-7 if left else 7, 5),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize="small",
            color="#2b6238",
            zorder=7,
            parse_math=False,  # a name is the user's text
        )
    if candidates and max(x) > _FAR * max(getattr(trial, cost) / unit for trial in candidates):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
