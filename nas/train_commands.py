"""``nas train``: a network trained fully, with checkpoints to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import console
from nas.console import print_json, printable
from nas.options import AddressOption, JsonOption, SetOption
from nas.train_views import print_training, training_json
from results.wording import count_of
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
    run: Annotated[str | None, typer.Option("--run", help="Name of the run, instead of the file's.")] = None,
    overrides: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's latest checkpoint.")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    address: AddressOption = None,
    json_output: JsonOption = False,
) -> None:
    """Train a network fully: nas train quickstart@best --config configs/train_digits.yaml

    Ctrl-C leaves a checkpoint; --resume goes on, also after a crash, and on a CPU ends with the same weights
    to the last bit.
    """
    from trainers.factory import spin_no_threads

    spin_no_threads()
    from nas.train_run import train_network
    from trainers.full_step import NotFiniteError
    from trainers.parallel import WorkersLostError
    from trainers.proxy import TrainingDivergedError

    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device must be auto, cpu or cuda, got {device!r}")
    settings = _settings(architecture, config, run, overrides or [], resume)
    try:
        with console.stdout_to_stderr(), console.TrainProgress() as progress:
            end = train_network(settings, resume=resume, device=device, address=address, listener=progress)
    except WorkersLostError as error:
        console.err.print(f"nas: {printable(error)}", soft_wrap=True)
        console.err.print(f"go on with: nas train --resume --run {settings.name}", soft_wrap=True)
        raise typer.Exit(1) from None
    except TrainingDivergedError as error:
        console.err.print(f"nas: {printable(error)}", soft_wrap=True)
        if isinstance(error, NotFiniteError):
            where = f"runs/{settings.name}/failure.json"
            console.err.print(f"the training images of that step, by number: {where}", soft_wrap=True)
        raise typer.Exit(1) from None
    if end.outcome == "finished" and not progress.began:
        epochs = count_of(len(end.measurements), "epoch")
        console.err.print(f"{settings.name} is finished: {epochs}; there is nothing to go on with")
    if json_output:
        print_json(training_json(end.run))
    else:
        print_training(end.run)
    if end.outcome == "interrupted":
        raise typer.Exit(130)


def _settings(
    architecture: str | None, config: Path | None, run: str | None, overrides: list[str], resume: bool
) -> TrainConfig:
    """The configuration with its architecture."""
    from nas.checkpoint_lookup import network_origin
    from nas.lookup import find_architecture, load_architecture
    from nas.train_config import load_train_config
    from results.run import RUNS, run_path
    from results.training import open_training

    if resume and config is None:
        if run is None:
            raise InputError("--resume needs --run NAME, or the ARCH and --config that the run was made with")
        found = open_training(run)
        settings = load_train_config(found.config_path, overrides)
        if found.path.resolve() != run_path(settings.name).resolve():
            raise InputError(f"{run}: is not under {RUNS}/ of this directory; go on with it from its own")
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
    network = find_architecture(architecture)
    update = {"architecture": network.architecture, "origin": network_origin(network)}
    return settings.model_copy(update=update)
