"""Finalists without training, for tests: a small search, and scripted full trainings of what it found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas import InputError, run_search
from nas.finalists_config import FinalistsConfig, parse_finalists_config
from nas.finalists_run import FinalistsEnd, run_finalists
from results import Run
from search_space import Architecture
from tests.scripted import Scripted
from tests.searching import config
from trainers import Measurement

RECIPE: dict[str, Any] = {"base": "cifar", "epochs": 2, "warmup_epochs": 0, "cutout": 0, "flip": False}


@dataclass(frozen=True)
class Fully(Scripted):
    """Gives other accuracies than `Scripted`, by network and seed; the last has the test images' besides.

    Attributes:
        test: stands for the test images; None where there are none.
    """

    test: str | None = "there"

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        accuracy = 0.6 + int(architecture.key[6:10], 16) / 2**16 / 4 + seed % 7 / 1000
        for measurement in super().epochs(architecture, seed, weights_path):
            metrics = dict(measurement.metrics)
            if measurement.final and self.test is not None:
                metrics |= {"test_accuracy": accuracy - 0.02}
            yield replace(measurement, accuracy=accuracy, metrics=metrics)


def searched(folder: Path, name: str = "s", candidates: int = 12, **sections: Any) -> Run:
    """A finished search in the current directory."""
    settings = config(name, search={"candidates": candidates, "keep_weights": 0}, **sections)
    return run_search(settings, evaluator=Scripted(folder / f"{name}.diary")).run


def finalists_config(
    name: str = "f", recipe: dict[str, Any] | None = None, **settings: Any
) -> FinalistsConfig:
    """A configuration of few networks, in this process."""
    return parse_finalists_config(
        {
            "name": name,
            "recipe": {**RECIPE, **(recipe or {})},
            "finalists": {"n": 3, "seeds": 2, **settings},
            "executor": {"kind": "inline"},
        }
    )


def trained(folder: Path, search: Run | str = "s", name: str = "f", **settings: Any) -> FinalistsEnd:
    """A run of finalists without training."""
    evaluator = Fully(folder / f"{name}.diary", fingerprint="full")
    return run_finalists(finalists_config(name, **settings), search, evaluator=evaluator)


def without_data(config: FinalistsConfig) -> None:
    """In the place of what reads data, which take time and are no matter of most tests."""
    raise InputError("the data are not here")
