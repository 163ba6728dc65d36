"""``nas pareto``: the Pareto front of a run, and of several over one another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from nas import console
from nas.console import out, print_json
from nas.lookup import refuse_unranked
from nas.options import JsonOption, WhereOption
from nas.pareto_views import Overlay, front_json, overlay_json, print_front, print_overlay
from results import (
    Limit,
    Run,
    RunFront,
    check_figure_path,
    cost_of,
    front_by,
    objective_values,
    open_run,
    pareto_figure,
    reference_point,
    save_figure,
    save_pareto_page,
    selected,
    targets_of,
)
from results.figures import FORMATS
from results.wording import networks
from search_space import InputError

pareto_app = typer.Typer()


@pareto_app.command()
def pareto(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Names under runs/, or paths.", show_default=False)
    ],
    x: Annotated[
        str | None,
        typer.Option(
            "--x",
            help="An objective: macs, params, latency_ms, seconds, reward or a metric; "
            "by default the cost of the first run's own objective.",
        ),
    ] = None,
    y: Annotated[str, typer.Option("--y", help="Another objective.")] = "accuracy",
    z: Annotated[str | None, typer.Option("--z", help="A third objective; the colour in figures.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit", metavar="LIMIT", help="Such as 'macs<=300e6'; repeatable. Feasible ones first."
        ),
    ] = None,
    where: WhereOption = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="A figure: .png, .svg, .pdf or .html.")] = None,
    json_output: JsonOption = False,
) -> None:
    """The Pareto front of accuracy and the search's own cost: nas pareto quickstart --plot pareto.png

    Several runs lie over one another, with one reference point: nas pareto a b c --z params --plot abc.html
    What ends in accuracy, _acc, reward, score, auc, f1 or top5 is raised, every other objective is lowered.
    """
    if plot is not None:
        check_figure_path(plot, (*FORMATS, ".html"))
    across = cost_of(open_run(runs[0]).config()) if x is None else x
    objectives = (across, y) if z is None else (across, y, z)
    if len(set(objectives)) < len(objectives):
        raise InputError(f"--x, --y and --z must differ, got {', '.join(objectives)}")
    limits = [Limit.parse(text) for text in limit or []]
    overlay = _overlay(runs, objectives, limits, where)
    if plot is not None:
        _plot(overlay.runs, where, plot)
    alone = overlay.runs[0] if len(overlay.runs) == 1 else None
    if json_output:
        print_json(overlay_json(overlay) if alone is None else front_json(alone))
        return
    if alone is None:
        print_overlay(overlay)
    else:
        print_front(alone)
    if plot is not None:
        out.print(f"wrote {plot}", soft_wrap=True)


def _overlay(
    names: Sequence[str], objectives: Sequence[str], limits: Sequence[Limit], where: str | None
) -> Overlay:
    """Runs as they were named, with one reference point.

    Raises:
        InputError: no such run, one twice, or nothing to make a front of.
    """
    runs = [open_run(name) for name in names]
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise InputError("a run is given twice")
    called = [run.name for run in runs]
    if len(set(called)) < len(called):  # in different folders
        called = [str(run.path) for run in runs]
    everything = [run.trials() for run in runs]
    for run in runs:
        refuse_unranked(run)
    _warn_of_different_measures(runs, called)
    if any(name.endswith("reward") for name in objectives) and len({_objective(run) for run in runs}) > 1:
        console.err.print("nas: the runs have different objectives, and rewards do not compare")
    if len(goals := [targets_of(run.config()) for run in runs]) > 1 and any(
        goals[0].get(name) != goal.get(name) for name in objectives for goal in goals
    ):
        console.err.print(f"nas: the runs have different targets; the reference point is that of {called[0]}")
    together = [trial for trials in everything for trial in trials]
    reference = reference_point(together, objectives, targets_of(runs[0].config()))
    shown = []
    for run, name, trials in zip(runs, called, everything, strict=True):
        try:
            kept = selected(trials, where)
            front = front_by(kept, objectives, limits=limits, reference=reference)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        shown.append(RunFront(name=name, trials=kept, front=front, baselines=run.baselines()))
    if len(shown) == 1:
        return Overlay(runs=shown, combined=shown[0].front, owners=called * len(shown[0].front.trials))
    owners = [run.name for run in shown for _ in run.trials]
    candidates = [trial for run in shown for trial in run.trials]
    combined = front_by(candidates, objectives, limits=limits, reference=reference)
    return Overlay(runs=shown, combined=combined, owners=[owners[place] for place in combined.places])


def _objective(run: Run) -> str:
    """The configuration's section, to be compared."""
    return json.dumps(run.config().get("objective"), sort_keys=True, default=str)


def _warn_of_different_measures(runs: Sequence[Run], names: Sequence[str]) -> None:
    """One line on standard error where accuracies come from different protocols or data."""
    measures: dict[str, list[str]] = {}
    for run, name in zip(runs, names, strict=True):
        with run.journal() as journal:
            facts = journal.evaluator()
        if facts is not None:
            measures.setdefault(facts.fingerprint, []).append(name)
    if len(measures) > 1:
        kinds = "; ".join(f"{', '.join(its)}: {measure[:12]}" for measure, its in measures.items())
        console.err.print(
            f"nas: the runs are measured in different ways, and accuracies do not compare: {kinds}",
            soft_wrap=True,
        )


def _plot(runs: Sequence[RunFront], where: str | None, path: Path) -> None:
    values = [objective_values(run.trials, run.front.objectives) for run in runs]
    drawn = sum(int(np.isfinite(its).all(axis=1).sum()) for its in values)
    of = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    title = f"{of}: {networks(drawn)}{'' if where is None else f' where {where}'}"
    if path.suffix.lower() == ".html":
        save_pareto_page(runs, title, path)
    else:
        save_figure(pareto_figure(runs, title), path)
