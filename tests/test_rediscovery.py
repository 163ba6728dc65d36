"""Rediscovery, on a table whose answers are known by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller import CONTROLLERS, Outcome, Proposal
from controller.random_search import RandomController
from nas import InputError, load_architecture, parse_config, run_search
from nas.concentration import concentration
from nas.rediscovery import Rediscovery, rediscovery
from nas.side_by_side import side_by_side
from results import ProposalRow, Run
from search_space import Architecture, StageSpace, cost, load_space
from search_space.yaml_io import dump_yaml
from tests.searching import Scripted
from tests.searching import config as proxy_config
from tests.tables import SPACE, write_csv
from tests.test_cli import nas
from tests.test_stage_space import every_point
from trainers import boosted_trees

# two decisions, eight networks; more layers and larger kernels cost more
TWO: dict[str, Any] = {
    **SPACE,
    "stages": [{**SPACE["stages"][0], "choices": {"kernel": [3, 5, 7, 9], "layers": [0, 1]}}],
    "choices": {},
}
ACCURACY = {
    (0, 0): 0.60, (0, 1): 0.61, (1, 0): 0.70, (1, 1): 0.62,
    (2, 0): 0.71, (2, 1): 0.63, (3, 0): 0.69, (3, 1): 0.72,
}  # fmt: skip
ORDER = [(0, 0), (1, 1), (2, 0), (1, 0), (3, 0)]  # what is proposed, one after the other


class Listed(RandomController):
    """Proposes `ORDER`, and after that again."""

    asked = 0

    def _draw(self, n: int) -> list[Proposal]:
        points = [ORDER[(self.asked + i) % len(ORDER)] for i in range(n)]
        self.asked += n
        return [Proposal(point, self.space.choices(point)) for point in points]

    def _admissible(self, points: Any) -> Any:
        return self.space.allowed(points)

    def _learn(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        pass


@pytest.fixture
def space() -> StageSpace:
    return load_space(TWO)


@pytest.fixture
def folder(in_tmp: Path, space: StageSpace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the table; searches in it propose `ORDER`."""
    monkeypatch.setitem(CONTROLLERS, "listed", Listed)
    names = [decision.name for decision in space.decisions]
    write_csv(
        in_tmp / "t.csv",
        [{**dict(zip(names, space.choices(p), strict=True)), "accuracy": a} for p, a in ACCURACY.items()],
    )
    return in_tmp


def searched(
    folder: Path,
    candidates: int = 5,
    *,
    name: str = "t",
    controller: str = "listed",
    seed: int = 0,
    limits: dict[str, float] | None = None,
    objective: dict[str, float] | None = None,
    **evaluator: Any,
) -> Run:
    """A replay that proposed the first of `ORDER`, or what another controller proposes; the reward is the
    accuracy alone."""
    table = {"kind": "table", "path": str(folder / "t.csv"), "surrogate": False, **evaluator}
    return run_search(
        parse_config(
            {
                "name": name,
                "seed": seed,
                "space": TWO,
                "limits": limits or {},
                "evaluator": table,
                "objective": {"target": 1e6, "alpha": 0.0, "beta": 0.0, **(objective or {})},
                "controller": {"name": controller},
                "search": {"candidates": candidates, "keep_weights": 0},
                "executor": {"kind": "inline"},
            }
        )
    ).run


def test_the_space_is_as_the_answers_suppose(space) -> None:
    assert list(ACCURACY) == every_point(space)
    macs = [cost(space.decode(point)).macs for point in every_point(space)]
    assert macs[::2] == sorted(macs[::2])
    assert all(one < two for one, two in zip(macs[::2], macs[1::2], strict=True))


