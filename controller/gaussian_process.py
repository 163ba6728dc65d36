"""A Gaussian process over coded points (Rasmussen and Williams 2006, chapters 2 and 5).

The kernel has two parts on bits u, u' in {0, 1}^M, with s = 2u - 1:

- additive: ``a · mean_j(w_j · s_j · s'_j)``, every bit on its own;
- product: ``b · exp(-sum_j theta_j · |u_j - u'_j|)``, a diffusion kernel (Kondor and Lafferty 2002).

Every bit has its own w and theta (automatic relevance determination). With the noise they are set to the
maximum of the posterior under log-normal priors, by Adam on the exact gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]
_JITTER = 1e-6


class GaussianProcess:
    """A regression on bits, with hyper-parameters that stay from one fit to the next.

    Args:
        bits: M of a point.
        first_steps, steps: of Adam in the first and in later fits of the hyper-parameters.
        fit_on: points that the hyper-parameters are fitted on at most: the best half, and others at random.
    """

    def __init__(self, bits: int, first_steps: int = 40, steps: int = 15, fit_on: int = 200) -> None:
        self.bits, self.first_steps, self.steps, self.fit_on = bits, first_steps, steps, fit_on
        m = max(bits, 1)
        log_theta = math.log(1.0 / m)  # two random points are then about half a length scale apart
        self._prior = torch.cat(
            [torch.zeros(bits), torch.full((bits,), log_theta), torch.tensor([0.0, 0.0, math.log(0.02)])]
        ).double()  # log of w, theta, a, b, noise
        self._spread = torch.cat(
            [torch.ones(bits), torch.full((bits,), 2.0), torch.tensor([1.5, 1.5, 2.0])]
        ).double()
        self.log_parameters = self._prior.clone()
        self.fitted = False  # the hyper-parameters

    # --- kernel ----------------------------------------------------------------------------------------

    def _kernel(self, p: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Between points a (N, M) and b (K, M): (N, K)."""
        m = self.bits
        w, theta = torch.exp(p[:m]), torch.exp(p[m : 2 * m])
        weighted = a * theta
        distance = weighted.sum(1)[:, None] + (b * theta).sum(1)[None] - 2.0 * weighted @ b.T
        product = torch.exp(p[2 * m + 1] - distance)
        if m == 0:
            return product
        return product + (torch.exp(p[2 * m]) / m) * (((2.0 * a - 1.0) * w) @ (2.0 * b - 1.0).T)

    def _variance(self) -> Tensor:
        """Prior variance, the same everywhere."""
        p, m = self.log_parameters, self.bits
        additive = torch.exp(p[2 * m]) * torch.exp(p[:m]).mean() if m else torch.zeros(())
        return torch.exp(p[2 * m + 1]) + additive

    @property
    def noise(self) -> float:
        """Variance of a measurement, in the unit of the values."""
        return math.exp(float(self.log_parameters[-1])) * self._std**2

    # --- fitting ---------------------------------------------------------------------------------------

    def fit_parameters(self, bits: Floats, values: Floats, rng: np.random.Generator) -> None:
        """Move the hyper-parameters towards the maximum of their posterior.

        Args:
            bits: (N, M).
            values: (N,), the higher the better.
            rng: chooses points where there are more than `fit_on`.
        """
        n, keep = len(values), self.fit_on
        if n > keep:
            best = np.argsort(-values, kind="stable")[: keep // 2]
            others = np.setdiff1d(np.arange(n), best)
            chosen = np.sort(np.concatenate([best, rng.choice(others, keep - len(best), replace=False)]))
            bits, values = bits[chosen], values[chosen]
        x, y = torch.from_numpy(bits), torch.from_numpy(_standardised(values)[0])
        p = self.log_parameters.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([p], lr=0.1)
        for _ in range(self.steps if self.fitted else self.first_steps):
            factor = self._factor(p, x)
            half = torch.linalg.solve_triangular(factor, y[:, None], upper=False)[:, 0]
            log_prior = 0.5 * (((p - self._prior) / self._spread) ** 2).sum()
            loss = 0.5 * half @ half + torch.log(torch.diagonal(factor)).sum() + log_prior
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if bool(torch.isfinite(p).all()):
            self.log_parameters = p.detach()
        self.fitted = True

    def _factor(self, p: Tensor, x: Tensor) -> Tensor:
        """Cholesky factor of the kernel with noise (N, N)."""
        kernel = self._kernel(p, x, x)
        diagonal = torch.exp(p[-1]) + _JITTER
        for jitter in (0.0, 1e-5, 1e-3, 1e-1):
            factor, failed = torch.linalg.cholesky_ex(
                kernel + (diagonal + jitter) * torch.eye(len(x)).double()
            )
            if not failed:
                return factor
        raise RuntimeError("the surrogate's kernel is not positive definite")

    @torch.no_grad()
    def condition(self, bits: Floats, values: Floats) -> None:
        """Condition on measurements (N, M) and (N,), at the hyper-parameters as they are."""
        scaled, self._mean, self._std = _standardised(values)
        self._x = torch.from_numpy(bits)
        factor = self._factor(self.log_parameters, self._x)
        self._inverse = torch.linalg.solve_triangular(factor, torch.eye(len(bits)).double(), upper=False)
        self._alpha = self._inverse.T @ (self._inverse @ torch.from_numpy(scaled))
        self._single = (self.log_parameters.float(), self._x.float(), self._inverse.T.float())

    # --- prediction ------------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(self, bits: Floats) -> tuple[Floats, Floats]:
        """Posterior mean (N,) and standard deviation (N,), without the noise of a measurement.

        In single precision, twice as fast: thousands of points are compared for every proposal.
        """
        log_parameters, x, inverse = self._single
        kernel = self._kernel(log_parameters, torch.from_numpy(bits).float(), x)
        explained = (kernel @ inverse).square_().sum(1).double()
        std = (self._variance() - explained).clamp(min=1e-6).sqrt() * self._std
        mean = (kernel @ self._alpha.float()).double()
        return mean.numpy() * self._std + self._mean, std.numpy()

    @torch.no_grad()
    def mean(self, bits: Floats) -> Floats:
        """Posterior mean (N,)."""
        kernel = self._kernel(self.log_parameters, torch.from_numpy(bits), self._x)
        return (kernel @ self._alpha).numpy() * self._std + self._mean

    @torch.no_grad()
    def joint(self, bits: Floats) -> tuple[Floats, Floats]:
        """Posterior mean (N,) and covariance (N, N)."""
        x = torch.from_numpy(bits)
        kernel = self._kernel(self.log_parameters, x, self._x)
        explained = kernel @ self._inverse.T
        covariance = self._kernel(self.log_parameters, x, x) - explained @ explained.T
        mean = (kernel @ self._alpha).numpy() * self._std + self._mean
        return mean, covariance.numpy() * self._std**2

    # --- state -----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The hyper-parameters; not the measurements."""
        return {"log_parameters": self.log_parameters.clone(), "fitted": self.fitted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take hyper-parameters from `state_dict`."""
        self.log_parameters = state["log_parameters"].clone()
        self.fitted = state["fitted"]


def _standardised(values: Floats) -> tuple[Floats, float, float]:
    mean, std = float(values.mean()), float(values.std()) + 1e-12
    return (values - mean) / std, mean, std
