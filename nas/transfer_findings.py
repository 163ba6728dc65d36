"""What a transfer found: accuracies of its cells, and a row for every network on every data set.

A mean over seeds has Student's 95 % interval of the mean; a single training has Wilson's over the images,
which is another thing: it says nothing of other seeds. Differences are taken seed by seed, since both ways of
a seed see the images in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from nas.finalists_statistics import Mean
from nas.repeated import Margin
from nas.train_config import TrainConfig, changed_fields, load_train_config
from nas.transfer_config import TransferConfig, TransferData, recipe_of
from results.transfer_run import BEGINS, Begin, Cell, TransferRun
from search_space import InputError, cost
from trainers.evaluation import wilson_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What came of a cell.

    Attributes:
        cell: which.
        state: ``waiting``, ``running``, ``stopped``, ``failed`` or ``finished``.
        test_accuracy, validation_accuracy: after the last epoch, 0 to 1; None where it has not finished, and
            of the former where there are no test images.
        seconds: of training, all sessions; None before the first epoch.
        error: why it failed; empty where it did not.
        again: whether it failed for want of memory, so that the next session tries again.
    """

    cell: Cell
    state: str
    test_accuracy: float | None = None
    validation_accuracy: float | None = None
    seconds: float | None = None
    error: str = ""
    again: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in ("finished", "failed")

    def accuracy(self, part: Literal["test", "validation"]) -> float | None:
        """Of a part."""
        return self.test_accuracy if part == "test" else self.validation_accuracy

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        cell = self.cell
        return {
            "network": cell.network,
            "data": cell.data,
            "start": cell.start,
            "seed": cell.seed,
            "test_accuracy": self.test_accuracy,
            "validation_accuracy": self.validation_accuracy,
            "seconds": self.seconds,
            "state": self.state,
            "error": self.error or None,
        }


def result_of(run: TransferRun, cell: Cell, config: TrainConfig) -> CellResult:
    """What came of a cell, by its training.

    Args:
        run: which has it.
        cell: which.
        config: as the transfer trains it; what was trained otherwise is a failure, and no number.
    """
    state, training = run.cell_state(cell, config.recipe.epochs), run.training(cell)
    if state == "waiting":
        return CellResult(cell=cell, state=state)
    rows: list[dict[str, float]] = []
    with suppress(InputError):  # a damaged file is written anew from the checkpoint
        rows = training.measurements()
    seconds = rows[-1].get("train_seconds") if rows else None
    if state == "failed":
        why = training.failure() or {}
        error, again = str(why.get("error", "nobody knows why")), bool(why.get("again"))
        return CellResult(cell=cell, state=state, seconds=seconds, error=error, again=again)
    if state != "finished":
        return CellResult(cell=cell, state=state, seconds=seconds)
    other = _trained_otherwise(training.config_path, config)
    if other:
        return CellResult(cell=cell, state="failed", seconds=seconds, error=other)
    return CellResult(
        cell=cell,
        state=state,
        test_accuracy=rows[-1].get("test_accuracy"),
        validation_accuracy=rows[-1]["accuracy"],
        seconds=seconds,
    )


def _trained_otherwise(path: Path, config: TrainConfig) -> str:
    """In what a finished training's configuration is not the transfer's; empty where it is."""
    try:
        changed = changed_fields(config, _trained_as(path, path.stat().st_mtime_ns))
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    except InputError as error:
        return str(error)
    if not changed:
        return ""
    what = f"was trained with another configuration: {', '.join(changed)}"
    return f"{what}; remove {path.parent} to train it again"


