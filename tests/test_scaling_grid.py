"""The grid of a scaling search: what keeps to the budget, and what is said where nothing does."""

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nas.scaling import compound_scale, scale_factor
from nas.scaling_grid import GridPoint, grid_points
from nas.scaling_settings import GridSettings
from search_space import Architecture, FieldError, InputError, Stage, cost, load_architecture
from search_space.scaling import scale_architecture
from tests.test_architecture import small

FACTORS = st.sets(st.integers(0, 20).map(lambda n: round(1 + n / 20, 2)), min_size=1, max_size=4).map(list)
B0 = load_architecture("efficientnet_b0")
TRIPLE = ("alpha", "beta", "gamma")


def of(point: GridPoint) -> tuple[float, float, float]:
    return point.alpha, point.beta, point.gamma


def network(baseline: Architecture, alpha: float, beta: float, gamma: float) -> Architecture:
    size = round(baseline.image_size * gamma)
    return scale_architecture(baseline, depth=alpha, width=beta, image_size=size)


def by_hand(baseline: Architecture, wanted: GridSettings) -> dict[str, list[tuple[float, float, float]]]:
    """The triples of every network that keeps to the budget."""
    base, found = cost(baseline, 10, 3).macs, {}
    for triple in itertools.product(wanted.alpha, wanted.beta, wanted.gamma):
        made = network(baseline, *triple)
        true = cost(made, 10, 3).macs / base / wanted.factor
        near = abs(scale_factor(*triple) - wanted.factor) <= wanted.tolerance + 1e-9
        if near and abs(true - 1) <= wanted.macs_tolerance + 1e-9 and made.key != baseline.key:
            found.setdefault(made.key, []).append(triple)
    return found


@settings(max_examples=60)
@given(FACTORS, FACTORS, FACTORS, st.floats(1.2, 4), st.floats(0, 3), st.floats(0, 1.5))
def test_the_points_are_those_of_a_search_of_all(alpha, beta, gamma, factor, tolerance, macs_tolerance):
    wanted = GridSettings(
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        factor=factor,
        tolerance=tolerance,
        macs_tolerance=macs_tolerance,
    )
    expected = by_hand(small(), wanted)
    if not expected:
        with pytest.raises(InputError, match="^scaling: "):
            grid_points(small(), wanted, 10, 3)
        return
    points = grid_points(small(), wanted, 10, 3)
    assert len(points) == len(expected)
    assert [p.macs for p in points] == sorted(p.macs for p in points)
    for point in points:
        alike = expected.pop(point.architecture.key)  # each network once
        assert point.aliases == len(alike) - 1
        assert of(point) in alike
        assert abs(point.nominal - factor) == min(abs(scale_factor(*other) - factor) for other in alike)
        assert point.nominal == scale_factor(*of(point))
        assert (point.macs, point.params) == cost(point.architecture, 10, 3)
        assert point.macs_factor == point.macs / cost(small(), 10, 3).macs


@settings(max_examples=80)
@given(FACTORS, FACTORS, FACTORS, st.floats(1.01, 30), st.floats(0, 0.1), st.floats(0, 0.05))
def test_the_value_that_an_error_names_makes_the_grid_non_empty(
    alpha, beta, gamma, factor, tolerance, macs_tolerance
):
    assume((alpha, beta, gamma) != ([1.0],) * 3)
    wanted = GridSettings(
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        factor=factor,
        tolerance=tolerance,
        macs_tolerance=macs_tolerance,
    )
    named = []
    while True:
        try:
            points = grid_points(small(), wanted, 10, 3)
            break
        except InputError as error:
            message = str(error)
        assert "\n" not in message
        fix = re.search(r"which scaling\.(\w+)=([\d.]+) takes in$", message)
        if fix is None:
            assert message.endswith(
                ("which no tolerance takes in; give other factors", "they round to the baseline itself")
            )
            return
        assert fix[1] not in named, message  # each is named at most once
        named.append(fix[1])
        assert float(fix[2]) > getattr(wanted, fix[1])
        wanted = replace(wanted, **{fix[1]: float(fix[2])})
    assert points


def test_the_papers_grid_on_b0_by_default() -> None:
    points = grid_points(B0, GridSettings(), 1000, 3)
    assert all(1.8 <= p.macs_factor <= 2.2 and 1.8 <= p.nominal <= 2.2 for p in points)
    assert len({p.architecture.key for p in points}) == len(points) > 5
    for point in points:  # the family's member at phi 1 is the network that was trained
        assert compound_scale(B0, 1.0, *of(point)).architecture.key == point.architecture.key
    # the paper's own point has 2.57 times the MACs after rounding: not twice
    assert (1.2, 1.1, 1.15) not in [of(p) for p in points]


def test_points_of_another_number_of_classes_have_another_cost() -> None:
    one, other = (grid_points(B0, GridSettings(), classes, 3)[0] for classes in (1000, 10))
    assert one.params != other.params


def test_the_baseline_itself_is_no_point() -> None:
    wide = GridSettings(alpha=[1.0, 2.0], beta=[1.0], gamma=[1.0], tolerance=1.0, macs_tolerance=1.0)
    assert [of(p) for p in grid_points(B0, wide, 10, 3)] == [(2.0, 1.0, 1.0)]
    with pytest.raises(InputError, match=r"none of the 1 networks .* can be had: they round to the baseline"):
        grid_points(B0, replace(wide, alpha=[1.0]), 10, 3)


