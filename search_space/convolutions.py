"""Convolutions with the reference's initialisation and padding, and shorter ways to the same sums.

Two of those ways are worth their lines (`benchmarks/proxy_training.py` measures both):

- on a processor, a 1x1 convolution of channels-last maps is a matrix product, and torch's is faster;
- a depthwise kernel that is wider than the maps multiplies padding: only the taps that ever meet a pixel are
  used. On 1x1 maps one tap is left of 25, which is a multiplication of channels by numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Conv2d(nn.Conv2d):
    """Convolution with the reference's initialisation."""

    def reset_parameters(self) -> None:
        """Draw new weights."""
        fan_out = self.kernel_size[0] * self.kernel_size[1] * self.out_channels // self.groups
        nn.init.normal_(self.weight, 0.0, math.sqrt(2.0 / fan_out))
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class PointwiseConv2d(Conv2d):
    """Convolution with a 1x1 kernel and stride 1."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        if x.device.type != "cpu" or _exported() or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        rows = x.permute(0, 2, 3, 1)  # (N, H, W, C), in the order of memory
        return functional.linear(rows, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class SameConv2d(Conv2d):
    """Convolution with TensorFlow's SAME padding: an odd pixel of padding goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', ceil(H / stride), ceil(W / stride))."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        return super().forward(same_pad(x, kernel, stride))


class DepthwiseConv2d(Conv2d):
    """A kernel a channel, without bias; the sides divide by the stride, rounded up.

    Args:
        channels: in and out.
        kernel: odd.
        stride: of both sides.
        same: TensorFlow's SAME padding, where an odd pixel goes right and below; else the same on all sides.
    """

    def __init__(self, channels: int, kernel: int, stride: int, *, same: bool) -> None:
        super().__init__(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
        self.same = same

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = int(x.shape[-2]), int(x.shape[-1])
        rows, columns = (window(side, kernel, stride, self.same) for side in (height, width))
        weight = self.weight
        if _exported() or rows.taps == columns.taps == kernel:
            if not self.same:
                return super().forward(x)
            x = same_pad(x, kernel, stride)
            return functional.conv2d(x, weight, None, stride, 0, groups=self.groups)
        weight = weight[
            :, :, rows.first : rows.first + rows.taps, columns.first : columns.first + columns.taps
        ]
        if height == width == 1:
            return x * weight.reshape(1, -1, 1, 1).to(x.dtype)
        x = functional.pad(x, (columns.before, columns.after, rows.before, rows.after))
        # a view of few taps has strides that torch would take for another layout
        weight = weight.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(x, weight, None, stride, 0, groups=self.groups)


class Window(NamedTuple):
    """The taps of a kernel that ever meet a pixel, along one side.

    Attributes:
        first, taps: the first of them, and how many.
        before, after: padding that a kernel of these taps needs; a negative one cuts pixels off.
    """

    first: int
    taps: int
    before: int
    after: int


def window(side: int, kernel: int, stride: int, same: bool) -> Window:
    """The part of a padded kernel that meets pixels.

    Args:
        side: of the maps, pixels.
        kernel: taps.
        stride: of the outputs, of which there are ceil(side / stride).
        same: TensorFlow's SAME padding; else kernel // 2 at both ends.
    """
    outputs = -(-side // stride)
    before = max((outputs - 1) * stride + kernel - side, 0) // 2 if same else kernel // 2
    first = max(0, before - (outputs - 1) * stride)
    last = min(kernel - 1, side - 1 + before)
    taps, before = last - first + 1, before - first
    return Window(first, taps, before, (outputs - 1) * stride + taps - side - before)


def same_pad(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Maps (N, C, H, W) with TensorFlow's SAME padding around them."""
    high, wide = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
    return functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2), value=value)


def _exported() -> bool:
    """Whether the network is being written down: then as it is described, not as it is fastest here."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
