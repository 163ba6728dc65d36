"""The contract of image data: uint8, channels last, split once by a fixed seed.

A search is handed the training and the validation part, never the test part: who wants a final figure asks
for that by name (`load_digits_test`, `load_test`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from search_space import InputError

Part = Literal["train", "validation", "test"]
SPLIT_SEED = 20190528  # fixed for ever: another split is another data set


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images (N, H, W, C) uint8 and their labels (N,) int64."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What a candidate is trained and measured on.

    Attributes:
        name: of the data set.
        train: images to learn from.
        validation: images that give the accuracy a search sees.
        class_names: one a class.
        mean, std: of the training images, a channel, in units of 0 to 1.
        fingerprint: SHA-256 of the source images, the image size and the split.
    """

    name: str
    train: ImageSet
    validation: ImageSet
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str

    @property
    def num_classes(self) -> int:
        """Outputs a classifier needs."""
        return len(self.class_names)

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return int(self.train.images.shape[-1])

    @property
    def image_size(self) -> int:
        """Side of the square images, pixels."""
        return int(self.train.images.shape[1])


def check_classes(data: Dataset, test: ImageSet | None = None) -> None:
    """Whether every class can be learnt and measured: for training whose accuracy is to be a figure.

    A folder that ``nas data prepare`` made holds to it; one made by hand may not.

    Raises:
        InputError: a class has no image in the training or in the validation part, or a label is no class.
    """
    parts = {"train": data.train, "validation": data.validation} | ({"test": test} if test else {})
    for part, images in parts.items():
        wrong = images.labels[(images.labels < 0) | (images.labels >= data.num_classes)]
        if len(wrong):
            raise InputError(
                f"{data.name}: label {wrong[0]} in the {part} part is none of its {data.num_classes} classes"
                "; prepare the data again"
            )
        empty = empty_classes(images.labels, data.class_names)
        if empty and part != "test":
            have = "has" if len(empty) == 1 else "have"
            raise InputError(
                f"{data.name}: {classes_in_words(empty)} {have} no image in the {part} part; add images "
                "or leave the class out, and prepare the data again"
            )


def empty_classes(labels: npt.NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """The classes that no label (N,) is of, in their order."""
    counts = np.bincount(labels, minlength=len(class_names))
    return [name for name, number in zip(class_names, counts, strict=True) if not number]


def classes_in_words(names: Sequence[str]) -> str:
    """``class 'ant'``, or ``classes 'ant', 'bee', 'cat' and 7 more``."""
    shown = ", ".join(repr(name) for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"class{'es' * (len(names) > 1)} {shown}{more}"
