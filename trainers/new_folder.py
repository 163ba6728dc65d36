"""A folder that appears whole or not at all: written beside its place, then renamed.

What a killed process leaves is a hidden sibling, which the next one that wants the same place removes: it
knows that nobody is at work there by a lock that the system gives back with the process.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from search_space import InputError

_LOCK = ".lock"


def check_place(target: Path, replaceable: Callable[[Path], bool], what: str, force: bool) -> None:
    """Whether a folder may be put there.

    Args:
        target: the place.
        replaceable: whether what is there may be removed.
        what: what that would have to be, in words.
        force: replace what is there, if it is that.

    Raises:
        InputError: something is there that is not to be replaced; another process is writing for this place.
    """
    if target.parent.is_dir():
        _tidy(target)
    if not target.exists():
        return
    if not replaceable(target):
        raise InputError(f"{target}: exists and is not {what} and nothing else; it is left as it is")
    if not force:
        raise InputError(f"{target}: exists; --force replaces it")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """An empty folder for the body to fill; it takes the place of `target` when the body ends.

    Where the body raises, nothing is left, and what was at `target` is untouched. The caller has made sure
    (`check_place`) that what is there may go.

    Raises:
        OSError: the parent folder cannot be written to.
    """
    made = [parent for parent in target.parents if not parent.exists()]
    folder = target.with_name(f".{target.name}.unfinished-{secrets.token_hex(4)}")
    lock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True)
        lock.acquire(timeout=0)
        yield folder
        lock.release()
        (folder / _LOCK).unlink(missing_ok=True)
        _put(folder, target)
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):  # not empty: the folder is there
                parent.rmdir()


def _put(folder: Path, target: Path) -> None:
    if not target.exists():
        folder.rename(target)
        return
    old = target.with_name(f".{target.name}.replaced-{secrets.token_hex(4)}")
    target.rename(old)
    try:
        folder.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _tidy(target: Path) -> None:
    """Remove what killed processes left; a folder that was about to be replaced comes back."""
    siblings = [path for path in target.parent.iterdir() if path.name.startswith(f".{target.name}.")]
    for old in siblings:
        if old.name.startswith(f".{target.name}.replaced-"):
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(target)
    for folder in siblings:
        if not folder.name.startswith(f".{target.name}.unfinished-"):
            continue
        try:
            with FileLock(folder / _LOCK, timeout=0):
                pass
        except Timeout:
            raise InputError(f"{target}: another process is preparing it") from None
        except OSError:
            if not folder.exists():
                continue
            raise
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
