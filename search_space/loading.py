"""From a name or a file to an architecture or a space."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from search_space.architecture import Architecture
from search_space.errors import FieldError, InputError, suggestion
from search_space.reference import REFERENCES, reference_name
from search_space.space import SearchSpace
from search_space.stage_space import space_from_dict
from search_space.yaml_io import parse_yaml, read_yaml

_FILE_ENDINGS = (".yaml", ".yml", ".json")


def _is_file(text: str) -> bool:
    return text.endswith(_FILE_ENDINGS) or "/" in text or "\\" in text


def load_architecture(name_or_file: str | Path) -> Architecture:
    """A published architecture by name, or one from a YAML or JSON file.

    Args:
        name_or_file: ``efficientnet_b0`` … ``efficientnet_b7`` (spelling is free: ``EfficientNet-B0``),
            or a path that ends in ``.yaml``, ``.yml`` or ``.json``.

    Raises:
        InputError: no such name (with the nearest) or file, or the file breaks a rule (with its line).
    """
    text = str(name_or_file)
    name = reference_name(text)
    if name is not None:
        return REFERENCES[name]()
    if isinstance(name_or_file, str) and not _is_file(text):
        raise InputError(f"{text!r} is no known architecture{suggestion(text, REFERENCES)}")
    document = read_yaml(text)  # JSON is YAML
    try:
        return Architecture.from_dict(document.data)
    except FieldError as error:
        raise document.error(error) from None


def preset_names() -> list[str]:
    """The spaces that come with the package."""
    folder = files("search_space") / "presets"
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def load_space(name_or_file: str | Path) -> SearchSpace:
    """A space by the name of a preset, or from a YAML file.

    Raises:
        InputError: no such preset (with the nearest) or file, or the file breaks a rule (with its line).
    """
    text = str(name_or_file)
    if _is_file(text):
        document = read_yaml(text)
    elif text in preset_names():
        preset = files("search_space") / "presets" / f"{text}.yaml"
        document = parse_yaml(preset.read_text(encoding="utf-8"), f"preset {text}")
    else:
        raise InputError(f"{text!r} is no known search space{suggestion(text, preset_names())}")
    try:
        return space_from_dict(document.data)
    except FieldError as error:
        raise document.error(error) from None
