"""Trials as columns, and ``nas trials`` and ``nas top --where`` on them."""

import contextlib
import csv
import io
import json
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import run_search
from results import Trial, open_run, trial_table
from results.table import FACTS
from search_space import InputError
from tests.searching import Scripted, config
from tests.test_cli import nas


def trial(number: int, **facts: object) -> Trial:
    own = {"id": number, "key": f"k{number}", "protocol": "p", "seed": 0, "choices": {}, "architecture": {}}
    return Trial(**{**own, "macs": 10 * number, "params": number, **facts})  # type: ignore[arg-type]


DONE = trial(
    1,
    status="done",
    accuracy=0.5,
    reward=0.25,
    arrival=2,
    choices={"stage1.op": "conv", "stage1.kernel": 3, "stage1.se_ratio": 0.25},
    curve=[{"accuracy": 0.1, "loss": 3.0}, {"accuracy": 0.5, "loss": 2.0, "latency_ms": 1.5, "epoch": 2}],
)
FAILED = trial(
    2,
    status="failed",
    error='it said "no",\nand died',
    arrival=1,
    choices={"stage1.op": "mbconv3", "stage1.kernel": 5, "stage1.se_ratio": 0.0},
)
BASELINE = trial(3, baseline="efficientnet_b0", proposed=False)


