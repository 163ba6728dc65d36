"""Ctrl-C as a search wants it: once to finish what runs, twice to stop now, three times to leave at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_MESSAGES = {
    1: b"\nfinishing the running candidates; Ctrl-C again stops now\n",
    2: b"\nstopping now; nothing that finished is lost\n",
}


class Interrupts:
    """How often the user asked to stop.

    Attributes:
        level: 0 go on, 1 finish what runs, 2 stop now.
    """

    def __init__(self) -> None:
        self.level = 0

    @property
    def draining(self) -> bool:
        """No new candidate is to begin."""
        return self.level >= 1

    @property
    def aborting(self) -> bool:
        """What runs is to be dropped."""
        return self.level >= 2

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT, and SIGTERM, which leaves no time to finish."""
        self.level = 2 if number == signal.SIGTERM and self.level < 2 else self.level + 1
        if self.level >= 3:
            os._exit(130)  # the journal is whole at any instant
        with contextlib.suppress(OSError):  # whoever read standard error may be gone
            os.write(2, _MESSAGES[self.level])


@contextmanager
def handled_interrupts() -> Iterator[Interrupts]:
    """Handle SIGINT and SIGTERM while the body runs; outside the main thread nothing is handled."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interrupts.interrupt) for number in numbers]
    try:
        yield interrupts
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
