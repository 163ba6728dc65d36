"""The command line: ``nas COMMAND``.

A user's mistake is one line on standard error and exit code 2; ``--debug`` before the command gives the
traceback. Commands that print facts have ``--json``: one document on standard output.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from nas import console
from nas.architecture_commands import architecture_app
from nas.baseline_views import print_comparison
from nas.cam_commands import cam_app
from nas.compare_commands import compare_app
from nas.console import out, print_json
from nas.data_commands import data_app
from nas.doctor_commands import doctor_app
from nas.eval_commands import eval_app
from nas.export_commands import export_app
from nas.figure_commands import figure_app
from nas.finalists_commands import finalists_app
from nas.finetune_commands import finetune_app
from nas.import_commands import import_app
from nas.latency_commands import latency_app
from nas.objective_commands import objective_app
from nas.options import AddressOption, JsonOption, ReuseOption, SetOption
from nas.pareto_commands import pareto_app
from nas.proxy_commands import proxy_app
from nas.query_commands import query_app
from nas.ranking_views import print_ranking
from nas.report_commands import report_app
from nas.scale_commands import scale_app
from nas.space_commands import space_app
from nas.status_commands import status_app
from nas.status_views import print_target, status_json
from nas.train_commands import train_app
from nas.transfer_commands import transfer_app
from results import (
    check_new,
    drift_of,
    open_run,
    ranked,
)
from search_space import FieldError, InputError, load_space

# typer keeps its own copy of click, or uses click, by its version; this is the base of its usage errors
UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Search for a network, look at what was found, scale it, take it away.",
)

app.add_typer(architecture_app)
app.add_typer(export_app)
app.add_typer(eval_app)
app.add_typer(cam_app)
app.add_typer(compare_app)
app.add_typer(status_app)
app.add_typer(pareto_app)
app.add_typer(doctor_app)
app.add_typer(query_app)
app.add_typer(figure_app)
app.add_typer(objective_app)
app.add_typer(report_app)
app.add_typer(scale_app)
app.add_typer(train_app)
app.add_typer(finetune_app)
app.add_typer(import_app)
app.add_typer(transfer_app)
app.add_typer(finalists_app)
app.add_typer(space_app, name="space")
app.add_typer(data_app, name="data")
app.add_typer(proxy_app, name="proxy")
app.add_typer(latency_app, name="latency")


def _version(wanted: bool) -> None:
    if wanted:
        out.print(importlib.metadata.version("nas-road"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="The version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks and debug messages.")] = False,
) -> None:
    """Options of every command."""
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="nas: %(message)s")
    if debug:
        for name in ("matplotlib", "PIL", "filelock", "h5py"):
            logging.getLogger(name).setLevel(logging.INFO)


@app.command()
def search(
    config: Annotated[
        Path | None, typer.Argument(help="A YAML configuration; a run to resume has its own.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="Name of the run, instead of the file's.")] = None,
    overrides: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that is there.")] = False,
    reuse: ReuseOption = None,
    address: AddressOption = None,
    json_output: JsonOption = False,
) -> None:
    """Run or resume a search: nas search configs/quickstart.yaml --set search.candidates=8

    Ctrl-C once finishes what runs, twice stops now; either way --resume goes on, and nothing that finished
    is trained again.
    """
    from nas.config import load_config
    from nas.launch import refuse_given, run_search
    from trainers import load_table_evaluator

    if config is None:
        if not (run and resume):
            raise InputError("nas search needs a configuration, or --resume --run NAME")
        existing = open_run(run)
        refuse_given(existing)  # its configuration is no search's
        config = existing.config_path
    settings = load_config(config, overrides, name=run)
    if not resume:
        check_new(settings.name)  # before a table is read
    budget = settings.search.candidates
    evaluator = None
    if settings.evaluator is not None:
        with console.err.status("reading the table; a regressor is fitted to it once"):
            evaluator = load_table_evaluator(settings.evaluator, load_space(settings.space))
        console.err.print(evaluator.description, soft_wrap=True)
    with (
        console.stdout_to_stderr(),
        console.SearchProgress(settings.name, budget) as progress,
    ):
        end = run_search(
            settings,
            resume=resume,
            evaluator=evaluator,
            reuse=[open_run(name) for name in reuse or []],
            listeners=[progress],
            address=address,
        )
    if json_output:
        print_json(status_json(end.run))
    else:
        _print_end(end.run.name, end.outcome, settings.search.patience)
    if end.outcome == "failing":
        last = [trial.error for trial in end.run.trials() if trial.status == "failed"][-1:]
        console.err.print(
            f"nas: candidates fail: {console.printable(''.join(map(str, last)))}", soft_wrap=True
        )
        raise typer.Exit(1)
    if end.outcome == "interrupted":
        where = "" if address is None else f" --address {address}"
        console.err.print(f"resume with: nas search {end.run.config_path} --resume{where}", soft_wrap=True)
        raise typer.Exit(130)


_OTHER_ENDS = {"stopped": "stopped early", "reused": "taken over from earlier runs"}


def _print_end(name: str, outcome: str, patience: int) -> None:
    run = open_run(name)
    trials = run.trials()
    order = ranked(trials)
    counts = Counter("reused" if trial.reused is not None else trial.status for trial in trials)
    replayed = (run.config().get("evaluator") or {}).get("kind") == "table"
    done = "looked up in a replay" if replayed else "trained"
    others = [f"{counts['failed']} failed"]
    others += [f"{counts[what]} {words}" for what, words in _OTHER_ENDS.items() if counts[what]]
    out.print(f"{name}: {outcome}; {counts['done']} networks {done}, {', '.join(others)}")
    if outcome == "exhausted":
        out.print(
            f"{patience} proposals in a row brought no new network: the controller has settled, or the space "
            "and its limits hold few others",
            soft_wrap=True,
        )
    if order:
        print_ranking(run, name, order[0])
        bet = run.recommended()
        print_target(name, drift_of(run.config(), order, order[0], bet), order[0], bet)
        print_comparison(run, bet)
        out.print(
            f"next: nas pareto {name} --plot pareto.png; nas export {name}@best -o network; "
            f"nas scale {name}@best",
            soft_wrap=True,
        )


def main() -> None:
    """The ``nas`` command."""
    debug = "--debug" in sys.argv[1:2]
    try:
        code = _command()(standalone_mode=False)
    except (InputError, FieldError) as error:
        code = _mistake(error, debug)
    except UsageError as error:
        message = error.format_message()  # none where the help itself was printed
        code = _mistake(f"{message.rstrip('.')}; see nas --help", debug) if message else 2
    except BrokenPipeError:
        sys.stderr.close()
        code = 141
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except sqlite3.DatabaseError as error:
        code = _mistake(f"the journal cannot be used: {error}; nas doctor RUN says what is wrong", debug)
    except OSError as error:
        code = _mistake(f"{error.filename or 'system'}: {error.strerror or error}", debug)
    sys.exit(code if isinstance(code, int) else 0)


@functools.cache
def _command() -> Any:
    """All commands, made of their functions' signatures once in a process."""
    return typer.main.get_command(app)


def _mistake(error: object, debug: bool) -> int:
    if debug and isinstance(error, BaseException):
        logging.getLogger("nas").error("", exc_info=error)
    console.err.print(f"nas: {' '.join(console.printable(error).split())}", soft_wrap=True)
    return 2


if __name__ == "__main__":
    main()
