"""Rewards, by the papers' formulas."""

from typing import Any

import pytest
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


@given(st.floats(0.01, 1.0), st.floats(1e3, 1e10))
def test_more_accuracy_and_less_cost_never_hurt(accuracy: float, cost: float) -> None:
    objective = Objective(target=1e6)
    assert objective.reward(accuracy, cost) >= objective.reward(accuracy * 0.9, cost)
    assert objective.reward(accuracy, cost) >= objective.reward(accuracy, cost * 1.1)


@given(
    st.lists(st.floats(1.0, 1e12), min_size=1, max_size=5),
    st.floats(1e3, 1e9),
    st.sampled_from(["product", "absolute"]),
    st.floats(-2.0, 0.0),
    st.floats(-2.0, 0.0),
)
def test_the_ceiling_is_the_reward_of_a_perfect_accuracy(
    costs: list[float], target: float, form: Any, alpha: float, beta: float
) -> None:
    objective = Objective(target=target, form=form, alpha=alpha, beta=beta)
    rewards = [objective.reward(1.0, cost) for cost in costs]
    assert objective.ceiling(costs) == pytest.approx(rewards, rel=1e-13)
    assert (objective.ceiling(costs) >= [objective.reward(0.99, cost) for cost in costs]).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": 0.0}, "target must be between 1e-09 and 1e\\+18, got 0"),
        ({"target": float("nan")}, "target must be between"),
        ({"target": 1.0, "alpha": 0.07}, "alpha must be between -10 and 0, got 0.07"),
        ({"target": 1.0, "form": "soft"}, "form must be product or absolute"),
        ({"target": 1.0, "cost": "flops"}, "cost must be macs or params"),
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
