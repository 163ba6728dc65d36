"""Handing an architecture over: as a description, as source, as a graph, and trained weights as safetensors.

A bundle, which is all of it with a proof, is made by `results.exporting.bundle`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from search_space import Architecture, InputError, timm_arguments
from search_space.errors import suggestion

if TYPE_CHECKING:
    from results.exporting.bundle import Subject

logger = logging.getLogger(__name__)

FILES = {
    "yaml": "architecture.yaml",
    "json": "architecture.json",
    "timm": "architecture.timm.json",
    "safetensors": "weights.safetensors",
    "python": "model.py",
    "pt2": "model.pt2",
    "onnx": "model.onnx",
}
FORMATS = tuple(FILES)
DESCRIPTIONS = ("yaml", "json", "timm", "python")  # which need neither weights nor torch
_ENDINGS = {"yml": "yaml", "py": "python", **{kind: kind for kind in FORMATS if kind != "python"}}
_KNOWN_ENDINGS = ".yaml, .json, .timm.json, .safetensors, .py, .onnx or .pt2"


def format_of(path: Path) -> str | None:
    """The format that a file's ending asks for, or None for a folder.

    Raises:
        InputError: an ending that is no known format.
    """
    ending = path.suffix.removeprefix(".").lower()
    if not ending or path.is_dir():
        return None
    if path.name.endswith(".timm.json"):
        return "timm"
    if ending not in _ENDINGS or ending == "timm":
        raise InputError(f"{path}: must be a folder, or end in {_KNOWN_ENDINGS}")
    return _ENDINGS[ending]


def wanted_format(destination: Path, kind: str | None) -> str | None:
    """The one format that is asked for, by name or by a file's ending; None for a folder of what there is.

    Raises:
        InputError: no such format, or an ending that is none.
    """
    if kind is not None and kind not in FORMATS:
        raise InputError(f"format must be {', '.join(FORMATS)}, got {kind!r}{suggestion(kind, FORMATS)}")
    return format_of(destination) if kind is None else kind


def export(
    architecture: Architecture,
    destination: Path,
    weights: Path | None = None,
    *,
    note: str = "",
    kind: str | None = None,
    num_classes: int = 1000,
    in_channels: int = 3,
    subject: Subject | None = None,
    opset: int | None = None,
) -> list[Path]:
    """Write an architecture to a file, or its description and its weights into a folder.

    Args:
        architecture: what to hand over.
        destination: a file by its ending, or a folder.
        weights: trained weights, where there are any, to be copied as they are.
        note: a comment for people, such as where the network comes from.
        kind: the one format to write, whatever the file's ending.
        num_classes, in_channels: of the network, for timm's arguments and the source.
        subject: the network with its weights, which graphs are made of, and weights where no file is copied.
        opset: version of ONNX's operators; None is the default.

    Returns:
        The files written.

    Raises:
        InputError: weights are asked for and there are none, a library is missing, or a file cannot be
            written.
    """
    trained = weights is not None or (subject is not None and subject.provenance.weights != "untrained")
    files = files_of(destination, kind, weights=trained)
    if subject is None and weights is None and "safetensors" in files:
        raise InputError(f"{architecture.name} has no trained weights to export")
    elsewhere = destination / FILES["safetensors"]
    if len(files) > 1 and not trained and elsewhere.exists():
        raise InputError(f"{elsewhere}: is of another export, and {architecture.name} has no weights")
    if weights is not None and not os.access(weights, os.R_OK):
        raise InputError(f"{weights}: cannot be read")
    for kind, path in files.items():
        if kind == "safetensors" and weights is not None:
            content = weights.read_bytes()
        elif kind in DESCRIPTIONS:
            content = description(kind, architecture, num_classes, in_channels, note)
        else:
            content = _of_subject(kind, subject, opset)
        _retract_proof(path)
        write_whole(path, lambda unfinished, content=content: unfinished.write_bytes(content))  # type: ignore[misc]
    return list(files.values())


def files_of(destination: Path, kind: str | None = None, *, weights: bool = False) -> dict[str, Path]:
    """The files that `export` writes, by format.

    Args:
        destination, kind: see there.
        weights: whether there are some, which a folder gets too.

    Raises:
        InputError: no such format, or an ending that is none.
    """
    wanted = wanted_format(destination, kind)
    if wanted is None:
        kinds = ("yaml", "json", "safetensors") if weights else ("yaml", "json")
        return {each: destination / FILES[each] for each in kinds}
    if kind is not None and (destination.is_dir() or not destination.suffix):
        return {wanted: destination / FILES[wanted]}
    return {wanted: destination}


def _retract_proof(path: Path) -> None:
    """A bundle's proof and card say nothing of a file that takes the place of one of its files."""
    from results.exporting.bundle import retract_proof

    if path.name in FILES.values() and path.exists() and retract_proof(path.parent):
        logger.warning("%s: its verify.json and card are removed, as %s is replaced", path.parent, path.name)


def _of_subject(kind: str, subject: Subject | None, opset: int | None) -> bytes:
    from results.exporting.bundle import content_of
    from results.exporting.graphs import OPSET

    if subject is None:
        raise InputError(f"{FILES[kind]} needs the network with its weights (subject)")
    return content_of(kind, subject, opset=OPSET if opset is None else opset)


def description(
    kind: str, architecture: Architecture, num_classes: int = 1000, in_channels: int = 3, note: str = ""
) -> bytes:
    """What a file of one of `DESCRIPTIONS` holds.

    Args:
        kind: of them.
        architecture: the network.
        num_classes, in_channels: for timm's arguments and the source.
        note: where the network comes from, for people.

    Raises:
        FieldError: timm's strings cannot say the network.
    """
    if kind == "python":
        from results.exporting.source import model_source

        return model_source(architecture, num_classes, in_channels, note=note).encode()
    if kind == "yaml":
        comment = "".join(f"# {line}\n" for line in note.splitlines())
        return (comment + architecture.to_yaml()).encode()
    if kind == "json":
        return (json.dumps(architecture.to_dict(), indent=2, ensure_ascii=False) + "\n").encode()
    arguments = timm_arguments(architecture, num_classes, in_channels)
    return (json.dumps(arguments, indent=2) + "\n").encode()


def file_stem(name: str) -> str:
    """A file's stem from a network's name: no separators, no leading dot."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".") or "network"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all.

    Args:
        path: the file, or a link to it; no device or pipe, which the file would take the place of.
        write: writes it to the path it is given.

    Raises:
        InputError: it cannot be written; what was there before is still there.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        raise InputError(f"{path}: cannot be written: it is a device or a pipe, and not a file")
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(unfinished)
        unfinished.replace(target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
