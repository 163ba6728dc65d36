"""``nas report``: a search as one HTML page."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nas
from nas.console import count, err, out, print_json
from nas.options import JsonOption, RunArgument
from results import Run, open_run, write_whole
from search_space import Architecture, InputError, load_space

if TYPE_CHECKING:
    from nas.rediscovery import Rediscovery

logger = logging.getLogger(__name__)
report_app = typer.Typer()
_REFERENCE = "efficientnet_b0"


@report_app.command()
def report(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file; by default report.html in the run's folder."),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="ARCH",
            help="With which network; by default efficientnet_b0 where the space holds it, or a baseline.",
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """A search as one HTML page that works offline, also while it runs: nas report quickstart"""
    from results.report.data import report_data
    from results.report.page import report_page

    began = time.monotonic()
    found = open_run(run)
    file = _file(found, output)
    with err.status("reading the run"):
        data = report_data(found)
        _refuse_audit(found, data["trials"]["columns"])
        data["comparison"] = comparison_of(found, compare)
        page = report_page(data).encode("utf-8")
    write_whole(file, lambda unfinished: unfinished.write_bytes(page))
    candidates = sum(data["trials"]["columns"]["proposed"])
    if json_output:
        print_json({"file": str(file), "bytes": len(page), "candidates": candidates})
        return
    seconds = time.monotonic() - began
    out.print(
        f"wrote {file}: {candidates:,} candidates, {count(len(page))}B, {seconds:.1f} s", soft_wrap=True
    )


def _file(run: Run, output: Path | None) -> Path:
    """Where the page goes.

    Raises:
        InputError: the run's folder may not be written, or the file is a folder.
    """
    file = output or run.path / "report.html"
    if output is None and not os.access(run.path, os.W_OK):
        raise InputError(f"{run.path}: cannot be written; say where the report goes with -o FILE")
    if file.is_dir():
        raise InputError(f"{file}: is a folder; -o takes a file, such as {file / 'report.html'}")
    return file


def _refuse_audit(run: Run, trials: Mapping[str, list[Any]]) -> None:
    """Of an audit, where one network was trained in several ways, no report is made.

    Args:
        run: the run.
        trials: its columns.

    Raises:
        InputError: the run is one.
    """
    rewards = [
        reward for status, reward in zip(trials["status"], trials["reward"], strict=True) if status == "done"
    ]
    if rewards and all(reward is None for reward in rewards):
        raise InputError(
            f"{run.name} is an audit and ranks nothing; its figure is {run.path / 'audit.png'}, and "
            f"nas proxy audit says what it found"
        )


def comparison_of(run: Run, reference: str | None) -> Mapping[str, Any] | None:
    """A search beside a published network, for the report.

    Args:
        run: with a result, or there is nothing to compare.
        reference: a network, as `nas.load_architecture` reads it; None takes EfficientNet-B0 where the
            space holds it or it is a baseline, else the first baseline.

    Returns:
        See `results.report.data.report_data`; None where nothing compares.

    Raises:
        InputError: the reference that was asked for cannot be compared.
    """
    if reference is not None:
        return _compared(run, reference, nas.load_architecture(reference))
    with run.journal() as journal:
        if not journal.counts().get("done"):
            return None
    known = {trial.baseline: trial.network() for trial in run.baselines() if trial.baseline is not None}
    if _REFERENCE not in known:
        b0 = nas.load_architecture(_REFERENCE)
        if load_space(run.config()["space"]).contains(b0):
            known = {_REFERENCE: b0, **known}
    for name in sorted(known, key=lambda name: name != _REFERENCE):
        try:
            return _compared(run, name, known[name])
        except InputError as error:
            logger.debug("no comparison with %s: %s", name, error)
    return None


def _compared(run: Run, name: str, reference: Architecture) -> Mapping[str, Any]:
    from nas.rediscovery import rediscovery

    found = rediscovery(run, name, reference)
    ours = {"name": "recommended", "params": run.recommended().params, **asdict(found.recommended)}
    theirs = {"name": name, **asdict(found.reference)}
    return {
        "words": _words(found, name),
        "network_name": "recommended",
        "reference_name": name,
        "networks": [ours, theirs],
        "decisions": [
            {"decision": decision, "ours": mine, "theirs": its, "same": False}
            for decision, (mine, its) in found.differences.items()
        ],
    }


def _words(found: Rediscovery, name: str) -> list[str]:
    """What the evidence supports, in sentences."""
    said = []
    for what, results in (
        ("with its reward or more", found.trainings_to_reward),
        ("with its accuracy or more at no more MACs", found.trainings_to_accuracy),
    ):
        reached = f"came after {results} results" if results else f"is not among {found.networks} results"
        said.append(f"The first network {what} {reached}.")
    better = f"{found.rank - 1} of {found.networks} results have a higher reward than {name}."
    agree = found.decisions - len(found.differences)
    same = f"The recommended network agrees with it in {agree} of {found.decisions} decisions."
    return [" ".join(said), f"{better} {same}", *([found.replay] if found.replay else [])]
