"""How far measured latencies differ from process to process: the median's noise beside the ratio's.

    python -m benchmarks.latency_noise                   6 processes one after another, the machine as it is
    python -m benchmarks.latency_noise --busy            beside every second one a busy neighbour on each core

Every process measures the same networks with ``nas latency measure``. A noise is the standard deviation over
the processes in percent of their mean; the spread is the largest over the smallest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NETWORKS = ("efficientnet_b1", "mobilenet_v2", "mnasnet_a1", "resnet_50")
BURN = "import numpy as np\na = np.ones((400, 400))\nwhile True: a @ a"


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    """So many processes that compute without a pause, meanwhile."""
    one = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    busy = [subprocess.Popen([sys.executable, "-c", BURN], env=one) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measured(networks: list[str], options: list[str], folder: str) -> dict[str, dict[str, Any]]:
    """What one process measures, by name."""
    command = [sys.executable, "-m", "nas.cli", "latency", "measure", *networks, *options]
    command += ["--json", "-o", str(Path(folder) / "latency.jsonl")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return {latency["name"]: latency for latency in json.loads(done.stdout)["latencies"]}


def noise(values: list[float]) -> float:
    """Standard deviation in percent of the mean."""
    return 100 * statistics.stdev(values) / statistics.fmean(values)


def main() -> None:
    """The table, one network a line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--backend", default="eager")
    parser.add_argument("--busy", action="store_true", help="a busy neighbour beside every second process")
    given = parser.parse_args()
    options = ["--repeats", str(given.repeats), "--backend", given.backend]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.processes):
            busy = (os.cpu_count() or 1) if given.busy and number % 2 else 0
            print(f"process {number + 1} of {given.processes}, {busy} neighbours", file=sys.stderr)
            with neighbours(busy):
                found.append(measured(given.networks, options, folder))
    print("| network | medians, ms | their noise | spread | ratios to B0 | their noise | spread |")
    print("|---|---|---|---|---|---|---|")
    both: list[tuple[float, float]] = []
    for name in given.networks:
        times, ratios = ([each[name][what] for each in found] for what in ("median_ms", "ratio"))
        both.append((noise(times), noise(ratios)))
        print(
            f"| `{name}` | {min(times):.1f} to {max(times):.1f} | {both[-1][0]:.1f} % "
            f"| {max(times) / min(times):.2f} x | {min(ratios):.3f} to {max(ratios):.3f} "
            f"| {both[-1][1]:.1f} % | {max(ratios) / min(ratios):.2f} x |"
        )
    median, ratio = (statistics.fmean(each) for each in zip(*both, strict=True))
    print(
        f"\nnoise of the medians {median:.1f} %, of the ratios {ratio:.1f} %: {median / ratio:.1f} times less"
    )


if __name__ == "__main__":
    main()
