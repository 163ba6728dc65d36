"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunArgument = Annotated[str, typer.Argument(help="A name under runs/, or a path.", show_default=False)]
ArchArgument = Annotated[
    str,
    typer.Argument(
        help="A reference (efficientnet_b0), a YAML or JSON file, RUN@best, RUN@observed, RUN@17, a run's "
        "baseline (RUN@efficientnet_b0), a .safetensors file, or of a training NAME@best, NAME@last or "
        "NAME@12.",
        show_default=False,
    ),
]
CheckpointArgument = Annotated[
    str,
    typer.Argument(
        help="A checkpoint of nas train: a .safetensors file, or NAME@best, NAME@last or NAME@12 of a "
        "training.",
        show_default=False,
    ),
]
RunNameOption = Annotated[str | None, typer.Option("--run", help="Name of the run, instead of the file's.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the run's latest checkpoint.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
WhereOption = Annotated[
    str | None,
    typer.Option("--where", metavar="CONDITION", help="Only such as 'macs < 300e6 and accuracy > 0.9'."),
]
ClassesOption = Annotated[
    int | None, typer.Option("--classes", help="Classes for the cost; a run's own, else 1000.", min=1)
]
ChannelsOption = Annotated[
    int | None, typer.Option("--channels", help="Image channels for the cost; a run's own, else 3.", min=1)
]
PlotOption = Annotated[Path | None, typer.Option("--plot", help="A figure: .png, .svg or .pdf.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value; repeatable.")
]
ReuseOption = Annotated[
    list[str] | None,
    typer.Option(metavar="RUN", help="Take over what an earlier run measured alike; repeatable."),
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="A Ray cluster: auto (this is a node of it) or HOST:PORT.")
]
