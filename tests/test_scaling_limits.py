"""Families under limits: the largest phi that fits, and what is said where one does not."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import FieldError, InputError, Limits, cost, family_under, largest_phi, load_architecture
from nas.scaling import compound_scale, formula, scale_dimensions
from nas.scaling_limits import costs_of, fits, over_limits, without_skips
from search_space import Architecture, Head, Stage, Stem, round_channels, round_repeats
from tests.test_architecture import ARCHITECTURES, small

# of three places: a power so close to 1 that it is 1 leaves channels as they are, and does not round them
FACTORS = st.integers(1000, 1600).map(lambda thousandths: thousandths / 1000)
COEFFICIENTS = st.tuples(FACTORS, FACTORS, FACTORS).filter(
    lambda three: three[0] * three[1] * three[2] > 1.05
)
PHIS = st.integers(1, 5000).map(lambda thousandths: thousandths / 1000)


@given(st.floats(0.001, 5000), st.floats(0.001, 5000))
def test_the_rounding_rules_never_fall(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert round_channels(low) <= round_channels(high)
    assert round_repeats(low) <= round_repeats(high)
    assert round(low) <= round(high)


@given(ARCHITECTURES, COEFFICIENTS, PHIS, PHIS)
def test_costs_without_skips_never_fall_and_never_exceed_the_true_ones(
    architecture: Architecture, coefficients: tuple[float, float, float], one: float, other: float
) -> None:
    low, high = (formula(architecture, phi, *coefficients) for phi in sorted((one, other)))
    bare = [costs_of(without_skips(network)) for network in (low, high)]
    true = costs_of(low)
    for name in true:
        assert bare[0][name] <= bare[1][name]
        assert bare[0][name] <= true[name]


def test_true_costs_may_fall_when_phi_rises() -> None:
    """Equal neighbours need no projection: the reason why `largest_phi` may not bisect the true costs."""
    stages = (Stage(op="bottleneck", channels=60), Stage(op="bottleneck", channels=64))
    network = small(stages=stages, stem=Stem(channels=56))
    costs = [cost(formula(network, phi / 1000, 1.0, 2.0, 1.0)).macs for phi in range(1, 400)]
    assert any(after < before for before, after in pairwise(costs))


@settings(max_examples=40)
@given(
    ARCHITECTURES,
    COEFFICIENTS,
    st.floats(1.0, 30.0),
    st.sets(st.sampled_from(["macs", "params", "memory"]), min_size=1),
)
def test_the_largest_phi_fits_and_no_larger_one_does(
    architecture: Architecture, coefficients: tuple[float, float, float], room: float, names: set[str]
) -> None:
    limits = Limits(**{name: value * room for name, value in costs_of(architecture).items() if name in names})
    member = largest_phi(architecture, limits, *coefficients)
    assert member.phi is not None
    assert fits(member.architecture, limits)
    thousandths = round(1000 * member.phi)
    assert member.phi == thousandths / 1000
    for larger in [*range(thousandths + 1, thousandths + 60), *range(thousandths + 60, 100_000, 5000)]:
        try:
            beyond = formula(architecture, larger / 1000, *coefficients)
        except FieldError:
            break
        assert not fits(beyond, limits), larger


@pytest.mark.parametrize("room", [1.2, 1.8, 2.0, 3.0])
def test_the_largest_phi_is_that_of_a_search_of_all_where_costs_fall(room: float) -> None:
    stages = (Stage(op="bottleneck", channels=60), Stage(op="bottleneck", channels=64))
    network = small(stages=stages, stem=Stem(channels=56))
    limits = Limits(macs=cost(network).macs * room)
    every = [k for k in range(2500) if fits(formula(network, k / 1000, 1.0, 2.0, 1.0), limits)]
    assert largest_phi(network, limits, 1.0, 2.0, 1.0).phi == max(every) / 1000


def test_b0_under_two_billion_macs() -> None:
    b0 = load_architecture("efficientnet_b0")
    member = largest_phi(b0, Limits(macs=2e9))
    assert member.phi == 2.223
    assert cost(member.architecture).macs == 1_959_978_248
    assert member.architecture.name == "efficientnet_b0-phi2.223"
    assert cost(compound_scale(b0, 2.224).architecture).macs > 2e9


def test_every_limit_counts_and_so_do_classes() -> None:
    b0 = load_architecture("efficientnet_b0")
    alone = [Limits(macs=5e9), Limits(params=30e6), Limits(memory=1e8)]
    phis = [largest_phi(b0, limits).phi for limits in alone]
    assert largest_phi(b0, Limits(macs=5e9, params=30e6, memory=1e8)).phi == min(phis)
    assert largest_phi(b0, Limits(params=30e6), num_classes=10).phi > largest_phi(b0, Limits(params=30e6)).phi


def test_without_limits_the_largest_that_can_be_built() -> None:
    member = largest_phi(small(), Limits())
    with pytest.raises(FieldError, match=f"the largest phi that can be built is {member.phi:g}$"):
        compound_scale(small(), member.phi + 0.001)


def test_a_baseline_over_the_limit_is_named() -> None:
    message = "no phi fits: the baseline resnet_50 itself takes 4.09 G MACs, over the limit of 2 G"
    with pytest.raises(InputError, match=message):
        largest_phi(load_architecture("resnet_50"), Limits(macs=2e9))
    with pytest.raises(InputError, match=message):
        family_under(load_architecture("resnet_50"), [1.0], Limits(macs=2e9), 1.0, 1.0, 1.0)


def test_three_ones_never_grow() -> None:
    with pytest.raises(FieldError, match="are all 1, so that no phi makes a larger network"):
        largest_phi(small(), Limits(macs=1e9), 1.0, 1.0, 1.0)
    with pytest.raises(FieldError, match="are all 1"):
        family_under(small(), None, Limits(macs=1e9), 1.0, 1.0, 1.0)


def test_what_breaks_limits_in_words() -> None:
    b0 = load_architecture("efficientnet_b0")
    assert over_limits(b0, Limits(macs=4e8, params=6e6, memory=1e9)) is None
    assert over_limits(b0, Limits()) is None
    assert over_limits(b0, Limits(macs=2e8, memory=2e7)) == (
        "takes 386 M MACs, over the limit of 200 M, and 27.2 MB of memory, over the limit of 20 MB"
    )
    assert (
        over_limits(b0, Limits(params=5_288_547)) == "takes 5,288,548 parameters, over the limit of 5,288,547"
    )
    assert over_limits(b0, Limits(params=5_288_547.5)) == (
        "takes 5,288,548 parameters, over the limit of 5,288,547.5"
    )
    assert over_limits(small(), Limits(memory=1)).endswith("over the limit of 1 B")


def test_a_phi_over_a_limit_names_its_cost_and_the_largest_that_fits() -> None:
    b0 = load_architecture("efficientnet_b0")
    assert [member.phi for member in family_under(b0, [1, 2], Limits(macs=2e9))] == [1, 2]
    with pytest.raises(FieldError) as caught:
        family_under(b0, [1.0, 5.0], Limits(macs=2e9))
    assert str(caught.value) == (
        "phi of 5 takes 11.4 G MACs, over the limit of 2 G; the largest phi that fits is 2.223"
    )


def test_a_phi_given_twice_or_too_large_is_refused() -> None:
    b0 = load_architecture("efficientnet_b0")
    with pytest.raises(FieldError, match="phi of 2 is given twice"):
        family_under(b0, [1, 2, 2.0], Limits())
    built = r"phi of 60 .* the largest phi that can be built is 25.753"
    with pytest.raises(FieldError, match=f"{built}$"):
        family_under(b0, [60], Limits())
    with pytest.raises(FieldError, match=f"{built}, and the largest that fits the limits is 2.223$"):
        family_under(b0, [60], Limits(macs=2e9))
    with pytest.raises(FieldError, match=r"phi must be between 0 and 100, got 101$"):
        family_under(b0, [101], Limits(macs=2e9))


@pytest.mark.parametrize(
    ("limits", "phis"),
    [
        (Limits(), [1, 2, 3, 4, 5, 6, 7]),
        (Limits(macs=1e12), [1, 2, 3, 4, 5, 6, 7]),
        (Limits(macs=2e9), [1, 2, 2.223]),
        (Limits(macs=9e8), [0.969]),
        (Limits(macs=4e8), [0]),
    ],
)
def test_the_usual_family_goes_as_far_as_it_fits(limits: Limits, phis: list[float]) -> None:
    family = family_under(load_architecture("efficientnet_b0"), None, limits)
    assert [member.phi for member in family] == phis
    assert all(fits(member.architecture, limits) for member in family)


def test_the_last_member_is_no_second_of_the_one_before() -> None:
    b0 = load_architecture("efficientnet_b0")
    exactly = cost(compound_scale(b0, 2.0).architecture).macs  # 2.006 is the same network
    assert [member.phi for member in family_under(b0, None, Limits(macs=exactly))] == [1, 2]


def test_the_usual_family_ends_where_networks_end() -> None:
    large = scale_dimensions(load_architecture("efficientnet_b0"), resolution=20).architecture
    family = family_under(large, None, Limits())
    assert [member.phi for member in family] == [1, 2, 3, 4, 4.318]
    assert family[-1].architecture.image_size == 8192


def test_limits_hold_for_a_head_alone_too() -> None:
    narrow = replace(small(), head=Head(channels=0))
    limits = Limits(memory=costs_of(narrow)["memory"] * 2)
    assert fits(largest_phi(narrow, limits).architecture, limits)
