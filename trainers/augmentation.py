"""Learned and random augmentation for full training: each image of a batch by its own sub-policy.

``imagenet`` is the policy of the EfficientNet reference (``policy_v0`` in tensorflow/tpu,
``models/official/efficientnet/autoaugment.py``), ``cifar10`` that of AutoAugment's paper (arXiv 1805.09501,
table 7) with the magnitudes of its code (tensorflow/models, ``research/autoaugment``), ``trivial`` is
TrivialAugment on its wide space (arXiv 2103.10158, with the magnitudes of automl/trivialaugment).

All that is random is drawn on the host from the generator that is given, the same amount for every batch of a
size. So the result is the same on every device, resuming a generator resumes the augmentation, and what
happens to an image depends on its draws and on nothing else in the batch.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from search_space import InputError
from search_space.errors import suggestion
from trainers.image_operations import OPERATIONS, cutout
from trainers.recipe import POLICIES, Policy

__all__ = ["POLICIES", "Augmenter", "Policy", "Step", "augmenter", "cutout", "sub_policies"]

Step = tuple[str, float, float]  # operation, probability, argument
_Levels = tuple[tuple[str, float, int], ...]

IDENTITY = "identity"
SIGNED = frozenset({"shear_x", "shear_y", "translate_x", "translate_y", "rotate"})  # either way, by chance
_NAMES = (IDENTITY, *OPERATIONS)
_CHUNK = 2**19  # values that an operation takes at once on a CPU, so that they stay in its caches
_GPU_CHUNK = 2**30  # and on a GPU, so that places are numbers of 32 bits

# operation, probability, level of 10
_IMAGENET: tuple[_Levels, ...] = (
    (("equalize", 0.8, 1), ("shear_y", 0.8, 4)),
    (("color", 0.4, 9), ("equalize", 0.6, 3)),
    (("color", 0.4, 1), ("rotate", 0.6, 8)),
    (("solarize", 0.8, 3), ("equalize", 0.4, 7)),
    (("solarize", 0.4, 2), ("solarize", 0.6, 2)),
    (("color", 0.2, 0), ("equalize", 0.8, 8)),
    (("equalize", 0.4, 8), ("solarize_add", 0.8, 3)),
    (("shear_x", 0.2, 9), ("rotate", 0.6, 8)),
    (("color", 0.6, 1), ("equalize", 1.0, 2)),
    (("invert", 0.4, 9), ("rotate", 0.6, 0)),
    (("equalize", 1.0, 9), ("shear_y", 0.6, 3)),
    (("color", 0.4, 7), ("equalize", 0.6, 0)),
    (("posterize", 0.4, 6), ("auto_contrast", 0.4, 7)),
    (("solarize", 0.6, 8), ("color", 0.6, 9)),
    (("solarize", 0.2, 4), ("rotate", 0.8, 9)),
    (("rotate", 1.0, 7), ("translate_y", 0.8, 9)),
    (("shear_x", 0.0, 0), ("solarize", 0.8, 4)),
    (("shear_y", 0.8, 0), ("color", 0.6, 4)),
    (("color", 1.0, 0), ("rotate", 0.6, 2)),
    (("equalize", 0.8, 4), ("equalize", 0.0, 8)),
    (("equalize", 1.0, 4), ("auto_contrast", 0.6, 2)),
    (("shear_y", 0.4, 7), ("solarize_add", 0.6, 7)),
    (("posterize", 0.8, 2), ("solarize", 0.6, 10)),
    (("solarize", 0.6, 8), ("equalize", 0.6, 1)),
    (("color", 0.8, 6), ("rotate", 0.4, 5)),
)
_CIFAR10: tuple[_Levels, ...] = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 7), ("auto_contrast", 0.4, 8)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("auto_contrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("auto_contrast", 0.9, 3)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translate_y", 0.7, 9), ("auto_contrast", 0.9, 1)),
)
_WIDE = (
    *(IDENTITY, "auto_contrast", "equalize", "rotate", "solarize", "color", "posterize", "contrast"),
    *("brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"),
)
_WIDE_LEVELS = 31


def _imagenet_argument(operation: str, level: int, size: int) -> float:
    """What the reference makes of a level."""
    match operation:
        case "rotate":
            return 3.0 * level  # degrees
        case "shear_x" | "shear_y":
            return 0.03 * level
        case "translate_x" | "translate_y":
            return 15.0 * level / 331.0 * size  # the paper's share; the reference's pixels are for one size
        case "posterize":
            return max(1, int(0.4 * level))  # TensorFlow shifts by 7 at most, so one bit stays
        case "solarize":
            return int(25.6 * level)
        case "solarize_add":
            return 11 * level
        case "color" | "contrast" | "brightness" | "sharpness":
            return 0.18 * level + 0.1
    return 0.0


def _cifar10_argument(operation: str, level: int, size: int) -> float:
    """What the paper's own code makes of a level: other ways round than the reference's for ImageNet."""
    match operation:
        case "translate_x" | "translate_y":
            return level * size / 32.0
        case "posterize":
            return 4 - int(0.4 * level)
        case "solarize":
            return 256 - int(25.6 * level)
    return _imagenet_argument(operation, level, size)


def _wide_argument(operation: str, level: int, size: int) -> float:
    """What TrivialAugment makes of a level of 30 on its wide space."""
    match operation:
        case "rotate":
            return level * 135 // 30
        case "shear_x" | "shear_y":
            return 0.033 * level
        case "translate_x" | "translate_y":
            return level * min(32, size) // 30
        case "posterize":
            return 8 - level * 6 // 30
        case "solarize":
            return 256 - level * 256 // 30
        case "color" | "contrast" | "brightness" | "sharpness":
            return 1.99 * level / 30 + 0.01
    return 0.0


def sub_policies(policy: Policy, image_size: int) -> tuple[tuple[Step, ...], ...]:
    """The sub-policies of which each image gets one, all equally likely.

    Args:
        policy: whose; ``none`` has none.
        image_size: side of the images in pixels, of which translations are shares.

    Returns:
        For each sub-policy its steps, ``(operation, probability, argument)``: a factor, a slope, degrees,
        pixels, bits or a threshold, see `trainers.image_operations`, without the sign that chance gives to
        those of `SIGNED`.
    """
    if policy == "trivial":
        pairs = itertools.product(_WIDE, range(_WIDE_LEVELS))
        return tuple(((name, 1.0, _wide_argument(name, level, image_size)),) for name, level in pairs)
    if policy == "none":
        return ()
    table, argument = (
        (_IMAGENET, _imagenet_argument) if policy == "imagenet" else (_CIFAR10, _cifar10_argument)
    )
    return tuple(
        tuple((name, probability, argument(name, level, image_size)) for name, probability, level in steps)
        for steps in table
    )


class Augmenter:
    """Augments batches; from `augmenter`.

    Args:
        policy: see `sub_policies`.
        image_size: side of the images, in pixels.
        in_channels: 1 or 3.
    """

    def __init__(self, policy: Policy, image_size: int, in_channels: int) -> None:
        self.policy, self.image_size, self.in_channels = policy, image_size, in_channels
        table = sub_policies(policy, image_size)
        self._kinds = torch.tensor([[_NAMES.index(name) for name, _, _ in steps] for steps in table])
        self._chances = torch.tensor([[chance for _, chance, _ in steps] for steps in table])
        self._arguments = torch.tensor(
            [[argument for _, _, argument in steps] for steps in table], dtype=torch.float64
        )
        self._signed = torch.tensor([name in SIGNED for name in _NAMES])

    def drawn(self, count: int, generator: torch.Generator) -> list[list[tuple[str, float]]]:
        """What the next `count` images get, in order: for each its operations with their arguments."""
        kinds, arguments = self._drawn(count, generator)
        return [
            [(_NAMES[kind], argument) for kind, argument in zip(row, values, strict=True) if kind]
            for row, values in zip(kinds.T.tolist(), arguments.T.tolist(), strict=True)
        ]

    def _drawn(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Operations as indices into `_NAMES` and their arguments, (steps, count) each, on the host."""
        if not len(self._kinds):
            return torch.empty(0, count, dtype=torch.int64), torch.empty(0, count, dtype=torch.float64)
        which = torch.randint(len(self._kinds), (count,), generator=generator)
        chances = self._chances[which]  # (count, steps)
        applied = torch.rand(chances.shape, generator=generator) < chances
        negative = torch.randint(2, chances.shape, generator=generator).bool()
        kinds = torch.where(applied, self._kinds[which], 0)
        arguments = self._arguments[which]
        arguments = torch.where(negative & self._signed[kinds], -arguments, arguments)
        return kinds.T, arguments.T

    def __call__(self, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Images (B, H, W, C) uint8 on any device, augmented, as new images; of ``none`` the same.

        Args:
            raw: the images, which stay as they are.
            generator: on the host; the global generator is neither read nor written.

        Raises:
            ValueError: images of another shape or type.
        """
        shape = (self.image_size, self.image_size, self.in_channels)
        if raw.dtype != torch.uint8 or raw.shape[1:] != shape:
            wanted = f"uint8 images (B, {', '.join(map(str, shape))})"
            raise ValueError(f"raw must be {wanted}, got {raw.dtype} {tuple(raw.shape)}")
        if self.policy == "none":
            return raw
        augmented = raw.clone()
        at_once = max(1, (_CHUNK if raw.device.type == "cpu" else _GPU_CHUNK) // math.prod(shape))
        for kinds, arguments in zip(*self._drawn(len(raw), generator), strict=True):
            for kind in kinds.unique().tolist():
                for chosen in (kinds == kind).nonzero()[:, 0].split(at_once) if kind else ():
                    index = chosen.to(raw.device, non_blocking=True)
                    images = OPERATIONS[_NAMES[kind]](augmented.index_select(0, index), arguments[chosen])
                    augmented.index_copy_(0, index, images)
        return augmented


def augmenter(policy: Policy, image_size: int, in_channels: int) -> Augmenter:
    """A policy for images of one size.

    Args:
        policy: ``none`` leaves images as they are, and draws nothing.
        image_size: side of the images, in pixels.
        in_channels: channels of the images; 1 or 3, unless the policy is ``none``.

    Returns:
        What takes images (B, H, W, C) uint8 and a generator on the host, and gives such images.

    Raises:
        InputError: an unknown policy, or images that it cannot be used on.
    """
    if policy not in POLICIES:
        raise InputError(f"unknown augmentation policy {policy!r}{suggestion(str(policy), POLICIES)}")
    if policy != "none" and in_channels not in (1, 3):
        raise InputError(f"augmentation {policy} is for images of 1 or 3 channels, got {in_channels}")
    if image_size < 1:
        raise InputError(f"image_size must be at least 1, got {image_size}")
    return Augmenter(policy, image_size, in_channels)
