"""A network that is made by hand and sees colours: where a class is, is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from search_space import Architecture, Head, Stage, Stem
from tests.checkpoint_files import FACTS
from trainers.checkpoints import write_checkpoint

CLASSES = ("red", "green", "blue")


def architecture(image_size: int = 32) -> Architecture:
    """Two layers that pass the three colours on; a cell of the last maps is 2x2 pixels, sees 3x3."""
    return Architecture(
        name=f"colours-{image_size}",
        image_size=image_size,
        stem=Stem(channels=3, kernel=3, stride=2),
        stages=(Stage(op="conv", channels=3, kernel=1, skip="none"),),
        head=Head(channels=0),
        activation="relu",
    )


def network(image_size: int = 32, order: tuple[int, ...] = (0, 1, 2)) -> Any:
    """Logits are the means of the colours over all places: how much of each there is.

    Args:
        image_size: pixels.
        order: which colour a class is.
    """
    model = architecture(image_size).build(3, 3).eval()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                side = layer.kernel_size[0]
                layer.weight.copy_(torch.eye(3)[:, :, None, None].expand(-1, -1, side, side) / side**2)
        model.classifier.weight.copy_(10.0 * torch.eye(3)[list(order)])
        model.classifier.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    return model


def colour_checkpoint(
    path: Path, image_size: int = 32, order: tuple[int, ...] = (0, 1, 2), **facts: Any
) -> Path:
    """A checkpoint of it, which normalises nothing."""
    its = {
        "num_classes": 3,
        "in_channels": 3,
        "class_names": tuple(CLASSES[place] for place in order),
        "mean": (0.0,) * 3,
        "std": (1.0,) * 3,
        "image_size": image_size,
        "data": "colours",
    }
    model = network(image_size, order)
    write_checkpoint(path, model, architecture(image_size), replace(FACTS, **(its | facts)))
    return path


def squares(places: dict[str, tuple[int, int]], side: int = 32, of: int = 8) -> np.ndarray:
    """A black image (side, side, 3) uint8 with a square of each colour at its row and column."""
    image = np.zeros((side, side, 3), np.uint8)
    for colour, (row, column) in places.items():
        image[row : row + of, column : column + of, CLASSES.index(colour)] = 255
    return image
