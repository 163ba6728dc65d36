"""What lies in a run folder and belongs to nothing."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nas.doctor_rows import Finding, Findings
from results import Run, Trial
from results.rebuild import keep_aside
from search_space import Architecture

HOUR, DAY = 3600.0, 86400.0
_UNFINISHED = {
    "config.yaml",
    "journal.db",
    "journal.db-wal",
    "journal.db-shm",
    "history.jsonl",
    "history.tmp",
}


@dataclass(slots=True)
class Leftovers:
    """Files of a run folder that ``--repair`` takes away.

    Attributes:
        findings: what was found.
        useless: files and folders that may be removed.
        damaged: weights that cannot be used, which are kept aside.
    """

    findings: Findings = field(default_factory=lambda: Findings("files"))
    useless: list[Path] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)

    def remove(self, run: Run) -> list[str]:
        """Take them away; what was done, one line each."""
        done = []
        for path in self.useless:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            done.append(f"{path}: removed")
        for path in self.damaged:
            aside = keep_aside(path)
            assert aside is not None
            # a search empties the folder of weights of all that is not its own
            path.unlink()
            kept = run.path / aside.name
            number = 1
            while kept.exists():
                number += 1
                kept = run.path / f"{path.name}.damaged-{number}"
            aside.rename(kept)
            done.append(f"{path}: moved to {kept}")
        return done

    def _add(self, path: Path, text: str) -> None:
        self.useless.append(path)
        self.findings.warning("leftovers", f"{path}: {text}", "--repair removes it")


def look_for_leftovers(run: Run, trials: Sequence[Trial] | None) -> Leftovers:
    """Find what belongs to nothing. No search may hold the folder.

    Args:
        run: the folder.
        trials: of its journal; None where they are not known, and then no weights are looked at.
    """
    left = Leftovers()
    scratch = run.path / ".scratch"
    if scratch.exists():
        left._add(scratch, "is left of a killed session")
    for path in sorted(run.path.rglob("*.tmp")):
        # another command may be writing its own just now; a search would hold the folder
        own = path.parent == run.path / "weights" or path.name in ("history.tmp", "journal.db.tmp")
        if path.is_file() and scratch not in path.parents and (own or _age(path) > HOUR):
            left._add(path, "was never finished")
    for path in sorted(run.path.parent.glob(f".{run.name}.*")):
        if _is_unfinished_run(path, run.name) and _age(path) > DAY:
            left._add(path, "is a run folder that was never finished")
    if trials is not None:
        for path in sorted((run.path / "weights").glob("*.safetensors")):
            _check_weights(path, {str(trial.id): trial for trial in trials}, left)
    return left


def _check_weights(path: Path, trials: dict[str, Trial], left: Leftovers) -> None:
    trial = trials.get(path.stem)
    if trial is None or trial.status != "done":
        left._add(path, "is of no trial that was trained with success")
        return
    wrong = _wrong_weights(path, trial)
    if wrong is not None:
        left.damaged.append(path)
        left.findings.error("weights", f"{path}: {wrong}", "--repair moves it aside")


def _wrong_weights(path: Path, trial: Trial) -> str | None:
    """What is wrong with weights of a trial."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        return f"cannot be read: {' '.join(str(error).split())[:200]}"
    if "architecture" not in metadata:
        return None  # of an evaluator that does not say
    try:
        network = Architecture.from_dict(json.loads(metadata["architecture"]))
        # a proxy may have been trained at another image size
        same = replace(network, image_size=trial.network().image_size).key == trial.key
    except (ValueError, TypeError) as error:
        return f"its architecture cannot be read: {error}"
    return None if same else f"is of another network than trial {trial.id}"


def _is_unfinished_run(path: Path, name: str) -> bool:
    """Whether `results.create_run` left it, with nothing else in it."""
    if not re.fullmatch(re.escape(f".{name}.") + r"[a-z0-9_]{8}", path.name) or not path.is_dir():
        return False
    return all(entry.name in _UNFINISHED and entry.is_file() for entry in _entries(path))


def _entries(path: Path) -> Iterator[Path]:
    try:
        yield from path.iterdir()
    except OSError:
        return


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def files_findings(left: Leftovers) -> list[Finding]:
    """What was found of files."""
    return left.findings.result("no leftovers, all weights can be read and are of their trials")
