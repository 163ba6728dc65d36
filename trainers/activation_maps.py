"""Class activation maps: where in an image the evidence for a class lies.

The networks end in maps A (channels, h, w), their mean over all places, and one linear layer. So the logit of
a class is the mean over all places of what each place alone gives it, plus the bias:

    M_c(x, y) = sum_k w_ck A_k(x, y),    logit_c = mean_xy M_c(x, y) + b_c.

M_c is the class activation map: Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning Deep Features for
Discriminative Localization", arXiv 1512.04150. Grad-CAM (Selvaraju et al., arXiv 1610.02391) takes the maps
of any layer, weighs each by the mean of the logit's gradient over it, and keeps the positive part. At the
last maps that gradient is w_ck / (h w) everywhere, so Grad-CAM there is the positive part of M_c over h w.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_space import Architecture, InputError
from search_space.errors import suggestion
from search_space.network import Network

LAST = "head"


def layer_names(architecture: Architecture) -> tuple[str, ...]:
    """The layers that have maps, from the image on: ``stem``, ``stage1`` and so on, ``head``.

    A stage counts from 1, in the order of `Architecture.stages`, and stands for its last block. Every block
    can be named by itself too, as its weights are: ``blocks.0`` is the first.
    """
    stages = (f"stage{number}" for number in range(1, len(architecture.stages) + 1))
    return ("stem", *stages, LAST)


def layer_place(architecture: Architecture, layer: str) -> int:
    """How many modules an image has passed through when it leaves a layer: stem, then blocks, then head.

    Args:
        architecture: of the network.
        layer: see `layer_names`.

    Raises:
        InputError: no such layer, with the nearest.
    """
    repeats = [stage.repeats for stage in architecture.stages]
    places = {"stem": 1, LAST: sum(repeats) + 2}
    places |= {f"stage{number + 1}": 1 + sum(repeats[: number + 1]) for number in range(len(repeats))}
    blocks = {f"blocks.{number}": number + 2 for number in range(sum(repeats))}
    if layer in places or layer in blocks:
        return (places | blocks)[layer]
    if layer.startswith("blocks"):
        raise InputError(f"has no layer {layer!r}; its blocks are blocks.0 to blocks.{len(blocks) - 1}")
    near = suggestion(layer, layer_names(architecture))
    raise InputError(f"has no layer {layer!r}{near}")


def last_of_cells(architecture: Architecture) -> str | None:
    """The last stage whose maps have more than one cell at the architecture's image size; None has none."""
    strides = [architecture.stem.stride * (2 if architecture.stem.pool == "max" else 1)]
    for stage in architecture.stages:
        strides.append(strides[-1] * stage.stride)
    larger = [n for n, stride in enumerate(strides[1:], start=1) if architecture.image_size > stride]
    return f"stage{larger[-1]}" if larger else None


@torch.no_grad()
def class_activation_map(network: Network, images: Tensor, classes: Tensor) -> Tensor:
    """The maps M_c of arXiv 1512.04150: their mean over all places and the class's bias add up to the logit.

    Args:
        network: with mean pooling and its classifier, in eval mode.
        images: normalised (B, C, H, W), on the network's device.
        classes: of which class a map is wanted, (B,) int64.

    Returns:
        (B, h, w), of the size of the last maps; negative where a place speaks against the class.
    """
    return maps_of_classes(network, network.forward_features(images), classes)


@torch.no_grad()
def maps_of_classes(network: Network, maps: Tensor, classes: Tensor) -> Tensor:
    """`class_activation_map` of images whose last maps (B, features, h, w) are there."""
    return torch.einsum("bf,bfhw->bhw", _classifier(network).weight[classes], maps)


def logits_of_maps(network: Network, maps: Tensor) -> Tensor:
    """Logits (B, classes) by the last maps (B, features, h, w)."""
    return _classifier(network)(network.dropout(maps.mean((2, 3))))


def grad_cam(network: Network, images: Tensor, classes: Tensor, layer: str = LAST) -> Tensor:
    """Grad-CAM of arXiv 1610.02391 at any layer: earlier ones have finer maps, and see less of the image.

    Args:
        network, images, classes: as of `class_activation_map`.
        layer: see `layer_names`.

    Returns:
        (B, h, w), of the size of the layer's maps; nowhere negative.

    Raises:
        InputError: no such layer.
    """
    place = layer_place(network.architecture, layer)
    modules = [network.stem, *network.blocks, network.head]
    with torch.no_grad():
        x = images
        for module in modules[:place]:
            x = module(x)
    with torch.enable_grad():
        maps = x.detach().requires_grad_()  # (B, channels, h, w)
        y = maps
        for module in modules[place:]:
            y = module(y)
        logits = logits_of_maps(network, y)
        # in eval mode no image changes another's logits, so the gradient of the sum is each one's own
        chosen = logits.gather(1, classes[:, None]).sum()
        (slope,) = torch.autograd.grad(chosen, maps)
    weights = slope.mean((2, 3))  # (B, channels)
    return torch.einsum("bc,bchw->bhw", weights, x).relu()


def _classifier(network: Network) -> nn.Linear:
    """The last layer of a network that has class activation maps."""
    assert not network.training, "batch norm and dropout of training would change the maps"
    assert isinstance(network.classifier, nn.Linear), "a network without its top has no classes"
    return network.classifier
