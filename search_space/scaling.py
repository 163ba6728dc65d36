"""Scaling one network by given factors, with the rounding rules of the reference implementation.

Source: efficientnet_builder.py and efficientnet_model.py of tensorflow/tpu (`round_filters`,
`round_repeats`): channels go to a multiple of 8 and never lose more than a tenth, layers round up.
"""

from __future__ import annotations

import math
from dataclasses import replace

from search_space.architecture import Architecture
from search_space.fields import check_float
from search_space.stage import Head


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor` (halves up), raised by one step if it lost more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def round_repeats(repeats: float) -> int:
    """Layers round up."""
    # 10 decimals: 2 * 1.1 ** 2 must not become one layer more through the last bit of a float
    return math.ceil(round(repeats, 10))


def scale_architecture(
    architecture: Architecture,
    *,
    depth: float,
    width: float,
    image_size: int,
    dropout: float | None = None,
    name: str | None = None,
    divisor: int = 8,
) -> Architecture:
    """A deeper, wider network at another resolution.

    Args:
        architecture: the baseline.
        depth: factor on every stage's layers, rounded up.
        width: factor on every width, stem and head among them, rounded to a multiple of the divisor.
        image_size: of the result, pixels.
        dropout: of the result; the baseline's by default.
        name: of the result; the baseline's by default.
        divisor: of the channels; the reference implementation's is 8.

    Raises:
        FieldError: a factor is not between 0.001 and 1000, or the image is smaller than the total stride.
    """

    check_float("depth", depth, 1e-3, 1e3)
    check_float("width", width, 1e-3, 1e3)

    def widen(channels: int) -> int:
        return channels if width == 1 else round_channels(channels * width, divisor)

    return replace(
        architecture,
        name=architecture.name if name is None else name,
        image_size=image_size,
        dropout=architecture.dropout if dropout is None else dropout,
        stem=replace(architecture.stem, channels=widen(architecture.stem.channels)),
        stages=tuple(
            replace(stage, channels=widen(stage.channels), repeats=round_repeats(stage.repeats * depth))
            for stage in architecture.stages
        ),
        head=Head(channels=widen(architecture.head.channels) if architecture.head.channels else 0),
    )
