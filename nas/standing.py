"""How good networks are under one run's evaluator, and in which order they came."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controller import Objective
from results import EvaluatorFacts, ProposalRow, Run, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a run's journal holds, read once.

    Attributes:
        candidates, baselines: trials in the order of their ids; some may be both.
        proposals: in the order in which they were made.
        evaluator: what measures; None before the first session.
    """

    candidates: list[Trial]
    baselines: list[Trial]
    proposals: list[ProposalRow]
    evaluator: EvaluatorFacts | None


def read_records(run: Run) -> Records:
    """Everything of a run that a comparison needs."""
    with run.journal() as journal:
        return Records(
            candidates=journal.candidates(),
            baselines=journal.baselines(),
            proposals=journal.proposals(),
            evaluator=journal.evaluator(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One network under the run's evaluator.

    Attributes:
        accuracy: 0 to 1, without noise where a table is replayed, as measured otherwise; None where it is not
            known.
        macs, params: of the network as the search counts it.
        cost: what the objective counts; None where that was not measured.
        reward: of accuracy and cost; None where the accuracy is not known.
        candidate: its number in the run, if it is there.
    """

    accuracy: float | None
    macs: int
    params: int
    cost: float | None
    reward: float | None
    candidate: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A candidate that finished.

    Attributes:
        id: its number.
        accuracy, macs, reward: as in `Standing`, all known.
        cost: what the objective counts.
    """

    id: int
    accuracy: float
    macs: int
    cost: float
    reward: float


def results_in_order(records: Records, objective: Objective) -> list[Result]:
    """The finished candidates as the controller learnt of them: of a baseline when it had proposed it.

    An audit's trainings have no reward and are no results.
    """
    told: dict[int, int] = {}
    for row in records.proposals:
        if row.told is not None:
            told[row.trial] = min(row.told, told.get(row.trial, row.told))
    never = len(records.proposals) + max(told.values(), default=0)
    done = [trial for trial in records.candidates if trial.status == "done" and trial.reward is not None]
    done.sort(key=lambda trial: (told.get(trial.id, never), trial.arrival or 0))
    found = []
    for trial in done:
        standing = standing_of(trial, objective)
        assert standing.accuracy is not None
        assert standing.reward is not None
        assert standing.cost is not None
        found.append(
            Result(
                id=trial.id,
                accuracy=standing.accuracy,
                macs=trial.macs,
                cost=standing.cost,
                reward=standing.reward,
            )
        )
    return found


def standing_of(trial: Trial, objective: Objective) -> Standing:
    """Of a trial in any state; a table's measurement holds the accuracy without noise."""
    accuracy = trial.accuracy
    if accuracy is not None and trial.curve:
        accuracy = trial.curve[-1].get("exact_accuracy", accuracy)
    reward, cost = None, trial.cost(objective.cost)
    if accuracy is not None and cost is not None:
        reward = objective.reward(accuracy, cost)
    return Standing(
        accuracy=accuracy,
        macs=trial.macs,
        params=trial.params,
        reward=reward,
        cost=cost,
        candidate=trial.id if trial.proposed else None,
    )


def as_accurate(result: Result, theirs: Standing) -> bool:
    """Whether a result has a network's accuracy at no more MACs; not where that is not known."""
    return theirs.accuracy is not None and result.accuracy >= theirs.accuracy and result.macs <= theirs.macs


def as_good(result: Result, theirs: Standing) -> bool:
    """Whether a result has a network's reward, or its accuracy at no more MACs; not where they are not
    known."""
    rewarded = theirs.reward is not None and result.reward >= theirs.reward
    return rewarded or as_accurate(result, theirs)


def first(fits: Iterable[bool]) -> int | None:
    """The place, from 1, of the first that fits."""
    return next((number for number, fit in enumerate(fits, start=1) if fit), None)
