"""What the papers print of scaled networks, beside what comes out by the published rounding rules.

    python -m benchmarks.compound_scaling

Arithmetic only, in seconds. Printed numbers are of arXiv 1905.11946 (version 5): B0 to B7 of table 2, B0 by
each dimension of table 7, MobileNets and ResNet-50 of table 3; G are 10^9 multiply-adds, which the paper
calls FLOPS. Nothing is bent to fit: rows that differ by more than a tenth are marked, and the last tables say
what would print the paper's number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from nas.scaling import (
    ALPHA,
    BETA,
    GAMMA,
    ScaledNetwork,
    compound_scale,
    efficientnet_family,
    scale_dimensions,
)
from results.published import PublishedScaling, published_models, published_scaled
from search_space import EFFICIENTNET_FAMILY, Architecture, cost, load_architecture, round_repeats

Factors = tuple[float, float, float]  # depth, width, resolution
BASELINE: Factors = (1.0, 1.0, 1.0)
COMPOUND: Factors = (1.4, 1.2, 1.3)
OFF = 0.1  # further than this from the printed number is marked


class Printed(NamedTuple):
    """One line of table 2: millions of parameters, G MACs."""

    params: float
    macs: float


class Row(NamedTuple):
    """One line of table 3 or 7: a network, its factors, the printed G MACs; `assumed` are not printed."""

    network: str
    factors: Factors
    macs: float
    assumed: bool = False

    def member(self) -> ScaledNetwork:
        """The network by our rules."""
        return scale_dimensions(load_architecture(self.network), *self.factors)

    def true(self) -> float:
        """Its MACs, G."""
        return giga(self.member().architecture)


def _printed_row(row: PublishedScaling) -> Row:
    """A printed row, with assumed factors where it has none."""
    if row.depth is None or row.width is None or row.resolution is None:
        return Row(row.baseline, COMPOUND, row.macs / 1e9, assumed=True)
    return Row(row.baseline, (row.depth, row.width, row.resolution), row.macs / 1e9)


FAMILY = {
    model.name[-2:].lower(): Printed(model.params / 1e6, (model.macs or 0) / 1e9)
    for model in published_models("v5")
    if model.efficientnet
}
# B0, of table 7, first
SCALED = tuple(map(_printed_row, sorted(published_scaled(), key=lambda row: row.table != 7)))
# what the two rows without printed coefficients might have been, besides what `printing_both` finds
GUESSES: tuple[Factors, ...] = (COMPOUND, (ALPHA**2, BETA**2, GAMMA**2), (1.3, 1.2, 1.3), (1.4, 1.2, 1.25))


def giga(architecture: Architecture) -> float:
    """Multiply-adds of one image of 1000 classes, in 10^9."""
    return cost(architecture).macs / 1e9


def mark(ratio: float) -> str:
    """A star for what is further off than a tenth."""
    return "*" if abs(ratio - 1) > OFF else ""


def said(factors: Factors) -> str:
    """``d 1.4 w 1.2 r 1.3``, ones left out."""
    parts = [f"{name} {value:.3g}" for name, value in zip("dwr", factors, strict=True) if value != 1]
    return " ".join(parts) or "as it is"


def print_family() -> None:
    """Table 2: parameters and MACs of B0 to B7."""
    print("EfficientNet-B0 to B7, published factors (table 2)\n")
    print(f"{'':4} {'params M':>9} {'paper':>6} {'ratio':>6}   {'MACs G':>8} {'paper':>6} {'ratio':>6}")
    for member, printed in zip(
        efficientnet_family(load_architecture("efficientnet_b0")), FAMILY.items(), strict=True
    ):
        name, (params_printed, macs_printed) = printed
        macs, params = cost(member.architecture)
        ratios = params / 1e6 / params_printed, macs / 1e9 / macs_printed
        marks = mark(ratios[0]) or mark(ratios[1])
        print(
            f"{name:4} {params / 1e6:9.3f} {params_printed:6g} {ratios[0]:6.3f}   "
            f"{macs / 1e9:8.4f} {macs_printed:6g} {ratios[1]:6.3f} {marks}"
        )


def print_columns() -> None:
    """The table beside the formula: the phi that each column of a member would need."""
    print("\nThe table is not the formula: phi that each column would need, with 1.2, 1.1 and 1.15\n")
    heads = f"{'':4} {'depth':>5} {'phi':>5}   {'width':>5} {'phi':>5}   {'size':>4} {'phi':>5}"
    print(f"{heads}   formula at phi = number")
    b0 = load_architecture("efficientnet_b0")
    for number, (name, factors) in enumerate(EFFICIENTNET_FAMILY.items()):
        phis = [
            math.log(value) / math.log(base)
            for value, base in (
                (factors.depth, ALPHA),
                (factors.width, BETA),
                (factors.image_size / b0.image_size, GAMMA),
            )
        ]
        member = compound_scale(b0, float(number))
        print(
            f"{name:4} {factors.depth:5g} {phis[0]:5.2f}   {factors.width:5g} {phis[1]:5.2f}   "
            f"{factors.image_size:4} {phis[2]:5.2f}   d {member.depth:4.2f} w {member.width:4.2f} "
            f"{member.architecture.image_size} px, {giga(member.architecture):.2f} G"
        )


def print_scaled() -> None:
    """Tables 3 and 7: true MACs, nominal factor, the printed number."""
    print("\nOne dimension and compound (tables 3 and 7); ? the paper does not print the coefficients\n")
    heads = f"{'network':16} {'factors':19} {'MACs G':>8} {'x base':>7}"
    print(f"{heads} {'nominal':>7}   {'paper':>5} {'ratio':>6}")
    for row in SCALED:
        member, true = row.member(), row.true()
        ratio, base = true / row.macs, giga(load_architecture(row.network))
        factors = said(row.factors) + (" ?" if row.assumed else "")
        print(
            f"{row.network:16} {factors:19} {true:8.4f} {true / base:7.2f} {member.nominal:7.2f}   "
            f"{row.macs:5g} {ratio:6.3f} {mark(ratio)}"
        )


def interval(row: Row, dimension: int) -> tuple[float, float] | None:
    """The factors, to 0.01, of one dimension whose MACs would be printed as the paper's number."""
    base = load_architecture(row.network)
    found = []
    for hundredths in range(100, 601):
        factors = [1.0, 1.0, 1.0]
        factors[dimension] = hundredths / 100
        if abs(giga(scale_dimensions(base, *factors).architecture) - row.macs) <= 0.05:
            found.append(hundredths / 100)
    return (found[0], found[-1]) if found else None


