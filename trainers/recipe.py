"""The recipe of a full training: all that decides an accuracy, besides the architecture and the data.

``imagenet`` is the recipe that EfficientNets were published with (arXiv 1905.11946, section 5, and the
reference implementation, tensorflow/tpu, models/official/efficientnet: main.py, efficientnet_builder.py and
utils.py); ``cifar`` is a short one of today for images of 16 to 64 pixels; ``transfer`` is for networks that
have learnt already (SGD and a cosine: Kornblith et al. 2019, arXiv 1805.08974).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from search_space import Architecture, FieldError
from search_space.errors import suggestion
from search_space.fields import as_floats, check_bool, check_choice, check_float, check_int
from search_space.scaling import scale_architecture

TRAINER_VERSION = 1  # raise it when a change to full training changes accuracies
IMAGES_OF_RATE = 256  # images a step that `Recipe.learning_rate` is said for
Policy = Literal["none", "imagenet", "cifar10", "trivial"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained fully. The defaults are those of the published recipe (B0's).

    Attributes:
        epochs: passes over the training images.
        image_size: pixels to train and to measure at; None is the network's own size.
        batch: images an update, over all processes and accumulated parts.
        accumulate: parts of a process's share of the batch, whose gradients are summed. Batch norm sees one
            part at a time.
        optimiser: ``rmsprop_tf`` (TensorFlow's form, see `RMSpropTF`; decay 0.9, epsilon 1e-3), ``sgd`` with
            Nesterov's momentum, or ``adamw`` (betas `momentum` and 0.999).
        learning_rate: at its highest, for 256 images; it is multiplied by batch / 256.
        schedule: ``staircase`` (times `decay` every `decay_epochs`) or ``cosine`` (half a cosine down to
            nothing); after a straight line up.
        warmup_epochs: in which the rate rises from nothing.
        decay, decay_epochs: of the staircase.
        momentum: of the optimiser.
        weight_decay: factor of the L2 term, on everything but batch norm; ``adamw`` decays the weights
            themselves.
        label_smoothing: of the cross entropy.
        dropout: before the classifier; None is the architecture's own (0.2 of B0 to 0.5 of B7).
        drop_path: stochastic depth at the last block, falling linearly to the first; None is the
            architecture's own.
        bn_momentum: batch norm's, in torch's sense; 0.01 is TensorFlow's 0.99.
        ema: decay of the moving average of weights and batch norm's statistics, which is what is measured and
            kept; 0 measures the weights themselves. The first steps use less, (1 + step) / (10 + step).
        precision: ``float32``, or ``bfloat16`` for products and convolutions (autocast).
        auto_augment: a policy that images are changed by: ``none``, ``imagenet`` or ``cifar10``
            (AutoAugment, arXiv 1805.09501), ``trivial`` (TrivialAugment, arXiv 2103.10158).
        shift: pixels by which images are moved at random, each way.
        flip: mirror half of the images left to right.
        crop_area: the least share of an image that a random crop keeps, resized to the whole; 1 is no crop.
        cutout: side of a square that is cut out of each image, pixels; 0 is none (arXiv 1708.04552).
        measured_crop: side of the central part of an image that is measured, as a share of the image's.
    """

    epochs: int = 350
    image_size: int | None = None
    batch: int = 4096
    accumulate: int = 1
    optimiser: Literal["rmsprop_tf", "sgd", "adamw"] = "rmsprop_tf"
    learning_rate: float = 0.016
    schedule: Literal["staircase", "cosine"] = "staircase"
    warmup_epochs: float = 5.0
    decay: float = 0.97
    decay_epochs: float = 2.4
    momentum: float = 0.9
    weight_decay: float = 1e-5
    label_smoothing: float = 0.1
    dropout: float | None = None
    drop_path: float | None = None
    bn_momentum: float = 0.01
    ema: float = 0.9999
    precision: Literal["float32", "bfloat16"] = "float32"
    auto_augment: Policy = "none"
    shift: int = 0
    flip: bool = True
    crop_area: float = 0.08
    cutout: int = 0
    measured_crop: float = 0.875

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1, 100_000)
        if self.image_size is not None:
            check_int("image_size", self.image_size, 1, 4096)
        check_int("batch", self.batch, 2, 1_000_000)
        check_int("accumulate", self.accumulate, 1, 100_000)
        check_choice("optimiser", self.optimiser, ("rmsprop_tf", "sgd", "adamw"))
        check_float("learning_rate", self.learning_rate, 1e-8, 1e3)
        check_choice("schedule", self.schedule, ("staircase", "cosine"))
        check_float("warmup_epochs", self.warmup_epochs, 0.0, 100_000.0)
        check_float("decay", self.decay, 1e-3, 1.0)
        check_float("decay_epochs", self.decay_epochs, 1e-3, 100_000.0)
        check_float("momentum", self.momentum, 0.0, 0.9999)
        check_float("weight_decay", self.weight_decay, 0.0, 10.0)
        check_float("label_smoothing", self.label_smoothing, 0.0, 0.99)
        for name in ("dropout", "drop_path"):
            if getattr(self, name) is not None:
                check_float(name, getattr(self, name), 0.0, 0.999)
                as_floats(self, name)
        check_float("bn_momentum", self.bn_momentum, 0.0, 1.0)
        check_float("ema", self.ema, 0.0, 0.999999)
        check_choice("precision", self.precision, ("float32", "bfloat16"))
        check_choice("auto_augment", self.auto_augment, POLICIES)
        check_int("shift", self.shift, 0, 1024)
        check_bool("flip", self.flip)
        check_float("crop_area", self.crop_area, 0.01, 1.0)
        check_int("cutout", self.cutout, 0, 4096)
        check_float("measured_crop", self.measured_crop, 0.05, 1.0)
        if self.warmup_epochs > self.epochs:
            raise FieldError(
                "warmup_epochs", f"must be at most {self.epochs}, the epochs, got {self.warmup_epochs:g}"
            )
        if self.batch % self.accumulate or self.batch // self.accumulate < 2:
            rule = f"must divide the batch of {self.batch} into parts of 2 images or more"
            raise FieldError("accumulate", f"{rule}, got {self.accumulate}")
        floats = ("learning_rate", "warmup_epochs", "decay", "decay_epochs", "momentum", "weight_decay")
        as_floats(self, *floats, "label_smoothing", "bn_momentum", "ema", "crop_area", "measured_crop")

    def hash(self, data_fingerprint: str) -> str:
        """SHA-256 of the recipe, the data and the trainer's version: with an architecture's key and a seed,
        it identifies a full training, but for a dropout and a drop_path that are left to the architecture,
        which its key leaves out."""
        parts = {"recipe": asdict(self), "data": data_fingerprint, "full_trainer": TRAINER_VERSION}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def network(self, architecture: Architecture) -> Architecture:
        """What is trained for an architecture: itself, or at another image size.

        Raises:
            FieldError: the image is smaller than the network's total stride.
        """
        size = self.image_size or architecture.image_size
        if size == architecture.image_size:
            return architecture
        return scale_architecture(architecture, depth=1.0, width=1.0, image_size=size)

    def learning_rates(self, steps: int, steps_per_epoch: int) -> npt.NDArray[np.float64]:
        """The rate of each of `steps` steps, the whole training.

        Sources: efficientnet's utils.py, build_learning_rate, for the staircase and the warm-up; arXiv
        1608.03983 for the cosine.
        """
        step = np.arange(steps)
        highest = self.learning_rate * self.batch / IMAGES_OF_RATE
        warmup = int(self.warmup_epochs * steps_per_epoch)
        if self.schedule == "staircase":
            # the staircase begins with the training, not with the end of the warm-up
            rates = highest * self.decay ** np.floor(step / (steps_per_epoch * self.decay_epochs))
        else:
            progress = np.clip((step - warmup) / max(1, steps - warmup), 0.0, 1.0)
            rates = highest * (1.0 + np.cos(np.pi * progress)) / 2.0
        return np.where(step < warmup, highest * step / max(1, warmup), rates)


