"""Classes that a part of the data lacks: one line that names them and says what to do."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search_space import InputError
from tests.images import archive_of, cifar, class_folders, image_bytes, left
from trainers import Dataset, ImageSet, load_test, open_cache
from trainers.data import check_classes
from trainers.prepare import PrepareOptions, prepare

OPTIONS = PrepareOptions(image_size=8, workers=1, validation=0.25, max_corrupt=1.0)


def parts(root: Path, train: str, val: str) -> Path:
    """Four training images a class, and one in ``val/``; a class is a letter, a capital one is empty."""
    for part, names, number in (("train", train, 4), ("val", val, 1)):
        class_folders(root / "s" / part, {name.lower(): number * name.islower() for name in names.split()})
    return root / "s"


def texts_only(root: Path) -> Path:
    """An archive that lists no directories, with a class that holds a text alone."""
    source = parts(root, "a b", "a b")
    (source / "train" / "c" / "deep").mkdir(parents=True)
    (source / "train" / "c" / "deep" / "x.txt").write_text("")
    with tarfile.open(root / "bare.tar", "w") as archive:
        for file in sorted(source.rglob("*")):
            if file.is_file():
                archive.add(file, file.relative_to(source))
    return root / "bare.tar"


def broken(*names: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        source = parts(root, "a b c", "a b c")
        for name in names:
            for file in source.glob(name):
                file.write_bytes(b"no image")
        return source

    return make


def single(root: Path) -> Path:
    return class_folders(root / "s", {"a": 6, "b": 1, "c": 1, "d": 1, "e": 1})


def names(text: str, test: bytes = b"") -> Callable[[Path], Path]:
    """CIFAR-10 with other names of classes, and images in the test part of such labels."""

    def make(root: Path) -> Path:
        source = cifar(root / "s")
        (source / "batches.meta.txt").write_text(text)
        if test:
            (source / "test_batch.bin").write_bytes(b"".join(bytes([label, *bytes(3072)]) for label in test))
        return source

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda root: parts(root, "a b", "a b c d"),
            "classes 'c', 'd' are in val but not in train; rename or remove directories until both have the "
            "same, or move val away",
        ),
        (
            lambda root: parts(root, "a b c d e", "a"),
            "classes 'b', 'c', 'd' and 1 more are in train but not in val; rename",
        ),
        (
            lambda root: parts(root, "cat dog", "cat dgo"),
            "class 'dgo' is in val but not in train (is 'dog' meant?); rename",
        ),
        (
            lambda root: parts(root, "a b", "a B"),
            "class 'b' (val/b) has no images; put images there, or remove the directory",
        ),
        (
            lambda root: parts(root, "a B C", "a b c"),
            "classes 'b', 'c' (train/b, …) have no images; put images there, or remove the directory",
        ),
        (
            lambda root: parts(root, "a b", "A B"),
            "the classes of val have no images; put images there, or remove val",
        ),
        (texts_only, "class 'c' (train/c) has no images; put images there"),
        (
            broken("train/b/*"),
            "class 'b' has no readable image in the train part; mend or add images, or leave the class out",
        ),
        (broken("train/b/*", "train/c/*"), "classes 'b', 'c' have no readable image in the train part"),
        (broken("val/a/*"), "class 'a' has no readable image in the test part"),
        (
            single,
            "classes 'b', 'c', 'd' and 1 more must have two training images or more, of which one is held "
            "out to validate, got 1, 1, 1; add images or leave the class out",
        ),
        (
            names("cat\ndog\n"),
            "data_batch_1.bin: record 2 has label 2, must be below 2, the number of names in batches.meta"
            ".txt: is either file damaged?",
        ),
        (names("\n"), "data_batch_1.bin: record 0 has label 0, must be below 0, the number of names"),
        (
            names("cat\ndog\nant\nbee\n"),
            "batches.meta.txt names class 'bee', of which the train part has no image; mend the names",
        ),
        (
            names("cat\ndog\nant\n", test=b"\0\1"),
            "batches.meta.txt names class 'ant', of which the test part has no image",
        ),
        (names("cat\ndog\ncat\n"), "batches.meta.txt names class 'cat' more than once; mend it"),
    ],
)
def test_what_a_part_lacks_is_one_line_and_leaves_nothing(tmp_path: Path, make, message: str) -> None:
    source = make(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError) as caught:
        prepare(source, tmp_path / "out" / "c", OPTIONS)
    assert str(caught.value).startswith(f"{source}: {message}")
    assert "\n" not in str(caught.value)
    assert left(tmp_path / "out") == []


def test_labels_follow_names_whatever_the_order_of_directories(tmp_path: Path) -> None:
    """The parts of an archive may list their classes in any order."""
    folder = parts(tmp_path, "b a", "a b")
    blank = {name: image_bytes(7 * ord(name), (8, 8)) for name in "ab"}
    for file in folder.rglob("*.png"):
        file.write_bytes(blank[file.parent.name])
    for number, source in enumerate((folder, archive_of(folder, tmp_path / "x.tar"))):
        prepare(source, tmp_path / f"c{number}", OPTIONS)
        data, test = open_cache(tmp_path / f"c{number}"), load_test(tmp_path / f"c{number}")
        for images in (data.train, data.validation, test):
            first = {label: images.images[images.labels == label][0] for label in (0, 1)}
            assert not np.array_equal(first[0], first[1])
            assert np.array_equal(first[0], data.train.images[0])
            assert np.array_equal(first[1], data.train.images[-1])


@pytest.fixture
def data() -> Dataset:
    """Five classes, each of which each part has."""
    images = ImageSet(np.zeros((10, 8, 8, 3), np.uint8), np.arange(10) % 5)
    return Dataset(
        name="mine",
        train=images,
        validation=images,
        class_names=("ant", "bee", "c'at", "[red]", "e"),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        fingerprint="x",
    )


def labelled(data: Dataset, part: str, labels: list[int]) -> Dataset:
    return replace(data, **{part: ImageSet(data.train.images[: len(labels)], np.array(labels, np.int64))})


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3], "class 'e' has no image in the {} part; add images or leave the class out"),
        ([1, 3], "classes 'ant', \"c'at\", 'e' have no image in the {} part"),
        ([], "classes 'ant', 'bee', \"c'at\" and 2 more have no image in the {} part"),
        ([0, 1, 2, 3, 4, 5], "label 5 in the {} part is none of its 5 classes; prepare the data again"),
        ([0, 1, 2, 3, 4, -1], "label -1 in the {} part is none of its 5 classes"),
    ],
)
def test_a_class_that_a_part_lacks_is_named(
    data: Dataset, part: str, labels: list[int], message: str
) -> None:
    check_classes(data)
    with pytest.raises(InputError, match=re.escape(f"mine: {message.format(part)}")):
        check_classes(labelled(data, part, labels))
