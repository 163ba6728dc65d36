"""Handwritten digits that come with scikit-learn: a real data set without a download, known by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from search_space import InputError
from search_space.errors import suggestion
from trainers.data import SPLIT_SEED, Dataset, ImageSet

ORIGINAL_SIDE = 8  # pixels


def load_digits(image_size: int) -> Dataset:
    """The 1,797 handwritten digits of scikit-learn (UCI optdigits), 1,200 to train and 300 to validate.

    Args:
        image_size: the 8x8 originals are resized to this, bilinearly.
    """
    train, validation, _, fingerprint = _split_digits(image_size)
    scaled = train.images / 255.0
    return Dataset(
        name="digits",
        train=train,
        validation=validation,
        class_names=tuple("0123456789"),
        mean=(float(scaled.mean()),),
        std=(float(scaled.std()),),
        fingerprint=fingerprint,
    )


def load_digits_test(image_size: int) -> ImageSet:
    """The 297 digits that no search sees, for a final figure."""
    return _split_digits(image_size)[2]


def _split_digits(image_size: int) -> tuple[ImageSet, ImageSet, ImageSet, str]:
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    source = sklearn_digits()
    labels = source.target.astype(np.int64)
    order = np.arange(len(labels))
    rest, test = train_test_split(order, test_size=297, stratify=labels, random_state=SPLIT_SEED)
    train, validation = train_test_split(rest, test_size=300, stratify=labels[rest], random_state=SPLIT_SEED)
    images = _resize(source.images * (255.0 / 16.0), image_size)
    parts = [ImageSet(images[part], labels[part]) for part in (train, validation, test)]
    digest = hashlib.sha256(source.images.astype(np.uint8).tobytes() + labels.tobytes())
    digest.update(f"digits {image_size}".encode() + train.tobytes() + validation.tobytes())
    return parts[0], parts[1], parts[2], digest.hexdigest()


def _resize(images: npt.NDArray[np.float64], image_size: int) -> npt.NDArray[np.uint8]:
    """Grey images (N, h, w) to (N, image_size, image_size, 1), bilinear."""
    from PIL import Image

    shape = (image_size, image_size)
    resized = [
        np.asarray(Image.fromarray(image.astype(np.float32)).resize(shape, Image.Resampling.BILINEAR))
        for image in images
    ]
    return np.stack(resized).round().clip(0, 255).astype(np.uint8)[..., None]


DATASETS: dict[str, Callable[[int], Dataset]] = {"digits": load_digits}


def load_dataset(name: str, image_size: int) -> Dataset:
    """A data set by name, at a size.

    Raises:
        InputError: no such data set, with the nearest name.
    """
    if name not in DATASETS:
        raise InputError(f"{name!r} is no known data set{suggestion(name, DATASETS)}")
    return DATASETS[name](image_size)
