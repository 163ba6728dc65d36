"""The proxy protocol: all that decides a candidate's accuracy, besides its architecture and the data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from search_space import Architecture
from search_space.fields import as_floats, check_bool, check_choice, check_float, check_int
from search_space.scaling import scale_architecture

TRAINER_VERSION = 2  # raise it when a change to the trainer changes accuracies


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyProtocol:
    """How a candidate is trained for its proxy accuracy. Costs are always those of the candidate itself.

    Attributes:
        epochs: passes over the training images.
        image_size: pixels that candidates are trained at; None is the network's own size.
        width: factor on every width of the candidate while it is trained.
        subset: training images to use, classes in proportion and always the same ones; None is all.
        seeds: trainings of a candidate, whose mean accuracy counts.
        batch: images a step; the last, smaller batch of an epoch is left out.
        optimiser: ``sgd`` with Nesterov's momentum, ``rmsprop`` (torch's form, alpha 0.9, eps 1e-3) or
            ``adamw`` (betas `momentum` and 0.999).
        learning_rate: at its highest. Keep it in proportion to the batch.
        schedule: ``one_cycle`` (arXiv 1708.07120: half a cosine up, half a cosine down to nothing),
            ``linear`` (a line up, a line down to nothing) or ``constant`` (a line up, then level).
        warmup: share of the steps in which the rate rises.
        momentum: of the optimiser.
        weight_decay: on convolution and linear weights.
        label_smoothing: of the cross entropy.
        shift: pixels by which images are moved at random, each way.
        flip: mirror half of the images left to right.
        crop_area: the least share of an image that a random crop keeps, resized to the whole (Inception's
            preprocessing has 0.08); 1 is no crop.
        bn_momentum: batch norm's, in torch's sense. The reference's 0.01 leaves stale statistics after a
            few short epochs.
        ema: decay of the moving average of weights that is measured; 0 measures the weights themselves. The
            first steps use less, (1 + step) / (10 + step).
        precision: ``float32``, or ``bfloat16`` for products and convolutions (autocast).
    """

    epochs: int = 3
    image_size: int | None = None
    width: float = 1.0
    subset: int | None = None
    seeds: int = 1
    batch: int = 32
    optimiser: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    learning_rate: float = 0.1
    schedule: Literal["one_cycle", "linear", "constant"] = "one_cycle"
    warmup: float = 0.3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    shift: int = 2
    flip: bool = False
    crop_area: float = 1.0
    bn_momentum: float = 0.1
    ema: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1, 100_000)
        if self.image_size is not None:
            check_int("image_size", self.image_size, 1, 4096)
        check_float("width", self.width, 0.01, 10.0)
        if self.subset is not None:
            check_int("subset", self.subset, 2)
        check_int("seeds", self.seeds, 1, 1000)
        check_int("batch", self.batch, 2, 1_000_000)
        check_choice("optimiser", self.optimiser, ("sgd", "rmsprop", "adamw"))
        check_float("learning_rate", self.learning_rate, 1e-8, 1e3)
        check_choice("schedule", self.schedule, ("one_cycle", "linear", "constant"))
        check_float("warmup", self.warmup, 0.0, 1.0)
        check_float("momentum", self.momentum, 0.0, 0.9999)
        check_float("weight_decay", self.weight_decay, 0.0, 10.0)
        check_float("label_smoothing", self.label_smoothing, 0.0, 0.99)
        check_int("shift", self.shift, 0, 1024)
        check_bool("flip", self.flip)
        check_float("crop_area", self.crop_area, 0.01, 1.0)
        check_float("bn_momentum", self.bn_momentum, 0.0, 1.0)
        check_float("ema", self.ema, 0.0, 0.999999)
        check_choice("precision", self.precision, ("float32", "bfloat16"))
        floats = ("width", "learning_rate", "warmup", "momentum", "weight_decay", "label_smoothing")
        as_floats(self, *floats, "crop_area", "bn_momentum", "ema")

    def hash(self, data_fingerprint: str) -> str:
        """SHA-256 of the protocol, the data and the trainer's version: with an architecture's key and a
        seed, it identifies a measurement."""
        parts = {**asdict(self), "data": data_fingerprint, "trainer": TRAINER_VERSION}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def network(self, architecture: Architecture) -> Architecture:
        """What is trained for an architecture: itself, or thinner and at another image size.

        Raises:
            FieldError: the image is smaller than the network's total stride.
        """
        size = self.image_size or architecture.image_size
        if self.width == 1.0 and size == architecture.image_size:
            return architecture
        return scale_architecture(architecture, depth=1.0, width=self.width, image_size=size)

    def learning_rates(self, steps: int) -> npt.NDArray[np.float64]:
        """The rate of each of `steps` steps, the whole training."""
        progress = (np.arange(steps) + 0.5) / steps
        rising = np.minimum(progress / self.warmup, 1.0) if self.warmup else np.ones(steps)
        falling = np.clip((1.0 - progress) / (1.0 - self.warmup), 0.0, 1.0) if self.warmup < 1 else 1.0
        if self.schedule == "constant":
            shape = rising
        elif self.schedule == "linear":
            shape = rising * falling
        else:
            shape = np.minimum(_half_cosine(rising), _half_cosine(falling))
        return self.learning_rate * shape


def _half_cosine(share: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    """From 0 to 1 along half a cosine."""
    return (1.0 - np.cos(np.pi * np.asarray(share))) / 2.0