@pytest.mark.parametrize(
    ("reference", "to_reward", "to_accuracy", "rank", "below", "candidate"),
    [
        ((1, 0), 3, 4, 2, 5, 4),  # the third is better and larger, the fourth is the reference itself
        ((3, 0), 3, 3, 3, 4, 5),  # the third is better and smaller
        ((3, 1), None, None, 1, 7, None),  # the best of all, which was not proposed
        ((0, 1), 2, 4, 5, 1, None),
        ((0, 0), 1, 1, 5, 0, 1),
    ],
)
def test_a_replay_beside_a_reference(
    folder, space, reference, to_reward, to_accuracy, rank: int, below: int, candidate
) -> None:
    found = rediscovery(searched(folder), "it", space.decode(reference))
    assert found.trainings_to_reward == to_reward
    assert found.trainings_to_accuracy == to_accuracy
    assert (found.rank, found.ties, found.of) == (rank, 0, 5)
    assert found.percentile == pytest.approx(100 * below / 8, abs=1.5)  # of 10,000 draws
    assert found.rediscovered == (to_reward is not None)
    assert (found.reference.accuracy, found.reference.reward) == (ACCURACY[reference],) * 2
    assert found.reference.macs == cost(space.decode(reference)).macs
    assert found.reference.candidate == candidate
    assert (found.recommended.accuracy, found.recommended.candidate) == (0.71, 3)
    ours, theirs = space.choices((2, 0)), space.choices(reference)
    names = [decision.name for decision in space.decisions]
    expected = {n: (a, b) for n, a, b in zip(names, ours, theirs, strict=True) if a != b}
    assert (found.differences, [line.decision for line in found.decisions]) == (expected, names)


def test_noise_is_no_rediscovery(folder, space) -> None:
    found = rediscovery(searched(folder, noise=20.0), "it", space.decode((3, 1)))
    assert (found.rediscovered, found.rank) == (False, 1)  # however lucky a measurement was
    assert found.recommended.accuracy in ACCURACY.values()


@pytest.mark.filterwarnings("ignore::Warning:trainers.boosted_trees")  # one point is held out
def test_the_reference_itself_is_found_by_a_regressor_too(folder, space, monkeypatch) -> None:
    monkeypatch.setattr(boosted_trees, "SETTINGS", {**boosted_trees.SETTINGS, "n_estimators": 20})
    monkeypatch.setattr("trainers.table.FEWEST", 7)
    lines = (folder / "t.csv").read_text().splitlines(keepends=True)
    (folder / "t.csv").write_text("".join(lines[:5] + lines[6:]))  # without (2, 0), which is predicted then
    found = rediscovery(searched(folder, surrogate=True), "it", space.decode((2, 0)))
    assert found.reference.candidate == 3
    assert found.trainings_to_reward is not None
    assert found.trainings_to_reward <= 3
    assert found.percentile is not None


def test_an_incomplete_table_alone_gives_no_percentile_and_perhaps_no_reference(folder, space) -> None:
    lines = (folder / "t.csv").read_text().splitlines(keepends=True)
    (folder / "t.csv").write_text("".join(lines[:-1]))
    run = searched(folder)
    found = rediscovery(run, "it", space.decode((1, 0)))
    assert (found.percentile, found.rank) == (None, 2)
    json.dumps(found.to_json(), allow_nan=False)
    best = rediscovery(run, "it", space.decode((3, 1)))
    assert best.unknown == "it is not in the table, and surrogate: false gives no other accuracy"
    assert_nothing_is_claimed(best)
    assert best.differences == {"stage1.kernel": (7, 9), "stage1.layers": (1, 2)}


def assert_nothing_is_claimed(found: Rediscovery) -> None:
    """Of a reference whose accuracy is not known: cost and stages, and no word more."""
    assert (found.rediscovered, found.rank, found.percentile) == (None, None, None)
    assert (found.trainings_to_reward, found.trainings_to_accuracy) == (None, None)
    assert (found.reference.accuracy, found.reference.reward, found.reference.candidate) == (None, None, None)
    assert found.reference.macs > 0
    assert found.reference.params > 0
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["rediscovered"] is None
    statement = " ".join(document["words"])
    assert "cannot be said" in document["words"][0]
    assert "x the cost that the objective aims at (1 M MACs)" in statement
    for claim in ("Rediscovered", "Not rediscovered", "higher reward", "results."):
        assert claim not in statement


