"""The model-based controller: its model against textbook formulas, and what it promises under noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import Controller, Objective, Outcome, Proposal, create_controller
from controller.coding import Coding, ranks
from controller.front_goal import hypervolume_gains
from controller.gaussian_process import GaussianProcess
from controller.imagination import balanced_design, climb
from controller.mutation import distinct, mutants
from controller.observations import Observations
from results.pareto import hypervolume
from search_space import Decision, FieldError, Limits, SearchSpace, cost, load_space

SPACE = SearchSpace(
    [Decision(f"width{d}", (8, 16, 24, 32)) for d in range(6)]
    + [Decision(f"op{d}", ("identity", "conv", "pool")) for d in range(4)]
)


def quality(indices: tuple[int, ...]) -> float:
    """A smooth reward with one best point: widths 24, operations conv."""
    widths = sum(abs(i - 2) for i in indices[:6]) / 6
    return (
        0.7 - 0.05 * widths - 0.03 * sum(i != 1 for i in indices[6:]) / 4 - 0.02 * (indices[0] != indices[1])
    )


def search(controller: Controller, results: int, noise: float = 0.0, batch: int = 4) -> list[float]:
    """Rewards without noise, in the order of asking."""
    rng, true = np.random.default_rng(5), []
    while len(true) < results:
        proposals = controller.ask(batch)
        rewards = [quality(p.indices) for p in proposals]
        noisy = [r + noise * float(rng.standard_normal()) for r in rewards]
        controller.tell(proposals, [Outcome(r, 1.0, r) for r in noisy])
        true += rewards
    return true


# --- coding ---------------------------------------------------------------------------------------------


def test_ordered_choices_become_thermometers_and_others_one_bit_a_choice() -> None:
    assert ranks((5, 3, 7)) == [1, 0, 2]
    assert ranks(("mbconv1", "mbconv6", "mbconv4")) == [0, 2, 1]
    assert ranks(("identity", "k3e3", "k5e6")) is None
    assert ranks((True, False, 3)) is None
    assert ranks((1, "1", 2)) is None  # one number twice
    space = SearchSpace([Decision("k", (5, 3, 7)), Decision("op", ("a", "b", "c")), Decision("one", (0,))])
    bits = Coding(space)([[0, 0, 0], [1, 1, 0], [2, 2, 0]])
    assert bits.tolist() == [[1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [1, 1, 0, 0, 1]]


# --- the Gaussian process -------------------------------------------------------------------------------


def fitted(n: int = 40, noise: float = 0.1) -> tuple[GaussianProcess, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    coding = Coding(SPACE)
    points = np.array([SPACE.random(rng) for _ in range(n)])
    values = np.array([quality(tuple(p)) for p in points]) * 10 + noise * rng.standard_normal(n)
    process = GaussianProcess(coding.bits)
    process.fit_parameters(coding(points), values, rng)
    process.condition(coding(points), values)
    return process, coding(points), values


def test_the_posterior_is_that_of_the_textbook() -> None:
    process, x, values = fitted()
    new = Coding(SPACE)(np.array([SPACE.random(np.random.default_rng(9)) for _ in range(30)]))
    p, m = process.log_parameters.numpy(), process.bits
    w, theta, a, b, noise = np.exp(p[:m]), np.exp(p[m : 2 * m]), *np.exp(p[2 * m :])

    def kernel(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        differs = (u[:, None] != v[None]).astype(float)  # (N, K, M)
        signs = (2 * u[:, None] - 1) * (2 * v[None] - 1)
        return a * (signs * w).mean(2) + b * np.exp(-(differs * theta).sum(2))

    mean, std = values.mean(), values.std()
    inverse = np.linalg.inv(kernel(x, x) + (noise + 1e-6) * np.eye(len(x)))
    expected = kernel(new, x) @ inverse @ ((values - mean) / std) * std + mean
    covariance = (kernel(new, new) - kernel(new, x) @ inverse @ kernel(x, new)) * std**2
    joint_mean, joint = process.joint(new)
    assert np.allclose(joint_mean, expected, atol=1e-8)
    assert np.allclose(joint, covariance, atol=1e-8)
    assert np.allclose(process.mean(new), expected, atol=1e-8)
    single_mean, single_std = process.predict(new)  # in single precision
    assert np.allclose(single_mean, expected, atol=1e-3 * std)
    assert np.allclose(single_std, np.sqrt(np.diag(covariance)), atol=5e-3 * std)
    assert process.noise == pytest.approx(noise * std**2)


def test_fitting_tells_a_quiet_measurement_from_a_loud_one() -> None:
    quiet, loud = fitted(120, 0.01)[0].noise, fitted(120, 0.5)[0].noise
    assert quiet < 0.05**2
    assert loud > 10 * quiet


def test_a_kernel_that_is_nearly_singular_still_has_a_factor() -> None:
    process = GaussianProcess(3)
    same = np.tile([[1.0, 0.0, 1.0]], (50, 1))
    process.log_parameters[-1] = -60.0  # no noise at all
    process.condition(same, np.zeros(50))
    assert np.isfinite(process.joint(same)[1]).all()


# --- batches and candidates -----------------------------------------------------------------------------


def test_a_batch_is_chosen_as_if_its_first_points_had_been_measured() -> None:
    controller = create_controller("dyna", SPACE, 0)
    search(controller, 24)
    goal, seen = controller._goal, controller._seen  # type: ignore[attr-defined]
    goal._condition(seen)
    rng = np.random.default_rng(3)
    candidates = np.array([SPACE.random(rng) for _ in range(60)])
    candidates = candidates[distinct(candidates)]
    first, second = goal.chosen(2, candidates, seen)
    bits, noise = Coding(SPACE)(candidates), goal._surrogate.noise
    mean, covariance = goal._surrogate._process.joint(bits)
    bound = mean + 2.0 * np.sqrt(np.diag(covariance))
    top = int(np.argmax(bound))
    assert candidates[top].tolist() == first.tolist()
    column = covariance[:, top]
    left = np.diag(covariance) - column**2 / (column[top] + noise)
    bound = mean + 2.0 * np.sqrt(np.maximum(left, 0))
    bound[top] = -np.inf
    assert candidates[int(np.argmax(bound))].tolist() == second.tolist()


def test_outstanding_proposals_are_not_proposed_again_and_push_others_away() -> None:
    controller = create_controller("dyna", SPACE, 0)
    search(controller, 24)
    waiting = [controller.ask(1)[0].indices for _ in range(12)]  # nothing is told meanwhile
    assert len(set(waiting)) == 12


def test_nothing_measured_is_proposed_again_while_something_is_new() -> None:
    space = SearchSpace([Decision("a", tuple(range(6))), Decision("b", tuple(range(6)))])
    controller = create_controller("dyna", space, 0)
    asked: list[tuple[int, ...]] = []
    for _ in range(34):
        proposals = controller.ask(1)
        asked += [p.indices for p in proposals]
        controller.tell(proposals, [Outcome(0.5, 1.0, float(sum(asked[-1]))) for _ in proposals])
    assert len(set(asked[16:])) >= 17  # the design may repeat, local search reaches nearly all that is left


def test_balanced_designs_show_every_choice_equally_often() -> None:
    sizes = [2, 3, 4, 1]
    design = balanced_design(12, sizes, np.random.default_rng(0))
    for column, size in zip(design.T, sizes, strict=True):
        assert np.bincount(column, minlength=size).tolist() == [12 // size] * size


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(1, 3), st.integers(0, 2**31))
def test_mutants_are_legal_and_change_a_few_decisions(sizes: list[int], changes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, sizes, size=(7, len(sizes)))
    made = mutants(points, 3, changes, sizes, rng)
    assert made.shape == (21, len(sizes))
    assert ((made >= 0) & (made < sizes)).all()
    changed = (made != np.repeat(points, 3, axis=0)).sum(1)
    assert (changed <= changes).all()
    if changes == 1 and max(sizes) > 1:
        assert (changed == 1).all()


def test_distinct_keeps_the_first_of_each_row_in_order() -> None:
    points = np.array([[1, 0], [0, 1], [1, 0], [0, 0], [0, 1]])
    assert distinct(points).tolist() == [0, 1, 3]


def test_local_search_climbs_to_the_top() -> None:
    rng = np.random.default_rng(0)
    start = np.array([SPACE.random(rng) for _ in range(4)])
    sizes = [len(decision.choices) for decision in SPACE.decisions]
    found = climb(lambda x: np.array([quality(tuple(p)) for p in x]), start, sizes, rng)
    assert quality(tuple(found[0])) > max(quality(tuple(p)) for p in start) + 0.02


# --- the whole ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["factorised", "lstm", "none"])
def test_it_finds_the_best_of_331776_points_in_80_results(policy: str) -> None:
    assert max(search(create_controller("dyna", SPACE, 0, policy=policy), 80)) == pytest.approx(0.7)
    assert max(search(create_controller("random", SPACE, 0), 80)) < 0.69


def test_under_noise_the_recommendation_is_better_than_the_luckiest() -> None:
    ours, luckiest = [], []
    for seed in range(4):
        controller = create_controller("dyna", SPACE, seed)
        search(controller, 96, noise=0.01)
        ours.append(quality(controller.recommend()))
        luckiest.append(quality(Controller.recommend(controller)))  # the best observed
    assert np.mean(ours) > np.mean(luckiest)
    assert np.median(ours) > 0.685


def test_failures_are_left_alone_and_never_recommended() -> None:
    controller = create_controller("dyna", SPACE, 0)
    failed = 0
    for _ in range(12):
        proposals = controller.ask(4)
        outcomes = [
            None if p.indices[6] == 2 else Outcome(0.5, 1.0, quality(p.indices)) for p in proposals
        ]  # pooling in the first place fails
        failed = sum(outcome is None for outcome in outcomes)
        controller.tell(proposals, outcomes)
    assert failed <= 1
    assert controller.recommend()[6] != 2


def test_memory_is_bounded_and_keeps_the_best() -> None:
    seen = Observations(2, capacity=20)
    for number in range(200):
        seen.add((number % 7, number), Outcome(0.5, 1.0, float(number % 50)))
    assert len(seen) == 20
    assert (seen.reward >= 40).sum() >= 10
    copy = Observations(2, capacity=20)
    copy.load_state_dict(seen.state_dict())
    assert np.array_equal(copy.points, seen.points)
    assert np.array_equal(copy.reward, seen.reward)


def test_the_same_measurement_told_again_counts_once_and_another_one_twice() -> None:
    seen = Observations(1, capacity=20)
    for reward in (0.5, 0.5, 0.6):
        seen.add((1,), Outcome(0.5, 1.0, reward))
    seen.add((2,), None)
    seen.add((2,), None)
    assert seen.reward[:2].tolist() == [0.5, 0.6]
    assert seen.succeeded.tolist() == [True, True, False]


def test_a_controller_that_forgets_goes_on() -> None:
    controller = create_controller("dyna", SPACE, 0, capacity=24)
    assert max(search(controller, 80)) > 0.69


def test_limits_hold_for_every_proposal() -> None:
    space = load_space("digits").limited(Limits(macs=6e5), 10, 1)
    controller = create_controller("dyna", space, 0, Objective(target=1e6))
    for _ in range(8):
        proposals = controller.ask(4)
        costs = [cost(space.decode(p.indices), 10, 1).macs for p in proposals]
        assert max(costs) <= 6e5
        controller.tell(proposals, [Outcome(0.5, float(c), 0.5 + c / 1e7) for c in costs])


# --- the front ------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 2)), min_size=1, max_size=8),
    st.tuples(st.floats(0, 1), st.floats(0.01, 2)),
)
def test_the_gain_is_the_difference_of_two_hypervolumes(
    others: list[tuple[float, float]], new: tuple[float, float]
) -> None:
    accuracy, macs = np.array(others).T
    before = hypervolume(accuracy, macs, 0.2, 1.5)
    after = hypervolume(np.append(accuracy, new[0]), np.append(macs, new[1]), 0.2, 1.5)
    gain = hypervolume_gains(np.array([new[0]]), np.array([new[1]]), accuracy, macs, 0.2, 1.5)[0]
    assert gain == pytest.approx((after - before) * 1.5 * 0.8, abs=1e-9)


@pytest.mark.parametrize("arithmetic", [True, False])
def test_the_goal_front_spreads_along_the_front(arithmetic: bool) -> None:
    space = load_space("digits")
    if not arithmetic:  # decisions alone: the cost has to be learned
        space = SearchSpace(space.decisions)
    tables = load_space("digits").tables(1000, 3)

    def covered(name: str, **options: object) -> float:
        controller = create_controller(name, space, 0, Objective(target=5e6), **options)
        accuracy, macs = [], []
        for _ in range(16):
            proposals = controller.ask(4)
            costs = tables.cost([p.indices for p in proposals])[0].astype(float)
            found = [
                0.9 - 0.3 * np.exp(-c / 3e6) - 0.02 * (p.indices[0] == 0)
                for c, p in zip(costs, proposals, strict=True)
            ]
            controller.tell(
                proposals, [Outcome(float(a), float(c), float(a)) for a, c in zip(found, costs, strict=True)]
            )
            accuracy += found
            macs += costs.tolist()
        space.choices(controller.recommend())
        return hypervolume(accuracy, macs, 0.6, 1.1 * tables.extremes("macs").largest)

    assert covered("dyna", goal="front") > covered("random")


def test_the_front_needs_to_know_which_cost() -> None:
    with pytest.raises(FieldError, match="goal front needs an objective"):
        create_controller("dyna", SPACE, 0, goal="front")
    with pytest.raises(FieldError, match="policy must be factorised or lstm or none"):
        create_controller("dyna", SPACE, 0, policy="lstmm")


def test_a_proposal_of_somebody_else_teaches_too() -> None:
    controller = create_controller("dyna", SPACE, 0)
    rng = np.random.default_rng(0)
    for _ in range(40):
        indices = SPACE.random(rng)
        told = Proposal(indices, SPACE.choices(indices))
        controller.tell([told], [Outcome(0.5, 1.0, quality(indices))])
    controller.ask(16)  # the design
    best = max(quality(p.indices) for p in controller.ask(8))
    assert best > 0.67


@pytest.mark.parametrize("share", [0.05, 0.01])
def test_under_tight_limits_it_still_searches_and_does_not_just_repair(share: float) -> None:
    whole = load_space("accel-nasbench")
    rng = np.random.default_rng(0)
    macs = whole.known_cost([whole.random(rng) for _ in range(2000)], "macs")
    assert macs is not None
    limit = float(np.quantile(macs, share))
    space = whole.limited(Limits(macs=limit))

    def best(name: str) -> float:
        controller, found = create_controller(name, space, 0), []
        for _ in range(6):
            proposals = controller.ask(8)
            costs = space.known_cost([p.indices for p in proposals], "macs")
            assert costs is not None
            assert costs.max() <= limit
            found += [
                0.7 + 0.06 * np.log(c / 3e8) + 0.004 * sum(p.indices[3::4])
                for c, p in zip(costs, proposals, strict=True)
            ]  # costly and deep is better
            outcomes = [Outcome(float(r), 1.0, float(r)) for r in found[-8:]]
            controller.tell(proposals, outcomes)
        return max(found)

    assert best("dyna") > best("random") + 0.002


def test_a_small_space_is_used_up_without_repeats_whatever_its_limits() -> None:
    class Limited(SearchSpace):
        def allows(self, indices):
            return sum(indices) <= 6

        def allowed(self, points):
            return np.asarray(points).sum(1) <= 6

        def repaired(self, indices):
            return tuple(0 for _ in indices)

    space = Limited([Decision(f"d{i}", ("a", "b", "c", "d")) for i in range(4)])
    possible = sum(sum(p) <= 6 for p in np.ndindex(4, 4, 4, 4))
    controller, asked = create_controller("dyna", space, 0, first=8), []
    while len(asked) < possible:
        proposals = controller.ask(8)
        asked += [p.indices for p in proposals]
        controller.tell(proposals, [Outcome(0.5, 1.0, float(sum(p.indices))) for p in proposals])
    assert len(set(asked)) >= possible - 8  # some of the first points had to be repaired


def test_hyper_parameters_are_fitted_again_when_old_measurements_give_way() -> None:
    controller = create_controller("dyna", SPACE, 0, capacity=32, first=8)
    search(controller, 40)
    before = controller._goal._surrogate._process.log_parameters.clone()  # type: ignore[attr-defined]
    search(controller, 40)
    after = controller._goal._surrogate._process.log_parameters  # type: ignore[attr-defined]
    assert (before != after).any()


def test_the_threads_of_torch_change_nothing() -> None:
    import torch

    states = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        controller = create_controller("dyna", SPACE, 0)
        search(controller, 40, noise=0.01)
        assert torch.get_num_threads() == threads
        states.append(controller._goal._surrogate._process.log_parameters)  # type: ignore[attr-defined]
    assert torch.equal(*states)
