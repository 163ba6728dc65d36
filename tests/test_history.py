"""The journal again as lines of text, and waiting for a disk or a lock."""

import errno
import json
import logging
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results import Journal, NewTrial
from results.history import FILE, last_change, rebuilt
from results.schema import SCHEMA
from search_space import InputError


def new_trial(key: str, baseline: str | None = None) -> NewTrial:
    return NewTrial(
        key=key, protocol="p", seed=0, choices={}, architecture={}, macs=1, params=1, baseline=baseline
    )


def rows(path: Path) -> dict[str, list[tuple]]:
    """All that a journal holds but the controller's state."""
    with sqlite3.connect(path) as raw:
        names = [row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: raw.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    raw.close()
    del found["controller"]
    return found


def again(folder: Path) -> dict[str, list[tuple]]:
    """The same, of a journal that is made from the history."""
    path = folder / "again.db"
    path.unlink(missing_ok=True)
    raw = sqlite3.connect(path)
    raw.executescript(SCHEMA)
    _, changes = rebuilt(folder / FILE)
    for statements in changes.values():
        for sql, values in statements:
            raw.execute(sql, values)
    raw.commit()
    raw.close()
    return rows(path)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["propose", "start", "finish", "fail", "tell", "lose", "session", "baselines", "open"]
        ),
        st.integers(1, 6),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(ACTS)
def test_a_history_gives_the_same_journal_whatever_happened(tmp_path_factory, acts) -> None:
    folder = tmp_path_factory.mktemp("run")
    journal = Journal.create(folder / "journal.db")
    for version, (act, number) in enumerate(acts, start=1):
        if act == "propose":
            journal.propose(version, b"s", [((number,), -0.5, new_trial(f"k{number}"))])
        if act == "start":
            journal.start(number)
        if act == "finish":
            journal.finish(number, "done", accuracy=0.1, reward=1 / 3, curve=[{"accuracy": 0.1}], seconds=2)
        if act == "fail":
            journal.finish(number, "failed", error="“out of memory”")
        if act == "tell":
            told = [row.id for _, its in journal.untold() for row in its]
            journal.told(version, b"s", told, (number,))
        if act == "lose":
            journal.requeue(number, "worker lost", "it died")
        if act == "session":
            journal.begin_session({"torch": "2"})
        if act == "baselines":
            journal.set_baselines([new_trial(f"b{number}", f"name {number}")])
        if act == "open":
            journal.close()
            journal = Journal.open(folder / "journal.db")
    journal.close()
    assert again(folder) == rows(folder / "journal.db")


@pytest.fixture
def journal(tmp_path):
    journal = Journal.create(tmp_path / "journal.db")
    yield journal
    journal.close()


def propose(journal: Journal, number: int) -> None:
    journal.propose(number, b"state", [((number,), None, new_trial(f"k{number}"))])


def test_a_history_that_is_behind_or_gone_begins_anew(journal: Journal, tmp_path: Path) -> None:
    propose(journal, 1)
    propose(journal, 2)
    journal.close()
    history = tmp_path / FILE
    for damage in (history.unlink, lambda: history.write_text(""), lambda: history.write_text('{"a": 1}\n')):
        damage()
        again_open = Journal.open(journal.path)
        propose(again_open, 3)
        again_open.close()
        assert again(tmp_path) == rows(journal.path)


def test_a_line_that_was_cut_off_is_overwritten(journal: Journal, tmp_path: Path) -> None:
    propose(journal, 1)
    journal.close()
    history = tmp_path / FILE
    history.write_bytes(history.read_bytes() + b'{"change": 2, "do": [["DELETE FR')
    journal = Journal.open(journal.path)
    propose(journal, 2)
    journal.close()
    assert again(tmp_path) == rows(journal.path)


def test_a_change_that_was_never_committed_gives_way_to_the_next(journal: Journal, tmp_path: Path) -> None:
    propose(journal, 1)
    with pytest.raises(RuntimeError), journal._transaction() as db:
        db.execute("DELETE FROM proposals")
        journal._history.append(2, db.statements)  # and the process is killed
        raise RuntimeError
    journal.close()
    assert again(tmp_path) != rows(journal.path)
    journal = Journal.open(journal.path)
    propose(journal, 2)
    journal.close()
    assert again(tmp_path) == rows(journal.path)


def test_a_journal_without_its_latest_changes_is_not_gone_on_with(journal: Journal, tmp_path: Path) -> None:
    propose(journal, 1)
    journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    old = journal.path.read_bytes()
    for number in (2, 3, 4):
        propose(journal, number)
    journal.close()
    journal.path.write_bytes(old)
    with pytest.raises(InputError, match=r"lacks 3 changes that history.jsonl has .* --repair brings them"):
        Journal.open(journal.path)
    Journal.read(journal.path).close()