def print_intervals() -> None:
    """For the rows of B0 by one dimension: which factor would print the paper's number."""
    print("\nB0 by one dimension: the factors that would be printed as the paper's number\n")
    for dimension, row in enumerate(SCALED[1:4]):
        found = interval(row, dimension)
        what = "none" if found is None else f"{found[0]:.2f} to {found[1]:.2f}"
        print(f"{said(row.factors):4} {row.macs:g} G: {'dwr'[dimension]} from {what}")
    base = giga(load_architecture("efficientnet_b0"))
    print(
        f"r 2 takes 4 x {base:.4f} = {4 * base:.2f} G under any rounding of layers and widths; "
        f"1.9 G would need a baseline of {1.85 / 4:.2f} to {1.95 / 4:.2f} G"
    )


def print_exchanged() -> None:
    """ResNet-50's depth and width rows, as printed and exchanged."""
    deep, wide = (next(row for row in SCALED if row[:2] == ("resnet_50", f)) for f in ((4, 1, 1), (1, 2, 1)))
    print("\nResNet-50's rows of depth and width\n")
    for what, depth_macs, width_macs in (
        ("as printed", deep.macs, wide.macs),
        ("exchanged", wide.macs, deep.macs),
    ):
        print(f"{what:10} d 4 {deep.true() / depth_macs:.3f}   w 2 {wide.true() / width_macs:.3f}")


