"""Where images come from: CIFAR's binary files, one directory a class, or a tar archive of either.

The names are read first, so that order, labels and the split are known before an image is decoded: by class,
then by file name (CIFAR: by record), the same for a folder and for an archive of it. An archive is then read
once more, as a stream; nothing is unpacked to disk.

CIFAR-10 and CIFAR-100: Krizhevsky, "Learning multiple layers of features from tiny images", 2009; the binary
files hold records of label bytes and 3,072 bytes of red, green and blue planes.
"""

from __future__ import annotations

import difflib
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import walk
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from search_space import InputError
from trainers.data import classes_in_words, empty_classes

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")
TEST_NAMES = ("test", "val", "validation")  # a source's own held-out part, in the order they are looked for
Layout = Literal["classes", "cifar10", "cifar100"]
Payload = str | bytes | npt.NDArray[np.uint8]  # a file's path, its contents, or pixels (H, W, C)


class Entry(NamedTuple):
    """One image of a source: its label, its name within the class, and its key in the source."""

    label: int
    name: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """Labelled images that are still encoded.

    Attributes:
        path: of the folder or archive.
        kind: ``folder`` or ``archive``.
        layout: ``classes`` (one directory a class), ``cifar10`` or ``cifar100``.
        name: of the data set, unless the user has a better one.
        class_names: sorted; CIFAR's in the order of its labels.
        train, test: entries by label, then name; `test` is empty where the source has none.
        notes: what was left out, for the user to read.
        payloads: gives every image once, in any order, with its key.
    """

    path: Path
    kind: Literal["folder", "archive"]
    layout: Layout
    name: str
    class_names: tuple[str, ...]
    train: tuple[Entry, ...]
    test: tuple[Entry, ...]
    notes: tuple[str, ...]
    payloads: Callable[[], Iterator[tuple[str, Payload]]]


def open_source(path: Path) -> ImageSource:
    """Read the names of a source, not its images.

    Args:
        path: a folder with CIFAR's binary files, with one directory a class, or with ``train/`` and perhaps
            ``test/``, ``val/`` or ``validation/`` of one directory a class; or a tar archive of one of these.

    Raises:
        InputError: it is missing, holds nothing that can be learnt from, or its parts have other classes.
    """
    if not path.exists():
        raise InputError(f"{path}: no such folder or archive")
    files: _Files = _Folder(path) if path.is_dir() else _Archive(path)
    names = [name for name in files.names() if not _hidden(name)]
    source = _cifar(path, files, names) or _class_folders(path, files, names)
    _check(source)
    return source


class _Files(Protocol):
    """Files by name; directories end in a slash."""

    @property
    def kind(self) -> Literal["folder", "archive"]: ...

    def names(self) -> list[str]: ...

    def each(self, wanted: Collection[str]) -> Iterator[tuple[str, str | bytes]]: ...


class _Folder:
    kind: Literal["folder"] = "folder"

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        found: list[str] = []
        for folder, folders, files in walk(self.path, onerror=_raise, followlinks=True):
            here = Path(folder)
            folders[:] = [name for name in folders if not _leads_back(here / name)]
            prefix = "" if here == self.path else f"{here.relative_to(self.path).as_posix()}/"
            found += [f"{prefix}{name}/" for name in folders]
            found += [f"{prefix}{name}" for name in files]
        return found

    def each(self, wanted: Collection[str]) -> Iterator[tuple[str, str | bytes]]:
        root = str(self.path)
        for name in wanted:
            yield name, f"{root}/{name}"