def test_a_reference_of_another_space_says_where_it_leaves_it(folder, space) -> None:
    run = searched(folder)
    b0 = rediscovery(run, "b0", load_space("accel-nasbench").decode([0] * 28))
    assert b0.outside == "stages must number 1, got 7"
    assert len(b0.stages) == 9
    assert [line.texts[0] for line in b0.stages][2:8] == ["-"] * 6
    wide = load_space({**TWO, "stages": [{**TWO["stages"][0], "choices": {"kernel": [11]}}]})
    other = rediscovery(run, "wide", wide.decode([0]))
    assert other.outside == "stage1.kernel must be one of 3, 5, 7, 9, got 11"
    for found in (b0, other):
        assert_nothing_is_claimed(found)
        assert (found.decisions, found.concentration) == ((), None)
        assert f"does not hold {found.reference_name}: {found.outside}." in " ".join(found.words())


def test_a_reference_beyond_the_limits_is_said_to_be(folder, space) -> None:
    small, large = (cost(space.decode(point)).macs for point in ((0, 0), (3, 1)))
    run = searched(folder, controller="random", limits={"macs": large - 1})
    found = rediscovery(run, "large", space.decode((3, 1)))
    assert found.outside is None
    assert found.excluded == f"macs must be at most {large - 1:,}, got {large:,}"
    assert f"The limits of t exclude large: {found.excluded}." in " ".join(found.words())
    within = rediscovery(run, "small", space.decode((0, 0)))
    assert (within.excluded, small < large) == ("", True)
    assert "limits" not in " ".join(within.words())


def trained(folder: Path, candidates: int, acts: dict[int, str]) -> Run:
    """A search of the digits space without a table."""
    settings = proxy_config(controller={"name": "random", "options": {}}, search={"candidates": candidates})
    return run_search(settings, evaluator=Scripted(folder / "diary", acts=acts)).run


def test_a_run_without_results_is_refused(in_tmp: Path) -> None:
    run = trained(in_tmp, candidates=2, acts={1: "raise", 2: "raise"})
    with pytest.raises(InputError, match="t: no candidate has finished yet"):
        rediscovery(run, "it", run.trials()[0].network())


def test_where_candidates_are_trained_the_reference_must_be_one_of_them(in_tmp: Path) -> None:
    run = trained(in_tmp, candidates=6, acts={2: "raise"})
    done = [trial for trial in run.trials() if trial.status == "done"]
    for number, trial in enumerate(done, start=1):
        found = rediscovery(run, "it", trial.network())
        assert found.reference.candidate == trial.id
        assert found.trainings_to_reward is not None
        assert found.trainings_to_reward <= number
        assert found.rank == 1 + sum((t.reward or 0) > (trial.reward or 0) for t in done)
        assert (found.percentile, found.of, found.unknown) == (None, 5, None)
        assert found.ties == sum(t.reward == trial.reward and t.id != trial.id for t in done)
    best = rediscovery(run, "it", run.best().network())
    assert (best.rank, best.differences, best.recommended) == (1, {}, best.reference)
    assert best.itself
    assert f"That is it itself, candidate {run.best().id}, and no other network." in best.words()[0]
    keys = {trial.key for trial in run.trials()}
    space = load_space("digits")
    rng = np.random.default_rng(0)
    missing = next(n for _ in range(100) if (n := space.decode(space.random(rng))).key not in keys)
    failed = next(trial for trial in run.trials() if trial.status == "failed").network()
    for network, why in (
        (
            missing,
            "it was not trained under this protocol; list it under baselines: to have it trained alike",
        ),
        (failed, "it is candidate 2 of this run, which is failed"),
    ):
        found = rediscovery(run, "it", network)
        assert found.unknown == why
        assert (found.rediscovered, found.rank) == (None, None)
        assert found.reference.macs == cost(network, 10, 1).macs
        assert len(found.decisions) == 20
        assert found.concentration is not None


