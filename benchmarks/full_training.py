"""Images a second of full training, beside a plain PyTorch loop that does the same recipe, in the same run.

    python -m benchmarks.full_training                          EfficientNet-B0 at 32 pixels, batch 128
    python -m benchmarks.full_training --data data/cifar10-32   on images of a cache, see `nas data prepare`
    python -m benchmarks.full_training --device cuda --batch 512

The plain loop is what one writes first: JPEG files decoded with Pillow, moved or cropped, mirrored and
converted to float image by image, maps in torch's default layout, torch's own convolutions and optimiser, a
moving average parameter by parameter. Ours does the recipe's own arithmetic (for ``imagenet`` TensorFlow's
RMSProp). All ways take turns in every round; ratios are of the same round. On a CPU one thread, and
processor-seconds, so that other work on the machine counts little; on a GPU seconds, where the plain loop
would be faster with worker processes that decode.
"""

from __future__ import annotations

import argparse
import copy
import io
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmarks.proxy_training import encoded, rgb_digits, with_plain
from search_space import Architecture, load_architecture
from search_space.convolutions import DepthwiseConv2d, PointwiseConv2d
from search_space.scaling import scale_architecture
from trainers import Dataset, open_cache
from trainers.device_data import DeviceImages
from trainers.full import augment_of, seeded_network
from trainers.full_step import FullTraining
from trainers.recipe import RECIPES, Recipe

STEPS = 4  # a round


class PlainLoop:
    """A recipe as one writes it first."""

    def __init__(self, network: Architecture, recipe: Recipe, data: Dataset, device: str) -> None:
        model = network.build(
            data.num_classes,
            3,
            bn_momentum=recipe.bn_momentum,
            drop_path=recipe.drop_path,
            dropout=recipe.dropout,
        )
        self.model = with_plain(model, (PointwiseConv2d, DepthwiseConv2d)).to(device).train()
        self.average = copy.deepcopy(self.model)
        self.recipe, self.device = recipe, device
        kinds = {
            "sgd": lambda p: torch.optim.SGD(p, 1e-3, 0.9, weight_decay=recipe.weight_decay, nesterov=True),
            "rmsprop_tf": lambda p: torch.optim.RMSprop(p, 1e-3, 0.9, 1e-3, recipe.weight_decay, 0.9),
        }
        self.optimiser = kinds[recipe.optimiser](self.model.parameters())
        self.batches = self._batches(data)

    def step(self) -> None:
        x, labels = next(self.batches)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            logits = self.model(x)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.recipe.label_smoothing)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        with torch.no_grad():
            pairs = zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True)
            for average, value in pairs:
                if value.is_floating_point():
                    average.lerp_(value, 1 - self.recipe.ema)

    def _batches(self, data: Dataset) -> Iterator[tuple[Tensor, Tensor]]:
        rng, jpegs = np.random.default_rng(0), encoded(data)
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
        while True:
            chosen = rng.integers(0, len(jpegs), self.recipe.batch)
            images = [self._image(jpegs[i], rng) for i in chosen]
            x = torch.stack([(image - mean) / std for image in images])
            labels = torch.from_numpy(data.train.labels[chosen].copy())
            yield x.to(self.device), labels.to(self.device)

    def _image(self, jpeg: bytes, rng: np.random.Generator) -> Tensor:
        recipe = self.recipe
        image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        if recipe.crop_area < 1:
            side = image.width * np.sqrt(rng.uniform(recipe.crop_area, 1.0))
            left, top = rng.uniform(0, image.width - side, 2)
            box = (left, top, left + side, top + side)
            image = image.resize(image.size, Image.Resampling.BILINEAR, box=box)
        pixels = np.asarray(image)
        if recipe.shift:
            padded = np.pad(pixels, ((recipe.shift,) * 2, (recipe.shift,) * 2, (0, 0)))
            row, column = rng.integers(0, 2 * recipe.shift + 1, 2)
            pixels = padded[row : row + pixels.shape[0], column : column + pixels.shape[1]]
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        pixels = np.array(pixels)
        if recipe.cutout:
            row, column = rng.integers(0, pixels.shape[0], 2) - recipe.cutout // 2
            pixels[max(0, row) : row + recipe.cutout, max(0, column) : column + recipe.cutout] = 128
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float().div_(255.0)


def ours(network: Architecture, recipe: Recipe, data: Dataset, device: str) -> Callable[[], None]:
    """A step of `nas train`."""
    size = network.image_size
    training = FullTraining(
        seeded_network(network, recipe, data, 0, device),
        DeviceImages(data.train, data, device),
        recipe,
        size,
        0,
        augment_of(recipe, size, data),
    )

    def step() -> None:
        training.advance()
        if training.step == training.steps:
            training.end_epoch()

    return step


def ways(network: Architecture, data: Dataset, batch: int, device: str) -> dict[str, Callable[[], object]]:
    """Name to a training step; a plain loop comes before what is compared with it."""
    found: dict[str, Callable[[], object]] = {}
    for name in ("cifar", "imagenet"):
        # a rate near nothing: the time is measured, and a training that diverged would end it
        recipe = replace(RECIPES[name], batch=batch, learning_rate=1e-6, epochs=10_000)
        if device == "cuda":
            recipe = replace(recipe, precision="bfloat16")
        found[f"{name}: a plain loop"] = PlainLoop(network, recipe, data, device).step
        found[f"{name}: nas train"] = ours(network, recipe, data, device)
        if name == "imagenet":
            augmented = replace(recipe, auto_augment="imagenet")
            found["imagenet with AutoAugment: nas train"] = ours(network, augmented, data, device)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--architecture", default="efficientnet_b0")
    parser.add_argument("--data", help="a cache of RGB images; digits by default")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = open_cache(args.data) if args.data else rgb_digits()
    network = scale_architecture(
        load_architecture(args.architecture), depth=1.0, width=1.0, image_size=data.image_size
    )

    def clock() -> float:
        if args.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    steps = ways(network, data, args.batch, args.device)
    for step in steps.values():
        step()  # allocates, and chooses algorithms
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            began = clock()
            for _ in range(STEPS):
                step()
            speeds[name].append(STEPS * args.batch / (clock() - began))
    print(
        f"{args.architecture} at {data.image_size} pixels, batch {args.batch}, images of {data.name}, "
        f"{args.device}, torch {torch.__version__}, {args.rounds} rounds of {STEPS} steps"
    )
    unit = "images a processor-second" if args.device == "cpu" else "images a second"
    print(f"{unit:42}{'min':>8}{'median':>8}{'max':>8}{'x plain':>9}")
    plain: list[float] = []
    for name, rates in speeds.items():
        plain = rates if name.endswith("plain loop") else plain
        against = statistics.median(a / b for a, b in zip(rates, plain, strict=True))
        print(f"{name:42}{min(rates):8.0f}{statistics.median(rates):8.0f}{max(rates):8.0f}{against:9.2f}")


if __name__ == "__main__":
    main()
