"""Layers of the networks. Tensor shapes are (batch, channels, height, width).

Weights are drawn once, when a layer is made, as the reference implementation draws them (tensorflow/tpu,
efficientnet_model.py): convolutions normal with variance 2 / fan-out, where a depthwise convolution's fan-out
is its kernel's area; the classifier uniform within 1 / sqrt(classes).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_space.architecture import Architecture
from search_space.convolutions import Conv2d, DepthwiseConv2d, PointwiseConv2d, SameConv2d, same_pad
from search_space.stage import Block

_ACTIVATIONS: dict[str, type[nn.Module]] = {"swish": nn.SiLU, "relu": nn.ReLU, "relu6": nn.ReLU6}


class SameMaxPool2d(nn.MaxPool2d):
    """3x3 max pooling with stride 2 and TensorFlow's SAME padding."""

    def __init__(self) -> None:
        super().__init__(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        return super().forward(same_pad(x, 3, 2, float("-inf")))


class Classifier(nn.Linear):
    """The last linear layer with the reference's initialisation."""

    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1.0 / math.sqrt(self.out_features)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.bias)


class Maker:
    """Makes layers that share an architecture's padding, activation and batch norm."""

    def __init__(self, architecture: Architecture, bn_eps: float, bn_momentum: float) -> None:
        self.same = architecture.padding == "same"
        self.activation_class = _ACTIVATIONS[architecture.activation]
        self.bn_eps, self.bn_momentum = bn_eps, bn_momentum

    def activation(self) -> nn.Module:
        """A new activation."""
        # in place, swish would keep a copy of its input for the gradient
        return self.activation_class(inplace=self.activation_class is not nn.SiLU)

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
        """A convolution without bias; the sides divide by the stride, rounded up."""
        if groups == inputs == outputs and kernel > 1:
            return DepthwiseConv2d(inputs, kernel, stride, same=self.same)
        if kernel == stride == groups == 1:
            return PointwiseConv2d(inputs, outputs, bias=False)
        if self.same and stride > 1 and kernel > 1:  # else both paddings agree, kernels being odd
            return SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        return Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)

    def norm(self, channels: int) -> nn.BatchNorm2d:
        """A batch norm."""
        return nn.BatchNorm2d(channels, eps=self.bn_eps, momentum=self.bn_momentum)

    def max_pool(self) -> nn.MaxPool2d:
        """3x3 max pooling with stride 2."""
        return SameMaxPool2d() if self.same else nn.MaxPool2d(3, 2, 1)

    def conv_norm(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> nn.Sequential:
        """Convolution and batch norm."""
        return nn.Sequential(self.conv(inputs, outputs, kernel, stride, groups), self.norm(outputs))

    def conv_norm_act(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> nn.Sequential:
        """Convolution, batch norm and activation."""
        return self.conv_norm(inputs, outputs, kernel, stride, groups).append(self.activation())


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
        return x * mask.div_(keep)


class PoolSkip(nn.Module):
    """3x3 average pooling with the block's stride; channels that the block adds are zero (option A of
    arXiv 1512.03385). No parameters."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = channels - in_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', ceil(H / stride), ceil(W / stride))."""
        pooled = functional.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)
        return functional.pad(pooled, (0, 0, 0, 0, 0, self.more)) if self.more else pooled


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (arXiv 1709.01507): a gate for each channel from the channels' means."""

    def __init__(self, channels: int, squeezed: int, activation: nn.Module) -> None:
        super().__init__()
        self.reduce = PointwiseConv2d(channels, squeezed, bias=True)
        self.activation = activation
        self.expand = PointwiseConv2d(squeezed, channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        gate = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.expand(self.activation(self.reduce(gate))))


class Layer(nn.Module):
    """A block's skip around its branch; subclasses give the branch.

    Args:
        block: what to build.
        make: the maker of its layers.
        drop_path: stochastic depth of the branch.
    """

    def __init__(self, block: Block, make: Maker, drop_path: float) -> None:
        super().__init__()
        self.residual = block.skip != "none"
        self.skip: nn.Module = nn.Identity()
        if block.skip == "pool":
            self.skip = PoolSkip(block.in_channels, block.channels, block.stride)
        elif block.skip == "project":
            self.skip = make.conv_norm(block.in_channels, block.channels, 1, block.stride)
        self.drop_path = DropPath(drop_path if self.residual else 0.0)

    def branch(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', ceil(H / stride), ceil(W / stride))."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', ceil(H / stride), ceil(W / stride))."""
        y = self.branch(x)
        return self.skip(x) + self.drop_path(y) if self.residual else y


class ConvLayer(Layer):
    """``conv``."""

    def __init__(self, block: Block, make: Maker, drop_path: float) -> None:
        super().__init__(block, make, drop_path)
        self.conv = make.conv_norm_act(block.in_channels, block.channels, block.kernel, block.stride)

    def branch(self, x: Tensor) -> Tensor:
        """See `Layer`."""
        return self.conv(x)


class MBConv(Layer):
    """``mbconv``: the inverted bottleneck (arXiv 1801.04381); without an expansion it is ``dsconv``."""

    def __init__(self, block: Block, make: Maker, drop_path: float) -> None:
        super().__init__(block, make, drop_path)
        wide = block.inner_channels
        self.expand: nn.Module = nn.Identity()
        if wide != block.in_channels:
            self.expand = make.conv_norm_act(block.in_channels, wide, 1)
        self.depthwise = make.conv_norm_act(wide, wide, block.kernel, block.stride, groups=wide)
        self.se: nn.Module = nn.Identity()
        if block.se_channels:
            self.se = SqueezeExcite(wide, block.se_channels, make.activation())
        self.project = make.conv_norm(wide, block.channels, 1)

    def branch(self, x: Tensor) -> Tensor:
        """See `Layer`."""
        return self.project(self.se(self.depthwise(self.expand(x))))


class DSConvAct(MBConv):
    """``dsconv_act``: MobileNetV1's, with an activation at the end."""

    def __init__(self, block: Block, make: Maker, drop_path: float) -> None:
        super().__init__(block, make, drop_path)
        self.project.append(make.activation())


class Bottleneck(Layer):
    """``bottleneck``: ResNet-50's, activated after the addition."""

    def __init__(self, block: Block, make: Maker, drop_path: float) -> None:
        super().__init__(block, make, drop_path)
        inner = block.inner_channels
        self.reduce = make.conv_norm_act(block.in_channels, inner, 1)
        self.spatial = make.conv_norm_act(inner, inner, block.kernel, block.stride)
        self.expand = make.conv_norm(inner, block.channels, 1)
        self.activation = make.activation()

    def branch(self, x: Tensor) -> Tensor:
        """See `Layer`."""
        return self.expand(self.spatial(self.reduce(x)))

    def forward(self, x: Tensor) -> Tensor:
        """See `Layer`."""
        return self.activation(super().forward(x))


LAYERS: dict[str, type[Layer]] = {
    "conv": ConvLayer,
    "mbconv": MBConv,
    "dsconv_act": DSConvAct,
    "bottleneck": Bottleneck,
}
