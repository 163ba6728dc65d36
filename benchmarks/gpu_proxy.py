"""Checks proxy training on a GPU, and times it, in under ten minutes.

    python -m benchmarks.gpu_proxy                            everything, on made-up images
    python -m benchmarks.gpu_proxy --data data/cifar10-32     on real ones, with accuracies
    python -m benchmarks.gpu_proxy --checks                   the checks alone
    python -m benchmarks.gpu_proxy --device cpu --images 512  what can be run without a GPU (minutes)

The candidate is EfficientNet-B0 at 32 pixels (stem stride 2), 5 epochs of 50,000 images. Times are wall
seconds after a first candidate has warmed the process up. Ray is not needed: several candidates on a GPU are
several processes, as its workers are. Exits with 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import multiprocessing

from benchmarks.gpu_checks import CHECKS
from benchmarks.gpu_floors import floors
from search_space import Architecture, load_architecture
from search_space.scaling import scale_architecture
from trainers import Dataset, ImageSet, ProxyProtocol
from trainers.proxy import train_candidate

IMAGES, EPOCHS, ALONE, AMORTISED = 50_000, 5, 10.0, 3.0  # and the goals, seconds a candidate


def made_up(images: int) -> Dataset:
    """Noise with a brightness that tells the class: a network can learn it."""
    rng = np.random.default_rng(0)

    def part(number: int) -> ImageSet:
        labels = rng.integers(0, 10, number)
        noise = rng.integers(0, 120, (number, 32, 32, 3), dtype=np.uint8)
        return ImageSet(noise + (labels * 13).astype(np.uint8)[:, None, None, None], labels)

    return Dataset(
        name="made-up",
        train=part(images),
        validation=part(max(64, images // 10)),
        class_names=tuple("0123456789"),
        mean=(0.46,) * 3,
        std=(0.2,) * 3,
        fingerprint=f"made-up {images}",
    )


def candidate() -> Architecture:
    """B0 at 32 pixels."""
    return scale_architecture(load_architecture("efficientnet_b0"), depth=1.0, width=1.0, image_size=32)


def protocol_of(batch: int, precision: str = "bfloat16", epochs: int = EPOCHS) -> ProxyProtocol:
    """The rate grows with the batch."""
    return ProxyProtocol(
        epochs=epochs,
        batch=batch,
        learning_rate=0.1 * batch / 128,
        shift=4,
        flip=True,
        precision=precision,  # type: ignore[arg-type]
    )


def trained(data: Dataset, protocol: ProxyProtocol, device: str, graph: bool | None = None) -> dict[str, Any]:
    """One candidate from beginning to end: seconds, accuracy, peak memory in MiB."""
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    *_, last = train_candidate(candidate(), protocol, data, 0, device=device, graph=graph)
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else float("nan")
    return {"seconds": seconds, "accuracy": last.accuracy, "peak_mib": peak}


def alone(data: Dataset, device: str, batches: list[int]) -> list[dict[str, Any]]:
    """One candidate at a time, factor by factor."""
    rows = []
    on_gpu = device.startswith("cuda")
    ways: list[tuple[str, int, str, bool]] = [("kernel by kernel, float32", batches[0], "float32", False)]
    if on_gpu:
        ways.append(("kernel by kernel, bfloat16", batches[0], "bfloat16", False))
        ways += [("graph, bfloat16", batch, "bfloat16", True) for batch in batches]
    for name, batch, precision, graph in ways:
        short = protocol_of(batch, precision, epochs=1)
        few = replace(data, train=ImageSet(data.train.images[: 8 * batch], data.train.labels[: 8 * batch]))
        few = replace(few, fingerprint=f"{data.fingerprint} {batch}")
        trained(few, short, device, graph)  # the first use of a kernel loads it
        rows.append(
            {
                "what": name,
                "batch": batch,
                **trained(data, protocol_of(batch, precision), device, graph),
            }
        )
        print(_line(rows[-1]), flush=True)
    return rows


def _line(row: dict[str, Any]) -> str:
    return (
        f"  {row['what']:32} batch {row['batch']:5}  {row['seconds']:8.2f} s  accuracy "
        f"{row['accuracy']:.3f}  {row['peak_mib']:8.0f} MiB"
    )


def _worker(data: Dataset, batch: int, device: str, number: int, barrier: Any, seconds: Any) -> None:
    """One of several processes: warms up, waits for the others, trains `number` candidates."""
    protocol = protocol_of(batch)
    few = ImageSet(data.train.images[: 8 * batch], data.train.labels[: 8 * batch])
    small = replace(data, train=few, fingerprint=f"{data.fingerprint} few")
    trained(small, replace(protocol, epochs=1), device)
    barrier.wait()
    began = time.perf_counter()
    for _ in range(number):
        trained(data, protocol, device)
    seconds.put(time.perf_counter() - began)


def together(data: Dataset, device: str, batch: int, counts: list[int]) -> list[dict[str, Any]]:
    """Several processes on one GPU."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for count in counts:
        barrier, seconds = context.Barrier(count), context.Queue()
        workers = [
            context.Process(target=_worker, args=(data, batch, device, 2, barrier, seconds))
            for _ in range(count)
        ]
        for worker in workers:
            worker.start()
        longest = max(seconds.get(timeout=300) for _ in workers)
        for worker in workers:
            worker.join()
        rows.append({"candidates": count, "batch": batch, "seconds": longest / (2 * count)})
        print(f"  {count} at a time: {rows[-1]['seconds']:.2f} s a candidate", flush=True)
    return rows


