"""An audit of the proxy: the same networks trained under several protocols, and a longer one to compare with.

The journal is the truth here too. Every training is a row before the first one begins; a row is identified by
(architecture key, protocol, seed), so that repeated seeds and other protocols are further measurements; and a
run that was interrupted goes on with the rows that wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.audit_config import AuditSettings
from nas.audit_findings import Findings, findings_of, part_names
from nas.audit_plan import Part, fingerprint_of, parts_of, rows_of, sample
from nas.config import SearchConfig, load_config, resumable
from nas.config_reading import differences
from nas.launch import check_executor, create_evaluator, executor_of
from nas.replay import space_of
from nas.search import Listener
from nas.trainings import Outcome, Trainings, open_to_train
from results import EvaluatorFacts, Run, create_run, run_path, write_whole
from results.run import OF_GIVEN
from search_space import FieldError, InputError, StageSpace, load_space
from trainers import Evaluator, ProxyProtocol

MEASURED = ("seed", "space", "limits", "data", "protocol", "executor")  # sections that decide an accuracy


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
    parts = parts_of(settings, own, config.seed_of_trainings, evaluator_of or _trainer(config, space))
    facts = EvaluatorFacts(
        fingerprint_of(parts), parts[0].evaluator.num_classes, parts[0].evaluator.in_channels
    )
    try:
        space = space_of(config, facts)
    except FieldError as error:
        raise InputError(str(error)) from None
    check_executor(config.executor)
    executor = executor_of(config.executor, run.path)
    points = sample(space, settings.architectures, config.seed)
    run = run if exists else create_run(config.name, config.to_yaml())
    with open_to_train(run, facts) as (journal, interrupts):
        if not journal.trials():  # else it goes on with what was drawn
            journal.add_trials(rows_of(parts, space, points))
        write_whole(run.config_path, lambda path: path.write_text(config.to_yaml(), encoding="utf-8"))
        trainings = Trainings(
            journal=journal,
            executor=executor,
            max_attempts=config.search.max_attempts,
            max_failures=config.search.max_failures,
            interrupts=interrupts,
            listeners=listeners,
        )
        outcome = _train(trainings, parts, listeners)
        trials = journal.trials()
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
    return lambda protocol: create_evaluator(
        config.model_copy(update={"protocol": protocol, "latency": None}), space
    )


def _check_same(run: Run, config: SearchConfig) -> None:
    """Refuse a folder that holds something else.

    Raises:
        InputError: with the fields that differ.
    """
    if not run.journal_path.is_file():
        raise InputError(f"{run.path}: holds no journal, so there is no audit to go on with; move it away")
    if (kind := run.kind()) in OF_GIVEN:
        raise InputError(
            f"{run.path}: holds a run of {kind}, not an audit; choose another name with --run NAME"
        )
    with run.journal() as journal:
        if journal.proposals():
            raise InputError(f"{run.path}: holds a search, not an audit; choose another name with --run NAME")
    changed = [field for field in differences(config, load_config(run.config_path)) if _matters(field)]
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


def _train(trainings: Trainings, parts: Sequence[Part], listeners: Sequence[AuditListener]) -> Outcome:
    """Do what waits, protocol after protocol."""
    for listener in listeners:
        listener.on_start(trainings.journal.counts())
    if not trainings.waiting():
        return trainings.outcome()
    names = part_names(parts, trainings.journal.trials())
    with trainings.session():
        for part in parts:
            waiting = [t for t in trainings.waiting() if names[t.protocol] == part.variant.name]
            if waiting and not trainings.ending:
                for listener in listeners:
                    listener.on_protocol(part.variant.name, len(waiting))
                trainings.train(part.evaluator, waiting)
    return trainings.outcome()
