"""A journal again: from its history, or from what can still be read of a damaged one.

Nothing here changes a journal that is there, but for `write_journal`, which keeps it under another name.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.history import TABLES, rebuilt
from results.reading import connect, uri_of
from results.schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION, ProposalRow, trial_from_row
from results.trial import Trial
from search_space import InputError

Rows = dict[str, list[dict[str, Any]]]
ALL = (*TABLES, "controller")
MISSES = 2000  # rows in a row that cannot be read before a table is given up
FURTHEST = 200_000  # number of a row that is believed to be one, where those before it cannot be read
_NUMBER = "says that its schema is {}"  # and has the tables of this version
_ALLOWED = {
    *(sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_SELECT),
    *(sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_TRANSACTION),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that a journal held at one moment.

    Attributes:
        version: of its tables.
        rows: table to its rows, each a mapping of columns; empty where they cannot be read.
        damage: what SQLite and the schema say is wrong; empty where nothing is.
        newer: whether a newer version of the program wrote it.
    """

    version: int
    rows: Rows
    damage: list[str]
    newer: bool = False

    @property
    def change(self) -> int:
        """Number of its last transaction; 0 in older versions, which did not count them."""
        return int(next((row["number"] for row in self.rows.get("changes", [])), 0))


def snapshot(path: Path) -> Snapshot:
    """Read a journal in one transaction, perhaps while a search writes it, and check it thoroughly.

    Raises:
        InputError: no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such journal")
    try:
        with contextlib.closing(connect(uri_of(path, "ro"))) as db:
            db.execute("BEGIN")
            return _snapshot(db)
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        return Snapshot(version=0, rows={}, damage=[str(error)])


def _snapshot(db: sqlite3.Connection) -> Snapshot:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if not db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        return Snapshot(version=version, rows={}, damage=["it has no tables"])
    damage = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)")]
    damage = [] if damage == ["ok"] else damage
    wrong = _wrong_tables(db, version)
    if version > SCHEMA_VERSION and not damage and wrong != [_NUMBER.format(version)]:
        return Snapshot(version=version, rows={}, damage=[], newer=True)
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check"):
        damage.append(f"{table} {row}: refers to a row of {parent} that is not there")
    rows = rows_of(db)
    if version >= 4 and [type(row.get("number")) for row in rows.get("changes", [])] != [int]:
        damage.append("the number of its last change is missing")
    return Snapshot(version=version, rows=rows, damage=damage + wrong)


def _wrong_tables(db: sqlite3.Connection, version: int) -> list[str]:
    """What of the tables is not as in this version of the schema."""
    statements = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
    with contextlib.closing(empty()) as wanted, contextlib.closing(sqlite3.connect(":memory:")) as found:
        if _shape(db) == _shape(wanted):
            return [] if version == SCHEMA_VERSION else [_NUMBER.format(version)]
        if version not in range(1, SCHEMA_VERSION):
            return [f"its tables are not those of schema {SCHEMA_VERSION}"]
        try:  # an older version has the right tables if it becomes this one
            for sql in sorted(statements, key=lambda sql: not sql.startswith("CREATE TABLE")):
                found.execute(sql)
            for step in range(version, SCHEMA_VERSION):
                for sql in MIGRATIONS[step]:
                    found.execute(sql)
        except sqlite3.Error as error:
            return [f"its tables are not those of schema {version}: {error}"]
        return [] if _shape(found) == _shape(wanted) else [f"its tables are not those of schema {version}"]


def _shape(db: sqlite3.Connection) -> set[tuple[Any, ...]]:
    """Tables with their columns, and indexes."""
    shape: set[tuple[Any, ...]] = set()
    names = db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    for kind, name in names:
        columns = db.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (name,))
        shape |= {(kind, name, *column) for column in columns} if kind == "table" else {(kind, name)}
    return shape


def rows_of(db: sqlite3.Connection) -> Rows:
    """Every row of every table."""
    there = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    rows: Rows = {}
    for table in ALL:
        if table in there:
            cursor = db.execute(f"SELECT * FROM {table} ORDER BY rowid")  # noqa: S608
            columns = [column[0] for column in cursor.description]
            rows[table] = [dict(zip(columns, row, strict=True)) for row in cursor]
    return rows


def trial_in(row: dict[str, Any], proposed: bool) -> Trial:
    """A trial from its row, of any version.

    Raises:
        ValueError, TypeError: the row is no trial.
    """
    names = (
        *("id", "key", "protocol", "seed", "choices", "architecture", "macs", "params", "status", "attempts"),
        *("accuracy", "reward", "error", "arrival", "curve", "seconds", "baseline", "adapted"),
    )
    return trial_from_row((*(row.get(name) for name in names), proposed, row.get("reused")))


def proposal_in(row: dict[str, Any]) -> ProposalRow:
    """A proposal from its row.

    Raises:
        ValueError, TypeError: the row is no proposal.
    """
    values = {name: row[name] for name in ("id", "trial", "log_prob", "asked", "told")}
    return ProposalRow(**values, indices=tuple(json.loads(row["indices"])))


def differences(rows: Rows, others: Rows) -> list[str]:
    """What the rows of a journal and those of its history do not share, the controller's state apart."""
    found = []
    for table in TABLES:
        ours, theirs = (
            {next(iter(row.values())): row for row in side.get(table, [])} for side in (rows, others)
        )
        for number in sorted({*ours, *theirs}, key=str):
            one, other = ours.get(number), theirs.get(number)
            place = f"{table} {number}"
            if one is None or other is None:
                found.append(f"{place}: is only in the {'history' if one is None else 'journal'}")
                continue
            for name in [name for name in one if one[name] != other.get(name)]:
                found.append(
                    f"{place}: {name} is {_short(one[name])}, {_short(other.get(name))} in the history"
                )
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


