"""What a search maximises: accuracy against cost.

MnasNet's weighted product (arXiv 1807.11626, eq. 2 and 3) is ``ACC * (cost / T) ** w`` with ``w = alpha``
where the cost is at most T and ``w = beta`` above. EfficientNet (arXiv 1905.11946, section 4) uses
``w = -0.07`` on both sides with FLOPS, our MACs, as the cost. MnasNet's hard form is alpha 0, beta -1.
TuNAS's absolute reward (arXiv 2008.06120) is ``ACC + beta * |cost / T - 1|``.

The exponent follows from what twice the cost is worth (MnasNet, section 3): of two networks, one with the
accuracy a at cost c and one with a * (1 + x) at 2 * c are rewarded alike where
``a * (c / T) ** w = a * (1 + x) * (2 * c / T) ** w``, that is ``w = -log2(1 + x)``; 5 % gives -0.0704, which
the papers round to -0.07. The absolute form adds, and so has no relative statement that holds for every
accuracy; there x is accuracy itself, from T to twice T: ``beta = -x``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from search_space import FieldError
from search_space.fields import as_floats, check_choice, check_float

COSTS = ("macs", "params", "latency_ms")
FORMS = ("product", "absolute", "hard")
_SOFT = -0.07
_DERIVED: Any = None  # of an exponent: what the form and doubling_gain make it, once the objective is made


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The reward of a candidate.

    Attributes:
        target: T, in the unit of the cost.
        cost: which cost: ``macs``, ``params``, or ``latency_ms``, which is measured or predicted.
        form: ``product`` (MnasNet's), ``absolute`` (TuNAS's) or ``hard`` (MnasNet's: the accuracy alone up to
            the target, divided by ``cost / T`` above it).
        alpha: exponent at or below the target, -0.07 where nothing is said; not used by the absolute form.
        beta: exponent above the target; the absolute form's weight; -0.07 where nothing is said.
        doubling_gain: instead of the two, what twice the cost is worth: 0.05 is 5 % of the accuracy in the
            product form, and 5 points of accuracy from T to twice T in the absolute form.

    Raises:
        FieldError: a target that is not positive, a positive exponent, which would reward cost, or exponents
            other than those that the hard form has or that follow from ``doubling_gain``.
    """

    target: float
    cost: Literal["macs", "params", "latency_ms"] = "macs"
    form: Literal["product", "absolute", "hard"] = "product"
    alpha: float = _DERIVED
    beta: float = _DERIVED
    doubling_gain: float | None = None

    def __post_init__(self) -> None:
        check_float("target", self.target, 1e-9, 1e18)
        check_choice("cost", self.cost, COSTS)
        check_choice("form", self.form, FORMS)
        if self.doubling_gain is not None:
            self._check_gain()
        self._derive()
        check_float("alpha", self.alpha, -10.0, 0.0)
        check_float("beta", self.beta, -10.0, 0.0)
        as_floats(self, "target", "alpha", "beta")

    def _check_gain(self) -> None:
        if self.form == "hard":
            rule = "is for the product and the absolute form; the hard form trades nothing"
            raise FieldError("doubling_gain", rule)
        try:
            check_float("doubling_gain", self.doubling_gain, 0.0, 1.0)
        except FieldError as error:
            raise FieldError(error.path, f"{error.rule} (0.05 is 5 %)") from None
        as_floats(self, "doubling_gain")

    def _derive(self) -> None:
        """Exponents that nobody gave; those that are given must not contradict what they follow from."""
        alpha, beta = _exponents(self.form, self.doubling_gain)
        fixed = self.form == "hard" or self.doubling_gain is not None
        for name, derived in (("alpha", alpha), ("beta", beta)):
            given = getattr(self, name)
            if given is _DERIVED:
                object.__setattr__(self, name, derived)
            elif fixed:  # given all the same, as a stored configuration does
                check_float(name, given, -10.0, 0.0)
                if not math.isclose(given, derived, rel_tol=1e-9):
                    raise FieldError(name, _contradiction(self.form, derived, given))
                object.__setattr__(self, name, derived)  # another machine's last bit

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

    def matching(self, accuracy: float, cost: float, others: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The accuracies (N,) that at other costs (N,) are rewarded as this accuracy is at this cost.

        They may be above 1, which no network has, and in the absolute form below 0.

        Raises:
            FieldError: as `reward`.
        """
        reward, ceiling = self.reward(accuracy, cost), self.ceiling(others)
        return reward + 1.0 - ceiling if self.form == "absolute" else reward / ceiling

    def ceiling(self, cost: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The rewards (N,) that a perfect accuracy would have at costs (N,): no network can have more."""
        ratio = np.asarray(cost, dtype=np.float64) / self.target
        if self.form == "absolute":
            return 1.0 + self.beta * np.abs(ratio - 1.0)
        return ratio ** np.where(ratio <= 1.0, self.alpha, self.beta)


def _exponents(form: str, doubling_gain: float | None) -> tuple[float, float]:
    """Alpha and beta of a form, where neither is given."""
    if form == "hard":
        return 0.0, -1.0
    if doubling_gain is None:
        return _SOFT, _SOFT
    if form == "absolute":
        return _SOFT, 0.0 - doubling_gain
    exponent = 0.0 - math.log2(1.0 + doubling_gain)
    return exponent, exponent


def _contradiction(form: str, derived: float, given: float) -> str:
    """The rule that an exponent breaks which already follows from something else."""
    if form == "hard":
        return f"is {derived:g} in the hard form, got {given:g}; leave it out, or say form: product"
    return f"follows from doubling_gain ({derived:.6g}), got {given:g}; give one of the two"
