"""How a search stands, and what happened to it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from results.run import OF_GIVEN, Kind, Run
from results.scaled import ScaledTrials, by_network
from results.schema import Event, Session
from results.target import Drift, drift_of
from results.trial import Trial, ranked


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a search stands.

    Attributes:
        state: ``running``, ``finished``, ``exhausted``, ``interrupted`` (by Ctrl-C), ``error``, or
            ``killed`` (no end was noted and nobody holds the folder).
        counts: status to number of candidates.
        best: the best observed; None before the first result.
        recommended: see `Run.recommended`; None before the first result.
        candidates_per_hour: results of the last session over its length; None before the first result.
        seconds_left: at that rate, while the search runs.
        baselines: the reference networks, whatever their status.
        sessions: outcome to number of sessions; those without an end are ``killed``, or ``running``.
        failures: error (in short) to number of candidates, most frequent first.
        events: what happened besides results, in order.
        reused: the run a measurement was taken over from, to the number of those.
        stopped_epochs: epochs that stopping early saved, and epochs there would have been without it; None
            where nothing was stopped.
        kind: of the run; only a search has candidates that a controller proposed.
        running: candidates and baselines that are evaluated now.
        failed: candidates that failed, in the order of their ids.
        results: candidates that have come to their end, in the order of arrival.
        scaled: the networks of a run of scaling or of finalists; of other runs none.
        target: how far the search is from the target of its objective; None where it has none, as audits.
    """

    state: str
    counts: dict[str, int]
    best: Trial | None
    recommended: Trial | None
    budget: int | None
    workers: int | None
    candidates_per_hour: float | None
    seconds_left: float | None
    baselines: list[Trial]
    sessions: dict[str, int]
    failures: dict[str, int]
    events: list[Event]
    reused: dict[str, int]
    stopped_epochs: tuple[int, int] | None
    kind: Kind
    running: list[Trial]
    failed: list[Trial]
    results: list[Trial]
    scaled: tuple[ScaledTrials, ...] = ()
    target: Drift | None = None


def status_of(run: Run) -> Status:
    """How a search stands, also while it runs."""
    running = run.is_running()
    with run.journal() as journal:
        trials, baselines, sessions = journal.candidates(), journal.baselines(), journal.sessions()
        recommended = journal.recommended()
        arrived = journal.results_of(sessions[-1]) if sessions else 0
        counts, events = journal.counts(), journal.events()
    best = next(iter(ranked(trials)), None)
    failed = [trial for trial in trials if trial.status == "failed"]
    others = [trial for trial in baselines if not trial.proposed]
    kind = run.kind()
    budget = sum(counts.values()) if kind in OF_GIVEN else _budget(run)
    rate, left = None, None
    if sessions and arrived and sessions[-1].elapsed:
        rate = 3600.0 * arrived / sessions[-1].elapsed
    if running and rate and budget is not None:
        over = sum(counts.get(name, 0) for name in ("done", "failed", "stopped"))
        left = max(0, budget - over) * 3600.0 / rate
    return Status(
        state=state_of(running, sessions),
        counts=counts,
        best=best,
        recommended=recommended or best,
        budget=budget,
        workers=sessions[-1].workers if sessions else None,
        candidates_per_hour=rate,
        seconds_left=left,
        baselines=baselines,
        sessions=_sessions(sessions, running),
        failures=_failures(failed),
        events=events,
        reused=dict(Counter(trial.reused for trial in trials if trial.reused is not None)),
        stopped_epochs=_stopped_epochs(trials),
        kind=kind,
        running=[trial for trial in [*others, *trials] if trial.status == "running"],
        failed=failed,
        results=sorted((t for t in trials if t.arrival is not None), key=lambda trial: trial.arrival or 0),
        scaled=by_network(trials) if kind in OF_GIVEN else (),
        target=_target(run, trials, best, recommended) if kind == "search" else None,
    )


def _target(run: Run, trials: list[Trial], best: Trial | None, recommended: Trial | None) -> Drift | None:
    """How far a search is from its target."""
    return drift_of(run.config(), ranked(trials), best, recommended or best)


def _budget(run: Run) -> int | None:
    """Candidates that a run is to have; None where the configuration does not say."""
    section = run.config().get("search")
    budget = section.get("candidates") if isinstance(section, dict) else None
    return budget if isinstance(budget, int) else None


def _sessions(sessions: list[Session], running: bool) -> dict[str, int]:
    ends = [session.outcome or "killed" for session in sessions]
    if running and sessions and sessions[-1].outcome is None:
        ends[-1] = "running"
    return dict(Counter(ends))


def _failures(failed: list[Trial]) -> dict[str, int]:
    errors = [trial.error or "?" for trial in failed]
    kinds = [failure_kind(error) for error in errors]
    first = dict(zip(reversed(kinds), reversed(errors), strict=True))
    return {first[kind]: number for kind, number in Counter(kinds).most_common()}


def failure_kind(error: str) -> str:
    """What errors of one cause have in common: numbers differ from candidate to candidate."""
    return re.sub(r"\d[\d.e+,]*", "N", error)[:80]


def _stopped_epochs(trials: list[Trial]) -> tuple[int, int] | None:
    stopped = [trial for trial in trials if trial.status == "stopped"]
    if not stopped:
        return None
    whole = max(len(trial.curve) for trial in trials)
    ended = [trial for trial in trials if trial.status in ("done", "stopped") and trial.reused is None]
    return sum(whole - len(trial.curve) for trial in stopped), whole * len(ended)


def state_of(running: bool, sessions: list[Session]) -> str:
    """The state of a `Status`, or ``new`` before the first session.

    Args:
        running: whether a search holds the folder.
        sessions: of the run.
    """
    if running:
        return "running"
    if not sessions:
        return "new"
    return sessions[-1].outcome or "killed"
