"""Was the search right? One answer, before the details."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nas.repeated import Margin

Answer = Literal["yes", "no", "cannot be told"]
EQUAL = 0.2  # MACs that differ by more are not called equal, and what is there is no control


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a search was right, and why that is said.

    Attributes:
        answer: ``yes``: the recommended network has the highest reward, and is distinguishably better than
            B0's shape and than random networks at equal MACs. ``no``: something is distinguishably better
            than it. Else it ``cannot be told``.
        reasons: in words, each a part of a sentence.
    """

    answer: Answer
    reasons: tuple[str, ...]

    @property
    def words(self) -> str:
        """The answer as one line."""
        return f"was the search right? {self.answer}: {'; '.join(self.reasons)}"

    def to_json(self) -> dict[str, str | list[str]]:
        """All of it as plain data."""
        return {"answer": self.answer, "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What stands beside the recommended network.

    Attributes:
        name: in a sentence.
        margin: the recommended network's accuracy less its own; None where either has no result.
        equal: its MACs are near enough to the recommended network's.
    """

    name: str
    margin: Margin | None
    equal: bool


def verdict_of(
    recommended: str,
    taken: str | None,
    lead: Margin | None,
    controls: Sequence[Control],
    above: Sequence[str] = (),
    finalists: int = 2,
) -> Verdict:
    """Whether a search was right.

    Args:
        recommended: the network that it recommends.
        taken: the one with the highest reward; None where the recommended one has no result.
        lead: by how much that is above the recommended one's; None where that is it.
        controls: networks at equal MACs.
        above: names of random networks whose mean validation accuracy is above the recommended one's.
        finalists: that have a result.
    """
    if taken is None:
        return Verdict(
            answer="cannot be told", reasons=(f"{recommended}, which it recommends, has no result",)
        )
    right, wrong = [taken == recommended], [lead is not None and lead.certain]
    if taken == recommended:
        first = (
            f"has the highest reward of {finalists} finalists" if finalists > 1 else "is the only finalist"
        )
        reasons = [f"{recommended}, which it recommends, {first}"]
    elif lead is not None and lead.certain:
        reasons = [f"{taken} has a higher reward than {recommended}, which it recommends, beyond the noise"]
    else:
        reasons = [f"{taken} has a higher reward than {recommended}, which it recommends, but {unsure(lead)}"]
    for control in controls:
        margin = control.margin
        if not control.equal:
            reasons.append(f"there is no result at equal MACs of {control.name}")
            right.append(False)
        elif margin is not None and margin.certain:
            reasons.append(
                f"{recommended} is {'better' if margin.value > 0 else 'worse'} than {control.name}"
            )
            right.append(margin.value > 0)
            wrong.append(margin.value < 0)
        else:
            what = "without a result" if margin is None else unsure(margin)
            link = "beside" if margin is None or margin.low is None else "from"
            reasons.append(f"{recommended} is {what} {link} {control.name}")
            right.append(False)
    if above:
        verb = "is" if len(above) == 1 else "are"
        reasons.append(f"by validation accuracy {', '.join(above)} {verb} above {recommended}")
    answer: Answer = "no" if any(wrong) else "yes" if all(right) and controls else "cannot be told"
    return Verdict(answer=answer, reasons=tuple(reasons))


def unsure(margin: Margin | None) -> str:
    """Why a difference says nothing."""
    return "without an interval" if margin is None or margin.low is None else "not distinguishable"
