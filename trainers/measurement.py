"""What an evaluator measures, and the contract of an evaluator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from search_space import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The accuracy of a candidate (0 to 1) and whatever else was measured, all finite.

    Attributes:
        accuracy: 0 to 1.
        metrics: whatever else, by name.
        final: whether the evaluation ends here, which ends it; False for the epochs before the last.

    Raises:
        ValueError: a number is not finite, or the accuracy is not between 0 and 1.
    """

    accuracy: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    final: bool = True

    def __post_init__(self) -> None:
        # numbers of numpy and torch become plain ones: they travel as JSON
        object.__setattr__(self, "accuracy", float(self.accuracy))
        object.__setattr__(self, "metrics", {str(name): float(v) for name, v in self.metrics.items()})
        if not 0.0 <= self.accuracy <= 1.0:
            raise ValueError(f"accuracy must be between 0 and 1, got {self.accuracy}")
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}")


class Evaluator(Protocol):
    """Gives an architecture its accuracy; raises on failure."""

    @property
    def fingerprint(self) -> str:
        """Identifies the protocol and the data; equal fingerprints, comparable accuracies."""

    @property
    def num_classes(self) -> int:
        """Outputs of the networks it builds, for their cost."""

    @property
    def in_channels(self) -> int:
        """Image channels of the networks it builds, for their cost."""

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        """One measurement an epoch, the last one final; weights are written before it is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableEvaluator:
    """Any function of an architecture and a seed that returns an accuracy, as an evaluator.

    Attributes:
        function: ``function(architecture, seed)``; a Measurement, or an accuracy from 0 to 1.
        fingerprint: a name for what it measures; change it when the function changes.
    """

    function: Callable[[Architecture, int], Measurement | float]
    fingerprint: str
    num_classes: int = 1000
    in_channels: int = 3

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        """The one measurement."""
        value = self.function(architecture, seed)
        yield value if isinstance(value, Measurement) else Measurement(accuracy=float(value))


def evaluate(evaluator: Evaluator, architecture: Architecture, seed: int) -> Measurement:
    """The final measurement of an architecture.

    Raises:
        Exception: whatever the evaluator raises when a candidate fails.
    """
    *_, last = evaluator.epochs(architecture, seed)
    return last
