"""The compound scaler: the published table and the formula, which are two things."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas import FieldError, compound_scale, cost, efficientnet_family, load_architecture, scale_dimensions
from nas.scaling import factor_warning, rounding_note, scale_factor
from search_space import (
    EFFICIENTNET_FAMILY,
    REFERENCES,
    Stage,
    round_channels,
    round_repeats,
    scale_architecture,
)
from tests.test_architecture import ARCHITECTURES, small


def test_the_family_of_b0_is_b0_to_b7() -> None:
    family = efficientnet_family(load_architecture("efficientnet_b0"))
    assert [m.architecture for m in family] == [
        load_architecture(f"efficientnet_b{number}") for number in range(8)
    ]
    assert [m.phi for m in family] == [None] * 8


def test_the_formula_does_not_reproduce_the_table() -> None:
    b0 = load_architecture("efficientnet_b0")
    seventh = compound_scale(b0, 7.0)
    assert seventh.depth == pytest.approx(3.583, abs=1e-3)
    assert EFFICIENTNET_FAMILY["b7"].depth == 3.1
    assert seventh.architecture.key != load_architecture("efficientnet_b7").key


def test_the_formula_at_phi_1_about_doubles_the_macs() -> None:
    b0 = load_architecture("efficientnet_b0")
    once = compound_scale(b0, 1.0, 1.2, 1.1, 1.15)
    assert once.architecture.image_size == 258  # 224 * 1.15 = 257.6
    assert [s.repeats for s in once.architecture.stages] == [2, 3, 3, 4, 4, 5, 2]
    assert 1.9 < cost(once.architecture).macs / cost(b0).macs < 2.7
    assert compound_scale(b0, 0.0).architecture.key == b0.key


def test_a_family_on_another_resolution_scales_it_in_proportion() -> None:
    sizes = [m.architecture.image_size for m in efficientnet_family(small(image_size=32))]
    assert sizes == [32, 34, 37, 43, 54, 65, 75, 86]
    assert [m.architecture.dropout for m in efficientnet_family(small())] == [
        0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [(32 * 1.1, 32), (16 * 1.2, 24), (80 * 1.1, 88), (3.0, 8), (28.8, 32), (12.0, 16)],
)
def test_channels_round_as_in_the_reference(channels: float, rounded: int) -> None:
    assert round_channels(channels) == rounded


@given(st.floats(1, 5000))
def test_rounding_keeps_nine_tenths_and_a_multiple_of_8(channels: float) -> None:
    rounded = round_channels(channels)
    assert rounded % 8 == 0
    assert rounded >= 0.9 * channels
    assert rounded <= max(8, channels + 8)


def test_layers_round_up_but_not_for_a_floats_last_bit() -> None:
    assert [round_repeats(r) for r in (1.0, 1.1, 2 * 1.1, 3 * (1 + 1e-13))] == [1, 2, 3, 3]


def test_scaling_by_one_is_the_same_network() -> None:
    odd = small()
    assert scale_architecture(odd, depth=1.0, width=1.0, image_size=32) == odd


def test_impossible_factors_are_refused() -> None:
    for depth, width, field in [(0.0, 1.0, "depth"), (1.0, -1.0, "width"), (float("nan"), 1.0, "depth")]:
        with pytest.raises(FieldError, match=f"{field} must be between 0.001 and 1000"):
            scale_architecture(small(), depth=depth, width=width, image_size=32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"phi": -1.0}, "phi must be between 0 and 100, got -1"),
        ({"phi": 1.0, "alpha": 0.9}, "alpha must be between 1 and 10, got 0.9; .* and the nearest is 1$"),
        ({"phi": 1.0, "beta": 11}, "beta must be between 1 and 10, got 11; the nearest is 10$"),
        ({"phi": 1.0, "gamma": float("nan")}, "gamma must be between 1 and 10, got nan$"),
        ({"phi": 1.0, "gamma": True}, "gamma must be a number, got True$"),
        ({"phi": 60.0}, "phi of 60 gives a network that cannot be built: depth must be between"),
        (
            {"phi": 50.0, "alpha": 1.0, "beta": 1},
            "image_size must be .*; the largest phi that can be built is 39.676$",
        ),
    ],
)
def test_impossible_coefficients_are_refused(arguments, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        compound_scale(small(), **arguments)


def test_facts_keep_their_keys_and_gain_two() -> None:
    facts = compound_scale(load_architecture("efficientnet_b0"), 2.0).to_json()
    assert list(facts) == [
        "name", "phi", "depth", "width", "resolution", "image_size", "dropout", "macs", "params", "nominal",
    ]  # fmt: skip
    assert facts["resolution"] == pytest.approx(296 / 224, abs=1e-6)
    assert facts["nominal"] == pytest.approx(scale_factor(1.2, 1.1, 1.15) ** 2, abs=1e-6)


def test_nominal_factors_of_the_family_are_the_tables() -> None:
    b7 = efficientnet_family(load_architecture("efficientnet_b0"))[7]
    assert b7.nominal == pytest.approx(3.1 * 2.0**2 * (600 / 224) ** 2)
    assert efficientnet_family(small())[0].nominal == 1


@pytest.mark.parametrize(
    ("factors", "name"),
    [
        ({}, "resnet_50"),
        ({"depth": 4}, "resnet_50-d4"),
        ({"width": 0.25, "resolution": 2.0}, "resnet_50-w0.25-r2"),
        ({"depth": 1.4, "width": 1.2, "resolution": 1.3}, "resnet_50-d1.4-w1.2-r1.3"),
        ({"depth": 1.00000001}, "resnet_50-d1.00000001"),
        ({"depth": 2, "name": "deep"}, "deep"),
    ],
)
def test_the_name_says_the_factors(factors, name: str) -> None:
    member = scale_dimensions(load_architecture("resnet_50"), **factors)
    assert member.architecture.name == name
    assert member.phi is None


def test_the_formula_is_the_dimensions_at_its_powers() -> None:
    b0 = load_architecture("efficientnet_b0")
    member = compound_scale(b0, 2.0)
    factors = scale_dimensions(b0, 1.2**2, 1.1**2, 1.15**2)
    assert factors.architecture.key == member.architecture.key
    assert factors.nominal == pytest.approx(member.nominal)


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_scales_along_each_dimension(name: str) -> None:
    base = load_architecture(name)
    deep, wide, sharp = (scale_dimensions(base, **{d: 2.0}) for d in ("depth", "width", "resolution"))
    assert deep.architecture.depth == 2 * base.depth
    assert wide.architecture.features == 2 * base.features
    assert sharp.architecture.image_size == 2 * base.image_size
    assert cost(sharp.architecture).params == cost(base).params
    for member in (deep, wide, sharp):
        assert cost(member.architecture).macs / cost(base).macs == pytest.approx(member.nominal, rel=0.25)


@given(ARCHITECTURES)
def test_members_are_ordinary_architectures(architecture) -> None:
    member = scale_dimensions(architecture, 1.4, 1.2, 1.3).architecture
    assert type(architecture).from_dict(member.to_dict()) == member
    assert scale_dimensions(architecture).architecture == architecture


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "resnet_50", "efficientnet_b0"])
def test_members_build_with_the_parameters_that_are_counted(name: str) -> None:
    member = scale_dimensions(load_architecture(name), 1.4, 1.2, 1.3)
    with torch.device("meta"):
        model = member.architecture.build(num_classes=10)
    assert sum(p.numel() for p in model.parameters()) == member.to_json(num_classes=10)["params"]


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"depth": 0.0}, "depth must be between 0.001 and 1000, got 0"),
        ({"resolution": float("inf")}, "resolution must be between 0.001 and 1000, got inf"),
        ({"width": 40}, "width of 40 .* channels .* the largest width that can be built is 32.001$"),
        ({"depth": 400}, "depth of 400 .* repeats .* the largest depth that can be built is 166.666$"),
        ({"resolution": 40}, "resolution of 40 .* the largest resolution that can be built is 36.573$"),
        (
            {"resolution": 0.1},
            "total stride, 32, got 22; the smallest resolution that can be built is 0.141$",
        ),
        ({"depth": 900, "resolution": 0.001}, "depth of 900 .* can be built is 166.666$"),
    ],
)
def test_a_factor_too_large_or_small_names_the_nearest(factors, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        scale_dimensions(load_architecture("resnet_50"), **factors)


def test_a_family_that_cannot_be_built_names_the_member() -> None:
    with pytest.raises(FieldError, match="b5 of the published family cannot be built: image_size must be"):
        efficientnet_family(small(image_size=4096))


@pytest.mark.parametrize(
    ("coefficients", "says"),
    [
        ((1.2, 1.1, 1.15), None),
        ((2.2, 1.0, 1.0), None),
        ((1.8, 1.0, 1.0), None),
        (
            (1.2, 1.2, 1.2),
            "multiplies MACs by 2.488, but for rounding; beta 1.076 or gamma 1.076 alone would",
        ),
        ((1.1, 1.0, 1.0), "by 1.1, but for rounding; alpha 2, beta 1.348 or gamma 1.348 alone would give 2"),
        ((1.0, 1.0, 3.0), "by 9, but for rounding; gamma 1.414 alone would give 2"),
        ((2.0, 2.0, 2.0), "none alone can mend it; alpha 1.149, beta 1.149, gamma 1.149 would give 2"),
    ],
)
def test_factors_far_from_two_are_warned_of(coefficients, says: str | None) -> None:
    warning = factor_warning(*coefficients)
    assert warning is None if says is None else says in str(warning)


@given(st.tuples(*[st.floats(1.0, 10.0)] * 3))
def test_what_the_warning_proposes_gives_two(coefficients) -> None:
    warning = factor_warning(*coefficients) or ""
    named = dict(zip(("alpha", "beta", "gamma"), coefficients, strict=True))
    proposed = {n: float(v) for n, v in re.findall(r"(alpha|beta|gamma) ([0-9.]+)(?=[, ])", warning)}
    changes = [proposed] if "none alone" in warning else [{name: value} for name, value in proposed.items()]
    assert bool(changes) == bool(warning)
    for change in changes:
        assert scale_factor(**{**named, **change}) == pytest.approx(2, rel=5e-3)


def test_a_warning_of_impossible_factors_is_an_error() -> None:
    with pytest.raises(FieldError, match="beta must be between 1 and 10"):
        factor_warning(2.0, 0.5, 2.0)


def test_the_note_says_which_rounding_made_a_network_larger() -> None:
    b0 = load_architecture("efficientnet_b0")
    b1 = efficientnet_family(b0)[1]
    assert rounding_note(b0, b1) == (
        "efficientnet_b1 takes 1.78 x the baseline's MACs where its factors say 1.26: layers round up, "
        "one layer becomes 2 in 2 of 7 stages (x 1.48 instead of 1.10)"
    )
    narrow = scale_dimensions(b0, width=0.3)
    assert "widths round to multiples of 8 (x 0.14 instead of 0.09)" in str(rounding_note(b0, narrow))
    tiny = small(image_size=4)  # sides of 4, 2 and 1; of 5, 3 and 2
    sharp = rounding_note(tiny, scale_dimensions(tiny, resolution=1.25), num_classes=2)
    assert "sides of feature maps round up" in str(sharp)
    widening = small(stages=(Stage(channels=64),))  # twice the layers: nothing to round
    deep = rounding_note(widening, scale_dimensions(widening, depth=2), num_classes=2)
    assert "the added layers cost more than a stage's first" in str(deep)
    assert "round" not in str(deep)


@pytest.mark.parametrize("number", [0, 4, 7])
def test_there_is_no_note_where_the_formula_holds(number: int) -> None:
    b0 = load_architecture("efficientnet_b0")
    assert rounding_note(b0, efficientnet_family(b0)[number]) is None


@given(ARCHITECTURES, st.floats(0.2, 5), st.floats(0.2, 5), st.floats(1, 5))
def test_the_note_is_one_line_where_macs_are_a_quarter_over(architecture, depth, width, resolution) -> None:
    member = scale_dimensions(architecture, depth, width, resolution, name="member")
    true = cost(member.architecture, 10, 1).macs / cost(architecture, 10, 1).macs
    note = rounding_note(architecture, member, 10, 1)
    assert (note is not None) == (true > 1.25 * member.nominal)
    assert note is None or ("instead of" in note and "\n" not in note)
