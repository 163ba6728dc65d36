"""Our controllers as a search algorithm of Ray Tune, for experiments that are the user's own.

    searcher = nas.ControllerSearcher("ppo", space, metric="accuracy", objective=nas.Objective(target=3e6))
    tune.Tuner(trainable, tune_config=tune.TuneConfig(search_alg=searcher, num_samples=50)).fit()

`nas search` does not use this: its truth is its journal, and Tune keeps none. Of Ray 2.60: an exception in a
searcher ends the whole experiment, so what a trial does never raises here; the searcher is pickled when the
`Tuner` is built, and the object that was given is the one that is asked and told.
"""

from __future__ import annotations

import logging
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from ray.tune.search import Searcher

import search_space
from controller import Controller, Objective, Outcome, Proposal, create_controller
from results import write_whole
from search_space import Architecture, Cost, FieldError, InputError, SearchSpace
from search_space.fields import check_choice, check_int

logger = logging.getLogger(__name__)


def architecture_of(space: SearchSpace, config: Mapping[str, Any]) -> Architecture:
    """The architecture that a trial's config describes; what else the config holds is left alone.

    Raises:
        FieldError: a decision is missing or has a choice the space does not offer, or the space has no
            decoder.
    """
    indices = []
    for decision in space.decisions:
        if decision.name not in config:
            raise FieldError(f"config[{decision.name!r}]", "is missing")
        choice = config[decision.name]
        if choice not in decision.choices:
            offered = ", ".join(str(c) for c in decision.choices)
            raise FieldError(f"config[{decision.name!r}]", f"must be one of {offered}, got {choice}")
        indices.append(decision.choices.index(choice))
    return space.decode(indices)


