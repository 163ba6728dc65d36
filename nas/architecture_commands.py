"""``nas show``: one architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from nas.console import out, print_json, print_table, printable
from nas.options import ArchArgument, ChannelsOption, ClassesOption, JsonOption, PlotOption
from results.wording import count, count_of
from search_space import cost, memory, stage_table

if TYPE_CHECKING:
    from nas.lookup import Found

architecture_app = typer.Typer()


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
    out.print(printable(f"{network.name}  key {network.key[:16]}"))
    if found.origin:
        out.print(printable(found.origin), soft_wrap=True)
    rows = stage_table(network, classes, channels)
    print_table(
        ("stage", "operator", "resolution", "channels", "layers", "receptive field", "MACs", "params"),
        [list(row.cells()) for row in rows],
    )
    out.print(
        f"{macs:,} MACs (the papers' FLOPS), {params:,} parameters at {network.image_size} pixels, "
        f"{count_of(classes, 'class', 'classes')}, {count_of(channels, 'input channel')}; "
        f"{count(memory(network, classes, channels))}B of memory for one image",
        soft_wrap=True,
    )
    if plot is not None:
        out.print(f"wrote {plot}", soft_wrap=True)


def architecture_facts(found: Found, classes: int, channels: int) -> dict[str, Any]:
    """What ``--json`` says of one architecture, at these numbers of classes and image channels."""
    from nas.checkpoint_lookup import checkpoint_json

    network = found.architecture
    macs, params = cost(network, classes, channels)
    facts = {**network.to_dict(), "key": network.key, "macs": macs, "params": params}
    facts |= {"num_classes": classes, "in_channels": channels}
    facts |= {"memory": memory(network, classes, channels)}
    facts |= {"table": [row.to_json() for row in stage_table(network, classes, channels)]}
    facts |= {"trial": None if found.trial is None else found.trial.to_json()}
    return facts | {"checkpoint": found.checkpoint and checkpoint_json(found.checkpoint)}
