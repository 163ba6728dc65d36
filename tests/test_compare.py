"""Architectures side by side, and what stands beside a rediscovery: the policy, random search, one image."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import results.figures
from controller import Objective
from nas import InputError, load_architecture, load_config, run_search
from nas.concentration import concentration, window_of
from nas.measured_noise import decided_by_one_image, validation_images
from nas.rediscovery import rediscovery
from nas.side_by_side import other_differences, side_by_side
from nas.standing import Result, Standing
from results import Run
from search_space import cost, load_space, memory
from tests.searching import Scripted
from tests.searching import config as proxy_config
from tests.test_accel_nasbench import ARCHIVE
from tests.test_cli import nas
from tests.test_rediscovery import proposed, written
from trainers import boosted_trees

CONFIGS = Path(__file__).parent.parent / "configs"
# what the report reads
CONTRACT = {
    *("run", "reference_name", "network_name", "words", "rediscovered", "networks", "stages", "decisions"),
    *("rank", "ties", "of", "percentile", "concentration", "random", "reference", "recommended"),
    *("trainings_to_reward", "trainings_to_accuracy", "reached_by", "differences", "replay"),
    *("unknown", "outside", "excluded", "fitted"),
}


# --- stages --------------------------------------------------------------------------------------------


def test_stages_are_aligned_by_position_and_those_that_differ_are_known() -> None:
    b0, a1 = load_architecture("efficientnet_b0"), load_architecture("mnasnet_a1")
    lines = side_by_side([b0, replace(b0, stages=b0.stages[:5]), a1])
    assert [line.stage for line in lines] == ["stem", *(f"stage{n}" for n in range(1, 8)), "head"]
    assert lines[0].texts == ("conv k3 32 ch s2",) * 3
    assert lines[0].same
    assert lines[3].texts[0] == "mbconv6 k5 se0.25 40 ch x2 s2"
    assert lines[3].texts[1] == lines[3].texts[0]
    assert not lines[3].same  # A1 has three layers there
    assert [line.texts[1] for line in lines[6:8]] == ["-", "-"]
    assert [line.resolutions[1] for line in lines[6:8]] == [None, None]
    assert [line.resolutions[0] for line in lines] == [224, 112, 112, 56, 28, 14, 14, 7, 7]
    assert lines[8].texts[0] == "conv k1 1280 ch, pool"
    assert lines[8].same


def test_choices_that_change_nothing_are_no_difference() -> None:
    b0 = load_architecture("efficientnet_b0")
    strided = replace(b0.stages[3], repeats=1)
    one = replace(b0, stages=(*b0.stages[:3], strided, *b0.stages[4:]))
    other = replace(b0, stages=(*b0.stages[:3], replace(strided, skip="none"), *b0.stages[4:]))
    assert one.key == other.key
    assert all(line.same for line in side_by_side([one, other]))
    relu = replace(one, activation="relu")
    assert all(line.same for line in side_by_side([one, relu]))
    assert other_differences([one, relu]) == {"activation": ("swish", "relu")}


@given(st.lists(st.integers(0, 99), min_size=40, max_size=40))
def test_networks_whose_stages_are_all_the_same_are_one(draws: list[int]) -> None:
    digits = load_space("digits")
    point = [draw % len(decision.choices) for draw, decision in zip(draws, digits.decisions, strict=False)]
    near = list(point)
    near[draws[20] % 20] = draws[21] % len(digits.decisions[draws[20] % 20].choices)
    one, other = digits.decode(point), digits.decode(near)
    same = all(line.same for line in side_by_side([one, other]))
    assert same == (one.key == other.key)


@given(st.integers(0, 5000))
def test_the_window_is_a_quarter_within_bounds(proposals: int) -> None:
    window = window_of(proposals)
    assert window <= min(proposals, 200)
    assert window == proposals or window >= 20
    if 80 <= proposals <= 800:
        assert window == proposals // 4


def test_a_proposal_of_the_very_network_takes_all_its_choices() -> None:
    digits = load_space("digits")
    point = tuple(len(decision.choices) - 1 for decision in digits.decisions)
    theirs = digits.encode(digits.decode(point))
    shares = concentration(digits, proposed([point] * 3), theirs)
    assert shares is not None
    assert set(shares.last) == {1.0}


# --- one image -----------------------------------------------------------------------------------------


def result(number: int, right: int, macs: int) -> Result:
    return Result(id=number, accuracy=right / 300, macs=macs, cost=float(macs), reward=right / 300)


@pytest.mark.parametrize(
    ("right", "macs", "decided"),
    [
        ([280, 291], [90, 90], False),  # one image more than the reference's 290: still a tie without it
        ([280, 290], [90, 90], True),  # a tie, which one image breaks
        ([280, 289], [90, 90], None),  # none is as good
        ([290, 291], [110, 110], False),  # by its reward alone
        ([290, 290], [110, 110], True),
    ],
)
def test_a_margin_below_one_image_is_known(right: list[int], macs: list[int], decided: bool | None) -> None:
    flat = Objective(target=100.0, alpha=0.0, beta=0.0)
    share = 290 / 300
    reference = Standing(accuracy=share, macs=100, params=1, cost=100.0, reward=share, candidate=7)
    found = [result(n, r, m) for n, (r, m) in enumerate(zip(right, macs, strict=True), start=1)]
    assert decided_by_one_image(flat, found, reference, 300) is decided
    # the reference itself gives no margin
    assert decided_by_one_image(flat, [*found, result(7, 290, 100)], reference, 300) is decided


def test_the_number_of_validation_images_is_that_of_the_data_or_not_known() -> None:
    settings = proxy_config()
    assert validation_images(settings, [0.5, 292 / 300]) == 300
    assert validation_images(settings, [0.5, 0.97312]) is None  # something else measured
    gone = settings.model_copy(update={"data": settings.data.model_copy(update={"name": None, "cache": "x"})})
    assert validation_images(gone, [0.5]) is None


# --- the command ---------------------------------------------------------------------------------------


def test_references_side_by_side_with_ratios(capsys, in_tmp: Path) -> None:
    code, out, err = nas(capsys, "compare", "efficientnet_b0", "mnasnet_a1", "efficientnet_b0")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["stage", "efficientnet_b0", "mnasnet_a1", "efficientnet_b0"]
    marked = {line.split()[1] for line in lines if line.startswith("*")}
    expected = side_by_side([load_architecture(n) for n in ("efficientnet_b0", "mnasnet_a1")])
    assert marked == {line.stage for line in expected if not line.same}
    assert any(line.split()[:5] == ["mnasnet_a1", "312", "M", "0.81", "3.89"] for line in lines), out
    assert out.count("1000 classes and 3 input channels") == 1
    assert "Rediscovered" not in out
    document = json.loads(nas(capsys, "compare", "efficientnet_b0", "mnasnet_a1", "--json")[1])
    shown = [json.loads(nas(capsys, "show", n, "--json")[1]) for n in ("efficientnet_b0", "mnasnet_a1")]
    assert document == {"architectures": shown, "rediscovery": None}


def test_costs_are_those_of_the_run_unless_others_are_asked_for(in_tmp: Path, capsys) -> None:
    run_search(proxy_config(search={"candidates": 2}), evaluator=Scripted(in_tmp / "diary"))
    out = nas(capsys, "compare", "efficientnet_b0", "t@1")[1]
    assert out.count("10 classes and 1 input channel;") == 1
    b0 = load_architecture("efficientnet_b0")
    document = json.loads(nas(capsys, "compare", "efficientnet_b0", "t@1", "--json")[1])
    facts = document["architectures"][0]
    assert (facts["macs"], facts["params"]) == cost(b0, 10, 1)
    assert facts["memory"] == memory(b0, 10, 1)
    assert document["architectures"][1]["trial"]["id"] == 1
    given = ("--classes", "7", "--channels", "3")
    other = json.loads(nas(capsys, "compare", "efficientnet_b0", "t@1", "--json", *given)[1])
    assert other["architectures"][0]["params"] == cost(b0, 7, 3).params
    # the statement is about the run's own protocol
    assert other["rediscovery"]["networks"][1]["macs"] == cost(b0, 10, 1).macs


def test_a_statement_needs_a_candidate_and_a_network_that_is_not_of_its_search(in_tmp: Path, capsys) -> None:
    settings = proxy_config(search={"candidates": 2}, baselines=["mnasnet_a1", "efficientnet_b0"])
    run_search(settings, evaluator=Scripted(in_tmp / "diary"))
    run_search(proxy_config("other", search={"candidates": 2}), evaluator=Scripted(in_tmp / "diary2"))

    def statement(*typed: str) -> dict[str, Any] | None:
        return json.loads(nas(capsys, "compare", *typed, "--json")[1])["rediscovery"]

    assert statement("t@3", "t@4") is None  # the baselines are 1 and 2
    assert statement("t@mnasnet_a1", "efficientnet_b0") is None
    for typed in (("t@3", "t@mnasnet_a1"), ("t@mnasnet_a1", "t@3"), ("t@3", "t@4", "t@mnasnet_a1")):
        found = statement(*typed)
        assert found is not None
        assert set(found) == CONTRACT
        assert (found["network_name"], found["reference_name"]) == ("candidate 3", "t@mnasnet_a1")
        assert found["rediscovered"] is not None
    both = statement("t@3", "other@2")
    assert both is not None
    assert (both["run"], both["reference_name"]) == ("t", "other@2")
    with pytest.raises(InputError, match="baseline mnasnet_a1 of t is no candidate"):
        run = Run(Path("runs/t"))
        rediscovery(run, "it", load_architecture("mobilenet_v2"), run.baselines()[0])


def test_without_a_result_the_two_are_compared_and_nothing_is_said(in_tmp: Path, capsys) -> None:
    acts = dict.fromkeys((1, 2), "raise")
    settings = proxy_config(search={"candidates": 2})
    run_search(settings, evaluator=Scripted(in_tmp / "diary", acts=acts))
    code, out, err = nas(capsys, "compare", "t@1", "efficientnet_b0")
    assert (code, err) == (0, "")
    assert "t: no candidate has finished yet, so nothing is said about a rediscovery" in out
    assert json.loads(nas(capsys, "compare", "t@1", "efficientnet_b0", "--json")[1])["rediscovery"] is None


def test_a_trained_search_is_stated_soberly(in_tmp: Path, capsys) -> None:
    settings = proxy_config(search={"candidates": 4}, baselines=["efficientnet_b0"])
    run_search(settings, evaluator=Scripted(in_tmp / "diary"))
    out = nas(capsys, "compare", "t@best", "efficientnet_b0")[1]
    found = json.loads(nas(capsys, "compare", "t@best", "efficientnet_b0", "--json")[1])["rediscovery"]
    for sentence in found["words"]:
        assert sentence in out
        assert sentence.endswith(".")
    assert "that t trained, fitted to its space: 32 pixels, stride 1 instead of 2 in stages 2 and 3." in out
    assert "compared by stage, cost and accuracy and not by decision" in out
    assert "How far repeated trainings of one network scatter is not known here" in out
    assert "prove" not in out
    assert "significan" not in out


def test_rewards_of_two_runs_are_not_put_on_one_scale(in_tmp: Path, capsys) -> None:
    for name, target in (("t", 1e6), ("u", 3e6)):
        settings = proxy_config(name, search={"candidates": 1}, objective={"target": target})
        run_search(settings, evaluator=Scripted(in_tmp / name))
    assert "accuracy and reward are as a run measured them" in nas(capsys, "compare", "t@1", "mnasnet_a1")[1]
    assert "each its own run's, and need not compare" in nas(capsys, "compare", "t@1", "u@1")[1]


def test_names_are_shown_as_they_are(in_tmp: Path, capsys) -> None:
    hostile = written(load_architecture("efficientnet_b0"), in_tmp / "[red]$x^2$<b>&.yaml")
    code, out, _ = nas(capsys, "compare", "[red]$x^2$<b>&.yaml", hostile)
    assert code == 0
    assert out.count("[red]$x^2$<b>&.yaml") >= 5


MISTAKES = [
    (["efficientnet_b0"], "nas compare needs two architectures or more; nas show ARCH shows one"),
    (["efficientnet_b0", "mnasnet_a2"], "did you mean mnasnet_a1?"),
    (["efficientnet_b0", "mnasnet_a1", "--plot", "x.bmp"], "x.bmp: must end in .png, .svg, .pdf"),
    (
        ["efficientnet_b0", "mnasnet_a1", "--random", "t"],
        "--random needs a candidate of a run beside another",
    ),
    (["t@best", "efficientnet_b0", "--random", "v"], "no run 'v' under runs/"),
    (
        ["t@best", "efficientnet_b0", "--random", "t"],
        "t cannot stand beside t as random search: it is the run",
    ),
    (["efficientnet_b0", "mnasnet_a1", "--classes", "0"], "--classes"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_line(in_tmp: Path, capsys, arguments: list[str], message: str) -> None:
    if "t" in " ".join(arguments):
        run_search(proxy_config(search={"candidates": 1}), evaluator=Scripted(in_tmp / "diary"))
    code, out, err = nas(capsys, "compare", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


# --- figures and strangers' numbers --------------------------------------------------------------------


@pytest.mark.skipif(
    not hasattr(results.figures, "architecture_figure"), reason="there is no drawing of architectures yet"
)
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_two_are_drawn(in_tmp: Path, capsys, ending: str) -> None:
    code, out, err = nas(capsys, "compare", "efficientnet_b0", "mnasnet_a1", "--plot", f"two.{ending}")
    assert (code, err) == (0, "")
    assert out.endswith(f"wrote two.{ending}\n")
    assert Path(f"two.{ending}").stat().st_size > 1000
    many = ["efficientnet_b0"] * 9
    code, out, err = nas(capsys, "compare", *many, "--plot", f"many.{ending}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--plot" in err
    assert not Path(f"many.{ending}").exists()


@pytest.mark.slow
@pytest.mark.skipif(not ARCHIVE.is_file(), reason="Accel-NASBench's archive is not beside the checkout")
def test_a_replay_beside_b0_and_random_search(in_tmp: Path, capsys, monkeypatch) -> None:
    for name, value in (("n_estimators", 300), ("learning_rate", 0.2)):  # fitted in seconds
        monkeypatch.setitem(boosted_trees.SETTINGS, name, value)
    Path(ARCHIVE.name).write_bytes(ARCHIVE.read_bytes())  # its own folder would keep the regressor
    settings = [f"evaluator.path={ARCHIVE.name}", "search.candidates=60"]
    file = CONFIGS / "rediscover_b0_table.yaml"
    run_search(load_config(file, settings, name="b0"))
    run_search(load_config(file, [*settings, "controller.name=random", "seed=1"], name="random"))
    typed = ("compare", "b0@best", "efficientnet_b0", "--random", "random")
    code, out, err = nas(capsys, *typed, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)["rediscovery"]
    assert set(found) == CONTRACT
    assert (found["of"], len(found["decisions"]), found["rediscovered"]) == (60, 28, True)
    assert found["reference"]["accuracy"] == pytest.approx(0.658, abs=0.003)
    assert found["percentile"] > 99.5
    assert found["concentration"]["window"] == 20
    assert found["concentration"]["last"] > found["concentration"]["uniform"]
    (control,) = found["random"]
    assert (control["run"], control["results"]) == ("random", 60)
    assert control["ours_at_that_budget"] >= found["reference"]["reward"]
    assert nas(capsys, *typed)[0] == 0