RECIPES: dict[str, Recipe] = {
    "imagenet": Recipe(),
    "cifar": Recipe(
        epochs=30,
        batch=128,
        optimiser="sgd",
        learning_rate=0.2,
        schedule="cosine",
        warmup_epochs=2,
        weight_decay=5e-4,
        bn_momentum=0.1,
        ema=0.995,
        shift=4,
        crop_area=1.0,
        cutout=8,
        measured_crop=1.0,
    ),
    "transfer": Recipe(
        epochs=20,
        batch=64,
        optimiser="sgd",
        learning_rate=0.05,
        schedule="cosine",
        warmup_epochs=1,
        weight_decay=1e-4,
        label_smoothing=0.0,
        bn_momentum=0.1,
        ema=0.0,
        crop_area=0.35,
    ),
}


def read_recipe(given: object) -> Recipe:
    """A recipe by name, or from a mapping of fields, of which ``base`` names the recipe that has the rest.

    Raises:
        FieldError: no such recipe or field, with the nearest; or a value out of range.
    """
    if isinstance(given, Recipe):
        return given
    values = {"base": given} if isinstance(given, str) else given
    if not isinstance(values, Mapping):
        raise FieldError("", f"must be a recipe's name or hold keys and values, got {given!r}")
    base = values.get("base", "imagenet")
    if not isinstance(base, str) or base not in RECIPES:
        near = suggestion(str(base), RECIPES)
        place = "base" if isinstance(given, Mapping) else ""
        raise FieldError(place, f"must be {' or '.join(RECIPES)}, got {base!r}{near}")
    own: dict[str, Any] = {str(key): value for key, value in values.items() if key != "base"}
    names = list(Recipe.__dataclass_fields__)
    for key in own:
        if key not in names:
            raise FieldError(key, f"is an unknown key{suggestion(key, names)}")
    try:
        return Recipe(**{**asdict(RECIPES[base]), **own})
    except FieldError as error:
        if error.path != "warmup_epochs" or "warmup_epochs" in own:
            raise
        raise FieldError(
            error.path, f"{error.rule}, which is of the recipe {base}; give it too, such as 0"
        ) from None
