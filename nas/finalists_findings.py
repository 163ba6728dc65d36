"""What the full trainings of finalists came to: the corrected front, and which network to take.

Networks are compared and one is taken by validation accuracy alone. Test accuracies are only reported: so
they are what the network that was taken is really worth, without the luck that it was taken for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nas.finalists_config import Chosen, ChosenNetwork
from nas.finalists_statistics import Mean, RankAgreement, rank_agreement, welch
from nas.finalists_verdict import EQUAL, Control, Verdict, verdict_of
from nas.repeated import Margin
from results import Trial, pareto_front
from search_space import cost

Part = Literal["test", "validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalRow:
    """A network and its full trainings.

    Attributes:
        network: which.
        macs, params: at the image size that it was trained at.
        trials: those of its trainings that succeeded, by id.
        seeds: of these.
        failed, waiting: trainings that did not succeed, and those that are still to come.
        tested: of these, those whose test images were measured.
        validation, test: accuracies, 0 to 1; None where there is none, or not of every training.
        reward: the search's, with the final validation accuracy, of each training; of finalists alone.
        proxy_rank, final_rank: places among the finalists, from 1; of equal accuracies the same.
        on_front: no other network is as good and as cheap.
    """

    network: ChosenNetwork
    macs: int
    params: int
    trials: tuple[int, ...]
    seeds: tuple[int, ...]
    failed: int
    waiting: int
    tested: int
    validation: Mean | None
    test: Mean | None
    reward: Mean | None
    proxy_rank: int | None = None
    final_rank: int | None = None
    on_front: bool = False

    def accuracy(self, part: Part) -> Mean | None:
        """Of a part of the data."""
        return self.test if part == "test" else self.validation

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        network = self.network
        return {
            "name": network.name,
            "role": network.role,
            "recommended": network.recommended,
            "b0_shaped": network.b0_shaped,
            "candidate": network.candidate,
            "note": network.note,
            "key": network.architecture.key,
            "image_size": network.architecture.image_size,
            "macs": self.macs,
            "params": self.params,
            "proxy_accuracy": network.proxy_accuracy,
            "validation": None if self.validation is None else self.validation.to_json(),
            "test": None if self.test is None else self.test.to_json(),
            "reward": None if self.reward is None else self.reward.value,
            "proxy_rank": self.proxy_rank,
            "final_rank": self.final_rank,
            "on_front": self.on_front,
            "trials": list(self.trials),
            "seeds": list(self.seeds),
            "failed": self.failed,
            "waiting": self.waiting,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A network beside another, or beside the random ones.

    Attributes:
        name: of the network.
        over: of the other; ``random`` for the mean of the random networks.
        macs_ratio: its MACs over the other's (of random networks their mean).
        margin: of the accuracies, with Welch's interval; of random networks each counts once, by its mean.
    """

    name: str
    over: str
    macs_ratio: float
    margin: Margin

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "name": self.name,
            "over": self.over,
            "macs_ratio": self.macs_ratio,
            **self.margin.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalFindings:
    """What came of a run of finalists.

    Attributes:
        chosen: what was trained, and of which search.
        rows: a network each, in that order.
        part: the accuracies that front and comparisons are of: ``test`` where every training has one.
        agreement: of proxy and full training, over the finalists.
        taken: the finalist with the highest reward by its final validation accuracy.
        lead: by how much its reward is above the recommended network's; None where it is that, or where that
            has no result.
        close: the other finalists whose rewards Welch's interval does not tell from the taken one's.
        untold: those for which there is no interval.
        comparisons: of the recommended network and of the taken one with what stands beside them.
    """

    chosen: Chosen
    rows: tuple[FinalRow, ...]
    part: Part
    agreement: RankAgreement
    taken: FinalRow
    lead: Margin | None
    close: tuple[FinalRow, ...]
    untold: tuple[FinalRow, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def front(self) -> list[FinalRow]:
        """The corrected Pareto front, by rising MACs."""
        return sorted((row for row in self.rows if row.on_front), key=lambda row: row.macs)

    @property
    def recommended(self) -> FinalRow:
        """The network that the search recommends."""
        return next(row for row in self.rows if row.network.recommended)

    @property
    def fewest(self) -> int:
        """Trainings that succeeded, of the network that has the fewest; without those that have none."""
        return min(len(row.trials) for row in self.rows if row.trials)

    @property
    def intervals(self) -> int:
        """Comparisons that have one, of accuracies and of rewards."""
        rewards = len(self.close) + (self.lead is not None and self.lead.certain)
        return rewards + sum(comparison.margin.low is not None for comparison in self.comparisons)

    @property
    def falls_short(self) -> bool:
        """Whether finalists are on average less accurate after full training than in the search."""
        pairs = [(row.network.proxy_accuracy, row.validation) for row in self.rows if row.reward is not None]
        known = [(proxy, final.value) for proxy, final in pairs if proxy is not None and final is not None]
        return bool(known) and sum(final for _, final in known) < sum(proxy for proxy, _ in known)

    def off(self, row: FinalRow) -> float:
        """How far the MACs of a network are from the recommended one's, as a share."""
        return abs(row.macs / self.recommended.macs - 1.0)

    @property
    def b0(self) -> FinalRow | None:
        """B0's shape, nearest to the recommended network's MACs."""
        return _b0_of(self.rows, self.recommended)

    @property
    def verdict(self) -> Verdict:
        """Whether the search was right."""
        own, b0 = self.recommended, self.b0
        margins = {c.over: c.margin for c in self.comparisons if c.name == own.network.name}
        controls = []
        if b0 is not None and b0 is not own:
            margin, name = margins.get(b0.network.name), "B0's shape"
            controls.append(Control(name=name, margin=margin, equal=self.off(b0) <= EQUAL))
        equal = bool(self.random) and max(map(self.off, self.random)) <= EQUAL
        controls.append(Control(name="random networks", margin=margins.get("random"), equal=equal))
        mean = own.validation
        above = [
            row.network.name
            for row in self.random
            if mean is not None and row.validation is not None and row.validation.value > mean.value
        ]
        finalists = sum(row.reward is not None for row in self.rows)
        taken = None if own.reward is None else self.taken.network.name
        return verdict_of(own.network.name, taken, self.lead, controls, above, finalists)

    @property
    def random(self) -> list[FinalRow]:
        """The random networks that have a result."""
        return [row for row in self.rows if row.network.role == "random" and row.validation is not None]

    @property
    def waiting(self) -> int:
        """Trainings that are still to come."""
        return sum(row.waiting for row in self.rows)

    @property
    def failed(self) -> int:
        """Trainings that did not succeed, and are left out."""
        return sum(row.failed for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        search = self.chosen.search
        recommended = self.chosen.recommended
        return {
            "search": {
                "name": search.name,
                "key": search.key,
                "candidates": search.candidates,
                "front": search.front,
            },
            "rule": self.chosen.rule,
            "tolerance": self.chosen.tolerance,
            "part": self.part,
            "networks": [row.to_json() for row in self.rows],
            "front": [row.network.name for row in self.front],
            "agreement": self.agreement.to_json(),
            "verdict": self.verdict.to_json(),
            "falls_short": self.falls_short,
            "decision": {
                "taken": self.taken.network.name,
                "trial": self.taken.trials[0],
                "recommended": recommended.name,
                "differs": not self.taken.network.recommended,
                "lead": None if self.lead is None else self.lead.to_json(),
                "close": [row.network.name for row in self.close],
                "untold": [row.network.name for row in self.untold],
            },
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "failed": self.failed,
            "waiting": self.waiting,
        }


def findings_of(chosen: Chosen, trials: Sequence[Trial]) -> FinalFindings | None:
    """What full trainings came to; None before any finalist has a result.

    Args:
        chosen: what is trained.
        trials: of the run.
    """
    rows = _ranked([_row(network, chosen, trials) for network in chosen.networks])
    finalists = [row for row in rows if row.network.role == "finalist"]
    if not any(row.reward is not None for row in finalists):
        return None
    done = [row for row in rows if row.validation is not None]
    part: Part = "test" if all(row.test is not None for row in done) else "validation"
    on_front = _front(done, part)
    rows = [replace(row, on_front=row.network.architecture.key in on_front) for row in rows]
    finalists = [row for row in rows if row.network.role == "finalist"]
    taken = max(
        (row for row in finalists if row.reward is not None),
        key=lambda row: (0.0 if row.reward is None else row.reward.value, row.network.recommended),
    )
    recommended = next(row for row in rows if row.network.recommended)
    leads = [(row, lead) for row in finalists if (lead := _lead(taken, row)) is not None]
    return FinalFindings(
        chosen=chosen,
        rows=tuple(rows),
        part=part,
        agreement=rank_agreement(
            [row.network.proxy_accuracy for row in finalists],
            [() if row.validation is None else row.validation.values for row in finalists],
        ),
        taken=taken,
        lead=_lead(taken, recommended),
        close=tuple(row for row, lead in leads if lead.low is not None and not lead.certain),
        untold=tuple(row for row, lead in leads if lead.low is None),
        comparisons=tuple(_comparisons(rows, recommended, taken, part)),
    )


def _row(network: ChosenNetwork, chosen: Chosen, trials: Sequence[Trial]) -> FinalRow:
    its = [trial for trial in trials if trial.key == network.architecture.key]
    done = [trial for trial in its if trial.status == "done" and trial.accuracy is not None]
    accuracies = tuple(trial.accuracy for trial in done if trial.accuracy is not None)
    tests = tuple(trial.curve[-1]["test_accuracy"] for trial in done if "test_accuracy" in trial.curve[-1])
    macs, params = cost(network.architecture, chosen.search.num_classes, chosen.search.in_channels)
    reward = None
    if accuracies and network.role == "finalist" and network.cost is not None:
        objective, its_cost = chosen.search.objective, network.cost
        reward = Mean(values=tuple(objective.reward(accuracy, its_cost) for accuracy in accuracies))
    return FinalRow(
        network=network,
        macs=macs,
        params=params,
        trials=tuple(trial.id for trial in done),
        seeds=tuple(trial.seed for trial in done),
        failed=sum(trial.status == "failed" for trial in its),
        waiting=sum(trial.arrival is None for trial in its),
        tested=len(tests),
        validation=Mean(values=accuracies) if accuracies else None,
        test=Mean(values=tests) if tests and len(tests) == len(done) else None,
        reward=reward,
    )


def _ranked(rows: Sequence[FinalRow]) -> list[FinalRow]:
    """The same with the places of finalists."""
    finalists = [row for row in rows if row.network.role == "finalist"]
    proxies = [row.network.proxy_accuracy for row in finalists]
    finals = [None if row.validation is None else row.validation.value for row in finalists]
    places = {row.network.name: place for place, row in enumerate(finalists)}

    def rank(values: Sequence[float | None], name: str) -> int | None:
        own = values[places[name]] if name in places else None
        return None if own is None else 1 + sum(v is not None and v > own for v in values)

    return [
        replace(row, proxy_rank=rank(proxies, row.network.name), final_rank=rank(finals, row.network.name))
        for row in rows
    ]


def _front(rows: Sequence[FinalRow], part: Part) -> set[str]:
    """The keys of networks that no other dominates."""
    accuracies = [mean.value for row in rows if (mean := row.accuracy(part)) is not None]
    places = pareto_front(accuracies, [float(row.macs) for row in rows])
    return {rows[place].network.architecture.key for place in places.tolist()}


def _lead(taken: FinalRow, other: FinalRow) -> Margin | None:
    """By how much the reward of the taken network is above another's; None of itself, and without results."""
    if taken is other or taken.reward is None or other.reward is None:
        return None
    return welch(taken.reward.values, other.reward.values)


def _b0_of(rows: Sequence[FinalRow], recommended: FinalRow) -> FinalRow | None:
    """B0's shape, nearest to the recommended network's MACs."""
    shaped = [row for row in rows if row.network.b0_shaped and row.network.role != "random"]
    return min(shaped, key=lambda row: abs(row.macs - recommended.macs), default=None)


def _comparisons(
    rows: Sequence[FinalRow], recommended: FinalRow, taken: FinalRow, part: Part
) -> list[Comparison]:
    """The recommended network, whose MACs the others have; then the taken one, where it is another."""
    b0 = _b0_of(rows, recommended)
    random = [row for row in rows if row.network.role == "random" and row.accuracy(part) is not None]
    found = []
    for row in [recommended] if taken is recommended else [recommended, taken]:
        mean = row.accuracy(part)
        if mean is None:
            continue
        others = [b0] if b0 is not None and b0 is not row else []
        others += [recommended] if row is not recommended and recommended is not b0 else []
        for other in others:
            theirs = other.accuracy(part)
            if theirs is not None:
                margin = welch(mean.values, theirs.values)
                name, over = row.network.name, other.network.name
                ratio = row.macs / other.macs
                found.append(Comparison(name=name, over=over, macs_ratio=ratio, margin=margin))
        if random:
            means = [its.value for other in random if (its := other.accuracy(part)) is not None]
            found.append(
                Comparison(
                    name=row.network.name,
                    over="random",
                    macs_ratio=row.macs * len(random) / sum(other.macs for other in random),
                    margin=welch(mean.values, means),
                )
            )
    return found
