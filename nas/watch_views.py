"""A search that is watched, as lines: for a screen of any size, and for a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.text import Text

from nas.console import costs_in_words, duration, hourly, over, printable, reward_text
from results import Status, Trial, chosen_of, words_of
from results.run import OF_GIVEN
from results.wording import amount, count, percent

BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_LABEL = 13  # cells of the first column
_NARROW = 72  # cells below which words are left out
_GAP = "  "
_MANY = 100  # rows that no screen needs more of
_STATES = {"running": "green", "new": "yellow", "error": "red", "killed": "red", "failing": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen of a search at one moment.

    Attributes:
        name: of the run.
        at: Unix time of the reading.
        status: how it stands; None before it could be read.
        trouble: why it could not be read just now.
        seen: seconds for which each trial that runs has been seen to run, by its id.
    """

    name: str
    at: float
    status: Status | None
    trouble: str | None = None
    seen: Mapping[int, float] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether no search runs, and none is about to begin."""
        return (
            self.trouble is None and self.status is not None and self.status.state not in ("running", "new")
        )


class _Part(NamedTuple):
    """Lines that belong together.

    Attributes:
        rank: those of a lower one get room first.
        least: how many of the lines it shows, or none.
    """

    rank: int
    least: int
    lines: list[Text]


def sparkline(values: Sequence[float], width: int, blocks: str = BLOCKS, last: bool = False) -> str:
    """A curve of characters, scaled from the lowest to the highest.

    Args:
        values: finite numbers in their order.
        width: characters at most; where there are more values each stands for the mean of some.
        blocks: characters by rising height.
        last: each stands for the last of some instead, which suits what only rises.
    """
    points = condensed(values, width, last)
    if not len(points):
        return ""
    low, high = points.min(), points.max()
    if not high > low:
        return blocks[len(blocks) // 2 - 1] * len(points)
    heights = (points - low) / (high - low) * (len(blocks) - 1)
    return "".join(blocks[round(height)] for height in heights.tolist())


def condensed(values: Sequence[float], width: int, last: bool = False) -> npt.NDArray[np.float64]:
    """The points of a curve, `width` at most; see `sparkline`."""
    if not values or width < 1:
        return np.empty(0)
    edges = np.linspace(0, len(values), min(width, len(values)) + 1).astype(int)
    array = np.asarray(values, dtype=np.float64)
    return array[edges[1:] - 1] if last else np.add.reduceat(array, edges[:-1]) / np.diff(edges)


def plain_line(sight: Sight) -> str:
    """How the search stands, in one line without any control codes."""
    status, clock = sight.status, _clock(sight.at)
    if status is None:
        return f"{clock} {sight.name}: cannot be read yet"
    if status.state == "new":
        return f"{clock} {sight.name}: {_waiting(status)}"
    words = [f"{over(status.counts)}/{status.budget or '?'}"]
    if status.best is not None:
        words.append("best " + ", ".join(_facts(status.best, short=False)))
    if (chosen := chosen_of(status.scaled)) is not None:
        words.append(f"best {chosen.words}, {percent(chosen.mean)} in the mean of {len(chosen.accuracies)}")
    words += _ends(status)
    words.append(f"{len(status.running)} running")
    if status.candidates_per_hour is not None:
        words.append(f"{hourly(status.candidates_per_hour)}/h")
    if status.seconds_left is not None:
        words.append(f"{duration(status.seconds_left)} left")
    return printable(f"{clock} {sight.name} {status.state}: {'; '.join(words)}")


def draw(sight: Sight, width: int, height: int, *, ascii_only: bool = False) -> list[Text]:
    """A screen: no more lines than its height, none wider than its width.

    Args:
        sight: what is shown.
        width, height: cells and lines there are.
        ascii_only: whether the terminal can show nothing else.
    """
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    parts = [_header(sight)]
    if sight.trouble is not None:
        parts.append(_Part(1, 1, [Text(f"cannot be read just now: {printable(sight.trouble)}", "red")]))
    status = sight.status
    if status is not None and status.state == "new":
        parts.append(_Part(1, 1, [Text(_waiting(status))]))
    elif status is not None:
        parts += [
            _progress(status, width, blocks),
            _numbers(status, width),
            *_networks(status, width),
            *_target(status),
            *_curves(status, width, blocks),
            _running(sight, status, width),
            _failures(status),
            _events(status),
            _results(status, width),
        ]
    foot = f"read {_clock(sight.at)}; Ctrl-C ends the watching only"
    parts.append(_Part(5, 1, [Text(foot, "dim")]))
    lines = _fitted([part for part in parts if part.lines], height)
    for line in lines:
        line.truncate(width, overflow="crop" if ascii_only else "ellipsis")
    return lines


def _fitted(parts: list[_Part], height: int) -> list[Text]:
    """As many of the lines as there is room for, in their order."""
    order = sorted(range(len(parts)), key=lambda i: parts[i].rank)
    given = [0] * len(parts)
    room = height
    for i in order:
        least = min(parts[i].least, len(parts[i].lines))
        if least <= room:
            given[i] = least
            room -= least
    for i in order:
        more = min(len(parts[i].lines) - given[i], room) if given[i] else 0
        given[i] += more
        room -= more
    return [line for part, number in zip(parts, given, strict=True) for line in part.lines[:number]]


def _header(sight: Sight) -> _Part:
    line = Text(printable(sight.name), "bold")
    if sight.status is not None:
        kind = "" if sight.status.kind == "search" else f"{sight.status.kind} "
        line.append(f"{_GAP}{kind}{sight.status.state}", _STATES.get(sight.status.state, "bold"))
    return _Part(0, 1, [line])


def _progress(status: Status, width: int, blocks: str) -> _Part:
    finished, budget = over(status.counts), status.budget
    text = f"{finished}/{budget or '?'}"
    line = Text()
    if budget:
        text = f"{_GAP}{text}{_GAP}{min(100, 100 * finished // budget)} %"
        cells = max(0, min(width - len(text), 60))
        full = min(cells, cells * finished // budget)
        line.append(blocks[-1] * full, "green")
        line.append(("░" if blocks == BLOCKS else ".") * (cells - full), "dim")
    line.append(text)
    return _Part(1, 1, [line])


def _numbers(status: Status, width: int) -> _Part:
    workers = f"{len(status.running)} running"
    if status.workers:
        workers += f" on {status.workers} worker{'s' if status.workers > 1 else ''}"
    rate = hourly(status.candidates_per_hour)
    facts = [workers, f"{rate} an hour", f"{duration(status.seconds_left)} left", *_ends(status)]
    if status.counts.get("pending"):
        facts.append(f"{status.counts['pending']} waiting")
    if status.reused:
        facts.append(f"{sum(status.reused.values())} taken over")
    return _Part(2, 1, _packed("", facts, width))


def _waiting(status: Status) -> str:
    return f"waits for the {'trainings' if status.kind in OF_GIVEN else 'search'} to begin"


def _ends(status: Status) -> list[str]:
    """How many failed and were stopped early, where any did."""
    words = {"failed": "failed", "stopped": "stopped early"}
    return [f"{status.counts[state]} {text}" for state, text in words.items() if status.counts.get(state)]


def _networks(status: Status, width: int) -> list[_Part]:
    """The best observed, and the recommended where that is another; of scaling the point that is ahead."""
    if (chosen := chosen_of(status.scaled)) is not None:
        words = f"{percent(chosen.mean)} in the mean of {len(chosen.accuracies)}"
        return [_Part(3, 1, [_labelled("best", f"{printable(chosen.words)}: {words}", "bold")])]
    if status.best is None:  # what no controller proposed has no reward
        return [] if status.kind != "search" else [_Part(3, 1, [_labelled("best", "no result yet")])]
    parts = [_network("best", status.best, width, 3)]
    bet = status.recommended
    if bet is not None and bet.id == status.best.id:
        parts.append(_Part(6, 1, [_labelled("recommended", f"{bet.id}, the same")]))
    elif bet is not None:
        parts.append(_network("recommended", bet, width, 6))
    return parts


def _target(status: Status) -> list[_Part]:
    """How far the best and the recommended are from the target; nothing where there is none."""
    drift = status.target
    if drift is None or drift.best is None:
        return []
    text = f"{amount(drift.target, drift.cost)}{_GAP}best {drift.best:.2f} x"
    if drift.recommended is not None:
        text += f"{_GAP}recommended {drift.recommended:.2f} x"
    return [_Part(6, 1, [_labelled("target", text, "yellow" if drift.held is False else "")])]


def _network(label: str, trial: Trial, width: int, rank: int) -> _Part:
    first = _labelled(label, _GAP.join(_facts(trial, short=width < _NARROW)), "bold")
    stages = trial.network().summary().split(" | ")
    return _Part(rank, 1, [first, *_packed("", stages, width, " | ", indent=_LABEL)])


def _facts(trial: Trial, short: bool) -> list[str]:
    reward = reward_text(trial.reward)
    facts = [str(trial.id), percent(trial.accuracy), reward if short else f"reward {reward}"]
    return [*facts, costs_in_words(trial), *([] if short else [f"{count(trial.params)} params"])]


def _curves(status: Status, width: int, blocks: str) -> list[_Part]:
    """The best reward so far and each reward, over the results."""
    rewards = [trial.reward for trial in status.results if trial.reward is not None]
    if not rewards:
        return []
    best = list(accumulate(rewards, max))
    parts = []
    for rank, label, values, rises in ((4, "best reward", best, True), (7, "rewards", rewards, False)):
        room = width - _LABEL - len(_span(values))
        points = condensed(values, room, last=rises).tolist()
        curve = sparkline(points, room, blocks)
        span = _span(points or values)  # of what is drawn: a mean is never the best
        parts.append(_Part(rank, 1, [_labelled(label, curve, "cyan").append(span)]))
    return parts


def _span(values: Sequence[float]) -> str:
    return f"{_GAP}{min(values):.4f} to {max(values):.4f}"


def _running(sight: Sight, status: Status, width: int) -> _Part:
    names = [
        f"{trial.id if trial.proposed else printable(trial.title)} {duration(sight.seen.get(trial.id, 0.0))}"
        for trial in status.running[:_MANY]
    ]
    return _Part(8, 1, _packed("running", names, width))


def _failures(status: Status) -> _Part:
    """The reasons, most frequent first."""
    reasons = list(status.failures.items())[:_MANY]
    return _Part(9, 1, _listed("failures", (f"{number} {printable(why)}" for why, number in reasons), "red"))


def _events(status: Status) -> _Part:
    """The last first."""
    events = reversed(status.events[-_MANY:])
    texts = (printable(f"{_clock(event.at)} {event.kind}: {event.text}") for event in events)
    return _Part(10, 1, _listed("events", texts, "yellow"))


def _results(status: Status, width: int) -> _Part:
    """A table of the last results, the newest first."""
    if not status.results:
        return _Part(11, 2, [])
    heads = ("result", "accuracy", "reward", "MACs", "time")
    sizes = (8, 10, 8, 8, 8)
    lines = [Text("".join(head.rjust(size) for head, size in zip(heads, sizes, strict=True)), "dim")]
    for trial in reversed(status.results[-_MANY:]):
        if trial.status != "done":
            why = f" ({printable(trial.error)})" if trial.error else ""
            lines.append(Text(f"{trial.id:>8}{_GAP}{trial.status}{why}", _STATES["error"]))
            continue
        cells = (percent(trial.accuracy), reward_text(trial.reward), count(trial.macs), _time_of(trial))
        line = "".join(cell.rjust(size) for cell, size in zip((str(trial.id), *cells), sizes, strict=True))
        if width >= _NARROW:
            scaled = f"{printable(words_of(trial.choices))}{_GAP}" if status.kind in OF_GIVEN else ""
            line += f"{_GAP}{scaled}{trial.network().summary()}"
        best = status.best is not None and trial.id == status.best.id
        lines.append(Text(line, "bold" if best else ""))
    return _Part(11, 2, lines)


def _time_of(trial: Trial) -> str:
    if trial.reused is not None:
        return "reused"
    return f"{trial.seconds:.1f} s" if trial.seconds < 60 else duration(trial.seconds)


def _labelled(label: str, text: str, style: str = "") -> Text:
    return Text(label.ljust(_LABEL), "dim").append(text, style)


def _listed(label: str, texts: Iterable[str], style: str) -> list[Text]:
    """One text a line, the label before the first."""
    return [_labelled("" if number else label, text, style) for number, text in enumerate(texts)]


def _packed(
    label: str, items: Sequence[str], width: int, separator: str = _GAP + _GAP, indent: int | None = None
) -> list[Text]:
    """Items side by side, as many to a line as fit; the label before the first."""
    before = (_LABEL if label else 0) if indent is None else indent
    lines: list[str] = []
    for item in items:
        if lines and cell_len(lines[-1] + separator + item) <= width - before:
            lines[-1] += separator + item
        else:
            lines.append(item)
    return [
        Text((label if number == 0 else "").ljust(before), "dim").append(line, "none")
        for number, line in enumerate(lines)
    ]


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
