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
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search_space import FieldError, InputError, SearchSpace
from search_space.errors import suggestion

_BLOCK = ("op", "kernel", "se_ratio", "layers")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Trained networks.

    Attributes:
        points: (N, decisions) indices into the space's choices, each point once.
        accuracy: (N,), 0 to 1; of a point that was trained several times the mean.
        metrics: what else was measured, by name, (N,) each; NaN where a row has none.
        rows: of the file, of which some may be one point.
        fingerprint: SHA-256 of the file, the accuracy's column and its unit.
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
        raise InputError(f"{path}: no such table; docs/controllers.md says where to get Accel-NASBench's")
    archive = path.name.endswith((".tar.gz", ".tgz", ".tar"))
    column = accuracy or ("val_top1" if archive else "accuracy")
    percent = percent or archive
    try:
        content = path.read_bytes()
        rows = list(_archive_rows(content, path) if archive else _text_rows(content, path))
    except (OSError, tarfile.TarError, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text; a table is .csv, .jsonl, or an archive .tar.gz") from None
    if not rows:
        raise InputError(f"{path}: holds no networks")
    names = [decision.name for decision in space.decisions]
    columns = _metric_columns(path, rows[0][1], names, column)
    lookup = [{_plain(choice): i for i, choice in enumerate(d.choices)} for d in space.decisions]
    points, values = [], []
    for where, row in rows:
        points.append([_index(path, where, row, name, at) for name, at in zip(names, lookup, strict=True)])
        values.append([_number(path, where, row, name, name == column) for name in columns])
    numbers = np.array(values, dtype=np.float64)  # (rows, metrics)
    if percent:
        numbers[:, columns.index(column)] /= 100.0
    found = numbers[:, columns.index(column)]
    if (found < 0).any() or (found > 1).any():
        worst = float(found[np.argmax(np.abs(found - 0.5))])
        raise InputError(f"{path}: {column} must be 0 to 1, got {worst:g}; percent: true reads 0 to 100")
    unique, inverse = np.unique(np.array(points, dtype=np.int64), axis=0, return_inverse=True)
    counts = np.bincount(inverse.ravel())
    means = {
        name: np.bincount(inverse.ravel(), weights=numbers[:, i]) / counts for i, name in enumerate(columns)
    }
    digest = hashlib.sha256(content + f"{column} {percent} {names}".encode()).hexdigest()
    return Table(unique, means.pop(column), means, len(rows), digest)


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
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path}: {member.name} is no network of Accel-NASBench: {type(error).__name__} {error}"
                ) from None
            yield member.name, row


def _text_rows(content: bytes, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    text = content.decode("utf-8-sig")
    if path.suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}:{number}: is no JSON: {error}") from None
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}: must be an object with a key a column")
            yield f":{number}", row
    elif path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text))
        header = reader.fieldnames or []
        if len(set(header)) < len(header):
            raise InputError(f"{path}: has two columns of one name")
        for row in reader:
            if None in row or None in row.values():
                raise InputError(f"{path}:{reader.line_num}: must have {len(header)} columns")
            yield f":{reader.line_num}", dict(row)
    else:
        raise InputError(f"{path}: a table is .csv, .jsonl, or Accel-NASBench's .tar.gz")


def _metric_columns(path: Path, row: Mapping[str, Any], names: list[str], accuracy: str) -> list[str]:
    """Columns of numbers that are no decisions; the accuracy is among them."""
    for name in [*names, accuracy]:
        if name not in row:
            what = "the accuracy" if name == accuracy else "a decision of the space"
            others = [column for column in row if column not in names]
            near = suggestion(name, others)
            raise InputError(f"{path}: has no column {name!r}, {what}{near}")
    return [
        name
        for name, value in row.items()
        if name not in names and (name == accuracy or _as_number(value) is not None)
    ]


def _plain(choice: object) -> str:
    """A choice as files write it: 3, 3.0 and "3" are one."""
    number = _as_number(choice)
    return str(choice) if number is None else repr(number)


def _as_number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _index(path: Path, where: str, row: Mapping[str, Any], name: str, at: Mapping[str, int]) -> int:
    value = row.get(name)
    index = at.get(_plain(value))
    if index is None:
        raise InputError(
            f"{path}{_place(where)}: {FieldError(name, f'is no choice of the space: {value!r}')}"
        )
    return index


def _number(path: Path, where: str, row: Mapping[str, Any], name: str, needed: bool) -> float:
    number = _as_number(row.get(name))
    if needed and (number is None or not math.isfinite(number)):
        raise InputError(f"{path}{_place(where)}: {name} must be a number, got {row.get(name)!r}")
    return math.nan if number is None else number


def _place(where: str) -> str:
    return where if where.startswith(":") else f": {where}"
