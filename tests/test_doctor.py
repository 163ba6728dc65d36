"""The doctor: every damage is found, and every repair gives back what was there."""

import io
import json
import os
import random
import re
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller import CONTROLLERS
from nas import load_config, open_run, run_search
from nas.doctor import Examination, Replays, examine, find_run
from nas.doctor_repair import repair
from nas.replay import loaded
from results import Journal, Run
from results.history import FILE, TABLES
from results.rebuild import Past, snapshot
from search_space import InputError, load_space
from tests import tables
from tests.searching import Scripted, config
from tests.test_cli import nas
from tests.test_search import assert_equal_states, replayed

FEW = {
    "dyna": {"first": 4},
    "ppo": {"batch": 4, "hidden": 16},
    "evolution": {"population": 6, "tournament": 3},
}


def searched(folder: Path, name: str = "t", controller: str = "random", candidates: int = 12) -> Run:
    """A finished search, one of whose candidates failed."""
    scripted = Scripted(folder / f"{name}.diary", acts={3: "raise"})
    return run_search(section(name, controller, candidates), evaluator=scripted).run


def section(name: str, controller: str, candidates: int):
    return config(
        name,
        controller={"name": controller, "options": FEW.get(controller, {})},
        search={"candidates": candidates, "keep_weights": 0},
    )


