"""Checkpoints of full training: one safetensors file each, so that no code is in them.

The file of a network, which `nas.load_weights` reads too, holds its tensors by their names (of the moving
average, where there is one) and in its metadata ``architecture`` and ``checkpoint`` (`CheckpointFacts`, as
JSON): all that is needed to build the network and to feed it images. A checkpoint to go on from also holds,
under ``resume/``, the weights that are trained and the optimiser's state. There are no generators in it: all
randomness of a step is drawn from the training's seed and the step's number.

``epoch-0012.safetensors`` was written after 12 epochs, ``epoch-0012-step-00350.safetensors`` after 350 steps
of the thirteenth.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from search_space import Architecture, InputError

VERSION = 1
IMPORTED = 0  # instead of the trainer's version
RESUME = "resume/"
BEST = "best.safetensors"
_NAME = re.compile(r"epoch-(\d{4,})(?:-step-(\d{5,}))?\.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFacts:
    """What a checkpoint says of its network.

    Attributes:
        num_classes, in_channels: of the network.
        class_names: an output is an index into these.
        mean, std: of the training images, a channel, in units of 0 to 1: what images are normalised by.
        image_size: pixels that the network was trained and measured at.
        measured_crop: side of the central part of an image that was measured, as a share.
        data: name of the data set.
        data_fingerprint: of its training and validation images.
        recipe: the fields of the `Recipe`.
        trainer_version: of full training's code; what it trains changed with the number. `IMPORTED` where
            the weights were trained elsewhere.
        seed: of the training.
        epoch: whole epochs that are done.
        step: steps of the next epoch that are done.
        epochs: of the whole training.
        accuracy: on the validation images, 0 to 1, as last measured; None before the first time.
        best_accuracy, best_epoch: the highest so far; None before the first time.
        curve: what was measured after every epoch, by name.
        seconds: of training, in all sessions.
        origin: where the network comes from, in words; empty where that is not known.
        start: what the training started from and how (`trainers.finetuning.Start`); None are drawn weights.
    """

    num_classes: int
    in_channels: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    measured_crop: float
    data: str
    data_fingerprint: str
    recipe: Mapping[str, Any]
    trainer_version: int
    seed: int
    epoch: int
    step: int
    epochs: int
    accuracy: float | None
    best_accuracy: float | None
    best_epoch: int | None
    curve: tuple[Mapping[str, float], ...]
    seconds: float
    origin: str
    start: Mapping[str, Any] | None = None

    @property
    def imported(self) -> bool:
        """Whether the weights were trained elsewhere: then recipe, seed and epochs say nothing."""
        return self.trainer_version == IMPORTED

    @property
    def prepared_size(self) -> int:
        """Pixels of prepared images whose measured part is `image_size` pixels: nothing is resized twice."""
        return round(self.image_size / self.measured_crop)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file of a trained network, open to read.

    Attributes:
        path: of the file.
        architecture: of the network.
        facts: about its training.
        resumable: whether a training can go on from it.
    """

    path: Path
    architecture: Architecture
    facts: CheckpointFacts
    resumable: bool

    def network(self, device: str = "cpu", image_size: int | None = None) -> nn.Module:
        """The trained network, in eval mode.

        Args:
            device: where it is to be.
            image_size: pixels that it is to take; None is its own size.

        Raises:
            FieldError: the image is smaller than the network's total stride.
            InputError: the file is damaged, or its tensors are not those of its architecture.
        """
        facts = self.facts
        size = self.architecture.image_size if image_size is None else image_size
        model = replace(self.architecture, image_size=size).build(facts.num_classes, facts.in_channels)
        tensors = self.tensors()
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise InputError(f"{self.path}: its tensors are not of its architecture: {first}") from None
        return model.to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the network that was measured, by name.

        Raises:
            InputError: the file is damaged.
        """
        return network_tensors(self.path)

    def state(self) -> dict[str, Tensor]:
        """What a training goes on from, by name without ``resume/``.

        Raises:
            InputError: the file is damaged.
        """
        return _tensors(self.path, resume=True)


def is_checkpoint(path: Path | str) -> bool:
    """Whether a file of weights is a checkpoint of full training, of whatever version.

    Raises:
        InputError: no such file, or no safetensors.
    """
    return "checkpoint" in _metadata(path)


def _metadata(path: Path | str) -> dict[str, str]:
    from safetensors import safe_open

    with readable(path), safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def read_checkpoint(path: Path | str) -> Checkpoint:
    """A checkpoint's facts; its tensors are not read.

    Raises:
        InputError: no such file, no safetensors, no checkpoint of full training, or one of another version.
    """
    path = Path(path)
    with readable(path):
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            resumable = any(name.startswith(RESUME) for name in file.keys())  # noqa: SIM118
    if "checkpoint" not in metadata or "architecture" not in metadata:
        raise InputError(f"{path}: holds weights, and no checkpoint of nas train")
    try:
        document = json.loads(metadata["checkpoint"], parse_constant=_no_number)
        version = document.pop("version")
        if version != VERSION:
            raise InputError(f"{path}: is a checkpoint of version {version!r}, this program reads {VERSION}")
        document.setdefault("origin", "")  # which the first of this version did not say
        document.setdefault("start", None)
        values = {field.name: document[field.name] for field in fields(CheckpointFacts)}
        for name in ("class_names", "mean", "std", "curve"):
            values[name] = tuple(values[name])
        _check_facts(values)
        architecture = Architecture.from_dict(json.loads(metadata["architecture"]))
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: its metadata are damaged: {type(error).__name__} {error}") from None
    return Checkpoint(path, architecture, CheckpointFacts(**values), resumable)


def _no_number(text: str) -> float:
    """NaN and infinity, which `json` would read."""
    raise ValueError(f"{text} is no number")


_NUMBERS = {  # the least value of each
    "num_classes": 1, "in_channels": 1, "image_size": 1, "seed": 0, "epoch": 0, "step": 0, "epochs": 1,
}  # fmt: skip


def _check_facts(values: Mapping[str, Any]) -> None:
    """Refuse facts that no training can have written.

    Raises:
        ValueError: with the name of the fact.
    """
    for name, least in _NUMBERS.items():
        if type(values[name]) is not int or values[name] < least:
            raise ValueError(f"{name}: {values[name]!r}")
    for name, kind in (("data", str), ("data_fingerprint", str), ("recipe", Mapping), ("origin", str)):
        if not isinstance(values[name], kind):
            raise ValueError(f"{name}: {values[name]!r}")
    for name, number in (("mean", "in_channels"), ("std", "in_channels"), ("class_names", "num_classes")):
        kinds = (str,) if name == "class_names" else (int, float)
        if len(values[name]) != values[number] or not all(type(value) in kinds for value in values[name]):
            raise ValueError(f"{name}: must be {values[number]}, the {number}")
    for name in ("measured_crop", "seconds", "accuracy", "best_accuracy"):
        if values[name] is None and name.endswith("accuracy"):
            continue
        if type(values[name]) not in (int, float) or not math.isfinite(values[name]):
            raise ValueError(f"{name}: {values[name]!r}")
    if not 0.05 <= values["measured_crop"] <= 1.0:  # as in a recipe
        raise ValueError(f"measured_crop: {values['measured_crop']!r}")
    if not isinstance(values["start"], Mapping | None):
        raise ValueError(f"start: {values['start']!r}")
    if values["best_epoch"] is not None and type(values["best_epoch"]) is not int:
        raise ValueError(f"best_epoch: {values['best_epoch']!r}")
    if not all(isinstance(epoch, Mapping) for epoch in values["curve"]):
        raise ValueError("curve: must hold what was measured after every epoch")


def write_checkpoint(
    path: Path,
    model: nn.Module,
    architecture: Architecture,
    facts: CheckpointFacts,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint whole or not at all, also where the power fails.

    Args:
        path: of the file.
        model: what was measured; its tensors go under their names.
        architecture: of it.
        facts: about the training.
        state: what a training goes on from; None writes the network alone.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: _plain(value) for name, value in model.state_dict().items()}
    tensors |= {RESUME + name: _plain(value) for name, value in (state or {}).items()}
    metadata = {
        "architecture": json.dumps(architecture.to_dict()),
        "checkpoint": json.dumps({"version": VERSION, **asdict(facts)}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, unfinished, metadata=metadata)
        unfinished.chmod(0o644)  # safetensors writes for the owner alone
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (SafetensorError, OSError) as error:
        raise _with_path(error, path) from None
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _with_path(error: Exception, path: Path) -> OSError:
    """Why a file could not be written, as the system says it; safetensors has its number in words only."""
    said = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else said and int(said[1])
    return OSError(number, os.strerror(number) if number else str(error), str(path))


def _plain(value: Tensor) -> Tensor:
    """On the host, contiguous, and no view of another tensor."""
    return value.detach().cpu().contiguous().clone()


def _sync_folder(folder: Path) -> None:
    """Make a rename last; Windows has no such thing."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def checkpoint_path(folder: Path, epoch: int, step: int = 0) -> Path:
    """Where the checkpoint after so many epochs, and steps of the next, lies."""
    name = f"epoch-{epoch:04d}" + (f"-step-{step:05d}" if step else "")
    return folder / f"{name}.safetensors"


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a training, the latest first; without the best."""
    found = []
    if folder.is_dir():
        for path in folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match:
                found.append(((int(match[1]), int(match[2] or 0)), path))
    return [path for _, path in sorted(found, reverse=True)]


def prune(written: Path, keep: int) -> None:
    """Remove checkpoints older than the latest `keep`, and what killed processes left; the best stays.

    Args:
        written: the checkpoint that was just written, which is the first to be kept: later ones were found
            to be damaged, and count for nothing.
        keep: how many are kept.
    """
    folder = written.parent
    paths = checkpoints_in(folder)
    for path in paths[paths.index(written) + keep :]:
        path.unlink(missing_ok=True)
    for path in folder.glob(".*.safetensors.*.tmp"):
        path.unlink(missing_ok=True)


def check_there(path: Path | str) -> None:
    """Refuse a path that names no file which can be read.

    Raises:
        InputError: it is not there, or cannot be read.
    """
    try:
        there = Path(path).is_file()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there:
        raise InputError(f"{path}: no such file of weights; no pretrained weights come with this package")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read")


@contextmanager
def readable(path: Path | str) -> Iterator[None]:
    """Say in one line what is wrong with a file of weights.

    Raises:
        InputError: it is not there, cannot be read, or is no safetensors.
    """
    from safetensors import SafetensorError

    check_there(path)
    try:
        yield
    except SafetensorError as error:
        raise InputError(f"{path}: cannot be read as safetensors: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def network_tensors(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a network by name, without what a training goes on from.

    Raises:
        InputError: no such file, no safetensors, or a damaged one.
    """
    return _tensors(path, resume=False)


def _tensors(path: Path | str, *, resume: bool) -> dict[str, Tensor]:
    from safetensors import safe_open

    with readable(path), safe_open(path, framework="pt") as file:
        return {
            name.removeprefix(RESUME): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118
            if name.startswith(RESUME) is resume
        }
