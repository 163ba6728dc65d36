"""The Pareto front of a run, or of several over one another, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from results.figures.labels import label_points, log_ticks, plain, settle
from results.figures.style import BLUE, CYCLE, GREEN, GREY, RED, unit_of
from results.fronts import Limit, RunFront, is_raised, objective_values, violation_of
from results.pareto import Floats
from results.trial import ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

_FAR = 4.0  # times the costliest candidate: a baseline beyond it makes the axis logarithmic
_MANY = 2000  # points: from here on they are small, and an image within a vector graphic
_MARKERS = "os^vPX"
_LEGEND_WIDTH = 110  # characters
_WORDS = {
    "accuracy": "validation accuracy",
    "macs": "multiply-adds of one image",
    "params": "parameters",
    "seconds": "seconds of evaluation",
    "latency_ms": "latency, ms",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How an objective is written on an axis.

    Attributes:
        name: the objective.
        factor: what its values are multiplied with.
        label: of the axis, with the unit.
    """

    name: str
    factor: float
    label: str

    @classmethod
    def of(cls, name: str, values: Floats) -> Scale:
        """The scale for an objective with such values."""
        word = _WORDS.get(name, plain(name))
        if name.endswith("accuracy"):
            return cls(name=name, factor=100.0, label=f"{word}, %")
        if name in ("macs", "params"):
            unit, size = unit_of(values[np.isfinite(values)].tolist())
            return cls(name=name, factor=1.0 / unit, label=f"{size}{word}")
        return cls(name=name, factor=1.0, label=word)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """How a run is drawn; alone, it needs no name in the legend, but its parts do."""

    color: str
    marker: str
    alone: bool


@dataclass(slots=True, kw_only=True)
class _Drawing:
    """Axes with what is yet to be written on them.

    Attributes:
        figure, axes: what is drawn on.
        scales: of the objectives.
        edge: the worst value on the first axis: fronts reach so far.
        norm: third objective to 0 to 1; None where there are two.
        legend: handles with their texts.
        labels: of baselines: name, place and colour.
        marked: points that labels should not cover.
    """

    figure: Figure
    axes: Axes
    scales: list[Scale]
    edge: float
    norm: Normalize | None
    legend: list[tuple[Any, str]] = field(default_factory=list)
    labels: list[tuple[str, float, float, str]] = field(default_factory=list)
    marked: list[tuple[float, float]] = field(default_factory=list)

    def explain(self, words: str, **style: Any) -> None:
        """A line of the legend; the style is that of matplotlib's lines."""
        from matplotlib.lines import Line2D

        self.legend.append(
            (Line2D([], [], **{"marker": "o", "linestyle": "", "markersize": 5.5, **style}), words)
        )


def pareto_figure(runs: Sequence[RunFront], title: str) -> Figure:
    """Every finished candidate, the fronts, and the baselines with their names.

    The first two objectives are the axes and the fronts staircases; a third is the colour of their points.
    Dominated candidates are faint, those that break a limit fainter and open. Of one run the best reward is
    marked; several have a colour each.

    Args:
        runs: with fronts in the same objectives, one at least.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 5.0), layout="constrained")
    points, baselines, scales = scaled(runs)
    drawing = _Drawing(
        figure=figure,
        axes=figure.add_subplot(),
        scales=scales,
        edge=worst_end(scales[0], [p[:, 0] for p in [*points, *baselines]], runs[0].front.limits),
        norm=_norm([p[run.front.places] for run, p in zip(runs, points, strict=True)]),
    )
    looks = _looks(len(runs), drawing.norm is not None)
    for run, values, look in zip(runs, points, looks, strict=True):
        _draw_candidates(drawing, run, values, look)
        _draw_front(drawing, values[run.front.places], run, look)
    if len(runs) == 1:
        _draw_best(drawing, runs[0], points[0])
    else:
        _explain_kinds(drawing, runs)
    _draw_limits(drawing, runs[0])
    _draw_baselines(drawing, runs, baselines, looks)
    _finish(drawing, points, baselines, title)
    return figure


def scaled(runs: Sequence[RunFront]) -> tuple[list[Floats], list[Floats], list[Scale]]:
    """Candidates and baselines of each run as they stand on the axes, (N, K) each, NaN where one has no
    place; and the axes.

    Raises:
        ValueError: the objectives differ.
    """
    objectives = runs[0].front.objectives
    if any(run.front.objectives != objectives for run in runs):
        raise ValueError("the fronts must have the same objectives")
    points = [objective_values(run.trials, objectives) for run in runs]
    baselines = [objective_values(run.baselines, objectives) for run in runs]
    together = np.concatenate([*points, *baselines])
    shown = [
        together,
        together,
        np.concatenate([p[run.front.places] for run, p in zip(runs, points, strict=True)]),
    ]
    scales = [Scale.of(name, shown[place][:, place]) for place, name in enumerate(objectives)]
    factors = np.array([scale.factor for scale in scales])
    return [p * factors for p in points], [b * factors for b in baselines], scales


def best_place(run: RunFront) -> int | None:
    """Where the candidate with the best reward stands among a run's trials; None where none has one."""
    order = ranked(list(run.trials))
    return next((number for number, trial in enumerate(run.trials) if order and trial is order[0]), None)