def written(network: Architecture, path: Path) -> str:
    path.write_text(dump_yaml(network.to_dict()))
    return str(path)


def test_the_command_says_it_in_words_and_in_json(folder, space, capsys) -> None:
    searched(folder)
    best, good = written(space.decode((3, 1)), folder / "best.yaml"), space.decode((2, 0))
    code, out, err = nas(capsys, "compare", "t@best", best, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)["rediscovery"]
    assert facts["rediscovered"] is False
    assert (facts["trainings_to_reward"], facts["rank"], facts["of"]) == (None, 1, 5)
    network = space.decode((3, 1))
    macs, params = cost(network)
    reference = {
        "accuracy": 0.72, "macs": macs, "params": params, "cost": float(macs), "reward": 0.72,
        "candidate": None,
    }  # fmt: skip
    assert facts["reference"] == reference
    assert facts["networks"][1] == {"name": best, **reference}
    assert (facts["networks"][0]["name"], facts["networks"][0]["accuracy"]) == ("candidate 3", 0.71)
    assert facts["differences"] == {"stage1.kernel": [7, 9], "stage1.layers": [1, 2]}
    assert facts["decisions"][0] == {
        "decision": "stage1.kernel", "ours": 7, "theirs": 9, "same": False, "share_first": 0.2,
        "share_last": 0.2, "uniform": 0.25,
    }  # fmt: skip
    assert facts["concentration"] == {"first": 0.2, "last": 0.2, "uniform": 0.375, "window": 5}
    code, out, _ = nas(capsys, "compare", "t@best", best)
    assert code == 0
    assert "Not rediscovered: none of the 5 networks that t looked up is as good as" in out
    assert "'s reward or more was reached by none of 5 results." in out
    assert "0 of 2 decisions; it differs in stage1.kernel, stage1.layers." in out
    assert f"none has a higher reward than {best} and none ties with it: rank 1. It was not proposed." in out
    code, out, _ = nas(capsys, "compare", "t@best", written(good, folder / "good.yaml"))
    assert "'s reward or more was reached after 3 of 5 results, by candidate 3." in out
    assert "Rediscovered in one sense alone: t looked up a network at least as good as" in out
    assert "2 of 2 decisions." in out
    assert "they are one network" in out
    code, _, err = nas(capsys, "rediscovery", "t")
    assert code == 2
    assert "No such command 'rediscovery'" in err


def test_another_candidate_than_the_recommended_is_compared(folder, space, capsys) -> None:
    run = searched(folder)
    for trial in run.trials():
        found = rediscovery(run, "it", space.decode((3, 1)), trial)
        assert (found.network.candidate, found.network.accuracy) == (trial.id, trial.accuracy)
        assert found.recommended.candidate == 3
        assert found.network_name == f"candidate {trial.id}"
        assert found.stages[1].texts[0] == side_by_side([trial.network()])[1].texts[0]
    document = json.loads(
        nas(capsys, "compare", "t@1", written(space.decode((3, 1)), folder / "b.yaml"), "--json")[1]
    )
    assert document["rediscovery"]["networks"][0]["candidate"] == 1


def test_ties_are_said(folder, space) -> None:
    lines = (folder / "t.csv").read_text().replace("0.71", "0.7").splitlines(keepends=True)
    (folder / "t.csv").write_text("".join(lines))
    found = rediscovery(searched(folder), "it", space.decode((1, 0)))
    assert (found.rank, found.ties, found.reference.candidate) == (1, 1, 4)
    assert "none has a higher reward than it and 1 ties with it: rank 1. It is candidate 4." in " ".join(
        found.words()
    )


