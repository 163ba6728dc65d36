"""The command line: ``nas COMMAND``.

A user's mistake is one line on standard error and exit code 2; ``--debug`` before the command gives the
traceback. Commands that print facts have ``--json``: one document on standard output.
"""

from __future__ import annotations

import importlib.metadata
import logging
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from nas import console
from nas.architecture_commands import architecture_app
from nas.baseline_views import print_baselines, print_comparison, print_front
from nas.console import count, out, percent, print_json, print_table, reward_text
from nas.data_commands import data_app
from nas.doctor_commands import doctor_app
from nas.options import JsonOption, RunArgument
from nas.proxy_commands import proxy_app
from nas.report_commands import report_app
from nas.space_commands import space_app
from nas.status_views import print_status, status_json, status_row, trial_json
from results import (
    Front,
    Run,
    Trial,
    dominating,
    front_of,
    list_runs,
    open_run,
    pareto_figure,
    ranked,
    save_figure,
    status_of,
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
app.add_typer(doctor_app)
app.add_typer(report_app)
app.add_typer(space_app, name="space")
app.add_typer(data_app, name="data")
app.add_typer(proxy_app, name="proxy")


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
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that is there.")] = False,
    reuse: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="Take over what an earlier run measured alike; repeatable."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", help="A Ray cluster: auto (this is a node of it) or HOST:PORT."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Run or resume a search: nas search configs/quickstart.yaml --set search.candidates=8

    Ctrl-C once finishes what runs, twice stops now; either way --resume goes on, and nothing that finished
    is trained again.
    """
    from nas.config import load_config
    from nas.launch import run_search
    from trainers import load_table_evaluator

    if config is None:
        if not (run and resume):
            raise InputError("nas search needs a configuration, or --resume --run NAME")
        config = open_run(run).config_path
    settings = load_config(config, overrides, name=run)
    budget = settings.search.candidates
    evaluator = None
    if settings.evaluator is not None:
        with console.err.status("reading the table; a regressor is fitted to it once"):
            evaluator = load_table_evaluator(settings.evaluator, load_space(settings.space))
        console.err.print(evaluator.description, soft_wrap=True)
    with console.stdout_to_stderr(), console.SearchProgress(budget) as progress:
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
        console.err.print(f"nas: candidates fail: {''.join(map(str, last))}", soft_wrap=True)
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
        _print_ranking(run, name, order[0])
        print_comparison(run, run.recommended())
        out.print(
            f"next: nas pareto {name} --plot pareto.png; nas export {name}@best -o network; "
            f"nas scale {name}@best",
            soft_wrap=True,
        )


def _print_ranking(
    run: Run, typed: str, best: Trial, trials: list[Trial] | None = None, title: str = ""
) -> None:
    """A table with the recommended candidate marked, and what RUN@best and RUN@observed stand for.

    Args:
        run: the search.
        typed: what the user calls it.
        best: of all observed rewards.
        trials: the rows; by default the recommended and the best observed.
        title: of the table.
    """
    with run.journal() as journal:
        bet = journal.recommended()
    recommended = bet or best
    if trials is None:
        trials = [recommended] if recommended.id == best.id else [recommended, best]
    print_table(
        ("", *console.TRIAL_COLUMNS),
        [["*" if trial.id == recommended.id else "", *console.trial_row(trial)] for trial in trials],
        title,
    )
    if bet is None:
        text = (
            f"candidate {best.id} has the best observed reward; nothing is recommended, so {typed}@best is it"
        )
    elif bet.id == best.id:
        text = f"candidate {bet.id} is recommended and has the best observed reward ({typed}@best)"
    else:
        text = (
            f"candidate {bet.id} is recommended ({typed}@best); candidate {best.id} has the best observed "
            f"reward ({typed}@observed)"
        )
    out.print(text, soft_wrap=True)


@app.command(name="ls")
def list_all(json_output: JsonOption = False) -> None:
    """List the runs under runs/: nas ls"""
    runs = list_runs()
    if json_output:
        print_json([_readable(run, status_json) for run in runs])
        return
    if not runs:
        out.print("no runs under runs/; nas search CONFIG makes one")
        return
    print_table(
        ("run", "state", "candidates", "best accuracy", "best reward", "its MACs"),
        [_readable(run, status_row) for run in runs],
    )


def _readable(run: Run, facts: Callable[[Run], Any]) -> Any:
    """The facts of a run; of one that cannot be read, why, so that it does not hide the others."""
    try:
        return facts(run)
    except (InputError, sqlite3.DatabaseError) as error:
        if facts is status_row:
            return [run.name, f"unreadable: {error}", "-", "-", "-", "-"]
        return {"run": run.name, "state": "unreadable", "error": str(error)}


@app.command()
def status(run: RunArgument, json_output: JsonOption = False) -> None:
    """How a search stands and what happened to it, also while it runs: nas status quickstart"""
    found = open_run(run)
    if json_output:
        print_json(status_json(found))
        return
    now = status_of(found)
    print_status(found.name, now)
    if now.best is not None:
        _print_ranking(found, run, now.best, title="best so far")
    print_baselines(now.baselines)
    failed = [trial for trial in found.trials() if trial.status == "failed"]
    for trial in failed[-5:]:
        out.print(f"candidate {trial.id} failed: {trial.error}", soft_wrap=True)
    if len(failed) > 5:
        out.print(f"and {len(failed) - 5} before them")


def _search_of(run: str) -> Run:
    """The run, which must hold a search.

    Raises:
        InputError: it holds an audit, where one network was trained in several ways and none has a reward.
    """
    found = open_run(run)
    done = [trial for trial in found.trials() if trial.status == "done"]
    if done and all(trial.reward is None for trial in done):
        figure = found.path / "audit.png"
        raise InputError(f"{found.name} is an audit and ranks nothing; its figure is {figure}")
    return found


@app.command()
def pareto(
    run: RunArgument,
    x: Annotated[str, typer.Option("--x", help="The cost: macs or params.")] = "macs",
    plot: Annotated[Path | None, typer.Option("--plot", help="A figure: .png, .svg or .pdf.")] = None,
    json_output: JsonOption = False,
) -> None:
    """The Pareto front of accuracy and cost: nas pareto quickstart --plot pareto.png"""
    if x not in ("macs", "params"):
        raise InputError(f"--x must be macs or params, got {x!r}")
    found = _search_of(run)
    trials, baselines = found.trials(), found.baselines()
    front = front_of(trials, _reference_cost(found.config(), trials, x), x)
    if plot is not None:
        done = sum(trial.status == "done" for trial in trials)
        save_figure(pareto_figure(trials, front, f"{found.name}: {done} networks", x, baselines), plot)
    if json_output:
        print_json(
            {
                "front": [trial.to_json() for trial in front.trials],
                "hypervolume": front.hypervolume,
                "reference": front.reference,
                "baselines": [_beside_front(trial, front, x) for trial in baselines],
            }
        )
        return
    print_front(front, baselines, x)
    out.print(
        f"hypervolume {front.hypervolume:.4f}, reference point accuracy 0 and {count(front.reference[x])} {x}"
    )
    if plot is not None:
        out.print(f"wrote {plot}")


def _beside_front(baseline: Trial, front: Front, x: str) -> dict[str, Any]:
    """The facts of a baseline, and the candidates that dominate it; None where it is not measured."""
    better = None if baseline.status != "done" else [trial.id for trial in dominating(baseline, front, x)]
    return {**baseline.baseline_json(), "dominated_by": better}


def _reference_cost(config: dict[str, Any], trials: list[Trial], x: str) -> float:
    """Twice the target where it is of this cost, so that runs compare; else twice the largest seen."""
    objective = config.get("objective", {})
    if objective.get("cost", "macs") == x and objective.get("target"):
        return 2.0 * float(objective["target"])
    return 2.0 * max((getattr(trial, x) for trial in trials), default=1.0)


@app.command()
def top(
    run: RunArgument,
    number: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 10,
    json_output: JsonOption = False,
) -> None:
    """The best candidates by observed reward, the recommended one marked: nas top quickstart -n 5"""
    found = _search_of(run)
    order = ranked(found.trials())
    if json_output:
        recommended = found.recommended() if order else None
        print_json([trial_json(trial, recommended) for trial in order[:number]])
    elif not order:
        out.print("no candidate has finished yet")
    else:
        _print_ranking(found, run, order[0], order[:number])
    if not json_output:
        print_baselines(found.baselines())


@app.command()
def rediscovery(
    run: RunArgument,
    reference: Annotated[
        str, typer.Option("--reference", help="A published network, or any other.")
    ] = "efficientnet_b0",
    json_output: JsonOption = False,
) -> None:
    """Has a search found a network as good as a published one: nas rediscovery rediscover_b0_table"""
    from nas.lookup import load_architecture
    from nas.rediscovery import SAMPLE
    from nas.rediscovery import rediscovery as compare

    found = compare(open_run(run), reference, load_architecture(reference))
    if json_output:
        print_json(found.to_json())
        return
    if found.replay is not None:
        out.print(found.replay, soft_wrap=True)
    rows = [
        (name, percent(s.accuracy), reward_text(s.reward), count(s.macs), s.candidate or "-")
        for name, s in ((reference, found.reference), ("recommended", found.recommended))
    ]
    print_table(("network", "accuracy", "reward", "MACs", "candidate"), rows)
    until = found.trainings_to_reward
    reached = f"after {until} results" if until else f"by none of {found.networks}"
    out.print(f"its reward or more: reached {reached}")
    until = found.trainings_to_accuracy
    reached = f"after {until} results" if until else f"by none of {found.networks}"
    out.print(f"its accuracy or more at no more MACs: reached {reached}")
    out.print(f"{found.networks} results, {found.rank - 1} of them with a higher reward than {reference}")
    if found.percentile is not None:
        out.print(f"{reference} is above {found.percentile:.2f} % of {SAMPLE:,} random networks of the space")
    agree = found.decisions - len(found.differences)
    differs = "; it differs in" if found.differences else ""
    out.print(f"the recommended network agrees with it in {agree} of {found.decisions} decisions{differs}")
    for decision, (ours, theirs) in found.differences.items():
        out.print(f"  {decision}: {ours}, and {theirs} in {reference}")
    verdict = "rediscovered" if found.rediscovered else "not rediscovered"
    out.print(f"{verdict}: {'a' if found.rediscovered else 'no'} network at least as good was measured")


def main() -> None:
    """The ``nas`` command."""
    debug = "--debug" in sys.argv[1:2]
    try:
        code = app(standalone_mode=False)
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


def _mistake(error: object, debug: bool) -> int:
    if debug and isinstance(error, BaseException):
        logging.getLogger("nas").error("", exc_info=error)
    console.err.print(f"nas: {' '.join(str(error).split())}", soft_wrap=True)
    return 2


if __name__ == "__main__":
    main()
