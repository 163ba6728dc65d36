"""Published tables of trained networks, as points of a search space with their metrics.

Accel-NASBench (DAC 2024, github.com/afzalxo/Accel-NASBench): 5,138 networks of EfficientNet-B0's skeleton,
one JSON file each, trained on ImageNet by one published short protocol. Any other table is a CSV or a
JSON-lines file with a column a decision of the space (its name as in ``nas space show``) and columns of
metrics.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search_space import FieldError, InputError, SearchSpace
from search_space.errors import suggestion
from search_space.stage_space import CHOICES

_BLOCK = ("op", "kernel", "se_ratio", "layers")
_DECISION = re.compile(rf"stage\d+\.({'|'.join(CHOICES)})")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Trained networks.

    Attributes:
        points: (N, decisions) indices into the space's choices, as the space encodes them; each once.
        accuracy: (N,), 0 to 1; of a point that was trained several times the mean.
        metrics: what else was measured, by name, (N,) each; NaN where a row has none.
        rows: of the file, of which some may be one point.
        fingerprint: SHA-256 of the file, the accuracy's column and its unit, and the space's decisions.
    """

    points: npt.NDArray[np.int64]
    accuracy: npt.NDArray[np.float64]
    metrics: Mapping[str, npt.NDArray[np.float64]]
    rows: int
    fingerprint: str


def read_table(path: Path, space: SearchSpace, accuracy: str | None = None, percent: bool = False) -> Table:
    """Read a table.

    Args:
        path: Accel-NASBench's ``.tar.gz``, a ``.csv``, or a ``.jsonl`` file.
        space: whose decisions the columns are.
        accuracy: its column; ``val_top1`` of Accel-NASBench by default, else ``accuracy``.
        percent: the accuracies of a CSV or JSON-lines file are 0 to 100. Accel-NASBench's always are.

    Raises:
        InputError: one line with the file, the row, and what is wrong there.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such table; Accel-NASBench's is on github.com/afzalxo/Accel-NASBench")
    ending = path.name.lower()
    archive = ending.endswith((".tar.gz", ".tgz", ".tar"))
    if not archive and not ending.endswith((".csv", ".jsonl", ".ndjson")):
        raise InputError(f"{path}: a table is .csv, .jsonl, or Accel-NASBench's .tar.gz")
    column = accuracy or ("val_top1" if archive else "accuracy")
    percent = percent or archive
    try:
        content = path.read_bytes()
        rows = list(_archive_rows(content, path) if archive else _text_rows(content, path))
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {' '.join(str(reason).split())}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text; a table is .csv, .jsonl, or an archive .tar.gz") from None
    if not rows:
        raise InputError(f"{path}: holds no networks")
    decisions = {d.name: {_plain(choice): i for i, choice in enumerate(d.choices)} for d in space.decisions}
    columns = _metric_columns(path, rows, list(decisions), column)
    points = [[_index(path, place, row, *decision) for decision in decisions.items()] for place, row in rows]
    numbers = np.array(  # (rows, metrics)
        [[_number(path, place, row, name, name == column) for name in columns] for place, row in rows]
    )
    if percent:
        numbers[:, columns.index(column)] /= 100.0
    for (place, row), value in zip(rows, numbers[:, columns.index(column)], strict=True):
        if not 0.0 <= value <= 1.0:
            hint = "; percent: true reads 0 to 100" if value > 1.0 and not percent else ""
            rule = f"must be 0 to {100 if percent else 1}, got {row[column]!r}{hint}"
            raise InputError(f"{path}{place}: {FieldError(column, rule)}")
    unique, inverse = np.unique(space.canonical(points), axis=0, return_inverse=True)
    means = {name: _means(numbers[:, i], inverse.ravel()) for i, name in enumerate(columns)}
    parts = [hashlib.sha256(content).hexdigest(), column, str(percent)]
    parts += [f"{decision.name} {decision.choices}" for decision in space.decisions]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Table(unique, means.pop(column), means, len(rows), digest)


def _means(values: npt.NDArray[np.float64], groups: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """The mean of each group (N,), of the values there are; NaN where there is none."""
    there = np.isfinite(values)
    sums = np.bincount(groups, weights=np.where(there, values, 0.0))
    counts = np.bincount(groups, weights=there)
    return np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)


def _archive_rows(content: bytes, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Accel-NASBench's files as rows with the decisions of the preset ``accel-nasbench``."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".json") else None
            if file is None:
                continue
            try:
                facts = json.load(file)
                given, row = facts["architecture"], dict(facts["metrics"])
                for number in range(7):
                    block = f"block{number}"
                    se_ratio = 0.25 if given[f"{block}_se"] else 0.0
                    layers = given[f"{block}_l"]
                    choices = (f"mbconv{given[f'{block}_e']}", given[f"{block}_k"], se_ratio, layers)
                    row |= {f"stage{number + 1}.{n}": c for n, c in zip(_BLOCK, choices, strict=True)}
                for device, measured in facts.get("platform_perf", {}).items():
                    name = device.split("_")[0] + "_mean"  # latency_zcu102 holds latency_mean and its std
                    row[device] = measured[name]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise InputError(
                    f"{path}: {member.name}: is no network of Accel-NASBench: {type(error).__name__} {error}"
                ) from None
            yield f": {member.name}", row


def _text_rows(content: bytes, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with their places, which follow the file's name in messages."""
    text = content.decode("utf-8-sig")
    return _csv_rows(text, path) if path.name.lower().endswith(".csv") else _json_rows(text, path)


