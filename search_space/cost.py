"""Analytic cost: arithmetic on the description, nothing is built.

One multiply-add is one MAC; convolutions (squeeze-and-excitation's among them) and linear layers count,
batch norm, activations, pooling and additions do not. The papers print this number as "FLOPS".
Parameters include batch norm's scale and shift, not its running statistics.
Source of the convention: arXiv 1905.11946, table 2, whose B0 (0.39B) has 385,814,752.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from search_space.architecture import Architecture
from search_space.stage import BOTTLENECK_RATIO, Block, Stage, Stem


class Cost(NamedTuple):
    """What one network costs.

    Attributes:
        macs: multiply-adds for one image.
        params: trainable parameters.
    """

    macs: int
    params: int


def conv(stage: Stage, c: int, stride: int, pixels_in: int, pixels: int) -> tuple[int, int]:
    """MACs and parameters of a layer of ``conv`` with `c` input channels."""
    out = stage.channels
    weights = c * out * stage.kernel * stage.kernel
    return weights * pixels, weights + 2 * out


def mbconv(stage: Stage, c: int, stride: int, pixels_in: int, pixels: int) -> tuple[int, int]:
    """Of ``mbconv``, and of the others with a depthwise convolution, which do not expand.

    Squeeze-and-excitation's two 1x1 convolutions see one pixel and have biases.
    """
    ratio, out = stage.se_ratio, stage.channels
    expansion = stage.expansion if stage.op == "mbconv" else 1
    wide = c * expansion
    weights = wide * (stage.kernel * stage.kernel + out)  # depthwise, projection
    macs, params = weights * pixels, weights + 2 * (wide + out)
    if expansion != 1:
        macs += c * wide * pixels_in
        params += (c + 2) * wide
    if ratio:
        squeezed = int(c * ratio) or 1
        macs += 2 * wide * squeezed
        params += 2 * wide * squeezed + squeezed + wide
    return macs, params


def bottleneck(stage: Stage, c: int, stride: int, pixels_in: int, pixels: int) -> tuple[int, int]:
    """Of ``bottleneck``, with the projection of its skip where the shapes differ."""
    out = stage.channels
    inner = out // BOTTLENECK_RATIO or 1
    reduce, spatial, expand = c * inner, inner * inner * stage.kernel * stage.kernel, inner * out
    macs = reduce * pixels_in + (spatial + expand) * pixels
    params = reduce + spatial + expand + 2 * (2 * inner + out)
    if stage.skip == "identity" and (stride != 1 or c != out):
        macs += c * out * pixels
        params += c * out + 2 * out
    return macs, params


LayerCost = Callable[[Stage, int, int, int, int], tuple[int, int]]
LAYERS: dict[str, LayerCost] = {
    "conv": conv,
    "dsconv": mbconv,
    "dsconv_act": mbconv,
    "mbconv": mbconv,
    "bottleneck": bottleneck,
}


def stage_cost(stage: Stage, in_channels: int, side: int) -> tuple[int, int, int]:
    """MACs, parameters and output side of a stage whose input is `side` pixels wide."""
    layer, stride = LAYERS[stage.op], stage.stride
    pixels_in = pixels = side * side
    if stride != 1:
        side = -(-side // stride)
        pixels = side * side
    macs, params = layer(stage, in_channels, stride, pixels_in, pixels)
    more = stage.repeats - 1
    if more:
        again = layer(stage, stage.channels, 1, pixels, pixels)
        macs, params = macs + more * again[0], params + more * again[1]
    return macs, params, side


def stem_cost(stem: Stem, in_channels: int, image_size: int) -> tuple[int, int, int]:
    """MACs, parameters and output side of a stem."""
    side = -(-image_size // stem.stride)
    weights = in_channels * stem.channels * stem.kernel * stem.kernel
    macs, params = weights * side * side, weights + 2 * stem.channels
    return macs, params, -(-side // 2) if stem.pool == "max" else side


def head_cost(architecture: Architecture, side: int, num_classes: int) -> tuple[int, int]:
    """MACs and parameters of the head's convolution and the classifier."""
    channels, last = architecture.head.channels, architecture.stages[-1].channels
    macs = params = 0
    if channels:
        macs, params = last * channels * side * side, last * channels + 2 * channels
    features = channels or last
    return macs + features * num_classes, params + (features + 1) * num_classes


