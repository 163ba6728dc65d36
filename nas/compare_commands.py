"""``nas compare``: architectures side by side, and what a search found beside a published network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.architecture_commands import architecture_facts
from nas.console import out, print_json, print_table, reward_text
from nas.options import ChannelsOption, ClassesOption, JsonOption
from results import Run, check_figure_path, open_run, save_figure
from results.figures import architecture_figure
from results.run import OF_GIVEN
from results.wording import count, percent
from search_space import InputError, cost, memory

if TYPE_CHECKING:
    from nas.lookup import Found
    from nas.rediscovery import DecisionLine, Rediscovery

compare_app = typer.Typer()


@compare_app.command()
def compare(
    architectures: Annotated[
        list[str],
        typer.Argument(
            metavar="ARCH",
            help="Two or more: references (efficientnet_b0), YAML or JSON files, RUN@best, RUN@observed, "
            "RUN@17, a run's baseline (RUN@efficientnet_b0), .safetensors files, or NAME@best, NAME@last or "
            "NAME@12 of a training.",
            show_default=False,
        ),
    ],
    random: Annotated[
        list[str] | None,
        typer.Option(
            "--random", metavar="RUN", help="A random search with the same evaluator, as control; repeatable."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="A drawing of them: .png, .svg or .pdf.")
    ] = None,
    classes: ClassesOption = None,
    channels: ChannelsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Architectures side by side: nas compare quickstart@best efficientnet_b0

    Where a candidate of a run stands beside a network that is not the run's, or is its baseline, a statement
    follows: has the search found a network as good?
    """
    from nas.lookup import find_architecture

    if len(architectures) < 2:
        raise InputError("nas compare needs two architectures or more; nas show ARCH shows one")
    if plot is not None:
        check_figure_path(plot)
    found = [find_architecture(text) for text in architectures]
    trained = next((each for each in found if each.run is not None or each.sized), found[0])
    classes, channels = classes or trained.num_classes, channels or trained.in_channels
    statement, silence = _rediscovery(architectures, found, [open_run(name) for name in random or []])
    if plot is not None:
        _plot(found, plot, classes, channels)
    if json_output:
        facts = [architecture_facts(each, classes, channels) for each in found]
        print_json({"architectures": facts, "rediscovery": statement and statement.to_json()})
        return
    _print_side_by_side(architectures, found, classes, channels)
    if silence:
        out.print(silence, soft_wrap=True)
    if statement is not None:
        _print_rediscovery(statement)
    if plot is not None:
        out.print(f"wrote {plot}", soft_wrap=True)


def _rediscovery(
    typed: Sequence[str], found: Sequence[Found], random: Sequence[Run]
) -> tuple[Rediscovery | None, str]:
    """The statement on the first candidate and the first network that can be its reference.

    Returns:
        The statement, and where there is none though there is a pair, why.

    Raises:
        InputError: as `nas.rediscovery.rediscovery`; runs to put beside a pair that is not there.
    """
    from nas.rediscovery import NothingFinishedError, rediscovery

    pair = _pair(found)
    if pair is None:
        if random:
            raise InputError(
                "--random needs a candidate of a run beside another network: nas compare RUN@best "
                "efficientnet_b0"
            )
        return None, ""
    own, reference = pair
    run, trial = found[own].run, found[own].trial
    assert run is not None
    try:
        network = found[reference].architecture
        return rediscovery(run, typed[reference], network, trial, random), ""
    except NothingFinishedError as error:
        if random:
            raise
        return None, f"{error}, so nothing is said about a rediscovery"


def _pair(found: Sequence[Found]) -> tuple[int, int] | None:
    """Places of the first candidate of a search, and of the first network not of that run or its baseline."""
    for own, each in enumerate(found):
        if each.run is None or each.trial is None or not each.trial.proposed or each.kind in OF_GIVEN:
            continue
        folder = each.run.path.resolve()
        for place, other in enumerate(found):
            its_own = other.run is not None and other.run.path.resolve() == folder
            baseline = other.trial is not None and other.trial.baseline is not None
            if place != own and (not its_own or baseline):
                return own, place
    return None


