"""A controller's state as a journal keeps it, and what a controller is told of a trial."""

from __future__ import annotations

import io
from typing import Any

import torch

from controller import Controller, Objective, Outcome
from results import Trial


def outcome_of(trial: Trial, objective: Objective) -> Outcome | None:
    """What the controller is told; None of a trial that failed or was stopped early."""
    if trial.accuracy is None or trial.reward is None:
        return None
    cost = trial.cost(objective.cost)
    assert cost is not None  # it has a reward
    return Outcome(trial.accuracy, cost, trial.reward)


def saved(controller: Controller) -> bytes:
    """Its state, for a journal."""
    buffer = io.BytesIO()
    torch.save(controller.state_dict(), buffer)
    return buffer.getvalue()


def loaded(state: bytes) -> dict[str, Any]:
    """A controller's state from a journal; runs no code.

    Raises:
        ValueError: it is damaged.
    """
    try:
        values = torch.load(io.BytesIO(state), weights_only=True)
    except Exception as error:  # torch names a dozen kinds, by where the damage is
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(values, dict):
        raise ValueError(f"it is no mapping but {type(values).__name__}")
    return values
