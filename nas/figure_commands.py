"""``nas figures``, and the figures that ``nas show`` and ``nas scale`` write."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import console
from nas.console import out, print_json
from nas.lookup import search_of
from nas.options import JsonOption, RunArgument
from results import (
    Run,
    RunFront,
    Trial,
    cost_of,
    front_of,
    pareto_figure,
    ranked,
    reference_point,
    save_figure,
    targets_of,
)
from results.wording import networks
from search_space import Architecture, InputError
from search_space.errors import suggestion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

figure_app = typer.Typer()
_BEST = 0.1  # of the networks, whose choices are compared with all


@figure_app.command()
def figures(
    run: RunArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A folder; by default the run's figures/.")
    ] = None,
    kind: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
    json_output: JsonOption = False,
) -> None:
    """Every figure of a run, also while it searches: nas figures quickstart

    The Pareto front, the search's way, its hypervolume, what the controller has settled, what the best
    networks share, and the recommended network beside the first baseline.
    """
    from results.figures import FORMATS

    known = [ending.removeprefix(".") for ending in FORMATS]
    if kind not in known:
        raise InputError(f"--format must be {', '.join(known)}, got {kind!r}{suggestion(kind, known)}")
    found = search_of(run)
    folder = found.path / "figures" if output is None else output
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: must be a folder")
    trials = found.trials()
    if not ranked(trials):
        raise InputError(f"{found.name}: no candidate has finished yet, so there is nothing to draw")
    files: dict[str, Path] = {}
    with console.err.status("drawing"):
        for name, draw in _figures(found, trials):
            files[name] = folder / f"{name}.{kind}"
            save_figure(draw(), files[name])
    if json_output:
        print_json({"run": found.name, "figures": {name: str(path) for name, path in files.items()}})
        return
    for path in files.values():
        out.print(f"wrote {path}", soft_wrap=True)


def _figures(run: Run, trials: list[Trial]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Name and drawing of each figure of a run that has a result."""
    from results.choices import choice_frequencies
    from results.figures import choices_figure, hypervolume_figure, policy_figure, search_figure
    from results.policy import policy_map
    from results.progress import search_curves, worker_gpus

    config, decisions = run.config(), run.decisions()
    with run.journal() as journal:
        proposals, sessions = journal.proposals(), journal.sessions()
    targets = targets_of(config)
    cost = cost_of(config)
    reference = reference_point(trials, (cost,), targets)[cost]
    curves = search_curves(trials, reference, cost, gpus=worker_gpus(config, sessions))
    number = len(curves.ids)
    policy = policy_map([proposal.indices for proposal in proposals], decisions)
    frequencies = choice_frequencies(trials, decisions, _BEST)
    shared = f"what the best {math.ceil(_BEST * number)} of {networks(number)} share"
    yield "pareto", lambda: _pareto(run, trials, reference, cost)
    yield "search", lambda: search_figure(curves, f"{run.name}: {networks(number)}")
    yield "hypervolume", lambda: hypervolume_figure([(run.name, curves)], f"{run.name}: hypervolume")
    yield "policy", lambda: policy_figure(policy, f"{run.name}: what the controller has settled")
    yield (
        "choices",
        lambda: choices_figure(frequencies, f"{run.name}: {shared}"),
    )
    yield "architecture", lambda: _recommended(run)


def _pareto(run: Run, trials: list[Trial], reference: float, cost: str) -> Figure:
    """The Pareto front, as ``nas pareto --plot`` draws it."""
    done = sum(trial.status == "done" for trial in trials)
    front = front_of(trials, reference, cost)
    shown = RunFront(name=run.name, trials=trials, front=front, baselines=run.baselines())
    return pareto_figure([shown], f"{run.name}: {networks(done)}")


def _recommended(run: Run) -> Figure:
    """The recommended network, above the first baseline that has finished and is another network."""
    from results.figures import architecture_figure

    with run.journal() as journal:
        facts, bet = journal.evaluator(), journal.recommended()
    best = bet or run.best()
    why = "recommended" if bet is not None else "best observed reward"
    networks, titles = [best.network()], [f"{run.name}: candidate {best.id}, {why}"]
    for trial in run.baselines():
        if trial.status == "done" and trial.key != best.key:
            networks.append(trial.network())
            titles.append(f"{trial.baseline}, baseline")
            break
    classes, channels = (1000, 3) if facts is None else (facts.num_classes, facts.in_channels)
    return architecture_figure(networks, classes, channels, titles)


def check_plot(plot: Path | None, accuracies: Sequence[str] = ()) -> None:
    """Refuse what cannot be drawn, before anything is done.

    Raises:
        InputError: an ending that no figure can have, or accuracies without a figure.
    """
    from results import check_figure_path

    if plot is not None:
        check_figure_path(plot)
    elif accuracies:
        raise InputError("--accuracy is for the figure and needs --plot")


def plot_architecture(network: Architecture, num_classes: int, in_channels: int, path: Path) -> None:
    """Write the drawing of a network."""
    from results.figures import architecture_figure

    save_figure(architecture_figure([network], num_classes, in_channels), path)


def plot_family(
    base: Architecture,
    facts: Sequence[dict[str, Any]],
    accuracies: dict[str, float],
    title: str,
    path: Path,
    *,
    published: bool,
    edition: str,
) -> None:
    """Write the figure of a scaled family beside the published models.

    Args:
        base: what was scaled.
        facts: name, macs and params of each member.
        accuracies: of members by name, 0 to 1; the others have none.
        title: above the figure.
        path: of the figure.
        published: whether the members are those of the published factors.
        edition: of the paper.
    """
    from results.figures import FamilyPoint, family_figure
    from search_space import load_architecture

    members = [
        FamilyPoint(name=f["name"], params=f["params"], macs=f["macs"], accuracy=accuracies.get(f["name"]))
        for f in facts
    ]
    if published and base.key == load_architecture("efficientnet_b0").key:
        # the published family is drawn with its published accuracies; only other accuracies add to it
        members = [member for member in members if member.accuracy is not None]
    save_figure(family_figure(members, title, edition=edition), path)


def parse_accuracies(given: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """``NAME=VALUE`` of the members of a family.

    Args:
        given: as typed.
        names: of the members.

    Raises:
        InputError: another form, an unknown name, a name twice, or a value that is not from 0 to 1.
    """
    found: dict[str, float] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        try:
            accuracy = float(value)
        except ValueError:
            equals, accuracy = "", 0.0
        if not equals:
            raise InputError(f"--accuracy must be NAME=VALUE, got {text!r}")
        if name not in names:
            raise InputError(f"--accuracy: {name!r} is no member of the family{suggestion(name, names)}")
        if name in found:
            raise InputError(f"--accuracy gives {name} twice")
        if not 0.0 <= accuracy <= 1.0:
            raise InputError(f"--accuracy: {name} must be between 0 and 1, got {value}")
        found[name] = accuracy
    return found
