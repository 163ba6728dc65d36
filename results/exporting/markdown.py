"""Text of others in Markdown: names are data, and never markup, a link or HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable


def code(text: object) -> str:
    """A text on one line as a code span, in which nothing is interpreted."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    if not line:
        return ""
    runs = [len(run) for run in re.findall("`+", line)]
    fence = "`" * next(n for n in range(1, len(runs) + 2) if n not in runs)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table; cells are Markdown, of which text of others has gone through `code`."""
    names = list(head)
    # a bar ends a cell even inside of a code span
    texts = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [names, ["---"] * len(names), *texts]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(items: Iterable[tuple[str, str]]) -> str:
    """A list of what is called what; an empty value is left out."""
    return "\n".join(f"- {name}: {value}" for name, value in items if value)
