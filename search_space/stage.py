"""Stem, stages and head as a person writes them, and blocks as they are built.

Blocks, by their name in a stage:

- ``conv``: one k x k convolution, batch norm, activation;
- ``dsconv``: depthwise k x k, then pointwise without activation (MnasNet's SepConv; MBConv with expansion 1);
- ``dsconv_act``: the same with an activation after the pointwise convolution (MobileNetV1);
- ``mbconv``: pointwise expansion, depthwise k x k, pointwise projection (MobileNetV2), with
  squeeze-and-excitation where asked for (MnasNet, EfficientNet);
- ``bottleneck``: 1x1, k x k with the stride, 1x1; a quarter of the channels inside (ResNet-50, v1.5).

Skips: ``identity`` adds a layer's input to its output where the shapes agree (a bottleneck projects where
they do not); ``pool`` adds the input after 3x3 average pooling with the layer's stride, new channels filled
with zeros, where the layer does not narrow; ``none``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from search_space.fields import as_floats, check_choice, check_float, check_int

OPS = ("conv", "dsconv", "dsconv_act", "mbconv", "bottleneck")
SE_OPS = ("dsconv", "dsconv_act", "mbconv")
SKIPS = ("identity", "pool", "none")
KERNELS = (1, 3, 5, 7, 9, 11)
BOTTLENECK_RATIO = 4
MOST_CHANNELS = 65_536

Op = Literal["conv", "dsconv", "dsconv_act", "mbconv", "bottleneck"]
Skip = Literal["identity", "pool", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem:
    """The first convolution, with batch norm and activation, and perhaps 3x3 max pooling with stride 2."""

    channels: int
    kernel: int = 3
    stride: int = 2
    pool: Literal["none", "max"] = "none"

    def __post_init__(self) -> None:
        check_int("channels", self.channels, 1, MOST_CHANNELS)
        check_choice("kernel", self.kernel, KERNELS)
        check_choice("stride", self.stride, (1, 2, 4))
        check_choice("pool", self.pool, ("none", "max"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`repeats` layers of one block; the first has the stride and changes the channels.

    Attributes:
        op: the block, see the module.
        channels: output channels.
        repeats: number of layers.
        kernel: side of the block's spatial convolution.
        stride: of the first layer.
        expansion: of an mbconv: depthwise channels over the block's input channels.
        se_ratio: squeezed channels over the block's *input* channels (EfficientNet's rule); 0 is no SE.
        skip: ``identity``, ``pool`` or ``none``, see the module.
    """

    op: Op = "mbconv"
    channels: int
    repeats: int = 1
    kernel: int = 3
    stride: int = 1
    expansion: int = 1
    se_ratio: float = 0.0
    skip: Skip = "identity"

    def __post_init__(self) -> None:
        check_choice("op", self.op, OPS)
        check_int("channels", self.channels, 1, MOST_CHANNELS)
        check_int("repeats", self.repeats, 1, 1000)
        check_choice("kernel", self.kernel, KERNELS)
        check_choice("stride", self.stride, (1, 2))
        check_int("expansion", self.expansion, 1, 100)
        check_float("se_ratio", self.se_ratio, 0.0, 1.0)
        check_choice("skip", self.skip, SKIPS)
        as_floats(self, "se_ratio")

    @property
    def operator(self) -> str:
        """The block in short: ``mbconv6``, ``conv``."""
        return f"mbconv{self.expansion}" if self.op == "mbconv" else self.op

    def blocks(self, in_channels: int) -> list[Block]:
        """The stage's layers, resolved."""
        first = resolve(self, in_channels, self.stride)
        if self.repeats == 1:
            return [first]
        return [first, *[resolve(self, self.channels, 1)] * (self.repeats - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last 1x1 convolution, before pooling and the classifier; 0 channels leave it out."""

    channels: int

    def __post_init__(self) -> None:
        check_int("channels", self.channels, 0, MOST_CHANNELS)


@dataclass(frozen=True, slots=True)
class Block:
    """One layer of a stage with everything resolved: what is built, and what the key is made from.

    A ``dsconv`` resolves to the mbconv that it is; fields that an op does not have are 0.
    """

    op: str
    kernel: int
    stride: int
    in_channels: int
    inner_channels: int
    channels: int
    se_channels: int
    skip: Literal["identity", "project", "pool", "none"]


def squeezed(in_channels: int, se_ratio: float) -> int:
    """Channels inside squeeze-and-excitation: they follow the block's input, not its expansion."""
    return (int(in_channels * se_ratio) or 1) if se_ratio else 0


def resolve(stage: Stage, in_channels: int, stride: int) -> Block:
    """One layer of a stage."""
    op, channels = stage.op, stage.channels
    same = stride == 1 and in_channels == channels
    skip: Literal["identity", "project", "pool", "none"] = "none"
    if stage.skip == "identity":
        skip = "identity" if same else "project" if op == "bottleneck" else "none"
    elif stage.skip == "pool" and channels >= in_channels:
        skip = "pool"
    if op == "conv":
        inner = 0
    elif op == "bottleneck":
        inner = max(1, channels // BOTTLENECK_RATIO)
    else:
        inner = in_channels * (stage.expansion if op == "mbconv" else 1)
    return Block(
        op="mbconv" if op == "dsconv" else op,
        kernel=stage.kernel,
        stride=stride,
        in_channels=in_channels,
        inner_channels=inner,
        channels=channels,
        se_channels=squeezed(in_channels, stage.se_ratio) if op in SE_OPS else 0,
        skip=skip,
    )
