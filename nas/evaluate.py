"""What a checkpoint gets right on a part of a data set, at any image size and crop."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nas.checkpoint_lookup import checkpoint_of
from nas.evaluation_data import EvaluationData, labelled_for, open_part_of
from nas.lookup import find_architecture
from search_space import InputError
from search_space.fields import check_choice, check_float, check_int
from trainers.cache import PARTS
from trainers.checkpoints import Checkpoint
from trainers.data import ImageSet, Part
from trainers.evaluation import Evaluation
from trainers.pretrained_sources import SAVED_BY_TORCH

Precision = Literal["float32", "bfloat16"]
_DESCRIPTIONS = (".yaml", ".yml", ".json")
Begin = Callable[[int], Callable[[int], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointEvaluation:
    """What was measured, and how.

    Attributes:
        name: what the user calls the checkpoint.
        checkpoint: the file.
        data: name of the data set.
        part: that was measured on.
        image_size: pixels that the network was given.
        crop: side of the central part of an image that was taken, as a share.
        device, precision: of the network.
        evaluation: the counts; classes in the checkpoint's order.
        trained_on: whether these very images were learned from.
        notes: what is to be known of the figures, a sentence each.
    """

    name: str
    checkpoint: Checkpoint
    data: str
    part: Part
    image_size: int
    crop: float
    device: str
    precision: Precision
    evaluation: Evaluation
    trained_on: bool
    notes: tuple[str, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the confusion matrix."""
        return self.checkpoint.facts.class_names

    @property
    def has_top5(self) -> bool:
        """Whether top-5 says anything: of five classes or fewer each is among the five likeliest."""
        return len(self.class_names) > 5

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints; classes in the order of the confusion matrix."""
        measured = self.evaluation
        counts = measured.confusion.sum(1).tolist()
        return {
            "checkpoint": self.name,
            "data": self.data,
            "part": self.part,
            "images": measured.images,
            "image_size": self.image_size,
            "crop": self.crop,
            "device": self.device,
            "precision": self.precision,
            "top1": measured.accuracy,
            "top5": measured.top5_accuracy if self.has_top5 else None,
            "interval": list(measured.interval),
            "loss": measured.loss,
            "per_class": [
                {"class": name, "images": images, "accuracy": accuracy}
                for name, images, accuracy in zip(self.class_names, counts, measured.per_class, strict=True)
            ],
            "confusion": measured.confusion.tolist(),
            "trained_on": self.trained_on,
            "notes": list(self.notes),
        }


def evaluate_checkpoint(
    checkpoint: str | Path,
    data: str | Path,
    *,
    part: Part | None = None,
    image_size: int | None = None,
    crop: float | None = None,
    batch: int = 250,
    device: str | None = None,
    precision: Precision = "float32",
    begin: Begin = lambda images: lambda more: None,
) -> CheckpointEvaluation:
    """Measure a checkpoint of ``nas train``.

    Images are normalised by the checkpoint's mean and deviation, whatever the data's are, cropped at the
    centre, and resized on the device, bilinearly and antialiased.

    Args:
        checkpoint: a ``.safetensors`` file, ``NAME@best``, ``NAME@last`` or ``NAME@12`` of a training, or
            ``RUN@3`` of a run that trained fully and kept the weights.
        data: a folder of ``nas data prepare``, or ``digits``.
        part: ``test``, ``validation`` or ``train``; None is the test part where there is one, else the
            validation part.
        image_size: pixels to give the network; None is the size it was trained at.
        crop: side of the central part of each image that is taken, as a share, 0.05 to 1; None is the
            recipe's.
        batch: images at a time; it changes no figure but for rounding.
        device: ``cpu``, ``cuda`` or ``cuda:1``; None is a GPU where there is one.
        precision: ``float32``, or ``bfloat16`` (autocast).
        begin: told how many images there are, gives what is told how many more were seen.

    Raises:
        FieldError: an option is out of range, or the images are smaller than the network's total stride.
        InputError: no such checkpoint or data; other classes or channels; no such device; images that do not
            fit into memory; or outputs that are no numbers.
    """
    _check(part, image_size, crop, batch, precision)
    where = _device(device)
    found = _checkpoint(checkpoint)
    size = found.facts.image_size if image_size is None else image_size
    share = found.facts.measured_crop if crop is None else float(crop)
    opened = open_part_of(data, part, found.facts)
    images, reordered = labelled_for(found.facts, opened, checkpoint)
    measured = _measured(found, images, size, share, where, precision, batch, begin)
    if not math.isfinite(measured.loss):
        raise InputError(f"{checkpoint}: its outputs on {opened.name} are no finite numbers")
    same = opened.fingerprint == found.facts.data_fingerprint
    return CheckpointEvaluation(
        name=str(checkpoint),
        checkpoint=found,
        data=opened.name,
        part=opened.part,
        image_size=size,
        crop=share,
        device=where,
        precision=precision,
        evaluation=measured,
        trained_on=same and opened.part == "train",
        notes=_notes(found, opened, part, same, reordered),
    )


def _checkpoint(text: str | Path) -> Checkpoint:
    """The checkpoint that a user names.

    Raises:
        InputError: it is none, and what makes one.
    """
    path = Path(text)
    if path.is_file() and path.suffix not in (".safetensors", *SAVED_BY_TORCH, *_DESCRIPTIONS):
        raise InputError(f"{text}: is no checkpoint; those of nas train are .safetensors files")
    network = find_architecture(text)
    if (found := checkpoint_of(network)) is not None:
        return found
    why = "is no checkpoint of nas train, which says how images are to be normalised and what the classes are"
    raise InputError(f"{text}: {why} called; nas train {text} --config FILE leaves one")


def _check(part: str | None, image_size: int | None, crop: float | None, batch: int, precision: str) -> None:
    """Refuse options before anything is read.

    Raises:
        FieldError: see `evaluate_checkpoint`.
    """
    if part is not None:
        check_choice("part", part, PARTS)
    if image_size is not None:
        check_int("image_size", image_size, 1, 4096)
    if crop is not None:
        check_float("crop", crop, 0.05, 1.0)
    check_int("batch", batch, 1, 1_000_000)
    check_choice("precision", precision, ("float32", "bfloat16"))


def _device(given: str | None) -> str:
    """The device to measure on.

    Raises:
        InputError: there is none of that name.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if given is None:
        return "cuda" if there else "cpu"
    match = re.fullmatch(r"cpu|cuda(?::(\d{1,4}))?", given)
    if match is None:
        raise InputError(f"device must be cpu, cuda, or cuda:1 and the like, got {given!r}")
    if given != "cpu" and int(match[1] or 0) >= there:
        raise InputError(f"device is {given}, and torch sees {there or 'no'} GPU{'s' * (there > 1)} here")
    return given


