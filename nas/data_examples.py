"""Images of prepared data as files: for people to look at, and for commands that take image files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from results import file_stem, write_whole
from search_space import InputError
from trainers.cache import open_part, read_facts
from trainers.data import Part


def write_examples(cache: Path, number: int, folder: Path) -> list[Path]:
    """Write some images of a cache as PNG, to the last bit: one of each class in turn, then a second one.

    They are of the test part, where there is one, else of the validation part: images that no network was
    trained on. `01-cat.png` is the first of class 1, `01-cat-2.png` the second.

    Args:
        cache: a folder of ``nas data prepare``.
        number: of images, at least 1.
        folder: to write into; it is made where it is missing.

    Returns:
        The files, in the order of `spread`.

    Raises:
        InputError: the cache cannot be used or has not so many images; a file cannot be written.
    """
    from PIL import Image

    facts = read_facts(cache)
    part: Part = "test" if facts.counts["test"] else "validation"
    if number > facts.counts[part]:
        raise InputError(
            f"--images must be at most {facts.counts[part]}, the {part} part of {cache}, got {number}"
        )
    images = open_part(cache.resolve(), part, facts.fingerprint)
    digits = len(str(len(facts.class_names) - 1))
    written = []
    for index, turn in spread(images.labels, number):
        label = int(images.labels[index])
        again = f"-{turn + 1}" if turn else ""
        path = folder / f"{label:0{digits}d}-{file_stem(facts.class_names[label])}{again}.png"
        pixels = np.array(images.images[index]).squeeze()  # (H, W, 3), or (H, W) of grey
        write_whole(path, partial(Image.fromarray(pixels).save, format="PNG"))
        written.append(path)
    return written


def spread(labels: npt.NDArray[np.int64], number: int) -> list[tuple[int, int]]:
    """So many images, the first of every class before the second of any.

    Args:
        labels: (N,) of a part.
        number: of images, at most N.

    Returns:
        Index and turn of each (0 for the first of its class), by turn and then by class.
    """
    order = np.argsort(labels, kind="stable")  # by class, and within a class as they lie there
    by_class = labels[order]
    turns = np.arange(len(order)) - np.searchsorted(by_class, by_class)
    first = np.argsort(turns, kind="stable")[:number]
    return [(int(order[place]), int(turns[place])) for place in first]
