"""A rediscovery in sentences: what the evidence supports, and what it does not."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nas.console import reward_text
from nas.reference_standing import SAMPLE
from results.wording import amount, count, percent

if TYPE_CHECKING:
    from nas.random_control import RandomControl
    from nas.rediscovery import Rediscovery
    from nas.standing import Standing


def words(found: Rediscovery) -> list[str]:
    """The whole statement, one sentence or two an entry, in order.

    Args:
        found: what was computed.
    """
    parts: tuple[Callable[[Rediscovery], list[str]], ...] = (
        _verdict,
        _protocol,
        _networks,
        _reached,
        _rank,
        _space,
        _policy,
        _random,
        _noise,
    )
    return [sentence for part in parts for sentence in part(found)]


def _verdict(found: Rediscovery) -> list[str]:
    theirs = found.reference_name
    if found.rediscovered is None:
        return [f"Whether {found.run} rediscovered {theirs} cannot be said: {found.unknown}."]
    sense = "as much reward, or as much accuracy at no more MACs"
    how = "measured" if found.replay is None else "looked up"
    if not found.rediscovered:
        return [
            f"Not rediscovered: none of the {found.of} networks that {found.run} {how} is as good as "
            f"{theirs} ({sense})."
        ]
    itself = f"It need not be {theirs} itself."
    if found.itself:
        itself = f"That is {theirs} itself, candidate {found.reference.candidate}, and no other network."
    return [
        f"Rediscovered in one sense alone: {found.run} {how} a network at least as good as {theirs} under "
        f"its evaluator ({sense}). {itself}"
    ]


def _protocol(found: Rediscovery) -> list[str]:
    sentences = []
    if found.replay is not None:
        sentences.append(f"Nothing was trained: {found.replay}.")
    if found.noise:
        sentences.append(
            f"The search saw accuracies with {found.noise:g} points of noise; those of this statement are "
            "without it."
        )
    if found.fitted:
        sentences.append(
            f"{found.reference_name} stands here as the baseline that {found.run} trained, fitted to its "
            f"space: {found.fitted}."
        )
    return sentences


def _networks(found: Rediscovery) -> list[str]:
    target = amount(found.target, found.cost)
    bet = " (recommended)" if found.network.candidate == found.recommended.candidate else ""
    named = ((f"{found.network_name}{bet}", found.network), (found.reference_name, found.reference))
    sentences = [f"{name}: {_standing(standing)}." for name, standing in named]
    if found.predicted:
        whose = " and of ".join(found.predicted)
        sentences.append(f"The accuracy of {whose} is a regressor's prediction, not a training's result.")
    if found.unknown is not None:
        name, cost = found.reference_name, found.reference.cost
        if cost is None:
            sentences.append(f"The accuracy, cost and reward of {name} under this protocol are not known.")
        else:
            sentences.append(
                f"{name} has {cost / found.target:.2f} x the cost that the objective aims at ({target}); its "
                "accuracy and reward under this protocol are not known."
            )
    return sentences


def _standing(standing: Standing) -> str:
    cost = f"{count(standing.macs)} MACs, {count(standing.params)} parameters"
    if standing.accuracy is None:
        return f"no accuracy; {cost}"
    return f"accuracy {percent(standing.accuracy)}, reward {reward_text(standing.reward)}, {cost}"


def _reached(found: Rediscovery) -> list[str]:
    if found.unknown is not None:
        return []
    to_reward = _after(found.trainings_to_reward, found.of, found.reached_by[0])
    to_accuracy = _after(found.trainings_to_accuracy, found.of, found.reached_by[1])
    return [
        f"{found.reference_name}'s reward or more was reached {to_reward}.",
        f"Its accuracy or more at no more MACs was reached {to_accuracy}.",
    ]


def _after(results: int | None, of: int, candidate: int | None) -> str:
    if results is None:
        return f"by none of {of} results"
    return f"after {results} of {of} results, by candidate {candidate}"


def _rank(found: Rediscovery) -> list[str]:
    if found.rank is None:
        return []
    above = "none has" if found.rank == 1 else f"{found.rank - 1} have"
    ties = "none ties" if not found.ties else f"{found.ties} {'ties' if found.ties == 1 else 'tie'}"
    candidate = found.reference.candidate
    itself = "It was not proposed" if candidate is None else f"It is candidate {candidate}"
    sentences = [
        f"Among the {found.of} finished candidates {above} a higher reward than {found.reference_name} and "
        f"{ties} with it: rank {found.rank}. {itself}."
    ]
    if found.percentile is not None:
        sentences.append(
            f"{found.reference_name} is above {found.percentile:.2f} % of {SAMPLE:,} random networks of the "
            "space."
        )
    return sentences


def _space(found: Rediscovery) -> list[str]:
    if found.outside is not None:
        by = "stage and cost alone" if found.unknown is not None else "stage, cost and accuracy"
        return [
            f"The space of {found.run} does not hold {found.reference_name}: {found.outside}. So the two are "
            f"compared by {by} and not by decision, and the search could not have proposed it."
        ]
    agree = sum(line.same for line in found.decisions)
    differ = ", ".join(found.differences)
    rest = f"; it differs in {differ}" if differ else ""
    excluded = (
        f"The limits of {found.run} exclude {found.reference_name}: {found.excluded}. So the search could "
        "not have proposed it."
    )
    return [
        *([excluded] if found.excluded else []),
        f"{_capital(found.network_name)} takes {found.reference_name}'s choice in {agree} of "
        f"{len(found.decisions)} decisions{rest}.",
    ]


def _policy(found: Rediscovery) -> list[str]:
    shares = found.concentration
    if shares is None:
        return []
    share = {name: f"{100 * mean:.0f} %" for name, mean in shares.means().items() if name != "window"}
    if shares.window == shares.proposals:
        which = f"Of all {shares.window} proposals {share['last']}"
    else:
        which = (
            f"Of the last {shares.window} proposals {share['last']}, of the first {shares.window} "
            f"{share['first']}"
        )
    return [
        f"{which} took {found.reference_name}'s choice of a decision, on average over the decisions; a "
        f"uniform policy would take {share['uniform']}.",
        "Where the proposals concentrate shows what the controller came to prefer. Concentrating elsewhere "
        "is no proof of anything, for or against either network.",
    ]


def _random(found: Rediscovery) -> list[str]:
    controls = found.random
    if not controls:
        return []
    sentences = [_control(found, control) for control in controls]
    if len(controls) == 1:
        return [
            *sentences,
            "That is one run of each. It shows what either found this once; it cannot show which of the two "
            "ways to search is better, nor by how much.",
        ]
    rewards = [control.best_reward for control in controls]
    summary = (
        f"Best reward of the {len(controls)} random searches: median "
        f"{reward_text(statistics.median(rewards))}, from {reward_text(min(rewards))} to "
        f"{reward_text(max(rewards))}."
    )
    if found.unknown is None:
        summary += f" {_reached_by(controls, found.reference_name)}"
    return [
        *sentences,
        summary,
        f"That is one run of {found.run}'s controller beside {len(controls)} of random search. They show how "
        "far random search came on this budget. Another seed of the controller would come out differently, "
        "and no significance is claimed.",
    ]


def _control(found: Rediscovery, control: RandomControl) -> str:
    sentence = (
        f"{control.run}, a random search: best reward {reward_text(control.best_reward)} after "
        f"{control.results} results, where {found.run} has {reward_text(control.ours_at_that_budget)}"
    )
    if found.unknown is not None:
        return f"{sentence}."
    after = "never" if control.reached_after is None else f"after {control.reached_after} results"
    return f"{sentence}; {found.reference_name}'s reward: {after}."


def _reached_by(controls: Sequence[RandomControl], reference: str) -> str:
    reached = sum(control.reached_after is not None for control in controls)
    return f"{reached} of {len(controls)} reached {reference}'s reward."


def _noise(found: Rediscovery) -> list[str]:
    """What is not known of trainings; a replay's noise is known, and left out."""
    if found.unknown is not None or found.replay is not None:
        return []
    sentences = [
        "Each network was trained once. How far repeated trainings of one network scatter is not known here; "
        "differences smaller than that mean nothing."
    ]
    if found.of > 1 and found.rediscovered and not found.itself:
        sentences.append(
            f"The best of {found.of} such accuracies is high by luck too, where {found.reference_name} was "
            "measured once."
        )
    if found.images is not None and found.one_image:
        sentences.append(
            f"With one of the {found.images:,} validation images less right ({100 / found.images:.2f} "
            f"points) no other network would be as good as {found.reference_name}: the margin is below what "
            "one image changes."
        )
    return sentences


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
