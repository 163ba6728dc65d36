"""TensorBoard scalars of a search: ``search/…``, ``controller/…``, and one sub-run of curves a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from results.export import file_stem
from results.trial import Trial

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class TensorBoardLog:
    """Writes what a search learns; the step is the number of results.

    Args:
        folder: for TensorBoard's ``--logdir``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = _writer(folder)

    def result(self, trial: Trial, best: Trial | None) -> None:
        """A candidate finished or failed; of a baseline only the curve is written."""
        if trial.arrival is None:
            return
        if not trial.proposed:
            self._curve(trial, self._folder / "baselines" / file_stem(trial.baseline or str(trial.id)))
            return
        step = trial.arrival
        self._writer.add_scalar("search/failed", float(trial.status == "failed"), step)
        if trial.accuracy is not None and trial.reward is not None:
            self._writer.add_scalar("search/reward", trial.reward, step)
            self._writer.add_scalar("search/accuracy", trial.accuracy, step)
            self._writer.add_scalar("search/macs", trial.macs, step)
            self._writer.add_scalar("search/params", trial.params, step)
        if best is not None and best.reward is not None:
            self._writer.add_scalar("search/best_reward", best.reward, step)
        self._curve(trial, self._folder / "candidates" / f"{trial.id:05d}")
        self._writer.flush()

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
        for name, value in diagnostics.items():
            self._writer.add_scalar(f"controller/{name}", value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def _writer(folder: Path) -> SummaryWriter:
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(folder))
