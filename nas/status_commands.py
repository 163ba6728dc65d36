"""``nas ls`` and ``nas status``: how searches stand."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from nas.baseline_views import print_baselines
from nas.console import out, print_json, printable
from nas.options import JsonOption, RunArgument
from nas.ranking_views import print_ranking
from nas.status_views import print_runs, print_scaled, print_status, print_target, status_json, status_row
from nas.train_views import print_training, training_json, training_row
from nas.transfer_views import print_end, transfer_json, transfer_row, transfer_status
from results import Run, list_runs, open_run, status_of
from results.training import TrainingRun, find_training, list_trainings
from results.transfer_run import TransferRun, find_transfer, list_transfers, state_of
from search_space import InputError

status_app = typer.Typer()
Facts = TypeVar("Facts")
AnyRun = Run | TrainingRun | TransferRun
_SHOWN_FAILURES = 5


@status_app.command(name="ls")
def list_all(json_output: JsonOption = False) -> None:
    """List the runs under runs/: nas ls"""
    runs: list[AnyRun] = [*list_runs(), *list_trainings(), *list_transfers()]
    runs.sort(key=lambda run: run.name)
    unreadable: dict[str, str] = {}
    if json_output:
        documents = [_readable(run, _document, unreadable) for run in runs]
        lost = {name: {"run": name, "state": "unreadable", "error": why} for name, why in unreadable.items()}
        print_json([document or lost[run.name] for run, document in zip(runs, documents, strict=True)])
    elif runs:
        rows = [_readable(run, _row, unreadable) for run in runs]
        print_runs([row for row in rows if row is not None], unreadable)
    else:
        out.print("no runs under runs/; nas search CONFIG makes one")


def _document(run: AnyRun) -> dict[str, Any]:
    if isinstance(run, TransferRun):
        return transfer_status(run)
    return training_json(run) if isinstance(run, TrainingRun) else status_json(run)


def _row(run: AnyRun) -> list[str]:
    if isinstance(run, TransferRun):
        return transfer_row(run)
    return training_row(run) if isinstance(run, TrainingRun) else status_row(run)


def _readable(run: AnyRun, facts: Callable[[AnyRun], Facts], unreadable: dict[str, str]) -> Facts | None:
    """The facts of a run; of one that cannot be read None, and why, so that it does not hide the others."""
    try:
        return facts(run)
    except (InputError, sqlite3.DatabaseError) as error:
        unreadable[run.name] = str(error)
        return None


@status_app.command()
def status(
    run: RunArgument,
    watching: Annotated[
        bool, typer.Option("--watch", help="Look again and again until the search ends.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Between two looks of --watch: 2.", min=0.1, max=86400.0),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """How a search stands and what happened to it, also while it runs: nas status quickstart --watch

    With --watch a terminal shows it live, and a pipe gets a line (with --json a document) for every change.
    Ctrl-C ends the watching, not the search.
    """
    if every is not None and not watching:
        raise InputError("--every goes with --watch")
    transfer = find_transfer(run)
    if transfer is not None:
        _show_transfer(transfer, watching, json_output)
        return
    training = find_training(run)
    if training is not None:
        if watching:
            raise InputError(
                f"--watch follows searches; tensorboard --logdir {training.path} shows this training's curves"
            )
        if json_output:
            print_json(training_json(training))
        else:
            print_training(training)
        return
    found = open_run(run)
    if watching:
        from nas.watch import watch

        watch(found, 2.0 if every is None else every, json_output=json_output)
        if json_output:
            return
    if json_output:
        print_json(status_json(found))
    else:
        _print_all(found, run)


def _show_transfer(run: TransferRun, watching: bool, json_output: bool) -> None:
    """How a transfer stands, with its table so far."""
    from nas.transfer_run import transfer_table

    if watching:
        raise InputError(f"--watch follows searches; nas status {run.name} shows how this transfer stands")
    end = transfer_table(run)
    if json_output:
        print_json(transfer_json(end))
        return
    print_end(end)
    if state_of(end.counts) == "stopped":
        out.print(f"go on with: nas transfer --resume --run {run.name}", soft_wrap=True)


def _print_all(found: Run, typed: str) -> None:
    """How a search stands, its best, its baselines and the last that failed."""
    now = status_of(found)
    print_status(found.name, now)
    print_target(typed, now.target, now.best, now.recommended)
    if now.best is not None:
        print_ranking(found, typed, now.best, title="best so far")
    print_scaled(now)
    print_baselines(now.baselines)
    what = "candidate" if now.kind == "search" else "trial"
    for trial in now.failed[-_SHOWN_FAILURES:]:
        out.print(f"{what} {trial.id} failed: {printable(trial.error)}", soft_wrap=True)
    if len(now.failed) > _SHOWN_FAILURES:
        out.print(f"and {len(now.failed) - _SHOWN_FAILURES} before them")
