"""A transfer on disk: ``runs/<name>/`` with a configuration and, in ``trainings/``, a training a cell.

There is no journal in it: what each training measured is the truth (`results.training`).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from results.folders import find_folder, list_folders, open_folder
from results.run_folder import RunFolder
from results.training import TrainingRun, is_training
from search_space import InputError

TRAININGS = "trainings"
Begin = Literal["finetuned", "scratch"]
BEGINS: tuple[Begin, ...] = ("finetuned", "scratch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training of a transfer.

    Attributes:
        network, data: by their names in the configuration.
        start: from the checkpoint's weights, or from drawn ones.
        seed: of the training.
    """

    network: str
    data: str
    start: Begin
    seed: int

    @property
    def name(self) -> str:
        """Of the training's folder."""
        return f"{self.network}-{self.data}-{self.start}-{self.seed}"


@dataclass(frozen=True, slots=True)
class TransferRun(RunFolder):
    """A transfer, to read."""

    @property
    def trainings(self) -> Path:
        """The folder of the trainings."""
        return self.path / TRAININGS

    def training(self, cell: Cell) -> TrainingRun:
        """The training of a cell; its folder need not be there yet."""
        return TrainingRun(self.trainings / cell.name)

    def cells(self) -> list[Cell]:
        """What is to be trained, in order.

        Raises:
            InputError: the configuration cannot be read, or has no networks.
        """
        config = self.config()
        try:
            networks = [network["name"] for network in config["networks"]]
            data = [one["name"] for one in config["sets"]]
            seeds = int(config["seeds"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{self.config_path}: networks, sets and seeds of a transfer are missing"
            ) from None
        return cells_of(networks, data, seeds, from_scratch=config.get("scratch") is not None)

    def cell_state(self, cell: Cell, epochs: int | None = None) -> str:
        """``waiting`` where it has not begun, else as `TrainingRun.state`.

        One that was killed between its network and its last measurement is ``stopped``.

        Args:
            cell: which.
            epochs: of its recipe; None reads them in its configuration.
        """
        training = self.training(cell)
        if not is_training(training.path):
            return "waiting"
        state = training.state()
        if state != "finished":
            return state
        try:
            wanted = training.config()["recipe"]["epochs"] if epochs is None else epochs
            return state if len(training.measurements()) == wanted else "stopped"
        except (InputError, KeyError, TypeError):  # damaged: a session writes it anew, or says what is wrong
            return "stopped"

    def counts(self) -> dict[str, int]:
        """How many cells are in which state; by their folders alone, without comparing configurations.

        Raises:
            InputError: see `cells`.
        """
        return dict(Counter(self.cell_state(cell) for cell in self.cells()))


def cells_of(networks: list[str], data: list[str], seeds: int, *, from_scratch: bool) -> list[Cell]:
    """All cells, seed after seed, so that a transfer that ends early has one seed of all."""
    begins = BEGINS if from_scratch else BEGINS[:1]
    return [
        Cell(network=network, data=one, start=start, seed=seed)
        for seed, one, network, start in itertools.product(range(seeds), data, networks, begins)
    ]


def state_of(counts: Mapping[str, int]) -> str:
    """``running``, ``stopped`` (it can go on), ``failed`` (all is done, and a cell failed) or ``finished``.

    Args:
        counts: of cells by their states.
    """
    if counts.get("running"):
        return "running"
    if counts.get("waiting") or counts.get("stopped"):
        return "stopped"
    return "failed" if counts.get("failed") else "finished"


def is_transfer(path: Path) -> bool:
    """Whether a folder holds a transfer."""
    return (path / "config.yaml").is_file() and (path / TRAININGS).is_dir()


def find_transfer(name_or_path: str | Path) -> TransferRun | None:
    """A transfer by its name under ``runs/`` of the current directory, or by its path; None where there is
    none."""
    path = find_folder(name_or_path, is_transfer)
    return None if path is None else TransferRun(path)


def open_transfer(name_or_path: str | Path) -> TransferRun:
    """The same, which must be there.

    Raises:
        InputError: there is none, with the nearest name.
    """
    return TransferRun(open_folder(name_or_path, is_transfer, "transfer"))


def list_transfers() -> list[TransferRun]:
    """Every transfer under ``runs/`` of the current directory, by name."""
    return [TransferRun(path) for path in list_folders(is_transfer)]
