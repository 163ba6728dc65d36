"""Preparing a data set: decode every image once, in parallel, into a cache (`trainers.cache`).

The validation part is held out from the source's training part: of every class, the images whose SHA-256 of
seed, class and name is smallest. So the split depends on nothing but the names, not on the machine, the
number of workers or the version of a library.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from search_space import FieldError, InputError
from trainers.cache import (
    FACTS_FILE,
    PARTS,
    PROBLEMS_FILE,
    CacheFacts,
    chunks,
    fingerprint_of,
    is_cache,
    read_facts,
)
from trainers.class_choice import with_classes
from trainers.data import SPLIT_SEED, ImageSet, classes_in_words, empty_classes
from trainers.decoding import RESIZED, Target, Task, decode_all
from trainers.executor import available_cpus
from trainers.image_sources import Entry, ImageSource, open_source
from trainers.new_folder import check_place, new_folder

_BATCH_IMAGES, _BATCH_BYTES = 64, 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """How a source becomes a cache.

    Attributes:
        image_size: side of the square images, 8 to 1024 pixels.
        channels: 3 (RGB) or 1 (grey).
        validation: held out from the training part: a share (a float below 1) or a number of images.
        workers: processes; None is one a processor.
        max_corrupt: share of a part's images that may be unreadable.
        name: of the data set; None takes the source's.
        classes: only these of the source, in any order; None takes all.
        without_classes: all but these; None leaves none out.
    """

    image_size: int
    channels: int = 3
    validation: float | int = 0.1
    workers: int | None = None
    max_corrupt: float = 0.01
    name: str | None = None
    classes: tuple[str, ...] | None = None
    without_classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 8 <= self.image_size <= 1024:
            raise FieldError("image_size", f"must be between 8 and 1024, got {self.image_size}")
        if self.channels not in (1, 3):
            raise FieldError("channels", f"must be 3 (RGB) or 1 (grey), got {self.channels}")
        share = isinstance(self.validation, float)
        if not (0 < self.validation < 1 if share else self.validation >= 1):
            rule = f"must be a share between 0 and 1, or a whole number of images, got {self.validation}"
            raise FieldError("validation", rule)
        if self.workers is not None and not 1 <= self.workers <= 1024:
            raise FieldError("workers", f"must be between 1 and 1024, got {self.workers}")
        if not 0 <= self.max_corrupt <= 1:
            raise FieldError("max_corrupt", f"must be between 0 and 1, got {self.max_corrupt}")
        if self.classes is not None and self.without_classes is not None:
            raise FieldError("without_classes", "cannot be combined with classes")
        for field in ("classes", "without_classes"):
            _check_names(field, getattr(self, field))

    def of(self, source: ImageSource) -> ImageSource:
        """The classes of a source that are wanted.

        Raises:
            InputError: see `trainers.class_choice.with_classes`.
        """
        names = self.classes if self.without_classes is None else self.without_classes
        if names is None:
            return source
        return with_classes(source, names, without=self.classes is None)


def _check_names(field: str, names: Sequence[str] | None) -> None:
    if names is None:
        return
    if not names:
        raise FieldError(field, "must name a class or more, got none")
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise FieldError(field, f"must name each class once, got {classes_in_words(twice)} more than once")


class PrepareProgress(Protocol):
    """Told how the work goes on."""

    def begin(self, what: str, total: int) -> None:
        """Another step begins, of so many images."""

    def advance(self, images: int) -> None:
        """So many more are done."""


class _Silent:
    def begin(self, what: str, total: int) -> None: ...

    def advance(self, images: int) -> None: ...


def prepare(
    source: Path | str,
    cache: Path | str,
    options: PrepareOptions,
    *,
    force: bool = False,
    progress: PrepareProgress | None = None,
) -> CacheFacts:
    """Decode a source into a cache, which appears whole or not at all.

    Args:
        source: a folder or a tar archive, see `trainers.image_sources.open_source`.
        cache: a folder to make.
        options: how.
        force: replace the cache that is there, once the new one is whole.
        progress: told of it.

    Raises:
        InputError: the source cannot be used, too many of its images cannot be read, the cache exists, or
            there is no room for it, or it cannot be written.
    """
    place, told = Path(cache).resolve(), progress or _Silent()
    check_place(place, is_cache, "a prepared data set", force)
    if Path(source).is_dir() and place.is_relative_to(Path(source).resolve()):
        raise InputError(f"{cache}: lies in the source {source}; put it elsewhere")
    whole = open_source(Path(source))
    opened = options.of(whole)
    left_out = tuple(name for name in whole.class_names if name not in opened.class_names)
    train, validation = split(opened, options.validation)
    parts = {"train": train, "validation": validation, "test": opened.test}
    try:
        with new_folder(place) as folder:
            filled = {name: entries for name, entries in parts.items() if entries}
            _fill(folder, opened, filled, options, told, left_out)
            facts = read_facts(folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(f"{cache}: cannot be written: {error.strerror or error}") from None
        images = sum(map(len, parts.values()))
        need = images * options.image_size**2 * options.channels
        raise InputError(
            f"{cache}: there is no room for it: {images:,} images take {need / 1e9:.3g} GB"
        ) from None
    return facts


def split(source: ImageSource, validation: float | int) -> tuple[list[Entry], list[Entry]]:
    """The training and the validation part, in the order of the source; stratified by class.

    Args:
        source: whose training part is split.
        validation: a share, or a number of images. Each class gives its share, rounded so that the sum is
            right (largest remainders first), but at least one image, and keeps at least one.

    Raises:
        InputError: a class has too few images, or the number does not fit.
    """
    counts = np.bincount([entry.label for entry in source.train], minlength=len(source.class_names))
    total = int(counts.sum())
    few = [(n, k) for n, k in zip(source.class_names, counts.tolist(), strict=True) if k < 2]
    if few:
        raise InputError(
            f"{source.path}: {classes_in_words([name for name, _ in few])} must have two training images or "
            f"more, of which one is held out to validate, got {', '.join(str(k) for _, k in few[:3])}; add "
            "images or leave the class out (--without-classes)"
        )
    wanted = round(total * validation) if isinstance(validation, float) else validation
    if isinstance(validation, float):
        wanted = min(max(wanted, len(counts)), total - len(counts))
    if not len(counts) <= wanted <= total - len(counts):
        raise InputError(
            f"{source.path}: validation must be between {len(counts)} and {total - len(counts)} of its "
            f"{total} training images (each class has one or more on either side), got {wanted}"
        )
    taken = _shares(counts, wanted)
    held: set[str] = set()
    start = 0
    for label, number in enumerate(counts):
        entries = source.train[start : start + number]
        salt = f"{SPLIT_SEED}\n{source.class_names[label]}\n"
        order = sorted(
            entries, key=lambda e: hashlib.sha256((salt + e.name).encode(errors="surrogateescape")).digest()
        )
        held.update(entry.key for entry in order[: taken[label]])
        start += number
    train = [entry for entry in source.train if entry.key not in held]
    return train, [entry for entry in source.train if entry.key in held]


def _shares(counts: npt.NDArray[np.int64], wanted: int) -> list[int]:
    """How many of each class, in proportion, of the sum `wanted`; at least one, and less than all."""
    exact = counts * (wanted / counts.sum())
    taken = np.clip(np.floor(exact).astype(np.int64), 1, counts - 1)
    while (missing := wanted - int(taken.sum())) != 0:
        step = 1 if missing > 0 else -1
        free = (taken < counts - 1) if step > 0 else (taken > 1)
        urgency = np.where(free, step * (exact - taken), -np.inf)
        order = np.argsort(-urgency, kind="stable")[: min(abs(missing), int(free.sum()))]
        taken[order] += step
    return taken.tolist()


def _fill(
    folder: Path,
    source: ImageSource,
    parts: dict[str, Sequence[Entry]],
    options: PrepareOptions,
    progress: PrepareProgress,
    left_out: tuple[str, ...],
) -> None:
    """Write a cache's files."""
    paths = {name: folder / f"{name}-images.npy" for name in parts}
    shape = (options.image_size, options.image_size, options.channels)
    for name, entries in parts.items():
        _allocate(paths[name], (len(entries), *shape))
    target = Target(files=tuple(paths.values()), image_size=options.image_size, channels=options.channels)
    failed, histograms = _decode(source, parts, target, options, progress)
    labels = {}
    for number, (name, entries) in enumerate(parts.items()):
        bad = {row for file, row, _ in failed if file == number}
        if bad:
            _drop_rows(paths[name], sorted(bad))
        kept = [entry.label for row, entry in enumerate(entries) if row not in bad]
        labels[name] = np.array(kept, np.int64)
        _check_classes(source, name, labels[name])
        np.save(folder / f"{name}-labels.npy", labels[name])
    if failed:
        lines = sorted(f"{list(parts.values())[file][row].key}: {reason}\n" for file, row, reason in failed)
        (folder / PROBLEMS_FILE).write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
    whole = {n: ImageSet(np.load(paths[n], mmap_mode="r"), labels[n]) for n in parts}
    mean, std = _moments(histograms[0])
    facts: dict[str, Any] = {
        "name": options.name or source.name,
        "image_size": options.image_size,
        "channels": options.channels,
        "class_names": source.class_names,
        "counts": {part: len(labels.get(part, ())) for part in PARTS},
        "mean": mean,
        "std": std,
        "source": {"path": str(source.path.resolve()), "kind": source.kind, "layout": source.layout},
        "resized": RESIZED,
        "held_out": {
            "validation": f"{len(labels['validation'])} of the source's training images, stratified by class",
            "asked": options.validation,
            "seed": SPLIT_SEED,
            "test": "the source's own; no search reads it" if "test" in parts else "the source has none",
        },
        "problems": len(failed),
        "notes": source.notes,
        "left_out": left_out,
    }
    progress.begin("fingerprint", sum(map(len, whole.values())))
    searched = {name: images for name, images in whole.items() if name != "test"}
    facts["fingerprint"] = fingerprint_of(facts, searched, progress.advance)
    tests = {name: images for name, images in whole.items() if name == "test"}
    facts["test_fingerprint"] = fingerprint_of(facts, tests, progress.advance) if tests else None
    text = json.dumps(CacheFacts(**facts).to_json(), indent=2, allow_nan=False) + "\n"
    (folder / FACTS_FILE).write_text(text, encoding="utf-8")
    for path in folder.iterdir():
        _sync(path)


