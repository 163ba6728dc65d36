"""``nas cam``: what trained networks look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import console
from nas.console import out, print_json, print_table, printable
from nas.late_progress import LateProgress
from nas.options import CheckpointArgument, JsonOption
from results.wording import percent
from search_space import FieldError, InputError

if TYPE_CHECKING:
    from nas.map_facts import ActivationMaps

cam_app = typer.Typer()
_OPTIONS = {"target": "class"}  # names of fields that are called otherwise here


@cam_app.command()
def cam(
    checkpoint: CheckpointArgument,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE", help="Image files of any size.", show_default=False)
    ],
    compare: Annotated[
        list[str] | None,
        typer.Option("--compare", metavar="CHECKPOINT", help="Another network beside it; repeatable."),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="cam (class activation maps) or grad-cam.")] = "cam",
    layer: Annotated[
        str | None,
        typer.Option("--layer", help="Of grad-cam: stem, stage2, blocks.3 and so on; head by default."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Of which class; what each network says, by default."),
    ] = None,
    prepared: Annotated[
        int | None,
        typer.Option(
            "--prepared", help="Pixels that images are scaled to first; those of the training's data."
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda or cuda:1; a GPU where there is one.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The figure: .png, .svg or .pdf.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Where networks see a class: nas cam mine@best cat.jpg --compare deeper@best -o maps.png

    A row an image, a column a network: what it predicts, and which places speak for that.
    """
    from trainers.factory import spin_no_threads

    spin_no_threads()
    from nas.maps import activation_maps
    from nas.maps_views import check_figure_size, save_maps_figure
    from results import check_figure_path

    _refuse_networks(checkpoint, images)
    if output is not None:
        check_figure_path(output)
        check_figure_size(len(images), 1 + len(compare or []))
        if output.resolve() in {image.resolve() for image in images}:
            raise InputError(f"{output}: is one of the images, which the figure would take the place of")
    try:
        with LateProgress("images read, maps made") as progress:
            found = activation_maps(
                checkpoint,
                images,
                compare=compare or [],
                method=method,  # type: ignore[arg-type]
                layer=layer,
                target=target,
                prepared=prepared,
                device=device,
                begin=progress.begin,
            )
    except FieldError as error:
        raise InputError(f"--{_OPTIONS.get(error.path, error.path)} {error.rule}") from None
    for note in _notes(found):
        console.err.print(printable(note), soft_wrap=True)
    if output is not None:
        with console.err.status("drawing"):
            save_maps_figure(found, output)
    if json_output:
        print_json(found.to_json())
        return
    _print(found)
    if output is not None:
        out.print(f"wrote {output}", soft_wrap=True)


def _refuse_networks(checkpoint: str, images: list[Path]) -> None:
    """Refuse networks where images belong: the two may be swapped, and an option has one value, so that
    ``--compare A B`` names one network.

    Raises:
        InputError: with how it is typed.
    """
    from nas.checkpoint_lookup import may_be_checkpoint
    from trainers.image_sources import SUFFIXES

    for image in images:
        if may_be_checkpoint(image):
            if Path(checkpoint).suffix.lower() in SUFFIXES:
                raise InputError(f"the checkpoint comes first: nas cam {image} {checkpoint}")
            how = f"each further network has a --compare of its own: --compare {image}"
            raise InputError(f"{image}: is no image; {how}")


def _notes(found: ActivationMaps) -> list[str]:
    """A line for every network whose maps have one cell, with a layer that has more."""
    from nas.checkpoint_lookup import find_checkpoint
    from trainers.activation_maps import LAST, last_of_cells

    notes = []
    for its in found.images[0].maps:
        if len(its.map) > 1:
            continue
        network = replace(find_checkpoint(its.checkpoint).architecture, image_size=its.image_size)
        finer = last_of_cells(network)
        which = "last maps" if found.layer == LAST else f"maps of {found.layer}"
        advice = f"--layer {finer}" if finer else "an earlier layer"
        notes.append(
            f"the {which} of {its.checkpoint} have one cell: nothing to localise; "
            f"--method grad-cam {advice} has finer ones"
        )
    return notes


def _print(found: ActivationMaps) -> None:
    """A row an image and a network."""
    rows = []
    for image in found.images:
        for number, its in enumerate(image.maps):
            centre = its.centre
            asked = () if found.target is None else (percent(its.target_probability),)
            rows.append(
                (
                    "" if number else image.image,
                    its.checkpoint,
                    f"{its.image_size}",
                    its.predicted,
                    percent(its.probability),
                    *asked,
                    f"{len(its.map)}",
                    f"{its.maximum:.3g}",
                    percent(its.concentration),
                    "-" if centre is None else f"{centre[0]:.2f} {centre[1]:.2f}",
                )
            )
    of_class = () if found.target is None else (f"of {found.target}",)
    columns = ("image", "checkpoint", "pixels", "predicted", "probability", *of_class, "cells", "maximum")
    print_table((*columns, "in its fifth", "centre x y"), rows)
    out.print(printable(_legend(found)), soft_wrap=True)


def _legend(found: ActivationMaps) -> str:
    """What the columns mean that nobody can guess."""
    which = "of the predicted class" if found.target is None else f"of the class {found.target}"
    what = "class activation maps" if found.method == "cam" else f"Grad-CAM of {found.layer}"
    return (
        f"{what} {which}; cells: of the map, a side; in its fifth: the share of the map's positive part in "
        "the fifth of its area where it is highest, of an even map 20 %; centre: of that part, from the left "
        "and from the top, 0 to 1"
    )