def checked(data: Dataset, device: str) -> dict[str, str]:
    """Name of a check to what came of it."""
    found = {}
    for name, check in CHECKS.items():
        try:
            found[name] = check(data, candidate(), device) or "holds"
        except Exception as error:
            found[name] = f"FAILS: {type(error).__name__}: {error}"
        print(f"  {name}: {found[name]}", flush=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", help="a cache of 32-pixel RGB images")
    parser.add_argument("--images", type=int, default=IMAGES, help="of the made-up images")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512, 1024])
    parser.add_argument("--together", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--checks", action="store_true", help="only the checks")
    parser.add_argument("--json", help="write all of it to this file")
    args = parser.parse_args(arguments)
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("there is no GPU here; --device cpu runs what can be run without one", file=sys.stderr)
        return 2
    on_gpu = args.device.startswith("cuda")
    if args.data:
        from trainers import open_cache

        data = open_cache(args.data)
    else:
        data = made_up(args.images)
    machine = torch.cuda.get_device_name() if on_gpu else "cpu"
    print(f"{machine}, torch {torch.__version__}, {len(data.train)} images of {data.name}")
    report: dict[str, Any] = {"machine": machine, "torch": torch.__version__, "images": len(data.train)}
    print("checks")
    report["checks"] = checked(made_up(2048 if on_gpu else 256), args.device)
    failed = [name for name, outcome in report["checks"].items() if outcome.startswith("FAILS")]
    if not args.checks:
        batches = [batch for batch in args.batches if 30 * batch <= len(data.train)] or args.batches[:1]
        print(f"one candidate at a time, {EPOCHS} epochs (goal: {ALONE:g} s)")
        report["alone"] = alone(data, args.device, batches)
        if on_gpu:
            print(f"several at a time (goal: {AMORTISED:g} s a candidate)")
            report["together"] = together(data, args.device, batches[-1], args.together)
            print("floors")
            long = [batch for batch in batches if 30 * batch <= len(data.train)]  # steps enough to time
            report["floors"] = [_floor_lines(floors(data, candidate(), protocol_of(b))) for b in long]
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1), encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _floor_lines(facts: dict[str, float]) -> dict[str, float]:
    step = facts["step_us"]
    shares = ", ".join(
        f"{floor} {facts[f'{floor}_us']:.0f} us ({facts[f'{floor}_us'] / step:.0%})"
        for floor in ("launch", "memory", "arithmetic")
    )
    print(f"  batch {facts['batch']:5.0f}: {step:.0f} us a step of {facts['kernels']:.0f} kernels; {shares}")
    return facts


if __name__ == "__main__":
    sys.exit(main())
