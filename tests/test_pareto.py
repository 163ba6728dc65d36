"""Fronts and hypervolume against the definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results import hypervolume, pareto_front

GRID = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=25)


def dominated(points: list[tuple[int, int]], i: int) -> bool:
    a, c = points[i]
    return any(x >= a and y <= c and (x > a or y < c) for x, y in points)


@given(GRID)
def test_the_front_is_what_the_definition_says(points: list[tuple[int, int]]) -> None:
    front = pareto_front([a for a, _ in points], [c for _, c in points]).tolist()
    best = {points[i] for i in range(len(points)) if not dominated(points, i)}
    assert {points[i] for i in front} == best
    assert len(front) == len(best)  # of equal points one
    assert front == sorted(front, key=lambda i: points[i][1])
    assert all(points.index(points[i]) == i for i in front)  # the first of equals


@given(GRID)
def test_hypervolume_is_the_area_that_cells_count(points: list[tuple[int, int]]) -> None:
    accuracy, cost = [a / 6 for a, _ in points], [c for _, c in points]
    cells = sum(any(a > row and c <= column for a, c in points) for row in range(6) for column in range(1, 6))
    # cell (row, column) is accuracy row/6 to (row+1)/6, cost column to column+1; the reference is (0, 6)
    assert hypervolume(accuracy, cost, 0.0, 6.0) == pytest.approx(cells / 36)


@given(GRID, st.tuples(st.integers(0, 6), st.integers(1, 6)))
def test_hypervolume_never_falls_when_a_point_comes(points, extra) -> None:
    def volume(p: list[tuple[int, int]]) -> float:
        return hypervolume([a / 6 for a, _ in p], [c for _, c in p], 0.0, 7.0)

    assert volume([*points, extra]) >= volume(points) - 1e-12


def test_empty_single_and_not_finite_points() -> None:
    assert pareto_front([], []).tolist() == []
    assert hypervolume([], [], 0.0, 1.0) == 0.0
    assert pareto_front([0.5], [1.0]).tolist() == [0]
    assert pareto_front([np.nan, 0.5, 0.9], [1.0, 2.0, np.inf]).tolist() == [1]
    assert hypervolume([np.nan, 0.5], [0.1, 0.5], 0.0, 1.0) == pytest.approx(0.25)


def test_shapes_and_boxes_are_checked() -> None:
    with pytest.raises(ValueError, match="lists of one length"):
        pareto_front([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="reference cost > 0"):
        hypervolume([0.5], [1.0], 0.0, 0.0)


def test_100_000_points_take_less_than_a_second() -> None:
    import time

    rng = np.random.default_rng(0)
    a, c = rng.random(100_000), rng.random(100_000)
    began = time.perf_counter()
    pareto_front(a, c)
    assert time.perf_counter() - began < 1.0