def printing_both(rows: list[Row]) -> list[Factors]:
    """Coefficients in tenths (depth to 3, width and resolution to 1.8) that print every row."""
    found = []
    for tenths in itertools.product(range(11, 31), range(11, 19), range(11, 19)):
        factors = (tenths[0] / 10, tenths[1] / 10, tenths[2] / 10)
        if all(abs(row._replace(factors=factors).true() - row.macs) <= 0.05 for row in rows):
            found.append(factors)
    return found


def print_guesses() -> None:
    """The two compound rows without coefficients, under several."""
    rows = [row for row in SCALED if row.assumed]
    both = printing_both(rows)
    print("\nCompound rows without printed coefficients: G MACs under several\n")
    heads = " ".join(f"{f'{row.network} ({row.macs:g})':>20}" for row in rows)
    print(f"{'factors':22} {'nominal':>7} {heads}")
    for factors in (*GUESSES, *both):
        trues = [row._replace(factors=factors).true() for row in rows]
        nominal = factors[0] * factors[1] ** 2 * factors[2] ** 2
        print(f"{said(factors):22} {nominal:7.2f} {' '.join(f'{true:20.2f}' for true in trues)}")
    print(f"in tenths, one triple for both rows: {' or '.join(said(factors) for factors in both) or 'none'}")


def by_other_rules(
    architecture: Architecture,
    factors: Factors,
    layers: Callable[[float], int] = round_repeats,
    keep_one_layer: bool = False,
    round_widths: bool = True,
    widen_ends: bool = True,
) -> Architecture:
    """A network scaled by other rules than the published ones, to see what they would give.

    Args:
        architecture: the baseline.
        factors: depth, width, resolution.
        layers: how a stage's layers become a whole number.
        keep_one_layer: leave stages of one layer as they are.
        round_widths: to multiples of 8; otherwise to whole channels.
        widen_ends: scale stem and head too.
    """
    depth, width, _ = factors
    scaled = scale_dimensions(architecture, *factors).architecture
    stages = []
    for old, new in zip(architecture.stages, scaled.stages, strict=True):
        repeats = 1 if keep_one_layer and old.repeats == 1 else max(1, layers(old.repeats * depth))
        channels = new.channels if round_widths else round(old.channels * width)
        stages.append(replace(new, repeats=repeats, channels=channels))
    stem, head = scaled.stem, scaled.head
    if not widen_ends:
        stem, head = architecture.stem, architecture.head
    elif not round_widths:
        stem = replace(stem, channels=round(architecture.stem.channels * width))
        head = replace(head, channels=round(architecture.head.channels * width))
    return replace(scaled, stages=tuple(stages), stem=stem, head=head)


def print_rules() -> None:
    """Every scaled row under other rules of rounding."""
    print("\nOther rounding rules than the published ones: G MACs, ratio to the paper's number\n")
    rules: dict[str, Callable[[Row], Architecture]] = {
        "published": lambda row: row.member().architecture,
        "nearest layers": lambda row: by_other_rules(
            load_architecture(row.network), row.factors, layers=round
        ),
        "one layer stays": lambda row: by_other_rules(
            load_architecture(row.network), row.factors, keep_one_layer=True
        ),
        "any width": lambda row: by_other_rules(
            load_architecture(row.network), row.factors, round_widths=False
        ),
        "stem, head as is": lambda row: by_other_rules(
            load_architecture(row.network), row.factors, widen_ends=False
        ),
    }
    print(f"{'network':16} {'factors':17} {'paper':>5} " + " ".join(f"{name:>17}" for name in rules))
    for row in SCALED:
        if row.factors == BASELINE:
            continue
        trues = [giga(rule(row)) for rule in rules.values()]
        cells = " ".join(f"{f'{true:.3f} ({true / row.macs:.2f})':>17}" for true in trues)
        print(f"{row.network:16} {said(row.factors):17} {row.macs:5g} {cells}")


def main() -> None:
    """All tables."""
    print_family()
    print_columns()
    print_scaled()
    print_intervals()
    print_exchanged()
    print_guesses()
    print_rules()


if __name__ == "__main__":
    main()
