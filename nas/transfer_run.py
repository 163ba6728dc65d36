"""A transfer: trained networks, each fine-tuned on each data set and trained from scratch at equal budget.

Every cell is a training of its own (`nas.train_run`), whose measurements are the truth. Several processes may
share the work: a cell that another one trains is left to it, and taken over where that one died.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from nas.interrupts import Interrupts, handled_interrupts
from nas.train_config import TrainConfig
from nas.train_data import limited
from nas.train_run import MESSAGES, TrainListener, check_training, device_of, train_network
from nas.transfer_config import TransferConfig, load_transfer_config
from nas.transfer_findings import CellResult, TransferRow, result_of, rows_of
from nas.transfer_setup import OpenData, cells_for, joined, training_config, transfer_config
from results import run_path, write_whole
from results.run import InUseError
from results.training import create_folder, is_training
from results.transfer_run import TRAININGS, Cell, TransferRun, open_transfer
from search_space import FieldError, InputError

_LOOK = 1.0  # seconds between two looks at what other processes train
Outcome = Literal["finished", "failed", "interrupted"]


class TransferListener(TrainListener, Protocol):
    """Who is told how a transfer goes; of each training as of any."""

    def on_transfer(self, run: TransferRun, done: int, total: int) -> None:
        """It begins, or goes on after so many cells."""

    def on_cell(self, cell: Cell) -> None:
        """This one is trained now."""

    def on_result(self, result: CellResult, done: int) -> None:
        """One has come to an end here; so many of all have, other processes' too."""

    def on_wait(self, cells: Sequence[Cell]) -> None:
        """All that is left is trained by other processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferEnd:
    """How a session ended.

    Attributes:
        run: its folder.
        outcome: ``finished``, ``failed`` (all is done, and a training failed) or ``interrupted``.
        cells: what came of each, in order.
        table: a row for a network on a data set.
    """

    run: TransferRun
    outcome: Outcome
    cells: tuple[CellResult, ...]
    table: tuple[TransferRow, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many cells are in which state."""
        return dict(Counter(cell.state for cell in self.cells))


def transfer(
    checkpoints: Sequence[str | Path],
    data: Sequence[str | Path],
    config: Path | str,
    *,
    overrides: Sequence[str] | None = None,
    run: str | None = None,
    from_scratch: bool = True,
    device: str = "auto",
    listener: TransferListener | None = None,
) -> TransferEnd:
    """Take trained networks to other data; where the run is there already, go on with it.

    Args:
        checkpoints: whose weights, as in ``nas finetune``.
        data: folders of ``nas data prepare``, or names of `trainers.DATASETS`.
        config: a YAML file, such as configs/transfer.yaml.
        overrides: ``key=value`` with dotted keys.
        run: its name; else the file's, or the file's stem.
        from_scratch: whether the same networks are trained from drawn weights too.
        device: ``cpu``, ``cuda``, or ``auto``: a GPU when there is one.
        listener: who is told.

    Raises:
        InputError: see `run_transfer`.
    """
    settings = transfer_config(checkpoints, data, config, overrides, run, from_scratch=from_scratch)
    return run_transfer(settings, device=device, listener=listener)


def resumed_transfer(name: str, overrides: Sequence[str] = ()) -> TransferConfig:
    """The configuration of a run that is gone on with.

    Args:
        name: of it.
        overrides: ``key=value`` typed over it.

    Raises:
        InputError: there is none of that name here, or it cannot be read.
    """
    found = open_transfer(name)
    config = load_transfer_config(found.config_path, overrides, found.name)
    if found.path.resolve() != run_path(config.name).resolve():
        raise InputError(f"{name}: is not under runs/ of this directory; go on with it from its own")
    return config


def run_transfer(
    config: TransferConfig, *, device: str = "auto", listener: TransferListener | None = None
) -> TransferEnd:
    """Train the cells of a transfer as far as they are not trained yet.

    Args:
        config: see `transfer_config`. Where its run is there it goes on, and more seeds may be asked for.
        device, listener: see `transfer`.

    Raises:
        InputError: the run holds something else, or was made with another configuration; data, device or
            weights cannot be used.
        OSError: a checkpoint cannot be written.
    """
    if not config.networks or not config.sets:
        raise InputError("a transfer needs networks and data sets; see nas.transfer_setup.transfer_config")
    there = run_path(config.name).exists()
    config = joined(config) if there else config
    images = OpenData(config)
    _check(config, images, device)
    run = _begun(config)
    with handled_interrupts(MESSAGES, raises=True) as interrupts:
        session = _Session(config, run, images, device, listener, interrupts)
        interrupted = not session.train()
    cells = cell_results(config, run)
    failed = any(cell.state == "failed" for cell in cells)
    outcome: Outcome = "interrupted" if interrupted else "failed" if failed else "finished"
    return TransferEnd(run=run, outcome=outcome, cells=cells, table=rows_of(config, cells))


