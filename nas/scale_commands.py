"""``nas scale``: one network, a family of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import console
from nas.console import out, print_json
from nas.options import (
    AddressOption,
    ArchArgument,
    ChannelsOption,
    ClassesOption,
    JsonOption,
    PlotOption,
    ReuseOption,
    SetOption,
)
from results.published import LATEST, check_edition
from search_space import Architecture, InputError, Limits

if TYPE_CHECKING:
    from nas.lookup import Found
    from nas.scale_members import Family
    from nas.scale_training import TrainingOptions

scale_app = typer.Typer()
_RUN, _FORMULA, _FACTORS = "Own search", "Formula", "Given factors"


@scale_app.command()
def scale(
    architecture: ArchArgument,
    family: Annotated[
        str | None,
        typer.Option("--family", help="efficientnet: the published factors of B0 to B7."),
    ] = None,
    phi: Annotated[
        list[float] | None,
        typer.Option("--phi", help="The formula at this coefficient; repeatable.", rich_help_panel=_FORMULA),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="Depth: 1.2.", rich_help_panel=_FORMULA)
    ] = None,
    beta: Annotated[
        float | None, typer.Option("--beta", help="Width: 1.1.", rich_help_panel=_FORMULA)
    ] = None,
    gamma: Annotated[
        float | None, typer.Option("--gamma", help="Resolution: 1.15.", rich_help_panel=_FORMULA)
    ] = None,
    depth: Annotated[
        float | None, typer.Option("--depth", help="Factor on the layers.", rich_help_panel=_FACTORS)
    ] = None,
    width: Annotated[
        float | None, typer.Option("--width", help="Factor on the channels.", rich_help_panel=_FACTORS)
    ] = None,
    resolution: Annotated[
        float | None, typer.Option("--resolution", help="Factor on the image size.", rich_help_panel=_FACTORS)
    ] = None,
    search: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG", help="Find alpha, beta, gamma on this data: train a grid.", rich_help_panel=_RUN
        ),
    ] = None,
    dimensions: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG",
            help="Train it scaled each way at equal MACs; draw it.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", help="Name of the run, instead of the file's.", rich_help_panel=_RUN),
    ] = None,
    overrides: SetOption = None,
    reuse: ReuseOption = None,
    address: AddressOption = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="LIMIT",
            help="Such as 'macs<=600e6'; params, memory; repeatable. Alone: the formula's family.",
        ),
    ] = None,
    published: Annotated[bool, typer.Option("--published", help="The paper's tables besides.")] = False,
    edition: Annotated[str, typer.Option(help="Of the paper: v5, v3 or icml.")] = LATEST,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A folder for the members.")] = None,
    weights: Annotated[
        bool, typer.Option("--weights", help="With -o: starting weights too, from the trained baseline.")
    ] = False,
    classes: ClassesOption = None,
    channels: ChannelsOption = None,
    plot: PlotOption = None,
    accuracy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of a member, 0 to 1, for the figure; repeatable."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Scale a network: nas scale efficientnet_b0 --phi 1 --phi 2, or nas scale mine@best --search CONFIG

    Three things, named apart: the published factors of B1 to B7, which are a table; the formula alpha^phi,
    beta^phi, gamma^phi; and factors of your own, such as --width 2. --search trains a grid at phi = 1 and
    takes the formula from there; interrupted, the same command goes on.
    """
    from nas.figure_commands import check_plot
    from nas.lookup import find_architecture
    from nas.scale_members import by_factors, check_phis, formula_family, parse_limits, published_family

    coefficients, factors = (alpha, beta, gamma), (depth, width, resolution)
    given = any(value is not None for value in factors)
    formula = any(value is not None for value in coefficients) or (bool(phi) and search is None)
    if family not in (None, "efficientnet"):
        raise InputError(f"--family must be efficientnet, got {family!r}")
    _check_one_way(
        {
            "--family": family is not None,
            "the formula (--phi, --alpha, --beta, --gamma)": formula,
            "given factors (--depth, --width, --resolution)": given,
            "--search": search is not None,
            "--dimensions": dimensions is not None,
        }
    )
    of_runs = {"--run": run, "--set": overrides, "--reuse": reuse, "--address": address}
    _check_company(of_runs, search is not None or dimensions is not None, "--search or --dimensions")
    of_members = {"-o": output, "--limit": limit, "--accuracy": accuracy, "--phi": phi}
    _check_company(of_members, dimensions is None, "a family, which --dimensions does not make")
    of_arithmetic = {"--accuracy": accuracy, "--classes": classes, "--channels": channels}
    nothing_trained = search is None and dimensions is None
    _check_company(of_arithmetic, nothing_trained, "a family that is not searched for")
    _check_company({"--weights": weights or None}, output is not None, "-o")
    check_edition(edition)
    check_plot(plot, accuracy or [])
    limits = parse_limits(limit or [])
    check_phis(phi or [])
    found = find_architecture(architecture)
    if weights and found.weights is None:
        raise InputError(f"--weights: {architecture} has no trained weights")
    request = _Request(architecture, found, plot, output, weights, published, edition, json_output)
    config = search or dimensions
    if config is not None:
        from nas.scale_training import TrainingOptions

        training = TrainingOptions(
            config=config, run=run, overrides=overrides or [], reuse=reuse or [], address=address
        )
        if dimensions is not None:
            _dimensions(request, training)
        else:
            _search(request, training, phi or None, limits)
        return
    classes, channels = classes or found.num_classes, channels or found.in_channels
    base = found.architecture
    if formula or (limit and family is None and not given):
        made = formula_family(base, phi or None, coefficients, limits, classes, channels)
    elif given:
        made = by_factors(base, factors, limits, classes, channels)
    else:
        made = published_family(base, limits, classes, channels)
    _show(request, made, limits, classes, channels, accuracy or [])


