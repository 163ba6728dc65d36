"""The section ``audit`` of a configuration: which protocols are compared, on how many networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from search_space import FieldError
from search_space.fields import as_floats, check_float, check_int, check_mapping
from trainers import ProxyProtocol

LONGER = 5  # times the epochs of the search's protocol, where the section names no reference
OWN, REFERENCE = "protocol", "reference"


class Variant(NamedTuple):
    """A protocol of an audit.

    Attributes:
        name: ``protocol`` (the search's own), ``reference``, or what is overridden (``epochs=1``).
        settings: what is overridden.
        protocol: with that in place.
        path: of the field in the configuration, for messages.
    """

    name: str
    settings: dict[str, Any]
    protocol: ProxyProtocol
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """How a proxy is audited.

    Attributes:
        architectures: networks to sample, stratified by MACs.
        seeds: trainings of each under each protocol.
        reference: overrides of `protocol`: the longer training that the proxy stands for; None is five times
            the epochs.
        reference_seeds: trainings of each under the reference.
        protocols: further protocols to compare, as overrides of `protocol`.
        target: Kendall's tau that a protocol must reach.
    """

    architectures: int = 24
    seeds: int = 2
    reference: Mapping[str, Any] | None = None
    reference_seeds: int = 1
    protocols: tuple[Mapping[str, Any], ...] = ()
    target: float = 0.7

    def __post_init__(self) -> None:
        check_int("architectures", self.architectures, 4, 2000)
        check_int("seeds", self.seeds, 1, 100)
        check_int("reference_seeds", self.reference_seeds, 1, 100)
        check_float("target", self.target, 0.01, 1.0)
        as_floats(self, "target")
        if not isinstance(self.protocols, list | tuple):
            raise FieldError("protocols", f"must be a list of overrides of protocol, got {self.protocols!r}")
        object.__setattr__(self, "protocols", tuple(self.protocols))
        if self.reference is not None:
            _check_overrides("reference", self.reference)
        for number, overrides in enumerate(self.protocols):
            _check_overrides(f"protocols[{number}]", overrides)

    @property
    def trainings(self) -> int:
        """Of all networks under all protocols."""
        return self.architectures * ((1 + len(self.protocols)) * self.seeds + self.reference_seeds)

    def filled(self, own: ProxyProtocol) -> AuditSettings:
        """The same with the reference written out."""
        longer = {"epochs": LONGER * own.epochs}
        return replace(self, reference=longer) if self.reference is None else self

    def variants(self, own: ProxyProtocol) -> list[Variant]:
        """Every protocol of the audit: the search's own, those to compare, and the reference, which is last.

        Args:
            own: the search's.

        Raises:
            FieldError: an override breaks a rule, or two protocols are the same training; the path begins
                with ``audit``.
        """
        given = [(f"audit.protocols[{i}]", dict(overrides)) for i, overrides in enumerate(self.protocols)]
        given.append(("audit.reference", dict(self.filled(own).reference or {})))
        variants = [Variant(OWN, {}, own, OWN)]
        for path, overrides in given:
            protocol = _overridden(path, own, overrides)
            for other in variants:
                if other.protocol == protocol:
                    raise FieldError(path, f"must differ from {other.path}, and is the same training")
            name = ", ".join(f"{key}={value}" for key, value in overrides.items())
            variants.append(Variant(name, overrides, protocol, path))
        variants[-1] = variants[-1]._replace(name=REFERENCE)
        return variants


def _check_overrides(path: str, overrides: object) -> None:
    known = [field.name for field in fields(ProxyProtocol)]
    if not check_mapping(path, overrides, known):
        raise FieldError(path, "must override something of protocol, such as {epochs: 1}")


def _overridden(path: str, own: ProxyProtocol, overrides: Mapping[str, Any]) -> ProxyProtocol:
    try:
        return replace(own, **overrides)
    except FieldError as error:
        raise error.under(path) from None
