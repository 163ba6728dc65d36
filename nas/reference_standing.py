"""What a run can say about a network that is not one of its candidates, or is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controller import Objective
from nas.config import SearchConfig
from nas.latency_config import predicted
from nas.standing import Records, Standing, standing_of
from results import EvaluatorFacts, Trial
from search_space import (
    Architecture,
    FieldError,
    Indices,
    StageSpace,
    adapt_to_space,
    cost,
    memory,
)
from trainers import TableEvaluator

SAMPLE = 10_000  # random networks that a replayed reference is ranked among


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference network in a run.

    Attributes:
        architecture: as it stands in the run: where it was trained there as a baseline, as fitted.
        standing: its cost, and its accuracy and reward where they are known.
        indices: in the run's space; None where it is not in it.
        outside: why it is not; None where it is.
        excluded: which limits of the search it exceeds, though the space holds it; empty where none.
        unknown: why its accuracy is not known; None where it is.
        fitted: what was changed to fit it to the space; empty where nothing.
        predicted: whether its accuracy is a regressor's.
    """

    architecture: Architecture
    standing: Standing
    indices: Indices | None
    outside: str | None
    unknown: str | None
    fitted: str
    excluded: str = ""
    predicted: bool = False


def find_reference(
    config: SearchConfig,
    space: StageSpace,
    records: Records,
    table: TableEvaluator | None,
    name: str,
    architecture: Architecture,
) -> Reference:
    """What a run says of a network.

    Args:
        config, space, records: the search.
        table: that it replays; None where candidates are trained.
        name: of the network, for sentences.
        architecture: the network.
    """
    trial = _trained(records, space, architecture)
    if trial is not None:
        architecture = trial.network().renamed(architecture.name)
    indices, outside = None, None
    try:
        indices = space.encode(architecture)
    except FieldError as error:
        outside = str(error)
    if table is not None:
        standing, unknown = _looked_up(table, config, name, architecture, indices, trial)
    else:
        standing, unknown = _measured(config, records, name, architecture, trial)
    return Reference(
        architecture=architecture,
        standing=standing,
        indices=indices,
        outside=outside,
        unknown=unknown,
        fitted="" if trial is None else trial.adapted or "",
        excluded="" if indices is None else _excluded(config, table or records.evaluator, architecture),
        predicted=table is not None and unknown is None and not _in_table(table, architecture),
    )


def _trained(records: Records, space: StageSpace, architecture: Architecture) -> Trial | None:
    """The network in the run; else the baseline that it becomes there. Finished ones come first."""
    key = architecture.key
    here = [trial for trial in [*records.candidates, *records.baselines] if trial.key == key]
    if not here and records.baselines:
        key = adapt_to_space(architecture, space).architecture.key
        here = [trial for trial in records.baselines if trial.key == key]
    return min(here, key=lambda trial: (trial.status != "done", trial.id), default=None)


def _excluded(
    config: SearchConfig, evaluator: TableEvaluator | EvaluatorFacts | None, architecture: Architecture
) -> str:
    """The limits that a network exceeds; see `Reference`."""
    if evaluator is None:
        return ""
    limits = config.limits
    macs, params = cost(architecture, evaluator.num_classes, evaluator.in_channels)
    needed = memory(architecture, evaluator.num_classes, evaluator.in_channels)
    values: dict[str, float] = {"macs": macs, "params": params, "memory": needed}
    if limits.latency_ms is not None:
        latency = predicted(config.latency, architecture, evaluator.num_classes, evaluator.in_channels)
        values["latency_ms"] = 0.0 if latency is None else latency
    return ", ".join(
        f"{name} must be at most {most:,.6g}, got {values[name]:,.6g}"
        for name, most in limits.given().items()
        if values[name] > most
    )


def _looked_up(
    table: TableEvaluator,
    config: SearchConfig,
    name: str,
    architecture: Architecture,
    indices: Indices | None,
    trial: Trial | None,
) -> tuple[Standing, str | None]:
    """From the table, without noise, whether or not the search proposed it."""
    costs = cost(architecture, table.num_classes, table.in_channels)
    accuracy, unknown = None, None
    if indices is None:
        unknown = f"{name} is not in the space whose networks the table holds"
    else:
        found = float(table.accuracies([indices])[0])
        accuracy = found if np.isfinite(found) else None
    if accuracy is None and unknown is None:
        unknown = f"{name} is not in the table, and surrogate: false gives no other accuracy"
    reward, its = None, _known_cost(config, architecture, table.num_classes, table.in_channels)
    if accuracy is not None and its is None:
        (row,) = table.epochs(architecture, 0)
        its = row.metrics.get(config.objective.cost)
    if accuracy is not None and its is not None:
        reward = config.objective.reward(accuracy, its)
    candidate = trial.id if trial is not None and trial.status == "done" else None
    standing = Standing(
        accuracy=accuracy,
        macs=costs.macs,
        params=costs.params,
        cost=its,
        reward=reward,
        candidate=candidate,
    )
    return standing, unknown


def _measured(
    config: SearchConfig, records: Records, name: str, architecture: Architecture, trial: Trial | None
) -> tuple[Standing, str | None]:
    """As it was trained in the run, if it was."""
    if trial is not None:
        standing = standing_of(trial, config.objective)
        if trial.status == "done":
            return standing, None
        return standing, f"it is {trial.title} of this run, which is {trial.status}"
    facts = records.evaluator
    classes, channels = (1000, 3) if facts is None else (facts.num_classes, facts.in_channels)
    costs = cost(architecture, classes, channels)
    standing = Standing(
        accuracy=None,
        macs=costs.macs,
        params=costs.params,
        cost=_known_cost(config, architecture, classes, channels),
        reward=None,
        candidate=None,
    )
    return (
        standing,
        f"{name} was not trained under this protocol; list it under baselines: to have it trained alike",
    )


def _known_cost(
    config: SearchConfig, architecture: Architecture, classes: int, channels: int
) -> float | None:
    """What the objective counts, where it is known without measuring it."""
    if config.objective.cost == "latency_ms":
        return predicted(config.latency, architecture, classes, channels)
    return float(getattr(cost(architecture, classes, channels), config.objective.cost))


def _in_table(table: TableEvaluator, architecture: Architecture) -> bool:
    (measurement,) = table.epochs(architecture, 0, Path())
    return bool(measurement.metrics["in_table"])


def percentile(
    table: TableEvaluator | None, space: StageSpace, objective: Objective, reward: float | None
) -> float | None:
    """The share (0 to 100) of `SAMPLE` random networks of a space that are below a reward.

    Args:
        table: that gives their accuracies; None where each would be a training.
        space: to draw from, uniform over each decision.
        objective: the reward of each.
        reward: to rank; None where it is not known.

    Returns:
        None where one of the above is, or where some of the networks are not known to the table, or their
        cost is not known without measuring it.
    """
    if table is None or reward is None:
        return None
    rng = np.random.default_rng(0)
    points = np.stack([rng.integers(len(d.choices), size=SAMPLE) for d in space.decisions], axis=1)
    accuracy, costs = table.accuracies(points), space.known_cost(points, objective.cost)
    if costs is None or not np.isfinite(accuracy).all():
        return None
    rewards = [objective.reward(float(a), float(c)) for a, c in zip(accuracy, costs, strict=True)]
    return 100.0 * float(np.mean(np.array(rewards) < reward))
