"""A prepared data set on disk: a folder of NumPy files that every process of a machine maps, not copies.

The format, version 1: ``cache.json`` holds the facts (`CacheFacts`); each part has ``PART-images.npy``,
uint8 (N, H, W, C), and ``PART-labels.npy``, int64 (N,), by class and then by name; ``problems.txt`` lists the
images that could not be read, where there are any. The parts are ``train``, ``validation`` and, where the
source has one, ``test``, which `open_cache` never opens.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search_space import InputError
from trainers.data import Dataset, ImageSet, Part

FORMAT, VERSION = "nas-image-cache", 1
FACTS_FILE, PROBLEMS_FILE = "cache.json", "problems.txt"
PARTS: tuple[Part, ...] = ("train", "validation", "test")
_CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFacts:
    """What ``cache.json`` says.

    Attributes:
        name: of the data set.
        image_size: side of the square images, pixels.
        channels: 3 (RGB) or 1 (grey).
        class_names: a label is an index into these.
        counts: images a part; 0 of ``test`` where the source has none.
        mean, std: of the training images, a channel, in units of 0 to 1.
        fingerprint: see `fingerprint_of`, of the training and the validation part.
        test_fingerprint: of the test part; None where there is none.
        source: ``path``, ``kind`` and ``layout`` of what was read.
        resized: how images came to their size, in words.
        held_out: ``validation`` as asked for, ``seed``, and in words what either part is.
        problems: images that could not be read and are left out.
        notes: what else of the source is left out.
        left_out: classes of the source that were not wanted.
    """

    name: str
    image_size: int
    channels: int
    class_names: tuple[str, ...]
    counts: Mapping[str, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    test_fingerprint: str | None
    source: Mapping[str, str]
    resized: str
    held_out: Mapping[str, Any]
    problems: int
    notes: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def number_of_classes(self) -> str:
        """``40``, or ``30 of 40`` where classes of the source were left out."""
        number = len(self.class_names)
        return f"{number} of {number + len(self.left_out)}" if self.left_out else str(number)

    def to_json(self) -> dict[str, Any]:
        """The document that ``cache.json`` holds."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


@dataclass(frozen=True, slots=True)
class CachedImageSet(ImageSet):
    """A part of a cache: its arrays are mappings, and it is pickled as their path, not as pixels.

    Attributes:
        path: of the cache.
        part: which of its parts.
        fingerprint: of the cache when it was opened.
    """

    path: Path
    part: Part
    fingerprint: str

    def __reduce__(self) -> tuple[Any, ...]:
        """A path; but of arrays that somebody replaced (`dataclasses.replace`) the arrays themselves."""
        names = _files(self.path, self.part)
        if all(_is_mapping(a, n) for a, n in zip((self.images, self.labels), names, strict=True)):
            return open_part, (self.path, self.part, self.fingerprint)
        return ImageSet, (self.images, self.labels)


def _is_mapping(array: object, path: Path) -> bool:
    """Whether an array is a whole mapped file, not a slice of it."""
    whole = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)
    return whole and str(array.filename) == str(path)  # type: ignore[attr-defined]


def _files(path: Path, part: Part) -> tuple[Path, Path]:
    return path / f"{part}-images.npy", path / f"{part}-labels.npy"


def is_cache(path: Path) -> bool:
    """Whether a folder holds a cache, of whatever version, and nothing else."""
    known = {FACTS_FILE, PROBLEMS_FILE, *(file.name for part in PARTS for file in _files(path, part))}
    try:
        document = json.loads((path / FACTS_FILE).read_text(encoding="utf-8"))
        return document["format"] == FORMAT and {file.name for file in path.iterdir()} <= known
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_facts(path: Path | str) -> CacheFacts:
    """What a cache says of itself; no image is read.

    Raises:
        InputError: there is no cache, or one of another version, or ``cache.json`` is damaged.
    """
    path = Path(path)
    file = path / FACTS_FILE
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path}: holds no prepared data (on {socket.gethostname()}); nas data prepare SOURCE "
            f"--image-size N -o {path}"
        ) from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{file}: is damaged: {error}; prepare it again") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"{file}: describes no prepared data")
    if document.get("version") != VERSION:
        raise InputError(
            f"{file}: has version {document.get('version')!r}, this program reads {VERSION}; prepare it again"
        )
    try:
        document = {"left_out": (), **document}  # which caches of before it was possible do not say
        values = {field.name: document[field.name] for field in fields(CacheFacts)}
        for name in ("class_names", "mean", "std", "notes", "left_out"):
            values[name] = tuple(values[name])
        facts = CacheFacts(**values)
        sizes = [facts.image_size, facts.channels, *(facts.counts[part] for part in PARTS)]
        whole = all(type(size) is int and size >= 0 for size in sizes)
        whole = whole and len(facts.mean) == len(facts.std) == facts.channels
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: is damaged: {type(error).__name__} {error}; prepare it again") from None
    if not whole:
        raise InputError(f"{file}: is damaged: its sizes do not fit together; prepare it again")
    return facts


