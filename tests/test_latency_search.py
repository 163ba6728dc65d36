"""Latency in a search: measured where a network is trained, or predicted before."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trainers.timed
from controller import Objective
from nas import InputError, load_config, parse_config, run_search
from nas.doctor import examine
from nas.early_stopping import past_scores, score_of
from nas.search import measured_by
from results import Run, front_by, ranked
from search_space import Architecture, load_architecture, load_space
from search_space.latency_model import LatencyModel
from search_space.operators import MEASURES
from tests.doctoring import errors
from tests.scripted import Scripted
from tests.searching import config
from trainers import LatencyProtocol, Measurement
from trainers.timed import TimedEvaluator

MEASURED: dict[str, Any] = {
    "objective": {"cost": "latency_ms", "target": 0.5, "alpha": 0.0, "beta": -1.0},
    "latency": {"measured": {"repeats": 5}},
}


def milliseconds(architecture: Architecture) -> float:
    """A latency that MACs do not tell."""
    return 0.1 * architecture.depth


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Measures without a clock; keys of what was measured. The reference takes 2 ms here."""
    keys: list[str] = []

    def measure(architecture: Architecture, protocol: LatencyProtocol, classes: int, channels: int) -> Any:
        if not protocol.reference:  # the reference itself, before the search
            return SimpleNamespace(median_ms=2.0)
        assert (classes, channels) == (10, 1)
        keys.append(architecture.key)
        median = milliseconds(architecture)
        return SimpleNamespace(median_ms=median, p95_ms=2 * median, ratio=median / 2.0)

    monkeypatch.setattr(trainers.timed, "measure_latency", measure)
    monkeypatch.setattr(trainers.timed, "device_name", lambda device: "Model X 3000")
    return keys


@pytest.fixture(scope="module")
def model() -> LatencyModel:
    """1 ms a million multiply-adds of pointwise convolutions, 0.05 ms for each 3x3 depthwise one."""
    space = load_space("digits")
    coefficients = {f"{kind}.{measure}": 0.0 for kind, measures in MEASURES.items() for measure in measures}
    coefficients |= {"pointwise.macs": 1e-6, "depthwise3.operators": 0.05}
    skeleton = space.decode([0] * len(space.decisions))
    return LatencyModel(
        intercept=0.1,
        coefficients=coefficients,
        image_size=skeleton.image_size,
        stem=skeleton.stem,
        head=skeleton.head,
        num_classes=10,
        in_channels=1,
    )


def latencies(run: Run) -> dict[int, float | None]:
    return {trial.id: trial.cost("latency_ms") for trial in run.trials()}


def test_the_reward_is_of_the_latency_that_was_measured(in_tmp: Path, clock: list[str]) -> None:
    run = run_search(config(**MEASURED), evaluator=Scripted(in_tmp / "diary")).run
    trials = run.trials()
    assert len(trials) == len(clock) == 6
    for trial in trials:
        latency = milliseconds(trial.network())
        assert trial.accuracy is not None
        assert trial.cost("latency_ms") == trial.to_json()["latency_ms"] == latency
        assert trial.curve[-1]["latency_p95_ms"] == 2 * latency
        wanted = trial.accuracy if latency <= 0.5 else trial.accuracy * 0.5 / latency
        assert trial.reward == pytest.approx(wanted)
    assert len({trial.cost("latency_ms") for trial in trials}) > 1
    assert set(errors(examine(run))) <= {"files"}  # it makes the rewards again; the weights are scripted


def test_a_search_for_latency_goes_on_where_it_was_interrupted(in_tmp: Path, clock: list[str]) -> None:
    ppo = {"controller": {"name": "dyna", "options": {"first": 4}}}
    whole = run_search(
        config("whole", **MEASURED, **ppo, search={"candidates": 12}), evaluator=Scripted(in_tmp / "a")
    ).run
    for budget in (5, 12):
        settings = config("parts", **MEASURED, **ppo, search={"candidates": budget})
        parts = run_search(settings, resume=budget > 5, evaluator=Scripted(in_tmp / "b")).run
    assert [t.key for t in parts.trials()] == [t.key for t in whole.trials()]
    assert latencies(parts) == latencies(whole)