def proposed(points: Sequence[tuple[int, ...]]) -> list[ProposalRow]:
    """Proposals one after the other, as a journal gives them."""
    return [
        ProposalRow(id=number, trial=number, indices=point, log_prob=None, asked=number, told=None)
        for number, point in enumerate(points, start=1)
    ]


def test_shares_are_of_the_first_and_of_the_last_proposals(space) -> None:
    points = [(0, 0)] * 20 + [(1, 1)] * 20 + [(3, 0)] * 15 + [(3, 1)] * 5
    shares = concentration(space, proposed(points), (3, 0))
    assert shares is not None
    assert (shares.window, shares.proposals) == (20, 60)
    assert (shares.first, shares.last, shares.uniform) == ((0.0, 1.0), (1.0, 0.75), (0.25, 0.5))
    assert shares.means() == {"first": 0.5, "last": 0.875, "uniform": 0.375, "window": 20}
    assert concentration(space, [], (3, 0)) is None


def test_random_search_has_the_same_budget(folder, space, capsys) -> None:
    run = searched(folder)
    others = [
        searched(folder, candidates, name=f"r{candidates}", controller="random", seed=candidates)
        for candidates in (3, 8)
    ]
    network = space.decode((2, 0))
    found = rediscovery(run, "it", network, random=others)
    ours = [trial.accuracy for trial in sorted(run.trials(), key=lambda trial: trial.arrival)]
    for other, control, results_ in zip(others, found.random, (3, 5), strict=True):
        theirs = [trial.accuracy for trial in sorted(other.trials(), key=lambda trial: trial.arrival)]
        assert (control.run, control.results) == (other.name, results_)
        assert control.best_reward == max(theirs[:results_])
        assert control.ours_at_that_budget == max(ours[:results_])
        reached = [accuracy >= 0.71 for accuracy in theirs[:results_]]
        assert control.reached_after == (1 + reached.index(True) if True in reached else None)
    statement = " ".join(found.words())
    assert "Best reward of the 2 random searches: median" in statement
    reached_by = sum(control.reached_after is not None for control in found.random)
    assert f"{reached_by} of 2 reached it's reward." in statement
    assert "no significance is claimed" in statement
    best = written(network, folder / "n.yaml")
    out = nas(capsys, "compare", "t@best", best, "--random", "r3")[1]
    assert "That is one run of each." in out
    # beyond the space nothing is reached, and the rest still stands
    b0 = rediscovery(run, "b0", load_architecture("efficientnet_b0"), random=others[:1])
    assert b0.random[0].best_reward == found.random[0].best_reward
    assert b0.random[0].reached_after is None
    assert "b0's reward: never" not in " ".join(b0.words())


def test_what_is_no_control_is_refused(folder, space, capsys) -> None:
    run = searched(folder)
    network = space.decode((2, 0))
    searched(folder, name="same")
    searched(folder, name="noisy", controller="random", noise=1.0)
    other = searched(folder, name="random", controller="random")
    searched(folder, name="limited", controller="random", limits={"macs": 1e9})
    searched(folder, name="target", controller="random", objective={"target": 2e6})
    for name, why in (
        ("same", "its controller must be random, got listed"),
        ("noisy", "its evaluator must be the same, and differs (data, protocol or table)"),
        ("limited", "its limits must be the same, and differs"),
        ("target", "its objective must be the same, and differs"),
    ):
        code, out, err = nas(
            capsys, "compare", "t@best", written(network, folder / "n.yaml"), "--random", name
        )
        assert (code, out) == (2, "")
        assert err == f"nas: {name} cannot stand beside t as random search: {why}\n"
    with pytest.raises(InputError, match="random cannot stand beside t as random search: it is given twice"):
        rediscovery(run, "it", network, random=[other, Run(other.path.resolve())])
