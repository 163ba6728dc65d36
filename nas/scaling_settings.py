"""The sections ``scaling`` and ``dimensions`` of a configuration: what is trained to learn how to scale."""

from __future__ import annotations

from dataclasses import dataclass

from search_space import FieldError
from search_space.fields import as_floats, check_float, check_int

MOST_SEEDS = 1000
MOST_TRAININGS = 100_000
MOST_POINTS = 100_000  # of a grid
LARGEST_TOLERANCE = 10.0


def _steps(first: float, step: float, number: int) -> tuple[float, ...]:
    return tuple(round(first + step * i, 6) for i in range(number))


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSettings:
    """The small grid search of the paper (arXiv 1905.11946, section 3.3, step 1): phi is 1.

    Attributes:
        alpha, beta, gamma: factors of depth, width and resolution to combine, at least 1 each.
        factor: by what alpha * beta^2 * gamma^2 is to multiply the MACs.
        tolerance: how far alpha * beta^2 * gamma^2 may be from it.
        macs_tolerance: how far the true MACs, after rounding, may be from so many times the baseline's, as a
            share of those.
        points: networks to train at most, spread over the directions there are; None is all.
        seeds: trainings of each.
        max_seeds: trainings at most of those that cannot be told apart from the best.
    """

    alpha: tuple[float, ...] = _steps(1.0, 0.1, 11)
    beta: tuple[float, ...] = _steps(1.0, 0.05, 9)
    gamma: tuple[float, ...] = _steps(1.0, 0.05, 9)
    factor: float = 2.0
    tolerance: float = 0.2
    macs_tolerance: float = 0.1
    points: int | None = None
    seeds: int = 2
    max_seeds: int = 6

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma"):
            object.__setattr__(self, name, _factors(name, getattr(self, name), 1.0))
        points = len(self.alpha) * len(self.beta) * len(self.gamma)
        if points > MOST_POINTS:
            raise FieldError(
                "alpha", f"times beta times gamma must be at most {MOST_POINTS} points, got {points}"
            )
        check_float("factor", self.factor, 1.01, 100.0)
        check_float("tolerance", self.tolerance, 0.0, LARGEST_TOLERANCE)
        check_float("macs_tolerance", self.macs_tolerance, 0.0, LARGEST_TOLERANCE)
        as_floats(self, "factor", "tolerance", "macs_tolerance")
        if self.points is not None:
            check_int("points", self.points, 1, MOST_TRAININGS)
        check_int("seeds", self.seeds, 1, MOST_SEEDS)
        check_int("max_seeds", self.max_seeds, 1, MOST_SEEDS)
        if self.max_seeds < self.seeds:
            raise FieldError("max_seeds", f"must be at least seeds, {self.seeds}, got {self.max_seeds}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionSettings:
    """The paper's two observations as an experiment (arXiv 1905.11946, section 3.2, figures 3, 4 and 8).

    Attributes:
        factors: of the baseline's MACs, at which depth, width, resolution and all three are scaled.
        alpha, beta, gamma: of the compound line.
        pairs: (depth, resolution) under which the width is scaled.
        widths: to scale by under each pair; none leaves that out.
        seeds: trainings of each network.
    """

    factors: tuple[float, ...] = (2.0, 4.0)
    alpha: float = 1.2
    beta: float = 1.1
    gamma: float = 1.15
    pairs: tuple[tuple[float, float], ...] = ((1.0, 1.0), (2.0, 1.0), (1.0, 1.3), (2.0, 1.3))
    widths: tuple[float, ...] = (1.0, 1.4, 2.0)
    seeds: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", _factors("factors", self.factors, 1.01))
        for name in ("alpha", "beta", "gamma"):
            check_float(name, getattr(self, name), 1.0, 10.0)
        as_floats(self, "alpha", "beta", "gamma")
        if self.alpha * self.beta * self.gamma == 1.0:
            raise FieldError("alpha", "must be above 1 where beta and gamma are not: nothing would grow")
        if not isinstance(self.pairs, list | tuple):
            raise FieldError("pairs", f"must be a list of [depth, resolution], got {self.pairs!r}")
        pairs = []
        for number, pair in enumerate(self.pairs):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise FieldError(f"pairs[{number}]", f"must be [depth, resolution], got {pair!r}")
            depth, resolution = (_factor(f"pairs[{number}]", value, 0.01) for value in pair)
            pairs.append((depth, resolution))
        object.__setattr__(self, "pairs", tuple(pairs))
        widths = () if self.widths in ([], ()) else _factors("widths", self.widths, 0.01)
        object.__setattr__(self, "widths", widths)
        check_int("seeds", self.seeds, 1, MOST_SEEDS)


def _factor(name: str, value: object, least: float) -> float:
    check_float(name, value, least, 100.0)
    return float(value)  # type: ignore[arg-type]


def _factors(name: str, given: object, least: float) -> tuple[float, ...]:
    """Different factors in rising order."""
    if not isinstance(given, list | tuple) or not given:
        raise FieldError(name, f"must be a list of factors such as [1.0, 1.1], got {given!r}")
    factors = tuple(_factor(f"{name}[{number}]", value, least) for number, value in enumerate(given))
    if len(set(factors)) < len(factors):
        raise FieldError(name, f"must be different factors, got {list(factors)}")
    return tuple(sorted(factors))