@lru_cache(maxsize=4096)
def _trained_as(path: Path, changed: int) -> TrainConfig:
    """A training's configuration; kept by when it changed, since all cells are looked at again and again."""
    return load_train_config(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The accuracy of a network on a data set, one way.

    Attributes:
        values: of its trainings by seed, 0 to 1, at least one.
        images: that each was measured on.
    """

    values: tuple[float, ...]
    images: int

    @property
    def mean(self) -> float:
        """Over seeds."""
        return Mean(values=self.values).value

    @property
    def interval(self) -> tuple[float, float] | None:
        """At 95 %, see the module; None where all of several trainings came to the same."""
        if len(self.values) == 1:
            return wilson_interval(round(self.mean * self.images), self.images)
        its = Mean(values=self.values)
        if its.equal or its.error is None:
            return None
        return its.value - its.error, its.value + its.error

    @property
    def over(self) -> Literal["seeds", "images"]:
        """What the interval is about."""
        return "images" if len(self.values) == 1 else "seeds"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        interval = self.interval
        return {
            "mean": self.mean,
            "interval": None if interval is None else list(interval),
            "interval_over": self.over,
            "n": len(self.values),
            "accuracies": list(self.values),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRow:
    """A network on a data set.

    Attributes:
        network, data: their names.
        part: of the data that accuracies are of.
        finetuned, scratch: None before any training has a result, or where it is not asked for.
        difference: fine-tuned minus scratch, over the seeds that both have; None where there is none.
        pairs: the seeds that both have.
        params, macs: of the network with this number of classes and channels, at the recipe's image size.
        failed: trainings that failed.
        wanted: trainings a way.
    """

    network: str
    data: str
    part: Literal["test", "validation"]
    finetuned: Score | None
    scratch: Score | None
    difference: Margin | None
    pairs: int
    params: int
    macs: int
    failed: int
    wanted: int

    def score(self, start: Begin) -> Score | None:
        """One way."""
        return self.finetuned if start == "finetuned" else self.scratch

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        scores = {start: self.score(start) for start in BEGINS}
        return {
            "network": self.network,
            "data": self.data,
            "part": self.part,
            **{start: None if score is None else score.to_json() for start, score in scores.items()},
            "difference": None if self.difference is None else self.difference.to_json(),
            "pairs": self.pairs,
            "params": self.params,
            "macs": self.macs,
            "failed": self.failed,
        }


def rows_of(config: TransferConfig, cells: Sequence[CellResult]) -> tuple[TransferRow, ...]:
    """The table: data set after data set, networks in the order in which they were given."""
    return tuple(
        _row(config, data, network.name, cells) for data in config.sets for network in config.networks
    )


def _row(
    config: TransferConfig, data: TransferData, network: str, cells: Sequence[CellResult]
) -> TransferRow:
    its = [result for result in cells if (result.cell.network, result.cell.data) == (network, data.name)]
    known: dict[Begin, dict[int, float]] = {start: {} for start in BEGINS}
    for result in its:
        accuracy = result.accuracy(data.part)
        if accuracy is not None:
            known[result.cell.start][result.cell.seed] = accuracy
    architecture = config.network(network).architecture
    assert architecture is not None
    built = recipe_of(config, data, "finetuned").network(architecture)
    macs, params = cost(built, data.num_classes, data.in_channels)
    scores = {
        start: Score(values=tuple(values[seed] for seed in sorted(values)), images=data.images)
        for start, values in known.items()
        if values
    }
    return TransferRow(
        network=network,
        data=data.name,
        part=data.part,
        finetuned=scores.get("finetuned"),
        scratch=scores.get("scratch"),
        difference=paired(known["finetuned"], known["scratch"]),
        pairs=len(known["finetuned"].keys() & known["scratch"].keys()),
        params=params,
        macs=macs,
        failed=sum(result.state == "failed" for result in its),
        wanted=config.seeds,
    )


def paired(one: dict[int, float], other: dict[int, float]) -> Margin | None:
    """The mean difference over the seeds that both have, with Student's 95 % interval.

    Args:
        one, other: accuracies by seed.

    Returns:
        None without a common seed; without an interval of one seed, and where all differences are equal,
        which is no measure of their noise.
    """
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    # rounded, since equal differences of counts are not equal floats: 151/297 - 150/297, 271/297 - 270/297
    its = Mean(values=tuple(round(one[seed] - other[seed], 12) for seed in seeds))
    if its.equal or its.error is None:
        return Margin(value=its.value, low=None, high=None)
    return Margin(value=its.value, low=its.value - its.error, high=its.value + its.error)
