"""A progress bar over images that comes where they take longer than a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from nas.console import ItemProgress, printable

if TYPE_CHECKING:
    from typing_extensions import Self

_PATIENCE = 2.0  # seconds without a progress bar


class LateProgress:
    """A progress bar that comes where it takes longer than a moment."""

    def __init__(self, what: str) -> None:
        self._what, self._stack = printable(what), ExitStack()
        self._bar: ItemProgress | None = None
        self._total, self._done, self._began = 0, 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def begin(self, images: int) -> Callable[[int], None]:
        """There are so many images."""
        self._total, self._began = images, time.monotonic()
        return self._advance

    def _advance(self, images: int) -> None:
        self._done += images
        if self._bar is not None:
            self._bar.advance(images)
        elif time.monotonic() - self._began > _PATIENCE and self._done < self._total:
            self._bar = self._stack.enter_context(ItemProgress())
            self._bar.begin(self._what, self._total)
            self._bar.advance(self._done)
