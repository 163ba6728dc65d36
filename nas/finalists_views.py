"""What the command line shows of finalists: a table, and the figure's data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.console import out, print_table, printable
from nas.finalists_findings import FinalFindings, FinalRow, Part
from nas.finalists_statistics import Mean
from nas.finalists_words import words
from results import save_figure
from results.figures import FORMATS
from results.wording import count, percent

if TYPE_CHECKING:
    from results.figures import FinalPoint

FIGURES = (*FORMATS, ".html")


def print_findings(found: FinalFindings) -> None:
    """The table, and what it says."""
    tested = found.part == "test"
    columns = ["network", "role", "MACs", "params", "proxy", "validation", *(["test"] if tested else [])]
    columns += ["seeds", "proxy rank", "final rank", "front"]
    rows = []
    for row in found.rows:
        network = row.network
        cells = [network.name, network.title, count(row.macs), count(row.params)]
        cells += [percent(network.proxy_accuracy), _mean(row.validation)]
        cells += [_mean(row.test)] if tested else []
        cells += [str(len(row.trials)), _rank(row.proxy_rank), _rank(row.final_rank)]
        rows.append([*cells, "*" if row.on_front else ""])
    print_table(columns, rows, title=f"finalists of {found.chosen.search.name}, trained fully")
    for line in words(found):
        out.print(printable(line), soft_wrap=True)


def _mean(mean: Mean | None) -> str:
    if mean is None:
        return "-"
    text = f"{100 * mean.value:.2f}"
    if mean.equal:
        return f"{text} % (equal)"
    return f"{text} %" if mean.error is None else f"{text} ± {100 * mean.error:.2f} %"


def _rank(rank: int | None) -> str:
    return "-" if rank is None else str(rank)


# --- figures -----------------------------------------------------------------------------------------


def save_finalists_figure(found: FinalFindings, run: str, path: Path) -> None:
    """Write the figure, in the format of the file's ending."""
    from results.figures import finalists_figure, save_finalists_page

    points = points_of(found.rows, found.part)
    title = f"{run}: finalists of {found.chosen.search.name}, trained fully"
    if path.suffix.lower() == ".html":
        save_finalists_page(points, found.part, title, path)
    else:
        save_figure(finalists_figure(points, found.part, title), path)


def points_of(rows: Sequence[FinalRow], part: Part) -> list[FinalPoint]:
    """What is drawn: the networks with a result."""
    from results.figures import FinalPoint

    points = []
    for row in rows:
        mean = row.accuracy(part)
        if mean is None or row.validation is None:
            continue
        points.append(
            FinalPoint(
                name=row.network.name,
                role=row.network.role,
                recommended=row.network.recommended,
                macs=row.macs,
                params=row.params,
                proxy=row.network.proxy_accuracy,
                validation=row.validation.value,
                validation_error=row.validation.error,
                accuracy=mean.value,
                error=mean.error,
                seeds=len(row.trials),
                on_front=row.on_front,
            )
        )
    return points
