"""One contract that every controller keeps, and what each is for."""

import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from controller import CONTROLLERS, Controller, Objective, Outcome, Proposal, create_controller
from search_space import Decision, FieldError, InputError, Limits, SearchSpace, load_space

SPACES = {
    "one choice": SearchSpace([Decision("only", ("x",))]),
    "one decision": SearchSpace([Decision("a", tuple(range(5)))]),
    "mixed": SearchSpace([Decision("a", (1, 2)), Decision("b", ("x", "y", "z")), Decision("c", (0,))]),
    "100 decisions": SearchSpace([Decision(f"d{i}", tuple(range(2 + i % 3))) for i in range(100)]),
}
everywhere = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
everyone = pytest.mark.parametrize("name", CONTROLLERS)


def reward_of(indices: tuple[int, ...]) -> float:
    """Best where every index is 1, with ties broken."""
    return float(np.mean([i == 1 for i in indices]) + 1e-3 * sum(indices) / (1 + len(indices)))


def outcomes_for(proposals, fail_every: int = 0) -> list[Outcome | None]:
    return [
        None if fail_every and n % fail_every == 0 else Outcome(0.5, 1.0, reward_of(p.indices))
        for n, p in enumerate(proposals)
    ]


def make(name: str, space: SearchSpace, seed: int = 0) -> Controller:
    return create_controller(name, space, seed, Objective(target=1.0))


@everyone
@everywhere
def test_proposals_are_legal_points_of_the_space(name: str, space: SearchSpace) -> None:
    controller = make(name, space)
    proposals = controller.ask(9)
    assert len(proposals) == 9
    assert all(p.choices == space.choices(p.indices) for p in proposals)
    assert controller.ask(0) == []


@everyone
@everywhere
def test_results_in_any_order_with_failures_and_duplicates(name: str, space: SearchSpace) -> None:
    controller, rng = make(name, space), np.random.default_rng(0)
    outstanding = []
    for _ in range(12):
        outstanding += controller.ask(5)  # more than some of these spaces hold
        rng.shuffle(outstanding)
        told, outstanding = outstanding[:4], outstanding[4:]
        controller.tell(told, outcomes_for(told, fail_every=3))
        controller.tell(told[:1], outcomes_for(told[:1]))
    controller.tell([], [])
    assert len(controller.ask(3)) == 3
    space.choices(controller.recommend())


@everyone
@everywhere
def test_state_round_trip_in_mid_search_is_exact(name: str, space: SearchSpace) -> None:
    first = make(name, space, seed=3)
    batch = first.ask(21)
    first.tell(batch[:19], outcomes_for(batch[:19], fail_every=4))
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second = make(name, space, seed=99)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    assert second.recommend() == first.recommend()
    for _ in range(4):
        a, b = first.ask(9), second.ask(9)
        assert a == b
        first.tell(a, outcomes_for(a))
        second.tell(b, outcomes_for(b))
    assert first.diagnostics() == second.diagnostics()


@everyone
def test_a_saved_state_does_not_change_with_the_controller(name: str) -> None:
    space = SPACES["mixed"]
    controller = make(name, space)
    state = controller.state_dict()
    expected = controller.ask(5)
    for _ in range(5):
        batch = controller.ask(20)
        controller.tell(batch, outcomes_for(batch))
    controller.load_state_dict(state)
    assert controller.ask(5) == expected


@everyone
def test_state_does_not_grow_with_what_was_told(name: str) -> None:
    def size(controller: Controller) -> int:
        buffer = io.BytesIO()
        torch.save(controller.state_dict(), buffer)
        return len(buffer.getvalue())

    controller = make(name, SPACES["mixed"])
    sizes = []
    for _ in range(2):
        for _ in range(10):
            batch = controller.ask(16)
            controller.tell(batch, outcomes_for(batch))
        sizes.append(size(controller))
    assert sizes[1] <= sizes[0] + 256


@everyone
def test_the_same_seed_proposes_the_same(name: str) -> None:
    space = SPACES["100 decisions"]
    assert make(name, space, 5).ask(3) == make(name, space, 5).ask(3)
    assert make(name, space, 5).ask(3) != make(name, space, 6).ask(3)


