"""Baselines on the command line, in figures and in TensorBoard."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nas import load_architecture, run_search
from results import RunFront, front_of, pareto_figure, ranked
from search_space import load_space
from tests.searching import Scripted
from tests.test_baselines import THREE, with_baselines
from tests.test_cli import nas

B0 = "efficientnet_b0"


@pytest.fixture
def shown(in_tmp: Path):
    """A finished search of 8 candidates with a baseline that failed and two that did not."""
    return run_search(
        with_baselines(search={"candidates": 8}), evaluator=Scripted(in_tmp / "diary", acts={3: "raise"})
    ).run


def test_json_has_the_baselines_apart(shown, capsys) -> None:
    status = json.loads(nas(capsys, "status", "t", "--json")[1])
    assert (status["counts"], len(status["baselines"])) == ({"done": 8}, 3)
    first = status["baselines"][0]
    assert (first["name"], first["baseline"]) == (B0, B0)
    assert first["adapted"] == "32 pixels, stride 1 instead of 2 in stages 2 and 3"
    assert {"id", "status", "key", "accuracy", "macs", "params", "reward", "choices"} <= set(first)
    assert status["baselines"][2]["status"] == "failed"
    assert json.loads(nas(capsys, "ls", "--json")[1]) == [status]
    top = json.loads(nas(capsys, "top", "t", "--json")[1])
    assert [trial["id"] for trial in top] == [trial.id for trial in ranked(shown.trials())]
    assert all(trial["baseline"] is None for trial in top)
    pareto = json.loads(nas(capsys, "pareto", "t", "--json")[1])
    assert {trial["baseline"] for trial in pareto["front"]} == {None}
    assert [b["name"] for b in pareto["baselines"]] == THREE
    front = front_of(shown.trials(), 2e6)
    for baseline in pareto["baselines"][:2]:
        assert baseline["dominated_by"] == [
            t.id for t in front.trials if t.accuracy >= baseline["accuracy"] and t.macs <= baseline["macs"]
        ]


def test_text_has_the_baselines_marked(shown, capsys) -> None:
    for command in ("status", "top"):
        code, out, err = nas(capsys, command, "t")
        assert (code, err) == (0, "")
        ranking, _, below = out.partition("baselines (reference networks, trained alike)")
        assert B0 not in ranking
        assert all(name in below for name in THREE)
        assert "32 pixels, stride 1 instead of 2 in stages 2 and 3" in below
        assert "baseline mobilenet_v2 failed: RuntimeError" in below
    out = nas(capsys, "pareto", "t")[1]
    rows = [line.split()[:2] for line in out.splitlines()]
    assert [B0, "-"] in rows
    assert not any(row[:1] == ["mobilenet_v2"] for row in rows)
    assert "baseline mobilenet_v2 failed: RuntimeError: CUDA out of memory" in out
    assert out.count("is dominated by ") == 2


def test_a_baseline_is_an_architecture_of_the_run(shown, capsys) -> None:
    network = load_architecture(f"t@{B0}")
    assert network.key == load_architecture("t@1").key == shown.baselines()[0].key
    assert network.key == load_architecture("t@EfficientNet-B0").key
    assert network.name == f"t-{B0}"
    out = nas(capsys, "show", f"t@{B0}")[1]
    assert f"baseline {B0} (32 pixels, stride 1 instead of 2 in stages 2 and 3) of the search t: " in out
    assert nas(capsys, "export", f"t@{B0}", "-o", "net")[0] == 0
    assert Path("net/weights.safetensors").read_text() == network.key
    code, out, _ = nas(capsys, "export", "t@mobilenet_v2", "-o", "other")
    assert (code, "baseline mobilenet_v2 has no weights: it did not finish" in out) == (0, True)
    code, _, err = nas(capsys, "show", "t@resnet_50")
    assert (code, err.count("\n")) == (2, 1)
    assert "or a baseline (efficientnet_b0, mnasnet_a1, mobilenet_v2)" in err


def test_the_end_of_a_search_compares_with_each_baseline(in_tmp: Path, capsys) -> None:
    small = replace(load_space("digits").decode((0,) * 20), activation="relu")
    small.renamed("small one").save("small.yaml")
    Path("c.yaml").write_text(
        "space: digits\nobjective: {target: 1e6}\nprotocol: {epochs: 1, batch: 600}\n"
        "search: {candidates: 1}\nexecutor: {kind: inline}\nbaselines: [small.yaml]\n"
    )
    code, out, err = nas(capsys, "search", "c.yaml")
    assert code == 0
    assert "baseline small one: " in err
    assert "\n1/1 best " in err
    (line,) = [line for line in out.splitlines() if line.startswith("baseline small one: ")]
    assert "the recommended network has " in line
    assert "c: finished; 1 networks trained, 0 failed" in out


def test_the_figure_has_a_diamond_with_a_name_for_each(shown) -> None:
    trials = shown.trials()
    odd = [replace(trial, baseline="$x_ [/y]$") for trial in shown.baselines()]

    def drawn(baselines, its=trials):
        front = front_of(its, 2e6)
        return pareto_figure([RunFront(name="t", trials=its, front=front, baselines=baselines)], "t")

    figure = drawn(odd)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["$x_ [/y]$"] * 2  # of those that finished
    assert "baselines (2)" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert axes.get_xscale() == "log"
    figure.savefig(shown.path / "p.png")
    near = [replace(trial, macs=max(t.macs for t in trials)) for trial in odd]
    assert drawn(near).axes[0].get_xscale() == "linear"
    drawn(odd, []).savefig(shown.path / "q.png")


def test_tensorboard_keeps_baselines_out_of_the_search(shown) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = shown.path / "tensorboard"
    events = EventAccumulator(str(folder)).Reload()
    assert len(events.Scalars("search/accuracy")) == 8
    curves = EventAccumulator(str(folder / "baselines" / B0)).Reload()
    assert [e.value for e in curves.Scalars("candidates/loss")] == [1.0, 0.5]
