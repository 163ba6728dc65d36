"""Runs of scaling beside the other commands: how they stand, what they refuse, whether they are sound."""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from nas import InputError, open_run, parse_config, run_search
from nas.audit import run_audit
from nas.dimensions import experiment_of
from nas.doctor import Replays, examine
from nas.lookup import find_architecture
from nas.scaling_config import parse_scaling_config
from nas.scaling_grid import grid_points
from nas.scaling_run import run_scaling
from nas.scaling_search import grid_findings, grid_plan
from nas.watch import Watcher
from nas.watch_views import draw, plain_line
from results import Run, by_network, chosen_of
from search_space import load_architecture, read_yaml
from tests.doctoring import change, errors, held, mended, warnings
from tests.processes import Forked, wait_for
from tests.searching import Scripted, config
from tests.test_audit import Interrupting
from tests.test_cli import nas

ROOT = Path(__file__).parent.parent
NETWORK = str(ROOT / "configs" / "networks" / "mbconv-16px.yaml")
GRID = {"points": 3, "seeds": 2, "max_seeds": 2}
CLASSES, CHANNELS = 10, 1


def scaling_config(name: str = "g", **settings):
    return parse_scaling_config(
        {
            "name": name,
            "baseline": load_architecture(NETWORK).to_dict(),
            "scaling": {**GRID, **settings},
            "executor": {"kind": "inline"},
        }
    )


def grid(evaluator: Scripted, name: str = "g", listeners=(), **settings):
    config = scaling_config(name, **settings)
    points = grid_points(config.baseline, config.scaling, CLASSES, CHANNELS)
    plan = grid_plan(config.baseline, points, config.scaling)
    return points, run_scaling(config, plan, evaluator, listeners=listeners)


