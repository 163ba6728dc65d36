"""The Pareto front as one HTML page: a plotly figure, with its script in the page to work offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from results.export import write_whole
from results.figures.labels import plain
from results.figures.pareto import Scale, best_place, is_logarithmic, scaled, worst_end
from results.figures.style import BLUE, CYCLE, GREEN, RED
from results.fronts import RunFront, violation_of
from results.pareto import Floats
from results.trial import Trial

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MANY = 3000  # points: from here on the graphics card draws them
_SYMBOLS = ("circle", "square", "triangle-up", "triangle-down", "cross", "x")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>html, body {{ margin: 0; height: 100%; }} body > div {{ height: 100%; }}</style>
</head>
<body>
{figure}
</body>
</html>
"""


def save_pareto_page(runs: Sequence[RunFront], title: str, path: str | Path) -> None:
    """Write an interactive figure: what `pareto_figure` shows, and each network on hovering.

    Args:
        runs, title: as of `pareto_figure`.
        path: of the page.

    Raises:
        InputError: it cannot be written.
    """
    write_page(pareto_page_figure(runs, title), title, path)


def write_page(figure: go.Figure, title: str, path: str | Path) -> None:
    """Write a figure of plotly as a page that needs no network.

    Args:
        figure: what it shows.
        title: of the page.
        path: of the page.

    Raises:
        InputError: it cannot be written.
    """
    body = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        default_height="100%",
        config={"displaylogo": False, "responsive": True, "scrollZoom": True},
    )
    page = _PAGE.format(title=escape(plain(title, 90)), figure=body)
    write_whole(Path(path), lambda unfinished: unfinished.write_text(page, encoding="utf-8"))


