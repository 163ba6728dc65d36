"""The Pareto front as one HTML page: a plotly figure, with its script in the page to work offline."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from results.export import write_whole
from results.figures.pareto import Scale, scaled
from results.figures.style import BLUE, CYCLE, GREEN, plain_name
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


def save_pareto_page(runs: Sequence[RunFront], title: str, path: Path) -> None:
    """Write an interactive figure: what `pareto_figure` shows, and each network on hovering.

    Args:
        runs, title: as of `pareto_figure`.
        path: of the page.

    Raises:
        InputError: it cannot be written.
    """
    body = pareto_page_figure(runs, title).to_html(
        full_html=False,
        include_plotlyjs=True,
        default_height="100%",
        config={"displaylogo": False, "responsive": True, "scrollZoom": True},
    )
    page = _PAGE.format(title=escape(plain_name(title)), figure=body)
    write_whole(path, lambda unfinished: unfinished.write_text(page, encoding="utf-8"))


def pareto_page_figure(runs: Sequence[RunFront], title: str) -> go.Figure:
    """The plotly figure of `save_pareto_page`.

    Args:
        runs, title: as of `pareto_figure`.
    """
    import plotly.graph_objects as go

    points, baselines, scales = scaled(runs)
    figure = go.Figure()
    for number, (run, values, others) in enumerate(zip(runs, points, baselines, strict=True)):
        alone = len(runs) == 1
        color = BLUE if alone else CYCLE[number % len(CYCLE)]
        symbol = _SYMBOLS[number % len(_SYMBOLS)] if len(scales) == 3 else "circle"
        name = "" if alone else f"{escape(plain_name(run.name))}: "
        _add_candidates(figure, run, values, {"color": color, "symbol": symbol}, name, scales)
        _add_baselines(figure, run, others, GREEN if alone else color, name, scales)
    for limit in runs[0].front.limits:
        for scale, add in zip(scales[:2], (figure.add_vline, figure.add_hline), strict=True):
            if limit.name == scale.name:
                add(limit.bound * scale.factor, line={"color": "#777", "width": 1, "dash": "dash"})
    axes = {"gridcolor": "#e6e6e6", "linecolor": "#444", "zeroline": False, "mirror": True}
    figure.update_layout(
        title={"text": escape(plain_name(title)), "x": 0.5},
        xaxis={**axes, "title": {"text": escape(scales[0].label)}},
        yaxis={**axes, "title": {"text": escape(scales[1].label)}},
        plot_bgcolor="white",
        hovermode="closest",
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "y": -0.14},
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
    )
    return figure


def _add_candidates(
    figure: go.Figure,
    run: RunFront,
    values: Floats,
    look: dict[str, Any],
    name: str,
    scales: Sequence[Scale],
) -> None:
    """Dominated, infeasible, and the front over them."""
    rest = np.asarray(np.isfinite(values).all(axis=1))
    rest[run.front.places] = False
    feasible = violation_of(run.trials, run.front.limits) == 0
    faint = "#b8b8b8" if not name else look["color"]
    kinds: list[tuple[str, Any, dict[str, Any]]] = [
        ("dominated", rest & feasible, {"opacity": 0.6 if not name else 0.25})
    ]
    if run.front.limits:
        hollow = {"opacity": 0.45 if not name else 0.2, "symbol": f"{look['symbol']}-open"}
        kinds.append(("infeasible", rest & ~feasible, hollow))
    for kind, mask, own in kinds:
        places = np.flatnonzero(mask)
        style = {"size": 6, "color": faint, "symbol": look["symbol"], **own}
        _add(figure, run.trials, values, places.tolist(), f"{name}{kind}", {"marker": style}, scales)
    marker: dict[str, Any] = {
        "size": 9,
        "symbol": look["symbol"],
        "color": look["color"],
        "line": {"width": 1, "color": "white"},
    }
    kind = "Pareto front"
    if run.front.limits and run.front.feasible == 0:
        kind, marker["symbol"] = "least infeasible", f"{look['symbol']}-open"
    style = {"mode": "markers", "marker": marker}
    if len(scales) == 3:
        bar = {"title": {"text": escape(scales[2].label)}}
        third = {"color": values[run.front.places, 2].tolist(), "coloraxis": "coloraxis"}
        style["marker"] = {**marker, **third, "line": {"width": 1.5, "color": look["color"]}}
        figure.update_layout(coloraxis={"colorscale": "Viridis", "colorbar": bar})
    elif kind == "Pareto front":
        style |= {"mode": "lines+markers", "line": {"shape": "hv", "color": look["color"], "width": 1.5}}
    _add(figure, run.trials, values, run.front.places, f"{name}{kind}", style, scales)


def _add_baselines(
    figure: go.Figure, run: RunFront, values: Floats, color: str, name: str, scales: Sequence[Scale]
) -> None:
    """Diamonds with names."""
    places = np.flatnonzero(np.isfinite(values[:, :2]).all(axis=1)).tolist()
    if not places:
        return
    style = {
        "mode": "markers+text",
        "marker": {"size": 11, "symbol": "diamond", "color": color, "line": {"width": 1, "color": "white"}},
        "text": [escape(plain_name(run.baselines[place].baseline or "")) for place in places],
        "textposition": "top center",
        "textfont": {"color": color},
    }
    _add(figure, run.baselines, values, places, f"{name}baselines", style, scales)


def _add(
    figure: go.Figure,
    trials: Sequence[Trial],
    values: Floats,
    places: Sequence[int],
    name: str,
    style: dict[str, Any],
    scales: Sequence[Scale],
) -> None:
    import plotly.graph_objects as go

    kind = go.Scattergl if len(places) > _MANY else go.Scatter
    figure.add_trace(
        kind(
            x=values[places, 0].tolist(),
            y=values[places, 1].tolist(),
            name=f"{name} ({len(places)})",
            hoverinfo="text",
            hovertext=[_hover(trials[place], values[place], scales) for place in places],
            **{"mode": "markers", **style},
        )
    )


def _hover(trial: Trial, values: Floats, scales: Sequence[Scale]) -> str:
    """What a network is; escaped, for plotly reads tags in texts."""
    facts = {
        scale.name: f"{escape(scale.label)}: {value:.5g}"
        for scale, value in zip(scales, values.tolist(), strict=True)
        if np.isfinite(value)
    }
    facts |= {
        "accuracy": f"validation accuracy, %: {100 * (trial.accuracy or 0.0):.2f}",
        "reward": "" if trial.reward is None else f"reward: {trial.reward:.4f}",
        "macs": f"multiply-adds: {trial.macs:,}",
        "params": f"parameters: {trial.params:,}",
    }
    stages = escape(trial.network().summary()).split(" | ")
    lines = [f"<b>{escape(plain_name(trial.title))}</b>", *facts.values(), *stages]
    return "<br>".join(line for line in lines if line)
