"""How long each format of a bundle takes to write and to check, and how far it is from eager mode.

python -m benchmarks.export_times [NETWORK…] [--opset 18] prints a table a network. Weights are those that a
run kept, or newly initialised ones. The first network also pays for the import of the exporters. What
captures the graph, which ONNX and torch.export share, is counted with ``model.pt2``.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch

from nas import export_bundle
from results.exporting.agreement import BATCHES
from results.exporting.bundle import Bundle
from results.exporting.graphs import OPSET
from results.wording import count

DEFAULT = ["efficientnet_b0", "mobilenet_v2"]


class Clock:
    """Processor time between the things that a bundle tells of, by what was told; seconds.

    On a machine that others use too it is the steadier figure: it does not count waiting for them.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._what, self._since = "", self._now()

    def tell(self, what: str) -> None:
        """Something begins, and what came before has ended."""
        now = self._now()
        self.seconds[self._what] = now - self._since
        self._what, self._since = what, now

    def _now(self) -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Write a bundle of each network into a folder that does not stay, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=DEFAULT, metavar="NETWORK")
    parser.add_argument("--opset", type=int, default=OPSET)
    options = parser.parse_args()
    batches = " and ".join(map(str, BATCHES))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {batches} images", flush=True)
    for network in options.networks:
        clock, began = Clock(), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            bundle = export_bundle(network, Path(folder) / "bundle", opset=options.opset, tell=clock.tell)
            clock.tell("")
        seconds = time.perf_counter() - began
        print(f"\n{network}: all {seconds:.1f} s, opset {options.opset}, {'ok' if bundle.ok else 'NOT OK'}")
        print_bundle(bundle, clock)


def print_bundle(bundle: Bundle, clock: Clock) -> None:
    """A line a file: wall and processor time to write and to check, size, differences."""
    heads = ("write s", "processor", "check s", "processor", "bytes", "absolute", "relative")
    print(f"{'file':24}{''.join(f'{head:>10}' for head in heads)}  agrees")
    for row in bundle.agreements:
        cells = [
            f"{row.write_seconds:.2f}",
            f"{clock.seconds[f'writing {row.file}']:.2f}",
            f"{row.check_seconds:.2f}",
            f"{clock.seconds.get(f'checking {row.file}', 0.0):.2f}",
            count(row.size),
            *("-" if value is None else f"{value:.1e}" for value in (row.absolute, row.relative)),
        ]
        agrees = {True: "yes", False: "NO", None: "not checked"}[row.ok]
        print(f"{row.file:24}{''.join(f'{cell:>10}' for cell in cells)}  {agrees}", flush=True)
    for name, why in bundle.absent.items():
        print(f"{name}: {why}")


if __name__ == "__main__":
    main()
