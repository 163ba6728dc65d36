"""The statistics of a latency model: non-negative least squares on relative errors, and how good it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RIDGE = 1e-4
_RESAMPLES = 2000


def fit_rates(amounts: Floats, milliseconds: Floats) -> tuple[float, Floats]:
    """Intercept and rates, none negative, with the least squared relative error.

    Every row is divided by its measurement, so that 5 % of a small network counts as 5 % of a large one.
    Columns are scaled to length 1, and a slight ridge on them chooses among rates that the data cannot tell
    apart. Lawson and Hanson's algorithm (1974), as scipy has it.

    Args:
        amounts: (N, F) of each feature.
        milliseconds: (N,), above 0.

    Returns:
        The intercept in ms, and ms for one unit of each feature, (F,).
    """
    from scipy.optimize import nnls

    rows = np.column_stack([np.ones(len(amounts)), amounts]) / milliseconds[:, None]  # (N, 1 + F)
    scale = np.linalg.norm(rows, axis=0)
    number = rows.shape[1]
    damped = np.vstack([rows / scale, np.sqrt(RIDGE) * np.eye(number)])
    wanted = np.concatenate([np.ones(len(rows)), np.zeros(number)])
    found, _ = nnls(damped, wanted, maxiter=100 * number)
    rates = found / scale
    return float(rates[0]), rates[1:]


def spearman(first: Floats, second: Floats) -> float:
    """Rank correlation of two rows (N,); 0 where one of them is constant."""
    return float(_correlation(_ranks(first[None]), _ranks(second[None]))[0])


def kendall(first: Floats, second: Floats) -> float:
    """Kendall's tau-b of two rows (N,); 0 where one of them is constant."""
    from scipy.stats import kendalltau

    return float(np.nan_to_num(kendalltau(first, second).statistic))


def spearman_interval(first: Floats, second: Floats, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of `spearman`, over networks."""
    chosen = np.random.default_rng(seed).integers(0, len(first), (_RESAMPLES, len(first)))
    found = _correlation(_ranks(first[chosen]), _ranks(second[chosen]))
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def relative_error(predicted: Floats, measured: Floats) -> float:
    """The mean of |predicted / measured - 1|."""
    return float(np.mean(np.abs(predicted / measured - 1.0)))


def _ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata

    ranks: Floats = rankdata(values, axis=1)
    return ranks - ranks.mean(axis=1, keepdims=True)


def _correlation(first: Floats, second: Floats) -> Floats:
    """Of centred rows (B, N): (B,), from -1 to 1."""
    scale = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    products = (first * second).sum(axis=1)
    found: Floats = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    return np.clip(found, -1.0, 1.0)
