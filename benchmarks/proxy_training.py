"""Images a processor-second of proxy training, beside a plain PyTorch loop, factor by factor.

    python benchmarks/proxy_training.py                         EfficientNet-B0 at 32 pixels, batch 128
    python benchmarks/proxy_training.py --data data/cifar10-32  on images of a cache, see `nas data prepare`
    python benchmarks/proxy_training.py --bfloat16              and in bfloat16

The plain loop is what one writes first: JPEG files decoded with Pillow image by image, random shift, mirror
and conversion to float image by image, maps in torch's default layout, torch's own convolutions, SGD as it
comes. Each further line changes one thing; the last is what a search runs. One thread, all lines in every
round one after the other; processor-seconds, not seconds, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Literal

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from search_space import load_architecture
from search_space.convolutions import DepthwiseConv2d, PointwiseConv2d, same_pad
from search_space.scaling import scale_architecture
from trainers import Dataset, ImageSet, ProxyProtocol, load_dataset
from trainers.device_data import DeviceImages, EpochPlan
from trainers.training_step import TrainingStep

STEPS = 4  # a round
SHIFT = 4


def plain_convolution(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Torch's own convolution, whatever the layer's own forward does."""
    padding = layer.padding
    if isinstance(layer, DepthwiseConv2d) and layer.same:
        x, padding = same_pad(x, layer.kernel_size[0], layer.stride[0]), (0, 0)
    return functional.conv2d(x, layer.weight, layer.bias, layer.stride, padding, 1, layer.groups)


def with_plain(model: nn.Module, kinds: tuple[type[nn.Conv2d], ...]) -> nn.Module:
    """The model with torch's own convolution in layers of these kinds."""
    for layer in model.modules():
        if isinstance(layer, kinds):
            layer.forward = partial(plain_convolution, layer)  # type: ignore[method-assign]
    return model


def decoded(jpegs: list[bytes], data: Dataset, rng: np.random.Generator) -> Tensor:
    """A batch as a plain data set gives it: each image decoded, moved, mirrored and made float by itself."""
    images = []
    for jpeg in jpegs:
        pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
        padded = np.pad(pixels, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
        row, column = rng.integers(0, 2 * SHIFT + 1, 2)
        pixels = padded[row : row + pixels.shape[0], column : column + pixels.shape[1]]
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float().div_(255.0)
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
        images.append((image - mean) / std)
    return torch.stack(images)


class Loop:
    """One way of training: a model, where its batches come from, and its optimiser."""

    def __init__(self, build: Callable[[], nn.Module], batches: Iterator[tuple[Tensor, Tensor]]) -> None:
        self.model, self.batches = build().train(), batches
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)

    def step(self) -> None:
        x, labels = next(self.batches)
        loss = functional.cross_entropy(self.model(x), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def encoded(data: Dataset) -> list[bytes]:
    """Training images as JPEG files in memory."""
    jpegs = []
    for pixels in data.train.images[:2048]:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        jpegs.append(file.getvalue())
    return jpegs


def plain_batches(data: Dataset, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """From JPEG files in memory, so that no disk is measured."""
    rng, jpegs = np.random.default_rng(0), encoded(data)
    while True:
        chosen = rng.integers(0, len(jpegs), batch)
        yield (
            decoded([jpegs[i] for i in chosen], data, rng),
            torch.from_numpy(data.train.labels[chosen].copy()),
        )


def cached_batches(data: Dataset, protocol: ProxyProtocol, last: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """From uint8 in memory, augmented batch by batch; channels last or not."""
    images = DeviceImages(data.train, data, "cpu")
    plan = EpochPlan.empty(len(images), protocol, images.device)
    plan.draw(len(images), protocol, torch.Generator().manual_seed(0))
    while True:
        for step in range(len(plan.order)):
            row = torch.tensor([step])
            x = images.normalised(plan.augmented(images.fetched(plan.order[step]), row, protocol.shift))
            yield (x if last else x.contiguous()), images.labels[plan.order[step]]


def ways(args: argparse.Namespace, data: Dataset) -> dict[str, Callable[[], object]]:
    """Name to a training step."""
    network = scale_architecture(
        load_architecture(args.architecture), depth=1.0, width=1.0, image_size=data.image_size
    )
    protocol = ProxyProtocol(batch=args.batch, shift=SHIFT, flip=True, learning_rate=0.01)

    def build(kinds: tuple[type[nn.Conv2d], ...], last: bool = True) -> nn.Module:
        torch.manual_seed(0)
        model = with_plain(network.build(data.num_classes, 3, bn_momentum=0.1), kinds)
        return model.to(memory_format=torch.channels_last) if last else model  # type: ignore[call-overload]

    def searched(precision: Literal["float32", "bfloat16"]) -> Callable[[], object]:
        training = TrainingStep(
            build(()),
            DeviceImages(data.train, data, "cpu"),
            replace(protocol, precision=precision, epochs=1000),
            torch.Generator().manual_seed(0),
        )

        def step() -> None:
            if training.left == 0:
                training.begin_epoch()
            training.step()

        return step

    both = (PointwiseConv2d, DepthwiseConv2d)
    cached = partial(cached_batches, data, protocol)
    found: dict[str, Callable[[], object]] = {
        "a plain loop": Loop(partial(build, both, False), plain_batches(data, args.batch)).step,
        "+ uint8 in memory, augmented in batches": Loop(partial(build, both, False), cached(False)).step,
        "+ channels last": Loop(partial(build, both), cached(True)).step,
        "+ 1x1 convolutions as matrix products": Loop(partial(build, (DepthwiseConv2d,)), cached(True)).step,
        "+ depthwise kernels cut to the maps": Loop(partial(build, ()), cached(True)).step,
        "+ fused optimiser: what a search runs": searched("float32"),
    }
    if args.bfloat16:
        found["the same in bfloat16"] = searched("bfloat16")
    return found


def rgb_digits() -> Dataset:
    """The digits with three channels: real images that every installation has."""
    data = load_dataset("digits", 32)
    train = ImageSet(np.repeat(data.train.images, 3, axis=3), data.train.labels)
    return replace(data, train=train, mean=data.mean * 3, std=data.std * 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--architecture", default="efficientnet_b0")
    parser.add_argument("--data", help="a cache of RGB images; digits by default")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true", help="measure bfloat16 too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.data:
        from trainers import open_cache

        data = open_cache(args.data)
    else:
        data = rgb_digits()
    steps = ways(args, data)
    for step in steps.values():
        step()  # allocates, and chooses algorithms
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            began = time.process_time()
            for _ in range(STEPS):
                step()
            speeds[name].append(STEPS * args.batch / (time.process_time() - began))
    print(
        f"{args.architecture} at {data.image_size} pixels, batch {args.batch}, images of {data.name}, one "
        f"thread, torch {torch.__version__}, {args.rounds} rounds of {STEPS} steps"
    )
    print(f"{'images a processor-second':42}{'min':>8}{'median':>8}{'max':>8}{'x plain':>9}{'x above':>9}")
    first = before = next(iter(speeds.values()))
    for name, rates in speeds.items():
        against, above = (
            statistics.median(a / b for a, b in zip(rates, other, strict=True)) for other in (first, before)
        )
        median = statistics.median(rates)
        print(f"{name:42}{min(rates):8.0f}{median:8.0f}{max(rates):8.0f}{against:9.2f}{above:9.2f}")
        before = rates


if __name__ == "__main__":
    main()
