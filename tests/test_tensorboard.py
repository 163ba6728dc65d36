"""TensorBoard's log of a search, read by TensorBoard's own reader, and by TensorBoard itself."""

from __future__ import annotations

import itertools
import json
import math
import re
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import torch

from controller import Outcome, create_controller
from nas import run_search
from results import Run, TensorBoardLog, Trial, front_of, tensorboard
from search_space import Decision, SearchSpace
from tests.searching import PPO, Scripted, config

SCALARS = {
    *("search/accuracy", "search/reward", "search/macs", "search/params", "search/seconds"),
    *("search/best_reward", "search/failed", "search/hypervolume", "search/candidates_per_hour"),
}
METRICS = {f"result/{name}" for name in ("accuracy", "reward", "macs", "params", "seconds")}
PNG = b"\x89PNG\r\n\x1a\n"


def events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()


def values(folder: Path, tag: str) -> list[float]:
    return [event.value for event in events(folder).Scalars(tag)]


@pytest.fixture
def run(in_tmp: Path) -> Run:
    """A finished search of 8 candidates, the second and the third of which failed."""
    evaluator = Scripted(in_tmp / "diary", acts={2: "raise", 3: "nan"})
    settings = config(controller=PPO, search={"candidates": 8, "figure_every": 3})
    return run_search(settings, evaluator=evaluator).run


def test_the_search_s_curves_are_complete(run: Run) -> None:
    folder, trials = run.path / "tensorboard", run.trials()
    log = events(folder)
    assert set(log.Tags()["scalars"]) >= SCALARS
    assert values(folder, "search/failed") == [0, 1, 2, 2, 2, 2, 2, 2]
    assert [event.step for event in log.Scalars("search/accuracy")] == [1, 4, 5, 6, 7, 8]
    shares = [front_of(trials[:n], 2e6).hypervolume for n in range(1, 9)]
    assert values(folder, "search/hypervolume") == pytest.approx(shares, rel=1e-6)
    assert all(rate > 0 for rate in values(folder, "search/candidates_per_hour"))


def test_every_candidate_has_its_curve_its_result_and_its_choices(run: Run) -> None:
    from tensorboard.plugins.hparams import metadata

    folder = run.path / "tensorboard" / "candidates"
    trials = run.trials()
    assert sorted(path.name for path in folder.iterdir()) == [f"{trial.id:05d}" for trial in trials]
    for trial in trials:
        own = folder / f"{trial.id:05d}"
        assert len(list(own.iterdir())) == 1
        log = events(own)
        start, end = (
            log.summary_metadata[tag].plugin_data.content
            for tag in (metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG)
        )
        told = metadata.parse_session_start_info_plugin_data(start).hparams
        assert {n: getattr(v, v.WhichOneof("kind")) for n, v in told.items()} == trial.choices
        status = metadata.parse_session_end_info_plugin_data(end).status
        if trial.status == "failed":
            assert status == 2  # failure
            assert not METRICS & set(log.Tags()["scalars"])
            continue
        assert status == 1  # success
        assert values(own, "candidates/loss") == [1.0, 0.5]
        for fact in METRICS:
            assert values(own, fact) == pytest.approx([getattr(trial, fact.removeprefix("result/"))])


def test_the_front_is_drawn_each_so_many_candidates_and_at_the_end(run: Run) -> None:
    images = events(run.path / "tensorboard").Images("search/pareto")
    assert [image.step for image in images] == [3, 6, 8]
    assert all(image.encoded_image_string.startswith(PNG) for image in images)
    assert images[0].width > 400


def test_a_resumed_search_goes_on_and_writes_no_candidate_twice(in_tmp: Path) -> None:
    acts = {2: "raise", 5: "raise"}
    run = run_search(config(search={"candidates": 4}), evaluator=Scripted(in_tmp / "diary", acts=acts)).run
    folder = run.path / "tensorboard"
    before = {path: path.stat().st_mtime_ns for path in (folder / "candidates").rglob("events*")}
    run_search(
        config(search={"candidates": 7, "figure_every": 100}),
        evaluator=Scripted(in_tmp / "diary", acts=acts),
        resume=True,
    )
    assert values(folder, "search/failed") == [0, 1, 1, 1, 2, 2, 2]
    shares = [front_of(run.trials()[:n], 2e6).hypervolume for n in range(1, 8)]
    assert values(folder, "search/hypervolume") == pytest.approx(shares, rel=1e-6)
    after = {path: path.stat().st_mtime_ns for path in (folder / "candidates").rglob("events*")}
    assert len(after) == 7
    assert before.items() <= after.items()
    assert [image.step for image in events(folder).Images("search/pareto")] == [7]


def test_no_figure_where_none_is_wanted(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "_pareto_png", lambda *of: pytest.fail("drawn"))
    run = run_search(config(), evaluator=Scripted(in_tmp / "diary")).run
    assert events(run.path / "tensorboard").Tags()["images"] == []