def worst_end(scale: Scale, values: Sequence[Floats], limits: Sequence[Limit]) -> float:
    """Where fronts end on the first axis: at its worst value, or at a limit before it.

    Args:
        scale: of the axis.
        values: (N,) each, as on the axis.
        limits: any.
    """
    together = np.concatenate(values)
    together = together[np.isfinite(together)]
    sign = -1.0 if is_raised(scale.name) else 1.0
    worst = float((sign * together).max(initial=-np.inf))
    for limit in limits:
        if limit.name == scale.name and limit.comparison[0] == (">" if sign < 0 else "<"):
            worst = min(worst, sign * limit.bound * scale.factor)
    return sign * worst


def _looks(number: int, third: bool) -> list[_Look]:
    """Colours, and markers where the colour is a third objective or colours do not suffice."""
    if number == 1:
        return [_Look(color=BLUE, marker="o", alone=True)]
    return [
        _Look(
            color=CYCLE[place % len(CYCLE)],
            marker=_MARKERS[(place if third else place // len(CYCLE)) % len(_MARKERS)],
            alone=False,
        )
        for place in range(number)
    ]


def _norm(fronts: Sequence[Floats]) -> Normalize | None:
    """How the third objective becomes a colour; logarithmic over more than a decade."""
    from matplotlib.colors import LogNorm, Normalize

    together = np.concatenate(fronts)
    if together.shape[1] < 3:
        return None
    low, high = (float(f) for f in (together[:, 2].min(initial=np.inf), together[:, 2].max(initial=-np.inf)))
    if not low < high:
        middle = low if low == high else 0.0
        return Normalize(middle - 0.5, middle + 0.5)
    return LogNorm(low, high) if low > 0 and high > 10 * low else Normalize(low, high)


def _draw_candidates(drawing: _Drawing, run: RunFront, values: Floats, look: _Look) -> None:
    """Those that are not on the front."""
    feasible: npt.NDArray[np.bool_] = violation_of(run.trials, run.front.limits) == 0
    rest = np.asarray(np.isfinite(values).all(axis=1))
    rest[run.front.places] = False
    few = len(values) <= _MANY
    alpha = (0.3 if few else 0.12) if not look.alone else (1.0 if few else 0.4)
    style: dict[str, Any] = {"s": 20.0 if few else 5.0, "marker": look.marker}
    style |= {"zorder": 2, "rasterized": not few}
    dominated, infeasible = values[rest & feasible], values[rest & ~feasible]
    color = GREY if look.alone else look.color
    drawing.axes.scatter(dominated[:, 0], dominated[:, 1], color=color, alpha=alpha, linewidths=0, **style)
    color, alpha = ("0.8", alpha) if look.alone else (look.color, alpha / 2)
    hollow: dict[str, Any] = {"facecolors": "none", "edgecolors": color, "linewidths": 0.7 if few else 0.35}
    drawing.axes.scatter(infeasible[:, 0], infeasible[:, 1], alpha=alpha, **hollow, **style)
    if look.alone:
        drawing.explain(f"dominated ({len(dominated)})", color=GREY)
        if run.front.limits:
            drawing.explain(f"infeasible ({len(infeasible)})", color="0.7", markerfacecolor="none")


def _draw_front(drawing: _Drawing, front: Floats, run: RunFront, look: _Look) -> None:
    """A staircase in two objectives; in three only points."""
    x, y = front[:, 0].tolist(), front[:, 1].tolist()
    broken = bool(run.front.limits) and run.front.feasible == 0
    style: dict[str, Any] = {"marker": look.marker, "s": 36, "zorder": 4}
    stairs = drawing.norm is None and not broken
    if drawing.norm is not None:
        style |= {"c": front[:, 2], "cmap": "viridis", "norm": drawing.norm}
        style |= {
            "edgecolors": "white" if look.alone else look.color,
            "linewidths": 0.5 if look.alone else 1.1,
        }
    elif broken:
        style |= {"facecolors": "white", "edgecolors": look.color, "linewidths": 1.3}
    else:
        style |= {"color": look.color, "edgecolors": "white", "linewidths": 0.5}
        ends = ([*x, *[drawing.edge][: len(x)]], [*y, *y[-1:]])
        drawing.axes.step(*ends, where="post", color=look.color, linewidth=1.3, zorder=3)
    drawing.axes.scatter(x, y, **style)
    drawing.marked += list(zip(x, y, strict=True))
    words = f"{'least infeasible' if broken else 'Pareto front'} ({len(x)})"
    if not look.alone:
        words = f"{plain(run.name)} ({len(x)} {'least infeasible' if broken else 'on its front'})"
    face = "white" if broken else look.color
    line = "-" if stairs else ""
    drawing.explain(words, color=look.color, marker=look.marker, linestyle=line, markerfacecolor=face)


def _draw_best(drawing: _Drawing, run: RunFront, values: Floats) -> None:
    """A ring around the best reward."""
    place = best_place(run)
    if place is not None and np.isfinite(values[place]).all():
        x, y = float(values[place, 0]), float(values[place, 1])
        style: dict[str, Any] = {"facecolors": "none", "edgecolors": RED, "linewidths": 1.8}
        drawing.axes.scatter([x], [y], s=190, zorder=5, **style)
        ring: dict[str, Any] = {"markerfacecolor": "none", "markersize": 9, "markeredgewidth": 1.6}
        drawing.explain(f"best reward (candidate {run.trials[place].id})", color=RED, **ring)
        drawing.marked.append((x, y))


def _explain_kinds(drawing: _Drawing, runs: Sequence[RunFront]) -> None:
    """What is faint and what is open, where colours are runs."""
    drawing.explain("dominated in its run", color=GREY)
    if runs[0].front.limits:
        drawing.explain("infeasible", color="0.7", markerfacecolor="none")


def _draw_limits(drawing: _Drawing, run: RunFront) -> None:
    """A dashed line where a limit is on one of the axes."""
    style: dict[str, Any] = {"color": "0.45", "linewidth": 1.0, "linestyle": "--", "zorder": 1}
    for limit in run.front.limits:
        for scale, draw in zip(drawing.scales[:2], (drawing.axes.axvline, drawing.axes.axhline), strict=True):
            if limit.name == scale.name:
                draw(limit.bound * scale.factor, **style)
                drawing.explain(f"limit {plain(str(limit))}", color="0.45", marker="", linestyle="--")


def _draw_baselines(
    drawing: _Drawing, runs: Sequence[RunFront], baselines: Sequence[Floats], looks: Sequence[_Look]
) -> None:
    """Diamonds; one that several runs measured alike is drawn once."""
    seen: set[tuple[str, float, float]] = set()
    for run, values, look in zip(runs, baselines, looks, strict=True):
        color = GREEN if look.alone else look.color
        for trial, (x, y) in zip(run.baselines, values[:, :2].tolist(), strict=True):
            name = trial.baseline or ""
            if np.isfinite([x, y]).all() and (name, x, y) not in seen:
                seen.add((name, x, y))
                drawing.labels.append((name, x, y, color))
    if drawing.labels:
        _, x, y, colors = zip(*drawing.labels, strict=True)
        drawing.axes.scatter(x, y, s=60, marker="D", color=colors, edgecolors="white", zorder=6)
        color = GREEN if len(runs) == 1 else "0.35"
        drawing.explain(f"baselines ({len(drawing.labels)})", color=color, marker="D", markersize=6)
        drawing.axes.margins(x=0.08, y=0.1)


def _finish(drawing: _Drawing, points: Sequence[Floats], baselines: Sequence[Floats], title: str) -> None:
    """Everything that is written."""
    from matplotlib.cm import ScalarMappable

    axes, scales = drawing.axes, drawing.scales
    axes.set_xlabel(scales[0].label, parse_math=False)
    axes.set_ylabel(scales[1].label, parse_math=False)
    axes.set_title(plain(title, 90), parse_math=False)
    axes.grid(alpha=0.25)
    for place, (axis, which) in enumerate(((axes.xaxis, "xscale"), (axes.yaxis, "yscale"))):
        if is_logarithmic(points, baselines, place):
            axes.set(**{which: "log"})
            log_ticks(axis)
    if drawing.norm is not None:
        bar = drawing.figure.colorbar(ScalarMappable(drawing.norm, "viridis"), ax=axes, aspect=30, pad=0.02)
        bar.set_label(scales[2].label, parse_math=False)
        if bar.ax.get_yscale() == "log":
            log_ticks(bar.ax.yaxis)
    if not np.isfinite(np.concatenate([*points, *baselines])).all(axis=1).any():
        axes.text(0.5, 0.5, "no result yet", transform=axes.transAxes, ha="center", va="center", color="0.5")
        axes.set(xticks=[], yticks=[])
    _write_legend(drawing)
    _write_names(drawing)


def _write_names(drawing: _Drawing) -> None:
    """Beside the baselines, clear of the points that are marked."""
    from matplotlib.transforms import Bbox

    if not drawing.labels:
        return
    settle(drawing.figure)
    names, x, y, colours = zip(*drawing.labels, strict=True)
    marked = drawing.axes.transData.transform(np.array(drawing.marked).reshape(-1, 2))
    taken = [Bbox.from_extents(*(dot - 5), *(dot + 5)) for dot in marked]
    label_points(drawing.axes, list(zip(x, y, strict=True)), names, colours, 8.3, taken)


def _write_legend(drawing: _Drawing) -> None:
    """Below the axes, where it covers nothing."""
    handles = [handle for handle, _ in drawing.legend]
    lengths = [len(words) + 7 for _, words in drawing.legend]
    in_a_row = len(lengths) if sum(lengths) <= _LEGEND_WIDTH else max(1, _LEGEND_WIDTH // max(lengths))
    legend = drawing.figure.legend(
        handles,
        [str(number) for number in range(len(handles))],
        loc="outside lower center",
        ncols=in_a_row,
        fontsize="small",
        frameon=False,
    )
    # the texts come after: matplotlib leaves out what begins with an underscore
    for text, (_, words) in zip(legend.get_texts(), drawing.legend, strict=True):
        text.set_parse_math(False)
        text.set_text(words)


def is_logarithmic(points: Sequence[Floats], baselines: Sequence[Floats], place: int) -> bool:
    """Whether a baseline is so far beyond the candidates that these would be a heap at the side.

    Args:
        points, baselines: of each run, (N, K), as on the axes.
        place: the axis.
    """
    ours, theirs = (np.concatenate(values)[:, place] for values in (points, baselines))
    ours, theirs = ours[np.isfinite(ours)], theirs[np.isfinite(theirs)]
    if len(ours) == 0 or len(theirs) == 0 or min(ours.min(), theirs.min()) <= 0:
        return False
    return bool(theirs.max() > _FAR * ours.max())