def pareto_page_figure(runs: Sequence[RunFront], title: str) -> go.Figure:
    """The plotly figure of `save_pareto_page`.

    Args:
        runs, title: as of `pareto_figure`.
    """
    import plotly.graph_objects as go

    points, baselines, scales = scaled(runs)
    thirds = [p[run.front.places, 2:] for run, p in zip(runs, points, strict=True)]
    page = _Page(
        figure=go.Figure(),
        scales=scales,
        edge=worst_end(scales[0], [p[:, 0] for p in [*points, *baselines]], runs[0].front.limits),
        colors=np.concatenate(thirds)[:, 0] if len(scales) == 3 else None,
    )
    for number, (run, values, others) in enumerate(zip(runs, points, baselines, strict=True)):
        color = BLUE if len(runs) == 1 else CYCLE[number % len(CYCLE)]
        symbol = _SYMBOLS[number % len(_SYMBOLS)] if len(scales) == 3 else "circle"
        look = _Look(color=color, symbol=symbol, run="" if len(runs) == 1 else page_text(run.name))
        _add_candidates(page, run, values, look)
        _add_front(page, run, values, look)
        _add_baselines(page, run, others, look)
    if len(runs) == 1:
        _add_best(page, runs[0], points[0])
    for limit in runs[0].front.limits:
        for scale, add in zip(scales[:2], (page.figure.add_vline, page.figure.add_hline), strict=True):
            if limit.name == scale.name:
                add(limit.bound * scale.factor, line={"color": "#777", "width": 1, "dash": "dash"})
    _lay_out(page, points, baselines, title)
    return page.figure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """A figure with its objectives.

    Attributes:
        figure: of plotly.
        scales: of the objectives.
        edge: fronts reach so far on the first axis.
        colors: the third objective of all that is on a front; None where there is none.
    """

    figure: go.Figure
    scales: Sequence[Scale]
    edge: float
    colors: Floats | None

    def add(self, trials: Sequence[Trial], values: Floats, name: str, look: _Look, **style: Any) -> None:
        """Points with what is said of them on hovering."""
        import plotly.graph_objects as go

        kind = go.Scattergl if len(trials) > _MANY else go.Scatter
        self.figure.add_trace(
            kind(
                x=values[:, 0].tolist(),
                y=values[:, 1].tolist(),
                name=f"{look.run}{': ' if look.run else ''}{name} ({len(trials)})",
                hoverinfo="text",
                hovertext=[
                    _hover(trial, its, self.scales, look.run)
                    for trial, its in zip(trials, values, strict=True)
                ],
                **{"mode": "markers", **style},
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """How a run is drawn; its name is empty where it is alone."""

    color: str
    symbol: str
    run: str


def _add_candidates(page: _Page, run: RunFront, values: Floats, look: _Look) -> None:
    """Those that are not on the front."""
    rest = np.asarray(np.isfinite(values).all(axis=1))
    rest[run.front.places] = False
    feasible = violation_of(run.trials, run.front.limits) == 0
    color, opacity = (look.color, 0.25) if look.run else ("#b8b8b8", 0.7)
    size = 6 if len(values) <= _MANY else 4
    for kind, mask, fainter, end in (
        ("dominated", rest & feasible, 1.0, ""),
        ("infeasible", rest & ~feasible, 0.7, "-open"),
    ):
        if kind == "infeasible" and not run.front.limits:
            continue
        places = np.flatnonzero(mask).tolist()
        marker = {"size": size, "color": color, "symbol": f"{look.symbol}{end}", "opacity": fainter * opacity}
        page.add([run.trials[place] for place in places], values[places], kind, look, marker=marker)


def _add_front(page: _Page, run: RunFront, values: Floats, look: _Look) -> None:
    """A staircase in two objectives; in three, points with the colour of the third."""
    front = values[run.front.places]
    broken = bool(run.front.limits) and run.front.feasible == 0
    marker: dict[str, Any] = {"size": 9, "color": look.color, "line": {"width": 1, "color": "white"}}
    marker["symbol"] = f"{look.symbol}-open" if broken else look.symbol
    if page.colors is not None:
        third = _viridis(front[:, 2], page.colors)
        marker |= {"color": third, "line": {"width": 1.5, "color": look.color}}
    elif not broken and len(front):
        page.figure.add_scatter(
            x=[*front[:, 0].tolist(), page.edge],
            y=[*front[:, 1].tolist(), float(front[-1, 1])],
            mode="lines",
            line={"shape": "hv", "color": look.color, "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
    name = "least infeasible" if broken else "Pareto front"
    page.add(run.front.trials, front, name, look, marker=marker)


def _viridis(values: Floats, among: Floats) -> list[str]:
    """A colour for each value (N,), from the least to the largest of all fronts."""
    from plotly.colors import sample_colorscale

    low, high = float(among.min(initial=np.inf)), float(among.max(initial=-np.inf))
    shares = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    return list(sample_colorscale("Viridis", shares.tolist())) if len(values) else []


def _add_best(page: _Page, run: RunFront, values: Floats) -> None:
    """A ring around the best reward."""
    place = best_place(run)
    if place is not None and np.isfinite(values[place]).all():
        page.figure.add_scatter(
            x=[float(values[place, 0])],
            y=[float(values[place, 1])],
            mode="markers",
            marker={"size": 18, "symbol": "circle-open", "color": RED, "line": {"width": 2}},
            name=f"best reward (candidate {run.trials[place].id})",
            hoverinfo="skip",
        )


def _add_baselines(page: _Page, run: RunFront, values: Floats, look: _Look) -> None:
    """Diamonds with names."""
    places = np.flatnonzero(np.isfinite(values[:, :2]).all(axis=1)).tolist()
    trials = [run.baselines[place] for place in places]
    color = look.color if look.run else GREEN
    if trials:
        page.add(
            trials,
            values[places],
            "baselines",
            look,
            mode="markers+text",
            marker={"size": 11, "symbol": "diamond", "color": color, "line": {"width": 1, "color": "white"}},
            text=[page_text(trial.baseline or "") for trial in trials],
            textposition="top center",
            textfont={"color": color},
        )


def _lay_out(page: _Page, points: Sequence[Floats], baselines: Sequence[Floats], title: str) -> None:
    """Axes, title and legend."""
    axes: list[dict[str, Any]] = []
    for place, scale in enumerate(page.scales[:2]):
        kind = "log" if is_logarithmic(points, baselines, place) else "linear"
        line = {"gridcolor": "#e6e6e6", "linecolor": "#444", "zeroline": False, "mirror": True}
        axes.append({**line, "type": kind, "title": {"text": page_text(scale.label)}})
    page.figure.update_layout(
        title={"text": page_text(title, 90), "x": 0.5},
        xaxis=axes[0],
        yaxis=axes[1],
        plot_bgcolor="white",
        hovermode="closest",
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "y": -0.14},
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
    )
    if page.colors is not None and len(page.colors):
        bar = {"title": {"text": page_text(page.scales[2].label), "side": "right"}}
        ends = [float(page.colors.min()), float(page.colors.max())]
        marker = {"color": ends, "colorscale": "Viridis", "showscale": True, "colorbar": bar}
        page.figure.add_scatter(
            x=[None, None], y=[None, None], mode="markers", marker=marker, showlegend=False, hoverinfo="skip"
        )


def page_text(name: str, longest: int = 40) -> str:
    """A name in a figure of plotly, which reads tags and TeX; it does not know what stands for quotes."""
    return escape(plain(name, longest), quote=False).replace("$", "&#36;")


def _hover(trial: Trial, values: Floats, scales: Sequence[Scale], run: str) -> str:
    """What a network is."""
    facts = {
        scale.name: f"{page_text(scale.label)}: {value:.5g}"
        for scale, value in zip(scales, values.tolist(), strict=True)
        if np.isfinite(value)
    }
    facts |= {
        "accuracy": f"validation accuracy, %: {100 * (trial.accuracy or 0.0):.2f}",
        "reward": "" if trial.reward is None else f"reward: {trial.reward:.4f}",
        "macs": f"multiply-adds: {trial.macs:,}",
        "params": f"parameters: {trial.params:,}",
    }
    stages = escape(trial.network().summary(), quote=False).split(" | ")
    lines = [f"<b>{page_text(trial.title)}</b>", run, *facts.values(), *stages]
    return "<br>".join(line for line in lines if line)
