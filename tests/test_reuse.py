"""Measurements of earlier runs are taken over, and change nothing but the time a search takes."""

from dataclasses import replace
from pathlib import Path

import pytest

from nas import open_run, run_search
from nas.cli import main
from nas.doctor import examine
from results import status_of
from search_space import InputError, load_space
from search_space.latency_model import LatencyModel
from search_space.operators import MEASURES
from tests.searching import Scripted, config
from tests.tables import SPACE, load, rows_of, write_csv
from tests.test_search import assert_equal_states, replayed


@pytest.fixture
def scripted(in_tmp: Path) -> Scripted:
    return Scripted(in_tmp / "diary")


def facts(name: str) -> list[tuple]:
    return [(t.key, t.status, t.accuracy, t.reward, t.arrival, t.curve) for t in open_run(name).trials()]


def test_what_was_measured_is_taken_over_and_the_search_is_the_same(scripted: Scripted) -> None:
    run_search(config("a", search={"candidates": 5}), evaluator=scripted)
    run_search(config("whole", search={"candidates": 9}), evaluator=scripted)
    begun = len(scripted.lines("begin"))
    settings = config("b", search={"candidates": 9})
    run_search(settings, evaluator=scripted, reuse=[open_run("a")])
    assert len(scripted.lines("begin")) == begun + 4
    assert facts("b") == facts("whole")
    trials = open_run("b").trials()
    assert [trial.reused for trial in trials] == ["runs/a"] * 5 + [None] * 4
    assert status_of(open_run("b")).reused == {"runs/a": 5}
    controller, saved = replayed(open_run("b"), settings)
    assert_equal_states(controller.state_dict(), saved)
    for trial in trials[:5]:  # their weights come along while they are among the best
        path = open_run("b").weights_path(trial.id)
        assert path.read_text() == trial.key


def test_a_resumed_search_takes_over_too_and_nothing_is_taken_over_unasked(scripted: Scripted) -> None:
    run_search(config("a", search={"candidates": 6}), evaluator=scripted)
    run_search(config("b", search={"candidates": 3}), evaluator=scripted)
    assert len(scripted.lines("begin")) == 9
    again = config("b", search={"candidates": 6})
    run_search(again, resume=True, evaluator=scripted, reuse=[open_run("a")])
    assert len(scripted.lines("begin")) == 9
    assert [trial.reused for trial in open_run("b").trials()] == [None] * 3 + ["runs/a"] * 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"fingerprint": "another protocol"},
            "other data, another protocol or another version of the trainer",
        ),
        ({"fingerprint": "scripted dropout 0"}, "other data, another protocol"),
        ({"seed": 5}, "another seed"),
    ],
)
def test_what_was_measured_otherwise_is_measured_again(scripted: Scripted, caplog, change, words) -> None:
    run_search(config("a", search={"candidates": 4}), evaluator=scripted)
    settings = config("b", search={"candidates": 4})
    if "seed" in change:
        settings = settings.model_copy(update=change)
    else:
        scripted = replace(scripted, **change)
    run_search(settings, evaluator=scripted, reuse=[open_run("a")])
    assert len(scripted.lines("begin")) == 8
    assert f"runs/a: none of its 4 measurements can be reused, they were made with {words}" in caplog.text


def test_a_training_seed_of_its_own_lets_other_controllers_take_over(scripted: Scripted) -> None:
    first = config("a", search={"candidates": 12, "keep_weights": 0}).model_copy(update={"training_seed": 7})
    run_search(first, evaluator=scripted)
    assert {trial.seed for trial in open_run("a").trials()} == {7}
    assert not [finding for finding in examine(open_run("a")).findings if finding.severity == "error"]
    before = set(scripted.lines("begin"))
    other = config("b", search={"candidates": 12}, controller={"name": "random", "options": {}})
    run_search(
        other.model_copy(update={"seed": 3, "training_seed": 7}), evaluator=scripted, reuse=[open_run("a")]
    )
    twice = [trial for trial in open_run("b").trials() if trial.key in before]
    assert all(trial.reused == "runs/a" for trial in twice)


