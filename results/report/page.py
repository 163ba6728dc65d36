"""The page of a report: one HTML file with its data, style and scripts inside, which fetches nothing.

The data stand in the page as JSON that no HTML parser can mistake for markup, and the scripts put text into
the page as text only. A content security policy forbids everything that would be fetched.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

# in this order, within one function
_SCRIPTS = ("model", "filter", "dots", "plots", "network", "table", "search", "sections", "page")
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def report_page(data: Mapping[str, Any]) -> str:
    """The page as one text.

    Args:
        data: of `report_data`, or any other of its form.

    Raises:
        ValueError: the data hold a number that is not finite.
    """
    from plotly.offline import get_plotlyjs

    style = _resource("page.css")
    script = "\n".join(_resource(f"{name}.js") for name in _SCRIPTS)
    title = f"{data['run']}: report of a search".encode("utf-8", "replace").decode("utf-8")
    parts = {
        "title": html.escape(title),
        "style": style,
        "data": script_json(data),
        # a closing tag within a script would end it; plotly's has none
        "plotly": get_plotlyjs().replace("</script", "<\\/script"),
        "script": f'(() => {{\n"use strict";\n{script}\n}})();',
    }
    text = _resource("page.html")
    for name, part in parts.items():  # each once; data hold no such mark, < being escaped
        before, mark, after = text.rpartition(f"<!--{name}-->")
        assert mark, f"page.html has no place for {name}"
        text = before + part + after
    return text


def script_json(data: Any) -> str:
    """JSON for a ``<script>`` element: no character that HTML or older scripts give a meaning.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode("utf-8")


def _resource(name: str) -> str:
    return (files("results.report") / name).read_text(encoding="utf-8")
