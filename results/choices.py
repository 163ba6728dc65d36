"""What the good networks of a search share: how often each choice occurs among the best, and among all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from results.trial import Trial, ranked
from search_space import Decision

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceFrequencies:
    """One decision.

    Attributes:
        decision: with K choices.
        best: (K,) the share of each choice among the best networks.
        all: (K,) the same among all that finished.
    """

    decision: Decision
    best: Floats
    all: Floats


def choice_frequencies(
    trials: Sequence[Trial], decisions: Sequence[Decision], share: float = 0.1
) -> list[ChoiceFrequencies]:
    """How often each choice occurs among the best finished candidates and among all.

    Args:
        trials: candidates of a run; those without a reward are left out.
        decisions: of the space. A choice that a trial does not hold counts nowhere.
        share: of the finished that is the best, by reward; one network at least.

    Returns:
        One entry a decision; shares are 0 where nothing has finished.
    """
    order = ranked(list(trials))
    best = order[: math.ceil(share * len(order))]
    return [
        ChoiceFrequencies(decision=decision, best=_shares(best, decision), all=_shares(order, decision))
        for decision in decisions
    ]


def _shares(trials: Sequence[Trial], decision: Decision) -> Floats:
    place = {choice: index for index, choice in enumerate(decision.choices)}
    found = [place.get(trial.choices.get(decision.name)) for trial in trials]
    counts = np.bincount([index for index in found if index is not None], minlength=len(place))
    return counts / max(1, len(trials))
