"""Ctrl-C as a search wants it: once to finish what runs, twice to stop now, three times to leave at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_MESSAGES = {
    1: b"\nfinishing the running candidates; Ctrl-C again stops now\n",
    2: b"\nstopping now; nothing that finished is lost\n",
}


class Interrupts:
    """How often the user asked to stop.

    Args:
        messages: what is said at the first and at the second time.
        raises: at the second Ctrl-C raise KeyboardInterrupt, where nothing asks whether to stop now.

    Attributes:
        level: 0 go on, 1 finish what runs, 2 stop now.
    """

    def __init__(self, messages: Mapping[int, bytes] = _MESSAGES, *, raises: bool = False) -> None:
        self.level = 0
        self._messages, self._raises = messages, raises

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
            os._exit(130)  # what is on disk is whole at any instant
        with contextlib.suppress(OSError):  # whoever read standard error may be gone
            os.write(2, self._messages[self.level])
        if self._raises and self.level == 2 and number == signal.SIGINT:
            raise KeyboardInterrupt


@contextmanager
def handled_interrupts(
    messages: Mapping[int, bytes] = _MESSAGES, *, raises: bool = False
) -> Iterator[Interrupts]:
    """Handle SIGINT and SIGTERM while the body runs, see `Interrupts`; outside the main thread nothing is
    handled."""
    interrupts = Interrupts(messages, raises=raises)
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
