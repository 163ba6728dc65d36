"""The configuration of a transfer: trained networks, data sets, and how each goes to each.

A run's own has the sections ``networks`` and ``sets`` besides: what was named on the command line, with what
its files hold known by digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from nas.config_reading import read_given, validated
from nas.config_sections import ArchitectureSection, DataConfig, RecipeSection, Section, specification
from nas.scaling_settings import MOST_SEEDS
from nas.train_config import CheckpointConfig, StartConfig
from results.transfer_run import Begin
from search_space import FieldError, InputError
from search_space.errors import suggestion
from search_space.yaml_io import dump_yaml
from trainers.finetuning import Finetuning
from trainers.recipe import RECIPES, Recipe, read_recipe

EQUAL = ("epochs", "batch", "image_size", "measured_crop")  # the budget and the measurement of both ways
Subset = Annotated[int, Field(ge=2)]


class DataOverride(Section):
    """What is other for one data set.

    Attributes:
        recipe: fields of the recipe; with ``base`` another recipe altogether.
        scratch: fields of it that differ where weights are drawn, besides the configuration's.
        subset: training images; ``all`` where the configuration's own is a number.
    """

    recipe: dict[str, Any] = Field(default_factory=dict)
    scratch: dict[str, Any] = Field(default_factory=dict)
    subset: Subset | Literal["all"] | None = None


class TransferNetwork(Section):
    """A trained network.

    Attributes:
        name: in the table, and of its trainings.
        start: its weights.
        architecture: of it.
        origin: where the network comes from, in words.
        in_channels: of its images.
        accuracy: on that data set's validation images, 0 to 1; None where it was not measured.
    """

    name: str
    start: StartConfig
    architecture: ArchitectureSection
    origin: str = ""
    in_channels: int
    accuracy: float | None = None


class TransferData(Section):
    """A data set.

    Attributes:
        name: in the table, and of its trainings.
        data: where it is.
        fingerprint: of training and validation images.
        test_fingerprint: of the test images; None where there are none, or they come along.
        num_classes, in_channels: of it.
        train: its training images.
        part: whose accuracy is reported: ``test``, or ``validation`` where there is no test part.
        images: of that part.
    """

    name: str
    data: DataConfig
    fingerprint: str
    test_fingerprint: str | None = None
    num_classes: int
    in_channels: int
    train: int
    part: Literal["test", "validation"]
    images: int


FinetuningSection = Annotated[Finetuning, specification(Finetuning), PlainSerializer(asdict)]


class TransferConfig(Section):
    """Trained networks on other data.

    Attributes:
        name: of the run, under ``runs/``.
        recipe: how (`trainers.recipe.Recipe`).
        finetuning: what of the trained weights learns when.
        scratch: fields of the recipe that differ where weights are drawn; the budget may not. Null trains
            nothing from scratch.
        seeds: trainings of each network on each data set, each way.
        subset: training images to learn from, classes in proportion; null is all.
        data: what is other for a data set, by its name or its folder's.
        checkpoints: which each training leaves.
        cpus: torch's threads; null as in ``nas train``.
        networks, sets: what the command line names; a run's configuration keeps it.
    """

    name: str
    recipe: RecipeSection = RECIPES["transfer"]
    finetuning: FinetuningSection = Finetuning()
    scratch: dict[str, Any] | None = Field(default_factory=dict)
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 3
    subset: Subset | None = None
    data: dict[str, DataOverride] = Field(default_factory=dict)
    checkpoints: CheckpointConfig = CheckpointConfig(keep=1)
    cpus: Annotated[int, Field(ge=1, le=1024)] | None = None
    networks: list[TransferNetwork] = Field(default_factory=list)
    sets: list[TransferData] = Field(default_factory=list)

    def to_yaml(self) -> str:
        """The configuration with every default written out; `load_transfer_config` reads it back."""
        return dump_yaml(self.model_dump(mode="json"))

    def network(self, name: str) -> TransferNetwork:
        """A network by its name."""
        return next(network for network in self.networks if network.name == name)

    def set(self, name: str) -> TransferData:
        """A data set by its name."""
        return next(one for one in self.sets if one.name == name)


def load_transfer_config(
    path: Path | str, overrides: Sequence[str] | None = None, name: str | None = None
) -> TransferConfig:
    """Read a configuration.

    Args:
        path: a YAML file.
        overrides: ``key=value`` with dotted keys (``recipe.epochs=60``); values are YAML.
        name: of the run; else the file's, or the file's stem.

    Raises:
        InputError: one line with file, line and field.
    """
    given = read_given(path, overrides, name)
    given.base_recipe("transfer")
    return validated(TransferConfig, given.data, _check, given.document, given.overridden)


def _check(config: TransferConfig) -> None:
    """Refuse what no data set can be trained with."""
    if config.scratch is not None:
        _refuse_budget(config.scratch, "scratch")
        _under("scratch", config.recipe, config.scratch)
    for key, other in config.data.items():
        recipe = _under(f"data.{key}.recipe", config.recipe, other.recipe)
        _refuse_budget(other.scratch, f"data.{key}.scratch")
        _under(f"data.{key}.scratch", recipe, {**(config.scratch or {}), **other.scratch})


def _refuse_budget(given: Mapping[str, Any], place: str) -> None:
    for key in given:
        if key in (*EQUAL, "base"):
            raise FieldError(
                f"{place}.{key}",
                "must not be said: both ways have the same budget and measurement, which the recipe says",
            )


def _under(place: str, recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    try:
        return _replaced(recipe, given)
    except FieldError as error:
        raise error.under(place) from None


def _replaced(recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    """A recipe with other fields; with ``base`` another recipe with them."""
    return read_recipe(given if "base" in given else {**asdict(recipe), **given})


def override_of(config: TransferConfig, data: TransferData) -> DataOverride:
    """What is other for a data set."""
    its = names_of(data)
    return next((config.data[name] for name in its if name in config.data), DataOverride())


def names_of(data: TransferData) -> list[str]:
    """What a data set may be called in a configuration: its name, or its folder's."""
    folder = data.data.cache
    return [data.name] if folder is None else [data.name, Path(folder).name]


def recipe_of(config: TransferConfig, data: TransferData, start: Begin) -> Recipe:
    """How a network is trained on a data set."""
    other = override_of(config, data)
    recipe = _replaced(config.recipe, other.recipe)
    if start == "finetuned":
        return recipe
    return _replaced(recipe, {**(config.scratch or {}), **other.scratch})


def subset_for(config: TransferConfig, data: TransferData) -> int | None:
    """Training images of a data set; None is all."""
    own = override_of(config, data).subset
    if own is None:
        return config.subset
    return None if own == "all" else own


def refuse_unused(config: TransferConfig) -> None:
    """Refuse what is said of a data set that nobody named.

    Raises:
        InputError: with the nearest.
    """
    known = [name for data in config.sets for name in names_of(data)]
    for key in config.data:
        if key not in known:
            raise InputError(
                f"data.{key}: is none of the data sets, which are {', '.join(known)}{suggestion(key, known)}"
            )
