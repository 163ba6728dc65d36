"""A run folder: ``runs/<name>/`` with configuration, journal, TensorBoard's logs and trained weights."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from results.history import FILE as HISTORY
from results.journal import Journal
from results.reading import JournalReader, unreadable
from results.run_folder import RunFolder
from results.scaled import by_network, chosen_of
from results.trial import Trial, ranked
from search_space import Decision, InputError, load_space
from search_space.errors import suggestion
from search_space.reference import reference_name

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Kind = Literal["search", "audit", "scaling", "finalists"]
OF_GIVEN: tuple[Kind, ...] = ("scaling", "finalists")  # given networks, each trained with several seeds
RUNS = Path("runs")
FINALISTS = "finalists.json"  # what came of finalists, in their run's folder
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Run(RunFolder):
    """A search, an audit, a run of scaling or of finalists on disk, to read."""

    @property
    def journal_path(self) -> Path:
        """The truth about the search."""
        return self.path / "journal.db"

    def is_scaling(self) -> bool:
        """Whether its configuration is one of scaling; the journal is not read.

        Raises:
            InputError: the configuration cannot be read.
        """
        config = self.config()
        return "space" not in config and ("scaling" in config or "dimensions" in config)

    def is_finalists(self) -> bool:
        """Whether its configuration is one of finalists; the journal is not read.

        Raises:
            InputError: the configuration cannot be read.
        """
        config = self.config()
        return "space" not in config and "finalists" in config

    def kind(self) -> Kind:
        """What the run holds.

        Raises:
            InputError: the configuration or the journal cannot be read.
        """
        if self.is_scaling():
            return "scaling"
        if self.is_finalists():
            return "finalists"
        with self.journal() as journal:
            return "audit" if journal.is_audit() else "search"

    def _is_grid(self) -> bool:
        """Of a run of scaling, whether it searches a grid; else it is the experiment on dimensions."""
        return self.config().get("dimensions") is None

    def unranked(self) -> str:
        """Why its candidates have no rewards to be ranked by, and what shows them; empty for a search.

        Raises:
            InputError: as `kind`.
        """
        kind, shown = self.kind(), f"nas trials {self.name} lists its trainings"
        if kind == "search":
            return ""
        what, figure = "an audit and ranks nothing", "audit.png"
        if kind == "scaling" and self._is_grid():
            what = f"a scaling search and has no rewards; {self.name}@best has its best mean accuracy"
            figure = "scaling.png"
        elif kind == "finalists":
            what = f"a run of finalists and has no rewards; {self.name}@best is the one to take"
            figure = "finalists.png"
        elif kind == "scaling":
            what, figure = "an experiment on dimensions and ranks nothing", "dimensions.png"
        path = self.path / figure
        its = f"; its figure is {path}" if path.is_file() else ""
        return f"{self.name} is {what}; {shown}{its}"

    def decisions(self) -> tuple[Decision, ...]:
        """What the controller decides, in the order of a proposal's indices.

        Raises:
            InputError: the configuration cannot be read, or holds no space.
        """
        config = self.config()
        if "space" not in config:
            raise InputError(f"{self.config_path}: space: is missing")
        return load_space(config["space"]).decisions

    def weights_path(self, trial_id: int) -> Path:
        """Where weights are kept: of baselines, of the best candidates and of the recommended one."""
        return self.path / "weights" / f"{trial_id}.safetensors"

    @contextmanager
    def journal(self) -> Iterator[JournalReader]:
        """The journal, open for reading.

        Raises:
            InputError: it is missing, no journal, or of a newer version; or damage is met while it is read.
        """
        journal = JournalReader.read(self.journal_path)
        try:
            yield journal
        except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
            raise InputError(f"{self.journal_path}: {unreadable(self.journal_path, error)}") from None
        finally:
            journal.close()

    def trials(self) -> list[Trial]:
        """Every candidate in the order of proposal."""
        with self.journal() as journal:
            return journal.candidates()

    def baselines(self) -> list[Trial]:
        """The reference networks that were put beside the candidates; some may be candidates too."""
        with self.journal() as journal:
            return journal.baselines()

    def best(self) -> Trial:
        """The finished candidate with the best observed reward.

        Raises:
            InputError: none has finished.
        """
        order = ranked(self.trials())
        if not order:
            raise InputError(self.unranked() or f"{self.name}: no candidate has finished yet")
        return order[0]

    def recommended(self) -> Trial:
        """The candidate the controller bets on; where it has named none, the best observed.

        Of a scaling search the first successful training of the point it chose, or would choose so far; of
        finalists that of the one to take.

        Raises:
            InputError: none has finished, or the run ranks nothing.
        """
        with self.journal() as journal:
            trial = journal.recommended()
        if trial is None and self.kind() == "scaling" and self._is_grid():
            return self._chosen()
        if trial is None and self.kind() == "finalists":
            return self._taken()
        return trial or self.best()

    def _taken(self) -> Trial:
        """Of finalists the first successful training of the one to take."""
        path = self.path / FINALISTS
        try:
            number = json.loads(path.read_text(encoding="utf-8"))["decision"]["trial"]
        except OSError:
            raise InputError(f"{self.name}: no finalist has been trained yet") from None
        except (ValueError, KeyError, TypeError):
            number = None
        if isinstance(number, bool) or not isinstance(number, int):
            raise InputError(f"{path}: cannot be read; the nas finalists command makes it anew")
        return self.trial(number)

    def _chosen(self) -> Trial:
        point = chosen_of(by_network(self.trials()))
        if point is None:
            raise InputError(f"{self.name}: no point of its grid has been trained yet")
        return next(trial for trial in point.trials if trial.status == "done")

    def trial(self, reference: str | int) -> Trial:
        """The trial that a reference stands for.

        Args:
            reference: an id, ``best`` (the recommended; of a scaling search the chosen), ``observed`` (the
                best observed), or the name of a baseline.

        Raises:
            InputError: no such trial.
        """
        reference = str(reference)
        if reference == "best":
            return self.recommended()
        if reference == "observed":
            return self.best()
        if not reference.isdecimal():
            return self._baseline(reference)
        with self.journal() as journal:
            trial = journal.trial(int(reference))
        if trial is None:
            what = "candidate" if self.kind() == "search" else "trial"
            raise InputError(f"{self.name}: has no {what} {reference}")
        return trial

    def _baseline(self, name: str) -> Trial:
        known = {trial.baseline or "": trial for trial in self.baselines()}
        trial = known.get(name) or known.get(reference_name(name) or "")
        if trial is None:
            its = f", or a baseline ({', '.join(known)})" if known else ""
            if why := self.unranked():
                raise InputError(f"{self.name}@{name}: after @ comes the number of a trial: {why}")
            raise InputError(
                f"{self.name}@{name}: after @ comes best or the number of a candidate, or observed "
                f"(the best observed reward){its}"
            )
        return trial

    def is_running(self) -> bool:
        """Whether a search holds the folder now."""
        lock = self.path / "search.lock"
        if not lock.exists():
            return False
        if fcntl is None:
            try:
                with FileLock(lock, timeout=0):
                    return False
            except Timeout:
                return True
        with lock.open() as file:  # a shared lock needs no right to write, and readers do not see each other
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other searches out of the folder; the system releases it when the process dies.

        Raises:
            InUseError: another search holds it.
        """
        try:
            with FileLock(self.path / "search.lock", timeout=2):
                yield
        except Timeout:
            raise InUseError(f"{self.path}: another process is at work in this folder") from None


