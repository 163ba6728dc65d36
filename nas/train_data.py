"""The images of a full training: the ones a search holds back too."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nas.config_sections import DataConfig
from search_space import InputError
from trainers import Dataset, ImageSet, load_dataset, load_test, open_cache, read_facts
from trainers.device_data import subset_of
from trainers.digits import load_digits_test


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainImages:
    """The images of a data set.

    Attributes:
        data: to learn from, and to validate by.
        test: that no training sees; None where the source has none.
    """

    data: Dataset
    test: ImageSet | None


def open_images(data: DataConfig, image_size: int) -> TrainImages:
    """All images of a data set; see `training_data`."""
    return TrainImages(data=training_data(data, image_size), test=test_images(data, image_size))


def training_data(data: DataConfig, image_size: int) -> Dataset:
    """Training and validation images; a cache's are of the size it was prepared at.

    Args:
        data: what on.
        image_size: of the network, at which a data set that comes along is made.

    Raises:
        InputError: the cache cannot be used.
    """
    if data.cache is not None:
        return open_cache(data.cache)
    assert data.name is not None
    return load_dataset(data.name, image_size)


def limited(data: Dataset, count: int | None) -> Dataset:
    """The data with so many training images, classes in proportion; None leaves all.

    Raises:
        InputError: there are not so many, or they are fewer than the classes.
    """
    if count is None or count == len(data.train):
        return data
    if count > len(data.train):
        raise InputError(
            f"subset must be at most {len(data.train)}, the training images of {data.name}, got {count}"
        )
    if count < data.num_classes:
        raise InputError(
            f"subset must be at least {data.num_classes}, one image a class of {data.name}, got {count}"
        )
    chosen = subset_of(data.train.labels, count)
    return replace(data, train=ImageSet(data.train.images[chosen], data.train.labels[chosen]))


def test_images(data: DataConfig, image_size: int) -> ImageSet | None:
    """The images that no search and no training sees; None where the source has none.

    Raises:
        InputError: the cache cannot be used.
    """
    if data.cache is not None:
        return load_test(data.cache) if read_facts(data.cache).counts["test"] else None
    if data.name != "digits":
        raise InputError(f"{data.name}: nobody knows its test images")
    return load_digits_test(image_size)
