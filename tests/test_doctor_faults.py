"""The doctor: damaged histories, journals without one, files, and the command."""

import contextlib
import json
import os
import random
import shutil
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nas import load_config, run_search
from nas.doctor import Replays, examine, find_run
from nas.doctor_rows import content_of
from nas.replay import replay
from results import Journal, Run
from results.history import FILE
from results.rebuild import Past, rows_of, snapshot
from search_space import InputError
from tests.doctoring import assert_same, change, errors, held, mended, searched, section, warnings
from tests.searching import Scripted
from tests.test_cli import nas

pytest_plugins = ["tests.doctoring"]
pytestmark = pytest.mark.usefixtures("without_data")

# --- histories ---------------------------------------------------------------------------------------


def test_a_history_that_is_missing_or_behind_is_a_warning_and_begun_anew(run, original) -> None:
    history = run.path / FILE
    lines = history.read_text().splitlines(keepends=True)
    for text, message in [(None, "is missing"), ("".join(lines[:9]), "changes that the journal has")]:
        history.unlink()
        if text is not None:
            history.write_text(text)
        found = examine(run, Replays())
        assert errors(found) == {}
        assert message in warnings(found)["history"]
        done, found = mended(run)
        assert "history.jsonl: begun anew from the journal" in done[0]
        assert (errors(found), warnings(found)) == ({}, {})
        assert_same(run, original)
    run.journal_path.unlink()
    mended(run)
    assert_same(run, original)


def test_a_history_with_a_line_that_cannot_be_read_is_begun_anew(run, original) -> None:
    history = run.path / FILE
    lines = history.read_bytes().splitlines(keepends=True)
    lines[5] = b"\xff" * 50 + b"\n"
    history.write_bytes(b"".join(lines))
    found = examine(run, Replays())
    assert f"its last {len(lines) - 5} lines cannot be read" in errors(found)["history"][0]
    _, found = mended(run)
    assert (errors(found), warnings(found)) == ({}, {})
    assert (run.path / "history.jsonl.damaged-1").exists()
    run.journal_path.unlink()
    mended(run)
    assert_same(run, original)


def test_a_history_that_does_not_agree_with_itself_is_not_believed(run, original) -> None:
    history = run.path / FILE
    (accuracy,) = [row["accuracy"] for row in snapshot(run.journal_path).rows["trials"] if row["id"] == 5]
    text = history.read_text()
    at = text.index(f'"done",{accuracy!r}')
    history.write_text(text[:at] + text[at:].replace(f'"done",{accuracy!r}', '"done",0.25', 1))
    found = examine(run, Replays())
    assert (found.journal, found.history) == ("sound", "differs")
    assert "0.25 in the history" in errors(found)["history"][0]
    mended(run)
    assert_same(run, original)


def test_a_history_may_change_nothing_but_its_tables(run: Run) -> None:
    history = run.path / FILE
    line = {"change": Past.read(history).last + 1, "do": [["ATTACH DATABASE 'evil.db' AS e", []]]}
    with history.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(InputError, match="cannot be repeated: not authorized"):
        Past.read(history).journal()
    assert not Path("evil.db").exists()


# --- without a history -------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", ["indexes", "rows"])
def test_without_a_history_what_can_be_read_is_saved(in_tmp: Path, original, pages: str) -> None:
    run = searched(in_tmp, candidates=40)
    shutil.copytree(run.path, "whole")
    (run.path / FILE).unlink()
    data = bytearray(run.journal_path.read_bytes())
    with sqlite3.connect(run.journal_path) as db:
        size = db.execute("PRAGMA page_size").fetchone()[0]
        like = "sqlite_autoindex_trials_1" if pages == "indexes" else "trials"
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (like,)).fetchone()
    db.close()
    page = root if pages == "indexes" else len(data) // size // 2
    data[(page - 1) * size : page * size] = random.Random(1).randbytes(size)
    run.journal_path.write_bytes(data)
    done, found = mended(run)
    assert "made anew of what can be read of it" in done[0]
    assert (run.path / "journal.db.damaged-1").read_bytes() == data
    rows, whole = held(run.journal_path), held(Path("whole/journal.db"))
    if pages == "indexes":
        assert errors(found) == {}
        assert_same(run, Path("whole"))
        return
    saved = {row["id"]: row for row in rows["trials"]}
    assert 0 < len(saved) <= 40
    assert all(row == saved[row["id"]] for row in whole["trials"] if row["id"] in saved)


def test_a_journal_of_which_nothing_is_left_stays_as_it_is(run: Run, capsys) -> None:
    (run.path / FILE).unlink()
    run.journal_path.write_bytes(b"\0" * 20000)
    code, _, err = nas(capsys, "doctor", "t", "--repair")
    assert code == 1
    assert "no result in it can be read, and no history.jsonl can be used; nothing was changed" in err
    assert run.journal_path.read_bytes() == b"\0" * 20000
    assert not list(run.path.glob("*.damaged-*"))


def test_a_deleted_proposal_without_a_history_is_said_to_be_lost(run: Run, capsys) -> None:
    change(run, "DELETE FROM proposals WHERE id = 4")
    (run.path / FILE).unlink()
    code, out, _ = nas(capsys, "doctor", "t", "--repair")
    assert code == 1
    assert "--reuse" in out
    assert len(run.trials()) == 12


def test_a_full_disk_is_one_line_and_loses_nothing(run: Run, capsys, monkeypatch) -> None:
    data = run.journal_path.read_bytes()[:9000]
    run.journal_path.write_bytes(data)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("results.rebuild._sync", full)
    code, _, err = nas(capsys, "doctor", "t", "--repair")
    assert (code, err.count("\n")) == (1, 1)
    assert "journal.db: cannot be made anew: No space left on device; what was there is still there" in err
    assert run.journal_path.read_bytes() == data
    assert not list(run.path.glob("journal.db.*"))