def test_few_points_are_spread_over_the_directions_from_the_nearest_to_the_budget_on() -> None:
    every = grid_points(B0, GridSettings(), 1000, 3)
    few = grid_points(B0, GridSettings(points=4), 1000, 3)
    nearest = min(every, key=lambda p: abs(p.macs_factor / 2 - 1))
    assert len(few) == 4
    assert nearest in few
    assert all(p in every for p in few)
    for dimension in ("alpha", "beta", "gamma"):  # each has a point that grows it by much
        assert max(getattr(p, dimension) for p in few) >= 1.25
    assert [p.macs for p in few] == sorted(p.macs for p in few)
    assert grid_points(B0, GridSettings(points=10_000), 1000, 3) == every


def test_an_empty_grid_names_the_rule_and_the_nearest_point() -> None:
    one = GridSettings(alpha=[1.0, 1.2], beta=[1.0], gamma=[1.0])
    with pytest.raises(InputError) as caught:
        grid_points(B0, one, 1000, 3)
    assert str(caught.value) == (
        "scaling: of 2 points none has alpha * beta^2 * gamma^2 within 0.2 of 2; the nearest is alpha 1.2, "
        "beta 1, gamma 1 with 1.200, which scaling.tolerance=0.8 takes in"
    )
    paper = GridSettings(alpha=[1.2], beta=[1.1], gamma=[1.15])
    with pytest.raises(InputError) as caught:
        grid_points(B0, paper, 1000, 3)
    assert str(caught.value) == (
        "scaling: of 1 networks with alpha * beta^2 * gamma^2 within 0.2 of 2 none has true MACs within 10 % "
        "of 2 times the baseline's, since layers and channels are rounded; the nearest is alpha 1.2, "
        "beta 1.1, gamma 1.15 with 2.573 times, which scaling.macs_tolerance=0.287 takes in"
    )
    assert len(grid_points(B0, replace(paper, macs_tolerance=0.287), 1000, 3)) == 1


def test_a_point_that_no_tolerance_takes_in_is_not_promised() -> None:
    far = GridSettings(alpha=[50.0], beta=[1.0], gamma=[1.0])
    with pytest.raises(InputError, match=r"with 50.000, which no tolerance takes in; give other factors$"):
        grid_points(B0, far, 1000, 3)


def test_what_is_too_large_is_left_out_and_only_that() -> None:
    large = small(image_size=8192)
    wanted = GridSettings(alpha=[1.0, 2.0], beta=[1.0], gamma=[1.0, 1.42], tolerance=0.1, macs_tolerance=1.0)
    assert [of(p) for p in grid_points(large, wanted, 10, 3)] == [(2.0, 1.0, 1.0)]
    with pytest.raises(InputError, match=r"can be had: the last: image_size must be between 1 and 8192"):
        grid_points(large, replace(wanted, alpha=[1.0]), 10, 3)


def test_one_layer_that_becomes_two_makes_many_aliases() -> None:
    deep = small(stages=(Stage(op="mbconv", channels=16, repeats=1, expansion=6),))
    wanted = GridSettings(beta=[1.0], gamma=[1.0], tolerance=1.0, macs_tolerance=1.0)
    (point,) = grid_points(deep, wanted, 10, 3)
    assert (point.alpha, point.aliases) == (2.0, 9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": []}, "alpha must be a list of factors such as"),
        ({"alpha": 1.2}, r"alpha must be a list of factors such as \[1.0, 1.1\], got 1.2"),
        ({"beta": [1.0, 0.9]}, r"beta\[1\] must be between 1 and 100, got 0.9"),
        ({"gamma": [1.1, True]}, r"gamma\[1\] must be a number"),
        ({"gamma": [1.1, "1.2"]}, r"gamma\[1\] must be a number"),
        ({"gamma": [float("nan")]}, r"gamma\[0\] must be"),
        ({"alpha": [1.1, 1.1]}, r"alpha must be different factors, got \[1.1, 1.1\]"),
        ({"factor": 1}, "factor must be between 1.01 and 100, got 1"),
        ({"tolerance": -1}, "tolerance must be between 0 and 10"),
        ({"macs_tolerance": 11}, "macs_tolerance must be between 0 and 10"),
        ({"points": 0}, "points must be between 1 and 100000, got 0"),
        ({"seeds": 0}, "seeds must be between 1 and 1000"),
        ({"seeds": 2.0}, "seeds must be a whole number"),
        ({"seeds": 7}, "max_seeds must be at least seeds, 7, got 6"),
        (
            {name: [1 + n / 100 for n in range(50)] for name in TRIPLE},
            "alpha times beta times gamma must be at most 100000 points, got 125000",
        ),
    ],
)
def test_settings_check_themselves(values: dict, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        GridSettings(**values)


def test_factors_are_sorted_numbers() -> None:
    wanted = GridSettings(alpha=[2, 1], factor=2, tolerance=0)
    assert (wanted.alpha, wanted.factor) == ((1.0, 2.0), 2.0)
    assert all(isinstance(value, float) for value in (*wanted.alpha, wanted.factor, wanted.tolerance))
