"""What the driver of a search spends on a candidate, when the candidates themselves cost nothing.

    python benchmarks/driver_cost.py --candidates 200 5000

Runs searches of trivial candidates on Ray workers, each in a process of its own in a temporary folder, and
prints for each: processor time of the driver and wall time a candidate, without the controller's own share
(asking, telling, saving its state), which is printed beside; the same for the last tenth of the candidates,
which would show a cost that grows; the driver's memory; the size of journal and history.
``--executor inline`` leaves Ray out, ``--controller`` chooses who proposes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller import Controller
from nas import CallableEvaluator, parse_config, run_search
from nas import search as search_module
from results import Trial
from search_space import Architecture

MEBIBYTE = 2**20


def trivial(architecture: Architecture, seed: int) -> float:
    """An accuracy made from the key; so low that no network is ruled out by its cost alone."""
    return 0.5 + int(architecture.key[:6], 16) / 2**28


class Clock:
    """Processor seconds of this process, split into the controller's and the rest, and samples of both."""

    def __init__(self) -> None:
        self.controller = 0.0
        self.results: list[tuple[float, float, float, float]] = []  # wall, all, controller's, memory

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its processor time counted as the controller's."""

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.controller += time.process_time() - began

        return timed

    def on_start(self, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""

    def on_result(self, trial: Trial, best: Trial | None, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""
        self.results.append((time.perf_counter(), time.process_time(), self.controller, memory()))


def memory() -> float:
    """Resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * resource.getpagesize())


def measure(candidates: int, executor: str, workers: int | None, controller: str) -> dict[str, float]:
    """One search in this process and folder; seconds a candidate."""
    clock = Clock()
    for name in ("ask", "tell"):
        setattr(Controller, name, clock.wrapped(getattr(Controller, name)))
    search_module.saved = clock.wrapped(search_module.saved)
    config = parse_config(
        {
            "name": "trivial",
            "space": "efficientnet",
            "objective": {"target": 4e8},
            "controller": {"name": controller},
            "search": {"candidates": candidates, "keep_weights": 0},
            "executor": {"kind": executor, "workers": workers if executor == "ray" else None},
        }
    )
    run_search(
        config, evaluator=CallableEvaluator(function=trivial, fingerprint="trivial"), listeners=[clock]
    )
    tenth = max(1, candidates // 10)
    figures = {"candidates": float(len(clock.results))}
    for name, part in (("all", clock.results), ("last tenth", clock.results[-tenth - 1 :])):
        first, last, number = part[0], part[-1], len(part) - 1
        figures[f"{name}: wall"] = (last[0] - first[0]) / number
        figures[f"{name}: controller"] = (last[2] - first[2]) / number
        figures[f"{name}: driver"] = (last[1] - first[1] - last[2] + first[2]) / number
    figures["memory at 100"] = clock.results[min(100, len(clock.results) - 1)][3]
    figures["memory at the end"] = clock.results[-1][3]
    for file in ("journal.db", "history.jsonl"):
        figures[file] = float(Path("runs/trivial", file).stat().st_size)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, nargs="+", default=[200, 5000])
    parser.add_argument("--executor", choices=["ray", "inline"], default="ray")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--controller", default="random")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    common = (arguments.executor, arguments.workers, arguments.controller)
    if arguments.one is not None:
        figures = measure(arguments.one, *common)
        Path("figures.json").write_text(json.dumps(figures))
        return
    columns = [figures_of(number, common) for number in arguments.candidates]
    print(f"{arguments.executor}, {arguments.workers} workers, controller {arguments.controller}")
    for name in columns[0]:
        print(f"{name:26}" + "".join(f"{shown(name, column[name]):>14}" for column in columns))


def figures_of(candidates: int, common: tuple[str, int, str]) -> dict[str, float]:
    """The figures of a search in a new process."""
    executor, workers, controller = common
    folder = Path(tempfile.mkdtemp(prefix="driver-cost-"))
    options = ["--executor", executor, "--workers", str(workers), "--controller", controller]
    root = Path(__file__).parent.parent
    subprocess.run(
        [sys.executable, str(Path(__file__).absolute()), "--one", str(candidates), *options],
        cwd=folder,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    found: dict[str, float] = json.loads((folder / "figures.json").read_text())
    return found


def shown(name: str, value: float) -> str:
    """A figure with its unit."""
    if name == "candidates":
        return f"{value:.0f}"
    if "memory" in name or "." in name:
        return f"{value / MEBIBYTE:.1f} MiB"
    return f"{1000 * value:.2f} ms"


if __name__ == "__main__":
    main()
