"""TensorBoard's log of a search: ``search/…``, ``controller/…``, and a sub-run a candidate.

A candidate's sub-run has its curve (``candidates/…``), what came of it (``result/…``), and its choices as
hyperparameters, so that TensorBoard's table of those has a row a candidate.
"""

from __future__ import annotations

import io
import logging
import math
import os
import shutil
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from results.export import file_stem
from results.fronts import RunFront, front_of
from results.pareto import hypervolume, pareto_front
from results.trial import Trial

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event


logger = logging.getLogger(__name__)

_RESULTS = ("accuracy", "reward", "macs", "params", "seconds")
# figures may take so many seconds of a session, and this share of its time besides
_DRAWING, _DRAWING_SHARE = 5.0, 0.05


class TensorBoardLog:
    """Writes what a search learns; the step is the number of results.

    The journal is the truth, and these are pictures of it: where they cannot be written (the disk is full),
    that is said once and the search goes on.

    Args:
        folder: for TensorBoard's ``--logdir``.
        name: of the run, for the figure's title.
        cost: ``macs``, ``params`` or a metric, of front and hypervolume.
        reference: a network of this cost counts nothing for the hypervolume; None writes none.
        figure_every: results between two figures of the front; 0 draws none.
        past: candidates of earlier sessions.
        trials: candidates and baselines as they are now, for the figure.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "",
        cost: str = "macs",
        reference: float | None = None,
        figure_every: int = 0,
        past: Sequence[Trial] = (),
        trials: Callable[[], tuple[list[Trial], list[Trial]]] | None = None,
    ) -> None:
        self._folder, self._name = folder, name
        self._events = _EventFiles(folder)
        self._warned = False
        self._diagnostics: dict[str, float] = {}
        self._tally = _Tally(cost, reference)
        for trial in past:
            self._tally.add(trial)
        self._cost, self._reference = cost, reference
        self._figure_every, self._trials = figure_every if trials is not None else 0, trials
        self._step = 0
        self._undrawn = 0  # results since the last figure
        self._measured = 0  # results of this session that it measured itself
        self._began = time.monotonic()
        self._drawing = 0.0  # seconds

    def _write(self, what: Callable[[], None]) -> None:
        """Write something, where that can be done."""
        try:
            what()
        except Exception as error:  # of the file system, or TensorFlow's own where that is installed
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            logger.warning("%s: TensorBoard's log has gaps: %s", self._folder, error)
        self._warned = True

    def result(self, trial: Trial, best: Trial | None) -> None:
        """A candidate came to its end; of a baseline only the curve is written.

        Args:
            trial: as it is now.
            best: the best observed candidate.
        """
        if trial.arrival is None:
            return
        self._step = max(self._step, trial.arrival)
        if not trial.proposed:
            self._write(lambda: self._baseline(trial))
            return
        self._tally.add(trial)
        self._measured += trial.reused is None
        self._undrawn += 1
        self._write(lambda: self._result(trial, trial.arrival or 0, best))
        if self._figure_every and self._undrawn >= self._figure_every and self._may_draw():
            self._figure()

    def _result(self, trial: Trial, step: int, best: Trial | None) -> None:
        elapsed = time.monotonic() - self._began
        scalars = {**self._tally.facts(), "candidates_per_hour": 3600.0 * self._measured / max(elapsed, 1e-3)}
        if trial.accuracy is not None and trial.reward is not None:
            scalars |= {fact: getattr(trial, fact) for fact in _RESULTS}
        if best is not None and best.reward is not None:
            scalars["best_reward"] = best.reward
        self._events.add_scalars("search", scalars, step)
        self._candidate(trial, step)

    def _candidate(self, trial: Trial, step: int) -> None:
        """The sub-run of a candidate."""
        own = _SubRun()
        own.add_curve(trial)
        if trial.accuracy is not None:
            for fact in _RESULTS:
                own.add_scalar(f"result/{fact}", getattr(trial, fact) or 0.0, step)
        own.add_choices(trial)
        own.write(self._folder / "candidates" / f"{trial.id:05d}")

    def _baseline(self, trial: Trial) -> None:
        """The sub-run of a baseline, which chose nothing."""
        own = _SubRun()
        own.add_curve(trial)
        if trial.curve:
            own.write(self._folder / "baselines" / file_stem(trial.baseline or str(trial.id)))

    def controller(self, diagnostics: Mapping[str, float], step: int) -> None:
        """What the controller says of its policy, where that has changed."""
        if dict(diagnostics) == self._diagnostics:
            return
        self._diagnostics = dict(diagnostics)
        self._write(lambda: self._events.add_scalars("controller", diagnostics, step))

    def _may_draw(self) -> bool:
        """Whether drawing leaves the time to the search: candidates may take milliseconds each."""
        elapsed = time.monotonic() - self._began
        return self._drawing <= _DRAWING + _DRAWING_SHARE * elapsed

    def _figure(self) -> None:
        """The front as it is now. What goes wrong with it does so before anything is written."""
        assert self._trials is not None
        began, self._undrawn = time.monotonic(), 0
        try:
            candidates, baselines = self._trials()
            done = [trial for trial in candidates if trial.status == "done"]
            if candidates and all(trial.cost(self._cost) is None for trial in done):
                return  # nothing to draw yet
            costs = (trial.cost(self._cost) or 0.0 for trial in candidates)
            reference = self._reference or 2.0 * max(costs, default=1.0)
            png = _pareto_png(candidates, baselines, self._cost, reference, self._name)
            self._write(lambda: self._events.add_image("search/pareto", png, self._step))
        except Exception as error:
            self._warn(error)
        finally:
            self._drawing += time.monotonic() - began

    def close(self) -> None:
        """Draw the front as it is now."""
        if self._figure_every and self._undrawn:
            self._figure()


class _Tally:
    """What the results of a search come to so far.

    Args:
        cost: ``macs``, ``params`` or a metric.
        reference: see `TensorBoardLog`.
    """

    def __init__(self, cost: str, reference: float | None) -> None:
        self._cost, self._reference = cost, reference
        self._counts = {"done": 0, "failed": 0, "stopped": 0}
        self._front = np.empty((2, 0))  # accuracies and costs

    def add(self, trial: Trial) -> None:
        """Count a candidate that has come to its end; others are ignored."""
        if trial.status not in self._counts:
            return
        self._counts[trial.status] += 1
        cost = trial.cost(self._cost)
        if trial.accuracy is not None and math.isfinite(trial.accuracy) and cost is not None:
            point = [[trial.accuracy], [cost]]
            points = np.concatenate([self._front, point], axis=1)
            self._front = points[:, pareto_front(points[0], points[1])]

    def facts(self) -> dict[str, float]:
        """Candidates that failed, and where there are any that were stopped; the hypervolume, 0 to 1."""
        facts = {"failed": float(self._counts["failed"])}
        if self._counts["stopped"]:
            facts["stopped"] = float(self._counts["stopped"])
        if self._reference is not None and self._counts["done"]:
            facts["hypervolume"] = hypervolume(self._front[0], self._front[1], 0.0, self._reference)
        return facts


class _EventFiles:
    """The events of a run: one file, and another after each failure.

    Each event is written when `add_scalars` returns. A `SummaryWriter` has a thread for that, which on a
    full disk prints its traceback into the terminal, as the next writer's does, and so on.

    Args:
        folder: of the run, as TensorBoard shows it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._size = 0  # of what is whole
        self._numbers = count()

    def add_scalars(self, group: str, scalars: Mapping[str, float], step: int) -> None:
        """Points of curves, all in one event."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=f"{group}/{name}", simple_value=value) for name, value in scalars.items()]
        self._add(Summary(value=points), step)

    def add_image(self, tag: str, png: bytes, step: int) -> None:
        """A picture."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = struct.unpack(">II", png[16:24])  # of the header
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)  # 4: RGBA
        self._add(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def _add(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        now = time.time()
        events = [Event(wall_time=now, step=step, summary=summary)]
        if self._path is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path, self._size = self._folder / _file_name(now, next(self._numbers)), 0
            events.insert(0, _first_event(now))
        content = _records(events)
        try:
            with self._path.open("ab") as file:
                file.write(content)
        except OSError:
            with suppress(OSError):
                os.truncate(self._path, self._size)
                if not self._size:
                    self._path.unlink()
            self._path = None
            raise
        self._size += len(content)


class CurveLog:
    """The curves of one training; where they cannot be written, that is said once and it goes on.

    Args:
        folder: for TensorBoard's ``--logdir``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._events, self._warned = folder, _EventFiles(folder), False

    def add(self, group: str, scalars: Mapping[str, float], step: int) -> None:
        """Points of curves, all at one step."""
        try:
            self._events.add_scalars(group, scalars, step)
        except OSError as error:
            if not self._warned:
                logger.warning("%s: TensorBoard's log has gaps: %s", self._folder, error)
            self._warned = True


def _first_event(now: float) -> Event:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=now, file_version="brain.Event:2")


def _file_name(now: float, number: int) -> str:
    """As TensorBoard wants it; it reads the files of a folder by their names."""
    return f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}.{number}"


def _records(events: Sequence[Event]) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    content = io.BytesIO()
    records = RecordWriter(content)
    for event in events:
        records.write(event.SerializeToString())
    return content.getvalue()


class _SubRun:
    """What TensorBoard shows of one trial: known at once, and written at once."""

    def __init__(self) -> None:
        self._now = time.time()
        self._events = [_first_event(self._now)]

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """A point of a curve."""
        self._add(step, tag=tag, simple_value=float(value))

    def add_curve(self, trial: Trial) -> None:
        """The measurements of a trial, under the names that all trials share."""
        for epoch, metrics in enumerate(trial.curve, start=1):
            for name, value in metrics.items():
                if name != "epoch":
                    self.add_scalar(f"candidates/{name}", value, epoch)

    def add_choices(self, trial: Trial) -> None:
        """A trial's choices as TensorBoard's hyperparameters, and how it ended.

        TensorBoard makes the table's columns from these, of all runs that it shows. The description of an
        experiment, which `SummaryWriter.add_hparams` writes besides, would hide the choices of another
        space: it takes the first that it finds.
        """
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        # stopped early it is neither: it has a curve, and no accuracy
        ends = {"done": "STATUS_SUCCESS", "failed": "STATUS_FAILURE", "stopped": "STATUS_UNKNOWN"}
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=self._now - trial.seconds)
        for name, choice in trial.choices.items():
            if isinstance(choice, bool):
                start.hparams[name].bool_value = choice
            elif isinstance(choice, int | float):
                start.hparams[name].number_value = choice
            else:
                start.hparams[name].string_value = str(choice)
        status = api_pb2.Status.Value(ends[trial.status])
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=self._now)
        self._add_session(metadata.SESSION_START_INFO_TAG, session_start_info=start)
        self._add_session(metadata.SESSION_END_INFO_TAG, session_end_info=end)

    def _add_session(self, tag: str, **content: Any) -> None:
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        data = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
        self._add(0, tag=tag, metadata=data, tensor=metadata.NULL_TENSOR)

    def _add(self, step: int, **value: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value)])
        self._events.append(Event(wall_time=self._now, step=step, summary=summary))

    def write(self, folder: Path) -> None:
        """Write it all, in the place of what is there: that is of a result which the journal has lost."""
        content = _records(self._events)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / _file_name(self._now, 0)).write_bytes(content)


def _pareto_png(
    candidates: list[Trial], baselines: list[Trial], cost: str, reference: float, name: str
) -> bytes:
    """The figure of the front, drawn in memory: no window, and no state that other threads share."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from results.figures import pareto_figure

    done = sum(trial.status == "done" for trial in candidates)
    front = front_of(candidates, reference, cost)
    run = RunFront(name=name, trials=candidates, front=front, baselines=baselines)
    figure = pareto_figure([run], f"{name}: {done} networks")
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()