def test_failures_are_tried_again(in_tmp: Path) -> None:
    run_search(config("a"), evaluator=Scripted(in_tmp / "diary", acts={2: "raise", 4: "nan"}))
    healthy = Scripted(in_tmp / "diary 2")
    run_search(config("b"), evaluator=healthy, reuse=[open_run("a")])
    failed = [trial.key for trial in open_run("a").trials() if trial.status == "failed"]
    # another outcome teaches the controller another thing, so that later proposals differ
    assert set(failed) <= set(healthy.lines("begin"))


def test_the_command_says_what_it_took_over(in_tmp: Path, capsys, monkeypatch) -> None:
    (in_tmp / "c.yaml").write_text(
        "space: digits\nobjective: {target: 1e6}\nprotocol: {epochs: 1, batch: 256}\n"
        "controller: {name: random}\nsearch: {candidates: 2}\nexecutor: {kind: inline}\n"
    )

    def nas(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["nas", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    assert nas("search", "c.yaml")[0] == 0
    code, out, _ = nas(
        "search", "c.yaml", "--run", "d", "--set", "search.candidates=3", "--reuse", "c", "--reuse", "runs/c"
    )
    assert code == 0
    assert "d: finished; 1 networks trained, 0 failed, 2 taken over from earlier runs" in out
    code, out, _ = nas("status", "d")
    assert "2 measurements were taken over from runs/c" in out
    code, _, err = nas("search", "c.yaml", "--run", "e", "--reuse", "cc")
    assert (code, err.count("\n")) == (2, 1)
    assert "no run 'cc' under runs/; did you mean c?" in err
    with pytest.raises(InputError):
        open_run("e")


def test_what_was_taken_over_is_no_rate_of_training(scripted: Scripted) -> None:
    first = config("a", search={"candidates": 8}, controller={"name": "random", "options": {}})
    run_search(first, evaluator=scripted)
    second = first.model_copy(update={"name": "b"})
    run = run_search(second, evaluator=scripted, reuse=[open_run("a")]).run
    assert status_of(run).reused == {"runs/a": 8}
    assert status_of(run).candidates_per_hour is None


def test_weights_that_vanish_meanwhile_end_no_search(scripted: Scripted, monkeypatch, caplog) -> None:
    run_search(config("a", search={"candidates": 4}), evaluator=scripted)

    def gone(source: Path, target: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(source))

    monkeypatch.setattr("nas.search.shutil.copyfile", gone)
    end = run_search(config("b", search={"candidates": 4}), evaluator=scripted, reuse=[open_run("a")])
    assert end.outcome == "finished"
    assert len(scripted.lines("begin")) == 4
    assert "are not taken over" in caplog.text


def test_a_latency_that_a_model_predicted_is_not_taken_for_a_tables(in_tmp: Path) -> None:
    """The other run's model gave its column; the evaluator of both is the same."""
    space = load_space(SPACE)
    rows = [{**row, "latency_ms": 5.0 + number} for number, row in enumerate(rows_of(space))]
    table = load(write_csv(in_tmp / "t.csv", rows), space, surrogate=False)
    network = space.decode([0] * len(space.decisions))
    every = {f"{kind}.{measure}": 1e-9 for kind, measures in MEASURES.items() for measure in measures}
    model = LatencyModel(
        intercept=0.5, coefficients=every, image_size=16, stem=network.stem, head=network.head
    )
    given: dict = {"space": SPACE, "evaluator": {"kind": "table", "path": "t.csv", "surrogate": False}}
    run_search(config("a", **given, latency={"model": model.to_dict()}), evaluator=table)
    given["objective"] = {"cost": "latency_ms", "target": 30.0}
    run_search(config("b", **given), evaluator=table, reuse=[open_run("a")])
    for trial in open_run("b").trials():
        (row,) = table.epochs(trial.network(), trial.seed)
        assert trial.cost("latency_ms") == row.metrics["latency_ms"]
    run_search(config("c", **given | {"objective": {"target": 1e5}}), evaluator=table, reuse=[open_run("a")])
    assert {trial.reused for trial in open_run("c").trials()} == {"runs/a"}  # whose latency is not needed
    assert {trial.cost("latency_ms") for trial in open_run("c").trials()} == {None}
