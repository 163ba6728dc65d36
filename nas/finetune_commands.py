"""``nas finetune``: a trained network goes on with other data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.options import AddressOption, DeviceOption, JsonOption, ResumeOption, RunNameOption, SetOption
from nas.train_session import begin_training, resumed_config, run_training
from search_space import InputError

if TYPE_CHECKING:
    from nas.train_config import TrainConfig

finetune_app = typer.Typer()


@finetune_app.command()
def finetune(
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            help="Whose weights: a .safetensors file of nas train or nas import, or NAME@best, NAME@last or "
            "NAME@12 of a training.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(help="A folder that nas data prepare made, or digits.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A YAML configuration: recipe, finetuning, checkpoints, workers."),
    ] = None,
    run: RunNameOption = None,
    image_size: Annotated[
        int | None,
        typer.Option("--image-size", help="Pixels to train at; the recipe's, or the network's own."),
    ] = None,
    overrides: SetOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "auto",
    address: AddressOption = None,
    json_output: JsonOption = False,
) -> None:
    """Train a trained network on other data: nas finetune full@best digits --config configs/finetune.yaml

    The classifier is new; all of the network learns, or the classifier alone, or one part after the other
    (finetuning.unfreeze: whole, head or staged).
    """
    begin_training(device)
    given = list(overrides or [])
    if image_size is not None:
        given.append(f"recipe.image_size={image_size}")
    run_training(
        _settings(checkpoint, data, config, run, given, resume), resume, device, address, json_output
    )


def _settings(
    checkpoint: str | None,
    data: str | None,
    config: Path | None,
    run: str | None,
    overrides: list[str],
    resume: bool,
) -> TrainConfig:
    """The configuration with its network and its start."""
    if resume and config is None:
        settings = resumed_config(run, overrides, "CHECKPOINT, DATA")
        if settings.start is None:
            raise InputError(f"{run}: is no fine-tuning; nas train --resume --run {run} goes on with it")
        return settings
    if checkpoint is None or data is None:
        raise InputError(
            "nas finetune needs a trained network and data: nas finetune CHECKPOINT DATA --config FILE; or "
            "--resume --run NAME"
        )
    from nas.checkpoint_lookup import may_be_checkpoint
    from nas.finetuning import finetune_config, is_data

    if is_data(checkpoint) and may_be_checkpoint(data):
        raise InputError(f"the checkpoint comes first: nas finetune {data} {checkpoint}")
    if config is None:
        raise InputError("nas finetune needs --config FILE; configs/finetune.yaml is one")
    return finetune_config(checkpoint, data, config, overrides, run)
