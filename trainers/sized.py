"""Proxy training of networks that take images of different sizes, as scaled networks do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_space import Architecture, InputError
from trainers.measurement import Measurement
from trainers.proxy import ProxyEvaluator


@dataclass(frozen=True, slots=True)
class SizedEvaluator:
    """Trains each architecture on images of the size it takes.

    Attributes:
        parts: an evaluator an image size, of one data set and one protocol, by rising size.
    """

    parts: tuple[ProxyEvaluator, ...]

    @classmethod
    def of_parts(cls, parts: Sequence[ProxyEvaluator]) -> SizedEvaluator:
        """One evaluator of several.

        Raises:
            InputError: they are not of one data set, or of one protocol.
        """
        ordered = sorted(parts, key=lambda part: part.data.image_size)
        first = ordered[0]
        for part in ordered[1:]:
            if part.data.class_names != first.data.class_names or part.in_channels != first.in_channels:
                raise InputError(
                    f"{part.data.name} at {part.data.image_size} pixels and {first.data.name} at "
                    f"{first.data.image_size} are different data: prepare them alike"
                )
            if len(part.data.train) != len(first.data.train):
                raise InputError(
                    f"{part.data.name} has {len(part.data.train)} training images at {part.data.image_size} "
                    f"pixels and {len(first.data.train)} at {first.data.image_size}: prepare them alike"
                )
        return cls(tuple(ordered))

    @property
    def fingerprint(self) -> str:
        """See `Evaluator`: of all sizes together. A measurement is known by that of its size, see `of`."""
        return hashlib.sha256("\n".join(part.fingerprint for part in self.parts).encode()).hexdigest()

    @property
    def num_classes(self) -> int:
        """See `Evaluator`."""
        return self.parts[0].num_classes

    @property
    def in_channels(self) -> int:
        """See `Evaluator`."""
        return self.parts[0].in_channels

    def of(self, architecture: Architecture) -> ProxyEvaluator:
        """What trains this architecture.

        Raises:
            InputError: there are no images of its size.
        """
        for part in self.parts:
            if part.data.image_size == architecture.image_size:
                return part
        sizes = ", ".join(str(part.data.image_size) for part in self.parts)
        raise InputError(
            f"{architecture.name} takes {architecture.image_size}-pixel images, there are {sizes}"
        )

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        """See `Evaluator`."""
        return self.of(architecture).epochs(architecture, seed, weights_path)