def _leads_back(folder: Path) -> bool:
    """Whether a link leads to a folder that it lies in: following it would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _raise(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read: {error.strerror}")


class _Archive:
    kind: Literal["archive"] = "archive"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: dict[str, int] = {}  # where a name comes twice the later one counts, as in unpacking

    def names(self) -> list[str]:
        directories: set[str] = set()
        inner, links = [], 0
        with self._reading() as archive:
            for number, member in enumerate(_members(archive)):
                name = _plain(member.name)
                if member.isdir() and name:
                    directories.add(f"{name}/")
                elif member.isreg():
                    self._last[name] = number
                    directories.update(_above(name))  # which not every program lists
                    if name.lower().endswith(ARCHIVE_SUFFIXES):
                        inner.append(name)
                else:
                    links += not member.isdir()
        images = any(name.lower().endswith((*SUFFIXES, ".bin")) for name in self._last)
        if inner and not images:
            raise InputError(
                f"{self.path}: holds archives ({inner[0]}); unpack it, and each of them into a directory "
                "that is named as its class"
            )
        if links and not images:
            raise InputError(f"{self.path}: holds links, which an archive that is read as a stream cannot")
        return sorted(directories) + list(self._last)

    def each(self, wanted: Collection[str]) -> Iterator[tuple[str, str | bytes]]:
        with self._reading() as archive:
            for number, member in enumerate(_members(archive)):
                name = _plain(member.name)
                if name in wanted and self._last.get(name) == number:
                    content = archive.extractfile(member)
                    assert content is not None
                    yield name, content.read()

    @contextmanager
    def _reading(self) -> Iterator[tarfile.TarFile]:
        try:
            with tarfile.open(self.path) as archive:
                yield archive
        except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())
            reason = reason.partition(": - method")[0]  # tarfile lists every format it tried
            hint = (
                "" if self.path.name.lower().endswith(ARCHIVE_SUFFIXES) else "; a source is a folder or a tar"
            )
            raise InputError(f"{self.path}: cannot be read as an archive: {reason}{hint}") from None


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in order, without the list of them that tarfile keeps (a kilobyte each)."""
    while (member := archive.next()) is not None:
        yield member
        archive.members = []  # type: ignore[attr-defined]


def _above(name: str) -> list[str]:
    """The directories that a file lies in."""
    parts = name.split("/")
    return ["/".join(parts[:depth]) + "/" for depth in range(1, len(parts))]


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _hidden(name: str) -> bool:
    """Whether something on the way is hidden, such as the ``._x.jpg`` that macOS puts into archives."""
    return name.startswith((".", "__MACOSX")) or "/." in name or "/__MACOSX" in name


def _stem(path: Path) -> str:
    name = path.resolve().name
    return next((name[: -len(s)] for s in ARCHIVE_SUFFIXES if name.lower().endswith(s)), name)


# --- one directory a class ---------------------------------------------------------------------------------


def _class_folders(path: Path, files: _Files, names: Sequence[str]) -> ImageSource:
    images = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not images:
        raise InputError(
            f"{path}: holds no images; expected CLASS/image, train/CLASS/image, or CIFAR's binary files"
        )
    prefix = _leading(images)
    train_folder, test_folder = _parts(path, [image.removeprefix(prefix) for image in images])
    if train_folder and not test_folder:
        _check_no_empty_part(path, [name.removeprefix(prefix) for name in names])
    used = {prefix + train_folder: _by_class(path, names, images, prefix + train_folder)}
    class_names = tuple(sorted(used[prefix + train_folder]))
    if not class_names:
        raise InputError(f"{path}: its images lie in no directories of classes; expected CLASS/image")
    if test_folder:
        test = _by_class(path, names, images, prefix + test_folder)
        _check_classes(path, set(class_names), set(test), test_folder.rstrip("/"))
        used[prefix + test_folder] = test
    parts = [
        tuple(
            Entry(label, name, f"{start}{class_name}/{name}")
            for label, class_name in enumerate(class_names)
            for name in sorted(grouped[class_name])
        )
        for start, grouped in used.items()
    ]
    keys = {entry.key: None for entries in parts for entry in entries}  # a set in order
    return ImageSource(
        path=path,
        kind=files.kind,
        layout="classes",
        name=_stem(path),
        class_names=class_names,
        train=parts[0],
        test=parts[1] if test_folder else (),
        notes=_left_out([image for image in images if image not in keys]),
        payloads=lambda: files.each(keys),
    )


