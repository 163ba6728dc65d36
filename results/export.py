"""Handing an architecture over: YAML, JSON, and trained weights as safetensors."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from search_space import Architecture, InputError, timm_arguments
from search_space.errors import suggestion

_FILES = {
    "yaml": "architecture.yaml",
    "json": "architecture.json",
    "timm": "architecture.timm.json",
    "safetensors": "weights.safetensors",
}
FORMATS = tuple(_FILES)


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
    if ending == "yml":
        return "yaml"
    if ending not in FORMATS:
        raise InputError(f"{path}: must be a folder, or end in .yaml, .json or .safetensors")
    return ending


def export(
    architecture: Architecture,
    destination: Path,
    weights: Path | None = None,
    *,
    note: str = "",
    kind: str | None = None,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> list[Path]:
    """Write an architecture to a file, or everything there is of it into a folder.

    Args:
        architecture: what to hand over.
        destination: a file that ends in ``.yaml``, ``.json`` or ``.safetensors``, or a folder.
        weights: trained weights, where there are any.
        note: a comment for the YAML file, such as where the network comes from.
        kind: the one format to write, whatever the file's ending.
        num_classes, in_channels: of the network, for timm's arguments.

    Returns:
        The files written.

    Raises:
        InputError: weights are asked for and there are none, or a file cannot be written.
    """
    if kind is not None and kind not in FORMATS:
        raise InputError(f"format must be {', '.join(FORMATS)}, got {kind!r}{suggestion(kind, FORMATS)}")
    wanted = format_of(destination) if kind is None else kind
    if kind is not None and (destination.is_dir() or not destination.suffix):
        destination = destination / _FILES[kind]
    if wanted is None:
        files = {kind: destination / _FILES[kind] for kind in ("yaml", "json")}
        if weights is not None:
            files["safetensors"] = destination / _FILES["safetensors"]
    else:
        files = {wanted: destination}
    if "safetensors" in files and weights is None:
        raise InputError(f"{architecture.name} has no trained weights to export")
    elsewhere = destination / _FILES["safetensors"]
    if wanted is None and weights is None and elsewhere.exists():
        raise InputError(f"{elsewhere}: is of another export, and {architecture.name} has no weights")
    if weights is not None and not os.access(weights, os.R_OK):
        raise InputError(f"{weights}: cannot be read")
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    writers: dict[str, Callable[[Path], object]] = {
        "yaml": lambda path: path.write_text(comment + architecture.to_yaml(), encoding="utf-8"),
        "json": lambda path: path.write_text(
            json.dumps(architecture.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        ),
        "timm": lambda path: path.write_text(
            json.dumps(timm_arguments(architecture, num_classes, in_channels), indent=2) + "\n",
            encoding="utf-8",
        ),
        "safetensors": lambda path: shutil.copyfile(weights or "", path),
    }
    for kind, path in files.items():
        write_whole(path, writers[kind])
    return list(files.values())


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
