"""Replay: a fresh controller that is asked and told exactly as a journal says.

A controller is exact: equal state, asked and told the same, goes on equally to the last bit on one machine.
So the state in a journal can be checked, and made again where it was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from controller import Controller, Objective, Proposal, create_controller
from nas.config import SearchConfig
from nas.controller_state import outcome_of, saved
from results import EvaluatorFacts, ProposalRow, Trial
from search_space import FieldError, SearchSpace, StageSpace, load_space
from trainers import Evaluator

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of a replay.

    Attributes:
        controller: after the last step that could be repeated.
        version: number of that step; the journal's version where all could be.
        wrong: why the next could not, with its place; None where all could be.
    """

    controller: Controller
    version: int
    wrong: str | None = None

    def state(self) -> bytes:
        """The controller's state as a journal keeps it."""
        return saved(self.controller)


def space_of(config: SearchConfig, facts: EvaluatorFacts | Evaluator) -> StageSpace:
    """The space of a search as its controller sees it: with its limits, and with the costs that are known
    without training, for networks with these classes and image channels.

    Raises:
        FieldError: the limits leave nothing of it, or the latency model does not know it.
    """
    model = None if config.latency is None else config.latency.model
    space = load_space(config.space)
    try:
        return space.limited(config.limits, facts.num_classes, facts.in_channels, model)
    except FieldError as error:
        if model is None or error.path.startswith("limits"):
            raise
        raise FieldError("latency.model", f"was fitted to networks of another space: {error}") from None


def replay(
    config: SearchConfig,
    facts: EvaluatorFacts,
    trials: Sequence[Trial],
    proposals: Sequence[ProposalRow],
    progress: Progress = lambda done, steps: None,
) -> Replay:
    """Ask and tell a fresh controller as a journal says.

    Args:
        config: of the search.
        facts: of its evaluator.
        trials: of the journal.
        proposals: of the journal, in order.
        progress: called after each step with their number so far and in all.

    Raises:
        FieldError: the configuration's controller or space is refused.
    """
    space = space_of(config, facts)
    controller = create_controller(
        config.controller.name, space, config.seed, config.objective, **config.controller.options
    )
    trial_of = {trial.id: trial for trial in trials}
    asks: dict[int, list[ProposalRow]] = {}
    tells: dict[int, list[ProposalRow]] = {}
    for row in proposals:
        asks.setdefault(row.asked, []).append(row)
        if row.told is not None:
            tells.setdefault(row.told, []).append(row)
    last = max([*asks, *tells], default=0)
    for step in range(1, last + 1):
        try:
            wrong = None
            if step in asks:
                wrong = _ask(controller, asks[step])
            elif step in tells:
                _tell(controller, space, config.objective, tells[step], trial_of)
            else:
                wrong = "is in no proposal"
        except (ValueError, LookupError, TypeError, RuntimeError, OverflowError) as error:
            wrong = f"cannot be repeated: {type(error).__name__}: {error}"
        if wrong is not None:
            return Replay(controller=controller, version=step - 1, wrong=f"step {step} of {last} {wrong}")
        progress(step, last)
    return Replay(controller=controller, version=last)


def _ask(controller: Controller, rows: Sequence[ProposalRow]) -> str | None:
    for row, proposal in zip(rows, controller.ask(len(rows)), strict=True):
        if proposal.indices != row.indices:
            return f"gives another network than proposal {row.id} of the journal"
    return None


def _tell(
    controller: Controller,
    space: SearchSpace,
    objective: Objective,
    rows: Sequence[ProposalRow],
    trial_of: dict[int, Trial],
) -> None:
    outcome = outcome_of(trial_of[rows[0].trial], objective)
    controller.tell(
        [Proposal(row.indices, space.choices(row.indices), row.log_prob) for row in rows],
        [outcome] * len(rows),
    )


def difference(one: Any, other: Any, place: str = "") -> str | None:
    """Where two states differ by a bit; None where they are equal."""
    if type(one) is not type(other):
        return place or "its kind"
    if isinstance(one, torch.Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return None if alike and torch.equal(_bits(one), _bits(other)) else place
    if isinstance(one, dict):
        if list(one) != list(other):
            return place or "its fields"
        pairs = [(str(key), one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            return place
        pairs = [(str(number), a, b) for number, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return None if one == other or (one != one and other != other) else place
    inner = (difference(a, b, f"{place}.{key}" if place else key) for key, a, b in pairs)
    return next((found for found in inner if found is not None), None)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().flatten().contiguous().view(torch.uint8)  # also of what is no number