def test_a_figure_that_cannot_be_drawn_ends_no_search(in_tmp: Path, monkeypatch, caplog) -> None:
    def broken(*of: object) -> bytes:
        raise RuntimeError("no font")

    monkeypatch.setattr(tensorboard, "_pareto_png", broken)
    end = run_search(config(search={"figure_every": 1}), evaluator=Scripted(in_tmp / "diary"))
    assert end.outcome == "finished"
    assert values(end.run.path / "tensorboard", "search/accuracy") == pytest.approx(
        [trial.accuracy for trial in end.run.trials()]
    )
    assert caplog.text.count("TensorBoard's log has gaps: no font") == 1


def test_a_full_disk_is_said_once_and_leaves_a_gap(tmp_path: Path, capfd, caplog) -> None:
    log = TensorBoardLog(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for number in range(1, 9):
        (file,) = tmp_path.glob("events*") if number == 3 else [None]
        if file is not None:  # the next event fits in part, and a new file not at all
            resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, before[1]))
        try:
            log.controller({"baseline": float(number)}, number)
        finally:
            if number == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log.close()
    steps = [event.step for event in events(tmp_path).Scalars("controller/baseline")]
    assert steps == [1, 2, 4, 5, 6, 7, 8]
    assert len(list(tmp_path.iterdir())) == 2
    assert caplog.text.count("TensorBoard's log has gaps") == 1
    assert "Traceback" not in capfd.readouterr().err


def made(number: int, **facts: Any) -> Trial:
    """A finished trial."""
    base: dict[str, Any] = {"key": f"k{number}", "protocol": "p", "seed": 0, "choices": {"a": 1}}
    base |= {"architecture": {}, "macs": 100, "params": 10, "status": "done", "accuracy": 0.5, "reward": 0.5}
    return Trial(**{**base, "id": number, "arrival": number, **facts})


def test_drawing_leaves_the_time_to_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, drawn = [0.0], []

    def slow(*of: object) -> bytes:
        now[0] += 2.0
        drawn.append(now[0])
        return PNG + bytes(20)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(tensorboard, "_pareto_png", slow)
    log = TensorBoardLog(tmp_path, figure_every=1, trials=lambda: ([], []))
    for number in range(1, 31):
        now[0] += 0.01
        log.result(made(number), None)
    assert len(drawn) == 3  # five seconds are free, whatever the candidates take
    now[0] += 60.0
    for number in range(31, 61):
        log.result(made(number), None)
    assert len(drawn) == 5
    log.close()
    assert len(drawn) == 6  # the last is always there


def test_choices_keep_their_kind_and_what_is_stopped_is_neither(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams import metadata

    choices = {"n": 3, "x": 0.25, "on": True, "op": "<b>k3</b>", "none": None, "list": [1, 2]}
    log = TensorBoardLog(tmp_path)
    trial = made(1, choices=choices, status="stopped", accuracy=None, reward=None)
    log.result(trial, None)
    log.result(made(2, choices=choices, status="failed", accuracy=None, reward=None), None)
    log.result(replace(trial, id=3, arrival=None), None)  # not yet there
    log.close()
    own = events(tmp_path / "candidates" / "00001").summary_metadata
    start, end = (own[tag].plugin_data.content for tag in sorted(own, reverse=True))
    told = metadata.parse_session_start_info_plugin_data(start).hparams
    assert {n: getattr(v, v.WhichOneof("kind")) for n, v in told.items()} == {
        **choices,
        **{"none": "None", "list": "[1, 2]"},
    }
    assert metadata.parse_session_end_info_plugin_data(end).status == 0
    assert values(tmp_path, "search/stopped") == [1.0, 1.0]
    assert not (tmp_path / "candidates" / "00003").exists()


@pytest.mark.parametrize(("name", "rate"), [("ppo", 0.003), ("reinforce", 0.1)])
def test_the_entropy_of_each_decision_falls_from_one(name: str, rate: float) -> None:
    space = SearchSpace(
        [Decision("a.kernel", (3, 5)), Decision("b", ("x", "y", "z")), Decision("fixed", (1,))]
    )
    controller = create_controller(name, space, 0, batch=4, learning_rate=rate)
    assert controller.diagnostics() == {}
    shares = []
    for _ in range(25):
        batch = controller.ask(4)
        rewards = [1.0 if proposal.choices[0] == 3 else 0.0 for proposal in batch]
        controller.tell(batch, [Outcome(reward, 1.0, reward) for reward in rewards])
        told = controller.diagnostics()
        assert {key for key in told if key.startswith("entropy_of/")} == {
            "entropy_of/a.kernel",
            "entropy_of/b",
        }
        assert all(0.0 <= told[f"entropy_of/{key}"] <= 1.0 + 1e-6 for key in ("a.kernel", "b"))
        shares.append(told["entropy_of/a.kernel"])
    assert shares[0] > 0.8
    assert shares[-1] < 0.5
    everything = torch.tensor(list(itertools.product(range(2), range(3), range(1))))
    log_prob, _ = controller.policy.evaluate(everything)  # type: ignore[attr-defined]
    share = float(log_prob.detach().exp()[:3].sum())  # of the first decision, after nothing
    bits = -share * math.log2(share) - (1 - share) * math.log2(1 - share)
    assert shares[-1] == pytest.approx(bits, rel=0.01)
    assert not any(key.startswith("entropy_of/") for key in controller.state_dict()["diagnostics"])


def test_dyna_tells_of_each_decision_too() -> None:
    space = SearchSpace(
        [Decision("a", (1, 2)), Decision("b", ("x", "y", "z")), Decision("c", tuple(range(5)))]
    )
    controller = create_controller("dyna", space, 0)
    for _ in range(4):
        batch = controller.ask(5)
        rewards = [0.5 + 0.1 * proposal.indices[2] for proposal in batch]
        controller.tell(batch, [Outcome(reward, 1.0, reward) for reward in rewards])
    told = controller.diagnostics()
    assert set(told) == {"entropy", "entropy_of/a", "entropy_of/b", "entropy_of/c"}
    nats = sum(told[f"entropy_of/{name}"] * math.log(n) for name, n in (("a", 2), ("b", 3), ("c", 5)))
    assert told["entropy"] == pytest.approx(nats / 3, rel=1e-3)


# --- the real thing -----------------------------------------------------------------------------------


@contextmanager
def served(logdir: Path, log: Path) -> Iterator[str]:
    """TensorBoard on a port of its choice; its address."""
    words = ["--logdir", str(logdir), "--port", "0", "--host", "localhost"]
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", *words], stdout=file, stderr=subprocess.STDOUT
        )
    try:
        until = time.monotonic() + 60
        while not (found := re.search(r"http://localhost:\d+", log.read_text())):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield found.group()
    finally:
        server.terminate()
        server.wait(timeout=30)


