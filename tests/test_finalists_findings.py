"""What full trainings come to: trainings are made up here, and the findings worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from controller import Objective
from nas.finalists_config import Chosen, ChosenNetwork, SearchFacts
from nas.finalists_findings import FinalFindings, findings_of
from nas.finalists_views import points_of
from nas.finalists_words import NO_TEST, NOT_EQUAL, SELECTION, plan_words, words
from results import Trial
from results.wording import count
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
    assert "the reward of candidate 2, which the search recommends, differs by -0.0600 [-0.0" in text
    unsure = [[0.80, 0.80], [0.80, 0.90], [0.81, 0.91], *VALIDATION[3:]]
    found = findings_of(chosen(), trials_of(chosen(), unsure, TEST))
    assert not found.lead.certain
    assert [row.network.name for row in found.close] == ["candidate 1", "candidate 2"]
    assert "by reward these trainings cannot tell it from candidate 1 either way" in words(found)
    assert "these trainings cannot tell the two apart; more seeds may" in "\n".join(words(found))
    assert "nothing speaks against" not in "\n".join(words(found))
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
    assert "on test images candidate 2 less the mean of 3 random networks (MACs x " in text
    assert "): difference +20.00 [" in text
    params = [cost(BY_MACS[place], 10, 1).params for place in (1, 3)]
    assert f"less the B0-shaped b0 (MACs x {b0.macs_ratio:.2f}, {count(params[0])} parameters and " in text
    assert f"{count(params[1])}): difference +14.00 [" in text
    assert f"{found.intervals} comparisons at 95 % each" in text


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
    assert "differs by -0.0600; one training each tells nothing" in text
    assert "whether it is better than candidate 1 is not known: one training each tells nothing" in text
    assert "difference +14.00 points; one training each tells nothing" in text
    assert "distinguishable" not in text
    assert "comparisons at 95 %" not in text
    assert found.verdict.answer == "cannot be told"
    assert all(point.error is None for point in points_of(found.rows, found.part))


def test_two_seeds_and_seeds_that_are_all_alike_are_no_certainty() -> None:
    assert "two trainings a network say little: Student's factor is 12.7" in text_of(VALIDATION)
    thrice = [[*its, sum(its) / 2] for its in VALIDATION]
    assert "Student's factor" not in text_of(thrice)
    alike = text_of([[its[0]] * 2 for its in VALIDATION])
    assert "every seed of each gave the same, which tells nothing of the noise" in alike
    assert "(equal): every seed gave the same accuracy" in alike
    assert "distinguishable" not in alike


def test_a_recipe_that_trains_less_than_the_proxy_is_warned_of() -> None:
    assert "this recipe trains less than the search's proxy did" in text_of(VALIDATION)
    better = [[0.95, 0.96], [0.96, 0.97], [0.97, 0.98], *VALIDATION[3:]]
    assert "this recipe trains less" not in text_of(better)


def text_of(validation) -> str:
    return "\n".join(words(found_of(validation)))


def found_of(validation) -> FinalFindings:
    """With controls of equal MACs, whatever these networks cost."""
    found = findings_of(chosen(), trials_of(chosen(), validation, validation))
    own = found.recommended.macs
    return replace(found, rows=tuple(replace(row, macs=own) for row in found.rows))


SURE = [
    [0.80, 0.801],
    [0.90, 0.901],
    [0.70, 0.701],
    [0.60, 0.601],
    [0.50, 0.501],
    [0.51, 0.511],
    [0.52, 0.521],
]


@pytest.mark.parametrize(
    ("changes", "answer", "reason"),
    [
        ({}, "yes", "candidate 2, which it recommends, has the highest reward of 3 finalists"),
        (
            {2: [0.95, 0.951]},
            "no",
            "candidate 3 has a higher reward than candidate 2, which it recommends, be",
        ),
        ({2: [0.85, 0.99]}, "cannot be told", "candidate 3 has a higher reward than candidate 2, which it r"),
        ({3: [0.95, 0.951]}, "no", "candidate 2 is worse than B0's shape"),
        (
            {3: [0.40, 0.99]},
            "cannot be told",
            "candidate 2 is not distinguishable from B0's shape",
        ),
        ({4: [0.95, 0.951]}, "cannot be told", "by validation accuracy random 1 is above candidate 2"),
        ({1: [None, None]}, "cannot be told", "candidate 2, which it recommends, has no result"),
    ],
)
def test_was_the_search_right(changes: dict, answer: str, reason: str) -> None:
    validation = [changes.get(place, its) for place, its in enumerate(SURE)]
    found = found_of(validation)
    assert found.verdict.answer == answer
    assert any(text.startswith(reason) for text in found.verdict.reasons)
    assert words(found)[0].removeprefix("so far: ") == found.verdict.words


def test_random_networks_of_other_macs_are_no_control() -> None:
    found = findings_of(chosen(), trials_of(chosen(), SURE, SURE))
    assert max(map(found.off, found.random)) > 0.2
    assert "there is no result at equal MACs of random networks" in found.verdict.reasons
    assert f"warning: {NOT_EQUAL}" in words(found)
    plan = "\n".join(plan_words(chosen(), 2, 5))
    off = 100 * max(map(found.off, found.random))
    assert f"from the space (5 were wanted, no more were found), with at most {off:.1f} % more or" in plan
    assert f"warning: {NOT_EQUAL}" in plan


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
