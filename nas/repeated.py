"""Networks that were each trained with several seeds: means, what the seeds' noise leaves open, and the best.

The deviation between seeds is taken as one for all networks and estimated from all of them together (pooled),
since two or three seeds of one network say little. Intervals are Student's, at 95 %. They are about repeated
trainings on the same images: that the validation images are a sample too is not in them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

CONFIDENCE = 0.95
DRAWS = 20_000  # of the chances to be the best


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """The difference of two means, with its 95 % interval.

    Attributes:
        value: the difference, 0 to 1.
        low, high: of the interval; None where nothing is known of the noise.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def to_json(self) -> dict[str, float | bool | None]:
        """All of it as plain data."""
        return {"value": self.value, "low": self.low, "high": self.high, "certain": self.certain}


@dataclass(frozen=True)  # without slots, so that means are made once
class Repeated:
    """The accuracies of some networks, each of one training or more.

    Attributes:
        accuracies: a tuple a network, 0 to 1, none empty.
    """

    accuracies: tuple[tuple[float, ...], ...]

    @cached_property
    def means(self) -> tuple[float, ...]:
        """Of each network; exact, so that equal accuracies have equal means however many there are."""
        return tuple(statistics.mean(a) for a in self.accuracies)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the deviation: trainings beyond the first of each network."""
        return sum(len(a) - 1 for a in self.accuracies)

    @cached_property
    def deviation(self) -> float | None:
        """Standard deviation of one training, pooled; None where no network was trained twice."""
        if self.freedom == 0:
            return None
        squares = sum((x - m) ** 2 for a, m in zip(self.accuracies, self.means, strict=True) for x in a)
        return math.sqrt(squares / self.freedom)

    def error(self, index: int) -> float | None:
        """Half of the 95 % interval of a network's mean."""
        return self._half(1.0 / len(self.accuracies[index]))

    def margin(self, one: int, other: int) -> Margin:
        """By how much one network's mean is above another's."""
        value = self.means[one] - self.means[other]
        half = self._half(sum(1.0 / len(self.accuracies[i]) for i in (one, other)))
        if half is None:
            return Margin(value=value, low=None, high=None)
        return Margin(value=value, low=value - half, high=value + half)

    def _half(self, share: float) -> float | None:
        deviation = self.deviation
        if deviation is None:
            return None
        from scipy.stats import t

        return float(t.ppf(0.5 + CONFIDENCE / 2, self.freedom)) * deviation * math.sqrt(share)

    def order(self) -> list[int]:
        """Networks from the highest mean down; of equal ones the first given comes first."""
        means = self.means
        return sorted(range(len(means)), key=lambda index: -means[index])

    def close(self) -> list[int]:
        """The networks that cannot be told apart from the best, without it; all where no noise is known."""
        best, *others = self.order()
        return [index for index in others if not self.margin(best, index).certain]

    def chances(self) -> tuple[float, ...] | None:
        """How likely each network is the best, if nothing was known of them before; None without noise known.

        True means are drawn around those measured, with the pooled deviation (drawn too, so that few seeds
        count as few), some thousand times; the same draws for the same accuracies.
        """
        deviation = self.deviation
        if deviation is None:
            return None
        rng = np.random.default_rng(0)
        scale = deviation * np.sqrt(self.freedom / rng.chisquare(self.freedom, size=(DRAWS, 1)))
        counts = np.array([len(a) for a in self.accuracies])
        drawn = np.array(self.means) + scale / np.sqrt(counts) * rng.standard_normal((DRAWS, len(counts)))
        best = np.bincount(drawn.argmax(axis=1), minlength=len(counts))  # (networks,)
        if deviation == 0.0:  # no draw differs: equal means share it
            top = np.isclose(self.means, max(self.means), rtol=0, atol=1e-12)
            best = DRAWS * top / top.sum()
        return tuple(float(share) for share in best / DRAWS)


def repeated(accuracies: Sequence[Sequence[float]]) -> Repeated:
    """The same from any sequences.

    Raises:
        ValueError: a network without an accuracy.
    """
    if not accuracies or any(not a for a in accuracies):
        raise ValueError("each network needs at least one accuracy")
    return Repeated(tuple(tuple(a) for a in accuracies))
