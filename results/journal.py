"""The journal of a search: a SQLite file that is the truth about it.

Every change is one transaction. A proposal is committed with the controller's state before it is
dispatched; a result when it arrives; the controller's state again with the update that a result caused.
Asks and tells are numbered in one sequence (the version), so that a replay can repeat them exactly. One
process writes; any number may read meanwhile (WAL). The same changes are kept as lines of text (see
`results.history`), from which a damaged journal is made anew.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from results.history import FILE as HISTORY
from results.history import History, Statement, last_change
from results.patience import no_wait, patient
from results.queries import insert_trial, set_baselines
from results.reading import JournalReader, connect, existing
from results.schema import (
    CANDIDATE,
    MIGRATIONS,
    SCHEMA,
    SCHEMA_VERSION,
    EvaluatorFacts,
    NewTrial,
    dumps,
)
from results.trial import Status
from search_space import InputError


class Recorded:
    """A connection within a transaction; keeps the statements that change something, to be repeated."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.statements: list[Statement] = []

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement."""
        cursor = self._db.execute(sql, values)
        if cursor.rowcount > 0:  # -1 of what only reads
            self.statements.append((sql, tuple(values)))
        return cursor


class Journal(JournalReader):
    """A journal to write. Use `create` or `open`.

    A change that finds the disk full or the file locked waits until that is over or `give_up` says so; then
    it raises an `InputError`.

    Attributes:
        path: of the file.
        give_up: whether to wait no longer; at first it always does.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__(connection, path)
        self.give_up: Callable[[], bool] = no_wait
        self._history = History(path.with_name(HISTORY))
        self._session: int | None = None
        self._began = time.monotonic()

    @classmethod
    def create(cls, path: Path) -> Journal:
        """A new, empty journal.

        Raises:
            InputError: the file exists, or cannot be written.
        """
        if path.exists():
            raise InputError(f"{path}: exists already")
        try:
            journal = cls(connect(f"file:{quote(str(path))}"), path)
            journal._db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            journal._history.begin(journal._db, SCHEMA_VERSION)
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"{path}: {error}") from None
        return journal

    @classmethod
    def open(cls, path: Path) -> Journal:
        """A journal to read and write; one of an older version is brought to this one.

        Raises:
            InputError: no such file, not a journal, a damaged one, one of a newer version, or one that lacks
                what its history has.
        """
        journal = cls(existing(path, "rw"), path)
        try:
            journal._migrate()
            journal._check_history()
        except InputError:
            journal.close()
            raise
        except (sqlite3.Error, OSError) as error:
            journal.close()
            raise InputError(f"{path}: cannot be brought to schema {SCHEMA_VERSION}: {error}") from None
        return journal

    def _migrate(self) -> None:
        if self._schema() == SCHEMA_VERSION:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for version in range(self._schema(), SCHEMA_VERSION):
                for statement in MIGRATIONS[version]:
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _check_history(self) -> None:
        """Go on with the history that is there, or begin one where it does not belong to this journal."""
        (change,) = self._db.execute("SELECT number FROM changes").fetchone()
        last = last_change(self._history.path)
        if last is not None and last[0] == SCHEMA_VERSION and last[1] > change + 1:
            raise InputError(
                f"{self.path}: lacks {last[1] - change} changes that {HISTORY} has (copied without its -wal "
                f"file, or an older copy?); nas doctor {self.path.parent} --repair brings them back"
            )
        if last is None or last[0] != SCHEMA_VERSION or last[1] < change:
            self._history.begin(self._db, SCHEMA_VERSION)

    def close(self) -> None:
        """Close the file; the WAL is folded into it."""
        super().close()
        self._history.close()

    @contextmanager
    def _transaction(self) -> Iterator[Recorded]:
        """All that is done in the body, or nothing; one more change in the history."""
        self._db.execute("BEGIN IMMEDIATE")
        line = None
        try:
            recorded = Recorded(self._db)
            yield recorded
            recorded.execute("UPDATE changes SET number = number + 1")
            (number,) = self._db.execute("SELECT number FROM changes").fetchone()
            line = self._history.append(number, recorded.statements)
            self._db.execute("COMMIT")
        except BaseException:
            if line is not None:
                self._history.take_back(line)
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # --- writing -------------------------------------------------------------------------------------

    @patient
    def bind_evaluator(self, facts: EvaluatorFacts) -> None:
        """Note what measures the candidates, for good.

        Raises:
            InputError: earlier results were measured otherwise, and would not compare.
        """
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO evaluator VALUES (1, ?, ?, ?)", facts)
        if self.evaluator() != facts:
            raise InputError(
                f"{self.path}: earlier results were measured with other data or by another version of the "
                "trainer, and would not compare"
            )

    @patient
    def begin_session(self, environment: Mapping[str, Any]) -> int:
        """Note the start of a session, and put back in the queue what an earlier one left running.

        Returns:
            The session's id.
        """
        with self._transaction() as db:
            waiting = self._put_back(db)
            killed = db.execute("SELECT id FROM sessions WHERE outcome IS NULL ORDER BY id DESC").fetchone()
            if killed is not None and killed == db.execute("SELECT MAX(id) FROM sessions").fetchone():
                text = f"session {killed[0]} was killed; {waiting} that ran then went back to the queue"
                _note(db, None, "session killed", text)
            cursor = db.execute(
                "INSERT INTO sessions (started_at, environment) VALUES (?, ?)",
                (time.time(), dumps(environment)),
            )
        assert cursor.lastrowid is not None
        self._session, self._began = cursor.lastrowid, time.monotonic()
        return cursor.lastrowid

    @patient
    def set_workers(self, session: int, workers: int) -> None:
        """Note how many candidates run at a time."""
        with self._transaction() as db:
            db.execute("UPDATE sessions SET workers = ? WHERE id = ?", (workers, session))

    @patient
    def end_session(self, session: int, outcome: str) -> None:
        """Note how a session ended; candidates still running go back to the queue."""
        with self._transaction() as db:
            self._put_back(db)
            db.execute(
                "UPDATE sessions SET ended_at = ?, outcome = ?, elapsed = ? WHERE id = ?",
                (time.time(), outcome, self._elapsed(), session),
            )

    def _put_back(self, db: Recorded) -> int:
        """What is running goes back to the queue; how many that are."""
        # the interruption was not the candidate's fault: its attempt does not count
        return db.execute(
            "UPDATE trials SET status = 'pending', attempts = attempts - 1 WHERE status = 'running'"
        ).rowcount

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    @patient
    def note(self, kind: str, text: str) -> None:
        """Keep in mind what happened besides results; see `Event`."""
        with self._transaction() as db:
            _note(db, self._session, kind, text)

    @patient
    def restore_controller(self, version: int, state: bytes, text: str) -> None:
        """Commit a controller's state that was lost, with a note of kind ``repaired``."""
        with self._transaction() as db:
            self._save_controller(version, state)
            _note(db, self._session, "repaired", text)

    @patient
    def propose(
        self,
        version: int,
        state: bytes,
        proposals: Sequence[tuple[tuple[int, ...], float | None, NewTrial]],
    ) -> list[tuple[int, bool]]:
        """Commit proposals and the controller's state after the ask that made them.

        Args:
            version: of this ask.
            state: the controller's, after it.
            proposals: indices, log-probability, and the trial as it would be if it were new.

        Returns:
            For each proposal its trial's id, and whether it is a new candidate: a new trial, or one that
            was there but not yet proposed.
        """
        answers = []
        with self._transaction() as db:
            self._save_controller(version, state)
            for indices, log_prob, trial in proposals:
                known = db.execute(
                    f"SELECT id, {CANDIDATE} FROM trials WHERE key = ? AND protocol = ? AND seed = ?",  # noqa: S608
                    (trial.key, trial.protocol, trial.seed),
                ).fetchone()
                trial_id, proposed = known or (insert_trial(db, trial), False)
                if known and not proposed:  # a baseline becomes a candidate
                    db.execute("UPDATE trials SET choices = ? WHERE id = ?", (dumps(trial.choices), trial_id))
                db.execute(
                    "INSERT INTO proposals (trial, indices, log_prob, asked) VALUES (?, ?, ?, ?)",
                    (trial_id, dumps(list(indices)), log_prob, version),
                )
                answers.append((trial_id, not proposed))
        return answers

    @patient
    def set_baselines(self, baselines: Sequence[NewTrial]) -> None:
        """Put baselines in the queue that are not there, and take out those that are asked for no more.

        What was measured stays, and what the controller proposed stays a candidate. No session may run.

        Raises:
            InputError: a baseline has the name of another network that was measured.
        """
        with self._transaction() as db:
            set_baselines(db, baselines, str(self.path))

    @patient
    def add_trials(self, trials: Sequence[NewTrial]) -> None:
        """Commit candidates that no controller proposed, all or none; those that are there already stay."""
        with self._transaction() as db:
            for trial in trials:
                known = db.execute(
                    "SELECT 1 FROM trials WHERE key = ? AND protocol = ? AND seed = ?",
                    (trial.key, trial.protocol, trial.seed),
                ).fetchone()
                if known is None:
                    insert_trial(db, trial)

    def _save_controller(self, version: int, state: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO controller VALUES (1, ?, ?)", (version, state))

    @patient
    def start(self, trial_id: int) -> None:
        """The evaluation of a trial begins."""
        with self._transaction() as db:
            db.execute(
                "UPDATE trials SET status = 'running', attempts = attempts + 1 "
                "WHERE id = ? AND arrival IS NULL",
                (trial_id,),
            )

    @patient
    def requeue(self, trial_id: int, kind: str, text: str) -> None:
        """A trial lost its worker and waits again; kind and text say why, as in `note`."""
        with self._transaction() as db:
            db.execute("UPDATE trials SET status = 'pending' WHERE id = ? AND arrival IS NULL", (trial_id,))
            _note(db, self._session, kind, text)

    @patient
    def finish(
        self,
        trial_id: int,
        status: Status,
        *,
        accuracy: float | None = None,
        reward: float | None = None,
        error: str | None = None,
        curve: Sequence[Mapping[str, float]] = (),
        seconds: float = 0.0,
        reused: str | None = None,
    ) -> bool:
        """Commit the result of a trial; a second result of one trial changes nothing.

        Returns:
            Whether this was the first result.
        """
        with self._transaction() as db:
            cursor = db.execute(
                "UPDATE trials SET status = ?, accuracy = ?, reward = ?, error = ?, curve = ?, seconds = ?, "
                "finished_at = ?, session = ?, reused = ?, "
                "arrival = (SELECT 1 + COALESCE(MAX(arrival), 0) FROM trials) "
                "WHERE id = ? AND arrival IS NULL",
                (
                    *(status, accuracy, reward, error, dumps(list(curve)), seconds),
                    *(time.time(), self._session, reused, trial_id),
                ),
            )
            db.execute("UPDATE sessions SET elapsed = ? WHERE id = ?", (self._elapsed(), self._session))
        return cursor.rowcount == 1

    @patient
    def told(
        self,
        version: int,
        state: bytes,
        proposal_ids: Sequence[int],
        recommended: Sequence[int] | None = None,
    ) -> None:
        """Commit that proposals were told, with the controller's state after it.

        Args:
            version: of this tell.
            state: the controller's, after it.
            proposal_ids: what was told.
            recommended: indices of the network the controller now bets on, noted where that is another than
                before; None, and a network that was not trained with success, change nothing.
        """
        with self._transaction() as db:
            self._save_controller(version, state)
            for proposal_id in proposal_ids:
                db.execute("UPDATE proposals SET told = ? WHERE id = ?", (version, proposal_id))
            if recommended is not None:
                self._recommend(db, version, recommended)

    def _recommend(self, db: Recorded, version: int, indices: Sequence[int]) -> None:
        found = db.execute(
            "SELECT t.id FROM proposals p JOIN trials t ON t.id = p.trial "
            "WHERE p.indices = ? AND t.status = 'done' ORDER BY p.id LIMIT 1",
            (dumps([int(index) for index in indices]),),
        ).fetchone()
        if found is not None and found[0] != self._last_recommended():
            db.execute("INSERT INTO recommendations VALUES (?, ?, ?)", (version, found[0], time.time()))


def _note(db: Recorded, session: int | None, kind: str, text: str) -> None:
    db.execute(
        "INSERT INTO events (session, at, kind, text) VALUES (?, ?, ?, ?)", (session, time.time(), kind, text)
    )
