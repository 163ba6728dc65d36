"""Runs to be damaged, and what must be true of them when they are mended."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from nas import load_config, run_search
from nas.controller_state import loaded
from nas.doctor import Examination, Replays, examine
from nas.doctor_repair import repair
from results import Run
from results.history import TABLES
from results.rebuild import snapshot
from search_space import InputError
from tests.searching import Scripted, config
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


@pytest.fixture
def without_data(monkeypatch) -> None:
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