def open_cache(path: Path | str) -> Dataset:
    """The training and the validation part of a cache, mapped: nothing is read before it is used.

    The data set pickles as the path, so that every process that unpickles it maps the same pages.

    Raises:
        InputError: see `read_facts`; or a file is missing, cut short, or of another shape.
    """
    path = Path(path).resolve()
    facts = read_facts(path)
    return Dataset(
        name=facts.name,
        train=_open_part(path, "train", facts),
        validation=_open_part(path, "validation", facts),
        class_names=facts.class_names,
        mean=facts.mean,
        std=facts.std,
        fingerprint=facts.fingerprint,
    )


def load_test(path: Path | str) -> ImageSet:
    """The test part of a cache, which no search reads: for a final figure.

    Raises:
        InputError: see `open_cache`; or the source had no test part.
    """
    path = Path(path).resolve()
    facts = read_facts(path)
    if not facts.counts["test"]:
        raise InputError(f"{path}: has no test part, as its source has none")
    return _open_part(path, "test", facts)


def open_part(path: Path, part: Part, fingerprint: str) -> ImageSet:
    """A part of the cache that has this fingerprint; how a pickled part comes back.

    Raises:
        InputError: see `open_cache`; or another data set has been prepared there since.
    """
    facts = read_facts(path)
    if facts.fingerprint != fingerprint:
        raise InputError(f"{path}: was prepared anew since it was opened; start again")
    return _open_part(path, part, facts)


def _open_part(path: Path, part: Part, facts: CacheFacts) -> CachedImageSet:
    number = facts.counts[part]
    side, channels = facts.image_size, facts.channels
    images, labels = _files(path, part)
    return CachedImageSet(
        _mapped(images, (number, side, side, channels), np.uint8),
        _mapped(labels, (number,), np.int64),
        path,
        part,
        facts.fingerprint,
    )


def _mapped(path: Path, shape: tuple[int, ...], dtype: type[Any]) -> npt.NDArray[Any]:
    """A NumPy file as a read-only mapping, if it is what ``cache.json`` says."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; prepare it again") from None
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: is cut short or damaged ({reason}); prepare it again") from None
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise InputError(
            f"{path}: holds {array.dtype} {array.shape}, cache.json says {dtype.__name__} {shape}"
        )
    if path.stat().st_size != array.offset + array.nbytes:
        raise InputError(f"{path}: holds more than its header says; prepare it again")
    return array


def fingerprint_of(
    facts: Mapping[str, Any],
    parts: Mapping[str, ImageSet],
    advance: Callable[[int], None] = lambda images: None,
) -> str:
    """What identifies decoded images, wherever they came from.

    SHA-256 of a line of JSON (image size, channels, class names, images a part) and of the parts' pixels and
    labels (little-endian int64), in the order of `parts`.

    Args:
        facts: ``image_size``, ``channels`` and ``class_names``.
        parts: images by the name of the part.
        advance: told how many more images were read.
    """
    head = {name: facts[name] for name in ("image_size", "channels", "class_names")}
    counts = {name: len(images) for name, images in parts.items()}
    digest = hashlib.sha256(json.dumps({**head, "counts": counts}, sort_keys=True).encode())
    for images in parts.values():
        for chunk in chunks(images.images):
            digest.update(np.ascontiguousarray(chunk).data)
            advance(len(chunk))
        digest.update(np.ascontiguousarray(images.labels.astype("<i8")).data)
    return digest.hexdigest()


def chunks(images: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """Images in consecutive pieces that fit into memory."""
    rows = max(1, _CHUNK_BYTES // max(1, images[:1].nbytes))
    return (images[start : start + rows] for start in range(0, len(images), rows))


def verify(path: Path | str, advance: Callable[[int], None] = lambda images: None) -> list[str]:
    """Read all of a cache.

    Args:
        path: of the cache.
        advance: told how many more images were read.

    Returns:
        What does not hold, a line each; none where the cache is whole.

    Raises:
        InputError: see `open_cache`.
    """
    path = Path(path).resolve()
    facts = read_facts(path)
    document = facts.to_json()
    parts: dict[str, ImageSet] = {part: _open_part(path, part, facts) for part in PARTS if facts.counts[part]}
    searched = {part: images for part, images in parts.items() if part != "test"}
    checks = [("the fingerprint", facts.fingerprint, searched)]
    if "test" in parts:
        checks.append(("the test part's fingerprint", facts.test_fingerprint or "", {"test": parts["test"]}))
    found = []
    for what, stated, images in checks:
        actual = fingerprint_of(document, images, advance)
        if actual != stated:
            found.append(f"{what} does not hold: cache.json says {stated}, the files give {actual}")
    return found
