"""A run in which given networks are each trained with several seeds: of scaling, or of finalists.

Same executor, journal, failures and listeners as a search; what it trains is known before it begins, but for
further seeds where the noise between seeds demands them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from nas.config_reading import differences
from nas.config_sections import ExecutorConfig, RetryConfig
from nas.launch import check_executor, executor_of
from nas.reuse import measurements_of
from nas.scaling_config import ScalingConfig, load_scaling_config
from nas.scaling_settings import MOST_SEEDS
from nas.search import Listener, measured_by
from nas.sized_data import sized_evaluator
from nas.trainings import Outcome, Trainings, open_to_train
from results import HISTORY, EvaluatorFacts, NewTrial, Run, Trial, create_run, run_path, write_whole
from search_space import Architecture, InputError, cost
from trainers import Evaluator, joined
from trainers.prepare import PrepareProgress


class GivenConfig(Protocol):
    """What is asked of the configuration of such a run."""

    @property
    def name(self) -> str:
        """Of the run, under ``runs/``."""

    @property
    def seed(self) -> int:
        """Of every network's first training."""

    @property
    def search(self) -> RetryConfig:
        """What is done about trainings that fail."""

    @property
    def executor(self) -> ExecutorConfig:
        """Where."""

    def to_yaml(self) -> str:
        """All of it, to be kept in the run's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A network of such a run.

    Attributes:
        architecture: of it.
        choices: what it stands for, by name.
    """

    architecture: Architecture
    choices: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What such a run trains.

    Attributes:
        members: different networks.
        seeds: trainings of each.
        most: trainings of a member at most.
        more: given the accuracies of every member so far, and how many trainings each has had, the members
            that are to be trained once more.
    """

    members: tuple[Member, ...]
    seeds: int
    most: int
    more: Callable[[Sequence[Sequence[float]], Sequence[int]], Sequence[int]] = lambda accuracies, tried: ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingEnd:
    """How a session ended.

    Attributes:
        run: its folder.
        outcome: ``finished``, ``failing`` or ``interrupted``.
        accuracies: of every member, a tuple of its trainings that succeeded.
        failed: trainings of every member that did not.
    """

    run: Run
    outcome: Outcome
    accuracies: tuple[tuple[float, ...], ...]
    failed: tuple[int, ...]


def evaluator_for(
    config: ScalingConfig,
    networks: Sequence[Architecture],
    progress: PrepareProgress | None = None,
    *,
    may_prepare: bool = True,
) -> Evaluator:
    """What trains these networks on a configuration's data; see `sized_evaluator`."""
    return sized_evaluator(config.data, config.how, networks, progress, may_prepare=may_prepare)


def seeds_of(seed: int) -> list[int]:
    """The seeds of every network's trainings, from the first on: the given one, and others drawn from it."""
    drawn = random.Random(seed).sample(range(2**31), MOST_SEEDS + 1)  # a longer list begins alike
    return [seed, *(other for other in drawn if other != seed)]


def check_run(config: ScalingConfig, address: str | None = None) -> Run:
    """The run that a configuration begins or goes on with; what it refuses needs no images to be refused.

    Args:
        config: with its baseline and its grid or experiment.
        address: of a Ray cluster.

    Raises:
        InputError: see `run_scaling`.
    """
    run = Run(run_path(config.name))
    if run.path.exists():
        _check_same(run, config)
    check_executor(config.executor, address)
    executor_of(config.executor, run.path, address)
    return run


def run_scaling(
    config: ScalingConfig,
    plan: Plan,
    evaluator: Evaluator,
    *,
    reuse: Sequence[Run] = (),
    listeners: Sequence[Listener] = (),
    address: str | None = None,
) -> ScalingEnd:
    """Train what a run still lacks. Where there is a run of this name, it goes on.

    Args:
        config: with its baseline; the run is ``runs/<name>`` of the current directory.
        plan: what is trained.
        evaluator: how.
        reuse: earlier runs whose measurements are taken over where they are of the same network, data,
            protocol, trainer and seed.
        listeners: told of every result.
        address: of a Ray cluster, see `nas.run_search`.

    Raises:
        InputError: the run was made with another configuration or is no such run, or is in use; the executor
            cannot be used.
    """
    return train_plan(
        config,
        check_run(config, address),
        plan,
        evaluator,
        reuse=reuse,
        listeners=listeners,
        address=address,
    )


def train_plan(
    config: GivenConfig,
    run: Run,
    plan: Plan,
    evaluator: Evaluator,
    *,
    reuse: Sequence[Run] = (),
    listeners: Sequence[Listener] = (),
    address: str | None = None,
    weights: Callable[[Trial], Path | None] = lambda trial: None,
) -> ScalingEnd:
    """Train what a run still lacks of a plan; it is begun where there is none.

    Args:
        config: of the run; that it may go on with this one was checked.
        run: its folder.
        plan, evaluator, reuse, listeners, address: see `run_scaling`.
        weights: where the trained weights of a training are kept; None keeps none.

    Raises:
        InputError: the run is in use, or was measured otherwise; the executor cannot be used.
    """
    exists = run.path.exists()
    executor = executor_of(config.executor, run.path, address)
    facts = EvaluatorFacts(evaluator.fingerprint, evaluator.num_classes, evaluator.in_channels)
    rows = Rows(plan, evaluator, config.seed)
    known = measurements_of(reuse, [*rows.first(), *rows.further()])
    with joined(address):
        run = run if exists else create_run(config.name, config.to_yaml())
        with open_to_train(run, facts) as (journal, interrupts):
            journal.add_trials(rows.first())
            write_whole(run.config_path, lambda path: path.write_text(config.to_yaml(), encoding="utf-8"))
            trainings = Trainings(
                journal=journal,
                executor=executor,
                max_attempts=config.search.max_attempts,
                max_failures=config.search.max_failures,
                interrupts=interrupts,
                listeners=listeners,
                reuse=known,
                more=rows.more,
                weights=weights,
            )
            outcome = trainings.outcome()
            if outcome == "interrupted":
                for listener in listeners:
                    listener.on_start(journal.counts())
                with trainings.session():
                    trainings.train(evaluator)
                outcome = trainings.outcome()
            accuracies, failed = rows.results(journal.trials())
    return ScalingEnd(run=run, outcome=outcome, accuracies=accuracies, failed=failed)


