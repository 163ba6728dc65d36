"""Compound scaling (arXiv 1905.11946, section 3.3): one network, a family of them.

Two things, named apart. The *formula* scales depth by alpha^phi, width by beta^phi and resolution by
gamma^phi, with alpha * beta^2 * gamma^2 near 2, so that MACs about double with each phi. The published
*family* B1-B7 is a table of factors, and the formula does not reproduce it: B7's depth is 3.1, and 1.2^7
is 3.58.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search_space import EFFICIENTNET_FAMILY, Architecture, FieldError, cost, scale_architecture
from search_space.fields import check_float

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15  # the paper's, found for B0 at phi = 1
TABLE_RESOLUTION = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledNetwork:
    """A member of a family.

    Attributes:
        architecture: the network.
        phi: the compound coefficient; None for a member of the published table.
        depth, width: factors over the baseline.
    """

    architecture: Architecture
    phi: float | None
    depth: float
    width: float

    def to_json(self, num_classes: int = 1000, in_channels: int = 3) -> dict[str, Any]:
        """The facts that ``--json`` prints."""
        macs, params = cost(self.architecture, num_classes, in_channels)
        return {
            "name": self.architecture.name,
            "phi": self.phi,
            "depth": round(self.depth, 6),
            "width": round(self.width, 6),
            "image_size": self.architecture.image_size,
            "dropout": self.architecture.dropout,
            "macs": macs,
            "params": params,
        }


def compound_scale(
    architecture: Architecture, phi: float, alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA
) -> ScaledNetwork:
    """The formula: depth alpha^phi, width beta^phi, resolution gamma^phi.

    Args:
        architecture: the baseline.
        phi: the compound coefficient, at least 0.
        alpha, beta, gamma: at least 1.

    Raises:
        FieldError: a coefficient is out of range, or the network would be too large to describe.
    """
    check_float("phi", phi, 0.0, 100.0)
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        check_float(name, value, 1.0, 10.0)
    depth, width = alpha**phi, beta**phi
    try:
        scaled = scale_architecture(
            architecture,
            depth=depth,
            width=width,
            image_size=round(architecture.image_size * gamma**phi),
            name=f"{architecture.name}-phi{phi:g}",
        )
    except FieldError as error:
        raise FieldError("phi", f"of {phi:g} gives a network that cannot be built: {error}") from None
    return ScaledNetwork(architecture=scaled, phi=phi, depth=depth, width=width)


def scale_factor(alpha: float, beta: float, gamma: float) -> float:
    """By what the formula multiplies MACs at phi = 1, but for rounding: alpha * beta^2 * gamma^2."""
    return alpha * beta**2 * gamma**2


def efficientnet_family(architecture: Architecture) -> list[ScaledNetwork]:
    """The published factors of B0 to B7 on any baseline.

    On a baseline of another resolution than 224 the family's resolutions are the table's divided by 224,
    times the baseline's, rounded to a pixel.
    """
    members = []
    for member, factors in EFFICIENTNET_FAMILY.items():
        size = round(factors.image_size / TABLE_RESOLUTION * architecture.image_size)
        base = architecture.name.removesuffix("_b0")
        members.append(
            ScaledNetwork(
                architecture=scale_architecture(
                    architecture,
                    depth=factors.depth,
                    width=factors.width,
                    image_size=size,
                    dropout=factors.dropout,
                    name=f"{base}_{member}",
                ),
                phi=None,
                depth=factors.depth,
                width=factors.width,
            )
        )
    return members
