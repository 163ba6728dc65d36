"""The images that a checkpoint is evaluated on, with its own classes as labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.config_sections import DataConfig
from nas.train_data import test_images, training_data
from search_space import InputError
from search_space.errors import suggestion
from trainers import DATASETS, ImageSet, read_facts
from trainers.cache import FACTS_FILE, PARTS, open_part
from trainers.checkpoints import CheckpointFacts
from trainers.data import Part

_SHOWN = 3  # names of classes that an error lists


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationData:
    """One part of a data set.

    Attributes:
        name: of the data set.
        part: which part.
        images: of it; labels are the data's own, see `labelled_for`.
        class_names: a label is an index into these.
        fingerprint: of the training and the validation images of the data set.
        built_in: whether it comes along, and nobody can prepare it otherwise.
    """

    name: str
    part: Part
    images: ImageSet
    class_names: tuple[str, ...]
    fingerprint: str
    built_in: bool = False


def open_part_of(data: str | Path, part: Part | None, facts: CheckpointFacts) -> EvaluationData:
    """A part of prepared data, or of data that are known by name.

    Args:
        data: a folder of ``nas data prepare``, or a name of `trainers.DATASETS`.
        part: which; None is the test part, where there is one, else the validation part.
        facts: of the checkpoint. Data by name are made at its image size.

    Raises:
        InputError: neither; no such part, or no image in it; or the files are damaged.
    """
    path = Path(data)
    if str(data) in DATASETS and not (path / FACTS_FILE).is_file():
        return _named(str(data), part or "test", facts.image_size)
    _refuse_unprepared(data, facts)
    cache = read_facts(path)
    chosen: Part = part or ("test" if cache.counts["test"] else "validation")
    if not cache.counts[chosen]:
        there = ", ".join(name for name in PARTS if cache.counts[name])
        raise InputError(f"{data}: has no image in its {chosen} part; there is {there}")
    images = open_part(path.resolve(), chosen, cache.fingerprint)
    return EvaluationData(
        name=cache.name,
        part=chosen,
        images=images,
        class_names=cache.class_names,
        fingerprint=cache.fingerprint,
    )


def _named(name: str, part: Part, image_size: int) -> EvaluationData:
    section = DataConfig(name=name)
    data = training_data(section, image_size)
    images = test_images(section, image_size) if part == "test" else getattr(data, part)
    if images is None:
        raise InputError(f"{name}: has no test images")
    return EvaluationData(
        name=name,
        part=part,
        images=images,
        class_names=data.class_names,
        fingerprint=data.fingerprint,
        built_in=True,
    )


def _refuse_unprepared(data: str | Path, facts: CheckpointFacts) -> None:
    """Refuse what is there and has to be prepared, and a name that nothing has.

    Raises:
        InputError: with the command that prepares it.
    """
    path = Path(data)
    try:
        there, prepared = path.exists(), (path / FACTS_FILE).is_file()
    except (OSError, ValueError):  # a name that no file can have
        there = prepared = False
    if prepared:
        return
    if there:
        stem = path.absolute().name.partition(".")[0] or "images"
        size = facts.image_size
        grey = " --channels 1" if facts.in_channels == 1 else ""
        raise InputError(
            f"{data}: is no prepared data; nas data prepare {data} --image-size {size}{grey} "
            f"-o data/{stem}-{size}, and evaluate on that folder"
        )
    near = suggestion(str(data), DATASETS)
    raise InputError(f"{str(data)!r} is no folder of nas data prepare and no known data set{near}")


def labelled_for(
    facts: CheckpointFacts, data: EvaluationData, checkpoint: str | Path
) -> tuple[ImageSet, bool]:
    """A part's images with labels that are indices into a checkpoint's classes.

    Args:
        facts: of the checkpoint.
        data: the part.
        checkpoint: what the user calls it.

    Returns:
        The images, and whether the data have the classes in another order.

    Raises:
        InputError: other channels, other classes, or labels that no class has.
    """
    images, channels = data.images, int(data.images.images.shape[-1])
    if channels != facts.in_channels:
        advice = f"prepare it with nas data prepare --channels {facts.in_channels}"
        if data.built_in:
            advice = (
                f"{data.name} is built in{' and grey' if channels == 1 else ''}; nas finetune {checkpoint} "
                f"{data.name} --config FILE makes a network for it"
            )
        raise InputError(
            f"{checkpoint} takes images of {_channels(facts.in_channels)}, and {data.name} has "
            f"{_channels(channels)}; {advice}"
        )
    places = _places(facts.class_names, data, checkpoint)
    low, high = int(images.labels.min()), int(images.labels.max())
    if low < 0 or high >= len(data.class_names):
        label = low if low < 0 else high
        raise InputError(f"{data.name}: its {data.part} part has the label {label}, which no class has")
    if places is None:
        return images, False
    return ImageSet(images.images, places[images.labels]), True


def _channels(number: int) -> str:
    return f"{number} {'channel' if number == 1 else 'channels'}"


def _places(own: Sequence[str], data: EvaluationData, checkpoint: str | Path) -> npt.NDArray[np.int64] | None:
    """Where the data's classes are among the checkpoint's own, (classes,); None where they are the same.

    Raises:
        InputError: they are not the same names, with the first that differ.
    """
    theirs = data.class_names
    if tuple(own) == theirs:
        return None
    place = {name: number for number, name in enumerate(own)}
    if len(place) == len(own) == len(theirs) and place.keys() == set(theirs):
        return np.array([place[name] for name in theirs], dtype=np.int64)
    here = set(theirs)
    lacking = [name for name in theirs if name not in place]
    more = [name for name in own if name not in here]
    parts = []
    if lacking:
        parts.append(f"{data.name} has {listed(lacking)}, which the checkpoint does not know")
    if more:
        parts.append(f"the checkpoint knows {listed(more)}, which {data.name} does not have")
    if not parts:
        parts.append("a name stands for two classes")
    numbers = f"{len(own):,} classes are not the {len(theirs):,} of {data.name}"
    raise InputError(f"{checkpoint}: its {numbers}: {'; '.join(parts)}")


def listed(names: Sequence[str]) -> str:
    """The first names of classes in quotes, and how many more there are."""
    shown = ", ".join(repr(name if len(name) <= 40 else f"{name[:39]}…") for name in names[:_SHOWN])
    rest = len(names) - _SHOWN
    return f"{shown} and {rest:,} more" if rest > 0 else shown
