"""Full training as an evaluator: what an executor's workers do to every network of a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from search_space import Architecture
from trainers.data import Dataset, ImageSet
from trainers.full import Saving, train_fully
from trainers.measurement import Measurement
from trainers.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class FullEvaluator:
    """Trains each architecture fully, under one recipe on one data set.

    The accuracy is the validation images'; the last measurement has the test images' among its metrics.

    Attributes:
        recipe: how.
        data: on what.
        test: images that no training sees; None measures on none.
        test_fingerprint: what these are known by; no part of `fingerprint`, since training is without them.
        device: ``cpu``, ``cuda``, or ``auto``: a GPU when there is one.
        checkpoints: a folder in which every training has one of its own (`training_folder`), to go on from
            where its worker was killed; every worker must see it. None starts again.
        minutes: between two checkpoints within an epoch.
    """

    recipe: Recipe
    data: Dataset
    test: ImageSet | None = None
    test_fingerprint: str | None = None
    device: str = "auto"
    checkpoints: Path | None = None
    minutes: float | None = 10.0

    @property
    def fingerprint(self) -> str:
        """See `Evaluator`."""
        return self.recipe.hash(self.data.fingerprint)

    @property
    def num_classes(self) -> int:
        """See `Evaluator`."""
        return self.data.num_classes

    @property
    def in_channels(self) -> int:
        """See `Evaluator`."""
        return self.data.in_channels

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        """See `Evaluator`."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        saving = None
        if self.checkpoints is not None:
            folder = training_folder(self.checkpoints, architecture, seed)
            saving = Saving(folder=folder, keep=1, minutes=self.minutes)
        return train_fully(
            architecture,
            self.recipe,
            self.data,
            seed,
            device=device,
            test=self.test,
            saving=saving,
            weights_path=weights_path,
        )


def training_folder(checkpoints: Path, architecture: Architecture, seed: int) -> Path:
    """Where the training of an architecture with a seed keeps its checkpoints."""
    return checkpoints / f"{architecture.key[:16]}-{seed}"
