"""TensorBoard scalars of a search: ``search/…``, ``controller/…``, and one sub-run of curves a candidate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from results.export import file_stem
from results.trial import Trial

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


logger = logging.getLogger(__name__)


class TensorBoardLog:
    """Writes what a search learns; the step is the number of results.

    The journal is the truth, and these are pictures of it: where they cannot be written (the disk is full),
    that is said once and the search goes on.

    Args:
        folder: for TensorBoard's ``--logdir``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._warned = False

    def _write(self, what: Callable[[SummaryWriter], None]) -> None:
        """Write something, where that can be done; with a new writer after a failure."""
        try:
            if self._writer is None:
                self._writer = _writer(self._folder)
            what(self._writer)
        except Exception as error:  # of the file system, or TensorFlow's own where that is installed
            self._writer = None
            if not self._warned:
                logger.warning("%s: TensorBoard's log has gaps: %s", self._folder, error)
            self._warned = True

    def result(self, trial: Trial, best: Trial | None) -> None:
        """A candidate came to its end; of a baseline only the curve is written."""
        if trial.arrival is None:
            return
        self._write(lambda writer: self._result(writer, trial, trial.arrival or 0, best))

    def _result(self, writer: SummaryWriter, trial: Trial, step: int, best: Trial | None) -> None:
        if not trial.proposed:
            self._curve(trial, self._folder / "baselines" / file_stem(trial.baseline or str(trial.id)))
            return
        writer.add_scalar("search/failed", float(trial.status == "failed"), step)
        if trial.accuracy is not None and trial.reward is not None:
            writer.add_scalar("search/reward", trial.reward, step)
            writer.add_scalar("search/accuracy", trial.accuracy, step)
            writer.add_scalar("search/macs", trial.macs, step)
            writer.add_scalar("search/params", trial.params, step)
        if best is not None and best.reward is not None:
            writer.add_scalar("search/best_reward", best.reward, step)
        self._curve(trial, self._folder / "candidates" / f"{trial.id:05d}")
        writer.flush()

    def _curve(self, trial: Trial, folder: Path) -> None:
        """The measurements of one trial, under the names that all trials share."""
        if not trial.curve:
            return
        curves = _writer(folder)
        for epoch, metrics in enumerate(trial.curve, start=1):
            for name, value in metrics.items():
                if name != "epoch":
                    curves.add_scalar(f"candidates/{name}", value, epoch)
        curves.close()

    def controller(self, diagnostics: Mapping[str, float], step: int) -> None:
        """What the controller says of its policy."""

        def write(writer: SummaryWriter) -> None:
            for name, value in diagnostics.items():
                writer.add_scalar(f"controller/{name}", value, step)

        self._write(write)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._write(lambda writer: writer.close())


def _writer(folder: Path) -> SummaryWriter:
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(folder))
