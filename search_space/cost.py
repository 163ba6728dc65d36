"""Analytic cost: arithmetic on the description, nothing is built.

One multiply-add is one MAC; convolutions (squeeze-and-excitation's among them) and linear layers count,
batch norm, activations, pooling and additions do not. The papers print this number as "FLOPS".
Parameters include batch norm's scale and shift, not its running statistics.
Source of the convention: arXiv 1905.11946, table 2, whose B0 (0.39B) has 385,814,752.
"""

from __future__ import annotations

from typing import NamedTuple

from search_space.architecture import Architecture


class Cost(NamedTuple):
    """What one network costs.

    Attributes:
        macs: multiply-adds for one image.
        params: trainable parameters.
    """

    macs: int
    params: int


def conv_bn(in_channels: int, channels: int, kernel: int, pixels: int) -> tuple[int, int]:
    """MACs and parameters of a convolution without bias and its batch norm; `pixels` are its outputs."""
    weights = in_channels * channels * kernel * kernel
    return weights * pixels, weights + 2 * channels


def mbconv(
    in_channels: int, channels: int, expansion: int, kernel: int, squeezed: int, pixels_in: int, pixels: int
) -> tuple[int, int]:
    """MACs and parameters of one inverted bottleneck; SE's two 1x1 convolutions see one pixel, with bias."""
    wide = in_channels * expansion
    expand = in_channels * wide if expansion != 1 else 0
    depthwise = kernel * kernel * wide
    squeeze = 2 * wide * squeezed
    project = wide * channels
    norms = 2 * (wide * (2 if expand else 1) + channels)
    biases = squeezed + wide if squeezed else 0
    macs = expand * pixels_in + (depthwise + project) * pixels + squeeze
    return macs, expand + depthwise + squeeze + project + norms + biases


def cost(architecture: Architecture, num_classes: int = 1000, in_channels: int = 3) -> Cost:
    """MACs and parameters of a network, exact against its built module.

    Args:
        architecture: the description.
        num_classes: outputs of the classifier.
        in_channels: channels of the image.
    """
    stem, head = architecture.stem, architecture.head
    side = -(-architecture.image_size // stem.stride)
    pixels = side * side
    macs, params = conv_bn(in_channels, stem.channels, stem.kernel, pixels)
    channels = stem.channels
    for stage in architecture.stages:
        pixels_in = pixels
        if stage.stride != 1:
            side = -(-side // stage.stride)
            pixels = side * side
        out, ratio, repeats = stage.channels, stage.se_ratio, stage.repeats
        squeezed = (int(channels * ratio) or 1) if ratio else 0
        layer = mbconv(channels, out, stage.expansion, stage.kernel, squeezed, pixels_in, pixels)
        macs, params = macs + layer[0], params + layer[1]
        if repeats > 1:
            squeezed = (int(out * ratio) or 1) if ratio else 0
            layer = mbconv(out, out, stage.expansion, stage.kernel, squeezed, pixels, pixels)
            macs, params = macs + (repeats - 1) * layer[0], params + (repeats - 1) * layer[1]
        channels = out
    last = conv_bn(channels, head.channels, 1, pixels)
    classifier = head.channels * num_classes
    return Cost(macs + last[0] + classifier, params + last[1] + classifier + num_classes)
