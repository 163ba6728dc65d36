"""What a transfer is made of: trained networks by their files, data sets, and the cells' configurations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from nas.checkpoint_lookup import network_origin
from nas.config_reading import differences
from nas.finetuning import data_section, source_of, start_section
from nas.lookup import find_architecture
from nas.train_config import TrainConfig, WorkersConfig
from nas.train_data import TrainImages, open_images
from nas.transfer_config import (
    TransferConfig,
    TransferData,
    TransferNetwork,
    load_transfer_config,
    recipe_of,
    refuse_unused,
    subset_for,
)
from results.run import run_path
from results.transfer_run import Cell, TransferRun, cells_of, is_transfer
from search_space import InputError
from trainers import read_facts
from trainers.digits import ORIGINAL_SIDE

_LONGEST = 40  # letters of a name in the names of trainings


def transfer_config(
    checkpoints: Sequence[str | Path],
    data: Sequence[str | Path],
    config: Path | str,
    overrides: Sequence[str] | None = None,
    name: str | None = None,
    *,
    from_scratch: bool = True,
) -> TransferConfig:
    """The configuration of a transfer, for `run_transfer`.

    Args:
        checkpoints: whose weights, as in ``nas finetune``.
        data: folders of ``nas data prepare``, or names of `trainers.DATASETS`.
        config: a YAML file.
        overrides, name: see `load_transfer_config`.
        from_scratch: whether the same networks are trained from drawn weights too.

    Raises:
        InputError: one line.
    """
    if not checkpoints or not data:
        raise InputError("a transfer needs one trained network and one data set at least")
    settings = load_transfer_config(config, overrides, name)
    networks = _networks([str(one) for one in checkpoints])
    settings = settings.model_copy(update={"networks": networks, "sets": _sets([str(one) for one in data])})
    if not from_scratch:
        settings = settings.model_copy(update={"scratch": None})
    refuse_unused(settings)
    names = [cell.name for cell in cells_for(settings)]
    if len(set(names)) < len(names):
        raise InputError("names of networks and data sets together stand for two trainings; rename a folder")
    return settings


def cells_for(config: TransferConfig) -> list[Cell]:
    """The cells of a configuration, in order."""
    networks = [network.name for network in config.networks]
    data = [one.name for one in config.sets]
    return cells_of(networks, data, config.seeds, from_scratch=config.scratch is not None)


# --- networks ----------------------------------------------------------------------------------------


def _networks(given: Sequence[str]) -> list[TransferNetwork]:
    """The networks of a command line, each with a name of its own."""
    found = [(text, find_architecture(text)) for text in given]
    sources = [source_of(text, network) for text, network in found]
    names = _distinct([source.architecture.name for source in sources], given, "checkpoint")
    networks = []
    for (_, network), source, name in zip(found, sources, names, strict=True):
        facts = source.facts
        networks.append(
            TransferNetwork(
                name=name,
                start=start_section(source),
                architecture=source.architecture,
                origin=network_origin(network),
                in_channels=facts.in_channels,
                accuracy=facts.accuracy,
            )
        )
    return networks


def _distinct(names: Sequence[str], given: Sequence[str], what: str) -> list[str]:
    """A word for each: its name, and where two have one name, what the user called it.

    Raises:
        InputError: the same was named twice.
    """
    if len(set(given)) < len(given):
        twice = next(text for text in given if list(given).count(text) > 1)
        raise InputError(f"{twice}: the same {what} is named twice")
    words = [_word(name) for name in names]
    if len(set(words)) < len(words):
        words = [_word(_called(text)) for text in given]
    return [
        word if words.count(word) == 1 else f"{word}-{words[: number + 1].count(word)}"
        for number, word in enumerate(words)
    ]


def _called(text: str) -> str:
    """``mine`` of ``mine@best``, ``runs/mine/model.safetensors`` and ``data/mine``."""
    if text.endswith(".safetensors"):
        path = Path(text).absolute()
        stem = path.name.removesuffix(".safetensors")
        folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
        return folder.name if stem in ("model", "best") else stem
    return Path(text.rpartition("@")[0] or text).name


def _word(name: str) -> str:
    """A name that a folder can have."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name)[:_LONGEST].strip("-.") or "x"


# --- data sets ---------------------------------------------------------------------------------------


