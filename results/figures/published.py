"""Published models on ImageNet: table 2 of EfficientNet, arXiv 1905.11946 (version 5).

Top-1 accuracy of one model and one crop, parameters, and multiply-adds, which the paper prints as FLOPS; all
as rounded there. The table gives no multiply-adds for GPipe.
"""

from __future__ import annotations

from typing import NamedTuple


class PublishedModel(NamedTuple):
    """One line of the table.

    Attributes:
        name: as printed.
        accuracy: top-1 on ImageNet, 0 to 1.
        params: parameters.
        macs: multiply-adds of one image; None where the table has none.
    """

    name: str
    accuracy: float
    params: float
    macs: float | None

    @property
    def efficientnet(self) -> bool:
        """Whether it is of the paper's own family."""
        return self.name.startswith("EfficientNet")


SOURCE = "table 2 of arXiv 1905.11946v5"

_TABLE = (
    # name, top-1 in percent, parameters in millions, multiply-adds in billions
    ("EfficientNet-B0", 77.1, 5.3, 0.39),
    ("ResNet-50", 76.0, 26, 4.1),
    ("DenseNet-169", 76.2, 14, 3.5),
    ("EfficientNet-B1", 79.1, 7.8, 0.70),
    ("ResNet-152", 77.8, 60, 11),
    ("DenseNet-264", 77.9, 34, 6.0),
    ("Inception-v3", 78.8, 24, 5.7),
    ("Xception", 79.0, 23, 8.4),
    ("EfficientNet-B2", 80.1, 9.2, 1.0),
    ("Inception-v4", 80.0, 48, 13),
    ("Inception-ResNet-v2", 80.1, 56, 13),
    ("EfficientNet-B3", 81.6, 12, 1.8),
    ("ResNeXt-101", 80.9, 84, 32),
    ("PolyNet", 81.3, 92, 35),
    ("EfficientNet-B4", 82.9, 19, 4.2),
    ("SENet", 82.7, 146, 42),
    ("NASNet-A", 82.7, 89, 24),
    ("AmoebaNet-A", 82.8, 87, 23),
    ("PNASNet", 82.9, 86, 23),
    ("EfficientNet-B5", 83.6, 30, 9.9),
    ("AmoebaNet-C", 83.5, 155, 41),
    ("EfficientNet-B6", 84.0, 43, 19),
    ("EfficientNet-B7", 84.3, 66, 37),
    ("GPipe", 84.3, 557, None),
)

PUBLISHED = tuple(
    PublishedModel(name, round(top1 / 100, 4), params * 1e6, None if macs is None else macs * 1e9)
    for name, top1, params, macs in _TABLE
)