def _begun(config: TransferConfig) -> TransferRun:
    """The run's folder, with the configuration in it as it is now."""
    text = config.to_yaml()
    path = run_path(config.name)
    if not path.exists():
        try:
            return TransferRun(create_folder(config.name, text, TRAININGS))
        except InputError:
            if not path.exists():
                raise
            joined(config)  # somebody was faster; with the same?
    run = TransferRun(path)
    if run.config_path.read_text(encoding="utf-8") != text:
        write_whole(run.config_path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
    return run


def _check(config: TransferConfig, images: OpenData, device: str) -> None:
    """Refuse before the first training what the last one would be refused for."""
    device_of(device)
    for cell in cells_for(config):
        if cell.seed:
            continue
        training = training_config(config, cell)
        network, data = config.network(cell.network), config.set(cell.data)
        channels = {network.in_channels, data.in_channels}
        if cell.start == "finetuned" and len(channels) == 2 and 1 not in channels:
            raise InputError(
                f"{cell.network}: takes images of {network.in_channels} channels, and {cell.data} has "
                f"{data.in_channels}"
            )
        opened = images.images(training, cell.data)
        try:
            check_training(training, limited(opened.data, training.subset), opened.test, device)
        except (FieldError, InputError) as error:
            raise InputError(f"{cell.network} on {cell.data}: {error}") from None


class _Session:
    """One process's share of the work."""

    def __init__(
        self,
        config: TransferConfig,
        run: TransferRun,
        images: OpenData,
        device: str,
        listener: TransferListener | None,
        interrupts: Interrupts,
    ) -> None:
        self.config, self.run, self.images, self.device = config, run, images, device
        self.listener, self.interrupts = listener, interrupts
        self._cells = cells_for(config)
        self._tried: set[Cell] = set()  # in this session, which tries again what failed for want of memory

    def train(self) -> bool:
        """Train all that nobody else trains, until nothing is left; false where the user stopped it."""
        left, total = self._left(), len(self._cells)
        if self.listener is not None:
            self.listener.on_transfer(self.run, total - len(left), total)
        waiting = False
        try:
            while left:
                trained = False
                for cell in left:
                    if self.interrupts.draining:
                        return False
                    trained |= self._train(cell)
                if self.interrupts.draining:
                    return False
                left = self._left()
                if left and not trained:
                    if not waiting and self.listener is not None:
                        self.listener.on_wait(left)
                    waiting = True
                    time.sleep(_LOOK)
        except KeyboardInterrupt:  # the second; what is not on disk is trained again
            return False
        return True

    def _left(self) -> list[Cell]:
        """The cells without a result."""
        return [cell for cell in self._cells if not self._over(self._result(cell))]

    def _result(self, cell: Cell) -> CellResult:
        return result_of(self.run, cell, training_config(self.config, cell))

    def _over(self, result: CellResult) -> bool:
        """Whether nothing is left to do for this session."""
        return result.over and (not result.again or result.cell in self._tried)

    def _train(self, cell: Cell) -> bool:
        """Train one, unless another process has done so or does so now; whether anything was done."""
        before = self._result(cell)
        if self._over(before) or before.state == "running":
            return False
        self._tried.add(cell)
        config = training_config(self.config, cell)
        if self.listener is not None:
            self.listener.on_cell(cell)
        try:
            self._train_training(config, cell)
        except InUseError:
            return False
        result = self._result(cell)
        if self.listener is not None and result.over:
            self.listener.on_result(result, len(self._cells) - len(self._left()))
        return True

    def _train_training(self, config: TrainConfig, cell: Cell) -> None:
        import torch

        from trainers.proxy import TrainingDivergedError

        training = self.run.training(cell)
        there = is_training(training.path)
        try:
            train_network(
                config,
                resume=there,
                device=self.device,
                listener=self.listener,
                images=self.images.images(config, cell.data),
                folder=self.run.trainings,
                interrupts=self.interrupts,
            )
        except (TrainingDivergedError, torch.OutOfMemoryError):  # the training says so itself
            pass
        except InputError:
            if there or not is_training(training.path):
                raise
            raise InUseError(f"{training.path}: somebody was faster") from None


def cell_results(config: TransferConfig, run: TransferRun) -> tuple[CellResult, ...]:
    """What came of every cell so far."""
    return tuple(result_of(run, cell, training_config(config, cell)) for cell in cells_for(config))


def transfer_table(run: str | Path | TransferRun) -> TransferEnd:
    """What has come of a transfer so far, also while it runs.

    Args:
        run: a name under ``runs/``, or a path.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    found = run if isinstance(run, TransferRun) else open_transfer(run)
    found.cells()  # refuses a configuration without networks
    config = load_transfer_config(found.config_path, name=found.name)
    cells = cell_results(config, found)
    over = all(cell.over for cell in cells)
    failed = any(cell.state == "failed" for cell in cells)
    outcome: Outcome = "interrupted" if not over else "failed" if failed else "finished"
    return TransferEnd(run=found, outcome=outcome, cells=cells, table=rows_of(config, cells))
