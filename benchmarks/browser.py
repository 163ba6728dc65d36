"""The system's Chromium, without a screen. Needs playwright."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        yield found
        found.close()


@contextmanager
def opened(width: int, height: int) -> Iterator[Any]:
    """A page of so many pixels; ends the program where no browser is installed."""
    if BROWSER is None:
        sys.exit(f"none of {', '.join(_NAMES)} is installed")
    with chromium() as browser:
        yield browser.new_page(viewport={"width": width, "height": height})
