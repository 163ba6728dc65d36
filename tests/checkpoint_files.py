"""Checkpoints and prepared data for tests, written without a training and without decoding."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.bundles import TINY
from trainers.cache import CacheFacts
from trainers.checkpoints import BEST, CheckpointFacts, checkpoint_path, write_checkpoint
from trainers.digits import load_digits
from trainers.recipe import RECIPES

FACTS = CheckpointFacts(
    num_classes=10,
    in_channels=1,
    class_names=tuple("0123456789"),
    mean=(0.3,),
    std=(0.37,),
    image_size=16,
    measured_crop=1.0,
    data="digits",
    data_fingerprint="f" * 64,
    recipe=asdict(replace(RECIPES["cifar"], epochs=3, cutout=0)),
    trainer_version=1,
    seed=0,
    epoch=3,
    step=0,
    epochs=3,
    accuracy=0.9,
    best_accuracy=0.91,
    best_epoch=2,
    curve=({"accuracy": 0.9, "epoch": 3.0, "test_accuracy": 0.88},),
    seconds=12.0,
    origin="",
)


@functools.cache
def _state(seed: int, in_channels: int, num_classes: int) -> dict[str, torch.Tensor]:
    """New weights, batch norm's statistics of digits, and no class that is said of all of them."""
    images = torch.from_numpy(load_digits(16).validation.images).permute(0, 3, 1, 2)
    x = ((images / 255.0 - FACTS.mean[0]) / FACTS.std[0]).expand(-1, in_channels, -1, -1)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        model = TINY.build(num_classes, in_channels, bn_momentum=1.0).train()
        model(x)
        model.eval()
        model.classifier.weight.normal_()
        model.classifier.bias.sub_(model(x).mean(0))
    return model.state_dict()


def network(seed: int = 0, in_channels: int = 1, num_classes: int = 10) -> nn.Module:
    """`TINY`, as if it were trained: different digits are of different classes."""
    model = TINY.build(num_classes, in_channels)
    model.load_state_dict(_state(seed, in_channels, num_classes))
    return model.eval()


def checkpoint(path: Path, *, state: bool = False, seed: int = 0, **facts: Any) -> Path:
    """Write a checkpoint of `TINY`; with something to go on from where wanted."""
    its = replace(FACTS, **facts)
    resume = {"weights/stem.0.weight": torch.ones(3), "optimiser/0": torch.zeros(2)} if state else None
    write_checkpoint(path, network(seed, its.in_channels, its.num_classes), TINY, its, resume)
    return path


def training(name: str = "tr", epochs: Sequence[int] = (2, 3), best: int = 1) -> Path:
    """A training's folder under ``runs/``."""
    folder = Path("runs") / name
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(f"name: {name}\ndata: {{name: digits}}\nrecipe: {{base: cifar}}\n")
    for epoch in epochs:
        path = checkpoint_path(folder / "checkpoints", epoch)
        checkpoint(path, state=True, seed=epoch, epoch=epoch, accuracy=0.8 + epoch / 100)
    checkpoint(folder / "checkpoints" / BEST, seed=best, epoch=best, accuracy=0.91, best_epoch=best)
    checkpoint(folder / "model.safetensors", seed=epochs[-1], epoch=epochs[-1])
    return folder


def cache(
    path: Path,
    *,
    names: Sequence[str] = FACTS.class_names,
    counts: tuple[int, int, int] = (20, 12, 30),
    side: int = 16,
    channels: int = 1,
    fingerprint: str = "c" * 64,
    seed: int = 0,
    order: Sequence[int] | None = None,
) -> Path:
    """Prepared data of random images, as ``nas data prepare`` would have left them.

    Args:
        path: of the folder.
        names: of the classes.
        counts: images of train, validation and test.
        side, channels: of the images.
        fingerprint: that it says.
        seed: of the images.
        order: where class i of the same images with the names in order is now.
    """
    generator = np.random.default_rng(seed)
    path.mkdir(parents=True)
    for part, number in zip(("train", "validation", "test"), counts, strict=True):
        images = generator.integers(0, 256, (number, side, side, channels), dtype=np.uint8)
        labels = generator.integers(0, len(names), number)
        if order is not None:
            labels = np.array(order)[labels]
        if number:
            np.save(path / f"{part}-images.npy", images)
            np.save(path / f"{part}-labels.npy", labels.astype(np.int64))
    facts = CacheFacts(
        name="noise",
        image_size=side,
        channels=channels,
        class_names=tuple(names),
        counts=dict(zip(("train", "validation", "test"), counts, strict=True)),
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        fingerprint=fingerprint,
        test_fingerprint=None,
        source={"path": "nowhere", "kind": "noise", "layout": "none"},
        resized="not at all",
        held_out={"validation": 0.1, "seed": 0},
        problems=0,
        notes=(),
    )
    (path / "cache.json").write_text(json.dumps(facts.to_json()))
    return path
