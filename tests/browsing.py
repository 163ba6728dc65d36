"""Pages in the system's Chromium, without a network. Tests skip where it or playwright is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SCREENSHOTS = Path(__file__).parent.parent / "build" / "screenshots"


class Page:
    """A page that is open, and what went wrong in it."""

    def __init__(self, browser: Any, file: Path, width: int = 1280, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.context.set_offline(True)
        self.wrong: list[str] = []
        self.tab = self.context.new_page()
        self.tab.on("console", lambda message: self._note(message.type, message.text))
        self.tab.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))
        self.tab.on("request", self._asked)
        self.tab.on("dialog", self._opened)
        self.tab.goto(file.as_uri())
        self.tab.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)

    def _note(self, kind: str, text: str) -> None:
        own = "willReadFrequently" in text  # a test looks at the pixels of a canvas
        if kind in ("error", "warning") and not own:
            self.wrong.append(f"console {kind}: {text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.wrong.append(f"asked for {request.url}")

    def _opened(self, dialog: Any) -> None:
        self.wrong.append("dialog")
        dialog.dismiss()

    def text(self, selector: str) -> str:
        return str(self.tab.locator(selector).inner_text())

    def texts(self, selector: str) -> list[str]:
        return list(self.tab.locator(selector).all_inner_texts())

    def screenshot(self, name: str, whole: bool = False) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.tab.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=whole)

    def close(self) -> None:
        """Nothing went wrong, and no name was run."""
        hacked = self.tab.evaluate("window.hacked")
        self.context.close()
        assert self.wrong == []
        assert hacked is None
