"""Compound scaling (arXiv 1905.11946, section 3.3): one network, a family of them.

Two things, named apart. The *formula* (equation 3) scales depth by alpha^phi, width by beta^phi and
resolution by gamma^phi, with alpha * beta^2 * gamma^2 near 2, so that MACs about double with each phi. The
published *family* B1-B7 is a table of factors, and the formula does not reproduce it: B7's depth is 3.1, and
1.2^7 is 3.58. A third, `scale_dimensions`, takes the factors themselves.

The *nominal* factor of MACs is depth * width^2 * resolution^2; the true one differs by the rounding rules of
`search_space.scale_architecture`, and `rounding_note` says by which of them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from search_space import EFFICIENTNET_FAMILY, Architecture, FieldError, cost, scale_architecture
from search_space.fields import check_float

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15  # the paper's, found for B0 at phi = 1
TABLE_RESOLUTION = 224
LARGEST_PHI = 100.0
LARGEST_COEFFICIENT = 10.0
SMALLEST_FACTOR, LARGEST_FACTOR = 1e-3, 1e3
STEPS = 1000  # of phi and of factors, in one: what is searched for is found to 0.001

FAR_FROM_TWO = 0.2  # alpha * beta^2 * gamma^2 further away from 2 than this is worth a warning
FAR_OVER_NOMINAL = 1.25  # true over nominal MACs above this is worth a note
FACTOR_OF_FIELD = {"image_size": "resolution", "channels": "width", "repeats": "depth"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledNetwork:
    """A member of a family.

    Attributes:
        architecture: the network.
        phi: the compound coefficient; None for a member of the published table, and for given factors.
        depth, width: factors over the baseline, before rounding.
        resolution: image size over the baseline's, after rounding to a pixel.
        nominal: the factor of MACs that the formula promises, before rounding: depth * width^2 *
            resolution^2 (equation 3 of arXiv 1905.11946 and the text below it).
    """

    architecture: Architecture
    phi: float | None
    depth: float
    width: float
    resolution: float
    nominal: float

    def to_json(self, num_classes: int = 1000, in_channels: int = 3) -> dict[str, Any]:
        """The facts that ``--json`` prints."""
        macs, params = cost(self.architecture, num_classes, in_channels)
        return {
            "name": self.architecture.name,
            "phi": self.phi,
            "depth": round(self.depth, 6),
            "width": round(self.width, 6),
            "resolution": round(self.resolution, 6),
            "image_size": self.architecture.image_size,
            "dropout": self.architecture.dropout,
            "macs": macs,
            "params": params,
            "nominal": round(self.nominal, 6),
        }


def short(value: float) -> str:
    """A factor in a name: no two share one. 1.4 as ``1.4``, 1.20000001 in full."""
    text = f"{value:g}"
    return text if float(text) == value else repr(value)


def scale_factor(alpha: float, beta: float, gamma: float) -> float:
    """By what the formula multiplies MACs at phi = 1, but for rounding: alpha * beta^2 * gamma^2."""
    return alpha * beta**2 * gamma**2


def check_coefficients(alpha: float, beta: float, gamma: float) -> None:
    """``1 <= alpha, beta, gamma <= 10``, as equation 3 demands.

    Raises:
        FieldError: with the nearest value that is allowed, and why.
    """
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        try:
            check_float(name, value, 1.0, LARGEST_COEFFICIENT)
        except FieldError as error:
            if isinstance(value, int | float) and value < 1:
                why = "; a larger phi must not make a network smaller, and the nearest is 1"
                raise FieldError(name, error.rule + why) from None
            if isinstance(value, int | float) and value > LARGEST_COEFFICIENT:
                raise FieldError(name, f"{error.rule}; the nearest is {LARGEST_COEFFICIENT:g}") from None
            raise


def last_index(holds: Callable[[int], bool], end: int) -> int:
    """The largest index below `end` at which a property holds that holds at 0 and, once lost, stays lost."""
    return bisect_left(range(1, end), True, key=lambda index: not holds(index))


def formula(
    architecture: Architecture, phi: float, alpha: float, beta: float, gamma: float, name: str | None = None
) -> Architecture:
    """The network of the formula, or the FieldError of whatever forbids it; nothing else is checked."""
    return scale_architecture(
        architecture,
        depth=alpha**phi,
        width=beta**phi,
        image_size=round(architecture.image_size * gamma**phi),
        name=name,
    )


def is_built(make: Callable[[], Architecture]) -> bool:
    """Whether a description breaks no rule."""
    try:
        make()
    except FieldError:
        return False
    return True


def largest_buildable(
    architecture: Architecture, alpha: float, beta: float, gamma: float, most: float = LARGEST_PHI
) -> int:
    """The largest phi, in thousandths, up to `most`, whose network breaks no rule of `Architecture`.

    Layers, channels and image size only rise with phi (the rounding rules are monotone), and each has an
    upper bound, so that there is one such phi, and everything below it can be built.
    """

    def holds(thousandths: int) -> bool:
        return is_built(lambda: formula(architecture, thousandths / STEPS, alpha, beta, gamma))

    return last_index(holds, int(most * STEPS) + 1)


def compound_scale(
    architecture: Architecture, phi: float, alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA
) -> ScaledNetwork:
    """The formula: depth alpha^phi, width beta^phi, resolution gamma^phi.

    Args:
        architecture: the baseline.
        phi: the compound coefficient, at least 0.
        alpha, beta, gamma: at least 1.

    Raises:
        FieldError: a coefficient is out of range, or the network would be too large to describe; then with
            the largest phi that can be built.
    """
    check_float("phi", phi, 0.0, LARGEST_PHI)
    check_coefficients(alpha, beta, gamma)
    try:
        name = f"{architecture.name}-phi{short(phi)}"
        scaled = formula(architecture, phi, alpha, beta, gamma, name)
    except FieldError as error:
        largest = largest_buildable(architecture, alpha, beta, gamma, phi) / STEPS
        raise FieldError(
            "phi",
            f"of {short(phi)} gives a network that cannot be built: {error}; "
            f"the largest phi that can be built is {largest:g}",
        ) from None
    return ScaledNetwork(
        architecture=scaled,
        phi=phi,
        depth=alpha**phi,
        width=beta**phi,
        resolution=scaled.image_size / architecture.image_size,
        nominal=scale_factor(alpha, beta, gamma) ** phi,
    )


def scale_dimensions(
    architecture: Architecture,
    depth: float = 1.0,
    width: float = 1.0,
    resolution: float = 1.0,
    name: str | None = None,
) -> ScaledNetwork:
    """Any network by one dimension or several, such as tables 3 and 7 of arXiv 1905.11946.

    Args:
        architecture: the baseline.
        depth: factor on every stage's layers, rounded up.
        width: factor on every width, stem and head among them, rounded to a multiple of 8.
        resolution: factor on the image size, rounded to a pixel.
        name: of the result; by default the baseline's with the factors other than 1, such as
            ``efficientnet_b0-d1.4-w1.2-r1.3``.

    Raises:
        FieldError: a factor is not between 0.001 and 1000, or gives a network that cannot be built; then
            with the nearest value of that factor that can be.
    """
    factors = {"depth": depth, "width": width, "resolution": resolution}
    for field, value in factors.items():
        check_float(field, value, SMALLEST_FACTOR, LARGEST_FACTOR)
    depth, width, resolution = float(depth), float(width), float(resolution)
    if name is None:
        said = [f"{field[0]}{short(value)}" for field, value in factors.items() if value != 1]
        name = "-".join([architecture.name, *said])
    try:
        scaled = by_factors(architecture, depth, width, resolution, name)
    except FieldError as error:
        raise _nearest_factor(architecture, factors, error) from None
    return ScaledNetwork(
        architecture=scaled,
        phi=None,
        depth=depth,
        width=width,
        resolution=scaled.image_size / architecture.image_size,
        nominal=depth * width**2 * resolution**2,
    )


def by_factors(
    architecture: Architecture, depth: float, width: float, resolution: float, name: str | None = None
) -> Architecture:
    """The network of three factors, or the FieldError of whatever forbids it."""
    image_size = round(architecture.image_size * resolution)
    return scale_architecture(architecture, depth=depth, width=width, image_size=image_size, name=name)


def by_one(architecture: Architecture, dimension: str, factor: float) -> Architecture:
    """The network of one factor: ``depth``, ``width`` or ``resolution``."""
    depth, width, resolution = (
        factor if dimension == own else 1.0 for own in ("depth", "width", "resolution")
    )
    return by_factors(architecture, depth, width, resolution)


def _nearest_factor(architecture: Architecture, factors: dict[str, float], error: FieldError) -> FieldError:
    """The error in the user's terms: which factor is at fault, and the nearest that can be built."""
    at_fault = FACTOR_OF_FIELD.get(error.path, "resolution")
    value = factors[at_fault]
    steps = round(abs(value - 1.0) * STEPS) + 1
    sign = 1 if value > 1 else -1

    def holds(index: int) -> bool:
        return is_built(lambda: by_one(architecture, at_fault, 1.0 + sign * index / STEPS))

    nearest = 1.0 + sign * last_index(holds, steps) / STEPS
    return FieldError(
        at_fault,
        f"of {short(value)} gives a network that cannot be built: {error}; "
        f"the {'largest' if value > 1 else 'smallest'} {at_fault} that can be built is {nearest:g}",
    )


