"""Reading a journal, also while a search writes it."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from results.history import FILE as HISTORY
from results.patience import obstacle
from results.queries import schema_version, select_trials
from results.schema import (
    BASELINES,
    SCHEMA_VERSION,
    EvaluatorFacts,
    Event,
    ProposalRow,
    Recommendation,
    Session,
    candidate,
)
from results.trial import Trial
from search_space import InputError


class JournalReader:
    """What a journal says. Use `read`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def read(cls, path: Path) -> JournalReader:
        """A journal to read as it is, perhaps while a search writes it.

        Raises:
            InputError: no such file, not a journal, a damaged one, or one of a newer version.
        """
        return JournalReader(existing(path, "ro"), path)

    def close(self) -> None:
        """Close the file; a writer folds the WAL into it."""
        self._db.close()

    def _schema(self) -> int:
        return schema_version(self._db)

    def trials(self) -> list[Trial]:
        """All trials in the order of their ids, whatever made them."""
        return select_trials(self._db, "ORDER BY id")

    def candidates(self) -> list[Trial]:
        """All trials but the baselines that the controller did not propose, in the order of their ids."""
        return select_trials(self._db, f"WHERE {candidate(self._schema())} ORDER BY id")

    def baselines(self) -> list[Trial]:
        """The reference networks in the order of their ids; some may be candidates too."""
        if self._schema() < 3:
            return []
        return select_trials(self._db, f"{BASELINES} ORDER BY id")

    def is_audit(self) -> bool:
        """Whether it holds candidates that no controller proposed, as those of audits and of scaling do."""
        its = "SELECT EXISTS (SELECT 1 FROM trials"
        its += " WHERE baseline IS NULL)" if self._schema() >= 3 else ")"
        sql = f"{its} AND NOT EXISTS (SELECT 1 FROM proposals)"  # noqa: S608
        return bool(self._db.execute(sql).fetchone()[0])

    def trial(self, trial_id: int) -> Trial | None:
        """One trial, or None."""
        return next(iter(select_trials(self._db, "WHERE id = ?", trial_id)), None)

    def next_pending(self, handed_out: set[int]) -> Trial | None:
        """The first pending trial that is not handed out, baselines before others."""
        pending = "WHERE status = 'pending' ORDER BY baseline IS NULL, id LIMIT ?"
        trials = select_trials(self._db, pending, len(handed_out) + 1)
        return next((trial for trial in trials if trial.id not in handed_out), None)

    def counts(self) -> dict[str, int]:
        """Status to number of candidates."""
        # the index has it all, and there are few baselines
        counts = dict(self._db.execute("SELECT status, COUNT(*) FROM trials GROUP BY status"))
        for trial in self.baselines():  # a search may have gone on meanwhile
            counts[trial.status] = max(0, counts.get(trial.status, 0) - (not trial.proposed))
        return {status: number for status, number in counts.items() if number}

    def untold(self) -> list[tuple[Trial, list[ProposalRow]]]:
        """Finished trials with proposals the controller has not heard about, in order of arrival."""
        rows = self._db.execute(
            "SELECT DISTINCT t.id FROM trials t JOIN proposals p ON p.trial = t.id "
            "WHERE p.told IS NULL AND t.arrival IS NOT NULL ORDER BY t.arrival"
        ).fetchall()
        pairs = []
        for (trial_id,) in rows:
            trial = self.trial(trial_id)
            assert trial is not None
            pairs.append((trial, self._proposals("WHERE trial = ? AND told IS NULL", trial_id)))
        return pairs

    def proposals(self) -> list[ProposalRow]:
        """All proposals in the order in which they were made."""
        return self._proposals("")

    def _proposals(self, where: str, *values: Any) -> list[ProposalRow]:
        rows = self._db.execute(
            f"SELECT id, trial, indices, log_prob, asked, told FROM proposals {where} ORDER BY id",  # noqa: S608
            values,
        )
        return [
            ProposalRow(
                id=row[0],
                trial=row[1],
                indices=tuple(json.loads(row[2])),
                log_prob=row[3],
                asked=row[4],
                told=row[5],
            )
            for row in rows
        ]

    def controller_state(self) -> tuple[int, bytes] | None:
        """Version and state of the controller, or None before the first ask."""
        row = self._db.execute("SELECT version, state FROM controller").fetchone()
        return None if row is None else (row[0], row[1])

    def recommended(self) -> Trial | None:
        """The trial the controller bets on; None before it did, and in a journal of an older version."""
        if self._schema() < 2:
            return None
        last = self._last_recommended()
        return None if last is None else self.trial(last)

    def _last_recommended(self) -> int | None:
        row = self._db.execute("SELECT trial FROM recommendations ORDER BY version DESC LIMIT 1").fetchone()
        return None if row is None else int(row[0])

    def recommendations(self) -> list[Recommendation]:
        """Every change of the controller's bet, in order."""
        if self._schema() < 2:
            return []
        rows = self._db.execute("SELECT version, trial, made_at FROM recommendations ORDER BY version")
        return [Recommendation(*row) for row in rows]

    def evaluator(self) -> EvaluatorFacts | None:
        """What measures the candidates; None before the first session."""
        row = self._db.execute("SELECT fingerprint, num_classes, in_channels FROM evaluator").fetchone()
        return None if row is None else EvaluatorFacts(*row)

    def sessions(self) -> list[Session]:
        """All sessions in order."""
        elapsed = "elapsed" if self._schema() >= 4 else "MAX(0, ended_at - started_at)"
        rows = self._db.execute(
            f"SELECT id, started_at, ended_at, outcome, workers, environment, {elapsed} FROM sessions "  # noqa: S608
            "ORDER BY id"
        )
        return [
            Session(
                id=row[0],
                started_at=row[1],
                ended_at=row[2],
                outcome=row[3],
                workers=row[4],
                environment=json.loads(row[5]),
                elapsed=row[6],
            )
            for row in rows
        ]

    def results_of(self, session: Session) -> int:
        """Results of candidates that a session brought; what it took over from other runs is none."""
        counted = f"SELECT COUNT(*) FROM trials WHERE {candidate(self._schema())} AND "  # noqa: S608
        if self._schema() >= 4:
            return int(
                self._db.execute(f"{counted} session = ? AND reused IS NULL", (session.id,)).fetchone()[0]
            )
        row = self._db.execute(f"{counted} finished_at > ?", (session.started_at,)).fetchone()
        return int(row[0])

    def events(self) -> list[Event]:
        """What happened besides results, in order."""
        if self._schema() < 4:
            return []
        return [
            Event(*row) for row in self._db.execute("SELECT session, at, kind, text FROM events ORDER BY id")
        ]


