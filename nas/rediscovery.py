"""Has a search found a network as good as a published one? Stated soberly.

*Rediscovered* is: the search measured a network whose reward is at least the reference's under the same
evaluator, or whose accuracy is at least its at no more MACs. That need not be the reference itself; how many
decisions agree is said beside it. `nas.rediscovery_words` puts it into sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nas.concentration import Concentration, concentration
from nas.config import SearchConfig, load_config
from nas.measured_noise import decided_by_one_image, validation_images
from nas.random_control import RandomControl, random_controls
from nas.rediscovery_words import words
from nas.reference_standing import Reference, find_reference, percentile
from nas.side_by_side import StageLine, side_by_side
from nas.standing import (
    Records,
    Result,
    Standing,
    as_accurate,
    as_good,
    first,
    read_records,
    results_in_order,
    standing_of,
)
from results import Run, Trial
from results.run import OF_GIVEN
from search_space import Architecture, InputError, StageSpace, load_space
from trainers import load_table_evaluator


class NothingFinishedError(InputError):
    """A run with no result that could stand beside a reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLine:
    """One decision of two networks.

    Attributes:
        decision: such as ``stage2.kernel``.
        ours, theirs: what the run's network and the reference chose.
        share_first, share_last: of the window's proposals that took the reference's choice, 0 to 1; None
            where nothing was proposed.
        uniform: one over the number of choices.
    """

    decision: str
    ours: Any
    theirs: Any
    share_first: float | None
    share_last: float | None
    uniform: float

    @property
    def same(self) -> bool:
        """Whether the two agree."""
        return bool(self.ours == self.theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rediscovery:
    """What a search found, beside a reference.

    Attributes:
        run: its name.
        reference_name, network_name: of the two networks, for sentences.
        reference, network: the two under the run's evaluator.
        recommended: the network the controller bets on, which may be another than `network`.
        unknown: why the reference's accuracy is not known; None where it is.
        outside: why the run's space does not hold the reference; None where it does.
        excluded: which limits of the run the reference exceeds, where the space holds it; empty where none.
        fitted: what of the reference was changed to be trained in the run as a baseline; empty where nothing.
        target: T of the objective, in the unit of its cost.
        cost: which cost that is: ``macs`` or ``params``.
        trainings_to_reward: results until the first with the reference's reward or more; None for never, and
            where that is not known. Candidates that failed are no results.
        trainings_to_accuracy: results until the first with its accuracy or more at no more MACs.
        reached_by: the candidates that those two were.
        itself: whether no result but the reference's own is as good as the reference.
        rank: of the reference's reward among the run's results; 1 is above all. None where it is not known.
        ties: results other than the reference with exactly its reward.
        of: results of the run.
        percentile: of its reward among random networks of the space; None where each would be a training,
            and where a table without a regressor does not hold them all.
        stages: of both networks, side by side: the run's first.
        decisions: of the space; empty where it does not hold the reference.
        concentration: of the run's proposals on the reference's choices; None where there is none.
        random: runs by random search with the same budget.
        replay: what was replayed, and how good its regressor is; None where candidates were trained.
        noise: of a replay, in accuracy points; the accuracies here are without it. None where trained.
        predicted: which of the two names has an accuracy that is a regressor's.
        images: validation images that an accuracy is of; None where that is not known.
        one_image: whether no network would be as good as the reference with one of them less right; None
            where that cannot be said.
    """

    run: str
    reference_name: str
    network_name: str
    reference: Standing
    network: Standing
    recommended: Standing
    unknown: str | None
    outside: str | None
    excluded: str
    fitted: str
    target: float
    cost: str
    trainings_to_reward: int | None
    trainings_to_accuracy: int | None
    reached_by: tuple[int | None, int | None]
    itself: bool
    rank: int | None
    ties: int
    of: int
    percentile: float | None
    stages: tuple[StageLine, ...]
    decisions: tuple[DecisionLine, ...]
    concentration: Concentration | None
    random: tuple[RandomControl, ...]
    replay: str | None
    noise: float | None
    predicted: tuple[str, ...]
    images: int | None
    one_image: bool | None

    @property
    def rediscovered(self) -> bool | None:
        """See the module; None where the reference's accuracy is not known."""
        if self.unknown is not None:
            return None
        return self.trainings_to_reward is not None or self.trainings_to_accuracy is not None

    @property
    def differences(self) -> dict[str, tuple[Any, Any]]:
        """Decision to (the run's network, reference) where the two differ."""
        return {line.decision: (line.ours, line.theirs) for line in self.decisions if not line.same}

    def words(self) -> list[str]:
        """The whole statement in sentences, in order."""
        return words(self)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, with the statement in words."""
        own = {"name": self.network_name, **asdict(self.network)}
        other = {"name": self.reference_name, **asdict(self.reference)}
        return {
            "run": self.run,
            "reference_name": self.reference_name,
            "network_name": self.network_name,
            "words": self.words(),
            "rediscovered": self.rediscovered,
            "networks": [own, other],
            "stages": [
                {"stage": line.stage, "ours": line.texts[0], "theirs": line.texts[1], "same": line.same}
                for line in self.stages
            ],
            "decisions": [{**asdict(line), "same": line.same} for line in self.decisions],
            "rank": self.rank,
            "ties": self.ties,
            "of": self.of,
            "percentile": self.percentile,
            "concentration": None if self.concentration is None else self.concentration.means(),
            "random": [control.to_json() for control in self.random],
            "reference": asdict(self.reference),
            "recommended": asdict(self.recommended),
            "trainings_to_reward": self.trainings_to_reward,
            "trainings_to_accuracy": self.trainings_to_accuracy,
            "reached_by": list(self.reached_by),
            "differences": {name: list(both) for name, both in self.differences.items()},
            "replay": self.replay,
            "unknown": self.unknown,
            "outside": self.outside,
            "excluded": self.excluded,
            "fitted": self.fitted,
        }


def rediscovery(
    run: Run,
    name: str,
    reference: Architecture,
    network: Trial | None = None,
    random: Sequence[Run] = (),
) -> Rediscovery:
    """Compare a search with a reference network.

    Args:
        run: with a result at least.
        name: of the reference, for messages.
        reference: any network. Its accuracy is known where a table is replayed that knows it, and where it
            was trained in the run: as a candidate, or as a baseline (also fitted to the space).
        network: a candidate of the run; None is the recommended one.
        random: runs by random search with the same evaluator and objective.

    Raises:
        NothingFinishedError: no candidate has finished, or the run is an audit.
        InputError: the run is one of scaling, a replayed table cannot be read, the network is a baseline, or
            a run is no random search that compares.
    """
    if run.kind() in OF_GIVEN:
        raise InputError(run.unranked())
    config = load_config(run.config_path)
    space = load_space(config.space)
    records = read_records(run)
    results = results_in_order(records, config.objective)
    if not results:
        audit = any(trial.status == "done" for trial in records.candidates)
        why = "is an audit and ranks nothing" if audit else "no candidate has finished yet"
        raise NothingFinishedError(f"{run.name}: {why}")
    table = None if config.evaluator is None else load_table_evaluator(config.evaluator, space)
    bet = run.recommended()
    own = network or bet
    if not own.proposed:
        raise InputError(f"{own.title} of {run.name} is no candidate: the search did not find it")
    theirs = find_reference(config, space, records, table, name, reference)
    standing = theirs.standing
    images, one_image = _images(config, results, standing)
    return Rediscovery(
        run=run.name,
        reference_name=name,
        network_name=own.title,
        reference=standing,
        network=standing_of(own, config.objective),
        recommended=standing_of(bet, config.objective),
        unknown=theirs.unknown,
        outside=theirs.outside,
        excluded=theirs.excluded,
        fitted=theirs.fitted,
        target=config.objective.target,
        cost=config.objective.cost,
        percentile=percentile(table, space, config.objective, standing.reward),
        stages=tuple(side_by_side([own.network(), theirs.architecture])),
        replay=None if table is None else table.description,
        noise=None if table is None else table.noise,
        predicted=_predicted(own, theirs, name),
        random=random_controls(run, config, records, results, standing.reward, random),
        images=images,
        one_image=one_image,
        **_place(results, standing),
        **_choices(records, space, own, theirs),
    )


def _place(results: Sequence[Result], theirs: Standing) -> dict[str, Any]:
    """Where the reference stands among the results, and when one was as good."""
    others = [result for result in results if result.id != theirs.candidate]
    reward, to_reward, rank = theirs.reward, None, None
    if reward is not None:
        to_reward = first(result.reward >= reward for result in results)
        rank = 1 + sum(result.reward > reward for result in results)
    to_accuracy = first(as_accurate(result, theirs) for result in results)
    return {
        "trainings_to_reward": to_reward,
        "trainings_to_accuracy": to_accuracy,
        "reached_by": tuple(None if n is None else results[n - 1].id for n in (to_reward, to_accuracy)),
        "itself": not any(as_good(result, theirs) for result in others),
        "rank": rank,
        "ties": sum(result.reward == reward for result in others),
        "of": len(results),
    }


def _choices(records: Records, space: StageSpace, own: Trial, theirs: Reference) -> dict[str, Any]:
    """What decides of both networks, and how the proposals went; nothing outside the space."""
    if theirs.indices is None:
        return {"decisions": (), "concentration": None}
    shares = concentration(space, records.proposals, theirs.indices)
    mine = space.choices(space.encode(own.network()))
    its = space.choices(theirs.indices)
    lines = tuple(
        DecisionLine(
            decision=decision.name,
            ours=mine[number],
            theirs=its[number],
            share_first=None if shares is None else shares.first[number],
            share_last=None if shares is None else shares.last[number],
            uniform=1.0 / len(decision.choices),
        )
        for number, decision in enumerate(space.decisions)
    )
    return {"decisions": lines, "concentration": shares}


def _predicted(own: Trial, theirs: Reference, name: str) -> tuple[str, ...]:
    """Whose accuracy is a regressor's."""
    measured = own.curve[-1] if own.curve else {}
    found = [own.title] if measured.get("in_table") == 0.0 else []
    return (*found, name) if theirs.predicted else tuple(found)


def _images(
    config: SearchConfig, results: Sequence[Result], theirs: Standing
) -> tuple[int | None, bool | None]:
    """Validation images, and whether one of them decides; None where that cannot be said."""
    if theirs.accuracy is None or theirs.reward is None:
        return None, None
    accuracies = [theirs.accuracy, *(result.accuracy for result in results)]
    images = validation_images(config, accuracies)
    if images is None:
        return None, None
    return images, decided_by_one_image(config.objective, results, theirs, images)