@everyone
def test_the_global_generators_are_left_alone(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    controller = make(name, SPACES["mixed"])
    batch = controller.ask(40)
    controller.tell(batch, outcomes_for(batch))
    assert torch.equal(before, torch.get_rng_state())


@everyone
def test_recommend_is_the_best_seen_and_needs_a_success(name: str) -> None:
    controller = make(name, SPACES["mixed"])
    proposals = controller.ask(6)
    controller.tell(proposals, [None] * 6)
    with pytest.raises(RuntimeError, match="needs a successful candidate"):
        controller.recommend()
    controller.tell(proposals, outcomes_for(proposals))
    assert reward_of(controller.recommend()) == max(reward_of(p.indices) for p in proposals)


@everyone
def test_what_is_told_is_checked(name: str) -> None:
    controller = make(name, SPACES["mixed"])
    proposals = controller.ask(2)
    with pytest.raises(FieldError, match="outcomes must number 2, got 1"):
        controller.tell(proposals, [None])
    with pytest.raises(FieldError, match="reward must be finite, got nan"):
        Outcome(0.5, 1.0, float("nan"))


@everyone
def test_a_state_of_another_controller_or_space_is_refused(name: str) -> None:
    other = "random" if name == "ppo" else "ppo"
    with pytest.raises(ValueError, match="state is of a"):
        make(name, SPACES["mixed"]).load_state_dict(make(other, SPACES["mixed"]).state_dict())
    renamed = SearchSpace([Decision("a", (1, 3)), Decision("b", ("x", "y", "z")), Decision("c", (0,))])
    for space in (renamed, SPACES["one decision"]):
        with pytest.raises(ValueError, match="state is of another space"):
            make(name, SPACES["mixed"]).load_state_dict(make(name, space).state_dict())


def test_ppo_learns_and_random_does_not() -> None:
    space = SearchSpace([Decision(f"d{i}", ("a", "b", "c")) for i in range(8)])

    def mean_reward(name: str) -> float:
        controller = create_controller(name, space, 0)
        for _ in range(60):
            batch = controller.ask(16)
            controller.tell(batch, outcomes_for(batch))
        return float(np.mean([reward_of(p.indices) for p in controller.ask(64)]))

    assert mean_reward("ppo") > 0.8
    assert mean_reward("random") < 0.5


def test_ppo_log_probs_are_those_of_the_policy_that_sampled() -> None:
    space = SPACES["mixed"]
    controller = make("ppo", space)
    proposals = controller.ask(50)
    assert all(p.log_prob == pytest.approx(-np.log(6), abs=1e-5) for p in proposals)  # uniform at first
    sequences = torch.tensor([p.indices for p in proposals])
    for _ in range(5):
        batch = controller.ask(16)
        controller.tell(batch, outcomes_for(batch))
    fresh = controller.ask(50)
    sequences = torch.tensor([p.indices for p in fresh])
    log_prob, entropy = controller.policy.evaluate(sequences)  # type: ignore[attr-defined]
    assert torch.allclose(log_prob, torch.tensor([p.log_prob for p in fresh]), atol=1e-5)
    assert entropy.shape == (3,)


def test_ppos_clip_stops_the_gradient_of_what_has_moved_far_enough() -> None:
    def moved(clip: float) -> float:
        """How far one update raises the probability of the better of two choices."""
        space = SearchSpace([Decision("a", ("x", "y"))])
        controller = create_controller(
            "ppo", space, 0, batch=4, epochs=300, entropy_bonus=0.0, clip=clip, learning_rate=5e-4
        )
        proposals = controller.ask(4)
        while sum(p.indices[0] for p in proposals) != 2:
            proposals = controller.ask(4)
        controller.tell(proposals, [Outcome(0.5, 1.0, float(p.indices[0])) for p in proposals])
        return controller.policy.evaluate(torch.tensor([[1]]))[0].exp().item() / 0.5  # type: ignore[attr-defined]

    assert 1.15 < moved(0.2) < 1.35
    assert moved(1.0) > 1.6


def test_failures_steer_the_policy_away_without_a_reward() -> None:
    space = SearchSpace([Decision("a", ("works", "fails"))])
    controller = create_controller("ppo", space, 0, batch=8)
    for _ in range(40):
        batch = controller.ask(8)
        rewards = [None if p.indices[0] else Outcome(0.5, 1.0, 0.5 + 0.01 * n) for n, p in enumerate(batch)]
        controller.tell(batch, rewards)
    assert np.mean([p.indices[0] for p in controller.ask(100)]) < 0.3


def test_unknown_controllers_and_options_name_the_nearest() -> None:
    space = SPACES["mixed"]
    with pytest.raises(InputError, match="'pppo' is no known controller; did you mean ppo?"):
        create_controller("pppo", space, 0)
    with pytest.raises(FieldError, match="lerning_rate is no option of ppo; did you mean learning_rate?"):
        create_controller("ppo", space, 0, lerning_rate=0.1)
    with pytest.raises(FieldError, match="clip must be between 0.001 and 1, got 2"):
        create_controller("ppo", space, 0, clip=2.0)


def test_the_entropy_bonus_raises_the_entropy() -> None:
    space = SearchSpace([Decision(f"d{i}", ("a", "b", "c")) for i in range(4)])
    controller = create_controller("ppo", space, 0, entropy_bonus=1.0)
    for head in controller.policy.heads:  # type: ignore[attr-defined]
        head.bias.data[0] = 2.0  # a policy that has settled
    entropies = []
    for _ in range(20):
        batch = controller.ask(16)
        controller.tell(batch, [Outcome(0.5, 1.0, 0.5)] * 16)  # nothing to learn but the bonus
        entropies.append(controller.diagnostics()["entropy"])
    assert entropies[-1] > entropies[0] + 0.1


def test_the_ratio_is_against_the_policy_that_sampled_and_not_the_one_that_learns() -> None:
    space = SPACES["mixed"]

    def probability_after(shift: float) -> float:
        """Of a good proposal, after an update that hears how probable it was when it was sampled."""
        controller = create_controller("ppo", space, 0, batch=2, epochs=1, entropy_bonus=0.0)
        good, bad = (0, 0, 0), (1, 1, 0)
        told = [Proposal(i, space.choices(i), -math.log(6) - shift) for i in (good, bad)]
        controller.tell(told, [Outcome(0.5, 1.0, 1.0), Outcome(0.5, 1.0, 0.999)])
        return float(controller.policy.evaluate(torch.tensor([good]))[0].detach())  # type: ignore[attr-defined]

    # both far less probable when sampled: the good one is clipped, the bad one still pushed away from
    assert probability_after(0.0) != probability_after(1.0)


def test_the_baseline_moves_with_the_rewards() -> None:
    controller = create_controller("ppo", SPACES["mixed"], 0, batch=2, baseline_decay=0.75)
    expected = 0.0
    for step, reward in enumerate([0.2, 0.6, 0.4]):
        batch = controller.ask(2)
        controller.tell(batch, [Outcome(0.5, 1.0, reward)] * 2)
        expected = reward if step == 0 else 0.75 * expected + 0.25 * reward
        assert controller.diagnostics()["baseline"] == pytest.approx(expected)


def test_the_example_of_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent / "docs" / "controllers.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example, {})
    assert capsys.readouterr().out.strip() in example


@everyone
def test_numbers_of_numpy_and_calls_without_gradients_are_fine(name: str) -> None:
    controller = make(name, SPACES["mixed"])
    for _ in range(4):
        proposals = controller.ask(6)
        theirs = [Proposal(tuple(np.array(p.indices)), p.choices, p.log_prob) for p in proposals]
        with torch.no_grad():
            controller.tell(
                theirs, [Outcome(*np.float64([0.5, 1.0, reward_of(p.indices)])) for p in proposals]
            )
    buffer = io.BytesIO()
    torch.save(controller.state_dict(), buffer)
    buffer.seek(0)
    make(name, SPACES["mixed"]).load_state_dict(torch.load(buffer, weights_only=True))


@pytest.mark.parametrize("name", ["ppo", "reinforce"])
def test_a_result_that_comes_far_too_late_does_not_destroy_the_policy(name: str) -> None:
    space = SPACES["100 decisions"]
    controller = create_controller(name, space, 0, batch=2)
    stale = [Proposal(p.indices, p.choices, (p.log_prob or 0.0) - 200.0) for p in controller.ask(2)]
    controller.tell(stale, [Outcome(0.5, 1.0, 0.1), Outcome(0.5, 1.0, 0.9)])
    controller.ask(2)
    assert all(math.isfinite(value) for value in controller.diagnostics().values())


@everyone
def test_accuracies_in_percent_rule_nothing_out(name: str) -> None:
    space, objective = load_space("digits"), Objective(target=1e6)
    controller = create_controller(name, space, 0, objective)
    for _ in range(4):
        proposals = controller.ask(8)
        controller.tell(proposals, [Outcome(90.0 + i, 1e6, 90.0 + i) for i in range(8)])
    assert len({p.indices for p in controller.ask(8)}) > 2


def test_first_points_that_were_beyond_the_limits_do_not_count_as_proposed() -> None:
    whole = load_space("digits")
    macs = whole.known_cost([whole.random(np.random.default_rng(s)) for s in range(300)], "macs")
    assert macs is not None
    space = whole.limited(Limits(macs=float(np.quantile(macs, 0.1))))
    controller = create_controller("evolution", space, 0, population=20, tournament=5)
    controller.ask(5)
    assert controller._proposed == 5  # type: ignore[attr-defined]
