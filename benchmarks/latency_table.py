"""Latency of the published networks on this machine, as a Markdown table, beside the paper's comparison.

    python -m benchmarks.latency_table                              eager and onnxruntime
    python -m benchmarks.latency_table --backends eager compile onnxruntime --repeats 30

One image a call, one thread. The paper's are in table 4 of arXiv 1905.11946v5 (batch 1, one core of an Intel
Xeon E5-2690, mean of 20 runs): ResNet-152 0.554 s, EfficientNet-B1 0.098 s, 5.7 times; GPipe 19.0 s,
EfficientNet-B7 3.1 s, 6.1 times.
"""

from __future__ import annotations

import argparse
import sys

from search_space import load_architecture
from trainers.latency import Latency, LatencyProtocol, device_name, measure_latencies, versions

NETWORKS = (
    *(f"efficientnet_b{number}" for number in range(5)),
    "mobilenet_v1",
    "mobilenet_v2",
    "mnasnet_a1",
    "resnet_50",
    "resnet_152",
)
PAPERS = 0.554 / 0.098  # ResNet-152 over B1


def measured(names: list[str], protocol: LatencyProtocol) -> dict[str, Latency]:
    """The networks' latencies by name; what cannot be measured is said and left out."""

    def failed(number: int, error: Exception) -> None:
        print(f"{names[number]}, {protocol.backend}: {error}", file=sys.stderr)

    def done(rounds: int, total: int) -> None:
        print(f"{protocol.backend}: round {rounds} of {total}", end="\r", file=sys.stderr)

    networks = [load_architecture(name) for name in names]
    found = measure_latencies(networks, protocol, on_round=done, on_failure=failed)
    print(file=sys.stderr)
    return {latency.name: latency for latency in found}


def row(name: str, columns: list[dict[str, Latency]]) -> list[str]:
    """Facts of the network, then of each backend: median, percentiles, ratio."""
    facts = next(column[name] for column in columns if name in column)
    cells = [f"`{name}`", str(facts.image_size), f"{facts.macs / 1e9:.2f}", f"{facts.params / 1e6:.1f}"]
    for column in columns:
        latency = column.get(name)
        if latency is None or latency.ratio is None:
            cells += ["-", "-", "-"]
            continue
        digits = 0 if latency.median_ms >= 100 else 1
        span = f"{latency.p5_ms:.{digits}f} to {latency.p95_ms:.{digits}f}"
        cells += [f"{latency.median_ms:.{digits}f}", span, f"{latency.ratio:.2f}"]
    return cells


def main() -> None:
    """The table and the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--backends", nargs="+", default=["eager", "onnxruntime"])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    protocols = [
        LatencyProtocol(
            device=given.device,
            backend=backend,
            batch=given.batch,
            threads=given.threads,
            repeats=given.repeats,
        )
        for backend in given.backends
    ]
    columns = [measured(given.networks, protocol) for protocol in protocols]
    software = {name: version for protocol in protocols for name, version in versions(protocol).items()}
    print(
        f"{device_name(given.device)}, threads {given.threads}, batch {given.batch}, {given.repeats} rounds; "
    )
    print(", ".join(f"{name} {version}" for name, version in software.items()), end="\n\n")
    header = ["network", "pixels", "G MACs", "M parameters"]
    for backend in given.backends:
        header += [f"{backend}, ms", "p5 to p95", "x B0"]
    print("| " + " | ".join(header) + " |", "|" + "---|" * len(header), sep="\n")
    for name in given.networks:
        if any(name in column for column in columns):
            print("| " + " | ".join(row(name, columns)) + " |")
    for backend, column in zip(given.backends, columns, strict=True):
        deep, small = column.get("resnet_152"), column.get("efficientnet_b1")
        if deep and small and deep.ratio and small.ratio:
            print(f"\n{backend}: ResNet-152 takes {deep.ratio / small.ratio:.1f} times what B1 takes", end="")
            print(f" (the paper: {PAPERS:.1f}); their multiply-adds {deep.macs / small.macs:.1f} times")


if __name__ == "__main__":
    main()
