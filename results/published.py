"""What EfficientNet's paper prints, as data: arXiv 1905.11946, "Rethinking Model Scaling", by edition.

Table 2 stands here: models on ImageNet, one model and one crop; parameters and multiply-adds (which the paper
prints as FLOPS) are rounded as printed. Tables 3 and 7 are in `results.scaled_table`, tables 5 and 6 in
`results.transfer_table`; their names can be imported from here.

The editions differ in the accuracies of EfficientNet alone. Every number was looked up in copies:

- ``v5`` (11 September 2020): every row, in four copies of its text that agree; three bear the stamp
  "arXiv:1905.11946v5 [cs.LG] 11 Sep 2020".
- ``icml`` (proceedings of ICML 2019, PMLR 97): every row, in a copy with a translation (EfficientNet.md of
  github.com/Mycenae/PaperWeekly); the EfficientNets once more in a table of reproductions (README of
  efficientnet in github.com/wbaek/torchskeleton). That 76.3 is the proceedings' is said in issue 10 of
  github.com/huawei-noah/Efficient-AI-Backbones. SENet's top-5 is left out: the copy has 95.2, v5 has 96.2.
- ``v3``: the EfficientNets alone. B0 to B3 from the README of github.com/clovaai/rexnet, which names the
  version; B4 to B7 from the reference columns of github.com/PaddlePaddle/PaddleClas (EfficientNet_and_
  ResNeXt101_wsl_en.md), whose B0 to B3 are the same numbers. Why they changed: issue 623 of
  github.com/tensorflow/tpu. Other models are left out, since no copy of that version's table was found;
  parameters and multiply-adds are those that both other editions print.

No copy of v1, v2 or v4 was found; none is here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from results.scaled_table import PublishedScaling, published_scaled, scaling_of
from results.transfer_table import (
    GEOMETRIC_MEANS,
    TRANSFER_DATASETS,
    PublishedTransfer,
    TransferResult,
    published_transfer,
)
from search_space import REFERENCES, Architecture, InputError
from search_space.reference import reference_name

__all__ = [
    "EDITIONS",
    "GEOMETRIC_MEANS",
    "LATEST",
    "TRANSFER_DATASETS",
    "PublishedModel",
    "PublishedScaling",
    "PublishedTransfer",
    "TransferResult",
    "check_edition",
    "nearest_published",
    "published_models",
    "published_of",
    "published_scaled",
    "published_transfer",
    "scaling_of",
    "source_of",
]

LATEST = "v5"
EDITIONS: Mapping[str, str] = {  # how a table's source is written: "table 2 of ..."
    "v5": "arXiv 1905.11946v5",
    "v3": "arXiv 1905.11946v3",
    "icml": "ICML 2019 (PMLR 97)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """One line of table 2.

    Attributes:
        name: as printed.
        accuracy: top-1 on ImageNet, 0 to 1.
        top5: top-5 on ImageNet, 0 to 1; None where it is not established.
        params: parameters.
        macs: multiply-adds of one image; None where the table has none.
        group: the EfficientNet that it is compared with; its own name for an EfficientNet.
        params_ratio: its parameters over those of the group, as printed.
        macs_ratio: its multiply-adds over those of the group, as printed; None where the table has none.
    """

    name: str
    accuracy: float
    top5: float | None
    params: int
    macs: int | None
    group: str
    params_ratio: float
    macs_ratio: float | None

    @property
    def efficientnet(self) -> bool:
        """Whether it is of the paper's own family."""
        return self.name == self.group

    def to_json(self) -> dict[str, Any]:
        """Name, accuracies from 0 to 1, costs, and the printed ratios."""
        return {
            "name": self.name,
            "top1": self.accuracy,
            "top5": self.top5,
            "params": self.params,
            "macs": self.macs,
            "group": self.group,
            "params_ratio": self.params_ratio,
            "macs_ratio": self.macs_ratio,
        }


