"""``nas status RUN --watch``: looks at a search again and again, from another process, until it ends.

On a terminal a live screen; elsewhere a line for every change, and not one control code. The journal is
only read. A reading takes longer the more candidates there are, so the pauses grow with it.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console, Group
from rich.live import Live

from nas import console
from nas.status_views import status_document
from nas.watch_views import Sight, draw, plain_line
from results import Run, Status, status_of
from results.run import OF_GIVEN
from search_space import InputError

if TYPE_CHECKING:
    from typing_extensions import Self

_REST = 4.0  # times a reading's length: at most a fifth of the time is spent reading
_TRIES = 5  # readings in a row that may fail when nobody searches, before that is the end
_VOLATILE = ("candidates_per_hour", "seconds_left")  # change with every second


class Watcher:
    """Looks at a run.

    Args:
        run: what to look at.
        every: seconds between two looks, or more where looking takes long.
        read: how it stands.
        clock: seconds, by a clock that no one sets.
    """

    def __init__(
        self,
        run: Run,
        every: float,
        read: Callable[[Run], Status] = status_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run, self.every = run, every
        self._read, self._clock = read, clock
        self._took = 0.0
        self._failures = 0  # in a row
        self._status: Status | None = None
        self._since: dict[tuple[int, int], float] = {}  # trial and attempt to when it was first seen to run

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        return max(self.every, _REST * self._took)

    def look(self) -> Sight:
        """How the search stands now; where it cannot be read, as it stood before, and why.

        Raises:
            InputError, sqlite3.Error, OSError: it cannot be read, and no search is there that could be in the
                way.
        """
        began, trouble = self._clock(), None
        try:
            self._status = self._read(self.run)
        except (InputError, sqlite3.Error, OSError) as error:
            self._failures += 1
            first = self._status is None
            if (first or self._failures >= _TRIES) and not self.run.is_running():
                raise
            trouble = str(error)
        else:
            self._failures = 0
        now = self._clock()
        self._took = now - began
        return Sight(
            name=self.run.name,
            at=time.time(),
            status=self._status,
            trouble=trouble,
            seen=self._seen(now),
        )

    def _seen(self, now: float) -> dict[int, float]:
        running = [] if self._status is None else self._status.running
        self._since = {(t.id, t.attempts): self._since.get((t.id, t.attempts), now) for t in running}
        return {trial: now - since for (trial, _), since in self._since.items()}


class Display(Protocol):
    """Where what is seen is shown."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave everything as it was."""

    def show(self, sight: Sight) -> None:
        """Show what is seen now."""

    def wait(self, seconds: float) -> None:
        """Pass the time until the next look."""


class _Lines:
    """What is shown line by line: nothing is to be left as it was."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def wait(self, seconds: float) -> None:
        """See `Display`."""
        time.sleep(seconds)


class PlainLines(_Lines):
    """A line for every change, and for everything that happened; no control codes."""

    def __init__(self) -> None:
        self._last: object = None
        self._trouble: str | None = None
        self._events: int | None = None

    def show(self, sight: Sight) -> None:
        """See `Display`."""
        if sight.trouble is not None and sight.trouble != self._trouble:
            _say(f"{sight.name}: cannot be read just now: {sight.trouble}")
        self._trouble = sight.trouble
        status = sight.status
        if status is not None:
            for event in status.events[len(status.events) if self._events is None else self._events :]:
                _write_line(console.printable(f"{event.kind}: {event.text}"))
            self._events = len(status.events)
        facts = None if status is None else _changing(status)
        if facts != self._last or self._last is None:
            _write_line(plain_line(sight))
        self._last = facts or "nothing yet"


class JsonLines(_Lines):
    """A JSON document for every change, one a line."""

    def __init__(self) -> None:
        self._last: dict[str, Any] | None = None
        self._trouble: str | None = None

    def show(self, sight: Sight) -> None:
        """See `Display`."""
        if sight.trouble is not None and sight.trouble != self._trouble:
            _say(f"{sight.name}: cannot be read just now: {sight.trouble}")
        self._trouble = sight.trouble
        if sight.status is None or sight.trouble is not None:
            return
        document = status_document(sight.name, sight.status)
        facts = {name: value for name, value in document.items() if name not in _VOLATILE}
        if facts != self._last:
            _write_line(json.dumps(document, allow_nan=False))
        self._last = facts


class LiveScreen:
    """A screen of the terminal's own size, drawn anew every second; the one before comes back at the end."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False, force_terminal=True)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._sight: Sight | None = None
        self._shown_at = 0.0
        self._before = ExitStack()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGTERM, _terminated)  # else the terminal stays without a cursor
            self._before.callback(signal.signal, signal.SIGTERM, before)
        self._before.enter_context(self._live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._before.close()

    def show(self, sight: Sight) -> None:
        """See `Display`."""
        self._sight, self._shown_at = sight, time.monotonic()
        self._draw(sight)

    def wait(self, seconds: float) -> None:
        """See `Display`; what runs grows older, and the terminal may change its size."""
        until = time.monotonic() + seconds
        drawn, size = time.monotonic(), self._console.size
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
            if self._sight is not None and (time.monotonic() - drawn >= 1.0 or size != self._console.size):
                drawn, size = time.monotonic(), self._console.size
                self._draw(self._sight)

    def _draw(self, sight: Sight) -> None:
        age = time.monotonic() - self._shown_at
        older = Sight(
            name=sight.name,
            at=sight.at,
            status=sight.status,
            trouble=sight.trouble,
            seen={trial: seconds + age for trial, seconds in sight.seen.items()},
        )
        width, height = self._console.size
        lines = draw(older, width, height, ascii_only=self._console.options.ascii_only)
        self._live.update(Group(*lines), refresh=True)


def watch(run: Run, every: float, *, json_output: bool = False) -> None:
    """Show a search until it ends; at once where none runs.

    Args:
        run: what to watch.
        every: seconds between two looks, or more where looking takes long.
        json_output: a JSON document for every change instead of a screen or lines.

    Raises:
        InputError: the run cannot be read.
    """
    watcher = Watcher(run, every)
    sight = watcher.look()
    if sight.ended:
        what = "nothing" if sight.status is not None and sight.status.kind in OF_GIVEN else "no search"
        _say(f"{run.name}: {what} runs; this is how it stands")
        if json_output:
            JsonLines().show(sight)
        return
    with _display(json_output) as display:
        display.show(sight)
        while not sight.ended:
            display.wait(watcher.pause)
            sight = watcher.look()
            display.show(sight)


def _display(json_output: bool) -> Display:
    if json_output:
        return JsonLines()
    return LiveScreen() if _is_terminal() else PlainLines()


def _is_terminal() -> bool:
    """Whether control codes do what they are for, and are wanted."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb").lower() in ("dumb", "unknown", "")
    return sys.stdout.isatty() and not plain


def _changing(status: Status) -> object:
    """What makes another line: results, the best, and what the search does."""
    best, bet = status.best, status.recommended
    return (status.state, console.over(status.counts), status.budget, best and best.id, bet and bet.id)


def _write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # a pipe's reader is to see it now


def _say(text: str) -> None:
    console.err.print(console.printable(text), soft_wrap=True)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