@pytest.fixture(autouse=True)
def _without_data(monkeypatch) -> None:
    """Data take time to read, and are no matter of most tests."""

    def missing(config, space):
        raise InputError("the data are not here")

    monkeypatch.setattr("nas.doctor.create_evaluator", missing)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A folder with a run that no test changes."""
    folder = tmp_path_factory.mktemp("original")
    before = Path.cwd()
    os.chdir(folder)
    try:
        searched(folder, controller="evolution")
    finally:
        os.chdir(before)
    return folder / "runs" / "t"


@pytest.fixture
def run(original: Path, in_tmp: Path) -> Run:
    """A copy of it, to be damaged."""
    shutil.copytree(original, in_tmp / "runs" / "t")
    return Run(Path("runs/t"))


def errors(found: Examination) -> dict[str, list[str]]:
    """Check to the texts of its errors."""
    texts: dict[str, list[str]] = {}
    for finding in found.findings:
        if finding.severity == "error":
            texts.setdefault(finding.check, []).append(finding.text)
    return texts


def warnings(found: Examination) -> dict[str, str]:
    return {f.check: f.text for f in found.findings if f.severity == "warning" and f.check != "evaluator"}


def mended(run: Run) -> tuple[list[str], Examination]:
    """What was done, and what is found afterwards."""
    replays = Replays()
    with run.lock():
        done = repair(examine(run, replays, held=True), replays)
        return done, examine(run, replays, held=True)


def held(path: Path) -> dict[str, list]:
    """All that a journal holds but what a repair adds to it: its note, and its number."""
    snap = snapshot(path)
    assert snap.damage == []
    rows = {table: snap.rows[table] for table in TABLES if table not in ("changes", "events")}
    return {**rows, "events": [row for row in snap.rows["events"] if row["kind"] != "repaired"]}


def state_of(path: Path) -> tuple[int, dict]:
    (row,) = snapshot(path).rows["controller"]
    return row["version"], loaded(row["state"])


def assert_same(run: Run, original: Path) -> None:
    """Rows and controller are those of the undamaged journal."""
    assert held(run.journal_path) == held(original / "journal.db")
    version, state = state_of(run.journal_path)
    before, whole = state_of(original / "journal.db")
    assert version == before
    assert_equal_states(state, whole)


def assert_goes_on(run: Run) -> None:
    """The search resumes, trains only what is new, and is sound."""
    known = {trial.key for trial in run.trials()}
    before = len(known)
    scripted = Scripted(Path("further.diary").absolute())
    further = load_config(run.config_path, ["search.candidates=15"])
    after = run_search(further, evaluator=scripted, resume=True).run
    assert len(after.trials()) == 15
    assert len(scripted.lines("begin")) == len(set(scripted.lines("begin"))) == 15 - before
    assert not known & set(scripted.lines("begin"))
    assert_equal_states(*(lambda c, s: (c.state_dict(), s))(*replayed(after, further)))
    assert errors(examine(run, Replays())) == {}


def change(run: Run, sql: str, *values) -> None:
    """A row of the journal is altered, which its history does not know."""
    with sqlite3.connect(run.journal_path) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(sql, values)
    db.close()


# --- what is sound -----------------------------------------------------------------------------------


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_search_with_every_controller_is_sound(in_tmp: Path, controller: str) -> None:
    found = examine(searched(in_tmp, controller=controller), Replays())
    assert errors(found) == {}
    assert warnings(found) == {}
    texts = {finding.check: finding.text for finding in found.findings}
    assert set(texts) == {
        *("journal", "config", "history", "trials", "order", "controller", "files", "evaluator")
    }
    assert "gives its state to the last bit" in texts["controller"]
    assert texts["trials"].startswith("12 trials, 12 results, ")


def test_a_run_with_baselines_and_true_weights_is_sound(in_tmp: Path) -> None:
    from trainers.proxy import save_weights

    class Weighty(Scripted):
        def epochs(self, architecture, seed, weights_path=None):
            if weights_path is not None:
                save_weights(architecture.build(10, 1), architecture, weights_path)
            yield from super().epochs(architecture, seed)

    settings = config(baselines=["mobilenet_v2"], search={"candidates": 4, "keep_weights": 2})
    run = run_search(settings, evaluator=Weighty(in_tmp / "diary")).run
    first, second, *_ = sorted((run.path / "weights").iterdir())
    found = examine(run, Replays())
    assert (errors(found), warnings(found)) == ({}, {})
    shutil.copyfile(second, first)
    second.write_bytes(second.read_bytes()[:-50])
    (run.path / "weights" / "99.safetensors").write_text("of nobody")
    texts = errors(examine(run))["files"]
    assert "is of another network than trial" in texts[0]
    assert "cannot be read" in texts[1]
    done, found = mended(run)
    assert len(done) == 3
    assert (errors(found), warnings(found)) == ({}, {})
    assert (run.path / f"{first.name}.damaged-1").exists()


def test_an_audit_is_sound_without_proposals(in_tmp: Path) -> None:
    from nas.audit import run_audit

    settings = config(audit={"architectures": 4, "seeds": 2, "reference_seeds": 1})
    run = run_audit(
        settings,
        evaluator_of=lambda protocol: Scripted(in_tmp / "diary", fingerprint=f"epochs {protocol.epochs}"),
    ).run
    found = examine(run, Replays())
    assert (errors(found), warnings(found)) == ({}, {})
    assert "12 trials, 12 results, 0 proposals" in str([f.text for f in found.findings])
    change(run, "UPDATE trials SET macs = macs + 1 WHERE id = 3")
    (run.path / FILE).unlink()
    assert "trial 3: macs is" in errors(examine(run))["trials"][0]


def test_a_run_that_was_copied_elsewhere_is_sound_and_goes_on(
    run: Run, tmp_path_factory, monkeypatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("other machine")
    (elsewhere / "runs").mkdir()
    shutil.copytree(run.path, elsewhere / "runs" / "another name")
    shutil.move(elsewhere / "runs" / "another name", elsewhere / "runs" / "other")
    monkeypatch.chdir(elsewhere)
    assert errors(examine(find_run("other"), Replays())) == {}
    assert_goes_on(find_run("other"))


def test_a_run_without_trials_is_sound(in_tmp: Path) -> None:
    from results import create_run

    found = examine(create_run("t", config().to_yaml()), Replays())
    assert (errors(found), warnings(found)) == ({}, {})


@pytest.mark.parametrize("kind", ["proxy", "table"])
def test_the_evaluator_is_compared_where_its_data_are(in_tmp: Path, monkeypatch, kind: str) -> None:
    from nas.launch import create_evaluator

    if kind == "table":
        tables.write_csv(Path("table.csv"), tables.rows_of(load_space(tables.SPACE)))
        source = {"kind": "table", "path": str(Path("table.csv").absolute()), "surrogate": False}
        given = config(space=tables.SPACE, evaluator=source, controller={"name": "random", "options": {}})
        run = run_search(given).run
    else:
        given = section("t", "random", 6)
        fingerprint = create_evaluator(given, load_space(given.space)).fingerprint
        run = run_search(given, evaluator=Scripted(in_tmp / "diary", fingerprint=fingerprint)).run
    texts = [f.text for f in examine(run, Replays()).findings if f.severity != "ok"]
    assert texts == ["cannot be made here, so that the search cannot go on here: the data are not here"]
    monkeypatch.setattr("nas.doctor.create_evaluator", create_evaluator)
    assert [f.text for f in examine(run, Replays()).findings if f.severity != "ok"] == []
    change(run, "UPDATE evaluator SET fingerprint = 'other'")
    assert "measures otherwise than the journal notes" in str(examine(run).findings[-1])


# --- what is damaged, with a history -----------------------------------------------------------------


DAMAGES = {
    "accuracy": ("UPDATE trials SET accuracy = accuracy * 0.999 WHERE id = 5", r"trial 5: accuracy is 0\.\d"),
    "key": ("UPDATE trials SET key = 'f' || substr(key, 2) || 'f' WHERE id = 5", "trial 5: the key is f"),
    "reward": ("UPDATE trials SET reward = 0.9 WHERE id = 5", "trial 5: reward is 0.9, its accuracy"),
    "macs": ("UPDATE trials SET macs = macs + 1 WHERE id = 5", r"trial 5: macs is \d+, its architecture has"),
    "text": ("UPDATE trials SET architecture = '{' WHERE id = 5", "trial 5: cannot be read: "),
    "seed": ("UPDATE trials SET seed = 7 WHERE id = 5", "trial 5: seed is 7, config.yaml has 0"),
    "choices": (
        """UPDATE trials SET choices = json_set(choices, '$."stage1.kernel"', 99) WHERE id = 5""",
        r"trial 5: cannot be read: choices.stage1.kernel must be one of",
    ),
    "arrival": ("UPDATE trials SET arrival = 99 WHERE id = 5", "of 1 to 99 there is none at place 5"),
    "proposal": ("DELETE FROM proposals WHERE id = 4", "of 24 asks and tells there is none at step 7, 8"),
    "indices": ("UPDATE proposals SET indices = (SELECT indices FROM proposals WHERE id = 1) WHERE id = 4",
                "proposal 4: its indices are another network than trial 4"),
    "told": ("UPDATE proposals SET told = 1 WHERE id = 4", "proposal 4: was told in step 1, before its ask"),
    "status": ("UPDATE trials SET status = 'pending', accuracy = NULL, arrival = NULL WHERE id = 5",
               "proposal 5: was told, and trial 5 has no result"),
    "bet": ("UPDATE recommendations SET trial = 3", "trial 3 was not trained with success"),
    "session": ("UPDATE sessions SET ended_at = NULL", "session 1: has an end or an outcome, not both"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_altered_row_is_found_by_itself_and_by_the_history_and_mended(run, original, damage) -> None:
    sql, message = DAMAGES[damage]
    change(run, sql)
    found = examine(run, Replays())
    assert found.journal == "differs"
    assert "in the history" in str(errors(found)["history"]) or "only in" in str(errors(found)["history"])
    texts = [text for check in ("trials", "order") for text in errors(found).get(check, [])]
    assert any(re.search(message, text) for text in texts), texts
    rows = [f for f in found.findings if f.check in ("trials", "order") and f.severity == "error"]
    assert all(f.repair == "--repair makes the journal anew from history.jsonl" for f in rows)
    done, found = mended(run)
    assert "made anew from history.jsonl, 12 results" in done[0]
    assert errors(found) == {}
    assert_same(run, original)
    assert (run.path / "journal.db.damaged-1").exists()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM controller", "the state is missing"),
        ("UPDATE controller SET state = x'00112233'", "the state cannot be read: "),
        ("UPDATE controller SET state = substr(state, 1, 900)", "the state cannot be read: "),
        ("UPDATE controller SET version = 23", "the state differs from that of a replay in its version, 23"),
    ],
)
def test_a_lost_state_of_the_controller_is_that_of_a_replay(run, original, sql, message) -> None:
    change(run, sql)
    assert message in errors(examine(run, Replays()))["controller"][0]
    done, found = mended(run)
    assert "the controller's state is that of a replay of 24 asks and tells" in done[0]
    assert errors(found) == {}
    assert_same(run, original)
    assert_goes_on(run)


def test_one_bit_of_the_controllers_state_is_found(in_tmp: Path) -> None:
    run = searched(in_tmp, controller="ppo", candidates=6)
    shutil.copytree(run.path, "whole")
    _, state = state_of(run.journal_path)
    name, tensor = next((n, t) for n, t in state["policy"].items() if t.dtype == torch.float32)
    tensor.view(-1)[:1] = torch.nextafter(tensor.view(-1)[:1], torch.tensor([9.0]))
    buffer = io.BytesIO()
    torch.save(state, buffer)
    change(run, "UPDATE controller SET state = ?", buffer.getvalue())
    (text,) = errors(examine(run, Replays()))["controller"]
    assert text == f"the state differs from that of a replay in policy.{name}"
    assert errors(examine(run)) == {}  # without a replay nobody can know
    mended(run)
    assert_same(run, Path("whole"))
    assert state_of(run.path / "journal.db.damaged-1")[0] == 12  # what was there is kept


def test_a_state_from_another_torch_is_a_warning(run: Run) -> None:
    change(run, "UPDATE sessions SET environment = json_set(environment, '$.torch', '1.0')")
    change(run, "UPDATE controller SET version = 23")
    (run.path / FILE).unlink()
    found = examine(run, Replays())
    assert errors(found) == {}
    assert "that may come from torch 1.0 then and" in warnings(found)["controller"]


def test_a_replay_that_differs_says_where_and_cannot_be_mended(run: Run) -> None:
    text = run.config_path.read_text()
    run.config_path.write_text(text.replace("seed: 0", "seed: 1", 1))
    texts = errors(examine(run, Replays()))
    assert "step 1 of 24 gives another network than proposal 1" in texts["controller"][0]
    assert "trial 1: seed is 0, config.yaml has 1" in texts["trials"][0]


@pytest.mark.parametrize("controller", ["random", "dyna"])
def test_a_missing_journal_comes_back_from_its_history(in_tmp: Path, controller: str) -> None:
    run = searched(in_tmp, controller=controller, candidates=8)
    shutil.copytree(run.path, "whole")
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (run.path / name).unlink(missing_ok=True)
    with pytest.raises(
        InputError, match=r"runs/t: cannot be read as a journal: it is missing; nas doctor runs/t --repair"
    ):
        open_run("t")
    assert "is missing" in errors(examine(find_run("t")))["journal"][0]
    _, found = mended(find_run("t"))
    assert errors(found) == {}
    assert_same(run, Path("whole"))
    assert_goes_on(run)


@pytest.mark.parametrize("changes", [1, 3])
def test_a_copy_without_its_log_gets_back_what_it_lacks(in_tmp: Path, changes: int) -> None:
    run = searched(in_tmp, candidates=5)
    journal = Journal.open(run.journal_path)  # a writer has it open
    for number in range(changes):
        journal.note("kind", f"text {number}")
    shutil.copytree(run.path, "runs/copy", ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    journal.close()
    copy = Run(Path("runs/copy"))
    found = examine(copy, Replays())
    if changes == 1:
        assert errors(found) == {}
        assert "a session was killed before it was committed" in warnings(found)["history"]
    else:
        assert "lacks 3 changes that history.jsonl has (copied without" in errors(found)["history"][0]
    _, found = mended(copy)
    assert (errors(found), warnings(found)) == ({}, {})
    assert_same(copy, run.path)


WHERE = st.tuples(st.booleans(), st.floats(0, 1), st.integers(1, 9000), st.integers(0, 2**32))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WHERE)
def test_whatever_is_cut_off_or_overwritten_comes_back(original, tmp_path_factory, where) -> None:
    cut, share, size, seed = where
    folder = tmp_path_factory.mktemp("damaged") / "t"
    shutil.copytree(original, folder)
    path = folder / "journal.db"
    data = bytearray(path.read_bytes())
    begin = int(share * (len(data) - 1))
    if cut:
        del data[begin:]
    else:
        data[begin : begin + size] = random.Random(seed).randbytes(min(size, len(data) - begin))
    path.write_bytes(data)
    _, found = mended(Run(folder))
    assert errors(found) == {}
    assert_same(Run(folder), original)


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
