"""What full trainings come to: trainings are made up here, and the findings worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from controller import Objective
from nas.finalists_config import Chosen, ChosenNetwork, SearchFacts
from nas.finalists_findings import findings_of
from nas.finalists_views import NO_TEST, SELECTION, plan_words, points_of, words
from results import Trial
from search_space import cost, load_space

SPACE = load_space("digits")
RNG = np.random.default_rng(0)
NETWORKS = [SPACE.decode(SPACE.random(RNG)) for _ in range(7)]
MACS = sorted(cost(network, 10, 1).macs for network in NETWORKS)
BY_MACS = sorted(NETWORKS, key=lambda network: cost(network, 10, 1).macs)
OBJECTIVE = Objective(target=1e6, alpha=0.0, beta=0.0)  # the accuracy alone


def chosen(proxy=(0.90, 0.91, 0.92), objective: Objective = OBJECTIVE) -> Chosen:
    """Three finalists, B0's shape and three random networks; the second finalist is recommended."""
    roles = ["finalist"] * 3 + ["b0"] + ["random"] * 3
    names = ["candidate 1", "candidate 2", "candidate 3", "b0", "random 1", "random 2", "random 3"]
    networks = [
        ChosenNetwork(
            name=name,
            role=role,
            architecture=network,
            recommended=name == "candidate 2",
            b0_shaped=role == "b0",
            candidate=place + 1 if role == "finalist" else None,
            proxy_accuracy=proxy[place] if role == "finalist" else None,
            cost=float(cost(network, 10, 1).macs) if role == "finalist" else None,
        )
        for place, (name, role, network) in enumerate(zip(names, roles, BY_MACS, strict=True))
    ]
    search = SearchFacts(
        name="s",
        key="k",
        num_classes=10,
        in_channels=1,
        candidates=9,
        front=3,
        objective=objective,
        data=None,
        protocol=None,
    )
    return Chosen(search=search, rule="by hand", tolerance=0.05, networks=tuple(networks))


def trials_of(chosen: Chosen, validation, test=None, failed=()) -> list[Trial]:
    """Trainings, seed after seed; None is one that is still to come."""
    trials = []
    for seed in range(max(map(len, validation))):
        for place, network in enumerate(chosen.networks):
            accuracy = validation[place][seed]
            curve = [{"accuracy": accuracy or 0.0}]
            if test is not None:
                curve[0]["test_accuracy"] = test[place][seed]
            is_failed = (place, seed) in failed
            done = accuracy is not None and not is_failed
            macs, params = cost(network.architecture, 10, 1)
            trials.append(
                Trial(
                    id=len(trials) + 1,
                    key=network.architecture.key,
                    protocol="p",
                    seed=seed,
                    choices={},
                    architecture=network.architecture.to_dict(),
                    macs=macs,
                    params=params,
                    status="done" if done else "failed" if is_failed else "pending",
                    accuracy=accuracy if done else None,
                    error="NaN" if is_failed else None,
                    arrival=len(trials) + 1 if done or is_failed else None,
                    curve=curve if done else [],
                )
            )
    return trials


VALIDATION = [[0.80, 0.82], [0.84, 0.86], [0.90, 0.92], [0.70, 0.72], [0.60, 0.62], [0.64, 0.66], [0.68, 0.7]]
TEST = [[v - 0.1 for v in its] for its in VALIDATION]


def test_rows_have_means_ranks_and_the_front() -> None:
    found = findings_of(chosen(), trials_of(chosen(), VALIDATION, TEST))
    first = found.rows[0]
    assert first.validation.value == pytest.approx(0.81)
    assert first.test.value == pytest.approx(0.71)
    assert first.validation.error == pytest.approx(12.7062 * 0.0141421 / math.sqrt(2), abs=1e-5)
    assert [row.proxy_rank for row in found.rows] == [3, 2, 1, None, None, None, None]
    assert [row.final_rank for row in found.rows] == [3, 2, 1, None, None, None, None]
    assert [row.network.name for row in found.front] == ["candidate 1", "candidate 2", "candidate 3"]
    assert (found.agreement.networks, found.agreement.kendall.value) == (3, 1.0)
    assert (found.part, found.failed, found.waiting) == ("test", 0, 0)


def test_selection_sees_validation_accuracy_alone() -> None:
    reversed_test = [TEST[2], TEST[1], TEST[0], *TEST[3:]]
    found = findings_of(chosen(), trials_of(chosen(), VALIDATION, reversed_test))
    assert found.taken.network.name == "candidate 3"  # the worst of the three on test images
    assert [row.network.name for row in found.front] == ["candidate 1"]
    assert SELECTION in words(found)


def test_the_reward_is_the_searchs_own() -> None:
    dear = Objective(target=float(MACS[0]), alpha=-0.0, beta=-5.0)  # what costs more is worth nothing
    found = findings_of(chosen(objective=dear), trials_of(chosen(objective=dear), VALIDATION, TEST))
    assert found.taken.network.name == "candidate 1"
    assert found.taken.reward.value == pytest.approx(0.81)