class ControllerSearcher(Searcher):  # type: ignore[misc]
    """Asks a controller for every trial's config, and tells it what came of the trial.

    A config has one plain key a decision (``config["stage1.kernel"]``) besides what ``param_space`` holds
    fixed. A trial is told once, by its last result, also where a scheduler stopped it early. One that raises,
    or whose metric or cost is missing or not finite, is told as failed.

    Args:
        controller: a name that `create_controller` knows, or a controller of this space.
        space: the decisions; with a decoder, costs that trials do not report are arithmetic.
        metric: the key of the results to go by, the accuracy (0 to 1) where there is an objective; a nested
            one as ``val/accuracy``. None takes TuneConfig's, which Tune passes on only beside a
            ``param_space``.
        mode: ``max`` or ``min``; None takes TuneConfig's where it is passed on with the metric, else ``max``.
        objective: makes the reward of accuracy and cost; None takes the controller's own. Without any the
            reward is the metric, negated for ``min``.
        cost: the key of the results that holds the cost; None is the objective's (``macs``). Where a result
            lacks ``macs`` or ``params``, they are computed.
        num_classes, in_channels: of the networks whose cost is computed.
        seed: of a controller given by name.
        options: of a controller given by name.

    Attributes:
        controller: the live controller: ``searcher.controller.recommend()`` is what it would bet on.

    Raises:
        InputError: no such controller; or the arguments contradict one another.
        FieldError: an option or argument out of range.
    """

    _metric: str | None  # Tune's own, set by its constructor
    _mode: str | None

    def __init__(
        self,
        controller: str | Controller,
        space: SearchSpace,
        *,
        metric: str | None = None,
        mode: Literal["max", "min"] | None = None,
        objective: Objective | None = None,
        cost: str | None = None,
        num_classes: int = 1000,
        in_channels: int = 3,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if mode is not None:
            check_choice("mode", mode, ("max", "min"))
        check_int("num_classes", num_classes, 1)
        check_int("in_channels", in_channels, 1)
        super().__init__(metric=metric, mode=mode)
        if isinstance(controller, str):
            self.controller = create_controller(controller, space, seed, objective, **(options or {}))
        else:
            _check_given(controller, space, objective, options)
            self.controller = controller
        self.space = space
        self.objective = objective or self.controller.objective
        if self.objective is None and cost is not None:
            raise InputError(f"cost: {cost} is of no use without an objective")
        self.cost = cost or (self.objective.cost if self.objective else None)
        self.num_classes, self.in_channels = num_classes, in_channels
        self._open: dict[str, Proposal] = {}
        self._cost_seen = False
        self._mistake: str | None = None
        self._check_mode()

    def _check_mode(self) -> None:
        if self.objective is not None and self._mode == "min":
            raise InputError("mode: an objective raises its accuracy, so it must be max, got min")

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """Take metric and mode where they were not given.

        Returns:
            False: the space is this searcher's, so Tune refuses a ``param_space`` that has one of its own.

        Raises:
            InputError: ``param_space`` holds a decision fixed, which would be overwritten in every trial.
        """
        for decision in self.space.decisions:
            if decision.name in config:
                raise InputError(
                    f"param_space: {decision.name} is a decision of the space {self.space.name!r}; to hold "
                    "it fixed, give it one choice there"
                )
        if self._metric is None:
            self._metric = metric
        if self._mode is None and metric in (None, self._metric):
            self._mode = mode
        self._check_mode()
        return False

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The config of a trial: what the controller proposes next.

        Raises:
            InputError: there is no metric, or no way to learn what trials cost; it ends the experiment.
        """
        if self._metric is None:
            raise InputError(
                "ControllerSearcher: metric must be given; TuneConfig's is passed on by Tune only beside a "
                "param_space"
            )
        if self._mistake is not None:
            raise InputError(f"ControllerSearcher: {self._mistake}")
        (proposal,) = self.controller.ask(1)
        self._open[trial_id] = proposal
        names = [decision.name for decision in self.space.decisions]
        return dict(zip(names, proposal.choices, strict=True))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the last result is what counts, and it comes with the trial's end."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the controller; trials that are not open (told already, or another's) are left alone."""
        proposal = self._open.pop(trial_id, None)
        if proposal is None:
            return
        outcome = None if error or not result else self._outcome(trial_id, proposal, result)
        self.controller.tell([proposal], [outcome])

    def _outcome(self, trial_id: str, proposal: Proposal, result: Mapping[str, Any]) -> Outcome | None:
        """What a result says; None where it says nothing usable."""
        assert self._metric is not None
        value = _number(result.get(self._metric))
        if value is None:
            logger.warning("trial %s failed: %s is %r", trial_id, self._metric, result.get(self._metric))
            return None
        if self.objective is None:
            reward = -value if self._mode == "min" else value
            return Outcome(reward, 1.0, reward)  # of both numbers controllers may think that more is better
        cost = self._cost_of(trial_id, proposal, result)
        if cost is None:
            return None
        try:
            return Outcome(value, cost, self.objective.reward(value, cost))
        except (FieldError, ArithmeticError) as error:
            logger.warning("trial %s failed: %s", trial_id, error)
            return None

    def _cost_of(self, trial_id: str, proposal: Proposal, result: Mapping[str, Any]) -> float | None:
        """The cost that was reported, else arithmetic; None where there is neither."""
        assert self.cost is not None
        reported = result.get(self.cost)
        if reported is not None:
            cost = _number(reported)
            if cost is None:
                logger.warning("trial %s failed: %s is %r", trial_id, self.cost, reported)
            self._cost_seen = True
            return cost
        try:
            if self.cost not in Cost._fields:
                raise FieldError(self.cost, f"is not one of {', '.join(Cost._fields)}")
            network = self.space.decode(proposal.indices)
            computed = search_space.cost(network, self.num_classes, self.in_channels)
        except FieldError as error:
            why = f"results have no {self.cost!r}, which the objective needs, and it is not computed: {error}"
            logger.error("trial %s failed: %s", trial_id, why)
            if not self._cost_seen:  # the user's mistake and not the trial's: the next `suggest` says so
                self._mistake = why
            return None
        return float(getattr(computed, self.cost))

    def save(self, checkpoint_path: str) -> None:
        """Write controller and open trials, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        state = {
            "controller": self.controller.state_dict(),
            "open": {trial_id: [list(p.indices), p.log_prob] for trial_id, p in self._open.items()},
            "metric": self._metric,
            "mode": self._mode,
        }
        write_whole(Path(checkpoint_path), lambda path: torch.save(state, path))

    def restore(self, checkpoint_path: str) -> None:
        """Go on as the searcher that was saved, to the last bit; open trials may still end here.

        Raises:
            InputError: the file cannot be read, or is something else.
            ValueError: it is of another controller or another space.
        """
        try:
            state = torch.load(checkpoint_path, weights_only=True)
            parts = [state[name] for name in ("controller", "open", "metric", "mode")]
        except OSError as error:
            raise InputError(f"{checkpoint_path}: cannot be read: {error.strerror or error}") from None
        except (RuntimeError, EOFError, LookupError, TypeError, pickle.UnpicklingError):
            raise InputError(f"{checkpoint_path}: is no state that a ControllerSearcher saved") from None
        controller, opened, metric, mode = parts
        self.controller.load_state_dict(controller)
        self._open = {
            trial_id: Proposal(tuple(indices), self.space.choices(indices), log_prob)
            for trial_id, (indices, log_prob) in opened.items()
        }
        self._metric, self._mode = self._metric or metric, self._mode or mode


def _check_given(
    controller: Controller, space: SearchSpace, objective: Objective | None, options: Mapping[str, Any] | None
) -> None:
    """Whether a controller that was made elsewhere goes with the other arguments."""
    if options:
        raise InputError(f"options: {', '.join(options)} are for a controller given by name")
    if controller.space.decisions != space.decisions:
        raise InputError(f"controller: its space {controller.space.name!r} has other decisions")
    if objective is not None and controller.objective not in (None, objective):
        raise InputError(f"objective: the controller has its own, {controller.objective}")


def _number(value: object) -> float | None:
    """A finite number, also of numpy or torch; None for anything else."""
    if isinstance(value, str | bytes | bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except Exception:  # whatever a user's trainable reports must not end the experiment
        return None
    return number if math.isfinite(number) else None