def dimensions(evaluator: Scripted, name: str = "d"):
    config = scaling_config(name).model_copy(update={"scaling": None})
    data = {**config.model_dump(mode="json"), "dimensions": {"factors": [2.0], "widths": [], "seeds": 1}}
    config = parse_scaling_config(data)
    plan = experiment_of(config.baseline, config.dimensions, CLASSES, CHANNELS).plan(1)
    return run_scaling(config, plan, evaluator)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A folder with one run of each kind that no test changes; a training of the grid failed."""
    folder = tmp_path_factory.mktemp("original")
    before = Path.cwd()
    os.chdir(folder)
    try:
        grid(Scripted(folder / "g.diary", acts={8: "raise"}))
        dimensions(Scripted(folder / "d.diary"))
        (folder / "runs/g/scaling.png").write_text("a figure")
        run_search(config("s", search={"candidates": 2}), evaluator=Scripted(folder / "s.diary"))
        audit = parse_config(
            {
                "name": "a",
                "space": "digits",
                "objective": {"target": 1e6},
                "executor": {"kind": "inline"},
                "audit": {"architectures": 4, "seeds": 1, "reference_seeds": 1},
            }
        )
        run_audit(audit, evaluator_of=lambda p: Scripted(folder / "a.diary", fingerprint=f"{p.epochs}"))
    finally:
        os.chdir(before)
    return folder / "runs"


@pytest.fixture
def runs(original: Path, in_tmp: Path) -> Path:
    shutil.copytree(original, in_tmp / "runs")
    return in_tmp / "runs"


@pytest.fixture
def without_data(monkeypatch) -> None:
    """Data take time to read, and are no matter of most tests."""

    def missing(config, content):
        raise InputError("the data are not here")

    monkeypatch.setattr("nas.doctor.scaled_evaluator", missing)


def test_runs_are_listed_by_their_kinds(runs: Path, capsys) -> None:
    documents = {each["run"]: each for each in json.loads(nas(capsys, "ls", "--json")[1])}
    kinds = {name: each["kind"] for name, each in documents.items()}
    assert kinds == {"a": "audit", "d": "scaling", "g": "scaling", "s": "search"}
    assert documents["s"]["networks"] is documents["a"]["networks"] is None
    row = next(line for line in nas(capsys, "ls")[1].splitlines() if line.startswith("g "))
    best = chosen_of(by_network(open_run("g").trials()))
    assert f"{100 * best.mean:.2f} %" in row


def test_status_shows_networks_by_their_means_and_marks_the_chosen(runs: Path, capsys) -> None:
    code, out, _ = nas(capsys, "status", "g")
    best = chosen_of(by_network(open_run("g").trials()))
    assert code == 0
    assert f"* is chosen: {best.words}" in out
    assert "2 done" in out
    assert "1 done, 1 failed" in out
    assert "trial 8 failed: RuntimeError" in out
    assert "trainings an hour" in out
    document = json.loads(nas(capsys, "status", "g", "--json")[1])
    assert (document["best"], document["budget"], len(document["networks"])) == (None, 8, 4)
    (chosen,) = [network for network in document["networks"] if network["chosen"]]
    assert chosen["accuracy"] == best.mean == sum(chosen["accuracies"]) / len(chosen["accuracies"])
    assert "is chosen" not in nas(capsys, "status", "d")[1]
    assert "g: nothing runs; this is how it stands" in nas(capsys, "status", "g", "--watch")[2]


def test_a_watcher_sees_what_was_scaled(runs: Path) -> None:
    sight = Watcher(open_run("g"), 1.0).look()
    screen = "\n".join(line.plain for line in draw(sight, 120, 40))
    best = chosen_of(sight.status.scaled)
    assert f"{best.words}: {100 * best.mean:.2f} % in the mean of {len(best.accuracies)}" in screen
    assert "scaling finished" in screen
    assert f"best {best.words}, {100 * best.mean:.2f} %" in plain_line(sight)


def test_trials_have_columns_for_what_was_scaled(runs: Path, capsys) -> None:
    out = nas(capsys, "trials", "g")[1]
    head, first = out.splitlines()[:2]
    assert head.split()[:8] == ["trial", "status", "accuracy", "alpha", "beta", "gamma", "seed", "MACs"]
    assert first.split()[4:8] == ["1", "1", "1", "0"]
    assert "reward" not in head
    assert "scaled" in nas(capsys, "trials", "d")[1].splitlines()[0]
    rows = nas(capsys, "trials", "g", "--format", "csv")[1].splitlines()
    assert rows[0].endswith("alpha,beta,gamma")
    kept = json.loads(nas(capsys, "trials", "g", "--where", "beta == 1.4", "--json")[1])
    assert {trial["choices"]["beta"] for trial in kept} == {1.4}
    (runs / "g" / "config.yaml").unlink()
    assert nas(capsys, "trials", "g")[0] == 0


def test_best_is_what_the_grid_search_itself_chooses(in_tmp: Path) -> None:
    points, end = grid(Scripted(in_tmp / "diary", acts={8: "raise"}))
    base = load_architecture(NETWORK)
    found = grid_findings(base, points, end.accuracies, end.failed, CLASSES, CHANNELS)
    best = find_architecture("g@best")
    assert best.architecture.key == found.chosen.architecture.key
    assert best.accuracy == found.measured.means[0]
    assert (best.num_classes, best.recommended, best.kind) == (CLASSES, True, "scaling")
    assert best.trial == end.run.trial("best") == end.run.recommended()
    assert best.trial.status == "done"
    assert not find_architecture("g@1").recommended


def test_the_baseline_is_never_the_best_of_its_grid(in_tmp: Path) -> None:
    run = grid(Scripted(in_tmp / "diary"))[1].run
    change(run, "UPDATE trials SET accuracy = 1.0 WHERE id IN (1, 5)")
    assert find_architecture("g@best").architecture.key != load_architecture(NETWORK).key


def test_show_export_and_compare_take_a_trial(runs: Path, capsys) -> None:
    assert nas(capsys, "show", "g@2")[1].splitlines()[1].startswith("trial 2 of the scaling run g, alpha ")
    assert "2 seeds" in nas(capsys, "show", "g@best")[1]
    assert "reward" not in nas(capsys, "show", "g@best")[1]
    assert "(failed)" in nas(capsys, "show", "g@8")[1]
    assert nas(capsys, "show", "a@1")[1].splitlines()[1].startswith("trial 1 of the audit a: validation")
    code, out, _ = nas(capsys, "export", "g@2", "-o", "x.yaml")
    assert (code, "trial 2 has no weights: a run of scaling keeps none" in out) == (0, True)
    assert load_architecture("x.yaml").key == open_run("g").trial(2).key
    code, out, _ = nas(capsys, "compare", "g@best", "efficientnet_b0")
    assert (code, "the mean of several seeds" in out, "ediscover" in out) == (0, True, False)
    assert nas(capsys, "compare", "g@1", "s@best")[0] == 0
    assert nas(capsys, "scale", "g@best", "--phi", "1")[0] == 0


@pytest.mark.parametrize("command", ["top", "pareto", "report", "figures"])
def test_what_ranks_by_reward_refuses_and_names_what_shows_it(runs: Path, capsys, command: str) -> None:
    words = "nas: g is a scaling search and has no rewards; g@best has its best mean accuracy; "
    words += "nas trials g lists its trainings; its figure is runs/g/scaling.png\n"
    assert nas(capsys, command, "g") == (2, "", words)
    words = "nas: d is an experiment on dimensions and ranks nothing; nas trials d lists its trainings\n"
    assert nas(capsys, command, "d") == (2, "", words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "g@observed"], "g is a scaling search and has no rewards; g@best has"),
        (["show", "d@best"], "d is an experiment on dimensions and ranks nothing"),
        (["show", "d@observed"], "d is an experiment on dimensions and ranks nothing"),
        (["show", "a@best"], "a is an audit and ranks nothing; nas trials a lists its trainings"),
        (["show", "g@99"], "g: has no trial 99"),
        (["show", "g@nobody"], "g@nobody: after @ comes the number of a trial: g is a scaling search"),
        (["show", "g"], "'g' is a run; its best network is g@best"),
        (["show", "d"], "'d' is a run; a network of it is d@1"),
        (
            ["search", "--resume", "--run", "g"],
            "runs/g: holds a run of scaling, no search; the same nas scale",
        ),
        (["search", "QUICK", "--resume", "--run", "g"], "runs/g: holds a run of scaling, no search"),
        (
            ["search", "QUICK", "--resume", "--run", "a"],
            "runs/a: holds an audit, no search; the same nas proxy",
        ),
        (["proxy", "audit", "QUICK", "--run", "g"], "runs/g: holds a run of scaling, not an audit"),
        (["scale", NETWORK, "--search", "QUICK", "--run", "s"], "runs/s: holds a search, and no scaling"),
        (["scale", NETWORK, "--search", "QUICK", "--run", "a"], "runs/a: holds an audit, and no scaling"),
        (["compare", "s@best", "efficientnet_b0", "--random", "g"], "it is a run of scaling, no search"),
        (
            ["report", "s", "--compare", "efficientnet_b0", "--random", "d"],
            "it is a run of scaling, no search",
        ),
    ],
)
def test_what_cannot_be_is_one_line(runs: Path, capsys, arguments: list[str], words: str) -> None:
    quick = str(ROOT / "configs" / "quickstart.yaml")
    code, out, err = nas(capsys, *[quick if word == "QUICK" else word for word in arguments])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_measurements_of_scaling_are_taken_over_by_searches_and_by_scaling(in_tmp: Path) -> None:
    run = grid(Scripted(in_tmp / "diary"))[1].run
    again = scaling_config("again")
    points = grid_points(again.baseline, again.scaling, CLASSES, CHANNELS)
    plan = grid_plan(again.baseline, points, again.scaling)
    diary = Scripted(in_tmp / "other")
    end = run_scaling(again, plan, diary, reuse=[run])
    assert (end.outcome, diary.lines("begin")) == ("finished", [])
    assert {trial.reused for trial in end.run.trials()} == {"runs/g"}
    search = config("s", baselines=[load_architecture(NETWORK).to_dict()], search={"candidates": 1})
    run_search(search, evaluator=diary, reuse=[run])  # of other networks: none fits, none is in the way
    assert len(diary.lines("begin")) == 2


def test_an_interrupted_run_says_so_and_knows_who_is_ahead(in_tmp: Path, capsys) -> None:
    evaluator = Scripted(in_tmp / "diary")
    end = grid(evaluator, listeners=[Interrupting(after=3)])[1]
    assert end.outcome == "interrupted"
    out = nas(capsys, "status", "g")[1]
    assert "g: interrupted; 3 done, 5 pending; of 8" in out
    assert "* is ahead so far: " in out
    assert "1 done, 1 to come" in out
    assert nas(capsys, "show", "g@best")[0] == 0
    assert nas(capsys, "show", "g@8")[1].splitlines()[1].endswith("(pending)")
    assert errors(examine(end.run)) == {}
    (in_tmp / "runs").rename("before")
    grid(evaluator, listeners=[Interrupting(after=1)])
    assert nas(capsys, "show", "g@best")[2] == "nas: g: no point of its grid has been trained yet\n"
    assert nas(capsys, "show", "g")[2] == "nas: 'g' is a run; a network of it is g@1\n"


def test_while_it_runs_it_is_read_and_not_repaired(in_tmp: Path, capsys) -> None:
    seen: dict[str, object] = {}

    class Looking(Interrupting):
        def on_result(self, trial, best, counts) -> None:
            if trial.id == 3:
                thread = threading.Thread(target=self.look)
                thread.start()
                thread.join()

        def look(self) -> None:
            seen["sight"] = plain_line(Watcher(Run(Path("runs/g")), 1.0).look())
            seen["doctor"] = examine(Run(Path("runs/g")))

    grid(Scripted(in_tmp / "diary"), listeners=[Looking(after=-1)])
    assert "g running: 3/8; best alpha" in seen["sight"]
    assert (seen["doctor"].running, errors(seen["doctor"])) == (True, {})


# --- nas doctor --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["g", "d"])
def test_a_run_of_scaling_is_sound(runs: Path, without_data, name: str) -> None:
    found = examine(Run(Path("runs") / name), Replays())
    assert (errors(found), warnings(found)) == ({}, {})
    texts = {finding.check: finding.text for finding in found.findings}
    assert texts["config"] == f"runs/{name}/config.yaml and its baseline can be read"
    assert "choices, seeds" in texts["trials"]
    assert texts["controller"] == "none: nothing is proposed in such a run"
    assert "so that the run cannot go on here: the data are not here" in texts["evaluator"]


@pytest.mark.parametrize(
    ("sql", "check", "words"),
    [
        (
            "UPDATE trials SET accuracy = 2.0 WHERE id = 2",
            "trials",
            "trial 2: accuracy must be between 0 and 1",
        ),
        (
            "UPDATE trials SET reward = 1.0 WHERE id = 2",
            "trials",
            "trial 2: has a reward, and a run of scaling",
        ),
        (
            "UPDATE trials SET seed = 5 WHERE id = 2",
            "trials",
            "trial 2: seed is 5, which is none that seed 0",
        ),
        (
            """UPDATE trials SET choices = '{"alpha": 9.0, "beta": 1.0, "gamma": 1.0}' WHERE id = 2""",
            "trials",
            "trial 2: its choices are {'alpha': 9.0",
        ),
        ("UPDATE trials SET protocol = 'x ' || protocol WHERE id = 6", "trials", "measured otherwise"),
        ("UPDATE trials SET key = 'f' || key WHERE id = 3", "trials", "trial 3: the key is f"),
        ("UPDATE trials SET arrival = 99 WHERE id = 3", "order", "of 1 to 99 there is none at place"),
    ],
)
def test_what_is_wrong_in_a_row_is_found_and_mended(
    runs: Path, original: Path, without_data, sql: str, check: str, words: str
) -> None:
    run = Run(Path("runs/g"))
    change(run, sql)
    assert any(words in text for text in errors(examine(run))[check])
    done, found = mended(run)
    assert "made anew from history.jsonl" in done[0]
    assert errors(found) == {}
    assert held(run.journal_path) == held(original / "g" / "journal.db")


@pytest.mark.parametrize("damage", ["truncated", "lost", "zeroed"])
def test_a_damaged_journal_comes_back_from_its_history(
    runs: Path, original: Path, without_data, capsys, damage: str
) -> None:
    run = Run(Path("runs/g"))
    data = run.journal_path.read_bytes()
    if damage == "lost":
        run.journal_path.unlink()
    else:
        kept = len(data) // 2 if damage == "truncated" else 2000
        run.journal_path.write_bytes(data[:kept] + b"\0" * (0 if damage == "truncated" else len(data) - kept))
    with pytest.raises(InputError, match="nas doctor runs/g --repair"):
        grid(Scripted(Path("diary")))
    code, out, _ = nas(capsys, "doctor", "g", "--repair")
    assert (code, "made anew from history.jsonl, 8 results" in out) == (0, True)
    assert held(run.journal_path) == held(original / "g" / "journal.db")
    evaluator = Scripted(Path("diary").absolute())
    assert grid(evaluator)[1].outcome == "finished"
    assert evaluator.lines("begin") == []


def test_without_a_history_the_rows_that_can_be_read_are_saved(runs: Path, without_data) -> None:
    run = Run(Path("runs/g"))
    change(run, "UPDATE trials SET seed = 5 WHERE id = 7")
    (run.path / "history.jsonl").unlink()
    with contextlib.closing(sqlite3.connect(run.journal_path)) as db:
        size = db.execute("PRAGMA page_size").fetchone()[0]
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_trials_1'"
        ).fetchone()
    data = bytearray(run.journal_path.read_bytes())
    data[(page - 1) * size : page * size] = random.Random(1).randbytes(size)
    run.journal_path.write_bytes(data)
    assert "journal" in errors(examine(run))
    done, found = mended(run)
    assert "made anew of what can be read of it, 7 results and 0 proposals" in done[0]
    assert [trial.id for trial in run.trials()] == [1, 2, 3, 4, 5, 6, 8]  # 7 is not what it was
    assert set(errors(found)) <= {"order"}  # its arrival is missing
    evaluator = Scripted(Path("diary").absolute())
    assert grid(evaluator)[1].outcome == "finished"
    assert len(evaluator.lines("begin")) == 1


def test_a_configuration_that_cannot_be_read_is_the_only_error(runs: Path, without_data) -> None:
    run = Run(Path("runs/g"))
    text = run.config_path.read_text().replace("max_seeds: 2", "max_seeds: 1")
    run.config_path.write_text(text)
    found = errors(examine(run))
    assert list(found) == ["config"]
    assert "max_seeds" in found["config"][0]


def test_the_evaluator_of_all_sizes_is_compared_and_nothing_is_prepared(in_tmp: Path) -> None:
    from nas.scaling_run import evaluator_for

    config = scaling_config()
    points = grid_points(config.baseline, config.scaling, CLASSES, CHANNELS)
    plan = grid_plan(config.baseline, points, config.scaling)
    evaluator = evaluator_for(config, [member.architecture for member in plan.members])
    run = run_scaling(config, plan, evaluator, listeners=[Interrupting(after=1)]).run
    found = examine(run, Replays())
    assert (errors(found), found.findings[-1].severity) == ({}, "ok")
    change(run, "UPDATE trials SET protocol = protocol || ' trained as x' WHERE id = 2")
    (run.path / "history.jsonl").unlink()
    assert errors(examine(run)) == {
        "evaluator": ["trial 2: was measured otherwise than its network is measured"]
    }
    data = read_yaml(run.config_path).data
    data["protocol"]["epochs"] += 1
    run.config_path.write_text(json.dumps(data))
    last = examine(run).findings[-1]
    assert (last.check, last.severity) == ("evaluator", "warning")
    assert "measures otherwise than the journal notes" in last.text


def test_a_missing_cache_is_not_prepared_by_an_examination(in_tmp: Path, photos: Path) -> None:
    from nas.config_sections import DataConfig
    from nas.sized_data import sized_evaluator
    from trainers import ProxyProtocol, read_facts
    from trainers.prepare import PrepareOptions, prepare

    options = PrepareOptions(image_size=16, channels=1, workers=1, validation=0.25)
    prepare(photos, Path("data/x-16"), options)
    assert read_facts("data/x-16").image_size == 16
    network = load_architecture(NETWORK)
    networks = [network, replace(network, image_size=20)]
    with pytest.raises(InputError, match="data/x-20: holds no prepared data"):
        sized_evaluator(DataConfig(cache="data/x-16"), ProxyProtocol(batch=4), networks, may_prepare=False)
    assert not Path("data/x-20").exists()


# --- a real process ----------------------------------------------------------------------------------


def slow_grid(diary: str) -> None:
    """In a process of its own."""
    grid(Scripted(Path(diary), seconds=0.15))


@pytest.mark.slow
def test_kill_9_and_the_same_command_goes_on(in_tmp: Path, without_data) -> None:
    diary = in_tmp / "diary"
    process = Forked(slow_grid, str(diary))
    evaluator = Scripted(diary)
    wait_for(lambda: len(evaluator.lines("end")) >= 3, process)
    process.kill()
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL
    run = Run(Path("runs/g"))
    found = examine(run)
    assert errors(found) == {}
    repairs = [finding.repair for finding in found.findings if finding.check == "order"]
    assert repairs[0] == "the same command goes on"
    assert all("nas search" not in repair for repair in repairs)
    done = {trial.id for trial in run.trials() if trial.status == "done"}
    before = len(evaluator.lines("begin"))
    assert 0 < len(done) < 8
    assert grid(evaluator)[1].outcome == "finished"
    assert len(evaluator.lines("begin")) - before == 8 - len(done)
    assert errors(examine(run)) == {}