def efficientnet_family(architecture: Architecture, *, as_far_as_built: bool = False) -> list[ScaledNetwork]:
    """The published factors of B0 to B7 on any baseline.

    On a baseline of another resolution than 224 the family's resolutions are the table's divided by 224,
    times the baseline's, rounded to a pixel.

    Args:
        architecture: the baseline.
        as_far_as_built: end with the largest member that can be built, instead of refusing.

    Raises:
        FieldError: a member would be too large to describe; with the largest that can be built.
    """
    members: list[ScaledNetwork] = []
    base = architecture.name.removesuffix("_b0")
    for member, factors in EFFICIENTNET_FAMILY.items():
        try:
            scaled = scale_architecture(
                architecture,
                depth=factors.depth,
                width=factors.width,
                image_size=round(factors.image_size / TABLE_RESOLUTION * architecture.image_size),
                dropout=factors.dropout,
                name=f"{base}_{member}",
            )
        except FieldError as error:
            if members and as_far_as_built:
                break
            largest = f"; the largest that can be built is {list(EFFICIENTNET_FAMILY)[len(members) - 1]}"
            rule = f"of the published family cannot be built: {error}{largest if members else ''}"
            raise FieldError(member, rule) from None
        resolution = scaled.image_size / architecture.image_size
        members.append(
            ScaledNetwork(
                architecture=scaled,
                phi=None,
                depth=factors.depth,
                width=factors.width,
                resolution=resolution,
                nominal=factors.depth * factors.width**2 * resolution**2,
            )
        )
    return members


