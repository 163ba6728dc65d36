"""Waiting for a disk that is full or a journal that another program has locked.

A result may have cost hours: it is not given up because there is no room for it just now.
"""

from __future__ import annotations

import errno
import functools
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from search_space import InputError

logger = logging.getLogger(__name__)

PAUSE = 0.5  # seconds between two tries
REMIND = 600.0  # seconds between two messages
_OBSTACLES = {
    "database is locked": "another program has locked it",
    "database or disk is full": "the disk is full",
}
# what SQLite calls a write that fails for another reason than a full disk, such as a quota
_NO_ROOM = {"SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_FSYNC"}


class Patient(Protocol):
    """Who waits."""

    path: Path
    give_up: Callable[[], bool]

    def note(self, kind: str, text: str) -> None:
        """Keep in mind what happened."""


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Patient)


def patient(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Try a method that changes all or nothing until nothing is in its way, or its object gives up.

    The method then raises an `InputError` that says what was in the way.
    """

    @functools.wraps(method)
    def waiting(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        began = time.monotonic()
        told: float | None = None
        while True:
            try:
                answer = method(self, *args, **kwargs)
            except (sqlite3.OperationalError, OSError) as error:
                why = obstacle(error)
                if why is None:
                    raise
                if self.give_up():
                    raise InputError(f"{self.path}: {why}") from None
                if told is None or time.monotonic() - told > REMIND:
                    logger.warning("%s: %s; the search waits; Ctrl-C twice gives up", self.path, why)
                    told = time.monotonic()
                time.sleep(PAUSE)
            else:
                break
        if told is not None:
            seconds = time.monotonic() - began
            logger.warning("%s: goes on after %.0f s", self.path, seconds)
            self.note("waited", f"{why} for {seconds:.0f} s")
        return answer

    return waiting  # type: ignore[return-value]


def obstacle(error: Exception) -> str | None:
    """What is in the way, where it may go away by itself or by a user's hand; else None."""
    if isinstance(error, OSError):
        return "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    if getattr(error, "sqlite_errorname", None) in _NO_ROOM:
        return "it cannot be written (the disk is full or fails, or a quota is spent)"
    return next((words for text, words in _OBSTACLES.items() if text in str(error)), None)


def no_wait() -> bool:
    """Gives up at once: for who has nobody to tell."""
    return True
