"""What a trained network gets right: top-1, top-5, by class, at any resolution and crop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.device_data import DeviceImages, resized
from trainers.ranks import ALONE, Ranks

_NORMAL_95 = 1.959963984540054  # between minus and plus this lie 95 % of a normal distribution


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Counts of an evaluation.

    Attributes:
        confusion: images (classes, classes) int64 by true class, then by the class that was said.
        top5: images whose class is among the five likeliest.
        loss: mean cross entropy, nats.
    """

    confusion: npt.NDArray[np.int64]
    top5: int
    loss: float

    @property
    def images(self) -> int:
        """How many were seen."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Top-1, 0 to 1."""
        return float(np.trace(self.confusion)) / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Of the top-1, see `wilson_interval`."""
        return wilson_interval(int(np.trace(self.confusion)), self.images)

    @property
    def top5_accuracy(self) -> float:
        """Top-5, 0 to 1; with five classes or fewer it is 1."""
        return self.top5 / self.images

    @property
    def per_class(self) -> tuple[float | None, ...]:
        """Top-1 of every class; None of a class without images."""
        totals = self.confusion.sum(1)
        right = np.diagonal(self.confusion)
        return tuple(float(r) / int(t) if t else None for r, t in zip(right, totals, strict=True))


def wilson_interval(right: int, images: int) -> tuple[float, float]:
    """The 95 % interval of a share: of all shares that would not be surprised by what was counted.

    Args:
        right: of the images.
        images: at least 1.

    Returns:
        Both ends, 0 to 1.

    Source: Wilson 1927, Journal of the American Statistical Association 22, pages 209 to 212.
    """
    share, spread = right / images, _NORMAL_95**2 / images
    middle = share + spread / 2.0
    half = math.sqrt(share * (1.0 - share) * spread + spread**2 / 4.0)
    low = 0.0 if right == 0 else (middle - half) / (1.0 + spread)
    return low, 1.0 if right == images else (middle + half) / (1.0 + spread)


@torch.no_grad()
def evaluate_network(
    model: nn.Module,
    images: DeviceImages,
    *,
    num_classes: int,
    image_size: int,
    crop: float = 1.0,
    precision: str = "float32",
    batch: int = 250,
    ranks: Ranks = ALONE,
    advance: Callable[[int], None] = lambda images: None,
) -> Evaluation:
    """Measure a network, which is put into eval mode.

    Args:
        model: gives logits (B, num_classes).
        images: to measure on, of any size.
        num_classes: of the network.
        image_size: pixels that the network is given.
        crop: side of the central part that is taken, as a share of the image's.
        precision: ``float32``, or ``bfloat16`` (autocast).
        batch: images at a time.
        ranks: each of several processes sees its share; all get the sum.
        advance: told how many more images were seen.
    """
    model.eval()
    device = images.device
    confusion = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=device)
    sums = torch.zeros(2, dtype=torch.float64, device=device)  # top-5, loss
    own = torch.arange(ranks.rank, len(images), ranks.size)
    for index in own.split(batch):
        x = central(images.normalised(images.fetched(index)), image_size, crop)
        labels = images.labels[index.to(device)]
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(x).float()  # (B, classes)
        pairs = labels * num_classes + logits.argmax(1)
        confusion += torch.bincount(pairs, minlength=num_classes * num_classes)
        best = logits.topk(min(5, num_classes), 1).indices  # (B, 5)
        sums[0] += (best == labels[:, None]).sum()
        sums[1] += functional.cross_entropy(logits, labels, reduction="sum")
        advance(len(index))
    ranks.sum(confusion)
    ranks.sum(sums)
    counts = confusion.view(num_classes, num_classes).cpu().numpy()
    return Evaluation(counts, int(sums[0]), float(sums[1]) / max(1, len(images)))


def central(x: Tensor, image_size: int, crop: float = 1.0) -> Tensor:
    """The central part of square images (B, C, H, H), resized; (B, C, image_size, image_size).

    As many pixels are cut off at each edge, so that the centre stays where it was.
    """
    whole = x.shape[-1]
    margin = crop_margin(whole, crop)
    part = x[..., margin : whole - margin, margin : whole - margin]
    return resized(part, image_size).contiguous(memory_format=torch.channels_last)


def crop_margin(whole: int, crop: float) -> int:
    """Pixels that a central crop of so large a share cuts off at each edge of `whole` pixels."""
    return min(math.ceil(whole * (1.0 - crop) / 2.0 - 0.5), (whole - 1) // 2)
