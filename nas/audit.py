"""An audit of the proxy: the same networks trained under several protocols, and a longer one to compare with.

The journal is the truth here too. Every training is a row before the first one begins; a row is identified by
(architecture key, protocol, seed), so that repeated seeds and other protocols are further measurements; and a
run that was interrupted goes on with the rows that wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from nas.audit_config import AuditSettings
from nas.audit_findings import Findings, findings_of, part_names
from nas.audit_plan import Part, fingerprint_of, parts_of, rows_of, sample
from nas.config import SearchConfig, load_config, resumable
from nas.interrupts import Interrupts, handled_interrupts
from nas.launch import check_executor, create_evaluator, environment, executor_of
from nas.search import Listener, settled
from results import EvaluatorFacts, Journal, Run, Trial, create_run, run_path, write_whole
from search_space import FieldError, InputError, StageSpace, load_space
from trainers import Candidate, Evaluator, Executor, ProxyProtocol, Result

MEASURED = ("seed", "space", "limits", "data", "protocol", "executor")  # sections that decide an accuracy
Outcome = Literal["finished", "failing", "interrupted"]


class AuditListener(Listener, Protocol):
    """Somebody who watches an audit."""

    def on_protocol(self, name: str, trainings: int) -> None:
        """So many trainings under this protocol come next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEnd:
    """How a session of an audit ended.

    Attributes:
        run: its folder.
        outcome: ``finished``, ``failing`` (one training after the other failed) or ``interrupted``.
        findings: None where it has not finished.
    """

    run: Run
    outcome: Outcome
    findings: Findings | None


def run_audit(
    config: SearchConfig,
    *,
    evaluator_of: Callable[[ProxyProtocol], Evaluator] | None = None,
    listeners: Sequence[AuditListener] = (),
) -> AuditEnd:
    """Train what an audit still lacks, and compare.

    Args:
        config: of the search whose protocol is audited; ``name`` is the audit's own, under ``runs/``. Where
            that run is there already, it goes on.
        evaluator_of: what measures under a protocol, instead of training on the configuration's data.
        listeners: told of every result.

    Raises:
        InputError: nothing is trained in this search; the run was made with another configuration or is no
            audit; the space has too few networks; data or executor cannot be used.
    """
    own = config.protocol
    if own is None:
        raise InputError(f"{config.name}: has no proxy to audit: its evaluator replays a table")
    config, settings = _filled(config, own)
    run = Run(run_path(config.name))
    exists = run.path.exists()
    if exists:
        _check_same(run, config)
    space = load_space(config.space)
    parts = parts_of(settings, own, config.seed, evaluator_of or _trainer(config, space))
    facts = EvaluatorFacts(
        fingerprint_of(parts), parts[0].evaluator.num_classes, parts[0].evaluator.in_channels
    )
    try:
        space = space.limited(config.limits, facts.num_classes, facts.in_channels)
    except FieldError as error:
        raise InputError(str(error)) from None
    check_executor(config)
    executor = executor_of(config, run.path)
    points = sample(space, settings.architectures, config.seed)
    run = run if exists else create_run(config.name, config.to_yaml())
    with run.lock(), handled_interrupts() as interrupts:
        journal = Journal.open(run.journal_path)
        try:
            journal.give_up = lambda: interrupts.aborting
            journal.bind_evaluator(facts)
            if not journal.trials():  # else it goes on with what was drawn
                journal.add_trials(rows_of(parts, space, points))
            write_whole(run.config_path, lambda path: path.write_text(config.to_yaml(), encoding="utf-8"))
            audit = Audit(
                journal=journal,
                parts=parts,
                max_attempts=config.search.max_attempts,
                max_failures=config.search.max_failures,
                interrupts=interrupts,
                listeners=listeners,
            )
            outcome = audit.run(executor)
            trials = journal.trials()
        finally:
            journal.close()
    findings = findings_of(parts, trials, settings.target) if outcome == "finished" else None
    return AuditEnd(run=run, outcome=outcome, findings=findings)


def _filled(config: SearchConfig, own: ProxyProtocol) -> tuple[SearchConfig, AuditSettings]:
    """The configuration with its audit written out, and as many candidates as there are trainings: by that
    `nas status` and `nas ls` tell how far it is."""
    settings = (config.audit or AuditSettings()).filled(own)
    search = config.search.model_copy(update={"candidates": settings.trainings})
    return config.model_copy(update={"audit": settings, "search": search}), settings


