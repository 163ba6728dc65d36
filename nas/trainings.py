"""A session in which the trainings that a journal holds are done: no controller proposes any.

An audit, a scaling search and finalists are such runs. The journal is the truth here too: every training is a
row before it begins, known by (architecture key, protocol, seed); a run that was interrupted goes on with the
rows that wait.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from nas.interrupts import Interrupts, handled_interrupts
from nas.launch import environment
from nas.reuse import Identity, Measured, identity
from nas.search import Listener, settled
from results import EvaluatorFacts, Journal, NewTrial, Run, Trial, write_whole
from trainers import Candidate, Evaluator, Executor, Result

Outcome = Literal["finished", "failing", "interrupted"]


def _no_weights(trial: Trial) -> Path | None:
    return None


def _no_more(trials: Sequence[Trial]) -> Sequence[NewTrial]:
    return ()


@contextmanager
def open_to_train(run: Run, facts: EvaluatorFacts) -> Iterator[tuple[Journal, Interrupts]]:
    """A run's journal to write, with the folder locked and signals handled while the body runs.

    Args:
        run: its folder.
        facts: what measures the trainings, for good.

    Raises:
        InputError: the run is in use, its journal cannot be written, or it was measured otherwise.
    """
    with run.lock(), handled_interrupts() as interrupts:
        journal = Journal.open(run.journal_path)
        try:
            journal.give_up = lambda: interrupts.aborting
            journal.bind_evaluator(facts)
            yield journal, interrupts
        finally:
            journal.close()


class Trainings:
    """One session: what an executor runs, and what it reports to.

    Args:
        journal: of the run, open for writing, with the trainings as rows.
        executor: what runs them.
        max_attempts: tries a training has whose workers die.
        max_failures: trainings in a row that may fail before the session gives up.
        interrupts: whether the user wants to stop.
        listeners: who is told of results.
        reuse: measurements that need not be made again.
        more: further trainings that are wanted when those before have come to an end; none ends it.
        weights: where what a training gives is left; None leaves nothing.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        executor: Executor,
        max_attempts: int,
        max_failures: int,
        interrupts: Interrupts,
        listeners: Sequence[Listener] = (),
        reuse: Mapping[Identity, Measured] | None = None,
        more: Callable[[Sequence[Trial]], Sequence[NewTrial]] = _no_more,
        weights: Callable[[Trial], Path | None] = _no_weights,
    ) -> None:
        self.journal, self.executor = journal, executor
        self.max_attempts, self.max_failures = max_attempts, max_failures
        self.interrupts, self.listeners = interrupts, listeners
        self.reuse, self.more, self.weights = reuse or {}, more, weights
        self._failures = 0  # in a row
        self._session = 0
        self._open: set[int] = set()  # handed out, without a result yet
        self._now: frozenset[int] | None = None  # the trainings that are to run now; None is all

    @property
    def failing(self) -> bool:
        """Whether so many trainings failed in a row that the next would fail too."""
        return self._failures >= self.max_failures

    @property
    def ending(self) -> bool:
        """Whether nothing more is to begin."""
        return self.interrupts.draining or self.failing

    def waiting(self) -> list[Trial]:
        """The trainings without a result."""
        return [trial for trial in self.journal.trials() if trial.arrival is None]

    def outcome(self) -> Outcome:
        """How it would end now."""
        if not self.waiting() and not self.more(self.journal.trials()):
            return "finished" if self.journal.counts().get("done") else "failing"
        return "failing" if self.failing and not self.interrupts.draining else "interrupted"

    @contextmanager
    def session(self) -> Iterator[None]:
        """The time in which trainings are done; the journal notes how it ended."""
        self._session = self.journal.begin_session(environment())
        ended = "error"
        try:
            yield
            ended = self.outcome()
        finally:
            self.journal.end_session(self._session, ended)

    def train(self, evaluator: Evaluator, trials: Sequence[Trial] | None = None) -> None:
        """Do trainings that wait.

        Args:
            evaluator: how.
            trials: which; None is all, and what `more` adds to them.
        """
        self._now = None if trials is None else frozenset(trial.id for trial in trials)
        self.executor.run(
            evaluator,
            self.next_candidate,
            self.record,
            on_start=lambda workers: self.journal.set_workers(self._session, workers),
            abort=lambda: self.interrupts.aborting,
            notice=self.journal.note,
        )

    def next_candidate(self) -> Candidate | None:
        """The next training."""
        while not self.ending:
            trial = self.journal.next_pending(self._open)
            if trial is None and self._now is None and not self._open:
                self.journal.add_trials(self.more(self.journal.trials()))
                trial = self.journal.next_pending(self._open)
            if trial is None or (self._now is not None and trial.id not in self._now):
                return None
            known = self.reuse.get(identity(trial))
            if known is None:
                self._open.add(trial.id)
                # compared are whole trainings: none is stopped early
                return Candidate(
                    id=trial.id,
                    architecture=trial.network(),
                    seed=trial.seed,
                    weights_path=self.weights(trial),
                    score=None,
                )
            self._take_over(trial, known)
        return None

    def record(self, result: Result) -> None:
        """Commit what came of a training."""
        news = settled(self.journal, result, self.max_attempts, self._open)
        if news is None:
            return
        trial, result = news
        done = result.status == "done"
        self.journal.finish(
            trial.id,
            "done" if done else "failed",
            accuracy=result.curve[-1].accuracy if done else None,
            error=result.error,
            curve=[{"accuracy": m.accuracy, **m.metrics} for m in result.curve],
            seconds=result.seconds,
        )
        self._failures = 0 if done else self._failures + 1
        self._announce(trial.id)

    def _take_over(self, trial: Trial, known: Measured) -> None:
        """Commit a measurement that another run made; its seconds were spent there."""
        path = self.weights(trial)
        if path is not None and known.weights.is_file():
            write_whole(path, lambda unfinished: shutil.copyfile(known.weights, unfinished))
        self.journal.finish(
            trial.id, "done", accuracy=known.trial.accuracy, curve=known.trial.curve, reused=known.run
        )
        self._announce(trial.id)

    def _announce(self, trial_id: int) -> None:
        finished, counts = self.journal.trial(trial_id), self.journal.counts()
        assert finished is not None
        for listener in self.listeners:
            listener.on_result(finished, None, counts)
