"""A network shaped as EfficientNet-B0 that costs as much as another one.

B0 is fitted into the search's space as a baseline is (`search_space.adaptation`), and then scaled in width;
where channels in steps of 8 miss the wanted multiply-adds, in depth too, and for the smallest networks in
finer steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from search_space import (
    REFERENCES,
    Architecture,
    SearchSpace,
    adapt_to_space,
    cost,
    round_repeats,
    scale_architecture,
)

NEAR = 0.03  # of the MACs: so near needs no other depth
_WIDTHS = np.geomspace(0.3, 3.0, 160)  # times the width that formulas give
_DIVISORS = (8, 4, 2, 1)  # of channels
_DEPTHS = np.round(np.arange(0.25, 3.001, 0.05), 2)
_THINNEST = 0.001  # gives every width as many channels as the divisor
_NAME = "efficientnet_b0"


class Shape(NamedTuple):
    """B0's shape at a cost.

    Attributes:
        architecture: the network.
        note: how it was scaled, and by how much its MACs differ, in words.
    """

    architecture: Architecture
    note: str


def is_b0_shaped(architecture: Architecture) -> bool:
    """Whether its stages have B0's operators, kernels, expansions and squeeze-and-excitation."""
    return _pattern(architecture) == _pattern(REFERENCES[_NAME]())


def _pattern(architecture: Architecture) -> list[tuple[object, ...]]:
    return [(s.op, s.kernel, s.expansion, s.se_ratio, s.skip) for s in architecture.stages]


def matched_b0(
    space: SearchSpace,
    other: Architecture,
    baselines: Sequence[Architecture],
    num_classes: int,
    in_channels: int,
) -> Shape:
    """B0's shape at the multiply-adds of a network.

    Args:
        space: whose strides it gets.
        other: the network; image size, dropout and stochastic depth are its own, too.
        baselines: networks of B0's shape at that size, of which the nearest is taken where it is near enough.
        num_classes, in_channels: of the networks.
    """
    target = cost(other, num_classes, in_channels).macs

    def off(network: Architecture) -> float:
        return cost(network, num_classes, in_channels).macs / target - 1.0

    near = sorted(((abs(off(network)), place) for place, network in enumerate(baselines)))
    if near and near[0][0] <= NEAR:
        network = baselines[near[0][1]]
        return Shape(network, f"the search's own baseline; {_off(off(network))}")
    base = replace(
        adapt_to_space(REFERENCES[_NAME](), space).architecture,
        dropout=other.dropout,
        drop_path=other.drop_path,
    )
    best, missed = base, float("inf")
    made = (1.0, 1.0, 8)  # width, depth, divisor
    for divisor, depth in _ways(base):
        for width, network in _widened(base, other, depth, divisor, target, (num_classes, in_channels)):
            its = abs(off(network))
            if its < missed:
                best, missed, made = network, its, (width, depth, divisor)
        if missed <= NEAR:
            break
    width, depth, divisor = made
    thin = f"every width {divisor}" if width == _THINNEST else f"width x {width:.3g}"
    scaled = f"B0 with {thin}" + ("" if depth == 1.0 else f", depth x {depth:g}")
    scaled += "" if divisor == 8 or width == _THINNEST else f", channels in steps of {divisor}"
    return Shape(best.renamed(f"{_NAME}-scaled"), f"{scaled}; {_off(off(best))}")


def _off(share: float) -> str:
    """By how much MACs differ, in words."""
    return f"MACs {100 * abs(share):.1f} % {'above' if share >= 0 else 'below'} the recommended network's"


def _ways(base: Architecture) -> Iterator[tuple[int, float]]:
    """Steps of channels with factors that give different layers: coarse steps first, and few other layers."""
    layers = sum(stage.repeats for stage in base.stages)
    depths: dict[tuple[int, ...], float] = {}
    for depth in sorted(_DEPTHS.tolist(), key=lambda d: (abs(np.log(d)), d)):
        depths.setdefault(tuple(round_repeats(stage.repeats * depth) for stage in base.stages), depth)
    ordered = sorted(depths, key=lambda repeats: abs(sum(repeats) - layers))  # layers round up
    for divisor in _DIVISORS:
        for repeats in ordered:
            yield divisor, depths[repeats]


def _widened(
    base: Architecture,
    other: Architecture,
    depth: float,
    divisor: int,
    target: int,
    sizes: tuple[int, int],
) -> Iterator[tuple[float, Architecture]]:
    """Widths around the one whose square makes up for the difference in MACs, and their networks.

    Args:
        base: what is scaled.
        other: whose image size they get.
        depth, divisor: of them.
        target: MACs.
        sizes: classes and channels.
    """

    def scaled(width: float) -> Architecture:
        return scale_architecture(
            base, depth=depth, width=width, image_size=other.image_size, divisor=divisor
        )

    centre = float((target / cost(scaled(1.0), *sizes).macs) ** 0.5)
    thinnest = scaled(_THINNEST)  # as many channels as the divisor, everywhere
    if cost(thinnest, *sizes).macs > target:
        yield _THINNEST, thinnest
        return
    seen = set()
    for width in (centre * _WIDTHS).tolist():
        network = scaled(width)
        if network.key not in seen:
            seen.add(network.key)
            yield width, network
