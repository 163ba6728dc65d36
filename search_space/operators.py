"""What a network's operators do, one by one: how many, multiply-adds, values touched, weights read.

`search_space.cost` adds MACs and parameters over a network, as papers do. Time is no such sum: a depthwise
convolution has few MACs and moves many values, an activation has none at all. Here every operator that the
built network runs in evaluation is listed by its kind, so that a model of time (`search_space.latency_model`)
can give each kind its own rates. Counts are for one image; they follow `search_space.layers`.

Kinds: ``conv3`` (full convolution, by kernel), ``pointwise`` (1x1, and the classifier, which is one on one
pixel), ``depthwise3`` (by kernel), ``squeeze`` (squeeze-and-excitation whole: mean, two 1x1 convolutions,
sigmoid, product), ``norm``, ``swish``/``relu``/``relu6``, ``add``, ``pool_skip``, ``max_pool``, ``mean``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from search_space.architecture import ACTIVATIONS, Architecture
from search_space.stage import KERNELS, Block, Stage, Stem

_WITH_MACS = ("operators", "macs", "values", "weights")
_BY_VALUES = ("operators", "values")
MEASURES: dict[str, tuple[str, ...]] = {
    **{f"conv{kernel}": _WITH_MACS for kernel in KERNELS if kernel > 1},
    "pointwise": _WITH_MACS,
    **{f"depthwise{kernel}": _WITH_MACS for kernel in KERNELS},
    "squeeze": ("operators", "values", "weights"),
    "norm": _BY_VALUES,
    **dict.fromkeys(ACTIVATIONS, _BY_VALUES),
    "add": _BY_VALUES,
    "pool_skip": _BY_VALUES,
    "max_pool": _BY_VALUES,
    "mean": _BY_VALUES,
}
"""What is counted of each kind of operator; a feature is ``KIND.MEASURE``."""


class Operator(NamedTuple):
    """One operator, or several equal ones.

    Attributes:
        kind: of `MEASURES`.
        macs: multiply-adds of all of them, for one image.
        values: elements read and written, weights not among them.
        weights: parameters read.
        operators: how many there are.
    """

    kind: str
    macs: int
    values: int
    weights: int
    operators: int = 1


def stem_operators(stem: Stem, in_channels: int, image_size: int, activation: str) -> list[Operator]:
    """Of a stem: convolution, batch norm, activation, perhaps max pooling."""
    side = -(-image_size // stem.stride)
    pixels, channels = side * side, stem.channels
    found = [_conv(stem.kernel, in_channels, channels, image_size * image_size, pixels)]
    found += _normed(channels, pixels, activation)
    if stem.pool == "max":
        half = -(-side // 2)
        found.append(Operator("max_pool", 0, channels * (pixels + half * half), 0))
    return found


def stage_operators(stage: Stage, in_channels: int, side: int, activation: str) -> list[Operator]:
    """Of a stage whose input is `side` pixels wide; the layers after the first are equal."""
    small = -(-side // stage.stride)
    first, *rest = stage.blocks(in_channels)
    found = block_operators(first, side * side, small * small, activation)
    if rest:
        for kind, macs, values, weights, each in block_operators(rest[0], small**2, small**2, activation):
            n = len(rest)
            found.append(Operator(kind, n * macs, n * values, n * weights, n * each))
    return found


def head_operators(architecture: Architecture, side: int, num_classes: int) -> list[Operator]:
    """Of the head's convolution, the mean over pixels and the classifier."""
    pixels, last, features = side * side, architecture.stages[-1].channels, architecture.features
    found = []
    if architecture.head.channels:
        found.append(_conv(1, last, features, pixels, pixels))
        found += _normed(features, pixels, architecture.activation)
    weights = features * num_classes
    found.append(Operator("mean", 0, features * (pixels + 1), 0))
    found.append(Operator("pointwise", weights, features + num_classes, weights + num_classes))
    return found


