"""The torch module of an architecture.

Tensor shapes are (batch, channels, height, width). Initialisation follows the reference implementation
(tensorflow/tpu, efficientnet_model.py): convolutions normal with variance 2 / fan-out, where a depthwise
convolution's fan-out is its kernel's area; the classifier uniform within 1 / sqrt(classes).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_space.architecture import Architecture, Block
from search_space.fields import check_choice, check_float, check_int

_ACTIVATIONS: dict[str, type[nn.Module]] = {"swish": nn.SiLU, "relu": nn.ReLU, "relu6": nn.ReLU6}


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: an odd pixel of padding goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', ceil(H / stride), ceil(W / stride))."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        high, wide = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
        return super().forward(functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2)))


class _Builder:
    """Makes layers that share an architecture's padding, activation and batch norm."""

    def __init__(self, architecture: Architecture, bn_eps: float, bn_momentum: float) -> None:
        self.same = architecture.padding == "same"
        self.activation_class = _ACTIVATIONS[architecture.activation]
        self.bn_eps, self.bn_momentum = bn_eps, bn_momentum

    def activation(self) -> nn.Module:
        return self.activation_class(inplace=True)

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
        if self.same and stride > 1:  # at stride 1 and an odd kernel both paddings agree
            return SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)

    def norm(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=self.bn_eps, momentum=self.bn_momentum)


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): drops a block's branch for whole images while training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same; what survives is scaled up to keep the mean."""
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = torch.empty((len(x), 1, 1, 1), dtype=x.dtype, device=x.device).bernoulli_(keep)
        return x * mask / keep


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (arXiv 1709.01507): a gate for each channel from the channels' means."""

    def __init__(self, channels: int, squeezed: int, activation: nn.Module) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        gate = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.expand(self.activation(self.reduce(gate))))


class MBConv(nn.Module):
    """Inverted bottleneck (MobileNetV2, arXiv 1801.04381) with optional squeeze-and-excitation."""

    def __init__(self, block: Block, make: _Builder, drop_path: float) -> None:
        super().__init__()
        wide = block.expanded_channels
        self.expand: nn.Module = nn.Identity()
        if wide != block.in_channels:
            self.expand = nn.Sequential(
                make.conv(block.in_channels, wide, 1), make.norm(wide), make.activation()
            )
        self.depthwise = nn.Sequential(
            make.conv(wide, wide, block.kernel, block.stride, groups=wide), make.norm(wide), make.activation()
        )
        self.se: nn.Module = nn.Identity()
        if block.se_channels:
            self.se = SqueezeExcite(wide, block.se_channels, make.activation())
        self.project = nn.Sequential(make.conv(wide, block.channels, 1), make.norm(block.channels))
        self.residual = block.residual
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y = self.project(self.se(self.depthwise(self.expand(x))))
        return x + self.drop_path(y) if self.residual else y


BLOCKS: dict[str, type[MBConv]] = {"mbconv": MBConv}


class Network(nn.Module):
    """Stem, blocks, head, pooling and classifier; made by `Architecture.build`.

    Attributes:
        architecture: what it was built from.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int,
        in_channels: int,
        bn_momentum: float,
        bn_eps: float,
        dropout: float,
        drop_path: float,
        include_top: bool,
        pooling: Literal["avg", "max"] | None,
    ) -> None:
        super().__init__()
        check_int("num_classes", num_classes, 1)
        check_int("in_channels", in_channels, 1)
        check_float("bn_momentum", bn_momentum, 0.0, 1.0)
        check_float("dropout", dropout, 0.0, 0.999)
        check_float("drop_path", drop_path, 0.0, 0.999)
        check_choice("pooling", pooling, (None, "avg", "max"))
        self.architecture = architecture
        self.pooling = "avg" if include_top else pooling
        make = _Builder(architecture, bn_eps, bn_momentum)
        stem, head = architecture.stem, architecture.head
        self.stem = nn.Sequential(
            make.conv(in_channels, stem.channels, stem.kernel, stem.stride),
            make.norm(stem.channels),
            make.activation(),
        )
        blocks = architecture.blocks()
        self.blocks = nn.Sequential(
            *(
                # the rate grows from 0 at the first block to `drop_path` at the last
                BLOCKS[block.op](block, make, drop_path * i / max(1, len(blocks) - 1))
                for i, block in enumerate(blocks)
            )
        )
        self.head = nn.Sequential(
            make.conv(blocks[-1].channels, head.channels, 1), make.norm(head.channels), make.activation()
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier: nn.Module = nn.Linear(head.channels, num_classes) if include_top else nn.Identity()
        self.include_top = include_top
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights from torch's global generator."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                bound = 1.0 / math.sqrt(module.out_features)
                nn.init.uniform_(module.weight, -bound, bound)
                nn.init.zeros_(module.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (batch, in_channels, H, W) to the head's maps (batch, head channels, h, w)."""
        return self.head(self.blocks(self.stem(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits (batch, classes); without the top to maps, or to pooled features."""
        maps = self.forward_features(x)
        if self.pooling is None:
            return maps
        features = maps.mean((2, 3)) if self.pooling == "avg" else maps.amax((2, 3))  # (batch, channels)
        if not self.include_top:
            return features
        return self.classifier(self.dropout(features))