def _json_rows(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines() would cut within strings
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: must be an object with a key a column")
        yield f":{number}", row


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError(f"{_repeated([key for key, _ in pairs])!r} is given twice")
    return row


def _csv_rows(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        header = reader.fieldnames or []
        if len(set(header)) < len(header):
            raise InputError(f"{path}:1: has two columns {_repeated(header)!r}")
        for row in reader:
            if None in row or None in row.values():
                raise InputError(f"{path}:{reader.line_num}: must have {len(header)} columns")
            yield f":{reader.line_num}", dict(row)
    except csv.Error as error:
        raise InputError(f"{path}:{reader.reader.line_num}: is no CSV: {error}") from None


def _repeated(names: Sequence[str]) -> str:
    return next(name for number, name in enumerate(names) if name in names[:number])


def _metric_columns(
    path: Path, rows: Sequence[tuple[str, Mapping[str, Any]]], names: list[str], accuracy: str
) -> list[str]:
    """Columns of numbers that are no decisions; the accuracy is among them."""
    known = {name: None for _, row in rows for name in row}  # in order
    others = [name for name in known if name not in names]
    for name in [*names, accuracy]:
        if name not in known:
            what = "the accuracy" if name == accuracy else "a decision of the space"
            raise InputError(f"{path}: has no column {name!r}, {what}{suggestion(name, others)}")
    for name in others:
        if _DECISION.fullmatch(name):  # networks that differ in it would be taken for one
            raise InputError(f"{path}: has a column {name!r}, which the space does not decide")
    return [
        name
        for name in others
        if name == accuracy or any(_as_number(row.get(name)) is not None for _, row in rows)
    ]


def _plain(choice: object) -> str:
    """A choice as files write it: 3, 3.0 and "3" are one."""
    number = _as_number(choice)
    if number is None:
        return str(choice)
    return str(int(number)) if number.is_integer() else repr(number)


def _as_number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _index(path: Path, place: str, row: Mapping[str, Any], name: str, choices: Mapping[str, int]) -> int:
    if name not in row:
        raise InputError(f"{path}{place}: {FieldError(name, 'is missing')}")
    index = choices.get(_plain(row[name]))
    if index is None:
        rule = f"is no choice of the space: {row[name]!r}; known: {', '.join(choices)}"
        raise InputError(f"{path}{place}: {FieldError(name, rule)}")
    return index


def _number(path: Path, place: str, row: Mapping[str, Any], name: str, needed: bool) -> float:
    number = _as_number(row.get(name))
    if needed and (number is None or not math.isfinite(number)):
        given = f"must be a number, got {row[name]!r}" if name in row else "is missing"
        raise InputError(f"{path}{place}: {FieldError(name, given)}")
    return math.nan if number is None else number