# --- files, and the command --------------------------------------------------------------------------


def test_leftovers_are_found_and_removed(run: Run) -> None:
    old = time.time() - 100_000
    paths = [run.path / ".scratch", run.path / ".pareto.png.1.tmp", run.path / "history.tmp"]
    paths += [run.path.parent / ".t.abcd1234", run.path.parent / ".t.young123", run.path / ".new.1.tmp"]
    for path in paths:
        path.mkdir() if path.name in (".scratch", ".t.abcd1234", ".t.young123") else path.write_text("")
    (paths[3] / "config.yaml").write_text("")
    for path in paths[:4]:
        os.utime(path, (old, old))
    precious = run.path.parent / ".t.precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("")
    os.utime(precious, (old, old))
    found = examine(run)
    assert errors(found) == {}
    assert set(found.left.useless) == set(paths[:4])
    _, found = mended(run)
    assert found.left.useless == []
    assert [path.exists() for path in paths] == [False] * 4 + [True] * 2
    assert precious.exists()


def test_a_killed_session_is_a_warning(run: Run) -> None:
    journal = Journal.open(run.journal_path)
    journal.begin_session({})
    journal.close()
    change(run, "UPDATE trials SET status = 'running', accuracy = NULL, arrival = NULL WHERE id = 12")
    found = examine(run)
    texts = [f.text for f in found.findings if f.severity == "warning"]
    assert "session 2: was killed, no end is noted" in texts
    assert "trial 12: is noted as running, and no search holds the folder" in texts


def test_a_search_that_runs_is_read_and_left_alone(in_tmp: Path, capsys) -> None:
    seen = []

    class Watched:
        def on_start(self, counts) -> None:
            pass

        def on_result(self, trial, best, counts) -> None:
            run = find_run("t")
            found = examine(run, Replays())
            seen.append((found.running, errors(found), warnings(found)))
            assert nas(capsys, "doctor", "t", "--repair")[0::2] == (
                *(2, "nas: runs/t: a search holds this folder; without --repair it is only read\n"),
            )

    settings = section("t", "random", 4)
    run_search(settings, evaluator=Scripted(in_tmp / "diary"), listeners=[Watched()])
    assert seen == [(True, {}, {})] * 4


def test_the_command_says_what_it_found_and_did(run: Run, original: Path, capsys) -> None:
    code, out, err = nas(capsys, "doctor", "t", "--json")
    document = json.loads(out)
    assert (code, err, document["sound"], document["repaired"]) == (0, "", True, [])
    change(run, "UPDATE trials SET reward = 0.9 WHERE id = 5")
    code, out, _ = nas(capsys, "doctor", "t")
    assert code == 1
    assert "-> --repair makes the journal anew from history.jsonl" in out
    assert "t: damaged; 2 errors, 1 warnings" in out
    code, out, err = nas(capsys, "doctor", "t", "--repair")
    assert (code, err) == (0, "")
    assert "repaired: runs/t/journal.db: made anew from history.jsonl, 12 results and 12 proposals" in out
    with run.journal() as journal:
        assert journal.events()[-1].kind == "repaired"
    assert_same(run, original)
    assert nas(capsys, "doctor", "t", "--no-replay")[0] == 0
    code, _, err = nas(capsys, "doctor", "u")
    assert code == 2
    assert "no run 'u' under runs/" in err


def test_damage_that_is_met_while_reading_is_one_line_with_the_way_out(run: Run, capsys) -> None:
    change(run, "UPDATE trials SET curve = '[' WHERE id = 5")
    code, _, err = nas(capsys, "top", "t")
    assert (code, err.count("\n")) == (2, 1)
    assert "journal.db: cannot be read as a journal: " in err
    assert "nas doctor runs/t --repair makes it anew from history.jsonl" in err


def test_a_seed_of_the_trainings_alone_is_no_damage(in_tmp: Path) -> None:
    settings = section("t", "random", 4).model_copy(update={"training_seed": 7})
    run = run_search(settings, evaluator=Scripted(in_tmp / "diary")).run
    assert errors(examine(run, Replays())) == {}


def test_a_repair_without_a_replay_leaves_a_search_that_goes_on(run: Run, monkeypatch) -> None:
    """Killed before a tell was committed, and mended where another torch gives other networks."""
    number, kept = without_its_last_tell(run)
    monkeypatch.setattr(
        "nas.doctor.replay", lambda *given: replace(replay(*given), wrong="step 1 gives another network")
    )
    done, found = mended(run)
    assert any("is asked and told again" in text for text in done)
    assert found.content is not None
    assert found.content.results == 12
    with run.journal() as journal:
        state = journal.controller_state()
    assert state is not None
    assert state == (number, kept)


def without_its_last_tell(run: Run) -> tuple[int, bytes]:
    """Take the last tell and all after it out of the journal, not out of its history."""
    past = Past.read(run.path / FILE)
    changes = past._changes
    last = max(n for n, its in changes.items() if any("SET told" in sql for sql, _ in its))
    with contextlib.closing(past.journal(last - 1)) as db:
        content = content_of(rows_of(db), load_config(run.config_path))
        again = replay(load_config(run.config_path), content.facts, content.trials, content.proposals)
        db.execute("INSERT INTO controller VALUES (1, ?, ?)", (again.version, again.state()))
        run.journal_path.unlink()
        with contextlib.closing(sqlite3.connect(run.journal_path)) as target:
            db.backup(target)
    lines = (run.path / FILE).read_text().splitlines(keepends=True)
    (run.path / FILE).write_text("".join(line for line in lines if json.loads(line)["change"] <= last))
    return again.version, again.state()
