"""A small space of 72 networks, and tables of them."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

from search_space import StageSpace
from trainers import TableEvaluator, TableSource, load_table_evaluator

SPACE: dict[str, Any] = {
    "name": "small",
    "image_size": 16,
    "stem": {"channels": 8},
    "head": {"channels": 16},
    "stages": [
        {"channels": 8, "op": "mbconv2", "stride": 2},
        {"channels": 16, "op": "mbconv3", "stride": 2, "choices": {"se_ratio": [0, 0.25]}},
    ],
    "choices": {"kernel": [3, 5, 7], "layers": [0, 1]},
}


def accuracy_of(point: tuple[int, ...]) -> float:
    """Larger indices are better, the first most; all different."""
    return round(0.5 + sum(index / 2 ** (number + 4) for number, index in enumerate(point)), 6)


def rows_of(space: StageSpace) -> list[dict[str, Any]]:
    """One row a network, in the order of the points."""
    names = [decision.name for decision in space.decisions]
    points = itertools.product(*(range(len(decision.choices)) for decision in space.decisions))
    return [{**dict(zip(names, space.choices(p), strict=True)), "accuracy": accuracy_of(p)} for p in points]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as a CSV file; the path."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSON lines; the path."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def load(path: Path, space: StageSpace, **values: Any) -> TableEvaluator:
    return load_table_evaluator(TableSource(path=str(path), **values), space)


def accuracy(evaluator: TableEvaluator, network: Any, seed: int = 0) -> float:
    (measured,) = evaluator.epochs(network, seed)
    return measured.accuracy
