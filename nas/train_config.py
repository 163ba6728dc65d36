"""The configuration of a full training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainSerializer

from nas.config_reading import differences, read_given, validated
from nas.config_sections import ArchitectureSection, DataConfig, RecipeSection, Section, check_data, optional
from search_space import FieldError
from search_space.yaml_io import dump_yaml
from trainers.finetuning import Finetuning
from trainers.recipe import Recipe


class CheckpointConfig(Section):
    """Which checkpoints are left; the best by validation accuracy is kept in any case.

    Attributes:
        keep: the latest so many.
        every: epochs between two.
        minutes: between two within an epoch; null makes none there.
    """

    keep: Annotated[int, Field(ge=1, le=100_000)] = 2
    every: Annotated[int, Field(ge=1, le=100_000)] = 1
    minutes: Annotated[float, Field(gt=0)] | None = 10.0


class WorkersConfig(Section):
    """The processes that train the network together.

    Attributes:
        number: of them; more than one are Ray workers, each with its share of every batch.
        cpus: processors a worker, which are torch's threads. Null is, for one process, one where a batch is
            less than 50 million multiply-adds, else all of this machine's; of several an equal share.
        gpus: GPUs a worker, 0 or 1; null takes one where there are any.
        max_failures: how often the workers are started again after one died.
    """

    number: Annotated[int, Field(ge=1, le=4096)] = 1
    cpus: Annotated[int, Field(ge=1, le=1024)] | None = None
    gpus: Annotated[int, Field(ge=0, le=1)] | None = None
    max_failures: Annotated[int, Field(ge=0, le=1000)] = 3


class StartConfig(Section):
    """The weights that a fine-tuning starts from.

    Attributes:
        checkpoint: their file; once a checkpoint is there to go on from, it may be gone.
        weights: SHA-256 of its tensors.
        network, data: names of the network and of what it had learnt.
        origin: where the network comes from, in words.
    """

    checkpoint: str
    weights: str
    network: str = ""
    data: str = ""
    origin: str = ""


FinetuningSection = Annotated[
    Finetuning | None, optional(Finetuning), PlainSerializer(lambda f: f and asdict(f))
]


class TrainConfig(Section):
    """A full training of one network.

    Attributes:
        name: of the run, under ``runs/``.
        seed: of weights, order, augmentation and dropout.
        architecture: the network; the command line gives it, and a run's configuration keeps it.
        data: on what; images of any size, the network sees its own.
        subset: training images to learn from, classes in proportion; null is all.
        recipe: how (`trainers.recipe.Recipe`): a recipe's name, or fields of which ``base`` names the recipe
            that has the rest.
        checkpoints: which are left.
        workers: how many processes.
        origin: where the network comes from, in words; the command line gives it.
        start: the weights that are trained further; the command line gives it (``nas finetune``).
        finetuning: what of them learns when (`trainers.finetuning.Finetuning`).
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    architecture: ArchitectureSection = None
    data: DataConfig = DataConfig(name="digits")
    subset: Annotated[int, Field(ge=2)] | None = None
    recipe: RecipeSection = Recipe()
    checkpoints: CheckpointConfig = CheckpointConfig()
    workers: WorkersConfig = WorkersConfig()
    origin: str = ""
    start: StartConfig | None = None
    finetuning: FinetuningSection = None

    def to_yaml(self) -> str:
        """The configuration with every default written out; `load_train_config` reads it back."""
        return dump_yaml(self.model_dump(mode="json"))


def load_train_config(
    path: Path | str,
    overrides: Sequence[str] | None = None,
    name: str | None = None,
    base: str | None = None,
) -> TrainConfig:
    """Read a configuration.

    Args:
        path: a YAML file.
        overrides: ``key=value`` with dotted keys (``recipe.epochs=60``); values are YAML.
        name: of the run; else the file's, or the file's stem.
        base: of the recipe where the file names none; None is `read_recipe`'s.

    Raises:
        InputError: one line with file, line and field.
    """
    given = read_given(path, overrides, name)
    given.resolve_data()
    if base is not None:
        given.base_recipe(base)
    return validated(TrainConfig, given.data, _check, given.document, given.overridden)


def parse_train_config(data: dict[str, Any]) -> TrainConfig:
    """A configuration from plain data; errors as in `load_train_config`."""
    return validated(TrainConfig, data, _check)


def changed_fields(config: TrainConfig, before: TrainConfig) -> list[str]:
    """The fields that two configurations do not share and that a training depends on, as dotted paths."""
    return [field for field in differences(config, before) if _matters(field)]


def _matters(field: str) -> bool:
    """Whether a training depends on a field; where the same images lie, and who does the work, may change."""
    if field in ("name", "data.cache", "architecture.name", "origin"):
        return False
    return not field.startswith(("checkpoints.", "workers.", "start.")) or field == "start.weights"


def _check(config: TrainConfig) -> None:
    check_data(config.data)
    if config.start is not None and config.finetuning is None:
        raise FieldError("finetuning", "is missing, and there is a start")