def operators(architecture: Architecture, num_classes: int = 1000, in_channels: int = 3) -> list[Operator]:
    """Every operator of a network, in the order in which they run.

    Args:
        architecture: the description.
        num_classes: outputs of the classifier.
        in_channels: channels of the image.
    """
    activation = architecture.activation
    found = stem_operators(architecture.stem, in_channels, architecture.image_size, activation)
    side, channels = stem_side(architecture), architecture.stem.channels
    for stage in architecture.stages:
        found += stage_operators(stage, channels, side, activation)
        side, channels = -(-side // stage.stride), stage.channels
    return found + head_operators(architecture, side, num_classes)


def stem_side(architecture: Architecture) -> int:
    """Side of the maps that the stem leaves, pixels."""
    side = -(-architecture.image_size // architecture.stem.stride)
    return -(-side // 2) if architecture.stem.pool == "max" else side


def features(found: Iterable[Operator]) -> dict[str, int]:
    """Sums over operators by feature, ``KIND.MEASURE``; what does not occur is not there."""
    sums: dict[str, int] = {}
    for operator in found:
        for measure in MEASURES[operator.kind]:
            name = f"{operator.kind}.{measure}"
            sums[name] = sums.get(name, 0) + getattr(operator, measure)
    return sums


def block_operators(block: Block, pixels_in: int, pixels: int, activation: str) -> list[Operator]:
    """Of one layer with its skip."""
    entry, wide, leave = block.in_channels, block.inner_channels, block.channels
    if block.op == "conv":
        found = [_conv(block.kernel, entry, leave, pixels_in, pixels), *_normed(leave, pixels, activation)]
    elif block.op == "bottleneck":
        found = [_conv(1, entry, wide, pixels_in, pixels_in), *_normed(wide, pixels_in, activation)]
        found += [_conv(block.kernel, wide, wide, pixels_in, pixels), *_normed(wide, pixels, activation)]
        found += [_conv(1, wide, leave, pixels, pixels), *_normed(leave, pixels, "")]
    else:
        found = []
        if wide != entry:
            found += [_conv(1, entry, wide, pixels_in, pixels_in), *_normed(wide, pixels_in, activation)]
        found += [_depthwise(block.kernel, wide, pixels_in, pixels), *_normed(wide, pixels, activation)]
        if block.se_channels:
            weights = 2 * wide * block.se_channels + block.se_channels + wide
            found.append(Operator("squeeze", 2 * wide * block.se_channels, wide * pixels, weights))
        last = activation if block.op == "dsconv_act" else ""
        found += [_conv(1, wide, leave, pixels, pixels), *_normed(leave, pixels, last)]
    return found + _skip(block, pixels_in, pixels, activation)


def _skip(block: Block, pixels_in: int, pixels: int, activation: str) -> list[Operator]:
    """What a skip adds, and a bottleneck's activation, which comes after it."""
    found, leave = [], block.channels * pixels
    if block.skip == "project":
        found += [_conv(1, block.in_channels, block.channels, pixels_in, pixels)]
        found += _normed(block.channels, pixels, "")
    elif block.skip == "pool":
        found.append(Operator("pool_skip", 0, block.in_channels * pixels_in + leave, 0))
    if block.skip != "none":
        found.append(Operator("add", 0, leave, 0))
    if block.op == "bottleneck":
        found.append(Operator(activation, 0, leave, 0))
    return found


def _conv(kernel: int, inputs: int, outputs: int, pixels_in: int, pixels: int) -> Operator:
    weights = inputs * outputs * kernel * kernel
    kind = "pointwise" if kernel == 1 else f"conv{kernel}"
    return Operator(kind, weights * pixels, inputs * pixels_in + outputs * pixels, weights)


def _depthwise(kernel: int, channels: int, pixels_in: int, pixels: int) -> Operator:
    weights = channels * kernel * kernel
    return Operator(f"depthwise{kernel}", weights * pixels, channels * (pixels_in + pixels), weights)


def _normed(channels: int, pixels: int, activation: str) -> list[Operator]:
    """Batch norm, and an activation unless it is empty."""
    values = channels * pixels
    found = [Operator("norm", 0, values, 2 * channels)]
    return [*found, Operator(activation, 0, values, 0)] if activation else found
