"""Replay: a search on published results instead of training.

A network that the table holds gets the table's accuracy. For any other the accuracy is that of a regressor
fitted on the table: replay with a surrogate, not training, and measurements say which it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from search_space import Architecture, FieldError, InputError, SearchSpace
from search_space.fields import as_floats, check_bool, check_float
from trainers import boosted_trees
from trainers.boosted_trees import BoostedTrees, fit_boosted_trees
from trainers.measurement import Measurement
from trainers.table_files import Table, read_table

FEWEST = 20  # networks to fit a regressor on
_OURS = ("accuracy", "exact_accuracy", "in_table")  # of a measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """Which table is replayed, and how.

    Attributes:
        path: Accel-NASBench's archive, a ``.csv`` or a ``.jsonl`` file (see `read_table`).
        accuracy: column of the accuracy; null is ``val_top1`` of the archive, ``accuracy`` of a file.
        percent: a file's accuracies are 0 to 100.
        surrogate: networks that are not in the table get a regressor's accuracy; without it they fail.
        noise: standard deviation in accuracy points (0.01) of normal noise, drawn anew for each network and
            seed. Accel-NASBench's authors saw 0.31 between repeated trainings.
    """

    path: str
    accuracy: str | None = None
    percent: bool = False
    surrogate: bool = True
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise FieldError("path", f"must be a file, got {self.path!r}")
        if self.accuracy is not None and not isinstance(self.accuracy, str):
            raise FieldError("accuracy", f"must be a column's name, got {self.accuracy!r}")
        check_bool("percent", self.percent)
        check_bool("surrogate", self.surrogate)
        check_float("noise", self.noise, 0.0, 50.0)
        as_floats(self, "noise")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableEvaluator:
    """Looks accuracies up; see `load_table_evaluator`.

    Attributes:
        space: whose points the table's networks are.
        table: what was trained.
        trees: the regressor for everything else, if there is one.
        noise: as in `TableSource`.
    """

    space: SearchSpace
    table: Table
    trees: BoostedTrees | None
    noise: float = 0.0
    num_classes: int = 1000
    in_channels: int = 3
    _rows: dict[bytes, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for row, point in enumerate(self.table.points):
            self._rows[point.tobytes()] = row

    @property
    def description(self) -> str:
        """One line: what is replayed, and how good the regressor is on networks it has not seen."""
        known = f"replay of {len(self.table.points):,} trained networks"
        if self.trees is None:
            return f"{known}; others fail"
        quality = self.trees.quality
        return (
            f"{known}; the accuracy of others is a regressor's (on networks held out from its fit: "
            f"R2 {quality.r2:.3f}, Kendall's tau {quality.tau:.3f})"
        )

    @property
    def fingerprint(self) -> str:
        """Of the table, the regressor and the noise."""
        trees = "none" if self.trees is None else self.trees.digest()
        parts = f"table {self.table.fingerprint} {trees} {float(self.noise)!r}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def accuracies(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Accuracies (N,) without noise of points (N, decisions); NaN where nothing is known."""
        x = self.space.canonical(points)
        rows = np.array([self._rows.get(point.tobytes(), -1) for point in x], dtype=np.int64)
        found = np.where(rows >= 0, self.table.accuracy[rows], np.nan)
        if self.trees is not None and (rows < 0).any():
            found[rows < 0] = np.clip(self.trees.predict(x[rows < 0]), 0.0, 1.0)
        return found

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        """The one measurement; there are no weights.

        Raises:
            FieldError: the architecture is not in the space.
            LookupError: it is not in the table, and there is no regressor.
        """
        point = np.array(self.space.encode(architecture), dtype=np.int64)
        exact = float(self.accuracies([point])[0])
        if not np.isfinite(exact):
            raise LookupError("the network is not in the table")
        row = self._rows.get(point.tobytes())
        metrics = {"exact_accuracy": exact, "in_table": float(row is not None)}
        if row is not None:
            for name, column in self.table.metrics.items():
                if np.isfinite(column[row]):
                    metrics[f"table {name}" if name in _OURS else name] = float(column[row])
        noisy = exact + 0.01 * self.noise * _standard_normal(f"{architecture.key} {seed}")
        yield Measurement(accuracy=min(1.0, max(0.0, noisy)), metrics=metrics)


def load_table_evaluator(source: TableSource, space: SearchSpace) -> TableEvaluator:
    """Read a table, and fit its regressor or load it from the cache.

    The regressor is cached beside the table, or where that cannot be written in the user's cache folder.

    Raises:
        InputError: what `read_table` refuses; a table too small for a regressor.
    """
    path = Path(source.path)
    table = read_table(path, space, source.accuracy, source.percent)
    trees = _trees(path, table) if source.surrogate else None
    return TableEvaluator(space=space, table=table, trees=trees, noise=source.noise)


def _trees(path: Path, table: Table) -> BoostedTrees:
    if len(table.points) < FEWEST:
        raise InputError(
            f"{path}: holds {len(table.points)} networks, too few to predict others from (at least "
            f"{FEWEST}); surrogate: false looks up these alone"
        )
    made_from = f"1 {table.fingerprint} {boosted_trees.SETTINGS}"
    places = [path.with_name(f".{path.name}.trees.npz"), _cache_folder() / f"{table.fingerprint[:32]}.npz"]
    for place in places:
        trees = BoostedTrees.load(place, made_from)
        if trees is not None:
            return trees
    trees = fit_boosted_trees(table.points, table.accuracy)
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            trees.save(place, made_from)
        except OSError:
            continue
        break
    return trees


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nas-road"


def _standard_normal(text: str) -> float:
    """A draw that depends on the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return float(np.random.default_rng(seed).standard_normal())
