"""A page in the system's Chromium, without a screen. Needs playwright."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def opened(width: int, height: int) -> Iterator[Any]:
    """A page of so many pixels; ends the program where no browser is installed."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        sys.exit(f"none of {', '.join(_NAMES)} is installed")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        yield chromium.new_page(viewport={"width": width, "height": height})
        chromium.close()
