"""What the command line shows of full trainings."""

from __future__ import annotations

from typing import Any

from nas.console import duration, out, print_table, printable
from results.training import TrainingRun
from results.wording import percent


def training_json(run: TrainingRun) -> dict[str, Any]:
    """The facts of a training that ``nas status --json`` and ``nas train --json`` print.

    Raises:
        InputError: its configuration or its measurements cannot be read.
    """
    config, measured = run.config(), run.measurements()
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
        "checkpoints": str(run.checkpoints),
        "model": str(run.model_path) if run.model_path.is_file() else None,
        "error": None if failure is None else failure["error"],
    }


def training_row(run: TrainingRun) -> list[str]:
    """A training in a list of runs, by `nas.status_views.RUN_COLUMNS`."""
    facts = training_json(run)
    epochs = f"epoch {facts['epoch']}/{facts['epochs']}"
    return [run.name, "training", facts["state"], epochs, percent(facts["best_accuracy"]), "-", "-"]


def print_training(run: TrainingRun) -> None:
    """How a training stands."""
    facts = training_json(run)
    accuracy = percent(facts["accuracy"])
    if facts["best_epoch"] not in (None, facts["epoch"]):
        accuracy += f"; best {percent(facts['best_accuracy'])}, epoch {facts['best_epoch']}"
    rows = [
        ("state", facts["state"]),
        ("network", printable(facts["architecture"])),
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
        out.print(f"go on with: nas train --resume --run {run.name}", soft_wrap=True)
    elif facts["state"] == "finished":
        model = run.model_path
        out.print(
            f"next: nas eval {model} DATA --plot confusion.png; nas export {model} -o network --bundle",
            soft_wrap=True,
        )