def existing(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to a journal that is there, ``rw`` or ``ro``; errors as in `JournalReader.read`."""
    if not path.is_file():
        raise InputError(f"{path}: no such journal{_hint(path)}")
    connection, why = None, None
    try:
        connection = connect(uri_of(path, mode))
        version = schema_version(connection)
        damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if version else "it has no tables"
    except sqlite3.Error as error:
        version, damage, why = 1, str(error), obstacle(error)
    wrong = None
    if version > SCHEMA_VERSION:
        wrong = f"has schema {version}, written by a newer version; this one reads up to {SCHEMA_VERSION}"
    elif why is not None:  # no damage, and nothing that a repair would mend
        wrong = f"cannot be opened now: {why}"
    elif damage != "ok":
        wrong = unreadable(path, damage)
    if wrong is not None:
        if connection is not None:
            connection.close()
        raise InputError(f"{path}: {wrong}")
    assert connection is not None
    return connection


def unreadable(path: Path, damage: object) -> str:
    """What is wrong with a journal that cannot be read, and what helps."""
    return f"cannot be read as a journal: {damage}{_hint(path)}"


def _hint(path: Path) -> str:
    if not (path.parent / HISTORY).is_file():
        return f"; nas doctor {path.parent} says what can be saved" if path.is_file() else ""
    return f"; nas doctor {path.parent} --repair makes it anew from {HISTORY}"


def uri_of(path: Path, mode: str) -> str:
    """What opens a journal, ``rw`` or ``ro``."""
    wal, shm = (path.with_name(path.name + ending) for ending in ("-wal", "-shm"))
    written = shm.is_file() and wal.is_file() and wal.stat().st_size > 0
    if mode == "ro" and not written and not os.access(path.parent, os.W_OK):
        mode = "ro&immutable=1"  # a reader of a WAL that is not there would have to make it
    return f"file:{quote(str(path))}?mode={mode}"


def connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=2.0, isolation_level=None)
    try:
        if "mode=ro" not in uri:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # not even a power cut loses a result
            connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()  # else its locks stay
        raise
    return connection