class _Request:
    """What is to be done with the members, whatever they are.

    Args:
        typed: what is scaled, as the user named it.
        found: the same.
        plot: the figure's file.
        output: the members' folder.
        weights: whether starting weights are written too.
        published: whether the paper's tables are printed.
        edition: of the paper.
        json: one document instead of text.
    """

    def __init__(
        self,
        typed: str,
        found: Found,
        plot: Path | None,
        output: Path | None,
        weights: bool,
        published: bool,
        edition: str,
        json: bool,
    ) -> None:
        self.typed = typed
        self.found, self.plot, self.output, self.weights = found, plot, output, weights
        self.published, self.edition, self.json = published, edition, json

    @property
    def base(self) -> Architecture:
        """What is scaled."""
        return self.found.architecture


def _check_one_way(ways: dict[str, bool]) -> None:
    """Refuse two ways to scale at once."""
    given = [way for way, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]} are different ways to scale; give one")


def _check_company(options: dict[str, Any], there: bool, what: str) -> None:
    """Refuse options without what they belong to."""
    for name, value in options.items():
        if value and not there:
            raise InputError(f"{name} goes with {what}")


def _show(
    request: _Request, made: Family, limits: Limits, classes: int, channels: int, accuracy: list[str]
) -> None:
    """A family by arithmetic: figure, files, table."""
    from nas.figure_commands import parse_accuracies, plot_family
    from nas.scale_members import print_written, write_members
    from nas.scale_views import formula_title, print_members
    from nas.scaling import factor_warning

    base = request.base
    facts = members_json(made, classes, channels, request.edition)
    accuracies = parse_accuracies(accuracy, [fact["name"] for fact in facts])
    title = "given factors" if made.given else "published factors of EfficientNet-B0 to B7"
    if made.coefficients is not None:
        title = formula_title(*made.coefficients)
        warning = factor_warning(*made.coefficients)
        if warning is not None:
            console.err.print(f"nas: {warning}", soft_wrap=True)
    if request.plot is not None:
        plot_family(
            base,
            facts,
            accuracies,
            f"{base.name}: {title}",
            request.plot,
            published=made.coefficients is None and not made.given,
            edition=request.edition,
        )
    said = []
    if request.output is not None:
        said = write_members(request.found, made, request.output, classes, channels, weights=request.weights)
    if request.json:
        print_json(_with_published(facts, request))
        return
    memory = limits.memory is not None
    print_members(base, made.members, title, classes, channels, request.edition, memory=memory)
    if request.output is not None:
        print_written(made, request.output, said)
    _finish(request, request.plot)


