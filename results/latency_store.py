"""Measured latencies on disk: one line of JSON each, appended.

Lines are appended whole under a lock. What a crash leaves of a line is passed over by the reader, which says
so; the next line begins on a line of its own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from results.run import RUNS
from search_space import FieldError, InputError
from search_space.fields import check_float, check_int, check_mapping

FORMAT = 1
LATENCIES = RUNS / "latency.jsonl"  # of the current directory
_TEXTS = ("name", "key", "device_name", "device", "backend", "measured_at")
_COUNTS = ("batch", "threads", "repeats", "macs", "params", "image_size", "num_classes", "in_channels")
_TIMES = ("median_ms", "p5_ms", "p25_ms", "p75_ms", "p95_ms")
_OPTIONAL = ("ratio", "ratio_p5", "ratio_p95", "reference_ms", "compile_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRecord:
    """One measurement of one network.

    Attributes:
        name, key, macs, params, image_size: of the network, for one image.
        num_classes, in_channels: that it was built with.
        device, device_name, backend, batch, threads: on what and how it was measured.
        reference: the network that took turns with it; empty for none.
        median_ms, p5_ms, p25_ms, p75_ms, p95_ms: of a batch, over the repeats.
        ratio, ratio_p5, ratio_p95: times the reference; None without one.
        reference_ms: the reference's median; None likewise.
        repeats: timed calls.
        compile_seconds: None where nothing is compiled.
        versions: of the software, by name.
        measured_at: date and time, ISO 8601 with its zone.

    Raises:
        FieldError: a value breaks a rule.
    """

    name: str
    key: str
    device: str
    device_name: str
    backend: str
    batch: int
    threads: int
    repeats: int
    reference: str
    median_ms: float
    p5_ms: float
    p25_ms: float
    p75_ms: float
    p95_ms: float
    ratio: float | None
    ratio_p5: float | None
    ratio_p95: float | None
    reference_ms: float | None
    macs: int
    params: int
    image_size: int
    num_classes: int
    in_channels: int
    measured_at: str
    compile_seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*_TEXTS, "reference"):
            value = getattr(self, name)
            if not isinstance(value, str) or (not value and name != "reference"):
                raise FieldError(name, f"must be a text, got {value!r}")
        for name in _COUNTS:
            check_int(name, getattr(self, name), 1)
        for name in (*_TIMES, *_OPTIONAL):
            value = getattr(self, name)
            if value is not None or name in _TIMES:
                check_float(name, value, 0.0)
        try:
            zone = datetime.fromisoformat(self.measured_at).tzinfo
        except ValueError:
            zone = None
        if zone is None:
            raise FieldError(
                "measured_at", f"must be a date and time with its zone, got {self.measured_at!r}"
            )
        if not isinstance(self.versions, dict):
            raise FieldError("versions", f"must hold names and versions, got {self.versions!r}")

    @property
    def setting(self) -> tuple[str, str, str, int, int]:
        """What a latency can be compared within: device, its name, backend, threads, batch."""
        return (self.device, self.device_name, self.backend, self.threads, self.batch)

    @property
    def images_per_second(self) -> float:
        """At the median; infinite for a time of nothing."""
        return self.batch * 1e3 / self.median_ms if self.median_ms else math.inf

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back to an equal object."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: object) -> LatencyRecord:
        """Read what `to_json` wrote.

        Raises:
            FieldError: an unknown key, a missing one, a value out of range, or another format.
        """
        known = [each.name for each in fields(cls)]
        needed = [name for name in known if name not in ("compile_seconds", "versions")]
        if isinstance(data, dict) and data.get("format") != FORMAT:
            raise FieldError("format", f"must be {FORMAT}, got {data.get('format')!r}: of another version")
        values = dict(check_mapping("", data, ["format", *known], needed))
        values.pop("format")
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLatencies:
    """What a file holds.

    Attributes:
        records: in the order in which they were measured.
        torn: numbers of the lines that a crash has cut off, from 1; they are passed over.
    """

    records: tuple[LatencyRecord, ...]
    torn: tuple[int, ...] = ()


def read_latencies(path: Path) -> StoredLatencies:
    """The measurements of a file.

    Raises:
        InputError: there is no such file, it cannot be read, or a whole line is no measurement.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    records, torn = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except ValueError:  # also of bytes that are no UTF-8
            torn.append(number)
            continue
        try:
            records.append(LatencyRecord.from_json(data))
        except FieldError as error:
            raise InputError(f"{path}:{number}: {error}") from None
    if torn and not records:
        raise InputError(f"{path}: holds no measured latencies")
    return StoredLatencies(records=tuple(records), torn=tuple(torn))


def latest(records: Sequence[LatencyRecord]) -> list[LatencyRecord]:
    """The last measurement of each network in each setting, in the order of their first.

    Networks are told apart by key, classes and input channels.
    """
    found: dict[tuple[object, ...], LatencyRecord] = {}
    for record in records:
        found[(*record.setting, record.key, record.num_classes, record.in_channels)] = record
    return list(found.values())


def check_latencies(path: Path) -> None:
    """Refuse a file to which no measurement can be appended, before anything is measured.

    Raises:
        InputError: it is a folder or a device, holds something else, or cannot be written.
    """
    if path.exists():
        if not path.is_file():
            raise InputError(f"{path}: must be a file to which measurements are appended")
        read_latencies(path)
    folder = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not os.access(folder, os.W_OK) or (folder != path and not folder.is_dir()):
        raise InputError(f"{path}: cannot be written")


def append_latencies(path: Path, records: Sequence[LatencyRecord]) -> None:
    """Append measurements to a file, all or none; the file and its folder are made where there are none.

    Raises:
        InputError: they cannot be written, as on a full disk; the file is as it was.
    """
    lines = "".join(json.dumps(record.to_json(), allow_nan=False) + "\n" for record in records).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            _append(path, lines)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _append(path: Path, lines: bytes) -> None:
    """One write at the end; what was written of it is taken back where not all could be."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # after what a crash left of a line
        try:
            written = os.write(file, lines)
            if written < len(lines):
                os.write(file, lines[written:])  # says why, where it cannot
            os.fsync(file)
        except OSError:
            os.ftruncate(file, size)
            raise
    finally:
        os.close(file)
