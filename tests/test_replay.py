"""A search that replays a table, through the configuration and the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from nas import InputError, load_config, run_search
from search_space import cost, load_space, read_yaml
from search_space.yaml_io import dump_yaml
from tests.tables import SPACE, accuracy_of, rows_of, write_csv
from tests.test_cli import nas
from trainers import ProxyProtocol, TableSource, boosted_trees


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(boosted_trees, "SETTINGS", {**boosted_trees.SETTINGS, "n_estimators": 20})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_config(path: Path, **sections: Any) -> Path:
    data = {
        "space": SPACE,
        "evaluator": {"kind": "table", "path": "data/t.csv"},
        "objective": {"target": 1e5},
        "controller": {"name": "random"},
        "search": {"candidates": 6, "keep_weights": 0},
        "executor": {"kind": "inline"},
        **sections,
    }
    path.write_text(dump_yaml(data))
    return path


@pytest.fixture
def config(in_tmp: Path) -> Path:
    """``conf/replay.yaml`` beside ``conf/data/t.csv``, which holds every second network."""
    (in_tmp / "conf" / "data").mkdir(parents=True)
    write_csv(in_tmp / "conf" / "data" / "t.csv", rows_of(load_space(SPACE))[::2])
    return write_config(in_tmp / "conf" / "replay.yaml")


def test_a_replay_runs_resumes_and_reports(config: Path, capsys) -> None:
    code, out, err = nas(capsys, "search", "conf/replay.yaml", "--json")
    assert code == 0, err
    assert json.loads(out)["counts"] == {"done": 6}
    code, out, _ = nas(
        capsys, "search", "--resume", "--run", "replay", "--set", "search.candidates=9", "--json"
    )
    status = json.loads(out)
    assert (code, status["state"], status["counts"]) == (0, "finished", {"done": 9})
    assert nas(capsys, "status", "replay")[0] == 0
    space = load_space(SPACE)
    for trial in json.loads(nas(capsys, "top", "replay", "--json")[1]):
        point = tuple(d.choices.index(trial["choices"][d.name]) for d in space.decisions)
        if point[-1] == 0:  # in the table
            assert trial["accuracy"] == accuracy_of(point)
        assert trial["macs"] == cost(space.decode(point)).macs


def test_networks_without_an_accuracy_are_failures_and_not_zeros(config: Path) -> None:
    run = run_search(load_config(config, ["evaluator.surrogate=false", "search.candidates=40"])).run
    trials = run.trials()
    assert {trial.status for trial in trials} == {"done", "failed"}
    for trial in trials:
        known = trial.choices["stage2.layers"] == 1
        assert (trial.status == "done") == known
        if not known:
            assert (trial.accuracy, trial.reward) == (None, None)
            assert "LookupError: the network is not in the table" in str(trial.error)


def test_the_table_is_looked_for_beside_the_configuration(config: Path, in_tmp: Path) -> None:
    settings = load_config(config)
    assert settings.evaluator == TableSource(path=str((in_tmp / "conf/data/t.csv").resolve()))
    assert (settings.data, settings.protocol) == (None, None)
    again = write_config(in_tmp / "again.yaml")
    again.write_text(settings.to_yaml())
    assert load_config(again) == settings
    for override in ("evaluator.path=other.csv", "evaluator={kind: table, path: other.csv}"):
        typed = load_config(config, [override]).evaluator
        assert typed == TableSource(path=str((in_tmp / "other.csv").resolve()))  # from here


def test_a_replay_goes_on_with_the_table_elsewhere_and_not_with_another(config, in_tmp, capsys) -> None:
    nas(capsys, "search", "conf/replay.yaml")
    table = in_tmp / "conf" / "data" / "t.csv"
    moved = table.rename(in_tmp / "moved.csv")
    resume = ["search", "--resume", "--run", "replay", "--set", "search.candidates=8"]
    code, _, err = nas(capsys, *resume)
    assert (code, "t.csv: no such table" in err) == (2, True)
    assert nas(capsys, *resume, "--set", "evaluator.path=moved.csv")[0] == 0
    assert load_config("runs/replay/config.yaml").evaluator == TableSource(path=str(moved.resolve()))
    rows = rows_of(load_space(SPACE))[::2]
    rows[0]["accuracy"] += 0.01
    write_csv(moved, rows)
    code, _, err = nas(capsys, *resume[:-1], "search.candidates=10")
    assert code == 2
    assert "earlier results were measured with other data" in err
    assert json.loads(nas(capsys, "status", "replay", "--json")[1])["counts"] == {"done": 8}


def test_the_noise_of_a_run_is_not_changed(config) -> None:
    run_search(load_config(config))
    with pytest.raises(InputError, match="was made with another evaluator.noise; resume it with"):
        run_search(load_config(config, ["evaluator.noise=1"]), resume=True)
    with pytest.raises(InputError, match="was made with another .*evaluator.kind"):
        run_search(load_config(write_config(config, evaluator={"kind": "proxy"})), resume=True)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"evaluator": {"kind": "tabel", "path": "t"}},
            "evaluator.kind must be proxy or table, got 'tabel'; did",
        ),
        ({"evaluator": {"path": "t"}}, "evaluator.kind is missing: proxy or table"),
        ({"evaluator": "table"}, "evaluator must hold keys and values, got 'table'"),
        ({"evaluator": {"kind": "table"}}, "evaluator.path is missing"),
        ({"evaluator": {"kind": "table", "path": 3}}, "evaluator.path must be a file, got 3"),
        (
            {"evaluator": {"kind": "table", "path": "t", "nois": 1}},
            "evaluator.nois is an unknown key",
        ),
        ({"evaluator": {"kind": "table", "path": "t", "noise": -1}}, "evaluator.noise must be between"),
        ({"evaluator": {"kind": "proxy", "path": "t"}}, "evaluator.path is an unknown key; what proxy"),
        ({"data": {"name": "digits"}}, "data is for proxy training, and the evaluator is a table"),
        ({"protocol": {"epochs": 3}}, "protocol is for proxy training, and the evaluator is a table"),
    ],
)
def test_a_wrong_evaluator_names_file_line_and_field(config, sections, message: str, capsys) -> None:
    ((section, value),) = sections.items()
    given = {key: old for key, old in read_yaml(config).data.items() if key != section}
    text = dump_yaml(given)
    config.write_text(f"{text}{section}: {dump_yaml(value, flow=True)}\n")
    line = text.count("\n") + 1
    code, _, err = nas(capsys, "search", "conf/replay.yaml")
    assert code == 2
    assert err.count("\n") == 1
    assert f"conf/replay.yaml:{line}: {message}" in err
    assert not Path("runs").exists()


def test_a_wrong_evaluator_on_the_command_line_names_itself(config) -> None:
    with pytest.raises(InputError, match="^--set evaluator.kind must be proxy or table, got 'tabel'"):
        load_config(config, ["evaluator.kind=tabel"])
    with pytest.raises(InputError, match="^--set protocol is for proxy training"):
        load_config(config, ["protocol.epochs=3"])


def test_proxy_training_is_what_happens_without_the_section(config) -> None:
    data = {"space": SPACE, "objective": {"target": 1e5}}
    for given in (data, {**data, "evaluator": {"kind": "proxy"}}, {**data, "evaluator": None}):
        config.write_text(dump_yaml(given))
        settings = load_config(config)
        assert (settings.evaluator, settings.protocol) == (None, ProxyProtocol())
        config.write_text(settings.to_yaml())
        assert load_config(config) == settings


def test_a_bad_table_leaves_no_run_behind(config, capsys) -> None:
    Path("conf/data/t.csv").write_text("stage1.kernel,accuracy\n3,0.5\n")
    code, _, err = nas(capsys, "search", "conf/replay.yaml")
    assert (code, err.count("\n")) == (2, 1)
    assert "t.csv: has no column 'stage1.layers', a decision of the space" in err
    assert not Path("runs").exists()