def _sets(given: Sequence[str]) -> list[TransferData]:
    """The data sets of a command line, each with a name of its own; images are not read."""
    sections = [data_section(text) for text in given]
    found = []
    for section in sections:
        if section.cache is None:
            images = open_images(section, ORIGINAL_SIDE)
            counts = {"test": 0 if images.test is None else len(images.test)}
            counts |= {"validation": len(images.data.validation), "train": len(images.data.train)}
            its = images.data
            sizes, fingerprint, test = (its.num_classes, its.in_channels), its.fingerprint, None
            name = str(section.name)
        else:
            facts = read_facts(section.cache)
            counts = dict(facts.counts)
            sizes, fingerprint = (len(facts.class_names), facts.channels), facts.fingerprint
            test, name = facts.test_fingerprint, facts.name
        part: Literal["test", "validation"] = "test" if counts["test"] else "validation"
        found.append(
            TransferData(
                name=name,
                data=section,
                fingerprint=fingerprint,
                test_fingerprint=test,
                num_classes=sizes[0],
                in_channels=sizes[1],
                train=counts["train"],
                part=part,
                images=counts[part],
            )
        )
    names = _distinct([one.name for one in found], [str(Path(text)) for text in given], "data set")
    return [one.model_copy(update={"name": name}) for one, name in zip(found, names, strict=True)]


class OpenData:
    """Images of the data sets, each opened once.

    Args:
        config: see `transfer_config`.
    """

    def __init__(self, config: TransferConfig) -> None:
        self._config = config
        self._open: dict[tuple[str, int], TrainImages] = {}

    def images(self, config: TrainConfig, name: str) -> TrainImages:
        """Of a data set, for a training.

        Raises:
            InputError: they cannot be read, or are others than when the transfer began.
        """
        assert config.architecture is not None
        size = config.recipe.network(config.architecture).image_size
        key = (name, 0 if config.data.name is None else size)  # a cache has the size that it has
        if key not in self._open:
            self._refuse_changed(name)
            self._open[key] = open_images(config.data, size)
        return self._open[key]

    def _refuse_changed(self, name: str) -> None:
        data = self._config.set(name)
        if data.data.cache is None:
            return
        facts = read_facts(data.data.cache)
        if (facts.fingerprint, facts.test_fingerprint) != (data.fingerprint, data.test_fingerprint):
            raise InputError(f"{data.data.cache}: holds other images than when {self._config.name} began")


# --- cells -------------------------------------------------------------------------------------------


def training_config(config: TransferConfig, cell: Cell) -> TrainConfig:
    """The training of a cell."""
    network, data = config.network(cell.network), config.set(cell.data)
    learns = cell.start == "finetuned"
    return TrainConfig(
        name=cell.name,
        seed=cell.seed,
        architecture=network.architecture,
        data=data.data,
        subset=subset_for(config, data),
        recipe=recipe_of(config, data, cell.start),
        checkpoints=config.checkpoints,
        workers=WorkersConfig(cpus=config.cpus),
        origin=network.origin,
        start=network.start if learns else None,
        finetuning=config.finetuning if learns else None,
    )


# --- going on ----------------------------------------------------------------------------------------


def joined(config: TransferConfig) -> TransferConfig:
    """The configuration with which a run that is there goes on; paths may have changed, seeds be more.

    Raises:
        InputError: the folder holds something else, or was made with another configuration.
    """
    run = TransferRun(run_path(config.name))
    if not is_transfer(run.path):
        raise InputError(f"{run.path}: holds no transfer; choose another name with --run NAME")
    before = load_transfer_config(run.config_path)
    changed = differences(_compared(config), _compared(before))
    if changed:
        raise InputError(
            f"{run.path}: was made with another {', '.join(changed)}; choose another name with --run NAME"
        )
    return config.model_copy(update={"seeds": max(config.seeds, before.seeds)})


def _compared(config: TransferConfig) -> TransferConfig:
    """A configuration without what results do not depend on."""
    networks = [
        one.model_copy(
            update={"origin": "", "start": one.start.model_copy(update={"checkpoint": "", "origin": ""})}
        )
        for one in config.networks
    ]
    sets = [
        one.model_copy(update={"data": one.data.model_copy(update={"cache": None})}) for one in config.sets
    ]
    update = {"name": "", "seeds": 1, "checkpoints": TransferConfig(name="").checkpoints, "cpus": None}
    return config.model_copy(update={**update, "networks": networks, "sets": sets})