def _search(request: _Request, training: TrainingOptions, phis: list[float] | None, limits: Limits) -> None:
    """A grid search, and the family that its best point gives."""
    from nas.scale_members import formula_family, print_written, write_members
    from nas.scale_training import save_grid_figure, search_grid
    from nas.scale_views import formula_title, print_grid, print_members, reuse_words

    ended, found = search_grid(request.found, training, limits)
    classes, channels, chosen = ended.num_classes, ended.in_channels, found.chosen
    coefficients = (chosen.alpha, chosen.beta, chosen.gamma)
    if not request.json:
        print_grid(found)  # stands whatever is wrong with the family that is asked for
    made = formula_family(request.base, phis, coefficients, limits, classes, channels)
    figure = request.plot or ended.run.path / "scaling.png"
    save_grid_figure(found, made.members, ended, figure)
    said = []
    if request.output is not None:
        said = write_members(request.found, made, request.output, classes, channels, weights=request.weights)
    if request.json:
        facts = members_json(made, classes, channels, request.edition)
        document = {"run": ended.run.name, **found.to_json(), "family": facts}
        print_json({**document, **_tables(request)})
        return
    title = formula_title(*coefficients)
    memory = limits.memory is not None
    print_members(request.base, made.members, title, classes, channels, request.edition, memory=memory)
    out.print(reuse_words(request.typed, found), soft_wrap=True)
    if request.output is not None:
        print_written(made, request.output, said)
    _finish(request, figure)


def _dimensions(request: _Request, training: TrainingOptions) -> None:
    """The experiment on the dimensions of scaling."""
    from nas.scale_training import run_dimensions, save_dimensions_figure
    from nas.scale_views import dimensions_json, print_dimensions

    ended, found = run_dimensions(request.found, training)
    figure = request.plot or ended.run.path / "dimensions.png"
    save_dimensions_figure(found, ended, figure)
    if request.json:
        print_json({"run": ended.run.name, **dimensions_json(found), **_tables(request)})
        return
    print_dimensions(found)
    _finish(request, figure)


def _finish(request: _Request, figure: Path | None) -> None:
    """The paper's tables where they are wanted, and where the figure is."""
    from nas.published_views import print_published

    if request.published:
        out.print()
        print_published(request.edition)
    if figure is not None:
        out.print(f"wrote {figure}", soft_wrap=True)


def members_json(made: Family, classes: int, channels: int, edition: str) -> list[dict[str, Any]]:
    """The members for ``--json``; those for ImageNet with what is published beside them."""
    from nas.published_views import published_facts
    from nas.scale_views import IMAGENET

    facts = []
    for member in made.members:
        its = member.to_json(classes, channels)
        if (classes, channels) == IMAGENET:
            its["published"] = published_facts(member.architecture, its["macs"], edition)
        facts.append(its)
    return facts


def _with_published(facts: list[dict[str, Any]], request: _Request) -> Any:
    """A list of members; with --published a document that has the tables too."""
    return {"members": facts, **_tables(request)} if request.published else facts


def _tables(request: _Request) -> dict[str, Any]:
    """The paper's tables under their key, where they are wanted."""
    from nas.published_views import published_json

    return {"published": published_json(request.edition)} if request.published else {}