def test_beside_a_reference_its_quiet_time_makes_milliseconds(in_tmp: Path, clock: list[str]) -> None:
    latency = {"measured": {}, "reference_ms": 20.0}
    run = run_search(config(latency=latency), evaluator=Scripted(in_tmp / "diary")).run
    trial = run.trials()[0]
    median = milliseconds(trial.network())
    assert trial.cost("latency_ms") == pytest.approx(10.0 * median)
    assert trial.curve[-1]["latency_ratio"] == pytest.approx(median / 2.0)


def test_what_the_reference_takes_is_measured_when_a_run_begins(in_tmp: Path, clock: list[str]) -> None:
    run = run_search(config(**MEASURED, search={"candidates": 2}), evaluator=Scripted(in_tmp / "d")).run
    assert load_config(run.config_path).latency.reference_ms == 2.0  # type: ignore[union-attr]
    again = run_search(
        config(**MEASURED, search={"candidates": 3}), resume=True, evaluator=Scripted(in_tmp / "d")
    )
    assert again.outcome == "finished"
    with pytest.raises(InputError, match=r"was made with another seed; resume"):  # and of nothing else
        run_search(config(**MEASURED, seed=1), resume=True, evaluator=Scripted(in_tmp / "d"))
    other = {**MEASURED, "latency": {"measured": {"repeats": 5}, "reference_ms": 3.0}}
    with pytest.raises(InputError, match=r"was made with another latency\.reference_ms"):
        run_search(config(**other), resume=True, evaluator=Scripted(in_tmp / "d"))


def test_on_a_cluster_what_the_reference_takes_must_be_said(in_tmp: Path, clock: list[str]) -> None:
    settings = config(**MEASURED, executor={"kind": "ray"})
    with pytest.raises(InputError, match=r"latency\.reference_ms must be said on a cluster"):
        run_search(settings, evaluator=Scripted(in_tmp / "d"), address="127.0.0.1:1")
    assert not Path("runs").exists()