class Rows:
    """The trainings of a plan as rows of a journal.

    Args:
        plan: what is trained.
        evaluator: how.
        seed: the first of every network.
    """

    def __init__(self, plan: Plan, evaluator: Evaluator, seed: int) -> None:
        self.plan = plan
        self.seeds = seeds_of(seed)[: plan.most]
        self._rows = [self._row(member, evaluator) for member in plan.members]
        self._places = {(row.key, row.protocol): place for place, row in enumerate(self._rows)}

    def _row(self, member: Member, evaluator: Evaluator) -> NewTrial:
        network = member.architecture
        macs, params = cost(network, evaluator.num_classes, evaluator.in_channels)
        return NewTrial(
            key=network.key,
            protocol=measured_by(evaluator, network),
            seed=self.seeds[0],
            choices=dict(member.choices),
            architecture=network.to_dict(),
            macs=macs,
            params=params,
        )

    def first(self) -> list[NewTrial]:
        """What is trained in any case: seed after seed."""
        return [replace(row, seed=seed) for seed in self.seeds[: self.plan.seeds] for row in self._rows]

    def results(self, trials: Sequence[Trial]) -> tuple[tuple[tuple[float, ...], ...], tuple[int, ...]]:
        """The accuracies of every member in the order of its trainings, and how many of these failed."""
        accuracies: list[list[float]] = [[] for _ in self._rows]
        failed = [0] * len(self._rows)
        for trial in trials:
            place = self._places.get((trial.key, trial.protocol))
            if place is None:
                continue
            if trial.accuracy is not None:
                accuracies[place].append(trial.accuracy)
            failed[place] += trial.status == "failed"
        return tuple(map(tuple, accuracies)), tuple(failed)

    def more(self, trials: Sequence[Trial]) -> list[NewTrial]:
        """What is to be trained besides, when all that was given out has come to an end."""
        if any(trial.arrival is None for trial in trials):
            return []
        accuracies, failed = self.results(trials)
        tried = [len(a) + f for a, f in zip(accuracies, failed, strict=True)]
        return [
            replace(self._rows[place], seed=self.seeds[tried[place]])
            for place in self.plan.more(accuracies, tried)
        ]

    def further(self) -> list[NewTrial]:
        """Every training that there may be after the first."""
        later = self.seeds[self.plan.seeds :]
        return [replace(row, seed=seed) for row in self._rows for seed in later]


def check_scaling(run: Run) -> None:
    """Refuse a folder that no such run can go on in.

    Raises:
        InputError: it has lost its journal, has none, or holds a search or an audit.
    """
    refuse_without_journal(run)
    kind = run.kind()
    if kind != "scaling":
        what = {"audit": "an audit", "finalists": "finalists"}.get(kind, "a search")
        raise InputError(f"{run.path}: holds {what}, and no scaling; choose another name with --run NAME")


def refuse_without_journal(run: Run) -> None:
    """Refuse a folder in which nothing can go on.

    Raises:
        InputError: it has lost its journal, or has none.
    """
    if run.journal_path.is_file():
        return
    if (run.path / HISTORY).is_file():
        raise InputError(f"{run.path}: has lost its journal; nas doctor {run.path} --repair makes it anew")
    raise InputError(f"{run.path}: holds no journal, so there is nothing to go on with; move it away")


def _check_same(run: Run, config: ScalingConfig) -> None:
    """Refuse a folder that holds something else, or a run that was made with another configuration.

    Raises:
        InputError: with the fields that differ.
    """
    check_scaling(run)
    before = load_scaling_config(run.config_path)
    if (before.dimensions is None) != (config.dimensions is None):
        what = "a grid search" if before.dimensions is None else "an experiment on dimensions"
        raise InputError(f"{run.path}: holds {what}; choose another name with --run NAME")
    changed = [field for field in differences(config, before) if _matters(field)]
    if config.baseline != before.baseline and (
        config.baseline is None
        or before.baseline is None
        or config.baseline.renamed(before.baseline.name) != before.baseline
    ):
        changed.insert(0, "baseline")
    if changed:
        raise InputError(
            f"{run.path}: was made with another {', '.join(changed)}; choose another name with --run NAME "
            f"(--reuse {run.path} takes over what was measured alike)"
        )


def _matters(field: str) -> bool:
    """Whether the run depends on a field; how often networks are trained, and where, may change."""
    if field.startswith("baseline") or field in ("name", "data.cache", "dimensions.seeds"):
        return False
    if field in ("scaling.seeds", "scaling.max_seeds"):
        return False
    return not field.startswith(("search.", "executor.")) or field == "executor.cpus"
