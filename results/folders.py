"""Folders under ``runs/`` of the current directory, by what they hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from results.run import RUNS
from search_space import InputError
from search_space.errors import suggestion

Holds = Callable[[Path], bool]


def find_folder(name_or_path: str | Path, holds: Holds) -> Path | None:
    """A folder of what is looked for, by its name under ``runs/`` or by its path; None if it is none."""
    text = str(name_or_path)
    is_path = "/" in text or os.sep in text or text in (".", "..")
    paths = [Path(text)] if is_path else [RUNS / text, Path(text)]
    return next((path for path in paths if holds(path)), None)


def open_folder(name_or_path: str | Path, holds: Holds, what: str) -> Path:
    """The same, which must be there.

    Args:
        name_or_path: of the folder.
        holds: whether a folder is one.
        what: is looked for, in a word.

    Raises:
        InputError: there is none, with the nearest name.
    """
    found = find_folder(name_or_path, holds)
    if found is None:
        near = suggestion(str(name_or_path), [path.name for path in list_folders(holds)])
        raise InputError(f"no {what} {str(name_or_path)!r} under {RUNS}/{near}")
    return found


def list_folders(holds: Holds) -> list[Path]:
    """Every such folder under ``runs/``, by name."""
    if not RUNS.is_dir():
        return []
    return [path for path in sorted(RUNS.iterdir()) if not path.name.startswith(".") and holds(path)]
