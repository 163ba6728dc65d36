"""What is known of a network besides its description: whose weights, which data, which search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Weights = Literal["trained", "given", "untrained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """The data that weights were trained on.

    Attributes:
        name: of the data set.
        fingerprint: SHA-256 of images, size and split; None where the data are not there to be asked.
        why_unknown: why there is no fingerprint, no mean and no deviation; empty where there are.
        confirmed: whether the run measured on these very data, by its journal.
        mean, std: of the training images, a channel, in units of 0 to 1: what inputs are normalised by.
        class_names: one an output, in order.
        counts: images of a part, by its name.
        crop: of an image before it is resized: ``centre square``, then bicubic; None is the whole, bilinear.
        prepared: how they came to their size and which part is what, a sentence each.
        licence: what is known of it, in words.
    """

    name: str
    fingerprint: str | None = None
    why_unknown: str = ""
    confirmed: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    crop: Literal["centre square"] | None = None
    prepared: tuple[str, ...] = ()
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a network and its weights come from.

    Attributes:
        origin: one line on the network; empty for a file or a reference.
        weights: ``trained`` by the run, ``given`` as a file, or ``untrained``.
        seed: of the initialisation of untrained weights.
        weights_file: of given ones the name of the file, and its SHA-256.
        weights_origin: of given ones where they come from, in words, as far as the file says so.
        accuracy: that the run measured with these very weights, 0 to 1; None where nothing is known of them.
        trainings: that its mean is of, each with another seed; the weights are of the last.
        trained_at: side of the images that they were trained with, pixels, where it is another than the
            network's; None where it is not.
        measured_crop: side of the central part of an image that they take, as a share; None is the whole.
        data: that they were trained on; None where nothing is known.
        test_accuracy: of these very weights on the test part, 0 to 1; None where it was not measured.
        protocol: how they were trained, by the names of the configuration.
        training: facts on a full training, by what they are called; empty of a proxy training.
        search: facts on the run, by what they are called.
    """

    origin: str = ""
    weights: Weights = "untrained"
    seed: int = 0
    weights_file: tuple[str, str] | None = None
    weights_origin: str = ""
    accuracy: float | None = None
    trainings: int = 1
    trained_at: int | None = None
    measured_crop: float | None = None
    test_accuracy: float | None = None
    data: DataFacts | None = None
    protocol: Mapping[str, Any] | None = None
    training: Mapping[str, str] = field(default_factory=dict)
    search: Mapping[str, str] = field(default_factory=dict)

    @property
    def weights_words(self) -> str:
        """Such as ``untrained, initialised with seed 0``."""
        if self.weights == "untrained":
            return f"untrained, initialised with seed {self.seed}"
        return "trained" if self.weights == "trained" else "from a file of the user"