def _moments(histogram: npt.NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel, in units of 0 to 1, of a histogram (C, 256)."""
    values = np.arange(256) / 255.0
    number = histogram.sum(1)
    mean = histogram @ values / number
    variance = (histogram * (values - mean[:, None]) ** 2).sum(1) / number
    return tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())


def _decode(
    source: ImageSource,
    parts: dict[str, Sequence[Entry]],
    target: Target,
    options: PrepareOptions,
    progress: PrepareProgress,
) -> tuple[list[tuple[int, int, str]], npt.NDArray[np.int64]]:
    """Decode everything into the target; what failed, and a histogram (C, 256) a file."""
    places = {e.key: (file, row) for file, es in enumerate(parts.values()) for row, e in enumerate(es)}
    total = len(places)
    groups = {"train": len(source.train), "test": len(source.test)}
    group_of = ["test" if name == "test" else "train" for name in parts]
    failed: list[tuple[int, int, str]] = []
    bad: Counter[str] = Counter()
    histograms = np.zeros((len(parts), options.channels, 256), np.int64)
    workers = min(options.workers or available_cpus(), math.ceil(total / _BATCH_IMAGES))
    progress.begin(f"decoding in {workers} process{'es' * (workers > 1)}", total)
    seen = 0
    with closing(decode_all(_batches(source, places), target, workers)) as results:
        for result in results:
            failed += result.failed
            histograms += result.histograms
            seen += result.images
            for file, row, reason in result.failed:
                group = group_of[file]
                bad[group] += 1
                if bad[group] > options.max_corrupt * groups[group]:
                    raise InputError(
                        f"{source.path}: {bad[group]} or more of {groups[group]} images of its {group} part "
                        f"cannot be read, which --max-corrupt {options.max_corrupt:g} forbids; such as "
                        f"{list(parts.values())[file][row].key}: {reason}"
                    )
            progress.advance(result.images)
    if seen != total:
        raise InputError(f"{source.path}: changed while it was read: {total - seen} images are gone")
    return failed, histograms


def _batches(source: ImageSource, places: dict[str, tuple[int, int]]) -> Iterator[list[Task]]:
    batch: list[Task] = []
    size = 0
    for key, payload in source.payloads():
        batch.append(Task(*places[key], payload))
        size += len(payload)
        if len(batch) == _BATCH_IMAGES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _header(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"descr": "|u1", "fortran_order": False, "shape": shape}


def _allocate(path: Path, shape: tuple[int, ...]) -> None:
    """A NumPy file whose bytes the disk has promised: a mapping that runs out of disk kills the process."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, _header(shape))
        file.flush()
        start, size = file.tell(), math.prod(shape)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), start, size)
        else:
            zeros = bytes(2**20)
            for written in range(0, size, len(zeros)):
                file.write(zeros[: size - written])


def _drop_rows(path: Path, bad: Sequence[int]) -> None:
    """Take rows out of a file, in place: ImageNet would not fit twice."""
    images = np.load(path, mmap_mode="r+")
    shape = (len(images) - len(bad), *images.shape[1:])
    start, to = images.offset, bad[0]
    for first, behind in zip(bad, [*bad[1:], len(images)], strict=True):
        for chunk in chunks(images[first + 1 : behind]):
            images[to : to + len(chunk)] = chunk
            to += len(chunk)
    images.flush()
    del images
    with path.open("r+b") as file:
        np.lib.format.write_array_header_1_0(file, _header(shape))
        assert file.tell() == start  # NumPy leaves room in a header for the number of rows to change
        file.truncate(start + math.prod(shape))


def _check_classes(source: ImageSource, part: str, labels: npt.NDArray[np.int64]) -> None:
    empty = empty_classes(labels, source.class_names)
    if empty:
        have = "has" if len(empty) == 1 else "have"
        raise InputError(
            f"{source.path}: {classes_in_words(empty)} {have} no readable image in the {part} part; "
            f"mend or add images, or leave the class out (--without-classes)"
        )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
