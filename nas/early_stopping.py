"""What early stopping compares: the reward that a candidate would have with an epoch's accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from controller import Objective
from results import Trial


def score_of(trial: Trial, objective: Objective) -> Callable[[float], float] | None:
    """The reward at an accuracy and the trial's cost. A baseline is not compared, and never stopped."""
    return partial(_reward, objective, getattr(trial, objective.cost)) if trial.proposed else None


def past_scores(trials: Sequence[Trial], objective: Objective) -> list[list[float]]:
    """Rewards an epoch of what was measured before, whole or stopped early, in order of arrival (but not
    what was taken over from another run: it was on no rung then)."""
    arrived = [
        trial for trial in trials if trial.arrival is not None and trial.curve and trial.reused is None
    ]
    arrived.sort(key=lambda trial: trial.arrival or 0)
    return [
        [objective.reward(epoch["accuracy"], getattr(trial, objective.cost)) for epoch in trial.curve]
        for trial in arrived
    ]


def _reward(objective: Objective, cost: float, accuracy: float) -> float:
    return objective.reward(accuracy, cost)
