"""From a name or a file to an architecture or a space."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from search_space.architecture import Architecture
from search_space.errors import FieldError, InputError, suggestion
from search_space.reference import REFERENCES, reference_name
from search_space.stage_space import StageSpace, space_from_dict
from search_space.yaml_io import Document, parse_yaml, put, read_yaml

_FILE_ENDINGS = (".yaml", ".yml", ".json")


def is_file(text: str) -> bool:
    """Whether a text names a file, and not something that comes with the package."""
    return text.endswith(_FILE_ENDINGS) or "/" in text or "\\" in text


def load_architecture(name_or_file: str | Path) -> Architecture:
    """A published architecture by name, or one from a YAML or JSON file.

    Args:
        name_or_file: a name of `REFERENCES` (spelling is free: ``EfficientNet-B0``), or a path that ends in
            ``.yaml``, ``.yml`` or ``.json``.

    Raises:
        InputError: no such name (with the nearest) or file, or the file breaks a rule (with its line).
    """
    text = str(name_or_file)
    name = reference_name(text)
    if name is not None:
        return REFERENCES[name]()
    if isinstance(name_or_file, str) and not is_file(text):
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


def load_space(
    given: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> StageSpace:
    """A space by the name of a preset, from a YAML file, or from the contents of one.

    Args:
        given: the preset, the file, or a mapping.
        overrides: dotted fields and what replaces them, such as ``{"choices.kernel": [3, 5, 7]}``.

    Raises:
        InputError: no such preset (with the nearest) or file, or a rule is broken (with file and line).
    """
    return space_from_dict(resolve_space(given, overrides=overrides))


def resolve_space(
    given: str | Path | Mapping[str, Any] | Document,
    folder: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The contents of a space with everything it extends filled in, checked.

    Args:
        given: a preset's name, a file, a mapping, or a parsed document; each may ``extends`` another.
        folder: where relative file names start; the current directory by default.
        overrides: dotted fields and what replaces them.

    Raises:
        InputError: see `load_space`.
    """
    folder = folder or Path()
    document = given if isinstance(given, Document) else _document(given, folder)
    if isinstance(given, str | Path) and is_file(str(given)):
        folder = (folder / given).parent
    data, documents = _extended(document, folder, [])
    if is_file(document.source) and not isinstance(given, Document):
        data.setdefault("name", Path(document.source).stem)
    replaced: dict[str, Any] = {}
    for key, value in (overrides or {}).items():
        put(replaced, key, value)
    data = _over(data, replaced)
    try:
        space_from_dict(data)
    except FieldError as error:
        if any(_touches(error.path, key) for key in overrides or {}):
            raise InputError(f"--set {error}") from None
        # the mistake stands where the field was given last
        blamed = next((d for d in documents if error.path in d.lines), document)
        raise blamed.error(error) from None
    return data


def _touches(path: str, key: str) -> bool:
    return path == key or path.startswith((f"{key}.", f"{key}[")) or key.startswith(f"{path}.")


def _document(given: str | Path | Mapping[str, Any], folder: Path) -> Document:
    if isinstance(given, Mapping):
        return Document(dict(given), {}, "space")
    text = str(given)
    if is_file(text):
        return read_yaml(folder / text)
    if text not in preset_names():
        raise InputError(f"{text!r} is no known search space{suggestion(text, preset_names())}")
    preset = files("search_space") / "presets" / f"{text}.yaml"
    return parse_yaml(preset.read_text(encoding="utf-8"), f"preset {text}")


def _extended(document: Document, folder: Path, seen: list[str]) -> tuple[dict[str, Any], list[Document]]:
    """The document's data over those of what it extends, that over its own, and so on; and the documents,
    the topmost first."""
    data = document.data
    if not isinstance(data, dict):
        raise document.error(FieldError("the file", f"must hold keys and values, got {data!r}"))
    base = data.get("extends")
    own = {key: value for key, value in data.items() if key != "extends"}
    if base is None:
        return own, [document]
    if not isinstance(base, str):
        raise document.error(FieldError("extends", f"must be a preset's name or a file, got {base!r}"))
    place = str((folder / base).resolve()) if is_file(base) else base
    if place in seen:
        raise document.error(FieldError("extends", f"must not go in a circle, and {base} extends this"))
    try:
        under_document = _document(base, folder)
    except InputError as error:
        raise document.error(FieldError("extends", f"cannot be followed: {error}")) from None
    below = Path(under_document.source).parent if is_file(base) else folder
    under, documents = _extended(under_document, below, [*seen, place])
    return _over(under, own), [document, *documents]


def _over(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """One level over another, mapping by mapping; a reference replaces the whole skeleton below it."""
    if "reference" in over:
        under = {key: under[key] for key in ("name", "image_size", "choices") if key in under}
    return _merged(under, over)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(under)
    for key, value in over.items():
        old = both.get(key)
        both[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both
