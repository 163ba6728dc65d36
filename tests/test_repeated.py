"""Networks trained with several seeds: what the noise between seeds leaves open."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nas.repeated import Repeated, repeated
from results import ScaledTrials, chosen_of

ACCURACIES = st.lists(
    st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=1, max_size=5), min_size=1, max_size=6
)
THREE = repeated([[0.80, 0.84], [0.90, 0.86, 0.88], [0.70]])


@given(ACCURACIES)
def test_means_and_pooled_deviation_are_numpys(accuracies: list[list[float]]) -> None:
    measured = repeated(accuracies)
    assert measured.means == pytest.approx([np.mean(a) for a in accuracies])
    assert measured.freedom == sum(map(len, accuracies)) - len(accuracies)
    if measured.freedom == 0:
        assert measured.deviation is None
        return
    squares = sum(np.var(a) * len(a) for a in accuracies)
    assert measured.deviation == pytest.approx(np.sqrt(squares / measured.freedom), abs=1e-9)


def test_numbers_by_hand() -> None:
    assert THREE.means == pytest.approx((0.82, 0.88, 0.70))
    assert THREE.freedom == 3
    assert THREE.deviation == pytest.approx(((2 * 0.02**2 + 2 * 0.02**2) / 3) ** 0.5)
    quantile = 3.182446  # of a table: two-sided 95 % with 3 degrees of freedom
    assert THREE.error(1) == pytest.approx(quantile * THREE.deviation / 3**0.5, rel=1e-6)
    assert THREE.error(2) == pytest.approx(quantile * THREE.deviation, rel=1e-6)
    margin = THREE.margin(1, 0)
    half = quantile * THREE.deviation * (1 / 3 + 1 / 2) ** 0.5
    assert (margin.value, margin.low, margin.high) == pytest.approx((0.06, 0.06 - half, 0.06 + half))
    assert not margin.certain
    assert THREE.margin(1, 2).certain
    assert THREE.margin(2, 1).certain  # the other way round
    assert (THREE.order(), THREE.close()) == ([1, 0, 2], [0])


def test_two_networks_have_the_interval_of_students_test() -> None:
    one, other = [0.71, 0.74, 0.69, 0.75], [0.66, 0.70, 0.68]
    margin = repeated([one, other]).margin(0, 1)
    interval = stats.ttest_ind(one, other, equal_var=True).confidence_interval(0.95)
    assert (margin.low, margin.high) == pytest.approx((interval.low, interval.high))


def test_one_seed_each_leaves_all_open() -> None:
    measured = repeated([[0.5], [0.9], [0.7]])
    assert (measured.deviation, measured.error(0), measured.chances()) == (None, None, None)
    margin = measured.margin(1, 0)
    assert (margin.value, margin.low, margin.high, margin.certain) == (0.4, None, None, False)
    assert (measured.order(), measured.close()) == ([1, 2, 0], [2, 0])


def test_a_single_network_has_no_rival() -> None:
    measured = repeated([[0.5, 0.6]])
    assert (measured.order(), measured.close(), measured.chances()) == ([0], [], (1.0,))


@given(st.floats(0, 1), st.integers(2, 6), st.integers(2, 6))
def test_equal_accuracies_are_equal_however_many_there_are(value: float, one: int, other: int) -> None:
    measured = repeated([[value] * one, [value] * other])
    assert (measured.means, measured.deviation) == ((value, value), 0.0)
    assert (measured.order(), measured.close(), measured.chances()) == ([0, 1], [1], (0.5, 0.5))


def test_without_any_deviation_the_higher_is_certainly_the_best() -> None:
    measured = repeated([[0.5, 0.5], [0.75, 0.75], [0.75, 0.75]])
    assert (measured.deviation, measured.chances()) == (0.0, (0.0, 0.5, 0.5))
    assert (measured.order(), measured.close()) == ([1, 2, 0], [2])
    assert measured.margin(1, 0).certain


@settings(max_examples=30)
@given(ACCURACIES)
def test_chances_sum_to_one_and_are_the_same_each_time(accuracies: list[list[float]]) -> None:
    chances = repeated(accuracies).chances()
    if chances is None:
        assert all(len(a) == 1 for a in accuracies)
        return
    assert sum(chances) == pytest.approx(1.0)
    assert all(0.0 <= chance <= 1.0 for chance in chances)
    assert repeated(accuracies).chances() == chances


def test_chances_rank_as_the_means_do_where_seeds_are_as_many() -> None:
    chances = repeated([[0.80, 0.82], [0.83, 0.85], [0.84, 0.86], [0.60, 0.62]]).chances()
    assert list(np.argsort(chances)) == [3, 0, 1, 2]
    assert chances[3] < 0.01


def test_the_chance_of_one_of_two_is_that_of_students_t() -> None:
    one, other = [0.70, 0.74, 0.72], [0.71, 0.68, 0.70]
    chances = repeated([one, other]).chances()
    below = stats.ttest_ind(one, other, alternative="greater").pvalue
    assert chances[1] == pytest.approx(below, abs=0.01)


@pytest.mark.parametrize("seeds", [(2, 2), (3, 2), (6, 2), (2, 1)])
def test_the_interval_of_a_margin_covers_the_truth_about_95_times_of_100(seeds: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    counts = (*seeds, 2, 2)
    truth = (0.80, 0.79, 0.70, 0.75)
    covered = 0
    for _ in range(2000):
        draws = [tuple(rng.normal(mean, 0.01, n)) for mean, n in zip(truth, counts, strict=True)]
        margin = Repeated(tuple(draws)).margin(0, 1)
        covered += margin.low <= truth[0] - truth[1] <= margin.high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)  # three deviations of such a count


@pytest.mark.parametrize("accuracies", [[], [[]], [[0.5], []]])
def test_a_network_without_an_accuracy_is_no_network(accuracies: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="each network needs at least one accuracy"):
        repeated(accuracies)


def test_of_equal_means_of_unlike_many_seeds_the_first_is_the_best() -> None:
    def network(alpha: float, number: int) -> ScaledTrials:
        trial: Any = SimpleNamespace(accuracy=291 / 300)  # three times it, divided by three, is above it
        return ScaledTrials(choices={"alpha": alpha, "beta": 1.0, "gamma": 1.0}, trials=(trial,) * number)

    cheaper = network(1.1, 2)
    assert repeated([cheaper.accuracies, network(1.2, 3).accuracies]).order() == [0, 1]
    assert chosen_of([cheaper, network(1.2, 3)]) is cheaper
