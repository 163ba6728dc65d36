"""What early stopping compares: the reward that a candidate would have with an epoch's accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from controller import Objective
from results import Trial
from trainers import Measurement


def score_of(
    trial: Trial, objective: Objective, latency: float | None = None
) -> Callable[[Measurement], float] | None:
    """The reward at a measurement's accuracy. A baseline is not compared, and never stopped.

    Args:
        trial: that is measured.
        objective: makes the reward.
        latency: in ms, where it is predicted; else a measurement brings its own.
    """
    if not trial.proposed:
        return None

    def score(measurement: Measurement) -> float:
        metrics = dict(measurement.metrics)
        if latency is not None:
            metrics["latency_ms"] = latency
        return _reward(objective, replace(trial, curve=[metrics]), measurement.accuracy)

    return score


def past_scores(trials: Sequence[Trial], objective: Objective) -> list[list[float]]:
    """Rewards an epoch of what was measured before, whole or stopped early, in order of arrival (but not
    what was taken over from another run: it was on no rung then)."""
    arrived = [
        trial for trial in trials if trial.arrival is not None and trial.curve and trial.reused is None
    ]
    arrived.sort(key=lambda trial: trial.arrival or 0)
    return [
        [_reward(objective, replace(trial, curve=[epoch]), epoch["accuracy"]) for epoch in trial.curve]
        for trial in arrived
    ]


def _reward(objective: Objective, trial: Trial, accuracy: float) -> float:
    """With the costs of a trial's last measurement; without the objective's cost it is worth nothing."""
    cost = trial.cost(objective.cost)
    return 0.0 if cost is None else objective.reward(accuracy, cost)
