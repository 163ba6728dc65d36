"""The doctor: what is sound, and damaged journals that come back from their history."""

import io
import random
import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller import CONTROLLERS
from nas import open_run, run_search
from nas.doctor import Replays, examine, find_run
from results import Journal, Run
from results.history import FILE
from search_space import InputError, load_space
from tests import tables
from tests.doctoring import (
    assert_goes_on,
    assert_same,
    change,
    errors,
    mended,
    searched,
    section,
    state_of,
    warnings,
)
from tests.searching import Scripted, config

pytest_plugins = ["tests.doctoring"]
pytestmark = pytest.mark.usefixtures("without_data")

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