def _measured(
    checkpoint: Checkpoint,
    images: ImageSet,
    image_size: int,
    crop: float,
    device: str,
    precision: Precision,
    batch: int,
    begin: Begin,
) -> Evaluation:
    import torch

    from trainers.device_data import DeviceImages
    from trainers.evaluation import evaluate_network

    try:
        return evaluate_network(
            checkpoint.network(device, image_size),
            DeviceImages(images, checkpoint.facts, device),
            num_classes=checkpoint.facts.num_classes,
            image_size=image_size,
            crop=crop,
            precision=precision,
            batch=batch,
            advance=begin(len(images)),
        )
    except torch.OutOfMemoryError:
        raise InputError(
            f"{batch} images of {image_size} pixels at a time do not fit into the memory of {device}; take a "
            "smaller batch"
        ) from None


def _notes(
    checkpoint: Checkpoint, data: EvaluationData, asked: str | None, same: bool, reordered: bool
) -> tuple[str, ...]:
    """What is to be known of the figures."""
    notes = []
    if asked is None and data.part == "validation":
        notes.append(f"{data.name} has no test part, so the validation part was taken")
    if reordered:
        notes.append(f"{data.name} has the same classes in another order; they were matched by name")
    if data.part == "train" and same:
        notes.append("the checkpoint was trained on these very images: it knows them, and others it may not")
    elif data.part == "train" and data.name == checkpoint.facts.data:
        notes.append(f"the checkpoint was trained on data called {data.name} too: it may know these images")
    if data.part == "validation" and same:
        notes.append("the best epoch of the training was told by these images, which flatters it a little")
    return tuple(notes)
