"""The arithmetic of an audit: known answers, and what must hold for any accuracies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from nas import audit_statistics
from nas.audit_statistics import (
    Agreement,
    Bias,
    Estimate,
    Precision,
    Trainings,
    advice,
    agreement,
    bias,
    cheapest,
    kendall,
    noise_and_spread,
    precision,
    regret,
    spearman,
    tau_b,
    verdict,
)

NONE = Estimate(None, None, None)


def trainings(accuracy, seconds: float = 1.0) -> Trainings:
    accuracy = np.asarray(accuracy, dtype=float)
    return Trainings(accuracy=accuracy, seconds=np.where(np.isnan(accuracy), np.nan, seconds))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_tau_b_is_scipys_for_a_sample_and_for_its_resamples(pairs, data) -> None:
    x, y = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    drawn = np.array(data.draw(st.lists(st.integers(0, len(x) - 1), min_size=len(x), max_size=len(x))))
    counts = np.vstack([np.ones(len(x)), np.bincount(drawn, minlength=len(x))])
    ours = tau_b(x, y, counts)
    theirs = [kendalltau(x, y).statistic, kendalltau(x[drawn], y[drawn]).statistic]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    rows = np.vstack([y, np.where(y == 2, np.nan, y[::-1])])  # another y of each weighting
    each = [tau_b(x, row, often[None])[0] for row, often in zip(rows, counts, strict=True)]
    np.testing.assert_array_equal(tau_b(x, rows, counts), each)


def test_tau_leaves_out_what_failed() -> None:
    x, y = np.array([1.0, np.nan, 2.0, 3.0]), np.array([1.0, 9.0, 2.0, 3.0])
    assert tau_b(x, y, np.ones((1, 4))) == 1.0
    assert kendall([(x, -y)]).value == -1.0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=10))
@settings(max_examples=40, deadline=None)
def test_spearman_is_scipys(pairs) -> None:
    x, y = np.array(pairs).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(spearman(x[None], y[None])).all()
    else:
        np.testing.assert_allclose(spearman(x[None], y[None]), [spearmanr(x, y).statistic], atol=1e-9)


def test_an_interval_covers_the_truth_about_as_often_as_it_says(monkeypatch) -> None:
    monkeypatch.setattr(audit_statistics, "RESAMPLES", 400)
    rng, correlation, covered = np.random.default_rng(1), 0.7, 0
    truth = 2 / np.pi * np.arcsin(correlation)  # Kendall's tau of two normal variables
    for _ in range(200):
        x, e = rng.normal(size=(2, 30))
        found = kendall([(x, correlation * x + np.sqrt(1 - correlation**2) * e)])
        covered += found.low <= truth <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_tau_is_in_the_mean_over_seeds_and_the_interval_is_always_the_same() -> None:
    rng = np.random.default_rng(0)
    y, x1, x2 = rng.normal(size=(3, 20))
    both = kendall([(x1, y), (x2, y)])
    assert both.value == pytest.approx((kendalltau(x1, y).statistic + kendalltau(x2, y).statistic) / 2)
    assert both.low < both.value < both.high
    assert both == kendall([(x1, y), (x2, y)])


def test_noise_and_spread_have_known_answers() -> None:
    # means 0.2 and 0.6; variance between seeds 0.02; between the means 0.08, of which 0.02 / 2 is noise
    noise, spread = noise_and_spread(np.array([[0.1, 0.3], [0.5, 0.7]]))
    assert noise == pytest.approx(0.02**0.5)
    assert spread == pytest.approx(0.07**0.5)
    assert noise_and_spread(np.array([[0.1, 0.3], [0.1, 0.3]])) == (pytest.approx(0.02**0.5), 0.0)
    assert noise_and_spread(np.array([[0.1], [0.3]])) == (None, None)
    assert noise_and_spread(np.full((3, 2), 0.7)) == (0.0, 0.0)
    rng = np.random.default_rng(3)
    many = rng.normal(0.7, 0.05, (4000, 1)) + rng.normal(0.0, 0.02, (4000, 3))
    many[::5, 2] = np.nan  # some failed
    assert noise_and_spread(many) == (pytest.approx(0.02, rel=0.05), pytest.approx(0.05, rel=0.05))


def test_the_deviation_of_each_network() -> None:
    found = trainings([[0.1, 0.3], [0.5, np.nan], [np.nan, np.nan]])
    np.testing.assert_allclose(found.deviation(), [0.02**0.5, 0.0, 0.0])
    np.testing.assert_allclose(found.mean(), [0.2, 0.5, np.nan])
    assert found.failed == 3


def test_regret_is_what_the_top_choice_loses() -> None:
    reference = np.array([0.9, 0.8, 0.7])
    assert regret(np.array([[0.5], [0.6], [0.4]]), reference) == pytest.approx(0.1)
    assert regret(np.array([[0.5, 0.6], [0.6, 0.5], [0.4, 0.4]]), reference) == pytest.approx(0.05)
    assert regret(np.array([[0.5], [0.5], [0.4]]), reference) == pytest.approx(0.05)  # tied: either of two
    assert regret(np.full((3, 1), np.nan), reference) is None


def test_what_favours_shallow_networks_is_said_to() -> None:
    rng = np.random.default_rng(0)
    layers = np.arange(24.0) + 4
    reference = 0.7 + 0.001 * rng.permutation(24)
    fair = reference - 0.1 + rng.normal(0, 0.001, 24)
    assert bias(fair, reference, layers, ("shallow", "deep"), "layers").words == "no bias found at n=24"
    shallow = bias(reference - 0.01 * layers, reference, layers, ("shallow", "deep"), "layers")
    assert shallow.words == "favours shallow networks"
    assert shallow.correlation.high < 0
    deep = bias(reference + 0.01 * layers, reference, layers, ("shallow", "deep"), "layers")
    assert deep.words == "favours deep networks"
    few = bias(reference[:6] - layers[:6], reference[:6], layers[:6], ("shallow", "deep"), "layers")
    assert few.words == "too few networks to tell at n=6"
    same = bias(fair, reference, np.full(24, 5.0), ("shallow", "deep"), "layers")
    assert (same.correlation, same.words) == (NONE, "all networks of the sample have equally many layers")


def test_equal_accuracies_define_nothing_and_break_nothing() -> None:
    macs, layers = np.arange(1.0, 9.0), np.full(8, 3.0)
    constant, varied = trainings(np.full((8, 2), 0.1)), trainings(np.linspace(0.1, 0.8, 8)[:, None])
    for proxy, reference in ((constant, varied), (varied, constant), (constant, constant)):
        found = agreement(proxy, reference, macs, layers)
        assert (found.tau, found.tau_mean) == (NONE, NONE)
        assert verdict(found, 0.7).level == "undefined"
        assert cheapest({"protocol": found}, 0.7) is None
        assert "no accuracies could be ranked" in advice({"protocol": found}, precision(reference), 0.7)
    assert precision(constant).noise_ratio is None


def test_networks_that_failed_everywhere_are_left_out() -> None:
    accuracy = np.linspace(0.1, 0.8, 8)[:, None].repeat(2, axis=1)
    broken = accuracy.copy()
    broken[0] = np.nan
    broken[1, 0] = np.nan
    found = agreement(trainings(broken), trainings(accuracy[:, :1]), np.arange(1.0, 9.0), np.arange(1.0, 9.0))
    assert (found.networks, found.precision.failed, found.tau.value) == (7, 3, 1.0)
    gone = agreement(
        trainings(np.full((8, 1), np.nan)), trainings(accuracy), np.arange(1.0, 9.0), np.arange(1.0, 9.0)
    )
    assert (gone.networks, gone.tau, gone.regret, gone.precision.seconds) == (0, NONE, None, None)


def found(tau: Estimate, n: int = 24, seconds: float = 1.0, own: float | None = None) -> Agreement:
    alone = Precision(failed=0, noise=None, spread=None, tau_seeds=Estimate(own, None, None), seconds=seconds)
    none = Bias(NONE, "")
    return Agreement(networks=n, precision=alone, tau=tau, tau_mean=NONE, regret=None, macs=none, layers=none)


@pytest.mark.parametrize(
    ("tau", "n", "level"),
    [
        (Estimate(0.85, 0.75, 0.9), 24, "good"),
        (Estimate(1.0, 1.0, 1.0), 5, "usable"),  # too few to be sure
        (Estimate(0.75, 0.5, 0.9), 24, "usable"),
        (Estimate(0.5, 0.2, 0.75), 24, "weak"),
        (Estimate(0.5, 0.2, 0.65), 24, "weak"),
        (Estimate(0.4, -0.1, 0.8), 24, "undecided"),
        (Estimate(0.8, -0.1, 1.0), 4, "undecided"),
        (Estimate(0.1, -0.2, 0.4), 24, "useless"),
        (Estimate(-0.9, -1.0, -0.8), 24, "useless"),
        (Estimate(0.3, None, None), 4, "undecided"),
        (NONE, 24, "undefined"),
    ],
)
def test_a_verdict_follows_tau_and_its_interval(tau: Estimate, n: int, level: str) -> None:
    judged = verdict(found(tau, n), 0.7)
    assert judged.level == level
    assert judged.words.startswith(f"{level}: ")


def test_the_cheapest_that_reaches_the_target_is_named_or_what_to_try() -> None:
    alone = precision(trainings([[0.1], [0.2]]))
    sure, likely = Estimate(0.85, 0.75, 0.9), Estimate(0.72, 0.5, 0.9)
    both = {"protocol": found(sure, seconds=9.0), "epochs=1": found(likely, seconds=3.0)}
    assert cheapest(both, 0.7) == "epochs=1"
    assert advice(both, alone, 0.7).endswith("epochs=1 (but not the lower end of its interval)")
    assert advice(both, alone, 0.74).endswith("protocol (and so does the lower end of its interval)")
    assert "try more epochs, larger images" in advice(both, alone, 0.9)
    noisy = {"protocol": found(Estimate(0.4, 0.2, 0.6), own=0.5)}
    assert "its own seeds agree only to 0.50" in advice(noisy, alone, 0.7)
    reference = Precision(failed=0, noise=None, spread=None, tau_seeds=Estimate(0.3, None, None), seconds=1.0)
    assert "raise audit.reference_seeds" in advice(noisy, reference, 0.7)
