"""What the report of a run shows, as plain data that JSON can hold; no HTML."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from results.choices import choice_frequencies
from results.policy import policy_map
from results.progress import search_curves, worker_gpus
from results.report import words
from results.report.columns import choice_text, measure_key, measures_of, trial_columns
from results.report.source import Read, read
from results.run import Run
from results.schema import Session
from results.status import failure_kind
from results.trial import Trial, ranked

FORMAT = 1


def report_data(
    run: Run, comparison: Mapping[str, Any] | None = None, now: datetime | None = None
) -> dict[str, Any]:
    """Everything the page shows.

    Args:
        run: to report on; it may be running, interrupted or without a result.
        comparison: with a published network, where there is one: ``words``, ``network_name``,
            ``reference_name``, ``networks``, ``stages``, ``decisions``, ``concentration``, ``random``; any
            may be missing.
        now: the time of the report; by default the present.

    Raises:
        InputError: the run cannot be read, or its configuration holds no space.
    """
    found = read(run)
    trials = trial_columns(
        found.trials, found.decisions, found.facts.num_classes, found.facts.in_channels, found.cost
    )
    return {
        **_heading(found, now or datetime.now(timezone.utc)),
        "decisions": [
            {
                "name": d.name,
                "choices": [choice_text(choice) for choice in d.choices],
                "values": [list(choice) if isinstance(choice, tuple) else choice for choice in d.choices],
            }
            for d in found.decisions
        ],
        "trials": trials,
        "measures": measures_of(trials["metrics"]),
        "curves": _curves(found),
        "policy": _policy(found),
        "shared": _shared(found),
        "comparison": None if comparison is None else dict(comparison),
        "failures": _failures(found.trials),
        "events": [{**event._asdict(), "at": _time(event.at)} for event in found.events],
        "sessions": [
            _session(session, found.state == "running" and session is found.sessions[-1])
            for session in found.sessions
        ],
        "config": found.yaml,
        "reproduce": words.reproduce(found),
    }


def _heading(found: Read, now: datetime) -> dict[str, Any]:
    """What the page begins with: the run, its state in words and figures, its best and its front."""
    return {
        "format": FORMAT,
        "run": found.name,
        "made_at": _time(now.timestamp()),
        "version": _version(),
        "state": found.state,
        "summary": words.summary(found),
        "tiles": words.tiles(found),
        "cost": measure_key(found.cost),
        "recommended": None if found.recommended is None else found.recommended.id,
        "best": None if found.best is None else found.best.id,
        "front": [trial.id for trial in found.front.trials],
        "hypervolume": found.front.hypervolume,
        "reference_cost": found.front.reference[found.cost],
    }


def _curves(found: Read) -> dict[str, Any]:
    """Candidates in order of arrival, and the hypervolume where it changes."""
    gpus = worker_gpus(found.config, found.sessions)
    curves = search_curves(found.candidates, found.front.reference[found.cost], found.cost, gpus)
    number = len(curves.ids)
    last = number - 1
    grows = [i for i in range(number) if i in (0, last) or curves.hypervolume[i] != curves.hypervolume[i - 1]]
    return {
        "ids": curves.ids.tolist(),
        "best": curves.ids[curves.best].tolist() if number else [],
        "hypervolume": [
            [i + 1, float(f"{curves.hours[i]:.6g}"), float(f"{curves.hypervolume[i]:.6g}")] for i in grows
        ],
        "hours_label": curves.hours_label,
    }


def _policy(found: Read) -> dict[str, Any]:
    policy = policy_map(found.proposals, found.decisions)
    return {
        "ends": policy.ends.tolist(),
        "window": policy.window,
        "entropy": [[round(value, 3) for value in row] for row in policy.entropy.tolist()],
        "last": [[round(share, 3) for share in shares.tolist()] for shares in policy.shares],
    }


def _shared(found: Read) -> dict[str, Any]:
    """How often each choice occurs among the best tenth and among all."""
    frequencies = choice_frequencies(found.candidates, found.decisions)
    finished = len(ranked(found.candidates))
    return {
        "networks": finished,
        "tenth": -(-finished // 10),
        "best": [[round(share, 4) for share in row.best.tolist()] for row in frequencies],
        "all": [[round(share, 4) for share in row.all.tolist()] for row in frequencies],
    }


def _failures(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Trials that failed by what their errors have in common, the most frequent first."""
    groups: dict[str, list[int]] = {}
    for trial in trials:
        if trial.status == "failed":
            groups.setdefault(failure_kind(trial.error or "?"), []).append(trial.id)
    return [{"trials": ids} for ids in sorted(groups.values(), key=len, reverse=True)]


def _session(session: Session, running: bool) -> dict[str, Any]:
    return {
        "id": session.id,
        "started_at": _time(session.started_at),
        "outcome": session.outcome or ("running" if running else "killed"),
        "workers": session.workers,
        "duration": words.duration(session.elapsed),
        "environment": {str(key): str(value) for key, value in session.environment.items()},
    }


def _time(seconds: float) -> str:
    """Unix time for people."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _version() -> str:
    try:
        return importlib.metadata.version("nas-road")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
