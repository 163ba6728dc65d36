"""How well one way of measuring networks agrees with another: arithmetic on accuracies, no input or output.

Kendall's tau-b (Biometrika 30, 1938; 33, 1945, with ties); percentile bootstrap over networks (Efron, Annals
of Statistics 7, 1979); noise and spread by the analysis of variance of one factor. Accuracies are 0 to 1.
What is not defined, such as a rank correlation of equal numbers, is None and never a number.

Shapes: n networks, s seeds, R resamples.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Array = npt.NDArray[np.float64]
Level = Literal["good", "usable", "weak", "useless", "undecided", "undefined"]

RESAMPLES = 2000
MANY = 10  # networks below which an interval is too short to be believed


class Estimate(NamedTuple):
    """A number with its 95 % interval; None where it is not defined.

    Attributes:
        value: of the sample.
        low, high: percentiles 2.5 and 97.5 of the bootstrap; None where most resamples define nothing.
    """

    value: float | None
    low: float | None
    high: float | None


class Bias(NamedTuple):
    """What a protocol favours.

    Attributes:
        correlation: Spearman's, of (rank by the proxy - rank by the reference) with a property of the
            networks; ranks rise with accuracy, so a positive one favours networks that have much of it.
        words: what the interval allows to say.
    """

    correlation: Estimate
    words: str


class Verdict(NamedTuple):
    """A judgement, and the sentence for it."""

    level: Level
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """Every network of a sample, trained under one protocol with several seeds.

    Attributes:
        accuracy: (n, s), 0 to 1; NaN where the training failed.
        seconds: (n, s); NaN where it failed.
    """

    accuracy: Array
    seconds: Array

    @property
    def failed(self) -> int:
        """Trainings without an accuracy."""
        return int(np.isnan(self.accuracy).sum())

    def mean(self) -> Array:
        """Accuracy over the seeds that did not fail: (n,), NaN where all did."""
        return row_mean(self.accuracy)

    def deviation(self) -> Array:
        """Standard deviation over those seeds: (n,), 0 where there is but one."""
        counts = np.isfinite(self.accuracy).sum(axis=1)
        squares = np.nan_to_num(self.accuracy - self.mean()[:, None]) ** 2
        return np.sqrt(squares.sum(axis=1) / np.maximum(counts - 1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What repeated trainings under one protocol say.

    Attributes:
        failed: trainings without an accuracy, left out everywhere.
        noise: standard deviation between the seeds of a network, pooled; None with one seed.
        spread: standard deviation of the networks' true accuracies; None with one seed, which cannot tell
            it from noise.
        tau_seeds: tau between two seeds, over all pairs of them: what noise leaves; None with one seed.
        seconds: of a training, in the mean; None where all failed.
    """

    failed: int
    noise: float | None
    spread: float | None
    tau_seeds: Estimate
    seconds: float | None

    @property
    def noise_ratio(self) -> float | None:
        """Noise over spread; None where either is unknown, or nothing but noise was seen."""
        return self.noise / self.spread if self.noise is not None and self.spread else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well a protocol ranks networks as the reference does.

    Attributes:
        networks: those with an accuracy under both.
        precision: of the protocol alone.
        tau: between one training and the reference's mean, in the mean over seeds: what a search sees.
        tau_mean: between the mean over seeds and the reference's mean.
        regret: accuracy under the reference that is lost by taking the protocol's best network instead of
            the reference's best, in the mean over seeds.
        macs, layers: what it favours.
    """

    networks: int
    precision: Precision
    tau: Estimate
    tau_mean: Estimate
    regret: float | None
    macs: Bias
    layers: Bias


def precision(trainings: Trainings) -> Precision:
    """Noise, spread and repeatability of one protocol."""
    noise, spread = noise_and_spread(trainings.accuracy)
    seconds = trainings.seconds[np.isfinite(trainings.seconds)]
    columns = trainings.accuracy.T
    return Precision(
        failed=trainings.failed,
        noise=noise,
        spread=spread,
        tau_seeds=kendall(list(itertools.combinations(columns, 2))),
        seconds=float(seconds.mean()) if len(seconds) else None,
    )


def agreement(proxy: Trainings, reference: Trainings, macs: Array, layers: Array) -> Agreement:
    """Compare a protocol with the reference.

    Args:
        proxy, reference: the same n networks in the same order.
        macs, layers: (n,) of the networks; positive.
    """
    theirs, ours = reference.mean(), proxy.mean()
    both = np.isfinite(theirs) & np.isfinite(ours)
    seeds = [(column, theirs) for column in proxy.accuracy.T]
    return Agreement(
        networks=int(both.sum()),
        precision=precision(proxy),
        tau=kendall(seeds),
        tau_mean=kendall([(ours, theirs)]),
        regret=regret(proxy.accuracy, theirs),
        macs=bias(ours[both], theirs[both], np.log(macs[both]), ("cheap", "costly"), "MACs"),
        layers=bias(ours[both], theirs[both], layers[both], ("shallow", "deep"), "layers"),
    )


def row_mean(values: Array) -> Array:
    """The mean of each row (n, s) without its NaNs: (n,), NaN where a row holds nothing else."""
    there = np.isfinite(values)
    counts = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def noise_and_spread(accuracy: Array) -> tuple[float | None, float | None]:
    """Standard deviations between seeds, and between networks without what the seeds explain.

    The variance between the networks' means holds the noise's divided by the seeds; that is taken off, and
    what is left is at least 0.

    Args:
        accuracy: (n, s), NaN where a training failed.
    """
    there = np.isfinite(accuracy)
    counts = there.sum(axis=1)
    means = row_mean(accuracy)
    freedom = int(np.maximum(counts - 1, 0).sum())
    if freedom == 0:
        return None, None
    deviations = np.where(there, accuracy - means[:, None], 0.0)
    within = float((deviations**2).sum() / freedom)
    if float(np.ptp(accuracy[there])) == 0.0:  # rounding of a mean is no noise
        within = 0.0
    known = counts > 0
    if known.sum() < 2:
        return within**0.5, None
    between = float(np.var(means[known], ddof=1)) - within * float((1.0 / counts[known]).mean())
    if np.ptp(means[known]) == 0.0:
        between = 0.0
    return within**0.5, max(0.0, between) ** 0.5


# --- rank correlations --------------------------------------------------------------------------------


def kendall(pairs: Sequence[tuple[Array, Array]]) -> Estimate:
    """Kendall's tau-b, in the mean over pairs of measurements of the same networks.

    Args:
        pairs: each two times (n,); a network that is NaN in one of the two counts nothing there.
    """
    if not pairs:
        return Estimate(None, None, None)
    n = len(pairs[0][0])
    counts = np.vstack([np.ones(n), _resamples(n)])  # (1 + R, n): the sample, then its resamples
    values = np.stack([tau_b(x, y, counts) for x, y in pairs], axis=1)  # (1 + R, pairs)
    return estimate(row_mean(values))


def tau_b(x: Array, y: Array, counts: Array) -> Array:
    """Kendall's tau-b of many weightings of one sample.

    Args:
        x, y: (n,), or (R, n) where they differ from weighting to weighting; NaN where unknown.
        counts: (R, n), how often each network is in a resample.

    Returns:
        (R,), NaN where all x or all y of a resample are equal.
    """
    known = ~(np.isnan(x) | np.isnan(y))
    both = known[..., :, None] & known[..., None, :]
    signs_x, signs_y = (np.where(both, _signs(values), 0.0) for values in (x, y))  # (n, n) or (R, n, n)

    def total(matrix: Array) -> Array:
        summed = counts @ matrix if matrix.ndim == 2 else (counts[:, None] @ matrix)[:, 0]  # (R, n)
        return (summed * counts).sum(axis=1)

    untied = np.sqrt(total(signs_x**2) * total(signs_y**2))
    with np.errstate(invalid="ignore"):
        return np.where(untied > 0, total(signs_x * signs_y) / untied, np.nan)


def _signs(x: Array) -> Array:
    return np.sign(x[..., :, None] - x[..., None, :])  # (n, n) or (R, n, n)


def spearman(x: Array, y: Array) -> Array:
    """Spearman's correlation of each row (R, n) of x with that of y: (R,), NaN where a row is constant."""
    a, b = _centred_ranks(x), _centred_ranks(y)
    norm = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return np.where(norm > 0, (a * b).sum(axis=1) / norm, np.nan)