@pytest.mark.parametrize(
    "text", ["", "x\n", '{"change": 1, "do": []}\n', '{"schema": 4, "change": "a"}\n', "[]\n"]
)
def test_a_history_that_is_none_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match=r"history\.jsonl: is no history of a journal"):
        rebuilt(tmp_path / FILE)
    assert last_change(tmp_path / FILE) is None or text.startswith('{"schema"')


def test_a_gap_in_a_history_is_found(journal: Journal, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        propose(journal, number)
    lines = (tmp_path / FILE).read_text().splitlines(keepends=True)
    (tmp_path / FILE).write_text("".join([*lines[:2], *lines[3:]]))
    with pytest.raises(InputError, match="change 2 is missing"):
        rebuilt(tmp_path / FILE)


def test_a_change_waits_while_another_program_holds_the_journal(journal: Journal, caplog) -> None:
    journal.give_up = lambda: False
    held = threading.Event()

    def hold() -> None:
        other = sqlite3.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        held.set()
        time.sleep(2.6)  # longer than SQLite itself waits
        other.execute("ROLLBACK")
        other.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with caplog.at_level(logging.WARNING):
        propose(journal, 1)
    thread.join()
    assert "another program has locked it; the search waits" in caplog.text
    assert [(event.kind, event.text[:33]) for event in journal.events()] == [
        ("waited", "another program has locked it for")
    ]
    assert len(journal.trials()) == 1


@pytest.mark.parametrize("full", ["history", "journal"])
def test_a_change_waits_for_room_and_happens_once(
    journal: Journal, tmp_path: Path, monkeypatch, full
) -> None:
    monkeypatch.setattr("results.patience.PAUSE", 0.001)
    journal.give_up = lambda: False
    tries = []

    def no_room(*arguments):
        tries.append(1)
        if len(tries) < 4:
            raise (
                OSError(errno.ENOSPC, "No space left on device")
                if full == "history"
                else sqlite3.OperationalError("database or disk is full")
            )
        return real(*arguments)

    if full == "history":
        real = journal._history.append
        monkeypatch.setattr(journal._history, "append", no_room)
    else:
        real = journal._save_controller
        monkeypatch.setattr(journal, "_save_controller", no_room)
    propose(journal, 1)
    monkeypatch.undo()
    assert len(journal.proposals()) == 1
    assert journal.events()[0].text.startswith("the disk is full for ")
    journal.close()
    assert again(tmp_path) == rows(journal.path)


def test_a_change_that_cannot_be_committed_leaves_no_line(journal: Journal, tmp_path: Path) -> None:
    propose(journal, 1)
    before = (tmp_path / FILE).read_bytes()
    real, journal._db = journal._db, NoCommit(journal._db)  # type: ignore[assignment]
    with pytest.raises(InputError, match="the disk is full"):
        propose(journal, 2)
    journal._db = real
    assert (tmp_path / FILE).read_bytes() == before
    propose(journal, 3)
    assert again(tmp_path) == rows(journal.path)


class NoCommit:
    """A connection to a journal on a disk that is full when a transaction ends."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __getattr__(self, name: str) -> object:
        return getattr(self._db, name)

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        if sql == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self._db.execute(sql, *values)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"])
def test_a_change_waits_for_a_quota(journal: Journal, monkeypatch, name: str) -> None:
    monkeypatch.setattr("results.patience.PAUSE", 0.001)
    journal.give_up = lambda: False
    real, tries = journal._save_controller, []

    def spent(*arguments):
        tries.append(1)
        if len(tries) < 3:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = name
            raise error
        return real(*arguments)

    monkeypatch.setattr(journal, "_save_controller", spent)
    propose(journal, 1)
    assert len(journal.proposals()) == 1


def test_who_gives_up_hears_what_was_in_the_way(journal: Journal, monkeypatch) -> None:
    def no_room(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal._history, "append", no_room)
    with pytest.raises(InputError, match=r"journal\.db: the disk is full$"):
        propose(journal, 1)
    assert journal.proposals() == []


def test_a_damaged_journal_is_refused_when_it_is_opened(journal: Journal, tmp_path: Path) -> None:
    for number in range(1, 60):
        propose(journal, number)
    journal.close()
    whole = journal.path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:5000], whole[:100], b"", b"\0" * len(whole)):
        journal.path.write_bytes(damaged)
        for opened in (Journal.open, Journal.read):
            with pytest.raises(
                InputError, match=r"cannot be read as a journal: .*; nas doctor .* from history"
            ):
                opened(journal.path)
    journal.path.write_bytes(whole)
    Journal.open(journal.path).close()


def test_numbers_come_back_from_the_history_to_the_last_bit(journal: Journal, tmp_path: Path) -> None:
    propose(journal, 1)
    journal.finish(1, "done", accuracy=0.1 + 0.2, reward=1e-17)
    last = json.loads((tmp_path / FILE).read_text().splitlines()[-1])
    (values,) = [values for sql, values in last["do"] if sql.startswith("UPDATE trials")]
    assert values[1:3] == [0.1 + 0.2, 1e-17]
