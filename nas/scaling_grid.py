"""The grid of a scaling search: which alpha, beta and gamma keep to the budget, and the networks they make.

Source: arXiv 1905.11946, equation 3: alpha * beta^2 * gamma^2 is about 2, none is below 1. Rounding (layers
up, channels to multiples of 8, whole pixels) makes networks drift from that, so their true MACs are held to
the budget too.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from nas.scaling import scale_factor
from nas.scaling_settings import LARGEST_TOLERANCE, GridSettings
from search_space import Architecture, FieldError, InputError, cost, scale_architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPoint:
    """A point of the grid that keeps to the budget.

    Attributes:
        alpha, beta, gamma: factors of depth, width and resolution.
        architecture: the network they make.
        nominal: alpha * beta^2 * gamma^2.
        macs_factor: its true MACs over the baseline's.
        macs, params: of it.
        aliases: other points that round to the same network; this one's `nominal` is the nearest to what is
            wanted.
    """

    alpha: float
    beta: float
    gamma: float
    architecture: Architecture
    nominal: float
    macs_factor: float
    macs: int
    params: int
    aliases: int = 0

    @property
    def text(self) -> str:
        """Its coefficients in words."""
        return f"alpha {self.alpha:g}, beta {self.beta:g}, gamma {self.gamma:g}"


def grid_points(
    baseline: Architecture, settings: GridSettings, num_classes: int, in_channels: int
) -> list[GridPoint]:
    """The points of the grid that keep to the budget, each network once, by rising true MACs.

    Args:
        baseline: what is scaled.
        settings: the grid, how far from the budget a point may be, and how many are taken at most.
        num_classes, in_channels: of the networks, for their cost.

    Raises:
        InputError: there are none, with the rule and the nearest point.
    """
    return taken_of(within_budget(baseline, settings, num_classes, in_channels), settings)


def taken_of(points: list[GridPoint], settings: GridSettings) -> list[GridPoint]:
    """Of the points that keep to the budget those to train, by rising true MACs; see `GridSettings`."""
    if settings.points is not None and settings.points < len(points):
        points = _spread(points, settings)
    return sorted(points, key=lambda point: (point.macs, point.nominal))


def within_budget(
    baseline: Architecture, settings: GridSettings, num_classes: int, in_channels: int
) -> list[GridPoint]:
    """All points that keep to the budget, whatever `points` says; see `grid_points`."""
    base = cost(baseline, num_classes, in_channels).macs
    near = _nominal(settings)
    points: dict[str, GridPoint] = {}
    why = "they round to the baseline itself"
    for alpha, beta, gamma in near:
        try:
            architecture = scale_architecture(
                baseline,
                depth=alpha,
                width=beta,
                image_size=round(baseline.image_size * gamma),
                name=f"{baseline.name}-a{alpha:g}-b{beta:g}-g{gamma:g}",
            )
        except FieldError as error:  # larger than a network can be; the others may be built
            why = f"the last: {error}"
            continue
        if architecture.key == baseline.key:  # is trained anyway, and no way to scale
            continue
        macs, params = cost(architecture, num_classes, in_channels)
        point = GridPoint(
            alpha=alpha,
            beta=beta,
            gamma=gamma,
            architecture=architecture,
            nominal=scale_factor(alpha, beta, gamma),
            macs_factor=macs / base,
            macs=macs,
            params=params,
        )
        other = points.get(architecture.key)
        if other is None:
            points[architecture.key] = point
        elif abs(point.nominal - settings.factor) < abs(other.nominal - settings.factor):
            points[architecture.key] = replace(point, aliases=other.aliases + 1)
        else:
            points[architecture.key] = replace(other, aliases=other.aliases + 1)
    if not points:
        raise InputError(
            f"scaling: none of the {len(near)} networks with {_rule(settings)} can be had: {why}"
        )
    return _within_budget(list(points.values()), settings)


def _nominal(settings: GridSettings) -> list[tuple[float, float, float]]:
    """The points whose alpha * beta^2 * gamma^2 is near enough."""
    grid = list(itertools.product(settings.alpha, settings.beta, settings.gamma))

    def off(point: tuple[float, float, float]) -> float:
        return abs(scale_factor(*point) - settings.factor)

    near = [point for point in grid if off(point) <= settings.tolerance + 1e-9]
    if not near:
        best = min(grid, key=off)
        alpha, beta, gamma = best
        raise InputError(
            f"scaling: of {len(grid)} points none has {_rule(settings)}; the nearest is alpha {alpha:g}, "
            f"beta {beta:g}, gamma {gamma:g} with {scale_factor(*best):.3f}, "
            f"{_mended('tolerance', off(best))}"
        )
    return near


def _rule(settings: GridSettings) -> str:
    return f"alpha * beta^2 * gamma^2 within {settings.tolerance:g} of {settings.factor:g}"


def _within_budget(points: list[GridPoint], settings: GridSettings) -> list[GridPoint]:
    """The points whose true MACs are near enough."""
    kept = [point for point in points if _off(point, settings) <= settings.macs_tolerance + 1e-9]
    if not kept:
        best = min(points, key=lambda point: _off(point, settings))
        raise InputError(
            f"scaling: of {len(points)} networks with {_rule(settings)} none has true MACs within "
            f"{100 * settings.macs_tolerance:g} % of {settings.factor:g} times the baseline's, since layers "
            f"and channels are rounded; the nearest is {best.text} with {best.macs_factor:.3f} times, "
            f"{_mended('macs_tolerance', _off(best, settings))}"
        )
    return kept


def _off(point: GridPoint, settings: GridSettings) -> float:
    """How far a point's true MACs are from the budget, as a share of it."""
    return abs(point.macs_factor / settings.factor - 1.0)


def _spread(points: list[GridPoint], settings: GridSettings) -> list[GridPoint]:
    """So many points that lie far apart: that nearest the budget, then each time the farthest from all taken.

    Distances are of what each dimension adds to the logarithm of MACs: alpha, beta^2, gamma^2. The nearest
    few to the budget may all be one direction, which compares nothing.
    """
    rest = sorted(points, key=lambda point: (_off(point, settings), point.macs))
    taken = [rest.pop(0)]
    while len(taken) < (settings.points or 0):
        # of equally far ones the first is the nearest to the budget
        rest.remove(farthest := max(rest, key=lambda point: min(_apart(point, other) for other in taken)))
        taken.append(farthest)
    return taken


def _apart(one: GridPoint, other: GridPoint) -> float:
    return math.dist(_shares(one), _shares(other))


def _shares(point: GridPoint) -> tuple[float, float, float]:
    return math.log(point.alpha), 2 * math.log(point.beta), 2 * math.log(point.gamma)


def _mended(name: str, off: float) -> str:
    """The setting that takes in a point, in three decimals and not below what it takes."""
    least = math.ceil(1000 * off - 1e-6) / 1000
    if least > LARGEST_TOLERANCE:
        return "which no tolerance takes in; give other factors"
    return f"which scaling.{name}={least:g} takes in"