# --- from the history --------------------------------------------------------------------------------


def empty() -> sqlite3.Connection:
    """A journal of this version in memory, without rows."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    return db


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a history holds.

    Attributes:
        first, last: numbers of its changes; the first holds all rows there were.
        unreadable: lines that cannot be read, or come after such a one; a last line that was cut off is none.
    """

    path: Path
    first: int
    last: int
    unreadable: int
    _changes: dict[int, list[tuple[str, tuple[Any, ...]]]]

    @classmethod
    def read(cls, path: Path) -> Past:
        """Read a history.

        Raises:
            InputError: there is none, it has a gap, or it is of another version of the schema.
        """
        schema, changes = rebuilt(path)
        if schema != SCHEMA_VERSION:
            raise InputError(f"{path}: is of schema {schema}, this version repeats schema {SCHEMA_VERSION}")
        return cls(
            path=path,
            first=min(changes),
            last=max(changes),
            unreadable=_unreadable(path),
            _changes=changes,
        )

    def journal(self, last: int | None = None) -> sqlite3.Connection:
        """The journal in memory, as it was after a change; after the last where none is given.

        Raises:
            InputError: a change cannot be repeated.
        """
        db = empty()
        # a history may come from elsewhere: its statements may change these tables and nothing else
        db.set_authorizer(_authorised)
        number = self.first
        try:
            db.execute("BEGIN")
            for number, statements in self._changes.items():
                if last is not None and number > last:
                    break
                for sql, values in statements:
                    db.execute(sql, values)
            db.execute("COMMIT")
        except (sqlite3.Error, OverflowError, ValueError, TypeError) as error:
            db.close()
            raise InputError(f"{self.path}: change {number} cannot be repeated: {error}") from None
        db.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
        return db


def _authorised(action: int, one: str | None, two: str | None, *_: str | None) -> int:
    allowed = action in _ALLOWED and two != "load_extension"
    allowed |= (action, one, two) == (sqlite3.SQLITE_PRAGMA, "user_version", None)  # is asked, not set
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _unreadable(path: Path) -> int:
    """Whole lines from the first that is no change on."""
    with path.open("rb") as file:
        lines = enumerate(file)
        for number, line in lines:
            try:
                whole = isinstance(json.loads(line), dict)
            except ValueError:
                whole = False
            if not whole:
                after = number + 1 + sum(1 for _ in lines)
                return 0 if after == number + 1 and not line.endswith(b"\n") else after - number
    return 0


# --- from what is left -------------------------------------------------------------------------------


