"""Measurements of earlier runs, taken over instead of made again.

A measurement is known by the key of its architecture, by how it was made (data, protocol, version of the
trainer: `nas.search.measured_by`) and by the seed of its training. What agrees in all three is the same
training; taking it over changes nothing about a search but its time. Failures are not taken over: the reason
may have been the machine's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from results import NewTrial, Run, Trial

logger = logging.getLogger(__name__)

_OTHERWISE = "other data, another protocol or another version of the trainer"
Identity = tuple[str, str, int]  # key, protocol, seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A measurement that is there already.

    Attributes:
        run: where it was made.
        trial: what it was there.
        weights: what was kept of its training; the file may not be there.
    """

    run: str
    trial: Trial
    weights: Path


def measurements(runs: Sequence[Run], fingerprint: str, seed: int) -> dict[Identity, Measured]:
    """The measurements of some runs that a search can take over; of equal ones the first run's.

    Args:
        runs: searches and audits, finished or not.
        fingerprint: of the evaluator that is to measure now.
        seed: of its trainings.

    Raises:
        InputError: a run cannot be read.
    """

    def alike(trial: Trial) -> bool:
        return trial.protocol.startswith(f"{fingerprint} dropout ")  # see `measured_by`

    def why(done: Sequence[Trial]) -> str:
        seeds = any(alike(trial) for trial in done)
        return f"they were made with {'another seed (see training_seed)' if seeds else _OTHERWISE}"

    return _collected(runs, lambda trial: alike(trial) and trial.seed == seed, why)


def measurements_of(runs: Sequence[Run], wanted: Sequence[NewTrial]) -> dict[Identity, Measured]:
    """The measurements of some runs that answer given trainings; of equal ones the first run's.

    Args:
        runs: of any kind, finished or not.
        wanted: the trainings.

    Raises:
        InputError: a run cannot be read.
    """
    known = {(row.key, row.protocol, row.seed) for row in wanted}
    why = f"they are of other networks or seeds, or were made with {_OTHERWISE}"
    return _collected(runs, lambda trial: identity(trial) in known, lambda done: why)


def _collected(
    runs: Sequence[Run], fits: Callable[[Trial], bool], why: Callable[[Sequence[Trial]], str]
) -> dict[Identity, Measured]:
    """The measurements that fit; of a run of which none does, a warning that says why."""
    found: dict[Identity, Measured] = {}
    for run in runs:
        with run.journal() as journal:
            done = [trial for trial in journal.trials() if trial.status == "done"]
        if (run.config().get("latency") or {}).get("model") is not None:
            done = [_without_prediction(trial) for trial in done]
        fit = [trial for trial in done if fits(trial)]
        logger.info("%s: %d of %d measurements fit", run.path, len(fit), len(done))
        if done and not fit:
            text = "%s: none of its %d measurements can be reused, %s; all is trained"
            logger.warning(text, run.path, len(done), why(done))
        for trial in fit:
            weights = run.weights_path(trial.id)
            found.setdefault(identity(trial), Measured(run=str(run.path), trial=trial, weights=weights))
    return found


def _without_prediction(trial: Trial) -> Trial:
    """A trial without the latency that its own run's model predicted: another search has another model, or
    none."""
    kept = [{name: its for name, its in row.items() if name != "latency_ms"} for row in trial.curve]
    return replace(trial, curve=kept)


def identity(trial: Trial) -> Identity:
    """What a measurement is known by."""
    return trial.key, trial.protocol, trial.seed
