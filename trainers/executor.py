"""Executors run candidates. They see neither the journal nor the controller, only two callables.

``next_candidate()`` gives a candidate, or None when there is none to give now; ``record(result)`` takes what
came of it. An executor asks only when it could start a candidate at once, and ends when it got None while
nothing was running: only a result can bring new candidates.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from search_space import Architecture, InputError
from trainers.measurement import Evaluator, Measurement

logger = logging.getLogger(__name__)


def _accuracy_itself(measurement: Measurement) -> float:
    return measurement.accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One architecture to evaluate.

    Attributes:
        id: of the trial it belongs to.
        architecture: what to evaluate.
        seed: of the training.
        weights_path: where the worker leaves the trained weights, if anywhere.
        score: what the candidate would be worth by a measurement; where candidates are stopped early, this is
            compared. Called in the search's process only. None is not compared, and never stopped.
    """

    id: int
    architecture: Architecture
    seed: int
    weights_path: Path | None = None
    score: Callable[[Measurement], float] | None = _accuracy_itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """News of a candidate.

    Attributes:
        id: the candidate's.
        status: ``running`` (its evaluation has begun), ``done``, ``failed`` (for a reason of its own, not
            to be tried again), ``stopped`` (early; what it measured is no final accuracy) or ``lost`` (its
            worker died; it may be tried again).
        curve: one measurement an epoch; the last is final where the status is done.
        error: one line, for failed, stopped and lost ones.
        seconds: of evaluation, in the worker.
    """

    id: int
    status: Literal["running", "done", "failed", "stopped", "lost"]
    curve: tuple[Measurement, ...] = ()
    error: str | None = None
    seconds: float = 0.0


class GpuFaultError(InputError):
    """A GPU does not work any more in this process."""


NextCandidate = Callable[[], Candidate | None]
Record = Callable[[Result], None]
Notice = Callable[[str, str], None]


class Executor(Protocol):
    """Runs candidates until none is left."""

    def run(
        self,
        evaluator: Evaluator,
        next_candidate: NextCandidate,
        record: Record,
        *,
        on_start: Callable[[int], None] = lambda workers: None,
        abort: Callable[[], bool] = lambda: False,
        notice: Notice = lambda kind, text: None,
        past: Sequence[Sequence[float]] = (),
    ) -> None:
        """Run until `next_candidate` gives None with nothing running, or `abort` says so.

        Args:
            evaluator: what measures a candidate.
            next_candidate, record: see the module.
            on_start: told once how many candidates run at a time.
            abort: when true, what runs is dropped without a result.
            notice: told of what happens besides results: ``node joined`` and ``node left`` (the node and what
                it brings), ``worker did not start`` (the node, and why). Nodes of the start are no news.
            past: scores an epoch (see `Candidate.score`) of candidates that ended in earlier sessions: early
                stopping goes on by the same rungs.

        Raises:
            Exception: what the callables raise ends the run and is raised from here.
        """


def describe(error: BaseException) -> str:
    """An exception as one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:500] + place
    return text.encode(errors="backslashreplace").decode()  # a name of a file may be no UTF-8


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineExecutor:
    """Evaluates one candidate after the other in this process: for debugging and for tables.

    Attributes:
        threads: of torch while a candidate trains; None leaves them as they are.
    """

    threads: int | None = None

    def run(
        self,
        evaluator: Evaluator,
        next_candidate: NextCandidate,
        record: Record,
        *,
        on_start: Callable[[int], None] = lambda workers: None,
        abort: Callable[[], bool] = lambda: False,
        notice: Notice = lambda kind, text: None,
        past: Sequence[Sequence[float]] = (),
    ) -> None:
        """See `Executor`; an abort is noticed between epochs, and nothing else happens here."""
        on_start(1)
        before = None if self.threads is None else _set_threads(self.threads)
        try:
            while not abort():
                candidate = next_candidate()
                if candidate is None:
                    return
                record(Result(id=candidate.id, status="running"))
                result, broken = _evaluate(evaluator, candidate, abort)
                if result is not None:
                    record(result)
                if broken:  # every candidate after this one would fail for no fault of its own
                    raise GpuFaultError("the GPU does not work any more in this process; resume the search")
        finally:
            if before is not None:
                _set_threads(before)


def _evaluate(
    evaluator: Evaluator, candidate: Candidate, abort: Callable[[], bool]
) -> tuple[Result | None, bool]:
    """What came of a candidate, None when it was dropped, and whether the GPU broke on it."""
    began, curve = time.perf_counter(), []
    try:
        epochs = evaluator.epochs(candidate.architecture, candidate.seed, candidate.weights_path)
        for measurement in epochs:
            curve.append(measurement)
            if measurement.final:
                break
            if abort():
                return None, False
    except Exception as error:  # failure is a state
        logger.debug("candidate %d failed", candidate.id, exc_info=True)
        result = Result(
            id=candidate.id,
            status="failed",
            curve=tuple(curve),
            error=describe(error),
            seconds=time.perf_counter() - began,
        )
        return result, after_failure(error)
    return finished(candidate.id, curve, time.perf_counter() - began), False


def after_failure(error: Exception) -> bool:
    """Give back the GPU memory of a failed candidate; whether the GPU broke, so that its process must end.

    A kernel that fails leaves the whole process without its GPU, and every later call fails too, in words
    that differ by library; to be out of memory does not. So the GPU is asked.
    """
    traceback.clear_frames(error.__traceback__)  # they hold the candidate's tensors
    if "torch" not in sys.modules:
        return False
    import torch

    if not torch.cuda.is_initialized():
        return isinstance(error, torch.AcceleratorError)
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return True
    return False


def finished(candidate_id: int, curve: list[Measurement], seconds: float) -> Result:
    """A done result, or a failed one where the evaluator gave nothing."""
    if not curve:
        return Result(id=candidate_id, status="failed", error="the evaluator gave no measurement")
    return Result(id=candidate_id, status="done", curve=tuple(curve), seconds=seconds)


def _set_threads(threads: int) -> int:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before


def available_cpus() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
