"""Whether timm builds the same network from the arguments that are exported for it.

timm's EfficientNet is built from `search_space.timm_arguments` as timm's own networks are built from theirs
(``_gen_efficientnet`` in timm/models/efficientnet.py), takes over this project's weights in the order of the
layers, and sees the same images. What only training knows is not compared: in timm the rate of stochastic
depth grows to (n - 1) / n of its value at the last of n blocks, and batch norm's momentum is torch's 0.1.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from search_space import Architecture, FieldError, InputError, timm_arguments

if TYPE_CHECKING:
    from torch import Tensor, nn

TOLERANCE = 1e-5  # of the outputs, relative, in float32
_IMAGES, _SEED = 2, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimmCheck:
    """How timm's network differs from ours.

    Attributes:
        reason: why the two were not compared; empty where they were.
        version: timm's.
        params, timm_params: parameters of ours and of timm's.
        shapes: tensors of the two state dicts that differ, in words, ours first.
        difference: of the logits for the same images and weights, the largest over our largest; None where
            the shapes differ.
    """

    reason: str = ""
    version: str = ""
    params: int = 0
    timm_params: int = 0
    shapes: tuple[str, ...] = ()
    difference: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether both were built, have the same tensors and give the same outputs."""
        return self.difference is not None and self.difference <= TOLERANCE

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        if self.difference is None:
            counts = f"{self.timm_params:,} parameters, not {self.params:,}"
            return f"timm {self.version} builds another network: {counts}; {'; '.join(self.shapes)}"
        return (
            f"timm {self.version} builds the same {self.params:,} parameters; "
            f"its logits differ by {self.difference:.1e} of the largest"
        )


def timm_difference(
    architecture: Architecture,
    weights: Path | nn.Module | None = None,
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    image_size: int | None = None,
) -> TimmCheck:
    """Build the architecture with timm, and compare it with ours.

    Args:
        architecture: the network.
        weights: a safetensors file, or the built network; None draws new weights.
        num_classes, in_channels: of the network.
        image_size: side of the images that both see, pixels; the architecture's own by default.

    Returns:
        What differs, or the reason why the two could not be compared: timm cannot be imported, or has no
        words for the architecture.

    Raises:
        InputError: the weights cannot be read, or are not this network's.
    """
    try:
        arguments = timm_arguments(architecture, num_classes, in_channels)
    except FieldError as error:
        return TimmCheck(reason=f"timm cannot build it: {error}")
    try:
        timm = imported()
    # what a package raises that does not fit this torch is not always an ImportError
    except Exception as error:
        return TimmCheck(reason=why_no_timm(error))
    ours = network_with(architecture, weights, num_classes, in_channels)
    side = image_size or architecture.image_size
    return compared(ours, build_timm(timm, arguments), (in_channels, side), timm.version)


class Timm(NamedTuple):
    """The modules of timm that build a network."""

    version: str
    layers: Any
    builder: Any
    efficientnet: Any


def imported() -> Timm:
    """timm, imported.

    Raises:
        ImportError: timm, or what it needs, is not there.
    """
    modules = ("timm.layers", "timm.models._efficientnet_builder", "timm.models.efficientnet")
    version = importlib.import_module("timm").__version__
    return Timm(version, *(importlib.import_module(name) for name in modules))


def why_no_timm(error: Exception) -> str:
    """What `imported` ended with, in words."""
    if isinstance(error, ModuleNotFoundError) and error.name == "timm":
        return "timm is not installed"
    return f"timm cannot be imported: {' '.join(str(error).split())[:300]}"


def build_timm(timm: Timm, arguments: Mapping[str, Any]) -> nn.Module:
    """timm's EfficientNet by `timm_arguments`, with new weights."""
    from torch import nn, random

    settings = dict(arguments)
    del settings["input_size"]  # of the data, not of the network
    with random.fork_rng(devices=[]):
        return timm.efficientnet.EfficientNet(
            block_args=timm.builder.decode_arch_def(settings.pop("arch_def")),
            act_layer=timm.layers.get_act_layer(settings.pop("act_layer")),
            norm_layer=partial(nn.BatchNorm2d, eps=settings.pop("bn_eps")),
            **settings,
        )


def network_with(
    architecture: Architecture, weights: Path | nn.Module | None, num_classes: int, in_channels: int
) -> nn.Module:
    """Our network with these weights.

    Raises:
        InputError: the file cannot be read, or is of another network.
    """
    from torch import nn, random

    if isinstance(weights, nn.Module):
        return weights
    with random.fork_rng(devices=[]):
        model = architecture.build(num_classes, in_channels)
    if weights is not None:
        from safetensors.torch import load_file

        try:
            model.load_state_dict(load_file(weights))
        except Exception as error:  # of the reader's own kinds
            raise InputError(f"{weights}: cannot be loaded: {' '.join(str(error).split())}") from None
    return model


def compared(ours: nn.Module, theirs: nn.Module, image: tuple[int, int], version: str) -> TimmCheck:
    """The two networks side by side; `theirs` takes over the weights.

    Args:
        ours, theirs: the networks; ours stays as it is.
        image: channels and side of the images, pixels.
        version: timm's.
    """
    import torch

    state, other = ours.state_dict(), theirs.state_dict()
    params, timm_params = (sum(p.numel() for p in model.parameters()) for model in (ours, theirs))
    shapes = tuple(differing(state, other))
    difference = None
    if not shapes:
        device = next(ours.parameters()).device
        theirs.load_state_dict(dict(zip(other, state.values(), strict=True)))
        channels, side = image
        generator = torch.Generator().manual_seed(_SEED)
        images = torch.randn(_IMAGES, channels, side, side, generator=generator).to(device)
        training = ours.training
        with torch.no_grad():
            expected, logits = ours.eval()(images), theirs.eval().to(device)(images)  # (batch, classes)
        ours.train(training)
        scale = expected.abs().max().clamp_min(torch.finfo(expected.dtype).tiny)
        difference = ((logits - expected).abs().max() / scale).item()
    return TimmCheck(
        version=version, params=params, timm_params=timm_params, shapes=shapes, difference=difference
    )


def differing(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Iterator[str]:
    """Where two state dicts have other shapes, tensor by tensor in order, in words."""
    for (name, tensor), (other, timms) in zip(ours.items(), theirs.items(), strict=False):
        if tensor.shape != timms.shape:
            yield f"{name} {tuple(tensor.shape)} is {other} {tuple(timms.shape)}"
    if len(ours) != len(theirs):
        yield f"{len(ours)} tensors are {len(theirs)}"
