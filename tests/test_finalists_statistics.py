"""Means, differences and rank correlations of repeated trainings, against numbers made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from nas.finalists_statistics import Mean, rank_agreement, welch

accuracies = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6)


def test_the_interval_of_a_mean_is_students() -> None:
    # 0.90, 0.92, 0.94: deviation 0.02, t of 2 degrees of freedom 4.302653
    mean = Mean(values=(0.90, 0.92, 0.94))
    assert mean.value == pytest.approx(0.92)
    assert mean.error == pytest.approx(4.302653 * 0.02 / math.sqrt(3), abs=1e-7)
    assert Mean(values=(0.9,)).error is None
    assert Mean(values=(0.9, 0.9)).error == 0.0


def test_a_difference_has_welchs_interval() -> None:
    # variances 1 and 20/3; 3 and 4 numbers: error sqrt(1/3 + 5/3), degrees of freedom 4 / (1/18 + 25/27)
    margin = welch([1, 2, 3], [2, 4, 6, 8])
    assert margin.value == -3.0
    freedom = 4 / (1 / 18 + 25 / 27)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(2)
    assert (margin.low, margin.high) == pytest.approx((-3 - half, -3 + half))
    assert not margin.certain
    assert welch([5.0, 5.1], [1.0, 1.1]).certain
    alone = welch([0.9], [0.8, 0.7])
    assert (alone.low, alone.high, alone.certain) == (None, None, False)


def test_numbers_that_are_all_alike_say_nothing_of_their_noise() -> None:
    # of 300 images the same number was right twice, as happens: that is no interval without width
    alike = welch([0.98, 0.98], [0.97, 0.97])
    assert (alike.value, alike.low, alike.certain) == (pytest.approx(0.01), None, False)
    assert welch([0.98, 0.98], [0.90, 0.91]).certain


@given(accuracies, accuracies)
def test_welch_agrees_with_scipy(one: list[float], other: list[float]) -> None:
    assume(min(np.var(one), np.var(other)) > 1e-9)
    ours = welch(one, other)
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-6, abs=1e-9)
    assert welch(other, one).value == pytest.approx(-ours.value)


def test_ranks_that_agree_in_everything_and_in_nothing() -> None:
    proxy = [0.70, 0.72, 0.74, 0.76, 0.78, 0.80, 0.82, 0.84, 0.86, 0.88]
    final = [(p + 0.1, p + 0.101) for p in proxy]
    found = rank_agreement(proxy, final)
    assert (found.networks, found.spearman.value, found.kendall.value) == (10, 1.0, 1.0)
    assert (found.kendall.low, found.kendall.high) == (1.0, 1.0)
    turned = rank_agreement(proxy, final[::-1])
    assert (turned.spearman.value, turned.kendall.value) == (-1.0, -1.0)
    assert "wide" not in found.words


def test_a_swap_of_neighbours_by_hand() -> None:
    # ranks 1 2 3 4 against 1 2 4 3: rho 1 - 6 * 2 / (4 * 15), tau (5 - 1) / 6
    found = rank_agreement([0.1, 0.2, 0.3, 0.4], [(0.1,), (0.2,), (0.4,), (0.3,)])
    assert found.spearman.value == pytest.approx(0.8)
    assert found.kendall.value == pytest.approx(4 / 6)
    assert (found.spearman.low, found.kendall.low) == (None, None)
    assert "4 networks: too few for an interval" in found.words
    five = rank_agreement([0.1, 0.2, 0.3, 0.4, 0.5], [(0.1,), (0.2,), (0.4,), (0.3,), (0.5,)])
    assert five.kendall.low < five.kendall.value <= five.kendall.high
    assert "5 networks: the interval is wide" in five.words


def test_few_networks_in_perfect_order_are_no_proof() -> None:
    ordered = rank_agreement([0.1, 0.2, 0.3, 0.4, 0.5], [(0.1,), (0.2,), (0.3,), (0.4,), (0.5,)])
    assert (ordered.kendall.low, ordered.kendall.high) == (1.0, 1.0)
    assert "an interval without width says nothing of that" in ordered.words
    assert "wide" not in ordered.words
    tied = rank_agreement([0.1, 0.1, 0.2], [(0.1,), (0.2,), (0.2,)])
    assert (tied.kendall.value, tied.kendall.low) == (pytest.approx(0.5), None)
    assert "3 networks: too few for an interval" in tied.words


def test_finalists_are_called_close_only_where_they_are() -> None:
    words = "finalists lie close together, which lowers any rank correlation"
    assert words in rank_agreement([0.90, 0.91, 0.915], [(0.9,), (0.91,), (0.92,)]).words
    wide = rank_agreement([0.80, 0.85, 0.90], [(0.9, 0.901), (0.91, 0.911), (0.92, 0.921)])
    assert (wide.close, words in wide.words) == (False, False)
    assert rank_agreement([0.80, 0.85, 0.90], [(0.9, 0.7), (0.91, 0.71), (0.92, 0.72)]).close  # noise of 0.14


def test_the_bootstrap_draws_seeds_as_well_as_networks() -> None:
    # equal proxies and means, but seeds that overlap: the interval is wider for that alone
    proxy = [0.70, 0.72, 0.74, 0.76, 0.78, 0.80]
    sure = [(p, p, p) for p in proxy]
    noisy = [(p - 0.1, p, p + 0.1) for p in proxy]
    assert rank_agreement(proxy, sure).kendall.value == rank_agreement(proxy, noisy).kendall.value == 1.0
    assert rank_agreement(proxy, sure).kendall.low == 1.0
    assert rank_agreement(proxy, noisy).kendall.low < 0.7


def test_what_cannot_be_ranked_is_said() -> None:
    assert rank_agreement([0.5], [(0.6,)]).words == "the ranks of 1 network cannot be compared"
    assert rank_agreement([0.5, None, 0.6], [(0.6,), (0.7,), ()]).networks == 1
    equal = rank_agreement([0.5, 0.5], [(0.6,), (0.7,)])
    assert (equal.spearman.value, equal.kendall.value) == (None, None)


def test_the_same_numbers_give_the_same_interval() -> None:
    proxy, final = [0.1, 0.3, 0.2], [(0.2, 0.3), (0.1, 0.4), (0.6,)]
    assert rank_agreement(proxy, final) == rank_agreement(proxy, final)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.floats(0, 1), accuracies), min_size=2, max_size=6))
def test_correlations_and_their_intervals_stay_within_bounds(pairs) -> None:
    found = rank_agreement([p for p, _ in pairs], [f for _, f in pairs])
    for estimate in (found.spearman, found.kendall):
        for value in estimate:
            assert value is None or -1.0 - 1e-9 <= value <= 1.0 + 1e-9
