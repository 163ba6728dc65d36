"""Measured networks of a space in a file that grows by a line a network, so that nothing measured is lost.

The first line says what was measured and how; every other line is one network: its ratio to the reference
network that ran in between, and the times. A last line without its end, which a killed process may leave, is
dropped; any other line that cannot be read is an error with its number.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from search_space import Architecture, FieldError, InputError, StageSpace
from search_space.fields import check_bool, check_float, check_int, check_mapping

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What all measurements of a file share.

    Attributes:
        space, space_digest: the name of the space, and the SHA-256 of what it holds (`digest_of`).
        device, device_name, backend, batch, threads, reference: as in `trainers.LatencyProtocol`.
        num_classes, in_channels: of all networks.
        versions: of the software, by package.
    """

    space: str
    space_digest: str
    device: str
    device_name: str
    backend: str
    batch: int
    threads: int
    reference: str
    num_classes: int
    in_channels: int
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("batch", "threads", "num_classes", "in_channels"):
                check_int(item.name, value, 1)
            elif item.name == "versions":
                if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
                    raise FieldError(item.name, f"must hold texts, got {value!r}")
            elif not isinstance(value, str):
                raise FieldError(item.name, f"must be text, got {value!r}")

    def difference(self, here: Conditions) -> str:
        """What keeps measurements made here from joining the file's; empty where nothing does.

        The patch version of Python does not, which runs none of the arithmetic.
        """
        for item in fields(self):
            own, other = getattr(self, item.name), getattr(here, item.name)
            if item.name == "space" or own == other:
                continue
            if item.name == "space_digest":
                return f"are of another space, which was called {self.space!r}"
            if item.name == "versions":
                own, other = ({k: v for k, v in texts.items() if k != "python"} for texts in (own, other))
                if own == other:
                    continue
            return f"have {item.name} {_said(own)}, and here it is {_said(other)}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement.

    Attributes:
        architecture: the network.
        ratio: of its time to the reference's beside it.
        reference_ms, median_ms: medians of the reference and of the network.
        repeats: timed calls.
        retest: whether it is the second measurement of a network.
        error: why there is none, and the numbers are 0; empty where there is one.
    """

    architecture: Architecture
    ratio: float = 0.0
    reference_ms: float = 0.0
    median_ms: float = 0.0
    repeats: int = 0
    retest: bool = False
    error: str = ""

    def __post_init__(self) -> None:
        check_bool("retest", self.retest)
        if not isinstance(self.error, str):
            raise FieldError("error", f"must be text, got {self.error!r}")
        if self.error:
            return
        check_int("repeats", self.repeats, 1)
        for name in ("ratio", "reference_ms", "median_ms"):
            check_float(name, getattr(self, name), 1e-9)


def digest_of(space: StageSpace) -> str:
    """SHA-256 of the networks that a space holds: its skeleton and its choices, whatever its name."""
    skeleton = space.skeleton.to_dict()
    for name in ("name", "dropout", "drop_path"):
        del skeleton[name]
    identity = [skeleton, [{name: list(values) for name, values in stage.items()} for stage in space.offered]]
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class SampleFile:
    """The measurements of a space under some conditions, on disk.

    Args:
        path: a ``.jsonl`` file, which need not be there.
        space: whose networks they are.

    Attributes:
        conditions: of the file; None where there is nothing in it yet.
        samples: in the order in which they were made.

    Raises:
        InputError: it cannot be read, or a line is no measurement; with the line.
    """

    def __init__(self, path: Path, space: StageSpace) -> None:
        self.path, self._space = path, space
        self._load()

    def _load(self) -> None:
        self.conditions: Conditions | None = None
        self.samples: list[Sample] = []
        self._whole = 0  # bytes up to the end of the last whole line
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}") from None
        self._whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[: self._whole].splitlines(), start=1):
            self._read(number, line)

    @contextmanager
    def writing(self, conditions: Conditions) -> Iterator[None]:
        """Keep other processes from writing, and the file ready for `append`; it is read once more.

        Raises:
            InputError: the file's measurements were made under other conditions, another process is
                measuring, or the file cannot be written.
        """
        from filelock import FileLock, Timeout

        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=0)
        try:
            with lock:
                self._load()  # another process may have measured since
                if self.conditions is not None and (why := self.conditions.difference(conditions)):
                    raise InputError(
                        f"{self.path}: its measurements {why}; --measurements takes another file"
                    )
                if self.path.exists():
                    os.truncate(self.path, self._whole)  # drops a torn last line
                if self.conditions is None:
                    self.conditions = conditions
                    self._write({"format": FORMAT, **asdict(conditions)})
                yield
        except Timeout:
            raise InputError(f"{self.path}: another process measures into it") from None

    def append(self, sample: Sample) -> None:
        """Add a measurement, on disk when this returns; within `writing`.

        Raises:
            InputError: it cannot be written.
        """
        values = {item.name: getattr(sample, item.name) for item in fields(Sample)}
        self._write({**values, "architecture": sample.architecture.to_dict()})
        self.samples.append(sample)

    def _write(self, document: Mapping[str, Any]) -> None:
        line = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror or error}") from None

    def _read(self, number: int, line: bytes) -> None:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{self.path}:{number}: is no line of JSON") from None
        try:
            if number == 1:
                self._read_conditions(document)
            else:
                self.samples.append(self._sample(document))
        except FieldError as error:
            raise InputError(f"{self.path}:{number}: {error}") from None

    def _read_conditions(self, document: object) -> None:
        known = [item.name for item in fields(Conditions)]
        values = dict(check_mapping("the first line", document, ["format", *known], ["format", *known]))
        file_format = values.pop("format")
        if type(file_format) is not int or file_format != FORMAT:
            raise FieldError("format", f"must be {FORMAT}, got {file_format!r}: a file of another version")
        self.conditions = Conditions(**values)
        if self.conditions.space_digest != digest_of(self._space):
            raise InputError(
                f"{self.path}: its measurements are of another space, which was called "
                f"{self.conditions.space!r}; --measurements takes another file"
            )

    def _sample(self, document: object) -> Sample:
        known = [item.name for item in fields(Sample)]
        values = dict(check_mapping("the line", document, known, ["architecture"]))
        try:
            values["architecture"] = Architecture.from_dict(values["architecture"])
        except FieldError as error:
            raise error.under("architecture") from None
        network, ours = values["architecture"], self._space.skeleton
        shared = ("image_size", "stem", "head", "activation")  # what a fit takes for granted
        if any(getattr(network, name) != getattr(ours, name) for name in shared):
            raise FieldError("architecture", f"must be a network of the space {self._space.name!r}")
        return Sample(**values)


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text}" for name, text in value.items())
    return repr(value) if isinstance(value, str) else str(value)