class InUseError(InputError):
    """Another process is at work in a folder."""


def run_path(name: str, folder: Path = RUNS) -> Path:
    """The folder of a run by name, which may not leave the folder that runs lie in.

    Raises:
        InputError: the name is not one plain word.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name for a run: letters, digits, dots, dashes, underscores; no dot or dash first"
        )
    return folder / name


def check_new(name: str, folder: Path = RUNS) -> None:
    """Refuse a name for a new run that is none, or that is taken.

    Raises:
        InputError: the name is not one plain word, or there is such a folder.
    """
    path = run_path(name, folder)
    if path.exists():
        raise InputError(f"{path}: exists already; --resume continues it, --run NAME makes another")


def create_run(name: str, config_text: str) -> Run:
    """A new run folder, made whole or not at all.

    Args:
        name: of the run.
        config_text: the resolved configuration, YAML.

    Raises:
        InputError: the name is taken, or the folder cannot be written.
    """
    check_new(name)
    path = run_path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=path.parent))
    except OSError as error:
        raise InputError(f"{path}: cannot be made: {error.strerror}") from None
    try:
        unfinished.chmod(0o755)
        (unfinished / "config.yaml").write_text(config_text, encoding="utf-8")
        Journal.create(unfinished / "journal.db").close()
        os.rename(unfinished, path)  # noqa: PTH104 -- refuses a folder that is not empty
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        check_new(name)  # somebody was faster
        raise InputError(f"{path}: cannot be made: {error.strerror}") from None
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return Run(path)


def open_run(name_or_path: str | Path) -> Run:
    """A run by its name under ``runs/`` of the current directory, or by its path.

    Raises:
        InputError: there is none, with the nearest name; or it has lost its journal.
    """
    text = str(name_or_path)
    candidates = (
        [Path(text)] if "/" in text or os.sep in text or text in (".", "..") else [RUNS / text, Path(text)]
    )
    for path in candidates:
        if (path / "journal.db").is_file():
            return Run(path)
        if (path / HISTORY).is_file():
            raise InputError(f"{path}: {unreadable(path / 'journal.db', 'it is missing')}")
        if (path / "checkpoints").is_dir():
            raise InputError(f"{path}: holds a training of nas train, no search; nas status {text} shows it")
        if (path / "trainings").is_dir():
            raise InputError(
                f"{path}: holds a transfer of nas transfer, no search; nas status {text} shows it"
            )
    raise InputError(f"no run {text!r} under {RUNS}/{suggestion(text, _names())}")


def _names() -> list[str]:
    """Of all that lies under ``runs/`` with a configuration, full trainings too."""
    return [path.parent.name for path in sorted(RUNS.glob("*/config.yaml"))]


def list_runs() -> list[Run]:
    """Every run under ``runs/`` of the current directory, by name."""
    if not RUNS.is_dir():
        return []
    paths = [path for path in sorted(RUNS.iterdir()) if _NAME.fullmatch(path.name)]
    return [Run(path) for path in paths if any((path / name).is_file() for name in ("journal.db", HISTORY))]
