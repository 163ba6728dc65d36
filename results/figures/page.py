"""A figure of plotly as one HTML page, with its script in the page to work offline."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from results.export import write_whole
from results.figures.labels import plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

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


def write_page(figure: go.Figure, title: str, path: str | Path) -> None:
    """Write a figure that fills its page.

    Args:
        figure: of plotly.
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


def page_text(name: str, longest: int = 40) -> str:
    """A name in a figure of plotly, which reads tags and TeX; it does not know what stands for quotes."""
    return escape(plain(name, longest), quote=False).replace("$", "&#36;")
