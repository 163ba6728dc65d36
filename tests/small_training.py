"""A network and data that are trained fully in a second, and what two trainings are compared by."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from search_space import Architecture, load_space
from trainers import Dataset, ImageSet
from trainers.checkpoints import read_checkpoint
from trainers.digits import load_digits
from trainers.recipe import Recipe

SEED = 7
STEPS = 6  # an epoch
RECIPE = Recipe(
    epochs=3,
    batch=40,
    warmup_epochs=0.5,
    learning_rate=0.1,
    decay_epochs=0.7,
    crop_area=0.5,
    shift=2,
    dropout=0.3,
    drop_path=0.2,
    ema=0.9,
)


@functools.cache
def network() -> Architecture:
    """Half a million multiply-adds an image."""
    space = load_space("digits")
    return space.decode((0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0))


@functools.cache
def data() -> Dataset:
    """240 digits to train, 101 to validate: an odd number, so that shares differ."""
    whole = load_digits(network().image_size)
    train = ImageSet(whole.train.images[:240], whole.train.labels[:240])
    validation = ImageSet(whole.validation.images[:101], whole.validation.labels[:101])
    return replace(whole, train=train, validation=validation, fingerprint="a part of the digits")


def order(epoch: int, batch: int = RECIPE.batch) -> list[list[int]]:
    """The images of an epoch's steps, from its place alone; the first epoch is 0."""
    from trainers.full_step import seed_at

    generator = torch.Generator().manual_seed(seed_at(SEED, epoch))
    return torch.randperm(240, generator=generator).view(-1, batch).tolist()


def tensors(path: Path) -> dict[str, Tensor]:
    """All that a checkpoint holds."""
    checkpoint = read_checkpoint(path)
    state = {f"resume/{name}": value for name, value in checkpoint.state().items()}
    return checkpoint.tensors() | state


def curve(path: Path) -> list[dict[str, Any]]:
    """What was measured after every epoch, but for times."""
    timed = ("images_per_second", "train_seconds")
    return [
        {k: v for k, v in values.items() if k not in timed} for values in read_checkpoint(path).facts.curve
    ]


def assert_same_bits(path: Path, other: Path) -> None:
    """Two checkpoints hold the same, to the last bit."""
    first, second = tensors(path), tensors(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert curve(path) == curve(other)
    facts, others = read_checkpoint(path).facts, read_checkpoint(other).facts
    assert (facts.best_epoch, facts.best_accuracy) == (others.best_epoch, others.best_accuracy)
