"""Fine-tuning as a training that begins with weights: its configuration, and the start it is given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nas.checkpoint_lookup import checkpoint_of, network_origin
from nas.config_sections import DataConfig
from nas.lookup import Found, find_architecture
from nas.train_config import StartConfig, TrainConfig, load_train_config
from results.training import TrainingRun
from search_space import InputError
from search_space.errors import suggestion
from trainers import DATASETS, Dataset
from trainers.cache import FACTS_FILE
from trainers.checkpoints import Checkpoint, checkpoints_in, read_checkpoint
from trainers.finetuning import FACTS, Finetuning, Start, digest_of, normalised_as, start_from


def finetune_config(
    checkpoint: str | Path,
    data: str | Path,
    config: Path | str,
    overrides: Sequence[str] | None = None,
    name: str | None = None,
) -> TrainConfig:
    """The configuration of a fine-tuning, for `nas.train_network`.

    Args:
        checkpoint: whose weights: a ``.safetensors`` file of ``nas train`` or ``nas import``, ``NAME@best``,
            ``NAME@last`` or ``NAME@12`` of a training.
        data: a folder of ``nas data prepare``, or a name of `trainers.DATASETS`; it takes the place of the
            configuration's.
        config: a YAML file, as of ``nas train``; a recipe that names no ``base`` is ``transfer``.
        overrides, name: see `load_train_config`.

    Raises:
        InputError: one line.
    """
    settings = load_train_config(config, overrides, name, base="transfer")
    found = find_architecture(checkpoint)
    source = source_of(checkpoint, found)
    return settings.model_copy(
        update={
            "architecture": source.architecture,
            "data": data_section(data),
            "origin": network_origin(found),
            "start": start_section(source),
            "finetuning": settings.finetuning or Finetuning(),
        }
    )


def source_of(text: str | Path, found: Found) -> Checkpoint:
    """The checkpoint of a network that is to be fine-tuned.

    Args:
        text: what the user calls it.
        found: what that stands for.

    Raises:
        InputError: it is a description, or weights of another kind.
    """
    source = checkpoint_of(found)
    if source is None:
        raise InputError(
            f"{text}: is no checkpoint to fine-tune; nas train leaves one, and nas import makes one of "
            "published weights"
        )
    return source


def start_section(source: Checkpoint) -> StartConfig:
    """What a configuration says of the weights that a training starts from.

    Raises:
        InputError: the file is damaged.
    """
    return StartConfig(
        checkpoint=str(source.path.resolve()),
        weights=digest_of(source.tensors()),
        network=source.architecture.name,
        data=source.facts.data,
        origin=source.facts.origin,
    )


def is_data(text: str | Path) -> bool:
    """Whether a text names data: a folder of ``nas data prepare``, or a name of `trainers.DATASETS`."""
    return str(text) in DATASETS or (Path(text) / FACTS_FILE).is_file()


def data_section(data: str | Path) -> DataConfig:
    """What a user names data by on the command line.

    Raises:
        InputError: it is nothing, or not prepared yet.
    """
    path = Path(data)
    if (path / FACTS_FILE).is_file():
        return DataConfig(cache=str(path.resolve()))
    if str(data) in DATASETS:
        return DataConfig(name=str(data))
    if path.exists():
        raise InputError(
            f"{data}: is no prepared data; nas data prepare {data} --image-size 64 -o data/NAME makes the "
            "folder to give here"
        )
    near = suggestion(str(data), DATASETS)
    raise InputError(f"{str(data)!r} is no folder of nas data prepare and no known data set{near}")


def started(config: TrainConfig, data: Dataset, found: TrainingRun | None) -> tuple[Dataset, Start | None]:
    """What a training starts from, and its data normalised as the weights are used to.

    Args:
        config: of the training.
        data: to learn from.
        found: the run that is gone on with; where it has a checkpoint, the weights are not read again.

    Raises:
        InputError: the weights are not there, are others than they were, or do not fit the data.
    """
    if config.start is None:
        return data, None
    assert config.finetuning is not None
    for path in [] if found is None else checkpoints_in(found.checkpoints):
        with suppress(InputError):  # one that is damaged is told of where it is gone on from
            own = read_checkpoint(path)
            known = {key: (own.facts.start or {}).get(key) for key in FACTS}
            return normalised_as(data, own), Start(finetuning=config.finetuning, facts=known, tensors=None)
    source = read_checkpoint(config.start.checkpoint)
    start = start_from(source, data.in_channels, config.finetuning)
    if start.facts["weights"] != config.start.weights:
        raise InputError(
            f"{source.path}: its weights are not those that the training {config.name} was made with"
        )
    return normalised_as(data, source), start
