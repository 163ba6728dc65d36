"""What the command line shows of finalists: a table, the decision in words, and the figure's data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.console import out, print_table, printable
from nas.finalists_config import Chosen
from nas.finalists_findings import Comparison, FinalFindings, FinalRow, Part
from nas.finalists_statistics import Mean
from nas.repeated import Margin
from nas.scale_views import margin_words
from results import save_figure
from results.figures import FORMATS
from results.wording import count, count_of, networks, percent

if TYPE_CHECKING:
    from results.figures import FinalPoint

FIGURES = (*FORMATS, ".html")
_NO_TELLING = "not distinguishable"
_NO_INTERVAL = "there is no interval without a second training that comes out otherwise"
SELECTION = (
    "the network to take is selected by validation accuracy alone, so its test accuracy is free of the luck "
    "of being selected; the front is drawn by test accuracy, so that of the networks on it is not"
)
NO_TEST = (
    "there are no test images: what is reported is validation accuracy, and that of the network to take is "
    "optimistic, since it was taken for it"
)


NOT_ALL_TESTED = (
    "not every training has measured test images, so validation accuracy is reported; that of the network to "
    "take is optimistic, since it was taken for it"
)


def plan_words(chosen: Chosen, seeds: int) -> list[str]:
    """What is going to be trained, and by which rule."""
    random = [network for network in chosen.networks if network.role == "random"]
    finalists = sum(network.role == "finalist" for network in chosen.networks)
    lines = [f"{count_of(finalists, 'finalist')} of {chosen.search.name}: {chosen.rule}"]
    b0 = next((network for network in chosen.networks if network.role == "b0"), None)
    if b0 is not None:
        lines.append(f"beside them {b0.name}: {b0.note}")
    else:
        b0 = next(network for network in chosen.networks if network.b0_shaped)
        lines.append(f"{b0.name} is itself shaped as EfficientNet-B0")
    near = f"{100 * chosen.tolerance:.3g} % of the recommended network's MACs"
    lines.append(f"and {networks(len(random))} drawn at random from the space, within {near}")
    number = len(chosen.networks)
    lines.append(
        f"{networks(number)}, {count_of(seeds, 'seed')} each: {count_of(number * seeds, 'full training')}"
    )
    return lines


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


def words(found: FinalFindings) -> list[str]:
    """What was found, a line each: the front, the ranks, the decision, and what it is worth."""
    part = "test" if found.part == "test" else "validation"
    front = ", ".join(row.network.name for row in found.front)
    lines = [
        "± is half of a mean's 95 % interval over seeds; that the images are a sample too is not in it",
        f"* is on the corrected Pareto front, by {part} accuracy over MACs: {front}",
    ]
    if found.failed or found.waiting:
        lines.append(f"trainings: {found.failed} failed and left out, {found.waiting} still to come")
    if any(len(row.trials) == 1 for row in found.rows):
        lines.append("one training says nothing of the noise between seeds: raise finalists.seeds")
    lines.append(found.agreement.words)
    lines.append(f"{'so far: ' if found.waiting else ''}{decision_words(found)}")
    close = [row.network.name for row in found.close if not row.network.recommended]
    if close:
        lines.append(f"by reward {_NO_TELLING} from it: {', '.join(close)}")
    lines += [comparison_words(found, comparison) for comparison in found.comparisons]
    if found.part == "test":
        return [*lines, SELECTION]
    return [*lines, NOT_ALL_TESTED if any(row.tested for row in found.rows) else NO_TEST]


def decision_words(found: FinalFindings) -> str:
    """Which network to take, and whether that is what the search recommends."""
    taken, recommended = found.taken.network, found.chosen.recommended
    number = sum(row.reward is not None for row in found.rows)
    assert found.taken.reward is not None
    reward = f"the highest reward by final validation accuracy, {found.taken.reward.value:.4f}"
    of = f"of {count_of(number, 'finalist')} it has {reward}"
    if taken.recommended:
        return f"take {taken.name}, which the search recommends: {of}"
    if found.lead is None:
        return f"take {taken.name}: {of}; {recommended.name}, which the search recommends, has no result"
    lead = f"{_plain_margin(found.lead)} above that of {recommended.name}, which the search recommends"
    if found.lead.certain:
        return f"take {taken.name} and not the recommended network: {of}, {lead}: more than the noise"
    if found.lead.low is None:
        return f"take {taken.name}: {of}, {lead}; {_NO_INTERVAL}, so nobody knows whether that is noise"
    return f"take {taken.name}: {of}, {lead}: {_NO_TELLING}, so nothing speaks against the recommended one"


def comparison_words(found: FinalFindings, comparison: Comparison) -> str:
    """One comparison as a sentence."""
    over = f"the {comparison.over}"
    if comparison.over == "random":
        number = len(found.random)
        over = "the one random network" if number == 1 else f"the mean of {number} random networks"
    else:
        row = _row(found, comparison.over)
        over = comparison.over if row.network.role == "finalist" else f"the B0-shaped {comparison.over}"
    text = f"on {found.part} images {comparison.name} is {margin_words(comparison.margin)} {over}"
    text += f" ({comparison.macs_ratio:.2f} x the MACs)"
    margin = comparison.margin
    if margin.low is None:
        return f"{text}; {_NO_INTERVAL}"
    return f"{text}: {'more than the noise' if margin.certain else _NO_TELLING}"


def _row(found: FinalFindings, name: str) -> FinalRow:
    return next(row for row in found.rows if row.network.name == name)


def _plain_margin(margin: Margin) -> str:
    text = f"{margin.value:.4f}"
    if margin.low is not None and margin.high is not None:
        text += f" [{margin.low:+.4f}, {margin.high:+.4f}]"
    return text


def _mean(mean: Mean | None) -> str:
    if mean is None:
        return "-"
    text = f"{100 * mean.value:.2f}"
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
        if mean is None:
            continue
        points.append(
            FinalPoint(
                name=row.network.name,
                role=row.network.role,
                recommended=row.network.recommended,
                macs=row.macs,
                params=row.params,
                proxy=row.network.proxy_accuracy,
                accuracy=mean.value,
                error=mean.error,
                seeds=len(row.trials),
                on_front=row.on_front,
            )
        )
    return points
