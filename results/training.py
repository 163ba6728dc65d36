"""A full training on disk: ``runs/<name>/`` with configuration, checkpoints, measurements and the network.

There is no journal in it: one training is one row, and its latest checkpoint is the truth. ``metrics.jsonl``
is written from it after every epoch.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.export import write_whole
from results.folders import find_folder, list_folders, open_folder
from results.run import RUNS, Run, check_new, run_path
from results.run_folder import RunFolder
from search_space import InputError

CHECKPOINTS, METRICS, MODEL, FAILURE = "checkpoints", "metrics.jsonl", "model.safetensors", "failure.json"


@dataclass(frozen=True, slots=True)
class TrainingRun(RunFolder):
    """A full training, to read."""

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, see `trainers.checkpoints`."""
        return self.path / CHECKPOINTS

    @property
    def model_path(self) -> Path:
        """The trained network; it is there when the training has finished."""
        return self.path / MODEL

    def measurements(self) -> list[dict[str, float]]:
        """What was measured after every epoch: ``accuracy`` and the metrics.

        Raises:
            InputError: the file is damaged.
        """
        path = self.path / METRICS
        if not path.is_file():
            return []
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read: {error}; the next epoch writes it anew") from None

    def failure(self) -> dict[str, Any] | None:
        """Why the training gave up, with the images of the step where it did; None where it did not."""
        path = self.path / FAILURE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return {"error": f"{path}: cannot be read: {error}"}
        return found if isinstance(found, dict) else {"error": f"{path}: is damaged"}

    def state(self) -> str:
        """``running``, ``finished``, ``failed`` or ``stopped`` (it can go on).

        A failure counts where there is no trained network: one that is there was trained to the end.
        """
        if Run(self.path).is_running():
            return "running"
        if self.model_path.is_file():
            return "finished"
        return "stopped" if self.failure() is None else "failed"

    def write_measurements(self, measurements: Sequence[Mapping[str, float]]) -> None:
        """Replace what was measured; see `write_whole`."""
        lines = "".join(f"{json.dumps(dict(values))}\n" for values in measurements)
        write_whole(self.path / METRICS, lambda path: path.write_text(lines, encoding="utf-8"))

    def write_failure(self, failure: Mapping[str, Any] | None) -> None:
        """Say why the training gave up; None takes that back."""
        path = self.path / FAILURE
        if failure is None:
            path.unlink(missing_ok=True)
            return
        text = json.dumps(dict(failure), indent=2) + "\n"
        write_whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def is_training(path: Path) -> bool:
    """Whether a folder holds a full training: checkpoints, or what is left without them of one that has
    finished; and no journal of a search."""
    if not (path / "config.yaml").is_file():
        return False
    if any((path / name).exists() for name in ("journal.db", "history.jsonl")):
        return False
    return (path / CHECKPOINTS).is_dir() or all((path / name).is_file() for name in (METRICS, MODEL))


def create_training(name: str, config_text: str, folder: Path = RUNS) -> TrainingRun:
    """A new folder for a training, made whole or not at all.

    Args:
        name: of the training.
        config_text: the resolved configuration, YAML.
        folder: that it lies in.

    Raises:
        InputError: the name is taken, or the folder cannot be written.
    """
    return TrainingRun(create_folder(name, config_text, CHECKPOINTS, folder))


def create_folder(name: str, config_text: str, inner: str, folder: Path = RUNS) -> Path:
    """A new run's folder with its configuration and an empty folder in it; see `create_training`."""
    check_new(name, folder)
    path = run_path(name, folder)
    unfinished: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=path.parent))
        unfinished.chmod(0o755)
        (unfinished / "config.yaml").write_text(config_text, encoding="utf-8")
        (unfinished / inner).mkdir()
        os.rename(unfinished, path)  # noqa: PTH104 -- refuses a folder that is not empty
    except OSError as error:
        check_new(name, folder)  # somebody was faster
        raise InputError(f"{path}: cannot be made: {error.strerror}") from None
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
    return path


def find_training(name_or_path: str | Path) -> TrainingRun | None:
    """A training by its name under ``runs/`` of the current directory, or by its path; None where there is
    none."""
    path = find_folder(name_or_path, is_training)
    return None if path is None else TrainingRun(path)


def open_training(name_or_path: str | Path) -> TrainingRun:
    """The same, which must be there.

    Raises:
        InputError: there is none, with the nearest name.
    """
    return TrainingRun(open_folder(name_or_path, is_training, "training"))


def list_trainings() -> list[TrainingRun]:
    """Every full training under ``runs/`` of the current directory, by name."""
    return [TrainingRun(path) for path in list_folders(is_training)]
