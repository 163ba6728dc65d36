"""Families under limits: N(d, w, r) of arXiv 1905.11946, equation 2.

The paper asks for the largest factors whose network keeps to Memory(N) <= target memory and FLOPS(N) <=
target FLOPS; along the ray of the formula that is one number, the largest phi. FLOPS are MACs here, memory is
`search_space.memory`'s, parameters may be limited too, and all are those of the network as built, after
rounding: the nominal factor would break a limit by up to half.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from nas.scaling import (
    ALPHA,
    BETA,
    GAMMA,
    LARGEST_PHI,
    STEPS,
    ScaledNetwork,
    check_coefficients,
    compound_scale,
    formula,
    largest_buildable,
    last_index,
    short,
)
from results.wording import count
from search_space import Architecture, FieldError, InputError, Limits, cost, memory

WORDS = {"macs": "MACs", "params": "parameters", "memory": "of memory"}
USUAL_PHIS = tuple(float(phi) for phi in range(1, 8))


def costs_of(architecture: Architecture, num_classes: int = 1000, in_channels: int = 3) -> dict[str, int]:
    """What limits bound, by their names: MACs of one image, parameters, bytes of memory."""
    macs, params = cost(architecture, num_classes, in_channels)
    return {"macs": macs, "params": params, "memory": memory(architecture, num_classes, in_channels)}


def fits(architecture: Architecture, limits: Limits, num_classes: int = 1000, in_channels: int = 3) -> bool:
    """Whether a network keeps to every limit."""
    _check_arithmetic(limits)
    costs = costs_of(architecture, num_classes, in_channels)
    return all(costs[name] <= most for name, most in limits.given().items())


def _check_arithmetic(limits: Limits) -> None:
    """A family leaves the space and the image size to which a latency model was fitted."""
    if limits.latency_ms is not None:
        raise FieldError(
            "limits.latency_ms", "is for searches: a family is bounded in macs, params and memory"
        )


def over_limits(
    architecture: Architecture, limits: Limits, num_classes: int = 1000, in_channels: int = 3
) -> str | None:
    """What breaks a limit, such as ``takes 3.2 G MACs, over the limit of 2 G``; None where nothing does."""
    _check_arithmetic(limits)
    costs = costs_of(architecture, num_classes, in_channels)
    said = []
    for name, most in limits.given().items():
        if costs[name] > most:
            own, bound = count(costs[name]), count(most)
            if own == bound:  # too near for three digits
                own, bound = f"{costs[name]:,}", (f"{most:,.0f}" if most == int(most) else f"{most:,}")
            if name == "memory":
                own, bound = (f"{text}{'' if text[-1].isalpha() else ' '}B" for text in (own, bound))
            said.append(f"{own} {WORDS[name]}, over the limit of {bound}")
    return f"takes {', and '.join(said)}" if said else None


def largest_phi(
    architecture: Architecture,
    limits: Limits,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> ScaledNetwork:
    """The largest phi, floored to 0.001, whose network can be built and keeps to every limit.

    Costs are not monotone in phi, although layers, channels and sides are: where rounding makes the widths of
    two neighbours equal, a bottleneck loses its projection, and where it parts them, an mbconv loses the
    input that its skip keeps in memory. So phi is bracketed by the costs of the same network without skips,
    which are monotone and never larger, and then lowered from network to network until the true costs fit.

    Args:
        architecture: the baseline.
        limits: what the member may cost; without any, the largest member that can be built is given.
        alpha, beta, gamma: at least 1, and not all 1.
        num_classes, in_channels: of all members.

    Returns:
        The member, with its phi from 0 (the baseline itself) to 100.

    Raises:
        FieldError: a coefficient is out of range, or all are 1; a limit on latency.
        InputError: the baseline itself does not fit.
    """
    check_coefficients(alpha, beta, gamma)
    check_baseline(architecture, limits, num_classes, in_channels)
    check_growth(alpha, beta, gamma)

    def network(thousandths: int) -> Architecture:
        return formula(architecture, thousandths / STEPS, alpha, beta, gamma)

    def may_fit(thousandths: int) -> bool:
        return fits(without_skips(network(thousandths)), limits, num_classes, in_channels)

    found = last_index(may_fit, largest_buildable(architecture, alpha, beta, gamma) + 1)
    while found and not fits(candidate := network(found), limits, num_classes, in_channels):
        # on to the next smaller network: sizes are monotone, so that equal ones lie side by side
        found = bisect_left(range(1, found), True, key=lambda index: network(index) == candidate)
    return compound_scale(architecture, found / STEPS, alpha, beta, gamma)


def check_baseline(architecture: Architecture, limits: Limits, num_classes: int, in_channels: int) -> None:
    """The baseline must keep to the limits: no member of a family is smaller.

    Raises:
        InputError: it does not.
    """
    over = over_limits(architecture, limits, num_classes, in_channels)
    if over is not None:
        raise InputError(
            f"no phi fits: the baseline {architecture.name} itself {over}; raise the limit or start smaller"
        )


def check_growth(alpha: float, beta: float, gamma: float) -> None:
    """A larger phi must give a larger network.

    Raises:
        FieldError: all coefficients are 1.
    """
    if alpha == beta == gamma == 1:
        raise FieldError(
            "alpha, beta and gamma",
            "are all 1, so that no phi makes a larger network; one of them must be above 1 (the paper's are "
            f"{ALPHA:g}, {BETA:g} and {GAMMA:g})",
        )


def without_skips(architecture: Architecture) -> Architecture:
    """The same layers with nothing added to their outputs: costs that never fall when a size rises."""
    return replace(architecture, stages=tuple(replace(stage, skip="none") for stage in architecture.stages))


def family_under(
    architecture: Architecture,
    phis: Sequence[float] | None,
    limits: Limits,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> list[ScaledNetwork]:
    """The formula's members for a list of phi, all of which must fit; without a list, those that do.

    Args:
        architecture: the baseline.
        phis: the coefficients, each once; None for 1, 2, ... 7 as far as they fit and can be built, with the
            largest phi that does as the last member where that ends them before 7 (0, the baseline, where
            nothing larger fits).
        limits: what a member may cost.
        alpha, beta, gamma: at least 1.
        num_classes, in_channels: of all members.

    Raises:
        FieldError: a coefficient is out of range or given twice, or a member breaks a limit or cannot be
            built; then with the largest phi that would do.
        InputError: the baseline itself does not fit.
    """
    classes = {"num_classes": num_classes, "in_channels": in_channels}

    def largest() -> ScaledNetwork:
        return largest_phi(architecture, limits, alpha, beta, gamma, **classes)

    if phis is None:
        most = largest()
        fit = _those_that_fit(architecture, limits, (alpha, beta, gamma), classes)
        ended = len(fit) < len(USUAL_PHIS)
        if ended and most.architecture.key not in [member.architecture.key for member in fit]:
            fit.append(most)
        return fit
    members = []
    for index, phi in enumerate(phis):
        if phi in phis[:index]:
            raise FieldError("phi", f"of {short(phi)} is given twice")
        try:
            member = compound_scale(architecture, phi, alpha, beta, gamma)
        except FieldError as error:
            if error.path != "phi" or not 0 <= phi <= LARGEST_PHI or not limits.given():
                raise
            too = f", and the largest that fits the limits is {largest().phi:g}"
            raise FieldError("phi", error.rule + too) from None
        over = over_limits(member.architecture, limits, **classes)
        if over is not None:
            raise FieldError("phi", f"of {short(phi)} {over}; the largest phi that fits is {largest().phi:g}")
        members.append(member)
    return members


def _those_that_fit(
    architecture: Architecture,
    limits: Limits,
    coefficients: tuple[float, float, float],
    classes: dict[str, int],
) -> list[ScaledNetwork]:
    """The members for phi of 1, 2, ... 7 up to the first that cannot be built or breaks a limit."""
    members: list[ScaledNetwork] = []
    built = largest_buildable(architecture, *coefficients, USUAL_PHIS[-1]) / STEPS
    for phi in USUAL_PHIS:
        if phi > built:
            break
        member = compound_scale(architecture, phi, *coefficients)
        if not fits(member.architecture, limits, **classes):
            break
        members.append(member)
    return members