_TABLE = (
    # v5: name, top-1 and top-5 in percent, million parameters and ratio, billion multiply-adds and ratio
    ("EfficientNet-B0", 77.1, 93.3, 5.3, 1, 0.39, 1),
    ("ResNet-50", 76.0, 93.0, 26, 4.9, 4.1, 11),
    ("DenseNet-169", 76.2, 93.2, 14, 2.6, 3.5, 8.9),
    ("EfficientNet-B1", 79.1, 94.4, 7.8, 1, 0.70, 1),
    ("ResNet-152", 77.8, 93.8, 60, 7.6, 11, 16),
    ("DenseNet-264", 77.9, 93.9, 34, 4.3, 6.0, 8.6),
    ("Inception-v3", 78.8, 94.4, 24, 3.0, 5.7, 8.1),
    ("Xception", 79.0, 94.5, 23, 3.0, 8.4, 12),
    ("EfficientNet-B2", 80.1, 94.9, 9.2, 1, 1.0, 1),
    ("Inception-v4", 80.0, 95.0, 48, 5.2, 13, 13),
    ("Inception-ResNet-v2", 80.1, 95.1, 56, 6.1, 13, 13),
    ("EfficientNet-B3", 81.6, 95.7, 12, 1, 1.8, 1),
    ("ResNeXt-101", 80.9, 95.6, 84, 7.0, 32, 18),
    ("PolyNet", 81.3, 95.8, 92, 7.7, 35, 19),
    ("EfficientNet-B4", 82.9, 96.4, 19, 1, 4.2, 1),
    ("SENet", 82.7, 96.2, 146, 7.7, 42, 10),
    ("NASNet-A", 82.7, 96.2, 89, 4.7, 24, 5.7),
    ("AmoebaNet-A", 82.8, 96.1, 87, 4.6, 23, 5.5),
    ("PNASNet", 82.9, 96.2, 86, 4.5, 23, 6.0),  # 23 / 4.2 is 5.5; every copy has 6.0
    ("EfficientNet-B5", 83.6, 96.7, 30, 1, 9.9, 1),
    ("AmoebaNet-C", 83.5, 96.5, 155, 5.2, 41, 4.1),
    ("EfficientNet-B6", 84.0, 96.8, 43, 1, 19, 1),
    ("EfficientNet-B7", 84.3, 97.0, 66, 1, 37, 1),
    ("GPipe", 84.3, 97.0, 557, 8.4, None, None),
)
_EARLIER: Mapping[str, tuple[tuple[float, float], ...]] = {  # top-1 and top-5 of B0 to B7, percent
    "v3": (
        (77.3, 93.5),
        (79.2, 94.5),
        (80.3, 95.0),
        (81.7, 95.6),
        (83.0, 96.3),
        (83.7, 96.7),
        (84.2, 96.8),
        (84.4, 97.1),
    ),
    "icml": (
        (76.3, 93.2),
        (78.8, 94.4),
        (79.8, 94.9),
        (81.1, 95.5),
        (82.6, 96.3),
        (83.3, 96.7),
        (84.0, 96.9),
        (84.4, 97.1),
    ),
}


def check_edition(edition: str) -> str:
    """The edition itself, where its tables are known.

    Raises:
        InputError: it is not in `EDITIONS`.
    """
    if edition not in EDITIONS:
        raise InputError(f"{edition!r} is no edition whose tables are known; known: {', '.join(EDITIONS)}")
    return edition


def source_of(table: int, edition: str = LATEST) -> str:
    """Where a table stands: ``table 2 of arXiv 1905.11946v5``.

    Raises:
        InputError: see `check_edition`.
    """
    return f"table {table} of {EDITIONS[check_edition(edition)]}"


@cache
def published_models(edition: str = LATEST) -> tuple[PublishedModel, ...]:
    """Table 2 in the order in which it is printed; of ``v3`` the EfficientNets alone.

    Raises:
        InputError: see `check_edition`.
    """
    check_edition(edition)
    models: list[PublishedModel] = []
    group = ""
    for name, top1, top5, params, params_ratio, macs, macs_ratio in _TABLE:
        group = name if name.startswith("EfficientNet-") else group
        models.append(
            PublishedModel(
                name=name,
                accuracy=_share(top1),
                top5=_share(top5),
                params=round(params * 1e6),
                macs=None if macs is None else round(macs * 1e9),
                group=group,
                params_ratio=float(params_ratio),
                macs_ratio=None if macs_ratio is None else float(macs_ratio),
            )
        )
    return tuple(models) if edition == LATEST else _as_in(edition, models)


def _as_in(edition: str, models: list[PublishedModel]) -> tuple[PublishedModel, ...]:
    """The table with what is known of an earlier edition."""
    accuracies = iter(_EARLIER[edition])
    found = []
    for model in models:
        if model.efficientnet:
            top1, top5 = next(accuracies)
            found.append(replace(model, accuracy=_share(top1), top5=_share(top5)))
        elif edition == "icml":
            found.append(replace(model, top5=None) if model.name == "SENet" else model)
    return tuple(found)


def _share(percent: float) -> float:
    return round(percent / 100, 4)


def nearest_published(macs: float, edition: str = LATEST) -> PublishedModel:
    """The published model whose multiply-adds are the nearest by their ratio; of equals the first.

    Args:
        macs: multiply-adds of one image, above 0.
        edition: of the table.

    Raises:
        ValueError: `macs` is not above 0.
        InputError: see `check_edition`.
    """
    if not macs > 0:
        raise ValueError(f"macs must be above 0, got {macs}")
    models = [(model, model.macs) for model in published_models(edition) if model.macs is not None]
    return min(models, key=lambda pair: abs(math.log(pair[1] / macs)))[0]


def published_of(architecture: Architecture, edition: str = LATEST) -> PublishedModel | None:
    """The published model that this network is, and none that is only like it.

    A network is a published one when its key is that of the reference of that name: the same layers at the
    same resolution; names and dropout make no difference. References are ResNet-50, ResNet-152 and
    B0 to B7.

    Raises:
        InputError: see `check_edition`.
    """
    name = _named().get(architecture.key)
    return next((model for model in published_models(edition) if model.name == name), None)


@cache
def _named() -> dict[str, str]:
    """Names in table 2 by the keys of the references."""
    names = {model.name: reference_name(model.name) for model in published_models()}
    return {REFERENCES[reference]().key: name for name, reference in names.items() if reference is not None}
