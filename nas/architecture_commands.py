"""``nas show``, ``nas export`` and ``nas scale``: what is done with one architecture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.console import out, print_json, print_table
from nas.options import ArchArgument, ChannelsOption, ClassesOption, JsonOption
from results.wording import count
from search_space import InputError, cost, memory, stage_table

if TYPE_CHECKING:
    from nas.lookup import Found

architecture_app = typer.Typer()
PlotOption = Annotated[Path | None, typer.Option("--plot", help="A figure: .png, .svg or .pdf.")]


@architecture_app.command()
def show(
    architecture: ArchArgument,
    classes: ClassesOption = None,
    channels: ChannelsOption = None,
    plot: PlotOption = None,
    json_output: JsonOption = False,
) -> None:
    """One architecture as a table, with its cost: nas show efficientnet_b0 --plot b0.png"""
    from nas.figure_commands import check_plot, plot_architecture
    from nas.lookup import find_architecture

    check_plot(plot)
    found = find_architecture(architecture)
    network = found.architecture
    classes, channels = classes or found.num_classes, channels or found.in_channels
    macs, params = cost(network, classes, channels)
    if plot is not None:
        plot_architecture(network, classes, channels, plot)
    if json_output:
        print_json(architecture_facts(found, classes, channels))
        return
    out.print(f"{network.name}  key {network.key[:16]}")
    if found.origin:
        out.print(found.origin, soft_wrap=True)
    rows = stage_table(network, classes, channels)
    print_table(
        ("stage", "operator", "resolution", "channels", "layers", "receptive field", "MACs", "params"),
        [
            [
                row.stage,
                row.operator,
                f"{row.resolution}x{row.resolution}",
                row.channels,
                row.layers,
                row.receptive_field,
                f"{row.macs:,}",
                f"{row.params:,}",
            ]
            for row in rows
        ],
    )
    out.print(
        f"{macs:,} MACs (the papers' FLOPS), {params:,} parameters at {network.image_size} pixels, "
        f"{classes} classes, {channels} input channels; "
        f"{count(memory(network, classes, channels))}B of memory for one image",
        soft_wrap=True,
    )
    if plot is not None:
        out.print(f"wrote {plot}", soft_wrap=True)


def architecture_facts(found: Found, classes: int, channels: int) -> dict[str, Any]:
    """What ``--json`` says of one architecture, at these numbers of classes and image channels."""
    network = found.architecture
    macs, params = cost(network, classes, channels)
    facts = {**network.to_dict(), "key": network.key, "macs": macs, "params": params}
    facts |= {"num_classes": classes, "in_channels": channels}
    facts |= {"memory": memory(network, classes, channels)}
    facts |= {"table": [row.to_json() for row in stage_table(network, classes, channels)]}
    facts |= {"trial": None if found.trial is None else found.trial.to_json()}
    return facts


@architecture_app.command()
def export(
    architecture: ArchArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="A file by its ending, or a folder.")],
    kind: Annotated[
        str | None, typer.Option("--format", help="yaml, json, timm or safetensors; else by the ending.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Write an architecture, with its weights where trained: nas export quickstart@best -o network/"""
    from nas.lookup import find_architecture
    from results import export as write_export

    found = find_architecture(architecture)
    files = write_export(
        found.architecture,
        output,
        found.weights,
        note=found.origin,
        kind=kind,
        num_classes=found.num_classes,
        in_channels=found.in_channels,
    )
    if json_output:
        print_json({"files": [str(path) for path in files]})
        return
    for path in files:
        out.print(f"wrote {path}", soft_wrap=True)
    trial = found.trial
    if trial is not None and found.weights is None and kind is None:
        why = "when it finished it was neither recommended nor among the best search.keep_weights"
        if trial.baseline is not None:
            why = "it did not finish, or search.keep_weights was 0"
        out.print(f"{trial.title} has no weights: {why}", soft_wrap=True)


@architecture_app.command()
def scale(
    architecture: ArchArgument,
    family: Annotated[
        str | None, typer.Option("--family", help="efficientnet: the published factors of B0 to B7.")
    ] = None,
    phi: Annotated[
        list[float] | None, typer.Option("--phi", help="The formula at this coefficient; repeatable.")
    ] = None,
    alpha: Annotated[float | None, typer.Option("--alpha", help="Depth base of the formula: 1.2.")] = None,
    beta: Annotated[float | None, typer.Option("--beta", help="Width base: 1.1.")] = None,
    gamma: Annotated[float | None, typer.Option("--gamma", help="Resolution base: 1.15.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A folder for the members.")] = None,
    classes: ClassesOption = None,
    channels: ChannelsOption = None,
    plot: PlotOption = None,
    accuracy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of a member, 0 to 1, for the figure; repeatable."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Compound scaling: nas scale quickstart@best, or nas scale efficientnet_b0 --phi 1 --phi 2

    Without --phi the published factors of B1 to B7 are used, which are a table and not the formula
    alpha^phi, beta^phi, gamma^phi. --plot puts the family beside the published models.
    """
    from nas.figure_commands import check_plot, parse_accuracies, plot_family
    from nas.lookup import find_architecture
    from nas.scaling import ALPHA, BETA, GAMMA, compound_scale, efficientnet_family, scale_factor
    from results import file_stem, write_whole

    if family is not None and phi:
        raise InputError("--family and --phi are two things: the published table, and the formula")
    if family not in (None, "efficientnet"):
        raise InputError(f"--family must be efficientnet, got {family!r}")
    if not phi and (alpha, beta, gamma) != (None, None, None):
        raise InputError("--alpha, --beta and --gamma are the formula's and need --phi")
    if phi and len(set(phi)) < len(phi):
        raise InputError("--phi gives a coefficient twice")
    check_plot(plot, accuracy or [])
    found = find_architecture(architecture)
    base = found.architecture
    if phi:
        factors = (
            ALPHA if alpha is None else alpha,
            BETA if beta is None else beta,
            GAMMA if gamma is None else gamma,
        )
        members = [compound_scale(base, p, *factors) for p in phi]
        how = f"formula: MACs x {scale_factor(*factors):.3f} for each phi; rounding adds to it"
    else:
        members = efficientnet_family(base)
        how = "published factors of EfficientNet-B0 to B7"
    classes, channels = classes or found.num_classes, channels or found.in_channels
    base_macs = cost(base, classes, channels).macs
    facts = [m.to_json(classes, channels) for m in members]
    accuracies = parse_accuracies(accuracy or [], [f["name"] for f in facts])
    if plot is not None:
        plot_family(base, facts, accuracies, f"{base.name}: {how}", plot)
    if output is not None:
        for member in members:
            network = member.architecture
            write_whole(output / f"{file_stem(network.name)}.yaml", network.save)
    if json_output:
        print_json(facts)
        return
    rows = [
        [
            f["name"],
            "-" if f["phi"] is None else f"{f['phi']:g}",
            f"{f['depth']:.3g}",
            f"{f['width']:.3g}",
            f["image_size"],
            f["dropout"],
            count(f["macs"]),
            f"{f['macs'] / base_macs:.2f}",
            count(f["params"]),
        ]
        for f in facts
    ]
    print_table(
        ("name", "phi", "depth", "width", "image size", "dropout", "MACs", "x base", "params"),
        rows,
        title=how,
    )
    if output is not None:
        out.print(f"wrote {len(members)} architectures to {output}", soft_wrap=True)
    if plot is not None:
        out.print(f"wrote {plot}", soft_wrap=True)
