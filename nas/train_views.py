"""What the command line shows of full trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nas.console import duration, out, print_table, printable
from results.training import TrainingRun
from results.transfer_run import TRAININGS
from results.wording import count, count_of, percent
from search_space import Architecture, InputError, cost

if TYPE_CHECKING:
    from trainers import Dataset

_SMALLEST = 32  # pixels that every network takes


def training_json(run: TrainingRun) -> dict[str, Any]:
    """The facts of a training that ``nas status --json`` and ``nas train --json`` print.

    Raises:
        InputError: its configuration or its measurements cannot be read.
    """
    config, measured = run.config(), run.measurements()
    for section, key in (("architecture", "name"), ("recipe", "epochs")):
        if not isinstance(config.get(section), dict) or key not in config[section]:
            raise InputError(f"{run.config_path}: {section}.{key} is missing")
    last = measured[-1] if measured else {}
    best = max(measured, key=lambda values: values["accuracy"], default=None)
    failure = run.failure()
    return {
        "run": run.name,
        "kind": "training",
        "state": run.state(),
        "architecture": config["architecture"]["name"],
        "epoch": int(last.get("epoch", 0)),
        "epochs": config["recipe"]["epochs"],
        "accuracy": last.get("accuracy"),
        "best_accuracy": None if best is None else best["accuracy"],
        "best_epoch": None if best is None else int(best["epoch"]),
        "test_accuracy": last.get("test_accuracy"),
        "test_top5": last.get("test_top5"),
        "train_loss": last.get("train_loss"),
        "seconds": last.get("train_seconds"),
        "images_per_second": last.get("images_per_second"),
        "subset": config.get("subset"),
        "start": _start(config),
        "checkpoints": str(run.checkpoints),
        "model": str(run.model_path) if run.model_path.is_file() else None,
        "error": None if failure is None else failure["error"],
    }


def _start(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a training started from and what of it learns when; None are drawn weights."""
    start, finetuning = config.get("start"), config.get("finetuning")
    if not isinstance(start, dict):
        return None
    return {**start, **(finetuning if isinstance(finetuning, dict) else {})}


def network_words(config: Mapping[str, Any], data: Dataset) -> list[str]:
    """What is to be trained and on how large images, and what to do where the data are much smaller."""
    from trainers.digits import ORIGINAL_SIDE
    from trainers.recipe import read_recipe

    network = read_recipe(config["recipe"]).network(Architecture.from_dict(config["architecture"]))
    size = network.image_size
    macs, params = cost(network, data.num_classes, data.in_channels)
    lines = [f"images of {size} pixels; {count(params)} parameters, {count(macs)} multiply-adds an image"]
    side = ORIGINAL_SIDE if config["data"].get("name") == "digits" else data.image_size
    smaller = max(side, _SMALLEST)
    if size > max(2 * side, smaller):
        lines.append(
            f"images of {side} pixels are resized to {size}; --set recipe.image_size={smaller} trains faster"
        )
    return lines


def finetuning_words(config: Mapping[str, Any], data: Dataset) -> list[str]:
    """What a fine-tuning does to the first convolution as it begins, and whether all parts will learn.

    Args:
        config: of the training; nothing is said of one that has no start.
        data: that it learns from.
    """
    from trainers.checkpoints import read_checkpoint
    from trainers.finetuning import Finetuning, number_of_parts
    from trainers.recipe import read_recipe

    if _start(config) is None:
        return []
    lines = []
    now = before = data.in_channels
    with suppress(InputError):  # one that goes on within its first epoch needs its source no more
        before = read_checkpoint(config["start"]["checkpoint"]).facts.in_channels
    if before != now:
        how = "summed over them" if now == 1 else "divided among them"
        lines.append(f"the stem takes {count_of(now, 'channel')} instead of {before}: its weights are {how}")
    recipe, finetuning = read_recipe(config["recipe"]), Finetuning(**config["finetuning"])
    parts = number_of_parts(Architecture.from_dict(config["architecture"]))
    learning = finetuning.learning(parts, recipe.epochs - 1 / max(1, len(data.train) // recipe.batch))
    if finetuning.unfreeze == "staged" and learning < parts:
        lines.append(
            f"in {count_of(recipe.epochs, 'epoch')} {learning} of {parts} parts will learn; "
            f"finetuning.stage_epochs: {_rounded_down(recipe.epochs / parts):g} reaches all"
        )
    return lines


def _rounded_down(value: float) -> float:
    """To one digit that counts: 0.5 for 0.56, 2 for 2.2."""
    unit = 10.0 ** math.floor(math.log10(value))
    return math.floor(value / unit) * unit


def training_row(run: TrainingRun) -> list[str]:
    """A training in a list of runs, by `nas.status_views.RUN_COLUMNS`."""
    facts = training_json(run)
    epochs = f"epoch {facts['epoch']}/{facts['epochs']}"
    return [run.name, "training", facts["state"], epochs, percent(facts["best_accuracy"]), "-", "-"]


def resuming(run: TrainingRun) -> str:
    """The command that goes on with a training, which may be a fine-tuning or one of a transfer.

    Raises:
        InputError: its configuration cannot be read.
    """
    if run.path.parent.name == TRAININGS:
        return f"nas transfer --resume --run {run.path.absolute().parent.parent.name}"
    command = "train" if _start(run.config()) is None else "finetune"
    return f"nas {command} --resume --run {run.name}"


def print_training(run: TrainingRun) -> None:
    """How a training stands."""
    from nas.checkpoint_lookup import start_words

    facts = training_json(run)
    accuracy = percent(facts["accuracy"])
    if facts["best_epoch"] not in (None, facts["epoch"]):
        accuracy += f"; best {percent(facts['best_accuracy'])}, epoch {facts['best_epoch']}"
    rows = [
        ("state", facts["state"]),
        ("network", printable(facts["architecture"])),
        *([] if facts["start"] is None else [("start", printable(start_words(facts["start"])))]),
        ("epoch", f"{facts['epoch']} of {facts['epochs']}"),
        ("validation accuracy", accuracy),
    ]
    if facts["test_accuracy"] is not None:
        test = f"{percent(facts['test_accuracy'])}, top-5 {percent(facts['test_top5'])}"
        rows.append(("test accuracy", test))
    if facts["seconds"] is not None:
        rows.append(("time", f"{duration(facts['seconds'])}, {facts['images_per_second']:,.0f} images/s"))
    print_table((run.name, ""), rows)
    if facts["error"] is not None:
        out.print(f"gave up: {printable(facts['error'])}", soft_wrap=True)
    elif facts["state"] == "stopped":
        out.print(f"go on with: {resuming(run)}", soft_wrap=True)
    elif facts["state"] == "finished":
        model = run.model_path
        out.print(
            f"next: nas eval {model} DATA --plot confusion.png; nas export {model} -o network --bundle",
            soft_wrap=True,
        )