def salvaged(path: Path, sound: Callable[[str, dict[str, Any]], bool]) -> sqlite3.Connection:
    """A journal in memory with the rows of a damaged one that can be read.

    Args:
        path: of the damaged one.
        sound: whether a row of a table is what it was; others are left out, and so is what refers to them.
    """
    db = empty()
    for table in ("evaluator", "sessions", "trials", "proposals", "recommendations", "events", "controller"):
        known = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        for row in readable_rows(path, table):
            row = {name: value for name, value in row.items() if name in known}
            if not sound(table, row):
                continue
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            with contextlib.suppress(sqlite3.Error, OverflowError):
                db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
    for table, column, parent in (
        ("proposals", "trial", "trials"),
        ("recommendations", "trial", "trials"),
    ):
        db.execute(f"DELETE FROM {table} WHERE {column} NOT IN (SELECT id FROM {parent})")  # noqa: S608
    for table in ("trials", "events"):
        db.execute(f"UPDATE {table} SET session = NULL WHERE session NOT IN (SELECT id FROM sessions)")  # noqa: S608
    for row in readable_rows(path, "changes"):
        if isinstance(row.get("number"), int):
            db.execute("UPDATE changes SET number = ?", (row["number"],))
    return db


def readable_rows(path: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table of a damaged journal that can be read, in order."""
    try:
        db = connect(uri_of(path, "ro"))
    except sqlite3.Error:
        return []
    try:
        db.execute("PRAGMA writable_schema = ON")  # opens files that are shorter than they say
        db.text_factory = _text
        rows = dict(_walk(db, table, "> ? ORDER BY rowid", -1))
        rows |= dict(_walk(db, table, "< ? ORDER BY rowid DESC", 2**62))
        missed, number, last = 0, 0, min(max(rows, default=0), FURTHEST)
        while missed < MISSES or number < last:
            number += 1
            if number in rows:
                missed = 0
                continue
            found = dict(_walk(db, table, "= ?", number))
            missed = 0 if found else missed + 1
            rows |= found
        return [rows[number] for number in sorted(rows)]
    finally:
        db.close()


def _walk(db: sqlite3.Connection, table: str, where: str, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows by their numbers, until one cannot be read."""
    with contextlib.suppress(sqlite3.Error, UnicodeError, OverflowError):
        cursor = db.execute(f"SELECT rowid, * FROM {table} WHERE rowid {where}", (start,))  # noqa: S608
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield int(row[0]), dict(zip(names[1:], row[1:], strict=True))


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


# --- putting it in place -----------------------------------------------------------------------------


def write_journal(db: sqlite3.Connection, path: Path) -> Path | None:
    """Put a journal that was made in memory in place of a damaged one, whole or not at all.

    Args:
        db: the journal.
        path: the file.

    Returns:
        Where the damaged one is now, with its ``-wal`` and ``-shm``; None where there was none.

    Raises:
        InputError: it cannot be written; nothing was changed.
    """
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        unfinished.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(unfinished)) as target:
            db.backup(target)
            if target.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("what was written cannot be read again")
        _sync(unfinished)
        aside = keep_aside(path)
        unfinished.replace(path)
        with contextlib.suppress(PermissionError):  # Windows opens no folders
            _sync(path.parent)
    except (sqlite3.Error, OSError) as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        text = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"{path}: cannot be made anew: {text}; what was there is still there") from None
    return aside


def keep_aside(path: Path) -> Path | None:
    """Keep a file that is to be replaced as ``NAME.damaged-1``, or the next number that is free.

    The write-ahead log of a journal moves away with it: it would be read into the new one.
    """
    sides = [path.with_name(path.name + ending) for ending in ("-wal", "-shm")]
    if not path.exists() and not any(side.exists() for side in sides):
        return None
    aside = _free(path)
    if path.exists():
        try:
            os.link(path, aside)
        except OSError:  # a file system without links
            shutil.copy2(path, aside)
    for side, ending in zip(sides, ("-wal", "-shm"), strict=True):
        if side.exists():
            side.replace(aside.with_name(aside.name + ending))
    return aside


def copy_aside(path: Path) -> Path:
    """Keep a copy of a journal that is whole, and is to be changed, under such a name."""
    aside = _free(path)
    with (
        contextlib.closing(connect(uri_of(path, "ro"))) as db,
        contextlib.closing(sqlite3.connect(aside)) as copy,
    ):
        db.backup(copy)
    return aside


def _free(path: Path) -> Path:
    number = 1
    while any(path.with_name(f"{path.name}.damaged-{number}{ending}").exists() for ending in ("", "-wal")):
        number += 1
    return path.with_name(f"{path.name}.damaged-{number}")


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
