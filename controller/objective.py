"""What a search maximises: accuracy against cost.

MnasNet's weighted product (arXiv 1807.11626, eq. 2 and 3) is ``ACC * (cost / T) ** w`` with ``w = alpha``
where the cost is at most T and ``w = beta`` above. EfficientNet (arXiv 1905.11946, section 4) uses
``w = -0.07`` on both sides with FLOPS, our MACs, as the cost. MnasNet's hard form is alpha 0, beta -1.
TuNAS's absolute reward (arXiv 2008.06120) is ``ACC + beta * |cost / T - 1|``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from search_space import FieldError
from search_space.fields import as_floats, check_choice, check_float

COSTS = ("macs", "params", "latency_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The reward of a candidate.

    Attributes:
        target: T, in the unit of the cost.
        cost: which cost: ``macs``, ``params``, or ``latency_ms``, which is measured or predicted.
        form: ``product`` (MnasNet's) or ``absolute`` (TuNAS's).
        alpha: exponent at or below the target; the absolute form does not use it.
        beta: exponent above the target; the absolute form's weight.

    Raises:
        FieldError: a target that is not positive, or a positive exponent, which would reward cost.
    """

    target: float
    cost: Literal["macs", "params", "latency_ms"] = "macs"
    form: Literal["product", "absolute"] = "product"
    alpha: float = -0.07
    beta: float = -0.07

    def __post_init__(self) -> None:
        check_float("target", self.target, 1e-9, 1e18)
        check_choice("cost", self.cost, COSTS)
        check_choice("form", self.form, ("product", "absolute"))
        check_float("alpha", self.alpha, -10.0, 0.0)
        check_float("beta", self.beta, -10.0, 0.0)
        as_floats(self, "target", "alpha", "beta")

    def reward(self, accuracy: float, cost: float) -> float:
        """The reward of an accuracy (0 to 1) at a cost (MACs, say).

        Raises:
            FieldError: the accuracy is not finite, or the cost is not positive.
        """
        if not math.isfinite(accuracy):
            raise FieldError("accuracy", f"must be finite, got {accuracy}")
        if not (math.isfinite(cost) and cost > 0):
            raise FieldError("cost", f"must be positive, got {cost}")
        ratio = cost / self.target
        if self.form == "absolute":
            return accuracy + self.beta * abs(ratio - 1.0)
        exponent = self.alpha if ratio <= 1.0 else self.beta
        return float(accuracy * ratio**exponent)

    def ceiling(self, cost: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The rewards (N,) that a perfect accuracy would have at costs (N,): no network can have more."""
        ratio = np.asarray(cost, dtype=np.float64) / self.target
        if self.form == "absolute":
            return 1.0 + self.beta * np.abs(ratio - 1.0)
        return ratio ** np.where(ratio <= 1.0, self.alpha, self.beta)
