"""Published data sets, fetched from where they are published: whole, checked, and never twice.

A file comes as ``FILE.part`` and has its name only when its size and its SHA-256 are right. Whatever ends the
process before leaves the part, and the next one asks for the missing bytes alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from filelock import FileLock, Timeout

from search_space import InputError
from search_space.errors import suggestion
from trainers.downloading import BrokenError, check_url, requested, shown

WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before another try; anew whenever a try came further than all before
TIMEOUT = 30.0  # seconds of silence that end a try
_CHUNK = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A file that holds a data set.

    Attributes:
        name: of the data set.
        url: where it is published.
        size: bytes.
        sha256: of the file, hexadecimal.
        image_size: side of its images, pixels.
        citation: what its authors ask to be cited.
        terms: under which it is published.
    """

    name: str
    url: str
    size: int
    sha256: str
    image_size: int
    citation: str
    terms: str

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]


_KRIZHEVSKY = "Krizhevsky, Learning multiple layers of features from tiny images, technical report, 2009"
_TERMS = "www.cs.toronto.edu/~kriz/cifar.html names no licence and asks for this citation"
# Sizes and SHA-256: github.com/tensorflow/datasets, tensorflow_datasets/url_checksums/cifar10.txt and
# cifar100.txt at 333639b; the same sums stand in red-datasets (Ruby) and gomlx (Go). The page of the
# University of Toronto itself prints MD5: c32a1d4ab5d03f1284b67883e8d87530 (cifar-10-binary.tar.gz) and
# 03b5dce01913d631647c71ecec9e9cb8 (cifar-100-binary.tar.gz).
PUBLISHED = {
    item.name: item
    for item in (
        Published(
            name="cifar10",
            url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            size=170_052_171,
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            image_size=32,
            citation=_KRIZHEVSKY,
            terms=_TERMS,
        ),
        Published(
            name="cifar100",
            url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            size=168_513_733,
            sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            image_size=32,
            citation=_KRIZHEVSKY,
            terms=_TERMS,
        ),
    )
}
_ELSEWHERE = {
    "digits": "comes with scikit-learn and needs no fetching: data: {name: digits}",
    "imagenet": "is had from image-net.org, after registration and under its terms",
    "tiny-imagenet": "is had from cs231n.stanford.edu/tiny-imagenet-200.zip; its images are ImageNet's",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that is there, whole and checked.

    Attributes:
        path: of the file.
        item: what it holds.
        received: bytes that came over the network; 0 where the file was there.
        resumed_from: bytes of the part that was there.
    """

    path: Path
    item: Published
    received: int
    resumed_from: int


class FetchProgress(Protocol):
    """Told how the work goes on."""

    def begin(self, what: str, done: int, total: int) -> None:
        """Another step begins, of so many bytes, of which so many are done."""

    def advance(self, size: int) -> None:
        """So many more bytes are done."""

    def note(self, text: str) -> None:
        """Something did not go as it should, and what is done about it."""


class _Silent:
    def begin(self, what: str, done: int, total: int) -> None: ...

    def advance(self, size: int) -> None: ...

    def note(self, text: str) -> None: ...


def published(name: str) -> Published:
    """A data set that can be fetched.

    Raises:
        InputError: there is none of this name.
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    plain = name.lower().replace("_", "-")
    if plain in _ELSEWHERE:
        raise InputError(f"{name} {_ELSEWHERE[plain]}; see docs/data.md")
    plain = plain.replace("-", "")
    known = suggestion(name, PUBLISHED) if plain not in PUBLISHED else f"; did you mean {plain}?"
    raise InputError(f"no data set {name!r} can be fetched{known}")


def fetch(
    item: Published,
    folder: Path | str,
    *,
    url: str | None = None,
    progress: FetchProgress | None = None,
    timeout: float = TIMEOUT,
    waits: tuple[float, ...] = WAITS,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Put a published file into a folder, unless it is there already.

    Args:
        item: which.
        folder: made where it is missing.
        url: another address of the same file; size and checksum hold there too.
        progress: told of it.
        timeout: seconds of silence that end a try.
        waits: seconds before each further try.
        sleep: waits.

    Raises:
        InputError: what is there is another file, the server does not give this one, or it cannot be
            written. What came is kept, but for bytes that are wrong.
    """
    source, told = check_url(url or item.url), progress or _Silent()
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError(f"{place}: is no folder; -o names the folder that the file is put into")
    file = place / item.file_name
    if file.exists():
        _check_whole(file, item, told)
        return Fetched(path=file, item=item, received=0, resumed_from=0)
    try:
        with _made(place), _Part.opened(file, item) as part:
            before = part.size
            _complete(part, source, told, timeout, waits, sleep)
            part.finish(source, told)
            return Fetched(path=file, item=item, received=part.received, resumed_from=before)
    except OSError as error:  # of the disk: those of the network are BrokenError by now
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_room(_beside(file, "part"), item, error.strerror or "full") from None
        raise InputError(f"{file}: cannot be written: {error.strerror or error}") from None


class _Part:
    """The bytes of a file that have come, on disk, and what they are a version of."""

    def __init__(self, target: Path, item: Published, stream: IO[bytes]) -> None:
        self.target, self.item, self.received = target, item, 0
        self.path = _beside(target, "part")
        self._facts, self._new_facts = _beside(target, "part.json"), _beside(target, "part.json.new")
        self._stream = stream
        self.size = os.fstat(stream.fileno()).st_size
        if self.size > item.size:  # it is of something else
            self.clear()

    @classmethod
    @contextmanager
    def opened(cls, target: Path, item: Published) -> Iterator[_Part]:
        """What an earlier process left, or nothing yet; one process at a time.

        Raises:
            InputError: another process is at it.
        """
        lock = FileLock(_beside(target, "part.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"{_beside(target, 'part')}: another process is fetching it; wait for it, or give another -o"
            ) from None
        try:
            if target.exists():  # another process was at it a moment ago
                raise InputError(f"{target}: appeared just now; the same command checks it")
            with _beside(target, "part").open("ab+", buffering=0) as stream:
                part = cls(target, item, stream)
                try:
                    yield part
                finally:
                    if not part.size:
                        part.remove()
        finally:
            if not _beside(target, "part").exists():
                with contextlib.suppress(OSError):
                    _beside(target, "part.lock").unlink(missing_ok=True)
            lock.release()

    def validator(self, url: str) -> str | None:
        """What the address said of the version of these bytes; None from another address."""
        try:
            facts = json.loads(self._facts.read_text(encoding="utf-8"))
            text = facts["validator"] if facts["url_sha256"] == _hashed(url) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return text if isinstance(text, str) and text.isascii() and text.isprintable() else None

    def remember(self, url: str, validator: str | None) -> None:
        """Keep beside the bytes what they are a version of; of the address its hash, as it may hold a key."""
        facts = {"url_sha256": _hashed(url), "validator": validator}
        self._new_facts.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        self._new_facts.replace(self._facts)

    def write(self, data: bytes) -> None:
        """Add bytes."""
        rest = memoryview(data)
        while rest:  # a disk that fills up takes a part of them
            written = self._stream.write(rest)
            self.size += written
            self.received += written
            rest = rest[written:]

    def clear(self) -> None:
        """Begin anew."""
        self._stream.truncate(0)
        self.size = 0

    def remove(self) -> None:
        """Leave nothing."""
        for path in (self.path, self._facts, self._new_facts):
            path.unlink(missing_ok=True)

    def finish(self, url: str, progress: FetchProgress) -> None:
        """Give the file its name.

        Raises:
            InputError: it is not the file that was published; it is removed.
        """
        self._stream.seek(0)  # what is on the disk counts, whoever wrote it
        got = _sha256(self._stream, self.path.name, self.size, progress)
        if got != self.item.sha256:
            self.remove()
            raise InputError(
                f"{shown(url)}: what came is not {self.item.name}: expected SHA-256 {self.item.sha256}, "
                f"got {got}; it is removed, and the same command fetches it anew"
            )
        os.fsync(self._stream.fileno())
        self.path.replace(self.target)
        self.remove()


def _complete(
    part: _Part,
    url: str,
    progress: FetchProgress,
    timeout: float,
    waits: tuple[float, ...],
    sleep: Callable[[float], None],
) -> None:
    """Bring the missing bytes, in as many tries as it takes, as long as they come further."""
    furthest, failures = part.size, 0
    while part.size < part.item.size:
        try:
            _receive(part, url, progress, timeout)
        except BrokenError as broken:
            if part.size > furthest:
                furthest, failures = part.size, 0
            if failures == len(waits) or not (broken.answered or part.received):
                come = f"{part.size / 1e6:,.1f} of {part.item.size / 1e6:,.1f} MB are there, "
                goes_on = f"; {come if part.size else ''}the same command goes on"
                raise InputError(f"{broken}{goes_on if part.size or broken.answered else ''}") from None
            progress.note(f"{broken}; trying again in {waits[failures]:g} s")
            sleep(waits[failures])
            failures += 1


def _receive(part: _Part, url: str, progress: FetchProgress, timeout: float) -> None:
    """One try; all that comes is kept."""
    item = part.item
    with requested(url, start=part.size, validator=part.validator(url), timeout=timeout) as answer:
        if answer.total not in (None, item.size):
            raise InputError(
                f"{shown(url)}: holds {answer.total:,} bytes, {item.name} has {item.size:,}: it is another "
                "file"
            )
        if answer.start != part.size:
            progress.note(
                f"{shown(url)}: begins anew: the server cannot go on in the middle, or its file has changed"
            )
            part.clear()
        _check_room(part)
        part.remember(url, answer.validator)
        progress.begin(item.file_name, part.size, item.size)
        while part.size < item.size:
            data = answer.read(min(_CHUNK, item.size - part.size))
            if not data:
                raise BrokenError(f"{shown(url)}: the connection was cut", answered=True)
            part.write(data)
            progress.advance(len(data))


def _check_room(part: _Part) -> None:
    if shutil.disk_usage(part.path.parent).free < part.item.size - part.size:
        raise _no_room(part.path, part.item, "the disk has less")


def _no_room(part: Path, item: Published, reason: str) -> InputError:
    there = part.stat().st_size if part.exists() else 0
    return InputError(
        f"{part}: there is no room for {(item.size - there) / 1e6:,.1f} MB more ({reason}); what came is "
        "kept: make room, and the same command goes on"
    )


def _check_whole(file: Path, item: Published, progress: FetchProgress) -> None:
    """Whether the file that is there is the one that was published.

    Raises:
        InputError: it is another one, which is left as it is.
    """
    advice = "move it away, and the same command fetches it"
    try:
        size = file.stat().st_size if file.is_file() else -1
        if size != item.size:
            what = "is no file" if size < 0 else f"has {size:,} bytes, {item.name} has {item.size:,}"
            raise InputError(f"{file}: {what}; {advice}")
        with file.open("rb", buffering=0) as stream:
            got = _sha256(stream, file.name, item.size, progress)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    if got != item.sha256:
        raise InputError(f"{file}: is not {item.name}: expected SHA-256 {item.sha256}, got {got}; {advice}")


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder, which goes again where nothing came into it."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # not empty: something came
                path.rmdir()


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(f"{file.name}.{ending}")


def _hashed(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _sha256(stream: IO[bytes], name: str, size: int, progress: FetchProgress) -> str:
    progress.begin(f"checking {name}", 0, size)
    digest = hashlib.sha256()
    while chunk := stream.read(4 * _CHUNK):
        digest.update(chunk)
        progress.advance(len(chunk))
    return digest.hexdigest()
