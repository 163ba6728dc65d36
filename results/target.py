"""How far a search is from the target of its objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from results.fronts import targets_of
from results.trial import Trial

FAR = 1.25  # times the target, or less by it: what lies beyond does not hold it
ENOUGH = 20  # results before that is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Costs over the target of a search's objective.

    Attributes:
        cost: what the objective counts, such as ``macs``.
        target: in its unit.
        best: of the best observed; None where nothing was measured.
        recommended: of the recommended network; the same.
        held: whether the best is within a factor of `FAR` of the target, or below it where the objective is a
            hard limit, or where no result is more accurate: another objective would gain nothing. None before
            `ENOUGH` results.
    """

    cost: str
    target: float
    best: float | None
    recommended: float | None
    held: bool | None

    def to_json(self) -> dict[str, Any]:
        """The facts that ``--json`` prints."""
        return asdict(self)


def drift_of(
    config: Mapping[str, Any], finished: Sequence[Trial], best: Trial | None, recommended: Trial | None
) -> Drift | None:
    """How far a search is from its target.

    Args:
        config: of the run, as plain data.
        finished: all that have a reward.
        best: the best observed, if any.
        recommended: the network that the controller bets on, if any.

    Returns:
        None where the configuration has no target.
    """
    objective = config.get("objective")
    if not isinstance(objective, Mapping) or not (targets := targets_of(config)):
        return None
    cost, target = next(iter(targets.items()))
    ratios = [_over(trial, cost, target) for trial in (best, recommended)]
    held = None
    if best is not None and ratios[0] is not None and len(finished) >= ENOUGH:
        at_most = best.accuracy or 0.0
        accurate = all((trial.accuracy or 0.0) <= at_most for trial in finished)
        least = 0.0 if accurate or _limits(objective) else 1.0 / FAR
        held = least <= ratios[0] <= FAR
    return Drift(cost=cost, target=target, best=ratios[0], recommended=ratios[1], held=held)


def _over(trial: Trial | None, cost: str, target: float) -> float | None:
    its = None if trial is None else trial.cost(cost)
    return None if its is None else its / target


def _limits(objective: Mapping[str, Any]) -> bool:
    """Whether only accuracy counts up to the target, so that what lies below is no drift."""
    return objective.get("form") == "hard" or (
        objective.get("form", "product") == "product" and objective.get("alpha") == 0
    )
