"""From a name to a controller."""

from __future__ import annotations

import inspect
from typing import Any

from controller.base import Controller
from controller.dyna import DynaController
from controller.evolution import EvolutionController
from controller.local_search import LocalSearchController
from controller.objective import Objective
from controller.ppo import PPOController
from controller.random_search import RandomController
from controller.reinforce import ReinforceController
from search_space import FieldError, InputError, SearchSpace
from search_space.errors import suggestion

CONTROLLERS: dict[str, type[Controller]] = {
    "dyna": DynaController,
    "ppo": PPOController,
    "reinforce": ReinforceController,
    "evolution": EvolutionController,
    "local": LocalSearchController,
    "random": RandomController,
}


def option_names(name: str) -> list[str]:
    """The options of a controller, as its constructor names them."""
    parameters = inspect.signature(CONTROLLERS[name].__init__).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


def create_controller(
    name: str, space: SearchSpace, seed: int, objective: Objective | None = None, **options: Any
) -> Controller:
    """A controller by name.

    Args:
        name: ``dyna`` (model-based, the default of a search), ``ppo`` (MnasNet's LSTM controller),
            ``reinforce`` (TuNAS's), ``evolution``, ``local`` (hill climbing) or ``random``.
        space: the decisions to make.
        seed: of all its randomness.
        objective: what the rewards are made with.
        options: the keyword arguments of that controller's class.

    Raises:
        InputError: no such controller or option (with the nearest).
        FieldError: an option out of range.
    """
    if name not in CONTROLLERS:
        raise InputError(f"{name!r} is no known controller{suggestion(name, CONTROLLERS)}")
    known = option_names(name)
    for option in options:
        if option not in known:
            raise FieldError(option, f"is no option of {name}{suggestion(option, known)}")
    return CONTROLLERS[name](space, seed, objective, **options)
