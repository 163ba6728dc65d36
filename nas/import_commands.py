"""``nas import``: pretrained weights of other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import console
from nas.console import out, print_json, print_table, printable
from nas.options import JsonOption
from results.wording import count_of
from search_space import FieldError, InputError

if TYPE_CHECKING:
    from nas.importing import Imported

import_app = typer.Typer()
_SHOWN = 8  # tensors that are left over, by name


@import_app.command(name="import")
def import_command(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A .safetensors file, or a .pth, .pt or .bin of torch.save, of which no code is run.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .safetensors file to write.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="torchvision, timm (efficientnet_b*), timm_tf (tf_efficientnet_b*) or efficientnet_pytorch; "
            "recognised where it can be.",
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            "--architecture", help="Of a network that is none of B0 to B7: a YAML file and the like."
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", help="Pixels, instead of the source's.")
    ] = None,
    normalisation: Annotated[
        str | None,
        typer.Option("--normalisation", help="imagenet or inception (0.5, 0.5), instead of the source's."),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option("--classes", help="A file with the names of the classes, one a line.")
    ] = None,
    num_classes: Annotated[
        int | None,
        typer.Option("--num-classes", help="Of a new classifier, all zeros, where the file has none."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that is there.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Take over weights of timm, torchvision or EfficientNet-PyTorch: nas import b0.pth -o b0.safetensors

    Batch norm's epsilon, the padding and how images are prepared come from the source. The file that is
    written is a checkpoint, as those of nas train are.
    """
    try:
        with console.err.status(f"importing {printable(weights)}"):
            from nas.importing import import_weights

            found = import_weights(
                weights,
                output,
                source=source,
                architecture=architecture,
                image_size=image_size,
                normalisation=normalisation,
                classes=classes,
                num_classes=num_classes,
                force=force,
            )
    except FieldError as error:
        raise InputError(f"--{error.path.replace('_', '-')} {error.rule}") from None
    if json_output:
        print_json(found.to_json())
    else:
        _print(found)


def _print(imported: Imported) -> None:
    """The report: what the file is, what was taken from the source, and what is left over."""
    found = imported.pretrained
    network, images = found.architecture, found.preparation
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (images.mean, images.std))
    sizes = (
        f"{count_of(found.num_classes, 'class', 'classes')}, {count_of(found.in_channels, 'input channel')}"
    )
    rows = [
        ("source", f"{found.source.name} ({found.recognised})"),
        ("network", f"{found.title}; here {network.name}, {sizes}"),
        ("batch norm's epsilon", f"{network.bn_eps:g}"),
        ("padding", network.padding),
        ("images", f"{images.image_size} pixels, the central {100 * images.crop:.4g} % of the side"),
        ("data for them", f"prepare data at {imported.facts.prepared_size} pixels"),
        ("normalisation", f"mean {mean}; deviation {std}"),
        ("images are as in", images.by),
        ("tensors taken", f"{found.taken:,}"),
        ("in the file and not used", _listed(found.unused)),
        ("wanted and not in the file", _listed(found.fresh)),
    ]
    print_table((str(printable(imported.path.name)), ""), [(name, printable(text)) for name, text in rows])
    for note in found.notes:
        out.print(printable(note), soft_wrap=True)
    out.print(printable(f"wrote {imported.path}"), soft_wrap=True)


def _listed(names: tuple[str, ...]) -> str:
    """All names where they are few, else the first and how many more there are."""
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{len(names):,}: {', '.join(names[:_SHOWN])}{more}"
