"""What scaled networks take from the weights of the network they come from, and what that is worth.

    python -m benchmarks.weights_transfer                  five seeds, about a minute
    python -m benchmarks.weights_transfer --seeds 20

First table: what members scaled from EfficientNet-B0 take, by the published factors and by one dimension. The
shapes decide that, and nothing is trained. Second table: a network from a search is trained on 600 digits and
scaled; the validation accuracy of each member before any training of its own, and after one epoch, beside
one epoch from new weights. Mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import nn

from nas.weights import NothingAgreesError, transfer_weights
from search_space import EFFICIENTNET_FAMILY, Architecture, load_architecture, scale_architecture
from trainers import Dataset, ProxyProtocol, load_dataset
from trainers.device_data import DeviceImages, subset_of
from trainers.proxy import measure, save_weights
from trainers.training_step import TrainingStep

IMAGES = 600
NETWORK = Path(__file__).parent.parent / "docs" / "searches" / "cifar10-cpu-best.yaml"
BEFORE, ONE = ProxyProtocol(subset=IMAGES), ProxyProtocol(subset=IMAGES, epochs=1)
WAYS = {  # depth, width, resolution
    "the same network": (1.0, 1.0, 1.0),
    "resolution 1.5": (1.0, 1.0, 1.5),
    "depth 2": (2.0, 1.0, 1.0),
    "width 1.1": (1.0, 1.1, 1.0),
}


def scaled(base: Architecture, depth: float, width: float, resolution: float) -> Architecture:
    """The network by three factors."""
    return scale_architecture(
        base, depth=depth, width=width, image_size=round(resolution * base.image_size), name="scaled"
    )


def taken(model: nn.Module, weights: Path) -> str:
    """What a network took, in words."""
    try:
        return transfer_weights(model, weights).summary
    except NothingAgreesError:
        return "nothing"


def shapes(folder: Path) -> None:
    """The first table."""
    base, weights = load_architecture("efficientnet_b0"), folder / "b0.safetensors"
    save_weights(base.build(), base, weights)
    members = {f"B{n}": load_architecture(f"efficientnet_b{n}") for n in range(1, len(EFFICIENTNET_FAMILY))}
    members |= {"B0 by depth 4": scaled(base, 4, 1, 1), "B0 by width 2": scaled(base, 1, 2, 1)}
    members |= {
        "B0 by resolution 2": scaled(base, 1, 1, 2),
        "B0 by 1.4, 1.2, 1.3": scaled(base, 1.4, 1.2, 1.3),
    }
    print(f"{'from EfficientNet-B0':24} is taken")
    for name, member in members.items():
        print(f"{name:24} {taken(member.build(), weights)}", flush=True)


@cache
def digits(image_size: int) -> Dataset:
    """Handwritten digits."""
    return load_dataset("digits", image_size)


def new_model(network: Architecture, seed: int) -> nn.Module:
    """For digits, drawn with a seed."""
    torch.manual_seed(seed)
    return network.build(10, 1, bn_momentum=ONE.bn_momentum)


def trained(model: nn.Module, image_size: int, protocol: ProxyProtocol, seed: int) -> float:
    """Train on digits, and give the validation accuracy."""
    data = digits(image_size)
    images = DeviceImages(data.train, data, "cpu", subset_of(data.train.labels, IMAGES))
    training = TrainingStep(model, images, protocol, torch.Generator().manual_seed(seed))
    for _ in range(protocol.epochs):
        training.epoch()
    return accuracy(model, image_size)


def accuracy(model: nn.Module, image_size: int) -> float:
    """On the validation images of digits."""
    data = digits(image_size)
    return measure(model, DeviceImages(data.validation, data, "cpu"))[0]


def worth(folder: Path, seeds: int) -> None:
    """The second table."""
    base = load_architecture(NETWORK)
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
    said: dict[str, str] = {}
    for seed in range(seeds):
        source, weights = new_model(base, seed), folder / f"{seed}.safetensors"
        trained(source, base.image_size, BEFORE, seed)
        save_weights(source, base, weights)
        for name, factors in WAYS.items():
            member = scaled(base, *factors)
            fresh, warm = new_model(member, 1000 + seed), new_model(member, 1000 + seed)
            said[name] = taken(warm, weights)
            at_once = accuracy(warm, member.image_size)
            after = [trained(model, member.image_size, ONE, seed) for model in (warm, fresh)]
            rows[name].append((at_once, *after))
    print(
        f"\n{base.name}, {BEFORE.epochs} epochs on {IMAGES} digits, then scaled; accuracy in %, {seeds} seeds"
    )
    print(f"{'':24} {'at once':>14} {'one epoch':>14} {'one, new':>14}  taken")
    for name, found in rows.items():
        cells = [f"{spread([100 * values[i] for values in found]):>14}" for i in range(3)]
        print(f"{name:24} {' '.join(cells)}  {said[name]}")


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.1f} +- {deviation:.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        shapes(Path(made))
        worth(Path(made), parser.parse_args().seeds)
