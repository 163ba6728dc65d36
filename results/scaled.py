"""The trainings of a run of given networks, of scaling or of finalists, by the networks they are of."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.trial import Trial

GRID = ("alpha", "beta", "gamma")  # what a point of a grid search stands for


FINALIST = {"network", "role"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledTrials:
    """One network of such a run.

    Attributes:
        choices: what it stands for, by name.
        trials: its trainings in the order of their ids, at least one.
    """

    choices: Mapping[str, Any]
    trials: tuple[Trial, ...]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Of its trainings that succeeded, 0 to 1."""
        return tuple(trial.accuracy for trial in self.trials if trial.accuracy is not None)

    @property
    def mean(self) -> float | None:
        """Mean accuracy of those, exact as that of `nas.repeated.Repeated`; None where there is none."""
        return statistics.mean(self.accuracies) if self.accuracies else None

    @property
    def is_baseline(self) -> bool:
        """Whether it is what a grid search scales, and no point of the grid."""
        return all(self.choices.get(name) == 1.0 for name in GRID)

    @property
    def words(self) -> str:
        """What it stands for, in short: ``alpha 1, beta 1.1, gamma 1.3``."""
        return words_of(self.choices)

    def to_json(self) -> dict[str, Any]:
        """The facts that ``--json`` prints."""
        first = self.trials[0]
        return {
            "choices": dict(self.choices),
            "key": first.key,
            "macs": first.macs,
            "params": first.params,
            "accuracy": self.mean,
            "accuracies": list(self.accuracies),
            "trials": [trial.id for trial in self.trials],
            "failed": sum(trial.status == "failed" for trial in self.trials),
        }


def words_of(choices: Mapping[str, Any]) -> str:
    """Choices in short: ``alpha 1, beta 1.1``; of the experiment on dimensions its name for it, ``d2``; of
    finalists ``candidate 17 (recommended)``."""
    if set(choices) == {"scaled"}:
        return str(choices["scaled"])
    if set(choices) == FINALIST:
        return f"{choices['network']} ({choices['role']})"
    return ", ".join(f"{name} {f'{v:g}' if isinstance(v, float) else v}" for name, v in choices.items())


def by_network(trials: Sequence[Trial]) -> tuple[ScaledTrials, ...]:
    """The networks of a run of scaling, in the order of their first trainings."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.key, trial.protocol), []).append(trial)
    return tuple(ScaledTrials(choices=its[0].choices, trials=tuple(its)) for its in groups.values())


def chosen_of(networks: Sequence[ScaledTrials]) -> ScaledTrials | None:
    """The point of a grid search with the highest mean accuracy; of equal ones the first, which is cheaper.

    The baseline is no point. None before the first result, and where the networks are of no grid.
    """
    best: ScaledTrials | None = None
    for network in networks:
        if not set(GRID) <= set(network.choices) or network.is_baseline or network.mean is None:
            continue
        if best is None or best.mean is None or network.mean > best.mean:
            best = network
    return best
