"""What was found of finalists, in words: the answer first, then what it rests on.

Differences are always the first less the second, with the interval of the same sign.
"""

from __future__ import annotations

from nas.finalists_config import Chosen, ChosenNetwork
from nas.finalists_findings import Comparison, FinalFindings, FinalRow
from nas.finalists_verdict import EQUAL
from nas.repeated import Margin
from results.wording import count, count_of, networks
from search_space import cost

_UNTOLD = "these trainings cannot tell the two apart; more seeds may"
SELECTION = (
    "the network to take is selected by validation accuracy alone, so its test accuracy is free of the luck "
    "of being selected; the front is drawn by test accuracy, so that of the networks on it is not"
)
NO_TEST = (
    "there are no test images: what is reported is validation accuracy, and that of the network to take is "
    "optimistic, since it was taken for it"
)
NOT_ALL_TESTED = (
    "not every training has measured test images, so validation accuracy is reported; that of the network to "
    "take is optimistic, since it was taken for it"
)


NOT_EQUAL = (
    f"the MACs of random networks differ by more than {100 * EQUAL:.0f} % from the recommended network's: "
    "the space has too few near it, and these are no control at equal MACs"
)


def plan_words(chosen: Chosen, seeds: int, wanted: int | None = None) -> list[str]:
    """What is going to be trained, and by which rule.

    Args:
        chosen: the networks.
        seeds: trainings of each.
        wanted: random networks that were asked for.
    """
    random = [network for network in chosen.networks if network.role == "random"]
    finalists = sum(network.role == "finalist" for network in chosen.networks)
    lines = [f"{count_of(finalists, 'finalist')} of {chosen.search.name}: {chosen.rule}"]
    b0 = next((network for network in chosen.networks if network.role == "b0"), None)
    if b0 is not None:
        lines.append(f"beside them {b0.name}: {b0.note}")
    else:
        b0 = next(network for network in chosen.networks if network.b0_shaped)
        lines.append(f"{b0.name} is itself shaped as EfficientNet-B0")
    lines.append(_random_words(chosen, random, wanted))
    if random and max(_off(chosen, network) for network in random) > EQUAL:
        lines.append(f"warning: {NOT_EQUAL}")
    number = len(chosen.networks)
    lines.append(
        f"{networks(number)}, {count_of(seeds, 'seed')} each: {count_of(number * seeds, 'full training')}"
    )
    return lines


def _random_words(chosen: Chosen, random: list[ChosenNetwork], wanted: int | None) -> str:
    """How many there are, and how far the MACs of the farthest are from the recommended network's."""
    text = f"and {networks(len(random))} drawn at random from the space"
    if wanted is not None and len(random) < wanted:
        text += f" ({wanted} were wanted, no more were found)"
    if not random:
        return text
    off = 100 * max(_off(chosen, network) for network in random)
    return f"{text}, with at most {off:.1f} % more or fewer MACs than the recommended network"


def _off(chosen: Chosen, network: ChosenNetwork) -> float:
    classes, channels = chosen.search.num_classes, chosen.search.in_channels
    own = cost(chosen.recommended.architecture, classes, channels).macs
    return abs(cost(network.architecture, classes, channels).macs / own - 1.0)


def words(found: FinalFindings) -> list[str]:
    """What was found, a line each: the answer, the decision, what they rest on, and what it is worth."""
    so_far = "so far: " if found.waiting else ""
    lines = [f"{so_far}{found.verdict.words}", f"{so_far}{decision_words(found)}", *_close_words(found)]
    lines += [comparison_words(found, comparison) for comparison in found.comparisons]
    if found.intervals > 1:
        lines.append(f"{found.intervals} comparisons at 95 % each: a single narrow win is a hint, no more")
    lines += [f"warning: {text}" for text in _warnings(found)]
    lines.append(found.agreement.words)
    if found.failed or found.waiting:
        lines.append(f"trainings: {found.failed} failed and left out, {found.waiting} still to come")
    part = "test" if found.part == "test" else "validation"
    front = ", ".join(row.network.name for row in found.front)
    lines.append(f"* is on the corrected Pareto front, by {part} accuracy over MACs: {front}")
    lines.append(
        "± is half of a mean's 95 % interval over seeds; that the images are a sample too is not in it"
    )
    if any(mean is not None and mean.equal for row in found.rows for mean in (row.validation, row.test)):
        lines.append("(equal): every seed gave the same accuracy, which is no measure of the noise")
    if found.part == "test":
        return [*lines, SELECTION]
    return [*lines, NOT_ALL_TESTED if any(row.tested for row in found.rows) else NO_TEST]