def _centred_ranks(x: Array) -> Array:
    ranks = rankdata(x, axis=1)
    return ranks - (x.shape[1] + 1) / 2.0


def bias(proxy: Array, reference: Array, has: Array, kinds: tuple[str, str], what: str) -> Bias:
    """Whether a protocol ranks networks too high for what they have.

    Args:
        proxy, reference: accuracies (n,).
        has: (n,), such as the logarithm of MACs.
        kinds: what networks with little, and with much of it are called.
        what: its name.
    """
    n = len(proxy)
    if n < 2 or np.ptp(proxy) == 0 or np.ptp(reference) == 0:
        return Bias(Estimate(None, None, None), "no ranks to compare")
    drawn = np.vstack([np.arange(n), _draws(n)])  # (1 + R, n)
    ahead = rankdata(proxy[drawn], axis=1) - rankdata(reference[drawn], axis=1)
    found = estimate(spearman(ahead, has[drawn]))
    if np.ptp(has) == 0:
        return Bias(found, f"all networks of the sample have equally many {what}")
    if n < MANY:
        return Bias(found, f"too few networks to tell at n={n}")
    if found.low is not None and found.low > 0:
        return Bias(found, f"favours {kinds[1]} networks")
    if found.high is not None and found.high < 0:
        return Bias(found, f"favours {kinds[0]} networks")
    return Bias(found, f"no bias found at n={n}")


