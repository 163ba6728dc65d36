"""The journal of a search: a SQLite file that is the truth about it.

Every change is one transaction. A proposal is committed with the controller's state before it is
dispatched; a result when it arrives; the controller's state again with the update that a result caused.
Asks and tells are numbered in one sequence (the version), so that a replay can repeat them exactly. One
process writes; any number may read meanwhile (WAL).
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from results.queries import insert_trial, schema_version, select_trials, set_baselines
from results.schema import (
    CANDIDATE,
    MIGRATIONS,
    SCHEMA,
    SCHEMA_VERSION,
    EvaluatorFacts,
    NewTrial,
    ProposalRow,
    Recommendation,
    Session,
    candidate,
    dumps,
)
from results.trial import Status, Trial
from search_space import InputError


class Journal:
    """Reads and, where it may, writes a journal. Use `create`, `open` or `read`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def create(cls, path: Path) -> Journal:
        """A new, empty journal.

        Raises:
            InputError: the file exists, or cannot be written.
        """
        if path.exists():
            raise InputError(f"{path}: exists already")
        try:
            journal = cls(_connect(f"file:{quote(str(path))}"), path)
            journal._db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        except sqlite3.Error as error:
            raise InputError(f"{path}: {error}") from None
        return journal

    @classmethod
    def open(cls, path: Path) -> Journal:
        """A journal to read and write; one of an older version is brought to this one.

        Raises:
            InputError: no such file, not a journal, or one of a newer version.
        """
        journal = cls._existing(path, "rw")
        try:
            journal._migrate()
        except sqlite3.Error as error:
            journal.close()
            raise InputError(f"{path}: cannot be brought to schema {SCHEMA_VERSION}: {error}") from None
        return journal

    @classmethod
    def read(cls, path: Path) -> Journal:
        """A journal to read as it is, perhaps while a search writes it; errors as in `open`."""
        return cls._existing(path, "ro")

    @classmethod
    def _existing(cls, path: Path, mode: str) -> Journal:
        if not path.is_file():
            raise InputError(f"{path}: no such journal")
        if mode == "ro" and not os.access(path.parent, os.W_OK):
            mode = "ro&immutable=1"  # a reader of a WAL needs to write beside it
        try:
            connection = _connect(f"file:{quote(str(path))}?mode={mode}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            raise InputError(f"{path}: cannot be read as a journal: {error}") from None
        if version > SCHEMA_VERSION:
            connection.close()
            raise InputError(
                f"{path}: has schema {version}, written by a newer version; "
                f"this one reads up to {SCHEMA_VERSION}"
            )
        if version < 1:
            connection.close()
            raise InputError(f"{path}: is no journal of a search")
        return cls(connection, path)

    def _schema(self) -> int:
        return schema_version(self._db)

    def _migrate(self) -> None:
        if self._schema() == SCHEMA_VERSION:
            return
        with self._transaction():
            for version in range(self._schema(), SCHEMA_VERSION):
                for statement in MIGRATIONS[version]:
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file; a writer folds the WAL into it."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # --- writing -------------------------------------------------------------------------------------

    def bind_evaluator(self, facts: EvaluatorFacts) -> None:
        """Note what measures the candidates, for good.

        Raises:
            InputError: earlier results were measured otherwise, and would not compare.
        """
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO evaluator VALUES (1, ?, ?, ?)", facts)
        if self.evaluator() != facts:
            raise InputError(
                f"{self.path}: earlier results were measured with other data or by another version of the "
                "trainer, and would not compare"
            )

    def begin_session(self, environment: Mapping[str, Any]) -> int:
        """Note the start of a session, and put back in the queue what an earlier one left running.

        Returns:
            The session's id.
        """
        with self._transaction():
            # the interruption was not the candidate's fault: its attempt does not count
            self._db.execute(
                "UPDATE trials SET status = 'pending', attempts = attempts - 1 WHERE status = 'running'"
            )
            cursor = self._db.execute(
                "INSERT INTO sessions (started_at, environment) VALUES (?, ?)",
                (time.time(), dumps(environment)),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def set_workers(self, session: int, workers: int) -> None:
        """Note how many candidates run at a time."""
        self._db.execute("UPDATE sessions SET workers = ? WHERE id = ?", (workers, session))

    def end_session(self, session: int, outcome: str) -> None:
        """Note how a session ended; candidates still running go back to the queue."""
        with self._transaction():
            self._db.execute(
                "UPDATE trials SET status = 'pending', attempts = attempts - 1 WHERE status = 'running'"
            )
            self._db.execute(
                "UPDATE sessions SET ended_at = ?, outcome = ? WHERE id = ?", (time.time(), outcome, session)
            )

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
        with self._transaction():
            self._save_controller(version, state)
            for indices, log_prob, trial in proposals:
                known = self._db.execute(
                    f"SELECT id, {CANDIDATE} FROM trials WHERE key = ? AND protocol = ? AND seed = ?",  # noqa: S608
                    (trial.key, trial.protocol, trial.seed),
                ).fetchone()
                trial_id, proposed = known or (self._insert(trial), False)
                if known and not proposed:  # a baseline becomes a candidate
                    self._db.execute(
                        "UPDATE trials SET choices = ? WHERE id = ?", (dumps(trial.choices), trial_id)
                    )
                self._db.execute(
                    "INSERT INTO proposals (trial, indices, log_prob, asked) VALUES (?, ?, ?, ?)",
                    (trial_id, dumps(list(indices)), log_prob, version),
                )
                answers.append((trial_id, not proposed))
        return answers

    def set_baselines(self, baselines: Sequence[NewTrial]) -> None:
        """Put baselines in the queue that are not there, and take out those that are asked for no more.

        What was measured stays, and what the controller proposed stays a candidate. No session may run.

        Raises:
            InputError: a baseline has the name of another network that was measured.
        """
        with self._transaction():
            set_baselines(self._db, baselines, str(self.path))

    def add_trials(self, trials: Sequence[NewTrial]) -> None:
        """Commit candidates that no controller proposed, all or none; those that are there already stay."""
        with self._transaction():
            for trial in trials:
                known = self._db.execute(
                    "SELECT 1 FROM trials WHERE key = ? AND protocol = ? AND seed = ?",
                    (trial.key, trial.protocol, trial.seed),
                ).fetchone()
                if known is None:
                    self._insert(trial)

    def _insert(self, trial: NewTrial) -> int:
        return insert_trial(self._db, trial)

    def _save_controller(self, version: int, state: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO controller VALUES (1, ?, ?)", (version, state))

    def start(self, trial_id: int) -> None:
        """The evaluation of a trial begins."""
        self._db.execute(
            "UPDATE trials SET status = 'running', attempts = attempts + 1 WHERE id = ? AND arrival IS NULL",
            (trial_id,),
        )

    def requeue(self, trial_id: int) -> None:
        """A trial lost its worker and waits again."""
        self._db.execute("UPDATE trials SET status = 'pending' WHERE id = ? AND arrival IS NULL", (trial_id,))

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
    ) -> bool:
        """Commit the result of a trial; a second result of one trial changes nothing.

        Returns:
            Whether this was the first result.
        """
        with self._transaction():
            cursor = self._db.execute(
                "UPDATE trials SET status = ?, accuracy = ?, reward = ?, error = ?, curve = ?, seconds = ?, "
                "finished_at = ?, arrival = (SELECT 1 + COALESCE(MAX(arrival), 0) FROM trials) "
                "WHERE id = ? AND arrival IS NULL",
                (status, accuracy, reward, error, dumps(list(curve)), seconds, time.time(), trial_id),
            )
        return cursor.rowcount == 1

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
        with self._transaction():
            self._save_controller(version, state)
            self._db.executemany(
                "UPDATE proposals SET told = ? WHERE id = ?", [(version, i) for i in proposal_ids]
            )
            if recommended is not None:
                self._recommend(version, recommended)

    def _recommend(self, version: int, indices: Sequence[int]) -> None:
        found = self._db.execute(
            "SELECT t.id FROM proposals p JOIN trials t ON t.id = p.trial "
            "WHERE p.indices = ? AND t.status = 'done' ORDER BY p.id LIMIT 1",
            (dumps([int(index) for index in indices]),),
        ).fetchone()
        if found is not None and found[0] != self._last_recommended():
            self._db.execute("INSERT INTO recommendations VALUES (?, ?, ?)", (version, found[0], time.time()))

    # --- reading -------------------------------------------------------------------------------------

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
        return select_trials(self._db, "WHERE baseline IS NOT NULL ORDER BY id")

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
        condition = candidate(self._schema())
        counted = f"SELECT status, COUNT(*) FROM trials WHERE {condition} GROUP BY status"  # noqa: S608
        return dict(self._db.execute(counted))

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
        rows = self._db.execute(
            "SELECT started_at, ended_at, outcome, workers, environment FROM sessions ORDER BY id"
        )
        return [
            Session(
                started_at=row[0],
                ended_at=row[1],
                outcome=row[2],
                workers=row[3],
                environment=json.loads(row[4]),
            )
            for row in rows
        ]

    def finished_since(self, moment: float) -> int:
        """Results of candidates that arrived after a moment (Unix time)."""
        condition = f"finished_at > ? AND {candidate(self._schema())}"
        counted = f"SELECT COUNT(*) FROM trials WHERE {condition}"  # noqa: S608
        return int(self._db.execute(counted, (moment,)).fetchone()[0])


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=30.0, isolation_level=None)
    if "mode=ro" not in uri:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
    return connection