def test_another_network_than_the_recommended_is_taken_only_as_sure_as_it_is() -> None:
    sure = [[0.80, 0.80], [0.840, 0.841], [0.900, 0.901], *VALIDATION[3:]]
    found = findings_of(chosen(), trials_of(chosen(), sure, TEST))
    assert (found.lead.value, found.lead.certain) == (pytest.approx(0.06), True)
    assert found.close == ()
    text = "\n".join(words(found))
    assert (
        "take candidate 3 and not the recommended network: of 3 finalists it has the highest reward" in text
    )
    assert "above that of candidate 2, which the search recommends: more than the noise" in text
    unsure = [[0.80, 0.80], [0.80, 0.90], [0.81, 0.91], *VALIDATION[3:]]
    found = findings_of(chosen(), trials_of(chosen(), unsure, TEST))
    assert not found.lead.certain
    assert [row.network.name for row in found.close] == ["candidate 1", "candidate 2"]
    assert "by reward not distinguishable from it: candidate 1" in words(found)
    assert "not distinguishable, so nothing speaks against the recommended one" in "\n".join(words(found))
    same = [[0.80, 0.80], [0.95, 0.95], [0.90, 0.90], *VALIDATION[3:]]
    found = findings_of(chosen(), trials_of(chosen(), same, TEST))
    assert found.lead is None
    assert "take candidate 2, which the search recommends: of 3 finalists" in "\n".join(words(found))


def test_of_equal_rewards_the_recommended_is_taken() -> None:
    equal = [[0.8, 0.8]] * 7
    assert findings_of(chosen(), trials_of(chosen(), equal, equal)).taken.network.recommended


def test_comparisons_are_of_test_accuracies_and_random_networks_count_once_each() -> None:
    found = findings_of(chosen(), trials_of(chosen(), VALIDATION, TEST))
    pairs = {(c.name, c.over): c for c in found.comparisons}
    assert set(pairs) == {
        ("candidate 2", "b0"),
        ("candidate 2", "random"),
        ("candidate 3", "b0"),
        ("candidate 3", "candidate 2"),
        ("candidate 3", "random"),
    }
    random = pairs["candidate 2", "random"]
    assert random.margin.value == pytest.approx(0.75 - 0.55)
    # deviations 0.01414 of 2 seeds and 0.04 of 3 means: error sqrt(0.0001 + 0.0016 / 3)
    error = math.sqrt(0.0001 + 0.0016 / 3)
    freedom = error**4 / (0.0001**2 + (0.0016 / 3) ** 2 / 2)
    from scipy.stats import t

    assert random.margin.low == pytest.approx(0.2 - t.ppf(0.975, freedom) * error)
    b0 = pairs["candidate 2", "b0"]
    assert b0.macs_ratio == pytest.approx(MACS[1] / MACS[3])
    text = "\n".join(words(found))
    assert "on test images candidate 2 is 20.00 points [" in text
    assert "above the mean of 3 random networks" in text
    assert "above the B0-shaped b0" in text


def test_a_finalist_that_has_b0s_shape_is_compared_with_itself_no_more() -> None:
    own = chosen()
    shaped = tuple(replace(n, b0_shaped=n.recommended) for n in own.networks if n.role != "b0")
    own = replace(own, networks=shaped)
    keep = [0, 1, 2, 4, 5, 6]
    found = findings_of(own, trials_of(own, [VALIDATION[i] for i in keep], [TEST[i] for i in keep]))
    pairs = [(c.name, c.over) for c in found.comparisons]
    assert pairs == [("candidate 2", "random"), ("candidate 3", "candidate 2"), ("candidate 3", "random")]
    assert "candidate 2 is itself shaped as EfficientNet-B0" in plan_words(own, 2)
    assert own.networks[1].title == "recommended, B0-shaped"


def test_failed_and_missing_trainings_are_left_out_and_counted() -> None:
    part = [[*its] for its in VALIDATION]
    part[6][1] = None
    trials = trials_of(chosen(), part, TEST, failed={(1, 0), (1, 1), (3, 0)})
    found = findings_of(chosen(), trials)
    recommended, b0, last = found.rows[1], found.rows[3], found.rows[6]
    assert (recommended.validation, recommended.failed, recommended.final_rank) == (None, 2, None)
    assert (b0.validation.values, b0.failed) == ((0.72,), 1)
    assert (last.waiting, found.waiting, found.failed) == (1, 1, 3)
    assert found.agreement.networks == 2
    text = "\n".join(words(found))
    assert "trainings: 3 failed and left out, 1 still to come" in text
    assert "candidate 2, which the search recommends, has no result" in text
    assert findings_of(chosen(), trials_of(chosen(), [[None]] * 7)) is None


def test_without_test_images_it_is_said_that_the_best_is_optimistic() -> None:
    found = findings_of(chosen(), trials_of(chosen(), VALIDATION))
    assert (found.part, found.rows[0].test) == ("validation", None)
    assert words(found)[-1] == NO_TEST
    assert found.comparisons[0].margin.value == pytest.approx(0.85 - 0.71)


def test_one_seed_has_no_intervals_and_says_so() -> None:
    once = [its[:1] for its in VALIDATION]
    found = findings_of(chosen(), trials_of(chosen(), once, once))
    assert found.rows[0].validation.error is None
    text = "\n".join(words(found))
    assert "one training says nothing of the noise between seeds" in text
    assert "a second training that comes out otherwise, so nobody knows whether that is noise" in text
    assert "x the MACs); there is no interval without a second training" in text
    assert all(point.error is None for point in points_of(found.rows, found.part))


def test_the_document_has_everything_and_is_json() -> None:
    found = findings_of(chosen(), trials_of(chosen(), VALIDATION, TEST))
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["decision"]["taken"] == "candidate 3"
    assert document["decision"]["differs"] is True
    assert document["decision"]["trial"] == 3
    assert document["front"] == ["candidate 1", "candidate 2", "candidate 3"]
    row = document["networks"][0]
    assert row["test"] == {
        "mean": pytest.approx(0.71),
        "error": pytest.approx(0.127062, abs=1e-5),
        "accuracies": [pytest.approx(0.70), pytest.approx(0.72)],
    }
    assert (row["proxy_accuracy"], document["networks"][3]["proxy_accuracy"]) == (0.90, None)
    assert document["agreement"]["kendall"]["value"] == 1.0
