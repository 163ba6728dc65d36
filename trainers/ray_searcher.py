"""How Tune and a search talk: Tune asks for trials and tells of their ends, the search gives candidates and
hears results. The traps are in `trainers.ray_executor`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from search_space import InputError
from trainers.executor import Candidate, NextCandidate, Notice, Record, Result
from trainers.measurement import Measurement
from trainers.ray_nodes import Nodes
from trainers.ray_trainable import candidate_to_config, measured, result_from_json

logger = logging.getLogger(__name__)

WEIGHTS_SECONDS = 120.0  # that the weights of a network may take from another machine
_NODE_DIED = "its node has died"  # in Ray's words
EARLY_DEATHS = 4  # in a row, and as many as there are workers: then workers cannot start at all


class WorkersDoNotStartError(InputError):
    """Workers die before they begin: an evaluator that cannot be imported there, say."""


class Live:
    """An object that Tune may pickle and copy at will: nothing of it is saved, it stays itself."""

    def __reduce__(self) -> Any:
        return (object, ())

    def __deepcopy__(self, memo: object) -> Any:
        return self


class CandidateSearcher(Live, Searcher):  # type: ignore[misc]
    """Gives Tune the candidates of a search, and the search what Tune reports."""

    def __init__(
        self,
        next_candidate: NextCandidate,
        record: Record,
        abort: Callable[[], bool],
        notice: Notice,
        nodes: Nodes,
        *,
        threads: int,
        time_limit: float | None,
    ) -> None:
        super().__init__(metric="accuracy", mode="max")
        self._next, self._record, self._abort, self._notice = next_candidate, record, abort, notice
        self._nodes, self._threads, self._time_limit = nodes, threads, time_limit
        self._open: dict[str, Candidate] = {}
        self._began: dict[str, float] = {}
        self._early_deaths = 0
        self._curves: dict[str, list[Measurement]] = {}
        self._seconds: dict[str, float] = {}
        self._stopped: set[str] = set()  # early, by a scheduler
        self._unexplained: set[str] = set()  # trials whose worker did not start
        self._late: dict[str, Result] = {}  # whose worker ended when their time was up, or later
        self.error: BaseException | None = None

    @property
    def stopped(self) -> bool:
        """Whether the run is to end now."""
        return self.error is not None or self._abort()

    def is_open(self, trial_id: str) -> bool:
        """Whether this trial still owes its end."""
        return trial_id in self._open

    def look_at_nodes(self) -> None:
        """Nodes come and go."""
        try:
            self._nodes.look()
        except BaseException as error:
            self.error = self.error or error

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Tune wants a trial: its config, None to ask again, or the end."""
        self.look_at_nodes()  # Tune makes no steps while it waits for a first trial
        if self.stopped:
            return Searcher.FINISHED
        if len(self._open) >= self._nodes.capacity:
            return None
        try:
            candidate = self._next()
        except BaseException as error:
            self.error = error
            return Searcher.FINISHED
        if candidate is None:
            return None if self._open else Searcher.FINISHED
        self._open[trial_id] = candidate
        return candidate_to_config(candidate, self._threads, self._time_limit)

    def on_started(self, trial_id: str) -> None:
        """The candidate really runs now."""
        if trial_id in self._open:
            self._began[trial_id] = time.monotonic()
            self._tell(Result(id=self._open[trial_id].id, status="running"))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch ended; the last one brings the whole curve."""

    def score(self, trial_id: str, result: dict[str, Any]) -> float | None:
        """What the candidate would be worth by the measurement of this epoch.

        Returns:
            None where it is not compared, or its report carries no measurement.
        """
        candidate = self._open.get(trial_id)
        if candidate is None or candidate.score is None or not result.get("epoch"):
            return None
        try:
            return candidate.score(measured(result["epoch"])[0])
        except BaseException as error:
            self.error = self.error or error
            return None

    def on_epoch(self, trial_id: str, report: str) -> None:
        """An epoch was measured."""
        if trial_id in self._open:
            measurement, self._seconds[trial_id] = measured(report)
            self._curves.setdefault(trial_id, []).append(measurement)

    def on_stop(self, trial_id: str) -> None:
        """The trial is stopped early: what it has measured is all there will be."""
        self._stopped.add(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial ended, one way or another."""
        candidate = self._open.pop(trial_id, None)
        began = self._began.pop(trial_id, None)
        curve, spent = tuple(self._curves.pop(trial_id, ())), self._seconds.pop(trial_id, 0.0)
        stopped = trial_id in self._stopped
        self._stopped.discard(trial_id)
        if candidate is None or self.error is not None:
            return
        if self._abort() and (error or not result or not result.get("outcome")):
            return
        if not error and result and result.get("outcome"):
            self._early_deaths = 0
            self._tell(result_from_json(candidate.id, result["outcome"]))
        elif stopped and not error and result:
            why = f"stopped early at epoch {len(curve)}"
            self._early_deaths = 0
            self._tell(Result(id=candidate.id, status="stopped", curve=curve, error=why, seconds=spent))
        elif began is None:  # the worker died before the candidate began: not the candidate's fault
            self._early_deaths += 1
            self._unexplained.add(trial_id)
            if self._early_deaths >= EARLY_DEATHS + self._nodes.capacity:
                self.error = WorkersDoNotStartError(f"{self._early_deaths} workers in a row did not start")
            self._tell(Result(id=candidate.id, status="lost", error="its worker did not start"))
        else:
            seconds, limit = time.monotonic() - began, self._time_limit
            if limit is not None and seconds >= limit:
                why = f"took longer than the limit of {limit:g} s"
                late = Result(id=candidate.id, status="failed", error=why, seconds=seconds)
                self._late[trial_id] = late  # `on_death` follows, and may say that it was not the timer
            else:
                self._tell(Result(id=candidate.id, status="lost", error="its worker died", seconds=seconds))

    def on_death(self, trial_id: str, reason: str) -> None:
        """Why a worker died, in Ray's words; the last line says it. Comes after the end of its trial."""
        late = self._late.pop(trial_id, None)
        if late is not None and _NODE_DIED in reason:  # which Ray may notice long after
            late = replace(late, status="lost", error="its node died")
        if late is not None:
            self._tell(late)
        lines = [line.strip() for line in reason.splitlines() if line.strip()]
        if trial_id not in self._unexplained or not lines:
            return
        self._unexplained.remove(trial_id)
        why = lines[-1].removeprefix("RuntimeError: ").removeprefix("node ")
        self._notice("worker did not start", why)
        if isinstance(self.error, WorkersDoNotStartError):
            self.error = WorkersDoNotStartError(f"{str(self.error).partition(':')[0]}: {lines[-1]}")

    def on_weights(self, trial_id: str, weights: ray.ObjectRef) -> None:
        """Trained weights are on another machine; the result that they belong to comes after them. Where they
        cannot be fetched or written, the measurement is no less good."""
        candidate = self._open.get(trial_id)
        if candidate is None or candidate.weights_path is None or self.stopped:
            return
        try:
            _write_whole(candidate.weights_path, ray.get(weights, timeout=WEIGHTS_SECONDS))
        except (OSError, ray.exceptions.RayError) as error:
            why = str(error).partition("\n")[0]
            logger.warning("%s: the weights are not kept: %s", candidate.weights_path, why)

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