def test_columns_are_facts_metrics_and_decisions() -> None:
    table = trial_table([DONE, FAILED, BASELINE])
    metrics, decisions = ["loss", "latency_ms"], ["stage1.op", "stage1.kernel", "stage1.se_ratio"]
    assert list(table.columns) == [*FACTS, *metrics, *decisions]
    assert table.decisions == tuple(decisions)
    assert table["id"].dtype == np.int64
    assert table["id"].tolist() == [1, 2, 3]
    assert table["epochs"].tolist() == [2, 0, 0]
    assert np.array_equal(table["accuracy"], [0.5, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(table["latency_ms"], [1.5, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(table["arrival"], [2, 1, np.nan], equal_nan=True)
    assert np.array_equal(table["stage1.kernel"], [3, 5, np.nan], equal_nan=True)
    assert table["stage1.op"].tolist() == ["conv", "mbconv3", None]


def test_a_mask_selects_rows() -> None:
    table = trial_table([DONE, FAILED, BASELINE])
    some = table[table.matching("status == 'failed' or baseline == 'efficientnet_b0'")]
    assert (len(some), some["id"].tolist(), some.decisions) == (2, [2, 3], table.decisions)


def test_a_column_that_is_not_there_names_the_nearest() -> None:
    table = trial_table([DONE])
    with pytest.raises(InputError, match="'latency' is no column.*did you mean latency_ms"):
        table["latency"]
    with pytest.raises(InputError, match=r"stage1\.op is no column of numbers"):
        table.number("stage1.op")
    assert table.number("macs").tolist() == [10.0]


def test_a_table_of_nothing_has_its_columns() -> None:
    table = trial_table([])
    assert (len(table), list(table.columns)) == (0, list(FACTS))
    assert table.to_csv() == ",".join(FACTS) + "\r\n"
    assert table.to_jsonl() == ""
    assert table.matching("macs < 3").tolist() == []


def test_a_frame_has_the_same_columns_and_types() -> None:
    pytest.importorskip("pandas")
    table = trial_table([DONE, FAILED])
    frame = table.frame()
    assert list(frame.columns) == list(table.columns)
    assert frame["macs"].dtype == np.int64
    assert frame.loc[1, "error"] == FAILED.error


def test_without_pandas_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pandas is not installed"):
        trial_table([DONE]).frame()


values = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
texts = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), min_size=1))


@given(st.lists(st.tuples(values, texts), max_size=8))
def test_json_lines_and_csv_say_the_same_as_the_table(rows: list[tuple[float | None, str | None]]) -> None:
    trials = [trial(n, reward=reward, error=error) for n, (reward, error) in enumerate(rows, start=1)]
    table = trial_table(trials)
    lines = [json.loads(line) for line in table.to_jsonl().split("\n")[:-1]]
    assert [(line["reward"], line["error"]) for line in lines] == rows
    read = list(csv.DictReader(io.StringIO(table.to_csv(), newline="")))
    assert [row["reward"] and float(row["reward"]) for row in read] == [
        "" if reward is None else reward for reward, _ in rows
    ]
    assert [row["error"] for row in read] == [error or "" for _, error in rows]


@pytest.fixture
def run(in_tmp: Path) -> str:
    run_search(config(), evaluator=Scripted(in_tmp / "diary", acts={2: "raise"}))
    return "t"


def test_trials_are_listed_whatever_their_end(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = nas(capsys, "trials", run)
    assert code == 0
    assert len(out.splitlines()) == 7
    assert "CUDA out of memory" in out
    listed = json.loads(nas(capsys, "trials", run, "--where", "status == 'failed'", "--json")[1])
    assert [trial["status"] for trial in listed] == ["failed"]
    assert nas(capsys, "trials", run, "--where", "macs < 0")[1] == "no trial is like that\n"


def test_trials_are_taken_away(run: str, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nas(capsys, "trials", run, "-o", "out/t.csv")[0] == 0
    rows = list(csv.DictReader((in_tmp / "out/t.csv").open(newline="")))
    trials = open_run(run).trials()
    assert [int(row["id"]) for row in rows] == [trial.id for trial in trials]
    assert [row["stage1.op"] for row in rows] == [trial.choices["stage1.op"] for trial in trials]
    assert [row["accuracy"] != "" for row in rows] == [trial.status == "done" for trial in trials]
    printed = nas(capsys, "trials", run, "--format", "jsonl")[1]
    assert [json.loads(line)["key"] for line in printed.splitlines()] == [trial.key for trial in trials]


def test_an_error_and_a_run_s_name_do_nothing_to_a_terminal(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(sqlite3.connect(f"runs/{run}/journal.db")) as journal, journal:
        journal.execute(
            "UPDATE trials SET status = 'failed', accuracy = NULL, reward = NULL, baseline = 'b0', error = ?"
            "WHERE id = (SELECT max(id) FROM trials WHERE status = 'done')",
            ("one\n\x1b[31mtwo",),
        )
    named = f"runs/{run}\n\x1b[31m"
    Path(f"runs/{run}").rename(named)
    Path(f"runs/{run}").symlink_to(Path(named).absolute())
    for arguments in (["trials", named], ["top", run], ["pareto", run], ["pareto", named, "--x", "nothing"]):
        _, out, err = nas(capsys, *arguments)
        assert "\x1b" not in out + err
        assert "one  [31mtwo" in out or "nothing" in err


def test_the_top_of_those_that_fit(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    everything = json.loads(nas(capsys, "top", run, "--json")[1])
    bound = sorted(trial["macs"] for trial in everything)[2]
    some = json.loads(nas(capsys, "top", run, "--where", f"macs <= {bound}", "--json")[1])
    assert [t["id"] for t in some] == [t["id"] for t in everything if t["macs"] <= bound]
    assert len(some) == 3
    assert "no finished candidate is like that" in nas(capsys, "top", run, "--where", "macs < 0")[1]


@pytest.mark.parametrize(
    "rest", ["UPDATE trials SET status = 'pending', accuracy = NULL, arrival = NULL", ""]
)
def test_a_condition_on_a_decision_holds_before_anything_has_finished(
    run: str, rest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(sqlite3.connect(f"runs/{run}/journal.db")) as journal, journal:
        journal.execute("DELETE FROM recommendations")
        journal.execute(rest or "DELETE FROM trials")
    code, out, err = nas(capsys, "top", run, "--where", "stage1.kernel == 3")
    assert (code, out, err) == (0, "no candidate has finished yet\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trials", "t", "-o", "t.xlsx"], "t.xlsx: must end in .csv or .jsonl"),
        (["trials", "t", "--format", "cvs"], "--format must be csv or jsonl, got 'cvs'; did you mean csv?"),
        (["trials", "t", "--format", "csv", "--json"], "are two things"),
        (["trials", "t", "--where", "mac < 3"], "did you mean macs?"),
        (["top", "t", "--where", "macs <"], "'macs <' is no condition; write one such as"),
        (["trials", "t", "-o", "diary/t.csv"], "diary/t.csv: cannot be written"),
        (["trials", "nothing"], "no run 'nothing'"),
    ],
)
def test_mistakes_are_one_line(
    run: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = nas(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
