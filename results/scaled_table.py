"""Baselines that EfficientNet's paper scales one way and another: tables 3 and 7 of arXiv 1905.11946v5.

Checked against copies of version 5 (table 3 in four, table 7 in two). The copy of the ICML edition (see
`results.published`) has the same numbers, but for 76.3 as the accuracy of EfficientNet-B0. Version 5 has 77.3
there, which is the number of version 3, and 77.1 in its table 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from search_space import REFERENCES, Architecture, scale_architecture

SCALED_EDITION = "v5"
_PIXELS = 8  # the paper calls 299 pixels 1.3 times 224, which is 291


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedScaling:
    """A baseline, or one scaled.

    Attributes:
        table: 3 or 7.
        baseline: the reference that was scaled: ``mobilenet_v1``.
        depth, width, resolution: factors over the baseline; None where the table does not print them.
        macs: multiply-adds of one image.
        accuracy: top-1 on ImageNet, 0 to 1.
    """

    table: int
    baseline: str
    depth: float | None
    width: float | None
    resolution: float | None
    macs: int
    accuracy: float

    @property
    def name(self) -> str:
        """``MobileNetV1``, or what was done to it: ``MobileNetV1 width 2``, ``ResNet-50 compound``."""
        factors = {"depth": self.depth, "width": self.width, "resolution": self.resolution}
        words = [f"{what} {by:g}" for what, by in factors.items() if by not in (None, 1)]
        if self.depth is None or len(words) == 3:
            words = ["compound"]
        return " ".join((_NAMES[self.baseline], *words))

    def to_json(self) -> dict[str, Any]:
        """Table, name, factors, multiply-adds, and the accuracy from 0 to 1."""
        return {
            "table": self.table,
            "name": self.name,
            "baseline": self.baseline,
            "depth": self.depth,
            "width": self.width,
            "resolution": self.resolution,
            "macs": self.macs,
            "top1": self.accuracy,
        }


_NAMES = {
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "resnet_50": "ResNet-50",
    "efficientnet_b0": "EfficientNet-B0",
}
_Factors = tuple[float | None, float | None, float | None]
_NO, _DEPTH, _WIDTH, _RESOLUTION = (1, 1, 1), (4, 1, 1), (1, 2, 1), (1, 1, 2)
_COMPOUND = (1.4, 1.2, 1.3)
_UNKNOWN = (None, None, None)
_TABLE: tuple[tuple[int, str, _Factors, float, float], ...] = (
    # table, baseline, factors, multiply-adds in billions, top-1 in percent
    (3, "mobilenet_v1", _NO, 0.6, 70.6),
    (3, "mobilenet_v1", _WIDTH, 2.2, 74.2),
    (3, "mobilenet_v1", _RESOLUTION, 2.2, 72.7),
    (3, "mobilenet_v1", _COMPOUND, 2.3, 75.6),
    (3, "mobilenet_v2", _NO, 0.3, 72.0),
    (3, "mobilenet_v2", _DEPTH, 1.2, 76.8),
    (3, "mobilenet_v2", _WIDTH, 1.1, 76.4),
    (3, "mobilenet_v2", _RESOLUTION, 1.2, 74.8),
    (3, "mobilenet_v2", _UNKNOWN, 1.3, 77.4),
    (3, "resnet_50", _NO, 4.1, 76.0),
    (3, "resnet_50", _DEPTH, 16.2, 78.1),
    (3, "resnet_50", _WIDTH, 14.7, 77.7),
    (3, "resnet_50", _RESOLUTION, 16.4, 77.5),
    (3, "resnet_50", _UNKNOWN, 16.7, 78.8),
    (7, "efficientnet_b0", _NO, 0.4, 77.3),
    (7, "efficientnet_b0", _DEPTH, 1.8, 79.0),
    (7, "efficientnet_b0", _WIDTH, 1.8, 78.9),
    (7, "efficientnet_b0", _RESOLUTION, 1.9, 79.1),
    (7, "efficientnet_b0", _COMPOUND, 1.8, 81.1),
)
_ROWS = tuple(
    PublishedScaling(
        table=table,
        baseline=baseline,
        depth=depth,
        width=width,
        resolution=resolution,
        macs=round(macs * 1e9),
        accuracy=round(top1 / 100, 4),
    )
    for table, baseline, (depth, width, resolution), macs, top1 in _TABLE
)


def published_scaled() -> tuple[PublishedScaling, ...]:
    """Tables 3 and 7, in the order in which they are printed."""
    return _ROWS


def scaling_of(architecture: Architecture) -> PublishedScaling | None:
    """The row that this network is: the layers that our scaling gives at its factors, and its resolution.

    A factor of 1.3 may be 8 pixels off. A row whose factors are not printed is no network that we know.
    """
    for row, key in _scaled(architecture.image_size):
        if key == architecture.key:
            return row
    return None


@cache
def _scaled(image_size: int) -> tuple[tuple[PublishedScaling, str], ...]:
    """Rows that may have this resolution, with the keys of their networks at it."""
    found = []
    for row in _ROWS:
        if row.depth is None or row.width is None or row.resolution is None:
            continue
        baseline = REFERENCES[row.baseline]()
        apart = abs(image_size - row.resolution * baseline.image_size)
        if apart > (_PIXELS if row.resolution % 1 else 0):
            continue
        network = scale_architecture(baseline, depth=row.depth, width=row.width, image_size=image_size)
        found.append((row, network.key))
    return tuple(found)
