"""The proxy protocol: all that decides a candidate's accuracy, besides its architecture and the data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from search_space.fields import as_floats, check_bool, check_float, check_int

TRAINER_VERSION = 1  # raise it when a change to the trainer changes accuracies


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyProtocol:
    """How a candidate is trained for its proxy accuracy.

    Attributes:
        epochs: passes over the training part.
        batch: images a step; the last, smaller batch of an epoch is left out.
        learning_rate: the peak of a one-cycle schedule (arXiv 1708.07120).
        momentum: SGD's, with Nesterov's correction.
        weight_decay: on convolution and linear weights.
        label_smoothing: of the cross entropy.
        shift: pixels by which images are moved at random, each way.
        flip: mirror half of the images left to right.
        bn_momentum: batch norm's, in torch's sense. The reference's 0.01 leaves stale statistics after a
            few short epochs.
    """

    epochs: int = 3
    batch: int = 32
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    shift: int = 2
    flip: bool = False
    bn_momentum: float = 0.1

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1, 100_000)
        check_int("batch", self.batch, 2, 1_000_000)
        check_float("learning_rate", self.learning_rate, 1e-8, 1e3)
        check_float("momentum", self.momentum, 0.0, 0.9999)
        check_float("weight_decay", self.weight_decay, 0.0, 10.0)
        check_float("label_smoothing", self.label_smoothing, 0.0, 0.99)
        check_int("shift", self.shift, 0, 1024)
        check_bool("flip", self.flip)
        check_float("bn_momentum", self.bn_momentum, 0.0, 1.0)
        as_floats(self, "learning_rate", "momentum", "weight_decay", "label_smoothing", "bn_momentum")

    def hash(self, data_fingerprint: str) -> str:
        """SHA-256 of the protocol, the data and the trainer's version: with an architecture's key and a
        seed, it identifies a measurement."""
        parts = {**asdict(self), "data": data_fingerprint, "trainer": TRAINER_VERSION}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
