"""What repeated full trainings say: means, differences and rank correlations, with 95 % intervals.

Every network has its own noise here (Student's interval of its seeds, Welch's of a difference: Biometrika 34,
1947): the networks differ in size, and few of them are compared. `nas.repeated` pools the noise, which suits
a grid of networks that are nearly one. Accuracies are 0 to 1. What one training cannot say is None.

Intervals are about other trainings on the same images: that the images are a sample too is not in them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.audit_statistics import MANY, RESAMPLES, Array, Estimate, estimate, spearman, tau_b
from nas.repeated import CONFIDENCE, Margin
from results.wording import count_of

FEW = 5  # networks below which a bootstrap of ranks gives no interval worth printing
_CELLS = 10**6  # pairs of networks that are compared at a time, over all resamples
NARROW = 0.02  # proxy accuracies within this are called close together


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean over seeds.

    Attributes:
        values: of each training, 0 to 1, at least one.
    """

    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The mean; exact, so that equal values have equal means however many there are."""
        return float(statistics.mean(self.values))

    @property
    def error(self) -> float | None:
        """Half of its 95 % interval, by Student's t with one degree of freedom fewer than trainings; None of
        one training."""
        if len(self.values) < 2:
            return None
        from scipy.stats import t

        quantile = float(t.ppf(0.5 + CONFIDENCE / 2, len(self.values) - 1))
        return quantile * statistics.stdev(self.values) / math.sqrt(len(self.values))

    @property
    def equal(self) -> bool:
        """Whether all of several trainings came to the same, which is no measure of their noise."""
        return len(self.values) > 1 and len(set(self.values)) == 1

    def to_json(self) -> dict[str, float | list[float] | None]:
        """All of it as plain data."""
        return {"mean": self.value, "error": self.error, "accuracies": list(self.values)}


def welch(one: Sequence[float], other: Sequence[float]) -> Margin:
    """By how much the mean of some numbers is above that of others, with Welch's 95 % interval.

    Args:
        one, other: at least one number each. Where either has but one there is no interval; nor where the
            numbers of both are all alike, as accuracies on few images happen to be: that is no measure of
            their noise.
    """
    value = float(statistics.mean(one) - statistics.mean(other))
    if min(len(one), len(other)) < 2:
        return Margin(value=value, low=None, high=None)
    a, b = statistics.variance(one) / len(one), statistics.variance(other) / len(other)
    if a + b == 0.0:
        return Margin(value=value, low=None, high=None)
    from scipy.stats import t

    freedom = (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))
    half = float(t.ppf(0.5 + CONFIDENCE / 2, freedom)) * math.sqrt(a + b)
    return Margin(value=value, low=value - half, high=value + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankAgreement:
    """How far the proxy ranks finalists as full training does.

    Attributes:
        networks: finalists with an accuracy by both.
        spearman, kendall: Spearman's rank correlation, and Kendall's tau-b; without intervals where there are
            fewer than `FEW` networks.
        close: their proxy accuracies span less than `NARROW`, or than twice the deviation between seeds.
    """

    networks: int
    spearman: Estimate
    kendall: Estimate
    close: bool = False

    @property
    def words(self) -> str:
        """What it says, and what it cannot."""
        if self.spearman.value is None or self.kendall.value is None:
            return f"the ranks of {count_of(self.networks, 'network')} cannot be compared"
        text = f"Spearman {_interval(self.spearman)}, Kendall {_interval(self.kendall)}"
        text += f" between proxy and final accuracy of {count_of(self.networks, 'finalist')}"
        if self.networks < MANY:
            text += f"; {self.networks} networks: {_few_words(self.kendall)}"
        return (
            f"{text}; finalists lie close together, which lowers any rank correlation" if self.close else text
        )

    def to_json(self) -> dict[str, object]:
        """All of it as plain data."""
        return {
            "networks": self.networks,
            "spearman": self.spearman._asdict(),
            "kendall": self.kendall._asdict(),
            "close": self.close,
            "words": self.words,
        }


def _few_words(found: Estimate) -> str:
    """What the interval of few networks is worth."""
    if found.low is None:
        return "too few for an interval"
    if found.low == found.high:  # each resample of a perfect order is one
        return "so few may be in such an order by chance, and an interval without width says nothing of that"
    return "the interval is wide, and of so few still too short"


def _interval(found: Estimate) -> str:
    text = f"{found.value:.2f}"
    return text if found.low is None else f"{text} [{found.low:.2f}, {found.high:.2f}]"


def rank_agreement(proxy: Sequence[float | None], final: Sequence[Sequence[float]]) -> RankAgreement:
    """Rank correlations of finalists' proxy accuracies with the means of their full trainings.

    Intervals are percentiles 2.5 and 97.5 of a bootstrap in two stages (Davison and Hinkley, Bootstrap
    Methods, 1997, section 3.8): networks are drawn with replacement, and for each network its trainings;
    one that is drawn twice has the same trainings both times. The proxy's own noise is not in them. Of fewer
    than `FEW` networks there are none.

    Args:
        proxy: of each finalist; None is left out.
        final: accuracies of its trainings; none leaves it out.
    """
    pairs = [(p, tuple(f)) for p, f in zip(proxy, final, strict=True) if p is not None and f]
    n = len(pairs)
    nothing = Estimate(None, None, None)
    if n < 2:
        return RankAgreement(networks=n, spearman=nothing, kendall=nothing)
    x = np.array([p for p, _ in pairs])
    exact = np.array([statistics.mean(f) for _, f in pairs])
    drawn, means = _resampled([f for _, f in pairs])
    rows = np.vstack([np.arange(n), drawn])  # (1 + R, n): the sample, then its resamples
    y = np.round(np.vstack([exact, means]), 12)  # (1 + R, n) of each network; ties are no matter of rounding
    counts = np.stack([np.bincount(row, minlength=n) for row in rows]).astype(np.float64)
    step = max(1, _CELLS // n**2)
    parts = [slice(start, start + step) for start in range(0, len(y), step)]
    taus = np.concatenate([tau_b(x, y[part], counts[part]) for part in parts])
    rhos = spearman(x[rows], np.take_along_axis(y, rows, axis=1))
    rho, tau = estimate(rhos), estimate(taus)
    if n < FEW:
        rho, tau = Estimate(rho.value, None, None), Estimate(tau.value, None, None)
    return RankAgreement(networks=n, spearman=rho, kendall=tau, close=_close(pairs))


def _close(pairs: Sequence[tuple[float, tuple[float, ...]]]) -> bool:
    """Whether proxy accuracies span less than `NARROW`, or than twice the seeds' pooled deviation."""
    repeated = [final for _, final in pairs if len(final) > 1]
    noise = math.sqrt(statistics.mean(map(statistics.variance, repeated))) if repeated else 0.0
    proxies = [proxy for proxy, _ in pairs]
    return max(proxies) - min(proxies) < max(NARROW, 2 * noise)


def _resampled(final: Sequence[tuple[float, ...]]) -> tuple[npt.NDArray[np.int64], Array]:
    """Networks drawn with replacement (R, n), and every network's mean of drawn trainings (R, n)."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(final), size=(RESAMPLES, len(final)))
    means = [
        np.array(values)[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
        for values in final
    ]
    return drawn, np.stack(means, axis=1)
