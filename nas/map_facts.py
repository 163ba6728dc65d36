"""What is said of activation maps: the maps themselves, predictions beside them, and numbers that compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Method = Literal["cam", "grad-cam"]
METHODS: tuple[Method, ...] = ("cam", "grad-cam")
PART = 0.2  # of a map's area, by which its concentration is told
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """What one network says of one image, and where it sees that.

    Attributes:
        checkpoint: as the user names it.
        network: name of its architecture.
        image_size: pixels that the network was given.
        prepared_size: pixels a side that the image was scaled to before.
        margin: what the crop leaves out at each edge, as a share of the image's centre square.
        predicted, probability: the likeliest class, and its softmax.
        target, target_probability: the class of the map, and its softmax.
        map: (cells, cells), see `trainers.activation_maps`; of the crop.
    """

    checkpoint: str
    network: str
    image_size: int
    prepared_size: int
    margin: float
    predicted: str
    probability: float
    target: str
    target_probability: float
    map: Floats

    @property
    def maximum(self) -> float:
        """Of the map; not above 0 where no place speaks for the class."""
        return float(self.map.max())

    @property
    def concentration(self) -> float | None:
        """See `concentration`."""
        return concentration(self.map)

    @property
    def centre(self) -> tuple[float, float] | None:
        """See `centre_of_mass`."""
        return centre_of_mass(self.map)

    def enlarged(self, size: int | None = None) -> Floats:
        """The map over the crop, bilinear between the centres of its cells: (size, size).

        Args:
            size: pixels; None is the network's image size.
        """
        import torch
        from torch.nn import functional

        size = self.image_size if size is None else size
        whole = torch.from_numpy(self.map)[None, None]
        return functional.interpolate(whole, (size, size), mode="bilinear")[0, 0].numpy()

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints of it."""
        centre = self.centre
        return {
            "checkpoint": self.checkpoint,
            "network": self.network,
            "image_size": self.image_size,
            "prepared_size": self.prepared_size,
            "predicted": self.predicted,
            "probability": self.probability,
            "class": self.target,
            "class_probability": self.target_probability,
            "cells": len(self.map),
            "maximum": self.maximum,
            "concentration": self.concentration,
            "centre": None if centre is None else list(centre),
            "map": self.map.tolist(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMaps:
    """What every network says of one image.

    Attributes:
        image: path of the file.
        maps: a network each, in the order asked for.
    """

    image: str
    maps: tuple[ClassMap, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationMaps:
    """The maps of several networks on several images.

    Attributes:
        method: ``cam`` or ``grad-cam``.
        layer: whose maps were weighed, see `trainers.activation_maps.layer_names`.
        target: the class that was asked for; None is what each network predicts.
        device: where it was computed.
        images: in the order asked for.
    """

    method: Method
    layer: str
    target: str | None
    device: str
    images: tuple[ImageMaps, ...]

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        images = [
            {"image": each.image, "networks": [its.to_json() for its in each.maps]} for each in self.images
        ]
        return {"method": self.method, "layer": self.layer, "device": self.device, "images": images}


def concentration(values: Floats) -> float | None:
    """The share of a map's positive part that lies in the fifth of its area where it is highest.

    An even map has 0.2, a map with all in a fifth of its area or less has 1. Cells count in parts where a
    fifth is no whole number of them, so that maps of different sizes compare; but of n cells, less than five,
    no map can have more than n / 5.

    Args:
        values: (h, w).

    Returns:
        0.2 to 1; None where nothing is positive.
    """
    positive = np.sort(np.maximum(values, 0.0).astype(np.float64), axis=None)[::-1]
    if not positive[0] > 0.0:
        return None
    cells = PART * len(positive)
    whole = int(cells)
    inside = positive[:whole].sum() + (cells - whole) * positive[whole]
    return float(inside / positive.sum())


def centre_of_mass(values: Floats) -> tuple[float, float] | None:
    """Of a map's positive part, as shares of its width (from the left) and of its height (from the top).

    Args:
        values: (h, w).

    Returns:
        x and y, 0 to 1; None where nothing is positive.
    """
    positive = np.maximum(values, 0.0).astype(np.float64)
    total = positive.sum()
    if not total > 0.0:
        return None
    height, width = values.shape
    x = positive.sum(0) @ (np.arange(width) + 0.5) / (width * total)
    y = positive.sum(1) @ (np.arange(height) + 0.5) / (height * total)
    return float(x), float(y)
