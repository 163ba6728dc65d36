"""``nas train``: a network trained fully, with checkpoints to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.options import AddressOption, DeviceOption, JsonOption, ResumeOption, RunNameOption, SetOption
from nas.train_session import begin_training, resumed_config, run_training
from search_space import InputError

if TYPE_CHECKING:
    from nas.train_config import TrainConfig

train_app = typer.Typer()


@train_app.command()
def train(
    architecture: Annotated[
        str | None,
        typer.Argument(
            metavar="ARCH",
            help="A reference (efficientnet_b0), a file, RUN@best, RUN@17; a run to go on with has its own.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A YAML configuration: data, recipe, checkpoints, workers."),
    ] = None,
    run: RunNameOption = None,
    overrides: SetOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "auto",
    address: AddressOption = None,
    json_output: JsonOption = False,
) -> None:
    """Train a network fully: nas train quickstart@best --config configs/train_digits.yaml

    Ctrl-C leaves a checkpoint; --resume goes on, also after a crash, and on a CPU ends with the same weights
    to the last bit.
    """
    begin_training(device)
    run_training(
        _settings(architecture, config, run, overrides or [], resume), resume, device, address, json_output
    )


def _settings(
    architecture: str | None, config: Path | None, run: str | None, overrides: list[str], resume: bool
) -> TrainConfig:
    """The configuration with its architecture."""
    from nas.checkpoint_lookup import network_origin
    from nas.lookup import find_architecture, load_architecture
    from nas.train_config import load_train_config

    if resume and config is None:
        settings = resumed_config(run, overrides, "ARCH")
        if architecture is not None and settings.architecture is not None:
            given = load_architecture(architecture)
            if given.key != settings.architecture.key:
                raise InputError(f"{run}: trains {settings.architecture.name}, and not {architecture}")
        return settings
    if architecture is None:
        raise InputError("nas train needs a network: nas train ARCH --config FILE; or --resume --run NAME")
    if config is None:
        raise InputError("nas train needs --config FILE; configs/train_digits.yaml is one")
    settings = load_train_config(config, overrides, name=run)
    if settings.finetuning is not None and settings.start is None:
        raise InputError(f"{config}: finetuning: is for nas finetune CHECKPOINT DATA --config {config}")
    network = find_architecture(architecture)
    update = {"architecture": network.architecture, "origin": network_origin(network)}
    return settings.model_copy(update=update)