def cost(architecture: Architecture, num_classes: int = 1000, in_channels: int = 3) -> Cost:
    """MACs and parameters of a network, exact against its built module.

    Args:
        architecture: the description.
        num_classes: outputs of the classifier.
        in_channels: channels of the image.
    """
    macs, params, side = stem_cost(architecture.stem, in_channels, architecture.image_size)
    channels = architecture.stem.channels
    for stage in architecture.stages:
        more_macs, more_params, side = stage_cost(stage, channels, side)
        macs, params = macs + more_macs, params + more_params
        channels = stage.channels
    last = head_cost(architecture, side, num_classes)
    return Cost(macs + last[0], params + last[1])


def block_peak(block: Block, pixels_in: int, pixels: int) -> int:
    """The most values alive at one operation of a block: its input, its output, and what a skip waits for."""
    entry = block.in_channels * pixels_in
    inner, leave = block.inner_channels, block.channels * pixels
    if block.op == "conv":
        # a skip's input is the convolution's own; pooled, it is added to what the convolution left
        return entry + (2 * leave if block.skip == "pool" else leave)
    waiting = entry if block.skip != "none" else 0
    if block.op == "bottleneck":
        steps = [inner * (pixels_in + pixels), inner * pixels + leave]
        first = entry + inner * pixels_in
    else:
        steps = [inner * pixels + leave]
        if inner != block.in_channels:
            steps.append(inner * (pixels_in + pixels))
            first = entry + inner * pixels_in
        else:
            first = entry + inner * pixels
    if block.skip in ("project", "pool"):
        steps.append(2 * leave)  # the block's output and what is added to it, while the input waits
    return max(first, waiting + max(steps))


def stage_peak(stage: Stage, in_channels: int, side: int) -> int:
    """The most values alive at one operation of a stage."""
    small = -(-side // stage.stride)
    first, *rest = stage.blocks(in_channels)[:2]
    peaks = [block_peak(first, side * side, small * small)]
    return max(peaks + [block_peak(block, small * small, small * small) for block in rest])


def stem_peak(stem: Stem, in_channels: int, image_size: int) -> int:
    """The most values alive at one operation of a stem."""
    side = -(-image_size // stem.stride)
    peak = in_channels * image_size**2 + stem.channels * side**2
    if stem.pool == "max":
        peak = max(peak, stem.channels * (side**2 + (-(-side // 2)) ** 2))
    return peak


def memory(architecture: Architecture, num_classes: int = 1000, in_channels: int = 3) -> int:
    """Bytes to run one image in float32: all parameters and the most activations alive at a time.

    The constraint Memory(N) of EfficientNet (arXiv 1905.11946, eq. 2), for inference: an operation needs
    its input, its output, and the input of its block where a skip waits for it; batch norm, activations and
    squeeze-and-excitation's gate work in place.
    """
    _, _, side = stem_cost(architecture.stem, in_channels, architecture.image_size)
    peak = stem_peak(architecture.stem, in_channels, architecture.image_size)
    channels = architecture.stem.channels
    for stage in architecture.stages:
        peak = max(peak, stage_peak(stage, channels, side))
        side, channels = -(-side // stage.stride), stage.channels
    peak = max(peak, (channels + architecture.head.channels) * side * side)
    return 4 * (cost(architecture, num_classes, in_channels).params + peak)


def thop_macs(architecture: Architecture, num_classes: int = 1000, in_channels: int = 3) -> int:
    """What the tool thop prints as MACs for these networks, which Accel-NASBench gives as ``macs``.

    Besides `cost`'s MACs it counts 4 for every element that a batch norm sees, and for global average
    pooling, SE's and the head's, (H * W + 1) a channel.

    Raises:
        ValueError: a block for which the convention was not checked: anything but mbconv and dsconv.
    """
    macs, _ = cost(architecture, num_classes, in_channels)
    side = -(-architecture.image_size // architecture.stem.stride)
    normed = architecture.stem.channels * side * side
    pooled = 0
    for block in architecture.blocks():
        if block.op != "mbconv" or block.skip not in ("identity", "none"):
            raise ValueError(f"thop's convention is checked for mbconv blocks only, got {block.op}")
        small = -(-side // block.stride)
        inner = block.inner_channels
        if inner != block.in_channels:
            normed += inner * side * side
        normed += (inner + block.channels) * small * small
        if block.se_channels:
            pooled += (small * small + 1) * inner
        side = small
    normed += architecture.head.channels * side * side
    pooled += (side * side + 1) * architecture.features
    return macs + 4 * normed + pooled
