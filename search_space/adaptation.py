"""A published network in another space: fewer pixels want fewer strides.

A network for 224-pixel images halves the sides five times, and of a 32-pixel image would leave one pixel. In
a space for small images it gets the space's image size and the space's stem stride. Of its other halvings the
last ones stay, as many as give the space's total reduction, and the earlier ones go; the max-pool of a stem
is the earliest. Widths, layers, kernels, activation and the rest are as published. EfficientNet-B0 so gets
exactly the strides of the preset ``cifar``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from search_space.architecture import Architecture
from search_space.fields import check_int
from search_space.space import SearchSpace

_LOOKED_AT = 33  # networks of a space, for what they have in common


class Adapted(NamedTuple):
    """A network in a space.

    Attributes:
        architecture: the network, under its own name.
        changes: what was changed, in words; empty where nothing was.
    """

    architecture: Architecture
    changes: tuple[str, ...]


class Frame(NamedTuple):
    """What the networks of a space have in common.

    Attributes:
        image_size: pixels, along one side.
        stem_stride: of the first convolution.
        reduction: image pixels per pixel of the last feature map, along one side.
    """

    image_size: int
    stem_stride: int
    reduction: int


def frame_of(space: SearchSpace) -> Frame:
    """The frame of a space's networks, where they differ the commonest among 33 (of equals the first).

    Args:
        space: with a decoder.

    Raises:
        FieldError: it has none.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    points = [(0,) * len(space.decisions), *(space.random(rng) for _ in range(_LOOKED_AT - 1))]
    networks = [space.decode(point) for point in points]
    frames = Counter(Frame(n.image_size, n.stem.stride, n.total_stride) for n in networks)
    return frames.most_common(1)[0][0]


def adapt(architecture: Architecture, frame: Frame) -> Adapted:
    """A network in the frame of a space; see the module.

    Args:
        architecture: the network.
        frame: of the space. A network with too few halvings for its reduction keeps all it has.

    Raises:
        FieldError: the frame's image is smaller than its reduction.
    """
    check_int("image_size", frame.image_size, frame.reduction)
    changes: list[str] = []
    if architecture.image_size != frame.image_size:
        changes.append(f"{frame.image_size} pixels")
    stem = replace(architecture.stem, stride=frame.stem_stride)
    if stem != architecture.stem:
        changes.append(f"stem stride {frame.stem_stride}")
    left = frame.reduction // frame.stem_stride  # what the halvings after the stem make together
    stages = list(architecture.stages)
    unstrided: list[int] = []
    for number in reversed(range(len(stages))):
        if stages[number].stride <= left:
            left //= stages[number].stride
        else:
            stages[number] = replace(stages[number], stride=1)
            unstrided.insert(0, number + 1)
    if stem.pool == "max" and left < 2:
        stem = replace(stem, pool="none")
        changes.append("no max-pool in the stem")
    if unstrided:
        changes.append(f"stride 1 instead of 2 in {_stages(unstrided)}")
    network = replace(architecture, image_size=frame.image_size, stem=stem, stages=tuple(stages))
    return Adapted(network, tuple(changes))


def adapt_to_space(architecture: Architecture, space: SearchSpace) -> Adapted:
    """A network in a space; see the module.

    Raises:
        FieldError: the space has no decoder.
    """
    return adapt(architecture, frame_of(space))


def _stages(numbers: list[int]) -> str:
    """1 as ``stage 1``; 1, 2, 3 as ``stages 1, 2 and 3``."""
    if len(numbers) == 1:
        return f"stage {numbers[0]}"
    return f"stages {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