def _left_out(images: Sequence[str]) -> tuple[str, ...]:
    """Images that belong to no class of a part that is used."""
    folders = Counter(image.rpartition("/")[0] or "the source itself" for image in images)
    shown = ", ".join(list(folders)[:3]) + (", …" if len(folders) > 3 else "")
    return (f"not used, as they lie in no class of a part: {len(images):,} images, in {shown}",) * bool(
        images
    )


def _leading(images: Sequence[str]) -> str:
    """The one folder that an archive's files may lie in, with its slash."""
    tops = {image.partition("/")[0] for image in images}
    top = next(iter(tops))
    if len(tops) > 1 or top in ("train", *TEST_NAMES) or any(image.count("/") < 2 for image in images):
        return ""
    return f"{top}/"


def _parts(path: Path, images: Sequence[str]) -> tuple[str, str]:
    """The folders of the training and of the test part; either may be empty: the source itself, none."""
    with_classes = {image.partition("/")[0] for image in images if image.count("/") >= 2}
    tests = [name for name in TEST_NAMES if name in with_classes]
    if "train" in with_classes:
        return "train/", f"{tests[0]}/" if tests else ""
    if tests and with_classes <= set(TEST_NAMES):
        raise InputError(f"{path}: has {tests[0]}/CLASS/image, but no train/CLASS/image")
    return "", ""


def _check_no_empty_part(path: Path, names: Sequence[str]) -> None:
    """A part that has directories of classes, and no image in any, is a mistake and not absent."""
    for name in TEST_NAMES:
        if any(
            other.startswith(f"{name}/") and other.endswith("/") and other.count("/") > 1 for other in names
        ):
            raise InputError(
                f"{path}: the classes of {name} have no images; put images there, or remove {name}"
            )


def _by_class(path: Path, names: Sequence[str], images: Sequence[str], start: str) -> dict[str, list[str]]:
    """Names within each class of the part that begins with `start`."""
    depth = len(start)
    grouped: dict[str, list[str]] = {}
    for image in images:
        if image.startswith(start):
            name, slash, within = image[depth:].partition("/")
            if slash:
                grouped.setdefault(name, []).append(within)
    folders = {name[depth:-1] for name in names if name.endswith("/") and name.startswith(start)}
    empty = sorted(name for name in folders - grouped.keys() if name and "/" not in name)
    if empty:
        raise InputError(
            f"{path}: {classes_in_words(empty)} ({start}{empty[0]}{', …' * (len(empty) > 1)}) "
            f"{'has' if len(empty) == 1 else 'have'} no images; put images there, or remove the directory"
        )
    return grouped


def _check_classes(path: Path, train: set[str], test: set[str], test_name: str) -> None:
    for here, there, names in ((test_name, "train", test - train), ("train", test_name, train - test)):
        if names:
            near = difflib.get_close_matches(min(names), (train | test) - names, n=1, cutoff=0.6)
            also = f" (is {near[0]!r} meant?)" if near and near[0] not in (train & test) else ""
            are = "is" if len(names) == 1 else "are"
            raise InputError(
                f"{path}: {classes_in_words(sorted(names))} {are} in {here} but not in {there}{also}; rename "
                f"or remove directories until both have the same, or move {test_name} away"
            )


def _check(source: ImageSource) -> None:
    if len(source.class_names) < 2:
        raise InputError(
            f"{source.path}: holds one class only ({source.class_names[0]}); a classifier needs two or more"
        )
    for name in source.class_names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{source.path}: the class name {name!a} is no UTF-8") from None


# --- CIFAR's binary files ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cifar:
    train: tuple[str, ...]
    test: str
    names: str  # of the classes
    label_bytes: int  # the last of them is the label
    layout: Layout


_CIFARS = (
    _Cifar(
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", "batches.meta.txt", 1, "cifar10"
    ),
    _Cifar(("train.bin",), "test.bin", "fine_label_names.txt", 2, "cifar100"),  # coarse label, fine label
)
_PIXELS = 3 * 32 * 32


