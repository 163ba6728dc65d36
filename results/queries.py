"""Statements of the journal on its trials, for use within its transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol

from results.schema import BASELINES, NewTrial, dumps, trial_columns, trial_from_row
from results.trial import Trial
from search_space import InputError


class Connection(Protocol):
    """Runs statements: a connection, or what records them."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> sqlite3.Cursor:
        """Run one."""


def schema_version(db: Connection) -> int:
    """The version of a journal's tables."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def select_trials(db: Connection, rest: str, *values: Any) -> list[Trial]:
    """Trials of a journal of any version.

    Args:
        db: the journal.
        rest: the statement from ``WHERE`` or ``ORDER BY`` on.
        values: for its question marks.
    """
    rows = db.execute(f"SELECT {trial_columns(schema_version(db))} FROM trials {rest}", values)  # noqa: S608
    return [trial_from_row(row) for row in rows]


def insert_trial(db: Connection, trial: NewTrial) -> int:
    """Add a pending trial; its id."""
    cursor = db.execute(
        "INSERT INTO trials (key, protocol, seed, choices, architecture, macs, params, baseline, adapted) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            trial.key,
            trial.protocol,
            trial.seed,
            dumps(trial.choices),
            dumps(trial.architecture),
            trial.macs,
            trial.params,
            trial.baseline,
            trial.adapted,
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def set_baselines(db: Connection, baselines: Sequence[NewTrial], place: str) -> None:
    """See `Journal.set_baselines`.

    Args:
        db: the journal.
        baselines: of the session that begins.
        place: the journal's file, for the message.
    """
    wanted = {(trial.key, trial.protocol, trial.seed) for trial in baselines}
    for old in select_trials(db, f"{BASELINES} AND arrival IS NULL"):
        if (old.key, old.protocol, old.seed) in wanted:
            continue
        if old.proposed:
            db.execute("UPDATE trials SET baseline = NULL, adapted = NULL WHERE id = ?", (old.id,))
        else:
            db.execute("DELETE FROM trials WHERE id = ?", (old.id,))
    for trial in baselines:
        identity = (trial.key, trial.protocol, trial.seed)
        taken = "SELECT 1 FROM trials WHERE baseline = ? AND (key, protocol, seed) != (?, ?, ?)"
        if db.execute(taken, (trial.baseline, *identity)).fetchone() is not None:
            raise InputError(
                f"{place}: the baseline {trial.baseline} was another network when it was trained; give this "
                "one another name"
            )
        known = db.execute(
            "UPDATE trials SET baseline = ?, adapted = ? WHERE key = ? AND protocol = ? AND seed = ?",
            (trial.baseline, trial.adapted, *identity),
        )
        if not known.rowcount:
            insert_trial(db, trial)