def factor_warning(alpha: float, beta: float, gamma: float) -> str | None:
    """One line where alpha * beta^2 * gamma^2 is more than 0.2 away from 2; None otherwise.

    It says by how much MACs multiply with each phi, and which value of one coefficient alone gives 2; where
    none does, which three do that lie in the same direction.

    Raises:
        FieldError: a coefficient is out of range.
    """
    check_coefficients(alpha, beta, gamma)
    factor = scale_factor(alpha, beta, gamma)
    if abs(factor - 2) <= FAR_FROM_TWO + 1e-9:
        return None
    alone = {
        "alpha": 2 / (beta**2 * gamma**2),
        "beta": math.sqrt(2 / (alpha * gamma**2)),
        "gamma": math.sqrt(2 / (alpha * beta**2)),
    }
    possible = [f"{name} {value:.4g}" for name, value in alone.items() if value >= 1]
    if possible:
        *first, last = possible
        fix = f"{', '.join(first)} or {last}" if first else last
        fix += " alone would give 2"
    else:
        power = math.log(2) / math.log(factor)
        nearer = [value**power for value in (alpha, beta, gamma)]
        fix = "none alone can mend it; alpha {:.4g}, beta {:.4g}, gamma {:.4g} would give 2".format(*nearer)
    return (
        f"alpha * beta^2 * gamma^2 is {factor:.4g} and not near 2: "
        f"each phi multiplies MACs by {factor:.4g}, but for rounding; {fix}"
    )


def rounding_note(
    base: Architecture, member: ScaledNetwork, num_classes: int = 1000, in_channels: int = 3
) -> str | None:
    """One line where a member's true MACs are more than a quarter over the nominal; None otherwise.

    Each dimension is scaled alone by the member's own factor: those whose MACs exceed what the formula says
    are named, with both factors.

    Args:
        base: the baseline.
        member: scaled from `base`.
        num_classes, in_channels: of both, for MACs.
    """

    def macs(network: Architecture) -> int:
        return cost(network, num_classes, in_channels).macs

    scaled, own = member.architecture, macs(base)
    true = macs(scaled) / own
    if true <= FAR_OVER_NOMINAL * member.nominal:
        return None
    pairs = list(zip(base.stages, scaled.stages, strict=True))
    layers = "the added layers cost more than a stage's first"
    if any(new.repeats > round(old.repeats * member.depth, 10) for old, new in pairs):
        layers = "layers round up"
    one_layer = [new.repeats for old, new in pairs if old.repeats == 1 and new.repeats > max(1, member.depth)]
    if one_layer:
        layers += f", one layer becomes {one_layer[0]} in {len(one_layer)} of {len(pairs)} stages"
    dimensions = [
        (layers, "depth", member.depth, member.depth),
        ("widths round to multiples of 8", "width", member.width, member.width**2),
        ("sides of feature maps round up", "resolution", member.resolution, member.resolution**2),
    ]
    found = []
    for words, dimension, factor, nominal in dimensions:
        alone = macs(by_one(base, dimension, factor)) / own
        found.append((alone / nominal, f"{words} (x {alone:.2f} instead of {nominal:.2f})"))
    reasons = [text for excess, text in found if excess > 1.05] or [max(found)[1]]
    return (
        f"{scaled.name} takes {true:.2f} x the baseline's MACs where its factors say "
        f"{member.nominal:.2f}: {'; '.join(reasons)}"
    )
