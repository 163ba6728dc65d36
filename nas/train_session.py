"""A training as a command: run, shown, and told how to go on; ``nas train`` and ``nas finetune`` share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from nas import console
from nas.console import print_json, printable
from nas.train_views import print_training, resuming, training_json
from results.training import find_training, open_training
from results.transfer_run import find_transfer
from results.wording import count_of
from search_space import InputError

if TYPE_CHECKING:
    from nas.train_config import TrainConfig


def begin_training(device: str) -> None:
    """What comes before anything that imports torch: refuse what is no device, and let idle threads sleep.

    Raises:
        InputError: with those there are.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device must be auto, cpu or cuda, got {device!r}")
    from trainers.factory import spin_no_threads

    spin_no_threads()


def resumed_config(run: str | None, overrides: list[str], needed: str) -> TrainConfig:
    """The configuration of a run that is gone on with.

    Args:
        run: its name.
        overrides: typed over it.
        needed: what the command takes for a new run.

    Raises:
        InputError: no such run here, or it is one of another command.
    """
    from nas.train_config import load_train_config
    from results.run import RUNS, run_path

    if run is None:
        raise InputError(
            f"--resume needs --run NAME, or the {needed} and --config that the run was made with"
        )
    if find_training(run) is None and (other := find_transfer(run)) is not None:
        raise InputError(f"{run} is a transfer; go on with: nas transfer --resume --run {other.name}")
    found = open_training(run)
    settings = load_train_config(found.config_path, overrides)
    if found.path.resolve() != run_path(settings.name).resolve():
        raise InputError(f"{run}: is not under {RUNS}/ of this directory; go on with it from its own")
    return settings


def run_training(
    settings: TrainConfig, resume: bool, device: str, address: str | None, json_output: bool
) -> None:
    """Train, and show what came of it.

    Raises:
        InputError: see `nas.train_run.train_network`.
        Exit: 1 where workers were lost or the loss went away, 130 where the user stopped it.
    """
    from nas.train_run import train_network
    from trainers.full_step import NotFiniteError
    from trainers.parallel import WorkersLostError
    from trainers.proxy import TrainingDivergedError

    try:
        with console.stdout_to_stderr(), console.TrainProgress() as progress:
            end = train_network(settings, resume=resume, device=device, address=address, listener=progress)
    except WorkersLostError as error:
        console.err.print(f"nas: {printable(error)}", soft_wrap=True)
        console.err.print(f"go on with: {resuming(open_training(settings.name))}", soft_wrap=True)
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
