"""Ctrl-C once finishes what runs: its results wait for the journal as before."""

import contextlib
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from nas import run_search
from nas.interrupts import Interrupts
from results import Journal
from results.reading import uri_of
from search_space import InputError
from tests.searching import Scripted, config
from trainers.executor import describe


def test_a_result_waits_for_a_lock_also_after_one_interruption(in_tmp: Path, monkeypatch) -> None:
    interrupts, held = Interrupts(), []

    def hold() -> None:
        other = sqlite3.connect("runs/t/journal.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        held.append(other)
        threading.Timer(2.6, lambda: (other.execute("ROLLBACK"), other.close())).start()

    real = Journal.finish

    def finish(self, *given, **named):
        if not held:
            interrupts.level = 1  # Ctrl-C came while it was trained
            hold()
        return real(self, *given, **named)

    monkeypatch.setattr("nas.launch.handled_interrupts", lambda: contextlib.nullcontext(interrupts))
    monkeypatch.setattr(Journal, "finish", finish)
    end = run_search(config("t"), evaluator=Scripted(in_tmp / "diary"))
    assert end.outcome == "interrupted"
    assert [trial.status for trial in end.run.trials()] == ["done"]


def test_a_reader_without_the_right_to_write_sees_what_a_writer_has_not_folded_in(
    tmp_path: Path, monkeypatch
) -> None:
    journal = Journal.create(tmp_path / "journal.db")
    monkeypatch.setattr(os, "access", lambda *given: False)
    assert "immutable" not in uri_of(journal.path, "ro")
    with contextlib.closing(Journal.read(journal.path)) as reader:
        assert reader.trials() == []
    journal.close()
    assert "immutable" in uri_of(journal.path, "ro")


def test_an_error_with_a_name_that_is_no_utf8_can_be_kept() -> None:
    assert describe(ValueError("bad \udcff name")).encode() == b"ValueError: bad \\udcff name"


def test_a_journal_that_cannot_be_opened_just_now_is_not_called_damaged(tmp_path: Path, monkeypatch) -> None:
    journal = Journal.create(tmp_path / "journal.db")
    journal.close()

    def full(uri: str) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("results.reading.connect", full)
    with pytest.raises(InputError, match=r"cannot be opened now: the disk is full$"):
        Journal.read(journal.path)