class Hooks(Live, tune.Callback):  # type: ignore[misc]
    def __init__(self, searcher: CandidateSearcher) -> None:
        self._searcher = searcher
        self._trials: dict[str, Any] = {}  # those that owe their end
        self._seen = 0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._searcher.on_started(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if result.get("epoch"):
            self._searcher.on_epoch(trial.trial_id, result["epoch"])
        weights = result.pop("weights", None)  # Tune keeps a trial's last result, but not yet
        if weights is not None:
            self._searcher.on_weights(trial.trial_id, weights)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        file = trial.error_file  # local; Trial.get_error reads the copy in storage, which comes later
        there = bool(file) and Path(file).is_file()
        reason = Path(file).read_text(encoding="utf-8", errors="replace") if there else ""
        self._searcher.on_death(trial.trial_id, reason)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._searcher.look_at_nodes()
        self._trials |= {trial.trial_id: trial for trial in trials[self._seen :]}
        self._seen = len(trials)
        for trial_id, trial in list(self._trials.items()):
            if not trial.is_finished():
                continue
            del self._trials[trial_id]
            if self._searcher.is_open(trial_id):
                self._searcher.on_trial_complete(trial_id, error=True)
            self._searcher.on_death(trial_id, "")  # where nothing told of it
            _forget(trial)


def _forget(trial: Any) -> None:
    """Tune keeps every trial to the end; what it holds of one that has ended would fill the memory."""
    trial.config, trial.evaluated_params = {}, {}
    trial._Trial__unresolved_config = {}
    kept = trial.run_metadata
    kept.last_result, kept.metric_analysis, kept.metric_n_steps = {}, {}, {}


class StopAll(Live, tune.Stopper):  # type: ignore[misc]
    def __init__(self, searcher: CandidateSearcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._searcher.stopped


def _write_whole(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
