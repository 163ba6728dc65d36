"""Finalists after full training as one HTML page: a plotly figure that works offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from results.figures.finalists_figure import FAR, LOOKS, FinalPoint, Look, bar, kind_of, measure
from results.figures.page import page_text, write_page
from results.figures.style import unit_of

if TYPE_CHECKING:
    import plotly.graph_objects as go


def save_finalists_page(points: Sequence[FinalPoint], part: str, title: str, path: str | Path) -> None:
    """Write an interactive figure: accuracy over multiply-adds, and each network on hovering.

    Args:
        points, part, title: as of `finalists_figure`.
        path: of the page.

    Raises:
        InputError: it cannot be written.
    """
    write_page(finalists_page_figure(points, part, title), title, path)


def finalists_page_figure(points: Sequence[FinalPoint], part: str, title: str) -> go.Figure:
    """The plotly figure of `save_finalists_page`."""
    import plotly.graph_objects as go

    figure = go.Figure()
    unit, word = unit_of([point.macs for point in points])
    front = sorted((point for point in points if point.on_front), key=lambda point: point.macs)
    figure.add_scatter(
        x=[point.macs / unit for point in front],
        y=[100 * point.accuracy for point in front],
        mode="lines",
        line={"shape": "hv", "color": "#595959", "width": 1.5},
        name="corrected Pareto front",
        hoverinfo="skip",
    )
    for kind, look in LOOKS.items():
        its = [point for point in points if kind_of(point) == kind]
        if its:
            _add(figure, its, look, unit, part)
    costs = [point.macs for point in points]
    far = bool(costs) and max(costs) > FAR * min(costs)
    line = {"gridcolor": "#e6e6e6", "linecolor": "#444", "zeroline": False, "mirror": True}
    figure.update_layout(
        title={"text": page_text(title, 110), "x": 0.5},
        xaxis={
            **line,
            "type": "log" if far else "linear",
            "title": {"text": f"{word}multiply-adds of one image"},
        },
        yaxis={**line, "title": {"text": measure(points, part) if points else f"{part} accuracy, %"}},
        plot_bgcolor="white",
        hovermode="closest",
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "y": -0.14},
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
    )
    return figure


def _add(figure: go.Figure, points: Sequence[FinalPoint], look: Look, unit: float, part: str) -> None:
    """The networks of a kind, with their intervals."""
    grey = look.colour if look.colour.startswith("#") else "#8c8c8c"  # matplotlib's shades are not plotly's
    figure.add_scatter(
        x=[point.macs / unit for point in points],
        y=[100 * point.accuracy for point in points],
        error_y={
            "array": [bar(point)[1] for point in points],
            "arrayminus": [bar(point)[0] for point in points],
            "color": grey,
            "thickness": 1.5,
        },
        mode="markers",
        marker={
            "size": look.size * 1.5,
            "symbol": look.symbol,
            "color": grey,
            "line": {"width": 1, "color": "white"},
        },
        name=look.label,
        hoverinfo="text",
        hovertext=[_hover(point, part) for point in points],
    )


def _hover(point: FinalPoint, part: str) -> str:
    """What a network is."""
    error = "" if point.error is None else f" ± {100 * point.error:.2f}"
    lines = [
        f"<b>{page_text(point.name)}</b>",
        LOOKS[kind_of(point)].label,
        f"{part} accuracy, %: {100 * point.accuracy:.2f}{error} ({point.seeds} trained)",
        "" if point.proxy is None else f"accuracy in the search, %: {100 * point.proxy:.2f}",
        f"multiply-adds: {point.macs:,.0f}",
        f"parameters: {point.params:,.0f}",
    ]
    return "<br>".join(line for line in lines if line)
