"""What an audit trains: which networks, under which protocols, with which seeds."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nas.audit_config import OWN, REFERENCE, AuditSettings, Variant
from nas.search import measured_by
from results import NewTrial
from search_space import Indices, InputError, StageSpace, cost
from trainers import Evaluator, ProxyProtocol
from trainers.proxy import ProxyEvaluator

DRAW = 4096  # networks among which strata are cut
ROUNDS = 16  # draws of as many points, where limits or the space leave few


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One protocol of an audit, ready to train.

    Attributes:
        variant: what it is.
        seeds: of its trainings.
        evaluator: trains under it.
    """

    variant: Variant
    seeds: tuple[int, ...]
    evaluator: Evaluator


def parts_of(
    settings: AuditSettings,
    own: ProxyProtocol,
    seed: int,
    evaluator_of: Callable[[ProxyProtocol], Evaluator],
) -> list[Part]:
    """The protocols in the order in which they are trained: few epochs first, the reference last.

    The first seed of a protocol is the search's. Those of the reference are others: networks that begin
    with the same weights would agree by that alone.

    Args:
        settings: of the audit.
        own: the search's protocol.
        seed: the search's.
        evaluator_of: what trains under a protocol.

    Raises:
        InputError: a protocol does not fit the data or the networks.
    """
    drawn = [s for s in random.Random(seed).sample(range(2**31), 300) if s != seed]
    others, rest = drawn[: settings.seeds - 1], drawn[settings.seeds - 1 :]
    parts: list[Part] = []
    for variant in settings.variants(own):
        try:
            evaluator = evaluator_of(variant.protocol)
        except InputError as error:
            raise InputError(str(error) if variant.name == OWN else f"{variant.path}: {error}") from None
        seeds = rest[: settings.reference_seeds] if variant.name == REFERENCE else [seed, *others]
        parts.append(Part(variant=variant, seeds=tuple(seeds), evaluator=_shared(evaluator, parts)))
    return sorted(parts, key=lambda part: (part.variant.name == REFERENCE, part.variant.protocol.epochs))


def _shared(evaluator: Evaluator, parts: Sequence[Part]) -> Evaluator:
    """The same evaluator, with the images of an earlier one where they are equal: they take memory."""
    for part in parts:
        other = part.evaluator
        if (
            isinstance(evaluator, ProxyEvaluator)
            and isinstance(other, ProxyEvaluator)
            and evaluator.data.fingerprint == other.data.fingerprint
        ):
            return replace(evaluator, data=other.data)
    return evaluator


def fingerprint_of(parts: Sequence[Part]) -> str:
    """What identifies the measurements of all protocols together."""
    return hashlib.sha256("\n".join(part.evaluator.fingerprint for part in parts).encode()).hexdigest()


def rows_of(parts: Sequence[Part], space: StageSpace, points: Sequence[Indices]) -> list[NewTrial]:
    """Every training of an audit: protocol after protocol, seed after seed.

    Args:
        parts: the protocols.
        space: where the networks come from.
        points: the networks, as indices.
    """
    names = [decision.name for decision in space.decisions]
    rows = []
    for part in parts:
        for seed in part.seeds:
            for indices in points:
                architecture = space.decode(indices)
                costs = cost(architecture, part.evaluator.num_classes, part.evaluator.in_channels)
                rows.append(
                    NewTrial(
                        key=architecture.key,
                        protocol=measured_by(part.evaluator, architecture),
                        seed=seed,
                        choices=dict(zip(names, space.choices(indices), strict=True)),
                        architecture=architecture.to_dict(),
                        macs=costs.macs,
                        params=costs.params,
                    )
                )
    return rows


def sample(space: StageSpace, number: int, seed: int) -> list[Indices]:
    """Different networks of a space within its limits, spread over their MACs.

    Of some thousand random networks (or of all, where there are no more), sorted by MACs and cut into strata
    of equal size, one is drawn from each.

    Args:
        space: with limits, and the cost of what is trained.
        number: of networks.
        seed: of the draw.

    Returns:
        By rising MACs.

    Raises:
        InputError: too few networks are there, or were found.
    """
    rng = np.random.default_rng(seed)
    shape = [len(decision.choices) for decision in space.decisions]
    found: npt.NDArray[np.int64]
    if space.size <= DRAW:
        points = np.stack(np.unravel_index(np.arange(space.size), shape), axis=1)
        found = _distinct(space, points)
        holds = f"holds {len(found)} networks"
    else:
        found = np.empty((0, len(shape)), dtype=np.int64)
        for _ in range(ROUNDS):
            points = np.stack([rng.integers(choices, size=DRAW) for choices in shape], axis=1)
            found = np.unique(np.concatenate([found, _distinct(space, points)]), axis=0)
            if len(found) >= DRAW // 2:
                break
        holds = f"gave {len(found)} networks in {ROUNDS * DRAW:,} draws"
    if len(found) < number:
        limits = " within the limits" if space.limits.given() else ""
        raise InputError(f"audit.architectures asks for {number}, and {space.name!r} {holds}{limits}")
    macs = space.known_cost(found, "macs")
    assert macs is not None
    strata = np.array_split(found[np.argsort(macs, kind="stable")], number)
    return [tuple(int(i) for i in stratum[rng.integers(len(stratum))]) for stratum in strata]


def _distinct(space: StageSpace, points: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.unique(space.canonical(points[space.allowed(points)]), axis=0)