def _draws(n: int) -> npt.NDArray[np.int64]:
    """Networks drawn with replacement: (R, n), the same for every statistic."""
    return np.random.default_rng(0).integers(n, size=(RESAMPLES, n))


def _resamples(n: int) -> Array:
    """How often each network is in a resample: (R, n)."""
    drawn = _draws(n) + n * np.arange(RESAMPLES)[:, None]
    return np.bincount(drawn.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n).astype(np.float64)


def estimate(values: Array) -> Estimate:
    """A number and its interval, from a statistic of the sample and of its resamples: (1 + R,), NaN where
    it is not defined."""
    if np.isnan(values[0]):
        return Estimate(None, None, None)
    defined = values[1:][np.isfinite(values[1:])]
    if 2 * len(defined) < len(values) - 1:
        return Estimate(float(values[0]), None, None)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Estimate(float(values[0]), float(low), float(high))


def regret(proxy: Array, reference: Array) -> float | None:
    """Accuracy lost by the top choice of a protocol, in the mean over seeds, and over networks it ties.

    Args:
        proxy: (n, s), NaN where a training failed.
        reference: (n,), likewise.
    """
    losses = []
    for column in proxy.T:
        known = np.isfinite(column) & np.isfinite(reference)
        if known.any():
            ours, theirs = column[known], reference[known]
            losses.append(float(theirs.max() - theirs[ours == ours.max()].mean()))
    return float(np.mean(losses)) if losses else None


# --- judgement ----------------------------------------------------------------------------------------


def verdict(found: Agreement, target: float) -> Verdict:
    """A protocol in a word and a sentence; the thresholds are in docs/proxy-audit.md."""
    tau, n = found.tau, found.networks
    if tau.value is None:
        return Verdict("undefined", f"undefined: the accuracies of {n} networks cannot be ranked")
    if tau.low is None or tau.high is None:
        return Verdict("undecided", f"undecided: {n} networks are too few for an interval")
    said = f"tau {tau.value:.2f} ({tau.low:.2f} to {tau.high:.2f}, {n} networks)"
    if tau.low >= target and n >= MANY:
        return Verdict("good", f"good: {said} is surely {target:g} or more")
    if tau.value >= target and tau.low > 0:
        return Verdict("usable", f"usable: {said} reaches {target:g}, though not surely")
    if tau.low > 0:
        hope = "; more networks could still show it reaching that" if tau.high >= target else ""
        return Verdict("weak", f"weak: {said} is above chance, and below {target:g}{hope}")
    if tau.high >= target:
        return Verdict("undecided", f"undecided: {said} is anything from chance to {target:g}")
    return Verdict("useless", f"useless: {said} cannot be told from chance, and is below {target:g}")


def cheapest(found: Mapping[str, Agreement], target: float) -> str | None:
    """The protocol of the shortest training among those whose tau, as estimated, reaches the target."""
    reaching: dict[str, float] = {}
    for name, one in found.items():
        if one.tau.value is not None and one.tau.value >= target and one.precision.seconds is not None:
            reaching[name] = one.precision.seconds
    return min(reaching, key=lambda name: reaching[name], default=None)


def advice(found: Mapping[str, Agreement], reference: Precision, target: float) -> str:
    """What was found over all protocols, and what to do next."""
    name = cheapest(found, target)
    if name is not None:
        low = found[name].tau.low
        surely = low is not None and low >= target
        end = "and so does" if surely else "but not"
        return f"cheapest that reaches tau {target:g}: {name} ({end} the lower end of its interval)"
    ranked = {key: one.tau.value for key, one in found.items() if one.tau.value is not None}
    if not ranked:
        return f"no protocol reaches tau {target:g}: no accuracies could be ranked"
    best = max(ranked, key=lambda key: ranked[key])
    ceiling = found[best].precision.tau_seeds.value
    theirs = reference.tau_seeds.value
    if theirs is not None and theirs < target:
        more = f"the reference's own seeds agree only to {theirs:.2f}: raise audit.reference_seeds"
    elif ceiling is not None and ceiling < target:
        more = (
            f"noise holds it down, its own seeds agree only to {ceiling:.2f}: try more epochs, more "
            "validation images, or the mean of several seeds"
        )
    else:
        more = "try more epochs, larger images or more of the training data"
    return f"no protocol reaches tau {target:g}; the best is {best} with {ranked[best]:.2f}; {more}"
