"""What the command line shows while a transfer runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from nas.console import ProgressBar, duration, err, printable
from results.training import TrainingRun
from results.wording import count_of, percent

if TYPE_CHECKING:
    from nas.transfer_findings import CellResult
    from results.transfer_run import Cell, TransferRun
    from trainers import Dataset, Measurement

_SILENCE_SECONDS = 30.0  # after which a training tells how far it is


class TransferProgress(ProgressBar):
    """A bar over trainings on a terminal, and a line for each that has come to an end; elsewhere besides a
    line where one takes long. See `nas.transfer_run.TransferListener`."""

    def __init__(self) -> None:
        self._done, self._total, self._here = 0, 0, 0
        self._began = self._told = time.monotonic()
        self._name = ""
        if err.is_terminal:
            self._bar = Progress(
                MofNCompleteColumn(),
                BarColumn(bar_width=10),
                TextColumn("{task.description}", markup=False),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task("opening the data", total=None)

    def on_transfer(self, run: TransferRun, done: int, total: int) -> None:
        """The transfer begins, or goes on after so many cells."""
        self._done, self._total, self._began = done, total, time.monotonic()
        begins = f"goes on after {done} of {total} trainings" if done else f"begins: {total} trainings"
        if done == total:
            begins = f"is finished: {count_of(total, 'training')}; there is nothing to go on with"
            err.print(f"{run.name} {begins}", soft_wrap=True)
            return
        err.print(f"{run.name} {begins}; in another terminal: nas status {run.name}", soft_wrap=True)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)

    def on_cell(self, cell: Cell) -> None:
        """This one is trained now."""
        self._name, self._told = cell.name, time.monotonic()
        self._describe(f"{cell.name}: opening")

    def on_begin(self, run: TrainingRun, data: Dataset, done: int) -> None:
        """A training begins or goes on: `on_cell` has said so."""

    def on_step(self, done: int, total: int, learning_rate: float) -> None:
        """So many steps of the training are done."""
        now = time.monotonic()
        if self._bar is not None:
            self._describe(f"{self._name}: {100 * done // total} %{self._left()}")
        elif now - self._told >= _SILENCE_SECONDS:
            self._told = now
            err.print(f"{self._name}: step {done:,} of {total:,}", soft_wrap=True)

    def on_epoch(self, measurement: Measurement) -> None:
        """An epoch was measured: the line at the end says the last."""

    def on_result(self, result: CellResult, done: int) -> None:
        """A training has come to an end here."""
        self._done, self._here = done, self._here + 1
        if result.error:
            text = f"failed: {printable(result.error)}"
        elif result.test_accuracy is not None:
            text = f"test accuracy {percent(result.test_accuracy)}"
        else:
            text = f"validation accuracy {percent(result.validation_accuracy)}"
        took = duration(result.seconds)
        err.print(
            f"{self._done}/{self._total} {result.cell.name}: {text}, {took}{self._left()}", soft_wrap=True
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)

    def on_wait(self, cells: Sequence[Cell]) -> None:
        """All that is left is trained by other processes."""
        what = count_of(len(cells), "training")
        err.print(f"waiting for {what} of other processes; Ctrl-C leaves them to it", soft_wrap=True)
        self._describe("waiting for other processes")

    def _left(self) -> str:
        """How long the rest takes at the rate of this process."""
        if not self._here or self._done == self._total:
            return ""
        each = (time.monotonic() - self._began) / self._here
        return f"; about {duration((self._total - self._done) * each)} left"

    def _describe(self, text: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=text)