def _print_side_by_side(typed: Sequence[str], found: Sequence[Found], classes: int, channels: int) -> None:
    from nas.side_by_side import NONE, other_differences, side_by_side

    networks = [each.architecture for each in found]
    marks = set()
    rows = []
    for line in side_by_side(networks):
        mark = "*" if not line.same else "~" if len(set(line.resolutions)) > 1 else ""
        marks.add(mark)
        cells = [
            text if text == NONE else f"{text} @{side}"
            for text, side in zip(line.texts, line.resolutions, strict=True)
        ]
        rows.append([mark, line.stage, *cells])
    print_table(("", "stage", *typed), rows)
    legend = ["@ is the side of a stage's input in pixels"]
    legend += ["* differs"] if "*" in marks else []
    legend += ["~ differs in that side alone"] if "~" in marks else []
    out.print("; ".join(legend), soft_wrap=True)
    for field, values in other_differences(networks).items():
        out.print(f"{field}: {', '.join(map(str, values))}", soft_wrap=True)
    if len({network.key for network in networks}) == 1:
        out.print("they are one network", soft_wrap=True)
    out.print()
    _print_costs(typed, found, classes, channels)
    notes = [f"at {_plural(classes, 'class', 'classes')} and {_plural(channels, 'input channel')}"]
    notes += [f"x is the ratio to {typed[0]}", "memory is that of one image"]
    runs = {each.run.path.resolve() for each in found if each.trial is not None and each.run is not None}
    if runs:
        notes += ["accuracy and reward are as a run measured them"]
    if any(each.checkpoint is not None for each in found):
        notes += ["the accuracy of a checkpoint is its training's, on the validation part"]
    if any(len(each.accuracies) > 1 for each in found):
        notes += ["of given networks it is the mean of several seeds"]
    if len(runs) > 1:
        notes[3] = "accuracy and reward are each its own run's, and need not compare"
    out.print("; ".join(notes), soft_wrap=True)


def _plural(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _print_costs(typed: Sequence[str], found: Sequence[Found], classes: int, channels: int) -> None:
    rows: list[list[object]] = []
    base: tuple[int, int, int] | None = None
    measured = any(each.trial is not None or each.checkpoint is not None for each in found)
    for name, each in zip(typed, found, strict=True):
        network = each.architecture
        macs, params = cost(network, classes, channels)
        needed = memory(network, classes, channels)
        base = base or (macs, params, needed)
        row: list[object] = [name]
        for value, first, unit in zip((macs, params, needed), base, ("", "", "B"), strict=True):
            row += [f"{count(value)}{unit}", f"{value / first:.2f}"]
        row += [network.image_size]
        if measured:
            row += [percent(each.accuracy), reward_text(None if each.trial is None else each.trial.reward)]
        rows.append(row)
    columns = ["architecture", "MACs", "x", "params", "x", "memory", "x", "image size"]
    if measured:
        columns += ["accuracy", "reward"]
    print_table(columns, rows)


def _print_rediscovery(found: Rediscovery) -> None:
    out.print()
    for sentence in found.words():
        out.print(sentence, soft_wrap=True)
    if not found.decisions:
        return
    shares = found.concentration
    columns = ["", "decision", found.network_name, found.reference_name]
    if shares is not None:
        columns += [f"last {shares.window}", f"first {shares.window}", "uniform"]
    out.print()
    print_table(columns, [_decision_row(line, shares is not None) for line in found.decisions])
    if shares is not None:
        out.print(
            f"on the right the share of so many proposals that took the choice of {found.reference_name}",
            soft_wrap=True,
        )


def _decision_row(line: DecisionLine, shares: bool) -> list[object]:
    row: list[object] = ["" if line.same else "*", line.decision, line.ours, line.theirs]
    if shares:
        row += [_whole_percent(share) for share in (line.share_last, line.share_first, line.uniform)]
    return row


def _whole_percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _plot(found: Sequence[Found], path: Path, classes: int, channels: int) -> None:
    networks = [each.architecture for each in found]
    try:
        figure = architecture_figure(networks, num_classes=classes, in_channels=channels)
    except ValueError as error:  # more than it draws
        raise InputError(f"--plot: {error}") from None
    save_figure(figure, path)
