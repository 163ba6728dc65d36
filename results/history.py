"""The history of a journal: every change again, as a line of text beside it.

A journal that is damaged (truncated by a bad copy, on a failing disk) is made anew from it, down to the order
of asks, tells and results. Each line is one transaction, ``{"change": number, "do": [[statement, values],
…]}``; it is written before the transaction is committed, so that of two lines of one number the later holds.
A line with ``"schema"`` starts anew: it holds all rows there were, for an empty journal of that version.
Controller states are not in it, since a replay of asks and tells gives them.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search_space import InputError

FILE = "history.jsonl"
TABLES = ("evaluator", "sessions", "trials", "proposals", "recommendations", "events", "changes")
Statement = tuple[str, tuple[Any, ...]]


class History:
    """The file, to write.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def append(self, change: int, statements: list[Statement]) -> int:
        """Add a transaction, whole or not at all.

        Returns:
            Where it begins, in bytes, for `take_back`.

        Raises:
            OSError: it cannot be written.
        """
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            whole = _whole(self._file)
            os.ftruncate(self._file, whole)  # a line that was cut off
            os.lseek(self._file, whole, os.SEEK_SET)
        begins = os.lseek(self._file, 0, os.SEEK_CUR)
        _write(self._file, _line({"change": change, "do": statements}))
        return begins

    def take_back(self, begins: int) -> None:
        """Cut off a transaction that was added and could not be committed.

        Tried again and again while a disk is full, its lines would fill the disk.
        """
        assert self._file is not None
        os.ftruncate(self._file, begins)
        os.lseek(self._file, begins, os.SEEK_SET)

    def begin(self, db: sqlite3.Connection, schema: int) -> None:
        """Start the file anew from what a journal holds now.

        Raises:
            OSError: it cannot be written.
        """
        self.close()
        unfinished = self.path.with_suffix(".tmp")
        file = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            (change,) = db.execute("SELECT number FROM changes").fetchone()
            _write(file, _line({"change": change, "schema": schema, "do": list(_rows(db))}))
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        unfinished.replace(self.path)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def last_change(path: Path) -> tuple[int, int] | None:
    """Version of the tables, and number of the last transaction, of a history; None where it says neither."""
    try:
        with path.open("rb") as file:
            schema = json.loads(file.readline())["schema"]
            return schema, json.loads(_last_line(file.fileno()))["change"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def rebuilt(path: Path) -> tuple[int, dict[int, list[Statement]]]:
    """The transactions that make a journal, by their numbers, and the version of its tables.

    Raises:
        InputError: there is no history, or it has a gap.
    """
    schema: int | None = None
    changes: dict[int, list[Statement]] = {}
    try:
        for line in _lines(path):
            if "schema" in line:
                schema, changes = line["schema"], {}
            changes[int(line["change"])] = [(sql, tuple(values)) for sql, values in line["do"]]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: is no history of a journal") from None
    if schema is None:
        raise InputError(f"{path}: is no history of a journal")
    first = min(changes)
    for number in range(first, first + len(changes)):
        if number not in changes:
            raise InputError(f"{path}: change {number} is missing")
    return schema, dict(sorted(changes.items()))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; the last may have been cut off."""
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                data = json.loads(line)
            except ValueError:
                return
            if not isinstance(data, dict):
                return
            yield data


def _rows(db: sqlite3.Connection) -> Iterator[Statement]:
    """What makes the rows of a journal again, in an empty one."""
    yield "DELETE FROM changes", ()
    for table in TABLES:
        cursor = db.execute(f"SELECT * FROM {table}")  # noqa: S608
        names = [column[0] for column in cursor.description]
        marks = ", ".join("?" * len(names))
        for row in cursor:
            yield f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", row  # noqa: S608


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _whole(file: int) -> int:
    """Where the last whole line ends, in bytes."""
    return _after_newline(file, os.fstat(file).st_size)


def _last_line(file: int) -> bytes:
    """The last whole line."""
    end = _whole(file)
    begin = _after_newline(file, end - 1)
    return os.pread(file, end - begin, begin)


def _after_newline(file: int, end: int) -> int:
    """Where the text after the last newline before a place begins."""
    while end > 0:
        begin = max(0, end - 65536)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _write(file: int, data: bytes) -> None:
    before = os.lseek(file, 0, os.SEEK_CUR)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, before)  # needs no room
        os.lseek(file, before, os.SEEK_SET)
        raise
