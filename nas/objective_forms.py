"""What an objective prefers, beside other objectives with the same target.

What twice the cost must bring follows from the formula alone; which network each would choose needs networks
whose accuracies are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from controller import Objective
from results.figures.objective_figure import RewardCurve

Floats = npt.NDArray[np.float64]
STEPS = {"below": (0.5, 1.0), "at": (1.0, 2.0), "above": (2.0, 4.0), "half": (1.0, 0.5)}  # of T, from and to
_OTHERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("soft, w = -0.07", {}),
    ("twice is worth 2 %", {"doubling_gain": 0.02}),
    ("twice is worth 10 %", {"doubling_gain": 0.1}),
    ("hard", {"form": "hard"}),
    ("absolute, 0.07", {"form": "absolute"}),
    ("absolute, 0.1", {"form": "absolute", "beta": -0.1}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """An objective with its name.

    Attributes:
        name: in words.
        objective: what it rewards.
        own: whether it is that of the run or the configuration, or was asked for.
    """

    name: str
    objective: Objective
    own: bool = False

    @property
    def formula(self) -> str:
        """The reward as a formula."""
        return formula(self.objective)

    def exchange(self) -> dict[str, float]:
        """What an accuracy must change by to be rewarded alike after a step in cost, by the names of `STEPS`.

        The product and the hard form give a share of the accuracy (0.05 is 5 %), the absolute form accuracy
        (0.05 is five points); below 0 is what may be lost.
        """
        wanted = {}
        for name, (start, end) in STEPS.items():
            target = self.objective.target
            accuracy = float(self.objective.matching(0.5, start * target, [end * target])[0])
            changed = accuracy - 0.5 if self.absolute else accuracy / 0.5 - 1.0
            wanted[name] = round(changed, 12) + 0.0  # no -0.0
        return wanted

    @property
    def absolute(self) -> bool:
        """Whether it weighs accuracy itself rather than shares of it."""
        return self.objective.form == "absolute"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Networks:
    """Networks whose accuracies are known.

    Attributes:
        name: what a network is called, by its place.
        accuracy, cost: (N,), 0 to 1, and in the unit of the objective's cost.
        source: what they are, in words.
    """

    name: Callable[[int], str]
    accuracy: Floats
    cost: Floats
    source: str

    def __len__(self) -> int:
        return len(self.accuracy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The network that an objective rewards most.

    Attributes:
        name: of the network.
        accuracy: 0 to 1.
        cost: in the unit of the objective's cost.
        drift: the cost over the target.
    """

    name: str
    accuracy: float
    cost: float
    drift: float


def formula(objective: Objective) -> str:
    """The reward as a formula, such as ``ACC (MACs/T)^-0.07``."""
    word = {"macs": "MACs", "params": "params", "latency_ms": "latency"}[objective.cost]
    alpha, beta = objective.alpha, objective.beta
    if objective.form == "absolute":
        return f"ACC - {-beta:.4g} |{word}/T - 1|"
    if alpha == beta:
        return f"ACC ({word}/T)^{alpha:.4g}"
    if alpha == 0.0:
        return f"ACC up to T, ACC ({word}/T)^{beta:.4g} above"
    return f"ACC ({word}/T)^w, w {alpha:.4g} up to T, {beta:.4g} above"


def asked(
    own: Objective, form: str | None, target: float | None, doubling_gain: float | None
) -> Objective | None:
    """The objective with what was asked for instead; None where nothing was.

    The exponents are its own where only the target differs, and otherwise follow from what was asked.

    Raises:
        FieldError: what the objective refuses.
    """
    if form is None and target is None and doubling_gain is None:
        return None
    wanted = own.target if target is None else target
    if form is None and doubling_gain is None:
        return replace(own, target=wanted)
    kept = own.form if own.form != "hard" else "product"
    values: dict[str, Any] = {"form": kept if form is None else form, "doubling_gain": doubling_gain}
    return Objective(target=wanted, cost=own.cost, **values)


def forms(own: tuple[str, Objective], other: Objective | None = None) -> list[Form]:
    """Objectives by name: a search's own, what was asked for, and the usual others at the same target.

    None is there twice; and its own is left out where another target was asked for.
    """
    found = []
    if other is None or other.target == own[1].target:
        found.append(Form(name=own[0], objective=own[1], own=True))
    if other is not None and not any(_same(form.objective, other) for form in found):
        found.append(Form(name="asked for", objective=other, own=True))
    last = found[-1].objective
    for name, values in _OTHERS:
        usual = Objective(target=last.target, cost=last.cost, **values)
        if not any(_same(form.objective, usual) for form in found):
            found.append(Form(name=name, objective=usual))
    return found


def _same(one: Objective, other: Objective) -> bool:
    """Whether two give the same rewards."""
    if (one.target, one.cost) != (other.target, other.cost):
        return False
    if "absolute" in (one.form, other.form):
        return one.form == other.form and one.beta == other.beta
    return (one.alpha, one.beta) == (other.alpha, other.beta)


def choice_of(objective: Objective, networks: Networks) -> Choice | None:
    """The network with the highest reward, of equals the cheapest; None of none."""
    if not len(networks):
        return None
    rewards = np.array(
        [objective.reward(float(a), float(c)) for a, c in zip(networks.accuracy, networks.cost, strict=True)]
    )
    place = int(np.lexsort((networks.cost, -rewards))[0])
    cost = float(networks.cost[place])
    return Choice(
        name=networks.name(place),
        accuracy=float(networks.accuracy[place]),
        cost=cost,
        drift=cost / objective.target,
    )


def form_json(form: Form, choice: Choice | None) -> dict[str, Any]:
    """The facts of an objective that ``--json`` prints."""
    return {
        "name": form.name,
        "own": form.own,
        "objective": asdict(form.objective),
        "formula": form.formula,
        "unit": "accuracy" if form.absolute else "share of the accuracy",
        "exchange": form.exchange(),
        "choice": None if choice is None else asdict(choice),
    }


def at_target(objective: Objective, networks: Networks | None) -> float:
    """The accuracy through which curves of equal reward are drawn: the best at most T, or 0.75."""
    if not networks:
        return 0.75
    within = networks.accuracy[networks.cost <= objective.target]
    return float(within.max() if len(within) else networks.accuracy.min())


def curves(
    shown: Sequence[Form], choices: Sequence[Choice | None], accuracy: float, networks: Networks | None
) -> list[RewardCurve]:
    """Curves of equal reward through an accuracy at the target, and what was chosen, for the figure.

    Args:
        shown: the objectives.
        choices: of each, None where nothing is known.
        accuracy: at the target.
        networks: whose costs the curves reach.
    """
    target = shown[-1].objective.target
    drifts = networks.cost / target if networks else np.ones(1)
    low, high = min(1 / 64, float(drifts.min()) / 2), max(64.0, 2 * float(drifts.max()))
    ratios = np.union1d(np.geomspace(low, high, 2001), [1.0])
    return [
        RewardCurve(
            name=form.name,
            own=form.own,
            ratio=ratios,
            accuracy=form.objective.matching(accuracy, target, ratios * target),
            choice=None if choice is None else (choice.drift, choice.accuracy),
        )
        for form, choice in zip(shown, choices, strict=True)
    ]
