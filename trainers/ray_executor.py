"""Ray Tune as the executor. Ray is imported when a run begins, not before.

What Tune is used for: processes, resources, trials. What it is not: it never logs, never snapshots and never
restores, because the journal of the search is the only truth (``Tuner.restore`` loses what finished since
its last snapshot). Traps that shaped this file, all of Ray 2.60:

- ``Tuner()`` pickles searcher, callbacks and stopper for a restore we never make: `_Live` pickles nothing.
- An exception in a trainable costs the worker: candidates' failures are caught and reported as results.
- With reused workers a finished trial's worker takes the queued trial and cancels the worker that was
  starting for it; so the searcher holds candidates back by its own count of free slots.
- ``FINISHED`` is final: it is given only when nothing is open, since a lost candidate may come again.
- A trial can end without `on_trial_complete`: `_Hooks.on_step_end` sweeps.
- Tune has no time limit a trial: a C timer (`faulthandler`) ends a hanging worker even with the GIL held.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from search_space import InputError
from trainers.executor import Candidate, NextCandidate, Record, Result, available_cpus
from trainers.measurement import Evaluator
from trainers.ray_trainable import CandidateTrainable, candidate_to_config, result_from_json

EARLY_DEATHS = 4  # in a row, and as many as there are workers: then workers cannot start at all


class WorkersDoNotStartError(InputError):
    """Workers die before they begin: an evaluator that cannot be imported there, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayExecutor:
    """Runs candidates as Ray Tune trials on reused workers.

    Attributes:
        scratch: a folder for Tune's own files; wiped before and after.
        slots: workers at a time on a private local instance; None fits as many as the machine holds.
        cpus: processors, and torch threads, a worker.
        gpus: GPUs a worker, which may be a fraction; None takes one where the machine has any.
        time_limit: seconds a candidate may take; None is no limit.
    """

    scratch: Path
    slots: int | None = None
    cpus: int = 1
    gpus: float | None = None
    time_limit: float | None = None

    def capacity(self) -> int:
        """Candidates that run at a time on the nodes there are now."""
        needs = {"CPU": float(self.cpus), "GPU": self._gpus_per_worker()}
        fits = [
            min(int(node["Resources"].get(kind, 0) / need) for kind, need in needs.items() if need)
            for node in ray.nodes()
            if node["Alive"]
        ]
        return sum(fits) if self.slots is None else min(self.slots, sum(fits))

    def _gpus_per_worker(self) -> float:
        if self.gpus is not None:
            return self.gpus
        return 1.0 if any(node["Resources"].get("GPU", 0) for node in ray.nodes()) else 0.0

    def run(
        self,
        evaluator: Evaluator,
        next_candidate: NextCandidate,
        record: Record,
        *,
        on_start: Callable[[int], None] = lambda workers: None,
        abort: Callable[[], bool] = lambda: False,
    ) -> None:
        """See `Executor`; an abort is noticed within a step of Tune's loop."""
        with self._ray():
            on_start(self.capacity())
            searcher = _Searcher(self, next_candidate, record, abort)
            trainable = tune.with_resources(
                tune.with_parameters(CandidateTrainable, evaluator=evaluator),
                {"cpu": self.cpus, "gpu": self._gpus_per_worker()},
            )
            shutil.rmtree(self.scratch, ignore_errors=True)
            try:
                tune.Tuner(
                    trainable,
                    tune_config=tune.TuneConfig(
                        search_alg=searcher,
                        num_samples=-1,
                        reuse_actors=True,
                        trial_dirname_creator=lambda trial: trial.trial_id,
                    ),
                    run_config=tune.RunConfig(
                        name="tune",
                        storage_path=str(self.scratch.absolute()),
                        verbose=0,
                        log_to_file=False,
                        callbacks=[_Hooks(searcher)],
                        stop=_Stop(searcher),
                        failure_config=tune.FailureConfig(max_failures=0),
                        checkpoint_config=tune.CheckpointConfig(
                            checkpoint_frequency=0, checkpoint_at_end=False
                        ),
                    ),
                ).fit()
            finally:
                shutil.rmtree(self.scratch, ignore_errors=True)
            if searcher.error is not None:
                raise searcher.error

    @contextmanager
    def _ray(self) -> Iterator[None]:
        """A private local Ray instance, unless one is connected already."""
        if ray.is_initialized():
            yield
            return
        processors = available_cpus()
        if self.slots is not None and self.slots * self.cpus > 2 * processors:
            raise InputError(
                f"executor.workers: {self.slots} workers of {self.cpus} are more than twice the {processors} "
                "processors of this machine"
            )
        for name in ("ray", "ray.tune", "ray._private"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        # Ray takes over SIGTERM, and would end this process in the middle of things
        main = threading.current_thread() is threading.main_thread()
        handlers = [(n, signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)] if main else []
        ray.init(
            address="local",
            num_cpus=None if self.slots is None else self.slots * self.cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            object_store_memory=512 * 2**20,
        )
        for number, handler in handlers:
            signal.signal(number, handler)
        try:
            if self.capacity() == 0:
                has = ray.cluster_resources()
                raise InputError(
                    f"executor: a worker wants {self.cpus} processors and {self._gpus_per_worker():g} GPUs, "
                    f"this machine has {has.get('CPU', 0):g} and {has.get('GPU', 0):g}"
                )
            yield
        finally:
            ray.shutdown()


class _Live:
    """An object that Tune may pickle and copy at will: nothing of it is saved, it stays itself."""

    def __reduce__(self) -> Any:
        return (object, ())

    def __deepcopy__(self, memo: object) -> Any:
        return self


class _Searcher(_Live, Searcher):  # type: ignore[misc]
    """Gives Tune the candidates of a search, and the search what Tune reports."""

    def __init__(
        self, executor: RayExecutor, next_candidate: NextCandidate, record: Record, abort: Callable[[], bool]
    ) -> None:
        super().__init__(metric="accuracy", mode="max")
        self._executor, self._next, self._record, self._abort = executor, next_candidate, record, abort
        self._open: dict[str, Candidate] = {}
        self._began: dict[str, float] = {}
        self._capacity, self._capacity_read = 0, float("-inf")
        self._early_deaths = 0
        self.error: BaseException | None = None

    @property
    def stopped(self) -> bool:
        """Whether the run is to end now."""
        return self.error is not None or self._abort()

    def is_open(self, trial_id: str) -> bool:
        """Whether this trial still owes its end."""
        return trial_id in self._open

    def _free_slot(self) -> bool:
        if time.monotonic() - self._capacity_read > 1.0:  # nodes come and go
            self._capacity_read, self._capacity = time.monotonic(), self._executor.capacity()
        return len(self._open) < self._capacity

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Tune wants a trial: its config, None to ask again, or the end."""
        if self.stopped:
            return Searcher.FINISHED
        if not self._free_slot():
            return None
        try:
            candidate = self._next()
        except BaseException as error:
            self.error = error
            return Searcher.FINISHED
        if candidate is None:
            return None if self._open else Searcher.FINISHED
        self._open[trial_id] = candidate
        return candidate_to_config(candidate, self._executor.cpus, self._executor.time_limit)

    def on_started(self, trial_id: str) -> None:
        """The candidate really runs now."""
        if trial_id in self._open:
            self._began[trial_id] = time.monotonic()
            self._tell(Result(id=self._open[trial_id].id, status="running"))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch ended; the last one brings the whole curve."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial ended, one way or another."""
        candidate = self._open.pop(trial_id, None)
        began = self._began.pop(trial_id, None)
        if candidate is None or self.error is not None:
            return
        if self._abort() and (error or not result or not result.get("outcome")):
            return
        if not error and result and result.get("outcome"):
            self._early_deaths = 0
            self._tell(result_from_json(candidate.id, result["outcome"]))
        elif began is None:  # the worker died before the candidate began: not the candidate's fault
            self._early_deaths += 1
            if self._early_deaths >= EARLY_DEATHS + self._capacity:
                self.error = WorkersDoNotStartError(f"{self._early_deaths} workers in a row did not start")
            self._tell(Result(id=candidate.id, status="lost", error="its worker did not start"))
        else:
            seconds, limit = time.monotonic() - began, self._executor.time_limit
            if limit is not None and seconds >= limit:
                why = f"took longer than the limit of {limit:g} s"
                self._tell(Result(id=candidate.id, status="failed", error=why, seconds=seconds))
            else:
                self._tell(Result(id=candidate.id, status="lost", error="its worker died", seconds=seconds))

    def on_death(self, reason: str) -> None:
        """Why a worker died, in Ray's words; the last line says it."""
        lines = [line.strip() for line in reason.splitlines() if line.strip()]
        if lines and isinstance(self.error, WorkersDoNotStartError):
            self.error = WorkersDoNotStartError(f"{str(self.error).partition(':')[0]}: {lines[-1]}")

    def _tell(self, result: Result) -> None:
        try:
            self._record(result)
        except BaseException as error:
            self.error = error

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Never."""
        raise RuntimeError("a search resumes from its journal, not from Tune")

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the journal is the truth."""


class _Hooks(_Live, tune.Callback):  # type: ignore[misc]
    def __init__(self, searcher: _Searcher) -> None:
        self._searcher = searcher
        self._trials: dict[str, Any] = {}  # those that owe their end
        self._seen = 0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._searcher.on_started(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        file = trial.error_file  # local; Trial.get_error reads the copy in storage, which comes later
        if file and Path(file).is_file():
            self._searcher.on_death(Path(file).read_text(encoding="utf-8", errors="replace"))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._trials |= {trial.trial_id: trial for trial in trials[self._seen :]}
        self._seen = len(trials)
        for trial_id, trial in list(self._trials.items()):
            if not trial.is_finished():
                continue
            del self._trials[trial_id]
            if self._searcher.is_open(trial_id):
                self._searcher.on_trial_complete(trial_id, error=True)


class _Stop(_Live, tune.Stopper):  # type: ignore[misc]
    def __init__(self, searcher: _Searcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._searcher.stopped