def _cifar(path: Path, files: _Files, names: Sequence[str]) -> ImageSource | None:
    """The source as CIFAR, if it is."""
    base = {name.rpartition("/")[2]: name for name in names if name.count("/") <= 1}
    found = [c for c in _CIFARS if any(n in base for n in (*c.train, c.test)) and not _has_images(names)]
    if not found:
        if "data_batch_1" in base:
            raise InputError(
                f"{path}: holds CIFAR's Python files; take the binary version (data_batch_1.bin)"
            )
        return None
    if len(found) > 1:
        raise InputError(f"{path}: holds CIFAR-10 and CIFAR-100; give the folder of one")
    cifar = found[0]
    for name in (*cifar.train, cifar.test, cifar.names):
        if name not in base:
            raise InputError(f"{path}: lacks {name} of {cifar.layout}'s binary files")
    wanted = [base[name] for name in (*cifar.train, cifar.test, cifar.names)]
    contents = {
        name.rpartition("/")[2]: Path(data).read_bytes() if isinstance(data, str) else data
        for name, data in files.each(wanted)
    }
    text = contents.pop(cifar.names).decode("utf-8", errors="replace")
    class_names = tuple(line.strip() for line in text.splitlines() if line.strip())
    twice = [name for name, number in Counter(class_names).items() if number > 1]
    if twice:
        raise InputError(f"{path}: {cifar.names} names {classes_in_words(twice)} more than once; mend it")
    records = {n: _records(path, n, contents[n], cifar, len(class_names)) for n in (*cifar.train, cifar.test)}
    _check_named(path, cifar, class_names, records)
    train = [entry for name in cifar.train for entry in _entries(name, records[name])]
    return ImageSource(
        path=path,
        kind=files.kind,
        layout=cifar.layout,
        name=cifar.layout,
        class_names=class_names,
        train=tuple(sorted(train)),
        test=tuple(sorted(_entries(cifar.test, records[cifar.test]))),
        notes=(),
        payloads=lambda: _pixels(records),
    )


def _has_images(names: Sequence[str]) -> bool:
    return any(name.lower().endswith(SUFFIXES) for name in names)


def _records(path: Path, name: str, content: bytes, cifar: _Cifar, classes: int) -> npt.NDArray[np.uint8]:
    """A file's records (N, 1 + 3072): the label, then the pixels by plane."""
    size = cifar.label_bytes + _PIXELS
    if not content or len(content) % size:
        raise InputError(
            f"{path}: {name} must hold records of {size} bytes, got {len(content)} bytes: is it whole?"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)[:, cifar.label_bytes - 1 :]
    wrong = np.flatnonzero(records[:, 0] >= classes)
    if len(wrong):
        label = records[wrong[0], 0]
        raise InputError(
            f"{path}: {name}: record {wrong[0]} has label {label}, must be below {classes}, the number of "
            f"names in {cifar.names}: is either file damaged?"
        )
    return records


def _check_named(
    path: Path, cifar: _Cifar, class_names: Sequence[str], records: Mapping[str, npt.NDArray[np.uint8]]
) -> None:
    """Whether each name of a class has images in both parts."""
    for part, files in (("train", cifar.train), ("test", (cifar.test,))):
        labels = np.concatenate([records[file][:, 0] for file in files]).astype(np.int64)
        empty = empty_classes(labels, class_names)
        if empty:
            raise InputError(
                f"{path}: {cifar.names} names {classes_in_words(empty)}, of which the {part} part has no "
                "image; mend the names, or take the files as they were published"
            )


def _entries(file: str, records: npt.NDArray[np.uint8]) -> list[Entry]:
    names = [f"{file}/{number:05d}" for number in range(len(records))]
    return [Entry(label, name, name) for label, name in zip(records[:, 0].tolist(), names, strict=True)]


def _pixels(records: Mapping[str, npt.NDArray[np.uint8]]) -> Iterator[tuple[str, Payload]]:
    for file, rows in records.items():
        for number, row in enumerate(rows):
            planes = row[1:].reshape(3, 32, 32)
            yield f"{file}/{number:05d}", np.ascontiguousarray(planes.transpose(1, 2, 0))
