"""Which scaled networks ``nas scale`` gives, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.console import out
from nas.lookup import Found
from nas.scaling import (
    ALPHA,
    BETA,
    GAMMA,
    LARGEST_PHI,
    ScaledNetwork,
    efficientnet_family,
    scale_dimensions,
    short,
)
from nas.scaling_limits import family_under, over_limits
from results import file_stem, write_whole
from results.fronts import Limit
from search_space import Architecture, FieldError, InputError, Limits, load_architecture
from search_space.fields import check_float

LIMITED = ("macs", "params", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Networks scaled from one.

    Attributes:
        members: in their order.
        coefficients: alpha, beta and gamma of the formula; None for published or given factors.
        given: whether it is one network by given factors.
    """

    members: list[ScaledNetwork]
    coefficients: tuple[float, float, float] | None = None
    given: bool = False


def parse_limits(given: Sequence[str]) -> Limits:
    """``macs<=600e6`` and the like.

    Raises:
        InputError: no comparison, another column, a lower bound, or one twice.
    """
    bounds: dict[str, float] = {}
    for text in given:
        limit = Limit.parse(text)
        if limit.name not in LIMITED:
            raise InputError(f"--limit {text!r}: must bound {', '.join(LIMITED)}, got {limit.name!r}")
        if limit.comparison not in ("<", "<="):
            raise InputError(
                f"--limit {text!r}: must be an upper bound, such as {limit.name}<={limit.bound:g}"
            )
        if limit.name in bounds:
            raise InputError(f"--limit bounds {limit.name} twice")
        if limit.bound < 1:
            raise InputError(f"--limit {text!r}: must be at least 1")
        bounds[limit.name] = limit.bound
    return Limits(**bounds)


def check_phis(phis: Sequence[float]) -> None:
    """Refuse what `family_under` would, before anything is trained.

    Raises:
        FieldError: one is out of range, or given twice.
    """
    for index, phi in enumerate(phis):
        check_float("phi", phi, 0.0, LARGEST_PHI)
        if phi in phis[:index]:
            raise FieldError("phi", f"of {short(phi)} is given twice")


def formula_family(
    base: Architecture,
    phis: Sequence[float] | None,
    coefficients: tuple[float | None, float | None, float | None],
    limits: Limits,
    num_classes: int,
    in_channels: int,
) -> Family:
    """The members of the formula; without coefficients the paper's, see `family_under`."""
    defaults = (ALPHA, BETA, GAMMA)
    alpha, beta, gamma = (
        default if given is None else given for given, default in zip(coefficients, defaults, strict=True)
    )
    members = family_under(base, phis, limits, alpha, beta, gamma, num_classes, in_channels)
    return Family(members=members, coefficients=(alpha, beta, gamma))


def published_family(base: Architecture, limits: Limits, num_classes: int, in_channels: int) -> Family:
    """The published factors of B0 to B7 as far as they keep to the limits.

    Raises:
        InputError: not even the first does.
    """
    members = efficientnet_family(base, as_far_as_built=bool(limits.given()))
    fit = [m for m in members if over_limits(m.architecture, limits, num_classes, in_channels) is None]
    if not fit:
        over = over_limits(members[0].architecture, limits, num_classes, in_channels)
        raise InputError(
            f"no member of the family fits: the smallest, {members[0].architecture.name}, {over}"
        )
    return Family(members=fit)


def by_factors(
    base: Architecture,
    factors: tuple[float | None, float | None, float | None],
    limits: Limits,
    num_classes: int,
    in_channels: int,
) -> Family:
    """One network by depth, width and resolution; those not given stay.

    Raises:
        InputError: it breaks a limit.
        FieldError: see `scale_dimensions`.
    """
    depth, width, resolution = (1.0 if factor is None else factor for factor in factors)
    member = scale_dimensions(base, depth, width, resolution)
    over = over_limits(member.architecture, limits, num_classes, in_channels)
    if over is not None:
        raise InputError(f"{member.architecture.name} {over}; take smaller factors")
    return Family(members=[member], given=True)


def write_members(
    found: Found, family: Family, folder: Path, num_classes: int, in_channels: int, *, weights: bool
) -> list[str]:
    """Write every member as YAML, and where wanted its starting weights.

    Returns:
        A line for each member on the weights that it takes over.

    Raises:
        InputError: a file cannot be written; see `write_transferred`.
    """
    said = []
    for member in family.members:
        network = member.architecture
        stem = file_stem(network.name)
        _refuse_another(folder / f"{stem}.yaml", network)
        write_whole(folder / f"{stem}.yaml", network.save)
        if weights:
            from nas.weights import NothingAgreesError, write_transferred

            assert found.weights is not None
            try:
                transferred = write_transferred(
                    found.weights,
                    network,
                    folder / f"{stem}.safetensors",
                    num_classes=num_classes,
                    in_channels=in_channels,
                    source=found.architecture,
                )
                said.append(f"{network.name}: {transferred.summary}")
            except NothingAgreesError:
                said.append(f"{network.name}: no layer has the baseline's shape; no weights are written")
    return said


def _refuse_another(path: Path, network: Architecture) -> None:
    """Keep two families that name their members alike out of one folder.

    Raises:
        InputError: the file holds another network.
    """
    if path.is_file():
        try:
            same = load_architecture(path).key == network.key
        except InputError:
            same = False
        if not same:
            raise InputError(f"{path}: holds another network of that name; choose another folder with -o")


def print_written(family: Family, folder: Path, said: Sequence[str]) -> None:
    """Tell what was written."""
    for line in said:
        out.print(line, soft_wrap=True)
    number = len(family.members)
    out.print(f"wrote {number} architecture{'s' * (number > 1)} to {folder}", soft_wrap=True)
