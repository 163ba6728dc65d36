"""Has a search found a network as good as a published one? Stated soberly.

*Rediscovered* is: the search measured a network whose reward is at least the reference's under the same
evaluator, or whose accuracy is at least its at no more MACs. That need not be the reference itself; how many
decisions agree is said beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from controller import Objective
from nas.config import SearchConfig, load_config
from nas.launch import create_evaluator
from results import Run, Trial
from search_space import Architecture, FieldError, Indices, InputError, StageSpace, cost, load_space
from trainers import TableEvaluator

SAMPLE = 10_000  # random networks that a replayed reference is ranked among


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One network under the run's evaluator.

    Attributes:
        accuracy: without noise where a table is replayed, as measured otherwise.
        macs: of the network as the search counts it.
        reward: of the two.
        candidate: its number in the run, if it is there.
    """

    accuracy: float
    macs: int
    reward: float
    candidate: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rediscovery:
    """What a search found, beside a reference.

    Attributes:
        reference, recommended: the two networks.
        trainings_to_reward: results until the first with the reference's reward or more; None for never.
            Candidates that failed are no results.
        trainings_to_accuracy: results until the first with its accuracy or more at no more MACs.
        rank: of the reference's reward among the run's networks; 1 is above all.
        networks: of the run, measured.
        percentile: of its reward among random networks of the space; None where each would be a training,
            and where a table without a regressor does not hold them all.
        differences: decision to (recommended, reference) where the two differ.
        decisions: of the space.
        replay: what was replayed, and how good its regressor is; None where candidates were trained.
    """

    reference: Standing
    recommended: Standing
    trainings_to_reward: int | None
    trainings_to_accuracy: int | None
    rank: int
    networks: int
    percentile: float | None
    differences: dict[str, tuple[Any, Any]]
    decisions: int
    replay: str | None

    @property
    def rediscovered(self) -> bool:
        """See the module."""
        return self.trainings_to_reward is not None or self.trainings_to_accuracy is not None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {**asdict(self), "rediscovered": self.rediscovered}


def rediscovery(run: Run, name: str, reference: Architecture) -> Rediscovery:
    """Compare a search with a reference network.

    Args:
        run: with a result at least.
        name: of the reference, for messages.
        reference: in the run's space; where candidates are trained, one of them or of the baselines.

    Raises:
        InputError: nothing to compare.
    """
    config = load_config(run.config_path)
    space = load_space(config.space)
    try:
        indices = space.encode(reference)
    except FieldError as error:
        raise InputError(f"{name} is not in the space of {run.name}: {error}") from None
    done = _in_order(run)
    if not done:
        raise InputError(f"{run.name}: no candidate has finished yet")
    table = create_evaluator(config, space) if config.evaluator is not None else None
    standings = [_standing(trial, config.objective) for trial in done]
    if isinstance(table, TableEvaluator):
        known = next((t.id for t in done if t.key == reference.key), None)
        theirs = _looked_up(table, config, name, indices, known)
        percentile = _percentile(table, space, config.objective, theirs.reward)
    else:
        theirs = _measured(run, name, reference, config.objective, done)
        percentile = None
    best = run.recommended()
    ours, other = space.choices(space.encode(best.network())), space.choices(indices)
    return Rediscovery(
        reference=theirs,
        recommended=_standing(best, config.objective),
        trainings_to_reward=_first(s.reward >= theirs.reward for s in standings),
        trainings_to_accuracy=_first(
            s.accuracy >= theirs.accuracy and s.macs <= theirs.macs for s in standings
        ),
        rank=1 + sum(s.reward > theirs.reward for s in standings),
        networks=len(standings),
        percentile=percentile,
        differences={
            decision.name: (mine, its)
            for decision, mine, its in zip(space.decisions, ours, other, strict=True)
            if mine != its
        },
        decisions=len(space.decisions),
        replay=table.description if isinstance(table, TableEvaluator) else None,
    )


def _in_order(run: Run) -> list[Trial]:
    """The finished candidates as the controller learnt of them: of a baseline when it had proposed it."""
    with run.journal() as journal:
        candidates, rows = journal.candidates(), journal.proposals()
    told: dict[int, int] = {}
    for row in rows:
        if row.told is not None:
            told[row.trial] = min(row.told, told.get(row.trial, row.told))
    never = len(rows) + max(told.values(), default=0)
    done = [trial for trial in candidates if trial.status == "done"]
    return sorted(done, key=lambda trial: (told.get(trial.id, never), trial.arrival or 0))


def _standing(trial: Trial, objective: Objective) -> Standing:
    """Of a finished trial; a table's measurement holds the accuracy without noise."""
    assert trial.accuracy is not None
    accuracy = trial.curve[-1].get("exact_accuracy", trial.accuracy) if trial.curve else trial.accuracy
    reward = objective.reward(accuracy, float(getattr(trial, objective.cost)))
    number = trial.id if trial.proposed else None
    return Standing(accuracy=accuracy, macs=trial.macs, reward=reward, candidate=number)


def _looked_up(
    table: TableEvaluator, config: SearchConfig, name: str, indices: Indices, candidate: int | None
) -> Standing:
    accuracy = float(table.accuracies([indices])[0])
    if not np.isfinite(accuracy):
        raise InputError(f"{name} is not in the table, and surrogate: false gives no other accuracy")
    costs = cost(table.space.decode(indices), table.num_classes, table.in_channels)
    reward = config.objective.reward(accuracy, float(getattr(costs, config.objective.cost)))
    return Standing(accuracy=accuracy, macs=costs.macs, reward=reward, candidate=candidate)


def _measured(
    run: Run, name: str, reference: Architecture, objective: Objective, done: list[Trial]
) -> Standing:
    for trial in [*done, *(baseline for baseline in run.baselines() if baseline.status == "done")]:
        if trial.key == reference.key:
            return _standing(trial, objective)
    raise InputError(
        f"{name} was not trained in {run.name}, and nothing else compares with its candidates' accuracies"
    )


def _percentile(
    table: TableEvaluator, space: StageSpace, objective: Objective, reward: float
) -> float | None:
    """The share (0 to 100) of random networks below a reward; None where some of them are not known."""
    rng = np.random.default_rng(0)
    points = np.stack([rng.integers(len(d.choices), size=SAMPLE) for d in space.decisions], axis=1)
    accuracy, costs = table.accuracies(points), space.known_cost(points, objective.cost)
    assert costs is not None
    if not np.isfinite(accuracy).all():
        return None
    rewards = [objective.reward(float(a), float(c)) for a, c in zip(accuracy, costs, strict=True)]
    return 100.0 * float(np.mean(np.array(rewards) < reward))


def _first(fits: Iterable[bool]) -> int | None:
    """The place, from 1, of the first that fits."""
    return next((number for number, fit in enumerate(fits, start=1) if fit), None)