def _trainer(config: SearchConfig, space: StageSpace) -> Callable[[ProxyProtocol], Evaluator]:
    """What trains under a protocol on the configuration's data."""
    return lambda protocol: create_evaluator(config.model_copy(update={"protocol": protocol}), space)


def _check_same(run: Run, config: SearchConfig) -> None:
    """Refuse a folder that holds something else.

    Raises:
        InputError: with the fields that differ.
    """
    if not run.journal_path.is_file():
        raise InputError(f"{run.path}: holds no journal, so there is no audit to go on with; move it away")
    with run.journal() as journal:
        if journal.proposals():
            raise InputError(f"{run.path}: holds a search, not an audit; choose another name with --run NAME")
    changed = [field for field in config.differences(load_config(run.config_path)) if _matters(field)]
    if changed:
        raise InputError(
            f"{run.path}: was made with another {', '.join(changed)}; choose another name with --run NAME"
        )


def _matters(field: str) -> bool:
    """Whether trainings of an audit depend on a field of its configuration."""
    section = field.split(".")[0]
    if section == "audit":
        return field != "audit.target"
    return section in MEASURED and not resumable(field)


class Audit:
    """One session of an audit: what an executor runs, and what it reports to.

    Args:
        journal: of the run, open for writing, with every training as a row.
        parts: the protocols in the order of training.
        max_attempts: tries a training has whose workers die.
        max_failures: trainings in a row that may fail before the audit gives up.
        interrupts: whether the user wants to stop.
        listeners: who is told of results.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        parts: Sequence[Part],
        max_attempts: int,
        max_failures: int,
        interrupts: Interrupts,
        listeners: Sequence[AuditListener] = (),
    ) -> None:
        self.journal, self.parts = journal, parts
        self.max_attempts, self.max_failures = max_attempts, max_failures
        self.interrupts, self.listeners = interrupts, listeners
        self._names = part_names(parts, journal.trials())
        self._failures = 0  # in a row
        self._open: set[int] = set()  # handed out, without a result yet
        self._now: frozenset[int] = frozenset()  # trainings under the protocol that runs now

    @property
    def failing(self) -> bool:
        """Whether so many trainings failed in a row that the next would fail too."""
        return self._failures >= self.max_failures

    def run(self, executor: Executor) -> Outcome:
        """Run what waits, protocol after protocol, and note in the journal how the session ended."""
        for listener in self.listeners:
            listener.on_start(self.journal.counts())
        if not self._waiting():
            return self._outcome()
        session = self.journal.begin_session(environment())
        ended = "error"
        try:
            for part in self.parts:
                waiting = [t for t in self._waiting() if self._names[t.protocol] == part.variant.name]
                if waiting and not (self.interrupts.draining or self.failing):
                    self._run_part(part, waiting, executor, session)
            outcome = self._outcome()
            ended = outcome
        finally:
            self.journal.end_session(session, ended)
        return outcome

    def _run_part(self, part: Part, waiting: list[Trial], executor: Executor, session: int) -> None:
        self._now = frozenset(trial.id for trial in waiting)
        for listener in self.listeners:
            listener.on_protocol(part.variant.name, len(waiting))
        executor.run(
            part.evaluator,
            self.next_candidate,
            self.record,
            on_start=lambda workers: self.journal.set_workers(session, workers),
            abort=lambda: self.interrupts.aborting,
        )

    def _waiting(self) -> list[Trial]:
        return [trial for trial in self.journal.trials() if trial.arrival is None]

    def _outcome(self) -> Outcome:
        if not self._waiting():
            return "finished" if self.journal.counts().get("done") else "failing"
        return "failing" if self.failing and not self.interrupts.draining else "interrupted"

    def next_candidate(self) -> Candidate | None:
        """The next training under the protocol that runs now."""
        if self.interrupts.draining or self.failing:
            return None
        trial = self.journal.next_pending(self._open)
        if trial is None or trial.id not in self._now:
            return None
        self._open.add(trial.id)
        return Candidate(id=trial.id, architecture=trial.network(), seed=trial.seed)

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
        finished, counts = self.journal.trial(result.id), self.journal.counts()
        assert finished is not None
        for listener in self.listeners:
            listener.on_result(finished, None, counts)