def asked(address: str, path: str, body: dict[str, Any] | None = None, **query: Any) -> bytes:
    url = f"{address}/data/plugin/{path}" + (f"?{urlencode(query)}" if query else "")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


@pytest.mark.slow
def test_tensorboard_shows_curves_figures_and_a_table_of_candidates(run: Run, in_tmp: Path) -> None:
    other = config("u", controller={"name": "random", "options": {}}, search={"candidates": 2})
    run_search(other, evaluator=Scripted(in_tmp / "diary 2"))
    trials = run.trials()
    with served(in_tmp / "runs", in_tmp / "log") as address:
        until = time.monotonic() + 60
        while len(scalars := json.loads(asked(address, "scalars/tags"))) < 1 + 8 - 2 + 1 + 2:
            assert time.monotonic() < until
            time.sleep(0.3)
        assert set(scalars["t/tensorboard"]) >= SCALARS | {"controller/entropy"}
        assert any(tag.startswith("controller/entropy_of/") for tag in scalars["t/tensorboard"])
        images = json.loads(asked(address, "images/tags"))
        assert list(images["t/tensorboard"]) == ["search/pareto"]
        where = {"run": "t/tensorboard", "tag": "search/pareto", "sample": 0}
        listed = json.loads(asked(address, "images/images", **where))
        assert [image["step"] for image in listed] == [3, 6, 8]
        png = asked(address, f"images/individualImage?{listed[-1]['query']}")
        assert png.startswith(PNG)
        experiment = json.loads(asked(address, "hparams/experiment", {"experimentName": ""}))
        assert {info["name"] for info in experiment["hparamInfos"]} >= set(trials[0].choices)
        assert {info["name"]["tag"] for info in experiment["metricInfos"]} >= METRICS
        columns = [{"hparam": name} for name in trials[0].choices]
        columns += [{"metric": {"group": "", "tag": tag}} for tag in sorted(METRICS)]
        body = {
            "experimentName": "",
            "allowedStatuses": [
                "STATUS_UNKNOWN",
                "STATUS_SUCCESS",
                "STATUS_FAILURE",
                "STATUS_RUNNING",
            ],
            "colParams": columns,
            "startIndex": 0,
            "sliceSize": 100,
        }
        groups = json.loads(asked(address, "hparams/session_groups", body))["sessionGroups"]
    assert len(groups) == 10
    found = {}
    for group in groups:
        (session,) = group["sessions"]
        assert group["hparams"]
        measured = {value["name"]["tag"]: value["value"] for value in group.get("metricValues", [])}
        found[session["name"]] = (session["status"], measured)
    for trial in trials:
        status, measured = found[f"t/tensorboard/candidates/{trial.id:05d}"]
        if trial.status == "failed":
            assert (status, measured) == ("STATUS_FAILURE", {})
        else:
            assert status == "STATUS_SUCCESS"
            assert measured["result/accuracy"] == pytest.approx(trial.accuracy)