def _warnings(found: FinalFindings) -> list[str]:
    """What makes the comparison worth less than it looks."""
    lines = []
    if found.fewest == 1:
        lines.append("one training says nothing of the noise between seeds; raise finalists.seeds")
    if found.fewest == 2:
        lines.append("two trainings a network say little: Student's factor is 12.7; raise finalists.seeds")
    if found.falls_short:
        lines.append(
            "finalists are on average less accurate than in the search: this recipe trains less than the "
            "search's proxy did, and the comparison says little"
        )
    if found.random and max(map(found.off, found.random)) > EQUAL:
        lines.append(NOT_EQUAL)
    return lines


def decision_words(found: FinalFindings) -> str:
    """Which network to take, and whether that is what the search recommends."""
    taken, recommended = found.taken.network, found.recommended
    number = sum(row.reward is not None for row in found.rows)
    assert found.taken.reward is not None
    reward = f"the highest reward by final validation accuracy, {found.taken.reward.value:.4f}"
    of = f"of {count_of(number, 'finalist')} it has {reward}"
    name = f"{recommended.network.name}, which the search recommends"
    if taken.recommended:
        return f"take {taken.name}, which the search recommends: {of}"
    if found.lead is None:
        return f"take {taken.name}: {of}; {name}, has no result"
    lead = f"the reward of {name}, {lower_words(found.lead)}"
    if found.lead.certain:
        return f"take {taken.name} and not the recommended network: {of}; {lead}: more than the noise"
    if found.lead.low is None:
        return f"take {taken.name}: {of}; {lead}; {no_interval(found.taken, recommended)}"
    return f"take {taken.name}: {of}; {lead}: {_UNTOLD}"


def lower_words(margin: Margin) -> str:
    """``differs by -0.0863 [-0.4500, +0.2774]``: the other less the one with this lead."""
    if margin.value == 0:
        return "is equal"
    text = f"differs by {-margin.value:+.4f}"
    if margin.low is None or margin.high is None:
        return text
    return f"{text} [{-margin.high:+.4f}, {-margin.low:+.4f}]"


def _close_words(found: FinalFindings) -> list[str]:
    """The other finalists that may be as good as the one to take."""
    lines = []
    close = [row.network.name for row in found.close if not row.network.recommended]
    if close:
        lines.append(f"by reward these trainings cannot tell it from {', '.join(close)} either way")
    untold = [row for row in found.untold if not row.network.recommended]
    for text in dict.fromkeys(no_interval(found.taken, row) for row in untold):
        its = [row.network.name for row in untold if no_interval(found.taken, row) == text]
        lines.append(f"whether it is better than {', '.join(its)} is not known: {text}")
    return lines


def no_interval(one: FinalRow, other: FinalRow) -> str:
    """Why there is none."""
    if len(one.trials) == len(other.trials) == 1:
        return "one training each tells nothing"
    if min(len(one.trials), len(other.trials)) == 1:
        return "one training of either tells nothing"
    return "every seed of each gave the same, which tells nothing of the noise"


def comparison_words(found: FinalFindings, comparison: Comparison) -> str:
    """One comparison as a sentence."""
    own, margin = _row(found, comparison.name), comparison.margin
    costs = f"MACs x {comparison.macs_ratio:.2f}"
    if comparison.over == "random":
        number = len(found.random)
        over = "the one random network" if number == 1 else f"the mean of {number} random networks"
        why = no_interval(own, found.random[0]) if number == 1 else "nothing is known of the noise"
        why = "one training tells nothing" if len(own.trials) == 1 else why
    else:
        row = _row(found, comparison.over)
        over = comparison.over if row.network.role == "finalist" else f"the B0-shaped {comparison.over}"
        costs += f", {count(own.params)} parameters and {count(row.params)}"
        why = no_interval(own, row)
    text = f"on {found.part} images {comparison.name} less {over} ({costs}): {difference_words(margin)}"
    if margin.low is None:
        return f"{text}; {why}"
    return f"{text}: {'more than the noise' if margin.certain else 'not distinguishable'}"


def difference_words(margin: Margin) -> str:
    """``difference -2.64 [-6.71, +1.43] points``."""
    text = f"difference {100 * margin.value:+.2f}"
    if margin.low is not None and margin.high is not None:
        text += f" [{100 * margin.low:+.2f}, {100 * margin.high:+.2f}]"
    return f"{text} points"


def end_words(found: FinalFindings, run: str, *, weights: bool) -> list[str]:
    """What may be done with the network to take.

    Args:
        found: of the run.
        run: its name.
        weights: they were kept.
    """
    if weights:
        return [f"nas export {run}@best exports {found.taken.network.name} with its weights"]
    return [
        "no weights were kept; finalists.keep_weights: true keeps those of every training",
        f"nas train {run}@best --config FILE trains {found.taken.network.name} once more, and keeps them",
    ]


def _row(found: FinalFindings, name: str) -> FinalRow:
    return next(row for row in found.rows if row.network.name == name)
