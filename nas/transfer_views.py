"""What the command line shows of a transfer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.console import out, print_table, printable
from nas.published_views import as_printed, print_transfer, published_json
from results.published import PublishedTransfer, published_transfer
from results.transfer_run import BEGINS, TransferRun, state_of
from results.wording import count, count_of

if TYPE_CHECKING:
    from nas.transfer_config import TransferConfig, TransferData
    from nas.transfer_findings import Score, TransferRow
    from nas.transfer_run import TransferEnd

_SHOWN_FAILURES = 5


def transfer_row(run: TransferRun) -> list[str]:
    """A transfer in a list of runs, by `nas.status_views.RUN_COLUMNS`."""
    counts = run.counts()
    done = counts.get("finished", 0) + counts.get("failed", 0)
    return [run.name, "transfer", state_of(counts), f"{done}/{sum(counts.values())} trained", "-", "-", "-"]


def transfer_status(run: TransferRun) -> dict[str, Any]:
    """A transfer in a list of runs, for ``--json``."""
    return _status(run.name, run.counts())


def _status(name: str, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "run": name,
        "kind": "transfer",
        "state": state_of(counts),
        "counts": counts,
        "budget": sum(counts.values()),
    }


def transfer_json(end: TransferEnd, *, published: bool = False) -> dict[str, Any]:
    """The document of ``nas transfer --json`` and ``nas status --json``."""
    config = config_of(end.run)
    document = _status(end.run.name, end.counts)
    document |= {
        "networks": [
            {
                "name": network.name,
                "checkpoint": network.start.checkpoint,
                "weights": network.start.weights,
                "learnt": network.start.data,
                "origin": network.origin or None,
                "in_channels": network.in_channels,
                "accuracy": network.accuracy,
            }
            for network in config.networks
        ],
        "data": [one.model_dump(mode="json") for one in config.sets],
        "cells": [cell.to_json() for cell in end.cells],
        "table": [row.to_json() for row in end.table],
    }
    return document | ({"published": published_json()["transfer"]} if published else {})


def config_of(run: TransferRun) -> TransferConfig:
    """The configuration of a transfer.

    Raises:
        InputError: it cannot be read.
    """
    from nas.transfer_config import load_transfer_config

    return load_transfer_config(run.config_path, name=run.name)


def print_end(end: TransferEnd, *, published: bool = False) -> None:
    """The table as far as it is known, what failed, and how to go on."""
    config = config_of(end.run)
    counts = end.counts
    states = ", ".join(f"{number} {state}" for state, number in counts.items())
    out.print(
        f"{end.run.name}: {state_of(counts)}; {states}; of {count_of(sum(counts.values()), 'training')}"
    )
    for data in config.sets:
        out.print()
        _print_set(config, data, [row for row in end.table if row.data == data.name], published)
    out.print()
    for line in _words(config, end, published):
        out.print(printable(line), soft_wrap=True)
    if published:
        out.print()
        print_transfer()


def _print_set(
    config: TransferConfig, data: TransferData, rows: Sequence[TransferRow], published: bool
) -> None:
    """The networks on one data set."""
    ways = config.scratch is not None
    cells = []
    for row in rows:
        its = [row.network, count(row.params), count(row.macs), _score(row.finetuned, row.wanted)]
        its += [_score(row.scratch, row.wanted), _margin(row)] if ways else []
        cells.append(its)
    near = published_for(data) if published else None
    if near is not None:
        cells += [[*its, *["-"] * (2 * ways)] for its in _published_cells(near)]
    from nas.transfer_config import subset_for

    train = subset_for(config, data) or data.train
    what = f"{data.name}: {count_of(data.num_classes, 'class', 'classes')}, {train:,} images to train"
    title = f"{what}, {data.part} accuracy on {data.images:,}"
    columns = ["network", "params", "MACs", "fine-tuned", *(["from scratch", "difference"] if ways else [])]
    print_table(columns, cells, title=title)


def _published_cells(row: PublishedTransfer) -> list[list[str]]:
    """Both comparisons of a published data set, as rows."""
    cells = []
    for result in (row.public, row.reported):
        for name, params, accuracy in (
            (result.model, result.params, result.accuracy),
            (result.own, result.own_params, result.own_accuracy),
        ):
            cells.append([f"published: {name}", count(params), "-", as_printed(accuracy)])
    return cells


def _score(score: Score | None, wanted: int) -> str:
    """A mean and its interval, and how many seeds it is of where it is not of all."""
    if score is None:
        return "-"
    interval, number = score.interval, len(score.values)
    text = f"{100 * score.mean:.2f}"
    if score.over == "images" and interval is not None:
        text += f" [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"
    elif interval is not None:
        text += f" ± {50 * (interval[1] - interval[0]):.2f}"
    else:  # every seed came to the same, which is no measure of the noise
        text += " (equal)"
    return f"{text} %" if number == wanted else f"{text} % ({number} of {count_of(wanted, 'seed')})"


def _margin(row: TransferRow) -> str:
    """A difference and its interval, and how many seeds it is of where it is not of all."""
    margin = row.difference
    if margin is None:
        return "-"
    text = f"{100 * margin.value:+.2f}"
    if margin.low is not None and margin.high is not None:
        text += f" ± {50 * (margin.high - margin.low):.2f}{' *' if margin.certain else ''}"
    elif row.pairs > 1:
        text += " (equal)"
    return text if row.pairs == row.wanted else f"{text} ({row.pairs} of {count_of(row.wanted, 'seed')})"


def _words(config: TransferConfig, end: TransferEnd, published: bool) -> list[str]:
    """What the figures are, what failed, and what comes next."""
    lines = []
    if config.seeds > 1:
        lines.append(f"±: 95 % intervals of the mean over {config.seeds} seeds (Student's t)")
        if config.scratch is not None:
            lines[0] += ", of the difference seed by seed; * leaves out 0"
    shown = [score for row in end.table for start in BEGINS if (score := row.score(start)) is not None]
    if any(score.over == "images" for score in shown):
        lines.append(
            "[ ]: of one seed, 95 % intervals over the images (Wilson), which say nothing of other seeds"
        )
    differences = [row.difference for row in end.table if row.difference is not None and row.pairs > 1]
    if any(score.interval is None for score in shown) or any(d.low is None for d in differences):
        lines.append("(equal): the same for all seeds, which is no measure of their noise")
    for data in config.sets:
        if data.part == "validation":
            lines.append(f"{data.name} has no test part: its accuracies are of the validation images")
    if published and any(published_for(data) is not None for data in config.sets):
        lines.append("published: pretrained on ImageNet, fine-tuned on all images and long; no equal budget")
    failed = [cell for cell in end.cells if cell.state == "failed"]
    lines += [f"{cell.cell.name} failed: {cell.error}" for cell in failed[:_SHOWN_FAILURES]]
    if len(failed) > _SHOWN_FAILURES:
        lines.append(f"and {len(failed) - _SHOWN_FAILURES} more failed")
    return lines


def published_for(data: TransferData) -> PublishedTransfer | None:
    """The row of the published table that is of this data set, if it has one.

    Known by its name (``CIFAR-10``, ``cifar10-jpeg``), its classes and the images of its test part.
    """
    from nas.transfer_config import names_of

    for row in published_transfer():
        words = "[-_ ]?".join(re.findall("[a-z]+|[0-9]+", row.dataset.lower()))
        named = any(re.match(f"{words}(?![0-9])", name.lower()) for name in names_of(data))
        sizes = (data.num_classes, data.part, data.images)
        if named and sizes == (row.classes, "test", row.test_images):
            return row
    return None


def save_transfer_figures(end: TransferEnd, path: Path, *, published: bool = False) -> list[Path]:
    """Write the figure of a transfer; with `published` that of the paper too, where a data set is in it.

    Returns:
        The files.

    Raises:
        InputError: one cannot be written.
    """
    from results.figures import OwnTransfer, TransferPoint, own_transfer_figure, save_figure, transfer_figure

    config = config_of(end.run)
    points = [
        OwnTransfer(
            network=row.network,
            data=row.data,
            start=start,
            params=row.params,
            accuracy=score.mean,
            interval=score.interval,
            seeds=len(score.values),
        )
        for row in end.table
        for start in BEGINS
        if (score := row.score(start)) is not None
    ]
    titles = {data.name: f"{data.name}, {data.part} part" for data in config.sets}
    save_figure(own_transfer_figure(points, titles, end.run.name), path)
    near = {data.name: row.dataset for data in config.sets if (row := published_for(data)) is not None}
    beside = [
        TransferPoint(
            dataset=near[point.data], name=point.network, params=point.params, accuracy=point.accuracy
        )
        for point in points
        if point.start == "finetuned" and point.data in near
    ]
    if not (published and beside):
        return [path]
    other = path.with_name(f"{path.stem}-published{path.suffix}")
    save_figure(transfer_figure(beside), other)
    return [path, other]
