"""The ``config.json`` that the Hugging Face hub has beside weights of timm."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_space import InputError

NAME = "config.json"
TIMMS = re.compile(r"(tf_)?efficientnet_(b[0-7])")  # networks, as timm calls them


@dataclass(frozen=True, slots=True, kw_only=True)
class HubConfig:
    """What is read of it; timm writes it in timm/models/_hub.py, save_config_for_hf.

    Attributes:
        architecture: as timm calls the network, such as ``tf_efficientnet_b0``.
        image_size: pixels that it was trained with.
        crop: side of the central part that is taken, as a share.
        mean, std: a channel, in units of 0 to 1.
    """

    architecture: str
    image_size: int
    crop: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_hub_config(weights: Path) -> tuple[HubConfig | None, str]:
    """The configuration beside a file of weights.

    Args:
        weights: the file.

    Returns:
        It, or None where there is none of one of `TIMMS`; and why one that is there was passed over.

    Raises:
        InputError: it is of one of `TIMMS`, and a value in it is out of range.
    """
    path = weights.with_name(NAME)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, RecursionError):
        return None, f"{NAME} beside it cannot be read as JSON"
    if not isinstance(document, dict) or not isinstance(document.get("architecture"), str):
        return None, f"{NAME} beside it names no architecture of timm's"
    architecture = document["architecture"].partition(".")[0]  # a tag of the weights follows
    if not TIMMS.fullmatch(architecture):
        return None, f"{NAME} beside it is of {architecture[:60]}, and not of a timm EfficientNet-B0 to B7"
    values = document.get("pretrained_cfg", document)  # the first files had it all at the top
    values = values if isinstance(values, dict) else {}
    try:
        size = _list(values, "input_size")
        mean, std = (tuple(map(float, _list(values, name))) for name in ("mean", "std"))
        crop = float(values["crop_pct"])
        side = size[-1]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be understood: {error}"
        raise InputError(f"{path}: {said}, in what it says of the images") from None
    good = len(size) == 3 and type(side) is int and 1 <= side <= 4096 and size[1] == side
    if not good:
        raise InputError(f"{path}: input_size must be [channels, side, side], got {size}")
    if not len(mean) == len(std) == size[0] or not all(map(math.isfinite, mean)):
        raise InputError(f"{path}: mean and std must be {size[0]} numbers each, one a channel")
    if not all(math.isfinite(value) and value > 0 for value in std) or not 0.05 <= crop <= 1.0:
        raise InputError(f"{path}: std must be above 0, and crop_pct from 0.05 to 1")
    return HubConfig(
        architecture=architecture,
        image_size=side,
        crop=crop,
        mean=mean,
        std=std,
    ), ""


def _list(values: dict[str, Any], name: str) -> list[Any]:
    if not isinstance(values[name], list):
        raise ValueError(f"{name} is {values[name]!r}")
    return values[name]
