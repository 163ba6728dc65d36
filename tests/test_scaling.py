"""The compound scaler: the published table and the formula, which are two things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import FieldError, compound_scale, cost, efficientnet_family, load_architecture
from search_space import EFFICIENTNET_FAMILY, round_channels, round_repeats, scale_architecture
from tests.test_architecture import small


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
        ({"phi": 1.0, "alpha": 0.9}, "alpha must be between 1 and 10, got 0.9"),
        ({"phi": 1.0, "gamma": float("nan")}, "gamma must be between 1 and 10, got nan"),
        ({"phi": 60.0}, "phi of 60 gives a network that cannot be built: depth must be between"),
    ],
)
def test_impossible_coefficients_are_refused(arguments, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        compound_scale(small(), **arguments)
