"""Runs of finalists: what the command prints and keeps, how it goes on, what other commands make of it."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

import nas as package
from nas import InputError, open_run
from nas.doctor import Replays, examine
from nas.finalists_config import load_finalists_config
from nas.finalists_run import prepared, run_finalists
from nas.finalists_words import words
from nas.lookup import find_architecture
from nas.watch import Watcher
from nas.watch_views import draw
from tests.doctoring import change, errors, warnings
from tests.finalists import Fully, finalists_config, searched, trained, without_data
from tests.searching import Scripted, config
from tests.test_audit import Interrupting
from tests.test_cli import nas

FILE = "recipe: {base: cifar, epochs: 2, warmup_epochs: 0, cutout: 0, flip: false}\n"
FILE += "executor: {kind: inline}\nfinalists: {n: 3, seeds: 2}\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A folder with a search and its finalists that no test changes; one training failed."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        search = searched(folder)
        evaluator = Fully(folder / "f.diary", fingerprint="full", acts={6: "nan"})
        run_finalists(finalists_config(), search, evaluator=evaluator)
    return folder


@pytest.fixture
def runs(original: Path, in_tmp: Path) -> Path:
    shutil.copytree(original / "runs", in_tmp / "runs")
    Path("c.yaml").write_text(FILE)
    return in_tmp / "runs"


@pytest.fixture
def scripted(in_tmp: Path, monkeypatch) -> Fully:
    """What the command trains with, instead of training."""
    evaluator = Fully(in_tmp / "diary", fingerprint="full")
    monkeypatch.setattr("nas.finalists_run.finalists_evaluator", lambda *given, **options: evaluator)
    return evaluator


# --- the command -------------------------------------------------------------------------------------


def test_the_command_trains_tells_and_draws(runs: Path, scripted: Fully, capsys) -> None:
    code, out, err = nas(capsys, "finalists", "s", "--config", "c.yaml", "--run", "x")
    assert code == 0
    assert "3 finalists of s: candidate " in err
    assert "7 networks, 2 seeds each: 14 full trainings" in err
    assert "beside them efficientnet_b0-scaled: B0 with " in err
    assert len(scripted.lines("begin")) == 14
    table = out.splitlines()
    assert table[0].strip() == "finalists of s, trained fully"
    assert table[1].split()[:7] == ["network", "role", "MACs", "params", "proxy", "validation", "test"]
    assert sum("random" in line for line in table[2:9]) == 3
    assert "the network to take is selected by validation accuracy alone" in out
    assert "3 networks: too few for an interval" in out
    assert out.splitlines()[9].startswith("was the search right? ")
    assert "wrote runs/x/finalists.png\nno weights were kept; finalists.keep_weights: true keeps" in out
    assert "\nnas train x@best --config FILE trains candidate " in out
    assert Path("runs/x/finalists.png").stat().st_size > 10_000
    document = json.loads(Path("runs/x/finalists.json").read_text())
    again = nas(capsys, "finalists", "s", "--config", "c.yaml", "--run", "x", "--json", "-o", "a.html")
    assert again[0] == 0
    assert json.loads(again[1]) == document
    assert Path("a.html").read_text().startswith("<!doctype html>")
    assert len(scripted.lines("begin")) == 14
    assert (document["run"], document["outcome"], len(document["networks"])) == ("x", "finished", 7)


def test_seeds_are_the_outer_loop_and_the_same_for_all(runs: Path) -> None:
    trials = open_run("f").trials()
    seeds = [trial.seed for trial in trials]
    assert seeds[:7] == [0] * 7
    assert len(set(seeds[7:])) == 1
    assert [trial.key for trial in trials[:7]] == [trial.key for trial in trials[7:]]


def test_options_take_the_place_of_the_file(runs: Path, scripted: Fully, capsys) -> None:
    words = [
        "finalists",
        "s",
        "--config",
        "c.yaml",
        "-n",
        "1",
        "--seeds",
        "1",
        "--random",
        "4",
        "--pick",
        "top",
    ]
    assert nas(capsys, *words, "-o", "x.svg")[0] == 0
    run = open_run("s-finalists")
    chosen = load_finalists_config(run.config_path).chosen
    assert [network.role for network in chosen.networks] == ["finalist", "b0", *["random"] * 4]
    assert len(run.trials()) == 6
    assert Path("x.svg").is_file()
    assert not (run.path / "finalists.png").exists()


def test_without_test_images_there_is_a_warning(runs: Path, scripted: Fully, capsys, monkeypatch) -> None:
    class Named(Fully):
        data = finalists_config()  # has a name

    evaluator = Named(scripted.diary, test=None)
    monkeypatch.setattr("nas.finalists_run.finalists_evaluator", lambda *given, **options: evaluator)
    code, out, err = nas(capsys, "finalists", "s", "--config", "c.yaml", "--run", "x")
    assert code == 0
    assert "nas: f has no test part: validation accuracies are reported alone" in err
    assert "test " not in out.splitlines()[1]
    assert "there are no test images: what is reported is validation accuracy" in out


def test_an_interrupted_command_says_what_goes_on(runs: Path, scripted: Fully, capsys, monkeypatch) -> None:
    from nas import finalists_commands

    class Progress(finalists_commands._Progress):
        left = 9

        def on_result(self, trial, best, counts) -> None:
            super().on_result(trial, best, counts)
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(finalists_commands, "_Progress", Progress)
    code, out, err = nas(capsys, "finalists", "s", "--config", "c.yaml", "--run", "x")
    assert code == 130
    again = "nas finalists s --config runs/x/config.yaml"
    assert err.endswith(f"x: 9 of 14 trainings are done; go on with: {again}\n")
    assert "trainings: 0 failed and left out, 5 still to come" in out
    assert "\nso far: take candidate " in out
    assert json.loads(Path("runs/x/finalists.json").read_text())["outcome"] == "interrupted"
    monkeypatch.undo()
    monkeypatch.chdir(runs.parent)
    monkeypatch.setattr("nas.finalists_run.finalists_evaluator", lambda *given, **options: scripted)
    assert nas(capsys, *again.split()[1:])[0] == 0
    assert len(scripted.lines("begin")) == 14


def test_where_everything_fails_the_last_error_is_told(
    runs: Path, scripted: Fully, capsys, monkeypatch
) -> None:
    failing = replace(scripted, acts=dict.fromkeys(range(1, 20), "raise"))
    monkeypatch.setattr("nas.finalists_run.finalists_evaluator", lambda *given, **options: failing)
    code, out, err = nas(capsys, "finalists", "s", "--config", "c.yaml", "--run", "x")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("nas: trainings fail: RuntimeError: CUDA out of memory (as if)")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "no run 'nobody' under runs/; known: f, s"),
        (["f"], "f is a run of finalists and has no rewards; f@best is the one to take; nas trials f lists"),
        (["s", "-n", "0"], "-n must be between 1 and 100, got 0"),
        (["s", "--seeds", "0"], "--seeds must be between 1 and 1000, got 0"),
        (["s", "--pick", "best"], "--pick must be front or top, got 'best'"),
        (["s", "--set", "finalists.n=0"], "--set finalists.n must be between 1 and 100, got 0"),
        (["s", "-n", "13"], "s: has 12 finished candidates, too few for 13 finalists"),
        (
            ["s", "--run", "s"],
            "runs/s: holds a search, and no finalists; choose another name with --run NAME",
        ),
        (["s", "--run", "../x"], "'../x' is no name for a run"),
        (["s", "--run", "f", "-n", "2"], "runs/f: was made with another finalists.n; choose another name"),
        (
            ["s", "--run", "f", "--set", "recipe.epochs=3", "--set", "seed=1"],
            "runs/f: was made with another seed, recipe.epochs; choose another name with --run NAME (--reuse",
        ),
        (["s", "-o", "x.txt"], "x.txt: must end in .png, .svg, .pdf, .html"),
        (["s", "--reuse", "nobody"], "no run 'nobody' under runs/"),
        (["s", "--set", "recipe.epoch=3"], "--set recipe.epoch is an unknown key; did you mean epochs?"),
        (
            ["s", "--set", "recipe.batch=4000"],
            "recipe.batch must be at most 1200, the training images of digits",
        ),
        (["s", "--set", "executor.kind=inline", "--address", "auto"], "--address is for the executor ray"),
    ],
)
def test_a_mistake_is_one_line(runs: Path, capsys, words: list[str], message: str) -> None:
    code, out, err = nas(capsys, "finalists", *words, "--config", "c.yaml")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"nas: {message}")
    assert not Path("runs/s-finalists").exists()


def test_data_of_other_classes_are_refused_before_they_are_prepared(runs: Path, photos: Path, capsys) -> None:
    from trainers.prepare import PrepareOptions, prepare

    prepare(photos, Path("data/x-16"), PrepareOptions(image_size=16, channels=1, workers=1, validation=0.25))
    words = ["finalists", "s", "--config", "c.yaml", "--set", "data.cache=data/x-16"]
    code, _, err = nas(capsys, *words)
    message = "has 3 classes and 1 image channel, the networks of s were searched for 10 and 1"
    assert (code, message in err) == (2, True)
    assert not Path("data/x-32").exists()


# --- going on ----------------------------------------------------------------------------------------


def test_what_was_chosen_stays_though_the_search_changes_or_goes(runs: Path, in_tmp: Path) -> None:
    before = load_finalists_config(open_run("f").config_path).chosen
    settings = config(search={"candidates": 20, "keep_weights": 0}, name="s")
    package.run_search(settings, resume=True, evaluator=Scripted(in_tmp / "more"))
    assert prepared(finalists_config(), "s").chosen == before
    shutil.rmtree("runs/s")
    end = trained(in_tmp, "s", seeds=3)
    assert end.outcome == "finished"
    assert len(Scripted(in_tmp / "f.diary").lines("begin")) == 7  # a third seed, and nothing twice
    with pytest.raises(InputError, match="runs/f: holds the finalists of s, and not of other as it is now"):
        prepared(finalists_config(), "other")


def test_a_runs_configuration_under_another_name_chooses_anew(runs: Path) -> None:
    file = runs / "f" / "config.yaml"
    assert load_finalists_config(file).chosen is not None
    again = load_finalists_config(file, ["finalists.n=1"], name="g")
    assert (again.name, again.chosen) == ("g", None)
    assert sum(n.role == "finalist" for n in prepared(again, "s").chosen.networks) == 1


def test_where_the_search_names_no_data_the_configuration_must(runs: Path) -> None:
    before = load_finalists_config(open_run("f").config_path).chosen
    replayed = replace(before, search=replace(before.search, data=None))
    settings = finalists_config("x").model_copy(update={"chosen": replayed})
    with pytest.raises(InputError, match="data: must say what the finalists are trained on, since s replays"):
        prepared(settings, "s")


def test_another_search_of_that_name_is_told_apart(runs: Path, in_tmp: Path) -> None:
    shutil.rmtree("runs/s")
    searched(in_tmp, objective={"target": 2e6})
    with pytest.raises(InputError, match="holds the finalists of s, and not of s as it is now"):
        prepared(finalists_config(), "s")


def test_the_one_to_take_is_known_while_the_run_goes_on(in_tmp: Path) -> None:
    class Looking:
        names: ClassVar[list[str]] = []

        def on_start(self, counts) -> None: ...

        def on_result(self, trial, best, counts) -> None:
            if not self.names:
                self.names.append(find_architecture("f@best").architecture.name)

    evaluator = Fully(in_tmp / "d", fingerprint="full")
    run_finalists(finalists_config(), searched(in_tmp), evaluator=evaluator, listeners=[Looking()])
    assert Looking.names == ["f-1"]


def test_trainings_without_test_images_are_told_from_data_without(in_tmp: Path) -> None:
    search = searched(in_tmp)
    run_finalists(finalists_config(), search, evaluator=Fully(in_tmp / "d", fingerprint="x", test=None))
    end = run_finalists(finalists_config(seeds=3), search, evaluator=Fully(in_tmp / "d", fingerprint="x"))
    assert end.findings.part == "validation"
    assert words(end.findings)[-1].startswith("not every training has measured test images")


def test_an_interrupted_run_trains_nothing_twice(in_tmp: Path) -> None:
    search = searched(in_tmp)
    evaluator = Fully(in_tmp / "d", fingerprint="full")
    stopping = Interrupting(after=4)
    end = run_finalists(finalists_config(), search, evaluator=evaluator, listeners=[stopping])
    assert end.outcome == "interrupted"
    assert end.findings.waiting == 10
    end = run_finalists(finalists_config(), search, evaluator=evaluator)
    assert (end.outcome, end.findings.waiting) == ("finished", 0)
    assert len(evaluator.lines("begin")) == 14


def test_measurements_are_taken_over_and_weights_kept_by_option(runs: Path, in_tmp: Path) -> None:
    diary = in_tmp / "x.diary"
    evaluator = Fully(diary, fingerprint="full")
    settings = finalists_config("x", keep_weights=True)
    end = run_finalists(settings, "s", evaluator=evaluator, reuse=[open_run("f")])
    assert len(evaluator.lines("begin")) == 1  # what failed there is tried again
    kept = list(Path("runs/x/weights").iterdir())
    (own,) = [trial for trial in end.run.trials() if trial.reused is None]
    assert [path.name for path in kept] == [f"{own.id}.safetensors"]
    assert not Path("runs/f/weights").exists()


# --- beside the other commands -----------------------------------------------------------------------


def test_a_failed_training_is_left_out_and_the_others_count(runs: Path) -> None:
    document = json.loads((runs / "f" / "finalists.json").read_text())
    failed = [row for row in document["networks"] if row["failed"]]
    assert [(row["failed"], len(row["trials"])) for row in failed] == [(1, 1)]
    assert failed[0]["validation"]["error"] is None
    assert document["failed"] == 1


def test_other_commands_know_the_run(runs: Path, capsys) -> None:
    listed = {row["run"]: row for row in json.loads(nas(capsys, "ls", "--json")[1])}
    assert (listed["f"]["kind"], len(listed["f"]["networks"])) == ("finalists", 7)
    out = nas(capsys, "status", "f")[1]
    assert "f: finished; 13 done, 1 failed; of 14" in out
    assert "(recommended)" in out
    assert "trainings an hour" in out
    head = nas(capsys, "trials", "f")[1].splitlines()[0]
    assert head.split()[:6] == ["trial", "status", "accuracy", "network", "role", "seed"]
    screen = "\n".join(line.plain for line in draw(Watcher(open_run("f"), 1.0).look(), 120, 40))
    assert "finalists finished" in screen
    assert "efficientnet_b0-scaled (B0-shaped)" in screen


def test_best_is_the_one_to_take(runs: Path, capsys) -> None:
    document = json.loads((runs / "f" / "finalists.json").read_text())
    found = find_architecture("f@best")
    taken = next(r for r in document["networks"] if r["name"] == document["decision"]["taken"])
    assert (found.trial.id, found.trial.key) == (document["decision"]["trial"], taken["key"])
    assert found.accuracy == pytest.approx(taken["validation"]["mean"])
    assert (found.kind, found.recommended, find_architecture("f@4").recommended) == ("finalists", True, False)
    assert "(the one to take)" in nas(capsys, "show", "f@best")[1]
    code, out, _ = nas(capsys, "export", "f@best", "-o", "x.yaml")
    assert (code, "has no weights: finalists.keep_weights was false" in out) == (0, True)
    assert nas(capsys, "compare", "f@best", "s@best")[0] == 0
    (runs / "f" / "finalists.json").write_text("{}")
    assert nas(capsys, "show", "f@best")[2].startswith("nas: runs/f/finalists.json: cannot be read")
    (runs / "f" / "finalists.json").unlink()
    assert nas(capsys, "show", "f@best")[2] == "nas: f: no finalist has been trained yet\n"
    assert nas(capsys, "show", "f@1")[0] == 0


@pytest.mark.parametrize("command", ["top", "pareto", "report", "figures", "objective"])
def test_what_ranks_by_reward_refuses(runs: Path, capsys, command: str) -> None:
    words = (
        "nas: f is a run of finalists and has no rewards; f@best is the one to take; nas trials f lists its "
    )
    assert nas(capsys, command, "f") == (2, "", f"{words}trainings\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search", "--resume", "--run", "f"], "runs/f: holds finalists, no search; the same nas finalists"),
        (["search", "QUICK", "--resume", "--run", "f"], "runs/f: holds finalists, no search"),
        (["proxy", "audit", "QUICK", "--run", "f"], "runs/f: holds a run of finalists, not an audit"),
        (
            ["scale", "efficientnet_b0", "--search", "QUICK", "--run", "f"],
            "runs/f: holds finalists, and no scaling; choose another name",
        ),
        (["compare", "s@best", "efficientnet_b0", "--random", "f"], "it is a run of finalists, no search"),
        (["show", "f@nobody"], "f@nobody: after @ comes the number of a trial: f is a run of finalists"),
    ],
)
def test_what_cannot_be_is_one_line(runs: Path, capsys, words: list[str], message: str) -> None:
    quick = str(Path(__file__).parent.parent / "configs" / "quickstart.yaml")
    code, _, err = nas(capsys, *[quick if word == "QUICK" else word for word in words])
    assert (code, err.count("\n"), message in err) == (2, 1, True)


def test_a_sound_run_is_found_sound_and_damage_is_found(runs: Path, monkeypatch) -> None:
    monkeypatch.setattr("nas.doctor.final_evaluator", without_data)
    run = open_run("f")
    found = examine(run, Replays())
    assert (errors(found), warnings(found)) == ({}, {})
    assert {f.check: f.text for f in found.findings}["config"].endswith("and its networks can be read")
    change(run, "UPDATE trials SET reward = 1.0 WHERE id = 1")
    change(run, "UPDATE trials SET seed = 5 WHERE id = 2")
    change(run, "UPDATE trials SET choices = '{}' WHERE id = 3")
    change(run, "UPDATE trials SET protocol = 'x' WHERE id = 4")
    (run.path / "history.jsonl").unlink()
    texts = " ".join(errors(examine(run))["trials"])
    assert "trial 1: has a reward, and a run of finalists gives none" in texts
    assert "trial 2: seed is 5, which is none that seed 0 draws" in texts
    assert "trial 3: its choices are {}" in texts
    assert "trial 4: was measured otherwise than its network is measured" in texts


def test_networks_that_nobody_asked_for_are_found(runs: Path) -> None:
    run = open_run("f")
    settings = load_finalists_config(run.config_path)
    chosen = replace(settings.chosen, networks=settings.chosen.networks[:-1])
    run.config_path.write_text(settings.model_copy(update={"chosen": chosen}).to_yaml())
    assert "trial 7: is of a network that config.yaml does not ask for" in errors(examine(run))["trials"]
