"""``nas space``: look at a search space and draw from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from nas.console import out, print_json, print_table
from nas.options import JsonOption
from results import file_stem, write_whole
from results.wording import count
from search_space import StageSpace, cost, load_space, memory
from search_space.yaml_io import parse_override

space_app = typer.Typer(no_args_is_help=True, help="Look at a search space, and draw networks from it.")

SpaceArgument = Annotated[str, typer.Argument(help="A preset or a YAML file.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a field: choices.kernel=[3,5,7]; repeatable."),
]
ClassesOption = Annotated[int, typer.Option("--classes", help="Classes for the cost.", min=1)]
ChannelsOption = Annotated[int, typer.Option("--channels", help="Image channels for the cost.", min=1)]


def _load(given: str, overrides: list[str] | None) -> StageSpace:
    values = dict(parse_override(override, "choices.kernel=[3,5,7]") for override in overrides or [])
    return load_space(given, values)


@space_app.command()
def show(
    given: SpaceArgument,
    overrides: SetOption = None,
    classes: ClassesOption = 1000,
    channels: ChannelsOption = 3,
    json_output: JsonOption = False,
) -> None:
    """Decisions, size, and the smallest and largest cost: nas space show efficientnet"""
    space = _load(given, overrides)
    tables = space.tables(classes, channels)
    extremes = {name: tables.extremes(name) for name in ("macs", "params")}
    least_memory, _ = tables.smallest_memory()
    networks, exact = tables.distinct(), tables.counted_exactly()
    if json_output:
        print_json(
            {
                "name": space.name,
                "image_size": space.skeleton.image_size,
                "decisions": {d.name: list(d.choices) for d in space.decisions},
                "size": space.size,
                "networks": networks,
                "networks_exact": exact,
                "macs": {"smallest": extremes["macs"].smallest, "largest": extremes["macs"].largest},
                "params": {"smallest": extremes["params"].smallest, "largest": extremes["params"].largest},
                "memory": {"smallest": least_memory},
                "num_classes": classes,
                "in_channels": channels,
            }
        )
        return
    names = list(dict.fromkeys(choice for stage in space.offered for choice in stage))
    rows = []
    for number, stage in enumerate(space.offered, start=1):
        cells = ["/".join(str(value) for value in stage.get(name, ())) or "fixed" for name in names]
        rows.append([f"{number}", space.skeleton.stages[number - 1].stride, *cells])
    print_table(("stage", "stride", *names), rows, title=f"{space.name}, {space.skeleton.image_size} pixels")
    out.print(f"{len(space.decisions)} decisions, {space.size:,} points ({space.size:.3g})")
    bound = "" if exact else "at most "
    out.print(f"{bound}{networks:,} distinct networks ({networks:.3g})")
    for name in ("macs", "params"):
        low, high = extremes[name].smallest, extremes[name].largest
        out.print(f"{name} from {low:,} to {high:,} ({count(low)} to {count(high)}), exact")
    out.print(f"memory from {least_memory:,} bytes; at {classes} classes, {channels} image channels")


@space_app.command()
def sample(
    given: SpaceArgument,
    number: Annotated[int, typer.Option("-n", help="How many.", min=1, max=1_000_000)] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw.", min=0)] = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A folder for YAML files.")] = None,
    overrides: SetOption = None,
    classes: ClassesOption = 1000,
    channels: ChannelsOption = 3,
    json_output: JsonOption = False,
) -> None:
    """Draw networks uniformly over the decisions: nas space sample efficientnet -n 5"""
    space = _load(given, overrides)
    rng = np.random.default_rng(seed)
    facts: list[dict[str, Any]] = []
    for i in range(1, number + 1):
        indices = space.random(rng)
        network = space.decode(indices).renamed(f"{space.name}-{seed}-{i}")
        macs, params = cost(network, classes, channels)
        facts.append(
            {
                "name": network.name,
                "key": network.key,
                "indices": list(indices),
                "macs": macs,
                "params": params,
                "memory": memory(network, classes, channels),
                "architecture": network.summary(),
            }
        )
        if output is not None:
            write_whole(output / f"{file_stem(network.name)}.yaml", network.save)
    if json_output:
        print_json(facts)
        return
    print_table(
        ("name", "MACs", "params", "architecture"),
        [[f["name"], count(f["macs"]), count(f["params"]), f["architecture"]] for f in facts],
    )
    if output is not None:
        out.print(f"wrote {number} architectures to {output}")
