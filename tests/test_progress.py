"""What figures and the report are made of: curves of a search, its policy, the choices of its best."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results import Trial
from results.choices import choice_frequencies
from results.drawing import drawn_stages
from results.pareto import hypervolume, hypervolume_curve
from results.policy import policy_map
from results.progress import running_best, search_curves, worker_gpus
from results.schema import Session
from results.trial import ranked
from search_space import Decision, cost, load_architecture

OP, KERNEL = Decision("op", ("a", "b")), Decision("kernel", (3, 5, 7))


def trial(number: int, arrival: int | None, accuracy: float | None = None, **facts: object) -> Trial:
    status = "done" if accuracy is not None else "failed" if arrival is not None else "pending"
    return Trial(
        **{  # type: ignore[arg-type]
            **{"id": number, "key": str(number), "protocol": "p", "seed": 0, "choices": {}},
            **{"architecture": {}, "macs": 100 * number, "params": number, "status": status},
            **{"accuracy": accuracy, "reward": accuracy, "arrival": arrival, "seconds": 3600.0},
            **facts,
        }
    )


def test_curves_follow_the_order_of_arrival() -> None:
    trials = [trial(1, 3, 0.5), trial(2, 1, 0.7), trial(3, 2), trial(4, None), trial(5, 4, 0.9)]
    curves = search_curves(trials, 1000.0)
    assert curves.ids.tolist() == [2, 1, 5]
    assert curves.ids[curves.best].tolist() == [2, 2, 5]
    assert curves.hours.tolist() == [1.0, 3.0, 4.0]  # the failed candidate was evaluated for an hour too
    assert curves.hypervolume.tolist() == pytest.approx([0.7 * 0.8, 0.7 * 0.8 + 0.5 * 0.1, 0.71])
    assert curves.hours_label == "worker-hours"


def test_of_equal_rewards_the_best_is_the_one_that_the_ranking_puts_first() -> None:
    trials = [trial(1, 3, 0.7), trial(2, 1, 0.7), trial(3, 2, 0.5), trial(4, 4, 0.7)]
    curves = search_curves(trials, 1000.0)
    assert curves.ids[curves.best].tolist() == [2, 2, 1, 1]
    assert curves.ids[curves.best[-1]] == ranked(trials)[0].id


def test_hours_are_of_gpus_where_workers_have_some() -> None:
    curves = search_curves([trial(1, 1, 0.5)], 1000.0, gpus=0.25)
    assert curves.hours.tolist() == [0.25]
    assert curves.hours_label == "GPU-hours"


def test_a_measurement_taken_over_costs_no_hours() -> None:
    assert search_curves([trial(1, 1, 0.5, reused="other")], 1000.0).hours.tolist() == [0.0]


def test_curves_of_nothing_are_empty() -> None:
    curves = search_curves([trial(1, None), trial(2, 1)], 10.0)
    assert [len(values) for values in (curves.ids, curves.best, curves.hypervolume, curves.hours)] == [0] * 4


@pytest.mark.parametrize(
    ("config", "gpus", "expected"),
    [
        ({"executor": {"gpus": 0.5}}, 0, 0.5),
        ({"executor": {"gpus": 0}}, 4, 0.0),
        ({"executor": {"gpus": None}}, 2, 1.0),
        ({}, 0, 0.0),
    ],
)
def test_gpus_of_a_worker(config: dict[str, object], gpus: int, expected: float) -> None:
    session = Session(
        id=1,
        started_at=0.0,
        ended_at=None,
        outcome=None,
        workers=1,
        environment={"gpus": gpus},
        elapsed=None,
    )
    assert worker_gpus(config, [session]) == expected


def test_the_first_of_equals_stays_the_best() -> None:
    assert running_best([1.0, 1.0, 0.5, 2.0, 2.0]).tolist() == [0, 0, 0, 3, 3]


points = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 8)), max_size=25)


@given(points)
def test_the_curve_of_the_hypervolume_is_that_of_every_beginning(found: list[tuple[int, int]]) -> None:
    accuracy, costs = [a / 5 for a, _ in found], [float(c) for _, c in found]
    expected = [hypervolume(accuracy[:n], costs[:n], 0.1, 6.0) for n in range(1, len(found) + 1)]
    assert np.allclose(hypervolume_curve(accuracy, costs, 0.1, 6.0), expected)


def test_entropy_is_one_for_an_even_policy_and_zero_for_a_settled_one() -> None:
    even = [(i % 2, i % 3) for i in range(600)]
    settled = [(1, 2)] * 600
    found = policy_map(even + settled, (OP, KERNEL))
    assert found.entropy.shape == (2, len(found.ends))
    assert np.allclose(found.entropy[:, 0], 1.0)
    assert np.allclose(found.entropy[:, -1], 0.0)
    assert found.shares[1].tolist() == [0.0, 0.0, 1.0]
    assert found.ends[0] == found.window == 120
    assert found.ends[-1] == 1200


def test_a_decision_with_one_choice_is_settled() -> None:
    assert policy_map([(0,)] * 5, (Decision("only", (1,)),)).entropy.tolist() == [[0.0]]


def test_no_proposal_gives_an_empty_map() -> None:
    found = policy_map([], (OP, KERNEL))
    assert found.entropy.shape == (2, 0)
    assert [share.tolist() for share in found.shares] == [[0.0, 0.0], [0.0, 0.0, 0.0]]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=60))
def test_entropies_and_shares_are_shares(indices: list[tuple[int, int]]) -> None:
    found = policy_map(indices, (OP, KERNEL))
    assert ((found.entropy >= 0) & (found.entropy <= 1)).all()
    assert all(np.isclose(share.sum(), 1.0) for share in found.shares)


def test_the_best_tenth_is_counted_against_all() -> None:
    trials = [trial(n, n, n / 100, choices={"op": "a" if n <= 18 else "b"}) for n in range(1, 21)]
    trials += [trial(21, 21, choices={"op": "b"})]
    (found,) = choice_frequencies(trials, (OP,))
    assert found.best.tolist() == [0.0, 1.0]
    assert found.all.tolist() == [0.9, 0.1]


def test_frequencies_of_nothing_are_zero() -> None:
    (found,) = choice_frequencies([], (KERNEL,))
    assert found.best.tolist() == found.all.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["efficientnet_b0", "mnasnet_a1", "mobilenet_v2", "resnet50"])
def test_drawn_stages_add_up_to_the_network(name: str) -> None:
    network = load_architecture(name)
    stages = drawn_stages(network)
    assert (sum(s.macs for s in stages), sum(s.params for s in stages)) == cost(network)
    assert [s.kind for s in stages[1:-1]] == [stage.op for stage in network.stages]
    assert (stages[0].kind, stages[-1].kind) == ("stem", "head")
