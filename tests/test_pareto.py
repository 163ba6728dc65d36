"""Fronts and hypervolume against the definitions."""

import itertools
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results import hypervolume, pareto_front
from results.pareto import dominated_volume, hypervolume_curve, non_dominated

GRID = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=25)
POINTS = st.integers(1, 3).flatmap(
    lambda columns: st.lists(st.tuples(*[st.integers(0, 4)] * columns), min_size=1, max_size=30)
)


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


@given(POINTS)
def test_points_in_one_two_and_three_columns_are_on_the_front_by_the_definition(points) -> None:
    def better(one: int, other: int) -> bool:
        both = points[one], points[other]
        return all(x <= y for x, y in zip(*both, strict=True)) and (both[0] != both[1] or one < other)

    kept = [j for j in range(len(points)) if not any(better(i, j) for i in range(len(points)) if i != j)]
    found = non_dominated(points).tolist()
    assert sorted(found) == kept  # of equal points the first
    assert [points[i] for i in found] == sorted(points[i] for i in found)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=25))
def test_feasible_points_come_first_and_then_those_that_violate_least(rows) -> None:
    points, violation = [row[:2] for row in rows], [row[2] / 2 for row in rows]

    def better(one: int, other: int) -> bool:
        if violation[one] != violation[other]:
            return violation[one] < violation[other]
        both = points[one], points[other]
        return all(x <= y for x, y in zip(*both, strict=True)) and (both[0] != both[1] or one < other)

    kept = [j for j in range(len(rows)) if not any(better(i, j) for i in range(len(rows)) if i != j)]
    assert sorted(non_dominated(points, violation).tolist()) == kept
    assert {violation[i] for i in kept} == {min(violation)}


@given(POINTS)
def test_the_volume_is_the_cells_that_points_dominate(points) -> None:
    columns = len(points[0])
    cells = sum(
        any(all(x <= y for x, y in zip(point, cell, strict=True)) for point in points)
        for cell in itertools.product(range(4), repeat=columns)
    )
    # a cell reaches from its place to the next; points at 4 are not below the reference
    assert dominated_volume(points, [4] * columns) == cells


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=8))
def test_the_volume_of_any_numbers_is_that_of_inclusion_and_exclusion(points) -> None:
    exact = Fraction(0)
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points, size):
            sides = [1 - Fraction(max(column)) for column in zip(*some, strict=True)]
            exact -= (-1) ** size * sides[0] * sides[1] * sides[2]
    assert dominated_volume(points, [1, 1, 1]) == pytest.approx(float(exact), abs=1e-12)


@given(st.lists(st.tuples(st.floats(-0.1, 1), st.one_of(st.floats(0.01, 2.5), st.just(np.nan))), max_size=30))
def test_the_curve_is_the_hypervolume_of_each_beginning(points) -> None:
    accuracy, cost = [a for a, _ in points], [c for _, c in points]
    curve = hypervolume_curve(accuracy, cost, 0.1, 2.0)
    expected = [hypervolume(accuracy[:n], cost[:n], 0.1, 2.0) for n in range(1, len(points) + 1)]
    assert curve.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_none_one_equal_and_not_finite_points_in_any_number_of_columns(columns: int) -> None:
    none, reference = np.empty((0, columns)), np.ones(columns)
    assert (non_dominated(none).tolist(), dominated_volume(none, reference)) == ([], 0.0)
    assert non_dominated(none, []).tolist() == []
    same = np.full((3, columns), 0.5)
    assert (non_dominated(same).tolist(), dominated_volume(same, reference)) == ([0], 0.5**columns)
    for odd in (np.nan, np.inf, -np.inf):
        same[0, -1] = odd
        assert (non_dominated(same).tolist(), dominated_volume(same, reference)) == ([1], 0.5**columns)
    assert non_dominated(same, [0.0, np.inf, 2.0]).tolist() == [2]
    assert non_dominated(same, [0.0, np.nan, np.nan]).tolist() == []


@pytest.mark.parametrize(
    ("points", "violation", "words"),
    [
        ([1.0, 2.0], None, r"points must have shape \(N, 1\), \(N, 2\) or \(N, 3\), got \(2,\)"),
        ([[1.0] * 4], None, r"got \(1, 4\)"),
        ([[1.0]], [1.0, 2.0], r"violation must have shape \(1,\), got \(2,\)"),
        ([[1.0]], [-1.0], r"violation must be 0 or more, got -1.0"),
    ],
)
def test_what_is_no_point_and_no_violation_is_refused(points, violation, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        non_dominated(points, violation)


def test_a_reference_of_another_shape_or_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="reference must be 2 finite numbers"):
        dominated_volume([[1.0, 1.0]], [1.0])
    with pytest.raises(ValueError, match="reference must be 1 finite numbers"):
        dominated_volume([[1.0]], [np.inf])


def on_one_front(columns: int, number: int = 100_000) -> np.ndarray:
    """Points on a plane where none dominates another, in no order."""
    return np.random.default_rng(0).dirichlet(np.ones(columns), number)


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("kind", ["random", "on one front", "equal"])
def test_100_000_points_take_less_than_a_second(kind: str, columns: int) -> None:
    if kind == "on one front":
        points = on_one_front(columns)
    else:
        points = (
            np.random.default_rng(0).random((100_000, columns))
            if kind == "random"
            else 0.5 * np.ones((100_000, columns))
        )
    seconds = []
    for _ in range(3):  # another process may take a moment
        began = time.process_time()
        front = non_dominated(points)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 1.0
    assert len(front) == 1 if kind == "equal" else len(front) > 5
    if kind == "on one front":
        assert len(front) > 99_000  # all, but for rounding


def test_the_hypervolume_of_100_000_points_on_one_front_takes_seconds_at_most() -> None:
    began = time.process_time()
    assert dominated_volume(on_one_front(3), [1, 1, 1]) == pytest.approx(1 - 1 / 6, abs=0.01)
    assert time.process_time() - began < 3.0
