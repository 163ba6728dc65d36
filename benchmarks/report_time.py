"""How long `nas report` takes for a large run, and how large its page is.

    python -m benchmarks.report_time --candidates 10000 --browser

Makes a run of trivial candidates (the space `efficientnet`, proposed at random, evaluated in this process) in
a temporary folder, then runs ``nas report`` as a process of its own, several times, and prints the median of
its wall time, its processor time, the size of the page, and what that is without plotly's script. With
``--browser`` the page is opened in Chromium (headless, with software rendering, from a file): the time until
it says that it is ready, plots drawn, and how long it takes to select a network and to change the theme.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.browser import opened
from benchmarks.driver_cost import trivial
from nas import CallableEvaluator, parse_config, run_search

MEBIBYTE = 2**20
ROOT = Path(__file__).absolute().parent.parent


def search(candidates: int) -> None:
    """The run, in ``runs/trivial`` of the current directory."""
    config = parse_config(
        {
            "name": "trivial",
            "space": "efficientnet",
            "objective": {"target": 4e8},
            "controller": {"name": "random"},
            "search": {"candidates": candidates, "keep_weights": 0},
            "executor": {"kind": "inline"},
        }
    )
    run_search(config, evaluator=CallableEvaluator(function=trivial, fingerprint="trivial"))


def report() -> tuple[float, float, int]:
    """Wall seconds and processor seconds of the command, and the page's bytes."""
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "nas.cli", "report", "trivial", "-o", "report.html", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return wall, processor, int(json.loads(done.stdout)["bytes"])


def browsed(page: Path) -> dict[str, float]:
    """Seconds until the page is ready, and of two actions on it."""
    clicks = """(id) => {
        const began = performance.now();
        document.getElementById(id).click();
        return performance.now() - began;
    }"""
    with opened(1280, 900) as tab:
        began = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
        found = {"until the page is ready": time.perf_counter() - began}
        for name, button in (("selecting a network", "front-before"), ("changing the theme", "theme")):
            found[name] = tab.evaluate(clicks, button) / 1000
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--browser", action="store_true", help="open the page in Chromium too")
    arguments = parser.parse_args()
    from plotly.offline import get_plotlyjs

    with tempfile.TemporaryDirectory(prefix="report-time-") as folder:
        os.chdir(folder)
        search(arguments.candidates)
        figures = [report() for _ in range(arguments.repeats)]
        walls, processors, sizes = zip(*figures, strict=True)
        print(f"{arguments.candidates:,} candidates, median of {arguments.repeats}")
        print(f"{'nas report, wall':28}{statistics.median(walls):8.1f} s")
        print(f"{'nas report, processor':28}{statistics.median(processors):8.1f} s")
        print(f"{'the page':28}{sizes[0] / MEBIBYTE:8.1f} MiB")
        print(f"{'without plotly':28}{(sizes[0] - len(get_plotlyjs().encode())) / MEBIBYTE:8.1f} MiB")
        if arguments.browser:
            for name, seconds in browsed(Path("report.html").absolute()).items():
                print(f"{name:28}{seconds:8.2f} s")
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
