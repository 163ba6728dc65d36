"""Transfer learning as EfficientNet's paper prints it: tables 5 and 6 of arXiv 1905.11946v5.

Eight data sets. On each, the best result whose model is public and the best one reported at all, and beside
each an EfficientNet with its parameters: pretrained on ImageNet, then trained further on the data set.

Checked against copies of version 5 (table 5 in four, table 6 in two). The copy of the ICML edition (see
`results.published`) has the same numbers, but for two cells that are missing there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TRANSFER_EDITION = "v5"
GEOMETRIC_MEANS = (4.7, 9.6)  # of the ratios as printed: to public models, to reported ones


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferResult:
    """A model and the EfficientNet beside it.

    Attributes:
        model: that EfficientNet is compared with, as printed.
        accuracy: its accuracy, 0 to 1.
        params: its parameters; None where the table has none.
        own: the EfficientNet.
        own_accuracy: its accuracy, 0 to 1.
        own_params: its parameters on this data set; None where the table has none.
        ratio: parameters of the model over those of the EfficientNet, as printed; None where there is none.
    """

    model: str
    accuracy: float
    params: int | None
    own: str
    own_accuracy: float
    own_params: int | None
    ratio: float | None

    def to_json(self) -> dict[str, Any]:
        """Accuracies from 0 to 1, parameters, and the printed ratio."""
        return {
            "model": self.model,
            "accuracy": self.accuracy,
            "params": self.params,
            "efficientnet": self.own,
            "efficientnet_accuracy": self.own_accuracy,
            "efficientnet_params": self.own_params,
            "ratio": self.ratio,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTransfer:
    """A data set, and the results on it.

    Attributes:
        dataset: as printed.
        train_images, test_images, classes: of it (table 6).
        public: the comparison with the best result whose model is public.
        reported: the comparison with the best result reported.
    """

    dataset: str
    train_images: int
    test_images: int
    classes: int
    public: TransferResult
    reported: TransferResult

    def to_json(self) -> dict[str, Any]:
        """The data set and both comparisons."""
        return {
            "dataset": self.dataset,
            "train_images": self.train_images,
            "test_images": self.test_images,
            "classes": self.classes,
            "public": self.public.to_json(),
            "reported": self.reported.to_json(),
        }


def _result(
    model: str, accuracy: float, params: int | None, own: str, own_accuracy: float, own_params: int | None,
    ratio: float | None,
) -> TransferResult:  # fmt: skip
    """From percent and millions."""
    return TransferResult(
        model=model,
        accuracy=round(accuracy / 100, 4),
        params=None if params is None else params * 1_000_000,
        own=f"EfficientNet-{own}",
        own_accuracy=round(own_accuracy / 100, 4),
        own_params=None if own_params is None else own_params * 1_000_000,
        ratio=ratio,
    )


_TABLE = (
    # data set; images to train and to test, classes; then twice, the public and the reported: model, percent,
    # million parameters, EfficientNet, its percent and millions, ratio
    ("CIFAR-10", 50_000, 10_000, 10,
     ("NASNet-A", 98.0, 85, "B0", 98.1, 4, 21.0), ("GPipe", 99.0, 556, "B7", 98.9, 64, 8.7)),
    ("CIFAR-100", 50_000, 10_000, 100,
     ("NASNet-A", 87.5, 85, "B0", 88.1, 4, 21.0), ("GPipe", 91.3, 556, "B7", 91.7, 64, 8.7)),
    ("Birdsnap", 47_386, 2_443, 500,
     ("Inception-v4", 81.8, 41, "B5", 82.0, 28, 1.5), ("GPipe", 83.6, 556, "B7", 84.3, 64, 8.7)),
    ("Stanford Cars", 8_144, 8_041, 196,
     ("Inception-v4", 93.4, 41, "B3", 93.6, 10, 4.1), ("DAT", 94.8, None, "B7", 94.7, None, None)),
    ("Flowers", 2_040, 6_149, 102,
     ("Inception-v4", 98.5, 41, "B5", 98.5, 28, 1.5), ("DAT", 97.7, None, "B7", 98.8, None, None)),
    ("FGVC Aircraft", 6_667, 3_333, 100,
     ("Inception-v4", 90.9, 41, "B3", 90.7, 10, 4.1), ("DAT", 92.9, None, "B7", 92.9, None, None)),
    ("Oxford-IIIT Pets", 3_680, 3_369, 37,
     # 58 / 17 is 3.4, but every copy has 5.6, and the geometric mean was taken with 5.6
     ("ResNet-152", 94.5, 58, "B4", 94.8, 17, 5.6), ("GPipe", 95.9, 556, "B6", 95.4, 41, 14.0)),
    ("Food-101", 75_750, 25_250, 101,
     ("Inception-v4", 90.8, 41, "B4", 91.5, 17, 2.4), ("GPipe", 93.0, 556, "B7", 93.0, 64, 8.7)),
)  # fmt: skip
_ROWS = tuple(
    PublishedTransfer(
        dataset=dataset,
        train_images=train,
        test_images=test,
        classes=classes,
        public=_result(*public),
        reported=_result(*reported),
    )
    for dataset, train, test, classes, public, reported in _TABLE
)
TRANSFER_DATASETS = tuple(row.dataset for row in _ROWS)


def published_transfer() -> tuple[PublishedTransfer, ...]:
    """Table 5 with the sizes of table 6, a data set a row, in the order in which it is printed."""
    return _ROWS
