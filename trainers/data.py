"""The contract of image data: uint8, channels last, split once by a fixed seed.

A search is handed the training and the validation part, never the test part: who wants a final figure asks
for that by name (`load_digits_test`, `load_test`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

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
