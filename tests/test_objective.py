"""Rewards, by the papers' formulas."""

from dataclasses import asdict
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller import Objective
from search_space import FieldError


def test_the_reward_is_accuracy_times_macs_over_target_to_the_minus_007() -> None:
    objective = Objective(target=400e6)
    assert objective.reward(0.75, 400e6) == 0.75
    assert objective.reward(0.75, 800e6) == pytest.approx(0.75 * 2**-0.07)
    assert objective.reward(0.75, 200e6) == pytest.approx(0.75 * 2**0.07)


def test_mnasnets_two_exponents_and_hard_form() -> None:
    two = Objective(target=100.0, alpha=-0.05, beta=-0.2)
    assert two.reward(0.5, 50.0) == pytest.approx(0.5 * 0.5**-0.05)
    assert two.reward(0.5, 200.0) == pytest.approx(0.5 * 2**-0.2)
    hard = Objective(target=100.0, alpha=0.0, beta=-1.0)
    assert hard.reward(0.5, 10.0) == 0.5
    assert hard.reward(0.5, 200.0) == pytest.approx(0.25)


def test_tunas_absolute_form_pins_the_target() -> None:
    objective = Objective(target=100.0, form="absolute", beta=-0.07)
    assert objective.reward(0.5, 100.0) == 0.5
    assert objective.reward(0.5, 50.0) == objective.reward(0.5, 150.0) == pytest.approx(0.465)


def test_the_hard_form_is_mnasnets() -> None:
    hard = Objective(target=100.0, form="hard")
    assert (hard.alpha, hard.beta) == (0.0, -1.0)
    product = Objective(target=100.0, alpha=0.0, beta=-1.0)
    for cost in (1.0, 100.0, 150.0, 1e6):
        assert hard.reward(0.5, cost) == product.reward(0.5, cost)


def test_five_percent_for_a_doubling_is_mnasnets_exponent() -> None:
    objective = Objective(target=100.0, doubling_gain=0.05)
    assert objective.alpha == objective.beta == pytest.approx(-0.0704, abs=5e-5)
    assert Objective(target=100.0, doubling_gain=0.0).reward(0.5, 1e6) == 0.5


@given(st.floats(0.0, 1.0), st.floats(0.01, 0.5), st.floats(1.0, 1e9))
def test_the_product_takes_twice_the_cost_for_the_gain_that_was_stated(
    gain: float, accuracy: float, cost: float
) -> None:
    objective = Objective(target=1e4, doubling_gain=gain)
    twice = objective.reward(accuracy * (1 + gain), 2 * cost)
    assert twice == pytest.approx(objective.reward(accuracy, cost), rel=1e-12)


@given(st.floats(0.0, 1.0), st.floats(0.01, 1.0))
def test_the_absolute_form_takes_twice_the_target_for_the_points_that_were_stated(
    gain: float, accuracy: float
) -> None:
    objective = Objective(target=1e4, form="absolute", doubling_gain=gain)
    assert objective.reward(accuracy + gain, 2e4) == pytest.approx(objective.reward(accuracy, 1e4))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"form": "hard"},
        {"form": "absolute"},
        {"form": "absolute", "doubling_gain": 0.1},
        {"doubling_gain": 0.05},
        {"doubling_gain": 0},
        {"alpha": 0, "beta": -1, "cost": "latency_ms"},
    ],
)
def test_what_a_run_stores_reads_back_equal(values: dict[str, Any]) -> None:
    objective = Objective(target=3e6, **values)
    assert Objective(**asdict(objective)) == objective
    assert Objective(**yaml.safe_load(yaml.safe_dump(asdict(objective)))) == objective
    assert repr(Objective(**asdict(objective))) == repr(objective)


def test_an_objective_stored_before_there_was_a_gain_is_the_same() -> None:
    stored = {"target": 3e6, "cost": "macs", "form": "product", "alpha": -0.07, "beta": -0.07}
    assert Objective(**stored) == Objective(target=3e6)  # type: ignore[arg-type]


@given(st.floats(0.01, 1.0), st.floats(1e3, 1e10))
def test_more_accuracy_and_less_cost_never_hurt(accuracy: float, cost: float) -> None:
    objective = Objective(target=1e6)
    assert objective.reward(accuracy, cost) >= objective.reward(accuracy * 0.9, cost)
    assert objective.reward(accuracy, cost) >= objective.reward(accuracy, cost * 1.1)


@given(
    st.lists(st.floats(1.0, 1e12), min_size=1, max_size=5),
    st.floats(1e3, 1e9),
    st.one_of(
        st.fixed_dictionaries(
            {
                "form": st.sampled_from(["product", "absolute"]),
                "alpha": st.floats(-2.0, 0.0),
                "beta": st.floats(-2.0, 0.0),
            }
        ),
        st.fixed_dictionaries(
            {"form": st.sampled_from(["product", "absolute"]), "doubling_gain": st.floats(0.0, 1.0)}
        ),
        st.just({"form": "hard"}),
    ),
)
def test_the_ceiling_is_the_reward_of_a_perfect_accuracy(
    costs: list[float], target: float, values: dict[str, Any]
) -> None:
    objective = Objective(target=target, **values)
    rewards = [objective.reward(1.0, cost) for cost in costs]
    assert objective.ceiling(costs) == pytest.approx(rewards, rel=1e-13)
    assert (objective.ceiling(costs) >= [objective.reward(0.99, cost) for cost in costs]).all()


@given(
    st.sampled_from(["product", "absolute", "hard"]),
    st.floats(0.1, 0.9),
    st.floats(1e3, 1e9),
    st.floats(1e3, 1e9),
)
def test_matching_accuracies_are_rewarded_alike(
    form: Any, accuracy: float, cost: float, other: float
) -> None:
    objective = Objective(target=1e6, form=form)
    (matching,) = objective.matching(accuracy, cost, [other])
    assert objective.reward(float(matching), other) == pytest.approx(objective.reward(accuracy, cost))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": 0.0}, "target must be between 1e-09 and 1e\\+18, got 0"),
        ({"target": float("nan")}, "target must be between"),
        ({"target": 1.0, "alpha": 0.07}, "alpha must be between -10 and 0, got 0.07"),
        ({"target": 1.0, "form": "soft"}, "form must be product or absolute"),
        ({"target": 1.0, "cost": "flops"}, "cost must be macs or params"),
        (
            {"target": 1.0, "doubling_gain": 5},
            r"doubling_gain must be between 0 and 1, got 5 \(0.05 is 5 %\)",
        ),
        ({"target": 1.0, "doubling_gain": True}, "doubling_gain must be a number, got True"),
        (
            {"target": 1.0, "doubling_gain": 0.05, "beta": -0.07},
            r"beta follows from doubling_gain \(-0.0703893\), got -0.07; give one of the two",
        ),
        ({"target": 1.0, "doubling_gain": 0.05, "form": "hard"}, "the hard form trades nothing"),
        (
            {"target": 1.0, "alpha": -0.07, "form": "hard"},
            "alpha is 0 in the hard form, got -0.07; leave it out",
        ),
    ],
)
def test_impossible_objectives_are_refused(values, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        Objective(**values)


def test_a_reward_is_never_made_of_nonsense() -> None:
    with pytest.raises(FieldError, match="accuracy must be finite"):
        Objective(target=1.0).reward(float("nan"), 1.0)
    with pytest.raises(FieldError, match="cost must be positive"):
        Objective(target=1.0).reward(0.5, 0.0)
