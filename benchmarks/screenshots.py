"""Pictures of what a run shows in a browser, for the documentation.

    python -m benchmarks.screenshots RUN -o docs/images

Makes the report of a run with ``nas report`` and starts TensorBoard on its folder, opens both in Chromium
(headless) and writes ``report.png``, ``report-selected.png`` and ``tensorboard.png``. Needs playwright and a
Chromium from the system's packages.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.browser import opened
from results import open_run


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """TensorBoard on a folder; its address, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(address, timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    run = open_run(arguments.run)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder, opened(1280, 1500) as page:
        report = Path(folder, "report.html")
        subprocess.run(
            [sys.executable, "-m", "nas.cli", "report", str(run.path.absolute()), "-o", str(report)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        page.screenshot(path=arguments.output / "report.png")
        page.locator("#drawing-card").screenshot(path=arguments.output / "report-selected.png")
        with tensorboard(run.path) as address:
            page.goto(f"{address}/?tagFilter=search/&runFilter=tensorboard$#timeseries")
            page.wait_for_timeout(20_000)  # it loads in the background, and says nowhere that it has
            page.get_by_role("button", name="Settings").first.click()  # closes them
            page.wait_for_timeout(2_000)
            page.screenshot(path=arguments.output / "tensorboard.png")


if __name__ == "__main__":
    main()
