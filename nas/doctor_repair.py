"""What can be mended of a run folder. Nothing is destroyed: what is replaced is kept beside it.

A journal that cannot be used is made anew from its history; without one, of the rows that can be read. The
controller's state comes from a replay.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from pathlib import Path
from typing import Any

from nas.config import SearchConfig
from nas.controller_state import loaded
from nas.doctor import REUSE, Examination, Replays
from nas.doctor_files import look_for_leftovers
from nas.doctor_rows import Content, check_trials, content_of
from nas.doctor_scaling import members_of
from nas.finalists_config import FinalistsConfig
from nas.replay import space_of
from nas.scaling_config import ScalingConfig
from results import Journal
from results.history import FILE as HISTORY
from results.rebuild import copy_aside, keep_aside, readable_rows, rows_of, salvaged, write_journal
from search_space import FieldError, InputError


def repair(found: Examination, replays: Replays) -> list[str]:
    """Mend what can be mended; the folder's lock must be held.

    Args:
        found: what is wrong.
        replays: makes replays.

    Returns:
        What was done and what could not be, one line each.

    Raises:
        InputError: there is nothing to make a journal of, or no room.
    """
    try:
        done = _mend(found, replays)
        left = found.left
        if found.journal != "sound" and found.past is not None and not found.past.unreadable:
            with found.run.journal() as journal:  # now it is known which weights are of no trial
                left = look_for_leftovers(found.run, journal.trials())
        return done + left.remove(found.run)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        text = "the disk is full" if full else error.strerror or str(error)
        raise InputError(f"{found.run.path}: cannot be repaired: {text}; nothing was lost") from None


def _mend(found: Examination, replays: Replays) -> list[str]:
    """Journal, history and controller."""
    run, notes = found.run, []
    if found.journal != "sound":
        notes = _journal_anew(found, replays)
    elif found.history in ("damaged", "differs"):
        notes.append(
            f"{run.path / HISTORY}: begun anew from the journal{_kept(_set_aside(run.path / HISTORY))}"
        )
    elif found.history in ("missing", "behind"):
        notes.append(f"{run.path / HISTORY}: begun anew from the journal")
    if found.journal == "sound" and found.controller == "lost":
        notes += _controller_anew(found, replays)
    if notes and run.journal_path.is_file():
        journal = Journal.open(run.journal_path)  # begins a history where there is none
        try:
            journal.note("repaired", "; ".join(notes))
        finally:
            journal.close()
    return notes


def _set_aside(path: Path) -> Path | None:
    aside = keep_aside(path)
    path.unlink(missing_ok=True)
    return aside


def _kept(aside: Path | None) -> str:
    return "" if aside is None else f"; what was there is now {aside.name}"


# --- the journal -------------------------------------------------------------------------------------


def _journal_anew(found: Examination, replays: Replays) -> list[str]:
    path, past = found.run.journal_path, found.past
    rescued = _rescued(found) if path.is_file() and (past is None or past.unreadable) else None
    db = None if past is None else past.journal()
    if db is None or (rescued is not None and _results(rescued, found) > _results(db, found)):
        db, past = rescued, None
    if db is None or not (past is not None or _results(db, found)):
        raise InputError(
            f"{path}: no result in it can be read, and no {HISTORY} can be used; nothing was changed"
        )
    with contextlib.closing(db):
        notes, whole = _fill_controller(db, found, replays)
        content = content_of(rows_of(db), found.config)
        held = f"{content.results} results and {len(content.proposals)} proposals"
        kept = _kept(write_journal(db, path))
    if past is None:
        first = (
            f"{path}: made anew of what can be read of it, {held}; whether there were more is unknown{kept}"
        )
    else:
        lost = f"; {past.unreadable} lines of it cannot be read" if past.unreadable else ""
        first = f"{path}: made anew from {HISTORY}, {held}{lost}{kept}"
    if past is None or past.unreadable or not whole:
        aside = _set_aside(found.run.path / HISTORY)
        if aside is not None:
            notes.append(f"{found.run.path / HISTORY}: begun anew from the journal{_kept(aside)}")
    return [first, *notes]


def _rescued(found: Examination) -> sqlite3.Connection:
    """The journal that can be read of a damaged one: rows that are not what they were are left out."""
    path, config, space = found.run.journal_path, found.config, None
    evaluator = readable_rows(path, "evaluator")[:1]
    facts = content_of({"evaluator": evaluator}, config).facts
    if isinstance(config, SearchConfig) and facts is not None:
        with contextlib.suppress(FieldError, InputError):
            space = space_of(config, facts)

    members = None
    if isinstance(config, ScalingConfig) and facts is not None:
        with contextlib.suppress(FieldError, InputError):
            members = members_of(config, facts)

    def sound(table: str, row: dict[str, Any]) -> bool:
        if table != "trials" or facts is None:
            return True
        alone = content_of({"trials": [row], "evaluator": evaluator}, config)
        return all(finding.severity != "error" for finding in check_trials(alone, config, space, members))

    return salvaged(path, sound)


def _results(db: sqlite3.Connection, found: Examination) -> int:
    return content_of(rows_of(db), found.config).results


# --- the controller ----------------------------------------------------------------------------------


def _fill_controller(db: sqlite3.Connection, found: Examination, replays: Replays) -> tuple[list[str], bool]:
    """Give a journal in memory the controller's state.

    Returns:
        What could not be done, in words; and whether all asks and tells are still there.
    """
    content = content_of(rows_of(db), found.config)
    if not content.proposals:
        return [], True
    last = max(max(row.asked, row.told or 0) for row in content.proposals)
    version = last
    state, wrong = _replayed(found, content, replays)
    if state is None:
        version, state = _old_state(found.run.journal_path)
    if state is None or (version < last and not _rewound(db, version)):
        db.execute("DELETE FROM controller")
        return [f"the controller's state cannot be made again: {wrong}; {REUSE}"], True
    db.execute("INSERT OR REPLACE INTO controller VALUES (1, ?, ?)", (version, state))
    if version >= last:
        return [], True
    text = f"the controller's state is that of step {version}, what came after it is asked and told again"
    return [f"{text}: {wrong}"], False


def _old_state(path: Path) -> tuple[int, bytes | None]:
    """The state of a journal that is to be replaced, with its version, where it can be read."""
    for row in readable_rows(path, "controller") if path.is_file() else []:
        with contextlib.suppress(ValueError, TypeError):
            loaded(row["state"])
            return int(row["version"]), row["state"]
    return 0, None


def _rewound(db: sqlite3.Connection, version: int) -> bool:
    """Take back the asks and tells after a step; not where a result would be left without its proposal."""
    orphans = (
        "baseline IS NULL AND id IN (SELECT trial FROM proposals WHERE asked > :step) "
        "AND id NOT IN (SELECT trial FROM proposals WHERE asked <= :step)"
    )
    step = {"step": version}
    if db.execute(f"SELECT 1 FROM trials WHERE arrival IS NOT NULL AND {orphans}", step).fetchone():  # noqa: S608
        return False
    db.execute(f"DELETE FROM trials WHERE {orphans}", step)  # noqa: S608
    db.execute("DELETE FROM proposals WHERE asked > :step", step)
    db.execute("UPDATE proposals SET told = NULL WHERE told > :step", step)
    db.execute("DELETE FROM recommendations WHERE version > :step", step)
    return True


def _replayed(found: Examination, content: Content, replays: Replays) -> tuple[bytes | None, str]:
    """The state that a replay gives, or why it gives none."""
    if isinstance(found.config, ScalingConfig | FinalistsConfig):
        return None, f"a run of {content.kind} has no controller"
    if found.config is None or content.facts is None:
        return None, "config.yaml cannot be read" if found.config is None else "its evaluator is not known"
    try:
        again = replays.of(found.config, content)
    except (FieldError, InputError) as error:
        return None, str(error)
    if again.wrong is not None:
        return None, again.wrong
    return again.state(), ""


def _controller_anew(found: Examination, replays: Replays) -> list[str]:
    """Replace the state of a journal that is sound but for it."""
    content, path = found.content, found.run.journal_path
    assert content is not None
    state, _ = _replayed(found, content, replays)
    if state is None:
        return []  # the findings say so
    kept = ""
    if content.state is not None:
        kept = f"; the journal as it was is now {copy_aside(path).name}"
    version = max(max(row.asked, row.told or 0) for row in content.proposals)
    text = f"{path}: the controller's state is that of a replay of {version} asks and tells{kept}"
    journal = Journal.open(path)
    try:
        journal.restore_controller(version, state, text)
    finally:
        journal.close()
    return [text]
