"""A Gaussian process on points of a space, fitted again when the data has grown."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from controller.coding import Coding
from controller.gaussian_process import GaussianProcess

Points = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_GROWTH = 1.15


class Surrogate:
    """Predicts values of points (N, decisions); see `GaussianProcess` for the model.

    Args:
        coding: of the space's points.
    """

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self._process = GaussianProcess(coding.bits)
        self._fitted_on = 0

    @property
    def fitted(self) -> bool:
        """Whether the hyper-parameters were ever fitted."""
        return self._fitted_on > 0

    @property
    def noise(self) -> float:
        """Variance of a measurement, in the square of the values' unit."""
        return self._process.noise

    def learn(self, points: Points, values: Floats, measured: int, rng: np.random.Generator) -> None:
        """Fit the hyper-parameters, if 15 % more was measured since they were.

        Args:
            points, values: what is remembered, (N, decisions) and (N,).
            measured: how much was measured in all.
            rng: for the fit.
        """
        if measured >= max(_GROWTH * self._fitted_on, self._fitted_on + 1):
            self._process.fit_parameters(self._coding(points), values, rng)
            self._fitted_on = measured

    def condition(self, points: Points, values: Floats) -> None:
        """Condition on measurements; before any prediction."""
        self._process.condition(self._coding(points), values)

    def predict(self, points: Points) -> tuple[Floats, Floats]:
        """Posterior mean (N,) and standard deviation (N,) without measurement noise."""
        return self._process.predict(self._coding(points))

    def mean(self, points: Points) -> Floats:
        """Posterior mean (N,)."""
        return self._process.mean(self._coding(points))

    def joint(self, points: Points) -> tuple[Floats, Floats]:
        """Posterior mean (N,) and covariance (N, N)."""
        return self._process.joint(self._coding(points))

    def state_dict(self) -> dict[str, Any]:
        """Hyper-parameters; the measurements are the controller's."""
        return {"process": self._process.state_dict(), "fitted_on": self._fitted_on}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` gave."""
        self._process.load_state_dict(state["process"])
        self._fitted_on = state["fitted_on"]