def test_another_device_is_refused_before_anything_begins(
    in_tmp: Path, clock: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    text = "latency is to be measured on a device named like 'Y 4000', and this is 'Model X 3000'"
    for given in ({}, {"reference_ms": 20.0}):
        latency = {"measured": {}, "device_name": "Y 4000", **given}
        with pytest.raises(InputError, match=text):
            run_search(config(latency=latency), evaluator=Scripted(in_tmp / "diary"))
    with pytest.raises(InputError, match="torch sees no GPU here"):
        latency = {"measured": {"device": "cuda"}, "reference_ms": 3.0}
        run_search(config(latency=latency), evaluator=Scripted(in_tmp / "diary"))
    assert not Path("runs").exists()
    there = TimedEvaluator(
        inner=Scripted(in_tmp / "diary"), protocol=LatencyProtocol(), device_name="Y 4000"
    )  # as on a node of a cluster
    with pytest.raises(InputError, match=text):
        next(iter(there.epochs(load_architecture("efficientnet_b0"), 0)))
    assert not clock


def test_a_measurement_without_the_objectives_cost_fails(
    in_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An evaluator of a user's own, which reports no latency."""
    settings = config(
        objective=MEASURED["objective"], latency=MEASURED["latency"], search={"figure_every": 1}
    )
    settings = settings.model_copy(update={"latency": None})
    end = run_search(settings, evaluator=Scripted(in_tmp / "diary"))
    trials = end.run.trials()
    assert {trial.status for trial in trials} == {"failed"}
    assert trials[0].error == (
        "the measurement has no reward: latency_ms is the objective's cost, and was not measured"
    )
    assert {trial.accuracy for trial in trials} == {None}
    assert "gaps" not in caplog.text  # of nothing finished there is nothing to draw


def test_a_model_gives_every_network_its_latency(in_tmp: Path, model: LatencyModel) -> None:
    Path("model.json").write_text(json.dumps(model.to_dict()))
    settings = config(
        objective=MEASURED["objective"],
        latency={"model": "model.json"},
        controller={"name": "dyna", "options": {"first": 4}},
        search={"candidates": 10},
    )
    run = run_search(settings, evaluator=Scripted(in_tmp / "diary")).run
    Path("model.json").unlink()  # its contents are the run's
    for trial in run.trials():
        latency = model.predict(trial.network(), 10, 1)
        assert trial.cost("latency_ms") == latency
        assert trial.accuracy is not None
        assert trial.reward == pytest.approx(
            Objective(**MEASURED["objective"]).reward(trial.accuracy, latency)
        )
    assert set(errors(examine(run))) <= {"files"}
    front = front_by(run.trials(), ("latency_ms", "accuracy"))
    assert front.trials


def test_a_baseline_that_the_model_cannot_predict_is_refused_before_anything(
    in_tmp: Path, model: LatencyModel
) -> None:
    """It may have operators that no network of the space has."""
    known = {name: rate for name, rate in model.coefficients.items() if not name.startswith("relu")}
    model = replace(model, coefficients=known)
    settings = config(latency={"model": model.to_dict()}, baselines=["efficientnet_b0", "resnet_50"])
    with pytest.raises(InputError, match=r"^baselines: latency\.model cannot predict resnet_50: stem has"):
        run_search(settings, evaluator=Scripted(in_tmp / "diary"))
    assert not Path("runs").exists()


def test_the_doctor_sees_a_latency_that_the_model_does_not_give(in_tmp: Path, model: LatencyModel) -> None:
    run = run_search(config(latency={"model": model.to_dict()}), evaluator=Scripted(in_tmp / "diary")).run
    with sqlite3.connect(run.journal_path) as base:
        base.execute("UPDATE trials SET curve = replace(curve, 'latency_ms', 'latency_mx') WHERE id = 2")
    found = errors(examine(run))
    texts = [text for of_check in found.values() for text in of_check]
    assert any("trial 2: latency_ms is None, the run's latency model gives" in text for text in texts)


def test_no_candidate_is_beyond_a_limit_on_predicted_latency(in_tmp: Path, model: LatencyModel) -> None:
    free = run_search(
        config("free", latency={"model": model.to_dict()}), evaluator=Scripted(in_tmp / "a")
    ).run
    limit = sorted(latency for latency in latencies(free).values() if latency is not None)[1]
    settings = config(
        "limited", latency={"model": model.to_dict()}, limits={"latency_ms": limit, "params": 1e5}
    )
    limited = run_search(settings, evaluator=Scripted(in_tmp / "b")).run
    assert limited.trials()
    assert all((latency or math.inf) <= limit for latency in latencies(limited).values())
    assert all(trial.params <= 1e5 for trial in limited.trials())
    with pytest.raises(InputError, match=r"limits\.latency_ms must be at least .*, the least in this space"):
        run_search(
            config("none", latency={"model": model.to_dict()}, limits={"latency_ms": 0.11}),
            evaluator=Scripted(in_tmp / "c"),
        )


def test_a_search_for_latency_must_say_where_it_comes_from(in_tmp: Path) -> None:
    with pytest.raises(InputError, match="objective.cost is latency_ms, and a section latency must"):
        run_search(config(objective=MEASURED["objective"]))
    assert not Path("runs").exists()


def test_how_latency_is_measured_is_part_of_what_a_result_is_known_by(in_tmp: Path) -> None:
    inner = Scripted(in_tmp / "diary")
    network = load_architecture("efficientnet_b0")
    timed = [
        TimedEvaluator(inner=inner, protocol=LatencyProtocol(batch=batch), device_name=name, reference_ms=ms)
        for batch, name, ms in ((1, "", None), (8, "", None), (1, "X", None), (1, "", 3.0))
    ]
    assert len({evaluator.fingerprint for evaluator in [inner, *timed]}) == 5
    assert measured_by(timed[0], network).startswith(f"{timed[0].fingerprint} dropout ")


def test_measurements_of_latency_are_taken_over_with_it(in_tmp: Path, clock: list[str]) -> None:
    first = run_search(config("first", **MEASURED), evaluator=Scripted(in_tmp / "a")).run
    again = run_search(config("again", **MEASURED), evaluator=Scripted(in_tmp / "b"), reuse=[first]).run
    assert latencies(again) == latencies(first)
    assert {trial.reused for trial in again.trials()} == {"runs/first"}
    assert not (in_tmp / "b").exists()
    assert len(clock) == 6


def test_stopping_early_compares_rewards_of_the_latency(in_tmp: Path, clock: list[str]) -> None:
    run = run_search(config(**MEASURED), evaluator=Scripted(in_tmp / "diary")).run
    trial = ranked(run.trials())[0]
    objective = Objective(**MEASURED["objective"])
    score = score_of(trial, objective)
    assert score is not None
    assert score(Measurement(accuracy=0.8, metrics={"latency_ms": 1.0})) == pytest.approx(0.4)
    assert past_scores([trial], objective)[0][-1] == pytest.approx(trial.reward)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"latency": {}}, "latency.model is one way and measured another to know latency; neither is given"),
        ({"latency": {"model": "x.json", "measured": {}}}, "x.json"),
        (
            {"latency": {"measured": {"backend": "egaer"}}},
            "latency.measured.backend must be eager",
        ),
        ({"latency": {"measured": {"batches": 1}}}, "latency.measured.batches is an unknown key"),
        ({"latency": {"measured": {}, "reference_ms": 0.0}}, "latency.reference_ms must be greater than 0"),
        (
            {"latency": {"measured": {"reference": ""}, "reference_ms": 1.0}},
            "latency.reference_ms needs measured.reference",
        ),
        ({"latency": {"measured": {}}, "limits": {"latency_ms": 5}}, "limits.latency_ms needs latency.model"),
    ],
)
def test_what_does_not_fit_is_one_line(in_tmp: Path, sections: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        config(**sections)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_measures_no_latency(in_tmp: Path) -> None:
    with pytest.raises(InputError, match=r"latency\.measured is for proxy training"):
        parse_config(
            {
                "name": "t",
                "space": "digits",
                "objective": {"target": 1.0},
                "evaluator": {"kind": "table", "path": "t.csv"},
                "latency": {"measured": {}},
            }
        )


def test_a_configuration_with_latency_reads_back_equal(in_tmp: Path) -> None:
    settings = config(**MEASURED)
    Path("c.yaml").write_text(settings.to_yaml())
    assert load_config("c.yaml", name="t") == settings
    assert math.isclose(settings.objective.target, 0.5)


def test_a_model_of_another_space_is_refused_before_anything_begins(
    in_tmp: Path, model: LatencyModel
) -> None:
    other = {**model.to_dict(), "image_size": 64}
    with pytest.raises(
        InputError, match=r"latency\.model was fitted to networks of another space: image_size must"
    ):
        run_search(config(latency={"model": other}), evaluator=Scripted(in_tmp / "d"))
    assert not Path("runs").exists()
    for name, text in (
        ("m.jsonl", "holds measurements"),
        ("m.json", "all 0: every network would take no time"),
    ):
        zero = {**model.to_dict(), "intercept": 0.0, "coefficients": {"pointwise.macs": 0.0}}
        Path(name).write_text(json.dumps(zero))
        with pytest.raises(InputError, match=text):
            config(latency={"model": name})
