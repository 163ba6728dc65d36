"""Published networks as a table, one stage a line, each with its source."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from search_space.architecture import Architecture
from search_space.scaling import scale_architecture
from search_space.stage import Head, Stage, Stem


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


def mobilenet_v1() -> Architecture:
    """MobileNetV1: arXiv 1704.04861, table 1; mobilenet_v1.py of tensorflow/models, V1_CONVDEFS (batch norm
    epsilon 1e-3)."""
    table = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 2, 6), (1024, 2, 2))  # channels, stride, repeats
    return Architecture(
        name="mobilenet_v1",
        image_size=224,
        stem=Stem(channels=32),
        stages=tuple(
            Stage(op="dsconv_act", channels=c, stride=s, repeats=r, skip="none") for c, s, r in table
        ),
        head=Head(channels=0),
        activation="relu",
        dropout=0.001,
        drop_path=0.0,
    )


def mobilenet_v2() -> Architecture:
    """MobileNetV2: arXiv 1801.04381, table 2; mobilenet_v2.py of tensorflow/models (ReLU6, epsilon 1e-3)."""
    table = (
        # expansion, channels, repeats, stride
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    return Architecture(
        name="mobilenet_v2",
        image_size=224,
        stem=Stem(channels=32),
        stages=tuple(Stage(expansion=e, channels=c, repeats=r, stride=s) for e, c, r, s in table),
        head=Head(channels=1280),
        activation="relu6",
        dropout=0.2,
        drop_path=0.0,
    )


def mnasnet_a1() -> Architecture:
    """MnasNet-A1: arXiv 1807.11626, figure 7; mnasnet_models.py of tensorflow/tpu, mnasnet_a1."""
    table = (
        # op, expansion, kernel, stride, channels, repeats, SE ratio
        ("dsconv", 1, 3, 1, 16, 1, 0.0),
        ("mbconv", 6, 3, 2, 24, 2, 0.0),
        ("mbconv", 3, 5, 2, 40, 3, 0.25),
        ("mbconv", 6, 3, 2, 80, 4, 0.0),
        ("mbconv", 6, 3, 1, 112, 2, 0.25),
        ("mbconv", 6, 5, 2, 160, 3, 0.25),
        ("mbconv", 6, 3, 1, 320, 1, 0.0),
    )
    return Architecture(
        name="mnasnet_a1",
        image_size=224,
        stem=Stem(channels=32),
        stages=tuple(
            Stage(op=op, expansion=e, kernel=k, stride=s, channels=c, repeats=r, se_ratio=se)  # type: ignore[arg-type]
            for op, e, k, s, c, r, se in table
        ),
        head=Head(channels=1280),
        activation="relu",
        dropout=0.2,
        drop_path=0.0,
    )


def resnet_50() -> Architecture:
    """ResNet-50: arXiv 1512.03385, table 1; see `_resnet`."""
    return _resnet("resnet_50", (3, 4, 6, 3))


def resnet_152() -> Architecture:
    """ResNet-152: arXiv 1512.03385, table 1; see `_resnet`."""
    return _resnet("resnet_152", (3, 8, 36, 3))


def _resnet(name: str, repeats: tuple[int, int, int, int]) -> Architecture:
    """A ResNet of bottlenecks with the stride in the 3x3 convolution ("v1.5", as torchvision's resnet.py has
    it; batch norm epsilon 1e-5)."""
    table = ((256, 1), (512, 2), (1024, 2), (2048, 2))  # channels, stride
    return Architecture(
        name=name,
        image_size=224,
        stem=Stem(channels=64, kernel=7, pool="max"),
        stages=tuple(
            Stage(op="bottleneck", channels=c, stride=s, repeats=r)
            for (c, s), r in zip(table, repeats, strict=True)
        ),
        head=Head(channels=0),
        activation="relu",
        bn_eps=1e-5,
        dropout=0.0,
        drop_path=0.0,
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
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mnasnet_a1": mnasnet_a1,
    "resnet_50": resnet_50,
    "resnet_152": resnet_152,
    **{f"efficientnet_{member}": _efficientnet(member) for member in EFFICIENTNET_FAMILY},
}


def reference_name(text: str) -> str | None:
    """The table's name for what a user wrote (`EfficientNet-B0`, `efficientnetb0`), or None."""
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    return next((name for name in REFERENCES if name.replace("_", "") == plain), None)
