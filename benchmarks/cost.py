"""Exactness and speed of cost as arithmetic.

    python benchmarks/cost.py                  30 architectures a preset
    python benchmarks/cost.py --number 300

Exactness: parameters against the built module and MACs against torch's ``FlopCounterMode`` (convolutions and
linear layers; it gives two a MAC), on random architectures, every second one at an odd image size.
Speed: one by one and batched, beside ``FlopCounterMode`` on a model that is built already, in one run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from search_space import Architecture, cost, load_architecture, load_space, memory, preset_names


def counted(architecture: Architecture) -> tuple[int, int]:
    """MACs by torch's counter, parameters of the module."""
    with torch.device("meta"):
        model = architecture.build().eval()
    return counted_macs(model, architecture.image_size), sum(p.numel() for p in model.parameters())


def counted_macs(model: torch.nn.Module, image_size: int) -> int:
    """MACs by torch's counter; the model is on the meta device, nothing is computed."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, image_size, image_size, device="meta"))
    return counter.get_total_flops() // 2


def exactness(number: int) -> None:
    """The table of differences."""
    print(f"{'preset':16} {'tried':>6} {'largest difference of MACs':>28} {'of parameters':>14}")
    for preset in preset_names():
        space, rng, largest = load_space(preset), np.random.default_rng(7), [0, 0]
        for i in range(number):
            architecture = space.decode(space.random(rng))
            if i % 2:
                architecture = replace(architecture, image_size=architecture.image_size + 1 + i % 7)
            for which, (ours, theirs) in enumerate(
                zip(cost(architecture), counted(architecture), strict=True)
            ):
                largest[which] = max(largest[which], abs(ours - theirs))
        print(f"{preset:16} {number:6} {largest[0]:28} {largest[1]:14}")


def seconds(call: Callable[[], object], items: int, rounds: int = 7) -> float:
    """Processor seconds an item, the median of several rounds."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        times.append((time.process_time() - began) / items)
    return statistics.median(times)


def speed() -> None:
    """The table of speeds."""
    torch.set_num_threads(1)
    space, rng = load_space("mnasnet"), np.random.default_rng(0)
    fresh = [space.decode(space.random(rng)) for _ in range(1000)]
    points = np.stack([rng.integers(len(d.choices), size=200_000) for d in space.decisions], axis=1)
    tables = space.tables()
    with torch.device("meta"):
        built = [(a.build().eval(), a.image_size) for a in fresh[:10]]
    b0 = load_architecture("efficientnet_b0")
    rows = [
        ("batch, tables made once", seconds(lambda: tables.cost(points), len(points))),
        ("batch with memory", seconds(lambda: tables.memory(points), len(points))),
        ("one by one", seconds(lambda: [cost(a) for a in fresh], len(fresh))),
        ("one by one, memory", seconds(lambda: [memory(a) for a in fresh], len(fresh))),
        ("key", seconds(lambda: [a.key for a in fresh], len(fresh))),
        ("FlopCounterMode, built", seconds(lambda: [counted_macs(m, s) for m, s in built], len(built), 3)),
    ]
    slowest = rows[-1][1]
    print(f"\n{'space mnasnet, one core':26} {'a network':>12} {'a second':>12} {'x FlopCounterMode':>18}")
    for name, each in rows:
        print(f"{name:26} {1e6 * each:9.2f} us {1 / each:12,.0f} {slowest / each:18,.0f}")
    builds = sorted(1e3 * seconds(b0.build, 1, 1) for _ in range(25))
    print(f"\nbuilding EfficientNet-B0    {builds[12]:.0f} ms (of 25: {builds[0]:.0f} to {builds[-1]:.0f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=30, help="architectures a preset")
    exactness(parser.parse_args().number)
    speed()
