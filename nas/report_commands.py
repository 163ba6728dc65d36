"""``nas report``: a search as one HTML page."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import nas
from nas.console import err, out, print_json
from nas.lookup import search_of
from nas.options import JsonOption, RunArgument
from results import Run, open_run, write_whole
from results.wording import count
from search_space import InputError, load_space

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
    random: Annotated[
        list[str] | None,
        typer.Option("--random", metavar="RUN", help="A random search to compare with; repeatable."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """A search as one HTML page that works offline, also while it runs: nas report quickstart"""
    from results.report.data import report_data
    from results.report.page import report_page

    began = time.monotonic()
    found = search_of(run)
    file = _file(found, output)
    with err.status("reading the run"):
        data = report_data(found)
        data["comparison"] = comparison_of(found, compare, [open_run(name) for name in random or []])
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
        InputError: the run's folder may not be written, another ending, or the file is a folder.
    """
    file = output or run.path / "report.html"
    if output is None and not os.access(run.path, os.W_OK):
        raise InputError(f"{run.path}: cannot be written; say where the report goes with -o FILE")
    if output is not None and file.suffix.lower() not in (".html", ".htm", ""):
        raise InputError(f"{file}: must end in .html")
    if file.is_dir():
        raise InputError(f"{file}: is a folder; -o takes a file, such as {file / 'report.html'}")
    return file


def comparison_of(run: Run, reference: str | None, random: Sequence[Run] = ()) -> Mapping[str, Any] | None:
    """A search beside a published network, for the report.

    Args:
        run: with a result, or there is nothing to compare.
        reference: a network, as `nas.load_architecture` reads it; None takes EfficientNet-B0 where the
            space holds it or it is a baseline, else the first baseline.
        random: random searches to be put beside it.

    Returns:
        See `results.report.data.report_data`; None where nothing compares.

    Raises:
        InputError: the reference that was asked for cannot be compared.
    """
    from nas.rediscovery import rediscovery

    if reference is not None:
        return rediscovery(run, reference, nas.load_architecture(reference), random=random).to_json()
    with run.journal() as journal:
        if not journal.counts().get("done") and not random:
            return None
    known = {trial.baseline: trial.network() for trial in run.baselines() if trial.baseline is not None}
    if _REFERENCE not in known:
        b0 = nas.load_architecture(_REFERENCE)
        if load_space(run.config()["space"]).contains(b0):
            known = {_REFERENCE: b0, **known}
    for name in sorted(known, key=lambda name: name != _REFERENCE):
        try:
            return rediscovery(run, name, known[name], random=random).to_json()
        except InputError as error:
            if random:  # what was asked for is not left out in silence
                raise
            logger.debug("no comparison with %s: %s", name, error)
    if random:
        raise InputError(
            f"{run.path.name} has no network to compare with, which --random needs; "
            "name one with --compare ARCH"
        )
    return None
