"""Published networks as a table, one stage a line, each with its source."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from search_space.architecture import Architecture, Head, Stage, Stem
from search_space.scaling import scale_architecture


class FamilyMember(NamedTuple):
    """One line of the published EfficientNet table: factors over B0, pixels, dropout."""

    width: float
    depth: float
    image_size: int
    dropout: float


# tensorflow/tpu, efficientnet_builder.py, efficientnet_params: (width, depth, resolution, dropout)
EFFICIENTNET_FAMILY = {
    "b0": FamilyMember(1.0, 1.0, 224, 0.2),
    "b1": FamilyMember(1.0, 1.1, 240, 0.2),
    "b2": FamilyMember(1.1, 1.2, 260, 0.3),
    "b3": FamilyMember(1.2, 1.4, 300, 0.3),
    "b4": FamilyMember(1.4, 1.8, 380, 0.4),
    "b5": FamilyMember(1.6, 2.2, 456, 0.4),
    "b6": FamilyMember(1.8, 2.6, 528, 0.5),
    "b7": FamilyMember(2.0, 3.1, 600, 0.5),
}


def efficientnet_b0() -> Architecture:
    """EfficientNet-B0: arXiv 1905.11946, table 1; tensorflow/tpu, efficientnet_builder.py, blocks_args."""
    table = (
        # expansion, kernel, stride, channels, repeats
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    )
    return Architecture(
        name="efficientnet_b0",
        image_size=224,
        stem=Stem(channels=32),
        stages=tuple(
            Stage(expansion=e, kernel=k, stride=s, channels=c, repeats=r, se_ratio=0.25)
            for e, k, s, c, r in table
        ),
        head=Head(channels=1280),
    )


def _efficientnet(member: str) -> Callable[[], Architecture]:
    factors = EFFICIENTNET_FAMILY[member]

    def make() -> Architecture:
        return scale_architecture(
            efficientnet_b0(),
            width=factors.width,
            depth=factors.depth,
            image_size=factors.image_size,
            dropout=factors.dropout,
            name=f"efficientnet_{member}",
        )

    return make


REFERENCES: dict[str, Callable[[], Architecture]] = {
    f"efficientnet_{member}": _efficientnet(member) for member in EFFICIENTNET_FAMILY
}


def reference_name(text: str) -> str | None:
    """The table's name for what a user wrote (`EfficientNet-B0`, `efficientnetb0`), or None."""
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    return next((name for name in REFERENCES if name.replace("_", "") == plain), None)
