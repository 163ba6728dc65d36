"""``nas pareto``: objectives, limits and conditions on the command line; several runs over one another."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from nas import run_search
from results import cost_of, front_by, open_run
from tests.scripted import Scripted, Timed
from tests.searching import config
from tests.test_baselines import with_baselines
from tests.test_cli import nas


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs a, b and c: b measures latency too and has failures and baselines; c is measured otherwise."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_search(config("a", search={"candidates": 6}), evaluator=Scripted(folder / "diary"))
        known = with_baselines("efficientnet_b0", "mobilenet_v2", name="b", seed=1, search={"candidates": 6})
        run_search(known, evaluator=Timed(folder / "other", acts={2: "raise", 4: "raise"}))
        run_search(
            config("c", objective={"target": 5e5}, search={"candidates": 4}),
            evaluator=Scripted(folder / "third", fingerprint="<b>otherwise</b>[/]"),
        )
    return folder / "runs"


@pytest.fixture
def three(searched: Path, in_tmp: Path) -> None:
    """The three runs, for each test anew."""
    shutil.copytree(searched, "runs")


def document(capsys, *arguments: str):
    code, out, _ = nas(capsys, "pareto", *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_objectives_limits_and_conditions_of_one_run(three, capsys) -> None:
    trials = open_run("b").trials()
    found = document(capsys, "b", "--x", "latency_ms", "--y", "reward", "--z", "params")
    assert found["objectives"] == ["latency_ms", "reward", "params"]
    assert found["front"] == [
        {**trial.to_json(), "latency_ms": trial.curve[-1]["latency_ms"]}
        for trial in front_by(trials, ("latency_ms", "reward", "params")).trials
    ]
    largest = max(trial.curve[-1]["latency_ms"] for trial in trials if trial.status == "done")
    assert found["reference"]["latency_ms"] == 2 * largest
    limited = document(capsys, "b", "--limit", "macs<=1e6", "--limit", "accuracy > 0.5")
    feasible = [t for t in trials if t.status == "done" and t.macs <= 1e6 and t.accuracy > 0.5]
    assert (limited["limits"], limited["feasible"]) == (["macs<=1e6", "accuracy>0.5"], len(feasible))
    fewest = document(capsys, "b", "--limit", "stage1.kernel<=1")
    assert (fewest["feasible"], fewest["hypervolume"]) == (0, 0.0)
    assert fewest["front"]
    some = document(capsys, "b", "--where", "stage1.kernel == 3")
    assert {trial["choices"]["stage1.kernel"] for trial in some["front"]} <= {3}
    assert some["reference"] == document(capsys, "b")["reference"]


def test_text_of_one_run(three, capsys) -> None:
    code, out, err = nas(capsys, "pareto", "b", "--z", "latency_ms", "--limit", "macs<=1")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[-3:] == ["params", "latency", "architecture"]
    assert "0 of 5 networks hold macs<=1; the front is what breaks least, and has no hypervolume" in lines
    assert any(
        line.startswith("efficientnet_b0 is dominated by ") and line.endswith("; it breaks macs<=1")
        for line in lines
    )
    assert any(
        line.startswith("baseline mobilenet_v2 failed: RuntimeError: CUDA out of memory") for line in lines
    )
    assert "by the name" not in out  # of a latency everyone knows


def test_a_run_is_shown_over_the_cost_that_it_searched_for(three, capsys) -> None:
    aim = {"cost": "latency_ms", "target": 4.0}
    run_search(config("fast", objective=aim), evaluator=Timed(Path("diary")))
    found = document(capsys, "fast")
    assert found == document(capsys, "fast", "--x", "latency_ms")
    assert (found["objectives"], found["reference"]["latency_ms"]) == (["latency_ms", "accuracy"], 8.0)
    out = nas(capsys, "pareto", "fast")[1]
    assert out.splitlines()[0].split()[-2:] == ["latency", "architecture"]
    assert f"{found['front'][0]['latency_ms']:.3g} ms" in out.splitlines()[1]
    assert out.splitlines()[-1].endswith("reference point accuracy 0 and 8 ms")
    assert "latency_ms" not in out
    assert document(capsys, "fast", "--x", "macs")["objectives"] == ["macs", "accuracy"]


def test_of_several_runs_the_first_says_the_cost(three, capsys) -> None:
    aim = {"cost": "latency_ms", "target": 4.0}
    run_search(config("fast", objective=aim), evaluator=Timed(Path("diary")))
    assert document(capsys, "fast", "b")["runs"][1]["objectives"] == ["latency_ms", "accuracy"]
    assert document(capsys, "b", "fast")["runs"][1]["objectives"] == ["macs", "accuracy"]
    code, _, err = nas(capsys, "pareto", "fast", "a")
    assert code == 2
    assert "nas: a: no finished network has a number called 'latency_ms'" in err
    code, _, err = nas(capsys, "pareto", "fast", "--z", "latency_ms")
    assert (code, err) == (2, "nas: --x, --y and --z must differ, got latency_ms, accuracy, latency_ms\n")


def test_a_search_for_latency_without_a_result_has_an_empty_front(three, in_tmp: Path, capsys) -> None:
    aim = {"cost": "latency_ms", "target": 4.0}
    run_search(
        config("none", objective=aim, search={"candidates": 1}),
        evaluator=Timed(in_tmp / "d", acts={1: "raise"}),
    )
    assert document(capsys, "none")["front"] == []
    assert nas(capsys, "pareto", "none", "--x", "latency")[0] == 2  # what nothing is called stays refused


def test_a_search_without_an_objective_is_shown_over_multiply_adds() -> None:
    assert cost_of({}) == cost_of({"objective": None}) == cost_of({"objective": {"target": 1e6}}) == "macs"
    assert cost_of({"objective": {"cost": "params", "target": 1e6}}) == "params"


def test_metrics_that_are_no_costs_say_which_way_they_go(three, capsys) -> None:
    out = nas(capsys, "pareto", "b", "--z", "blocks")[1]
    assert out.splitlines()[-2] == "of blocks less is taken as better, by the name"


def test_a_baseline_that_breaks_a_limit_is_held_against_the_front_alone(three, capsys) -> None:
    out = nas(capsys, "pareto", "b", "--limit", "macs<=1")[1]
    least = min((t for t in open_run("b").trials() if t.status == "done"), key=lambda t: t.macs)
    (baseline,) = (t for t in open_run("b").baselines() if t.status == "done")
    assert least.macs <= baseline.macs
    dominated = least.accuracy >= baseline.accuracy
    words = f"candidate {least.id} (" if dominated else "no candidate of the front"
    assert f"efficientnet_b0 is dominated by {words}" in out


def test_networks_that_lack_an_objective_are_counted_apart(three, capsys) -> None:
    done = [trial for trial in open_run("b").trials() if trial.status == "done"]
    with contextlib.closing(sqlite3.connect("runs/b/journal.db")) as journal, journal:
        journal.execute("UPDATE trials SET curve = '[]' WHERE id = ?", (done[0].id,))
    out = nas(capsys, "pareto", "b", "--x", "latency_ms", "--plot", "some.svg")[1]
    assert f"1 of {len(done)} networks lack latency_ms, and are not compared\n" in out
    assert f"<!-- b: {len(done) - 1} networks -->" in Path("some.svg").read_text()
    assert "lack" not in nas(capsys, "pareto", "b")[1]


def test_nothing_that_fits_is_said_and_draws_no_front(three, capsys) -> None:
    code, out, err = nas(
        capsys, "pareto", "a", "--where", "macs < 1", "--limit", "macs<=1", "--plot", "n.svg"
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [
        "there is no finished candidate to make a front of",
        "0 of 0 networks hold macs<=1",
    ]
    assert nas(capsys, "pareto", "a", "--where", "id == 1", "--plot", "one.svg")[0] == 0
    assert "<!-- no result yet -->" in Path("n.svg").read_text()
    assert "<!-- a: 1 network where id == 1 -->" in Path("one.svg").read_text()
    assert "no result yet" not in Path("one.svg").read_text()


def test_several_runs_share_a_reference_and_make_a_front_together(three, capsys) -> None:
    found = document(capsys, "a", "runs/b", "c")
    assert set(found) == {"runs", "reference", "combined"}
    assert [run["run"] for run in found["runs"]] == ["a", "b", "c"]
    assert found["reference"] == {"accuracy": 0.0, "macs": 2e6}  # the first run's target
    for run in found["runs"]:
        assert run["reference"] == found["reference"]
        assert set(run) == {"run", *document(capsys, run["run"])}
        assert [t["id"] for t in run["front"]] == [t["id"] for t in document(capsys, run["run"])["front"]]
    trials = {run: open_run(run).trials() for run in "abc"}
    together = front_by([t for its in trials.values() for t in its], reference=found["reference"])
    combined = found["combined"]
    assert combined["hypervolume"] == together.hypervolume >= max(run["hypervolume"] for run in found["runs"])
    assert [(t["macs"], t["accuracy"]) for t in combined["front"]] == [
        (t.macs, t.accuracy) for t in together.trials
    ]
    for trial in combined["front"]:
        assert trial.pop("run") in "abc"
        assert set(trial) == set(found["runs"][0]["front"][0])
    other = document(capsys, "c", "a")
    assert other["reference"]["macs"] == 1e6
    largest = max(t.params for run in "ac" for t in trials[run])
    assert document(capsys, "c", "a", "--x", "params")["reference"]["params"] == 2 * largest


def test_text_of_several_runs_counts_what_each_gives_to_the_front_of_all(three, capsys) -> None:
    code, out, err = nas(capsys, "pareto", "a", "b", "--limit", "macs<=2e6")
    assert (code, err) == (0, "")
    lines, of_all = out.splitlines(), "of the combined front"
    assert " ".join(lines[0].split()) == f"run networks feasible on its front hypervolume {of_all}"
    assert [line.split()[0] for line in lines[1:3]] == ["a", "b"]
    both = document(capsys, "a", "b", "--limit", "macs<=2e6")
    given = [sum(t["run"] == run for t in both["combined"]["front"]) for run in "ab"]
    assert [int(line.split()[-1]) for line in lines[1:3]] == given
    assert sum(given) == len(both["combined"]["front"])
    assert (
        f"hypervolume of all together {both['combined']['hypervolume']:.4f}; each with reference point"
        in lines[-1]
    )


def test_runs_that_are_measured_in_different_ways_are_named(three, capsys) -> None:
    code, _, err = nas(capsys, "pareto", "a", "b", "c")
    measured, targets = err.splitlines()
    assert code == 0
    assert measured.startswith(
        "nas: the runs are measured in different ways, and accuracies do not compare: "
    )
    assert measured.endswith(": a, b: scripted; c: <b>otherwise")
    assert targets == "nas: the runs have different targets; the reference point is that of a"
    assert nas(capsys, "pareto", "a", "b")[2] == ""
    err = nas(capsys, "pareto", "a", "c", "--y", "reward")[2]
    assert err.splitlines()[1] == "nas: the runs have different objectives, and rewards do not compare"
    assert nas(capsys, "pareto", "a", "b", "--y", "reward")[2] == ""


def test_equal_names_in_different_folders_are_told_apart(three, capsys) -> None:
    Path("elsewhere").mkdir()
    Path("runs/b").rename("elsewhere/a")
    found = document(capsys, "a", "elsewhere/a")
    assert [run["run"] for run in found["runs"]] == ["runs/a", "elsewhere/a"]


def test_a_metric_that_a_run_lacks_is_named_with_the_run(three, capsys) -> None:
    code, out, err = nas(capsys, "pareto", "b", "a", "--x", "latency_ms")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(
        "nas: a: no finished network has a number called 'latency_ms'; there are accuracy, "
    )


@pytest.mark.parametrize("ending", ["pdf", "html"])
def test_several_runs_are_drawn(three, capsys, ending: str) -> None:
    code, out, _ = nas(capsys, "pareto", "a", "b", "c", "--z", "params", "--plot", f"new/all.{ending}")
    assert (code, out.splitlines()[-1]) == (0, f"wrote new/all.{ending}")
    content = Path(f"new/all.{ending}").read_bytes()
    start = {"pdf": b"%PDF", "html": b"<!doctype html>"}[ending]
    assert content.startswith(start)
    assert [path.name for path in Path("new").iterdir()] == [f"all.{ending}"]


def test_a_run_without_results_lies_beside_one_with(three, in_tmp: Path, capsys) -> None:
    run_search(config("none", search={"candidates": 1}), evaluator=Scripted(in_tmp / "d", acts={1: "raise"}))
    found = document(capsys, "none", "a")
    assert (found["runs"][0]["front"], found["runs"][0]["hypervolume"]) == ([], 0.0)
    assert found["combined"]["hypervolume"] == found["runs"][1]["hypervolume"]
    assert nas(capsys, "pareto", "none", "a", "--plot", "p.html")[0] == 0
    assert nas(capsys, "pareto", "none", "--z", "params", "--plot", "p.png")[0] == 0
