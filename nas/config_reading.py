"""From a YAML file and what is typed over it to a model that is checked, with errors of one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nas.config_sections import Section
from search_space import Document, FieldError, InputError, read_yaml
from search_space.errors import suggestion
from search_space.yaml_io import parse_override, put

Model = TypeVar("Model", bound=Section)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a user gave: a file, and values typed over it.

    Attributes:
        path: of the file.
        data: its contents, with what was typed in its place; what it says may be resolved in there.
        document: where in the file each field stands.
        overridden: the keys that were typed.
    """

    path: Path
    data: dict[str, Any]
    document: Document
    overridden: tuple[str, ...]

    def typed(self, *keys: str) -> bool:
        """Whether one of these was typed."""
        return any(key in self.overridden for key in keys)

    def folder(self, *keys: str) -> Path:
        """Where a relative path starts: beside the file, or here where one of these keys was typed."""
        return Path() if self.typed(*keys) else self.path.parent

    def resolve(self, section: str, key: str) -> None:
        """Make the path in a field absolute, where there is one."""
        values = self.data.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str):
            values[key] = str((self.folder(section, f"{section}.{key}") / values[key]).resolve())

    def resolve_data(self) -> None:
        """The section ``data``: a typed cache takes the place of a name; its path is absolute."""
        values = self.data.get("data")
        if isinstance(values, dict) and {"data.name", "data.cache"} & set(self.overridden) == {"data.cache"}:
            values.pop("name", None)
        self.resolve("data", "cache")

    def base_recipe(self, base: str) -> None:
        """The section ``recipe``: where it names no base this is it; where every field is said it changes
        nothing."""
        recipe = self.data.setdefault("recipe", {})
        if isinstance(recipe, dict):
            recipe.setdefault("base", base)


def read_given(path: Path | str, overrides: Sequence[str] | None, name: str | None) -> Given:
    """Read a configuration file, and put in its place what was typed.

    Args:
        path: a YAML file. Without a ``name`` the file's stem is the run's name; that of a run folder is the
            folder's.
        overrides: ``key=value`` with dotted keys (``search.candidates=8``); values are YAML.
        name: of the run, instead of the file's.

    Raises:
        InputError: one line with file and line.
    """
    path = Path(path)
    document = read_yaml(path)
    data = document.data
    if not isinstance(data, dict):
        raise InputError(f"{path}: must hold keys and values")
    overridden = tuple(_override(data, override) for override in overrides or [])
    for key in [k for k in document.lines if any(_within(k, o) for o in overridden)]:
        del document.lines[key]  # the file's line does not hold what is now there
    if any((path.parent / kept).exists() for kept in ("journal.db", "checkpoints")):
        data["name"] = path.resolve().parent.name  # the run it lies in, also if that was copied
    data.setdefault("name", path.stem)
    if name is not None:
        data["name"] = name
    return Given(path=path, data=data, document=document, overridden=overridden)


def validated(
    model: type[Model],
    data: dict[str, Any],
    check: Callable[[Model], None],
    document: Document | None = None,
    overridden: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
) -> Model:
    """A configuration from plain data.

    Args:
        model: what it is to be.
        data: plain.
        check: raises `FieldError` where sections do not fit together.
        document: where in a file each field stands.
        overridden: keys that were typed.
        options: the command's own options that some of these were typed as, by key.

    Raises:
        InputError: one line with file, line and field.
    """
    document = document or Document(data, {}, "configuration")
    try:
        config = model.model_validate(data)
        check(config)
    except FieldError as error:
        wrong = error
    except ValidationError as error:
        wrong = _field_error(error.errors()[0], model)
    else:
        return config
    if wrong.path not in document.lines and any(
        _within(key, wrong.path) or _within(wrong.path, key) for key in overridden
    ):
        option = (options or {}).get(wrong.path)
        raise InputError(f"--set {wrong}" if option is None else f"{option} {wrong.rule}")
    if wrong.path not in document.lines and _beside(wrong.path, overridden) and wrong.rule != "is missing":
        # a default, or a named recipe's value, does not fit what was typed: no line of the file holds it
        raise InputError(f"{wrong}: --set {wrong.path}=VALUE")
    raise document.error(wrong)


def differences(one: Section, other: Section) -> list[str]:
    """The fields that two configurations do not share, as dotted paths."""
    return _differences("", one.model_dump(mode="json"), other.model_dump(mode="json"))


def _within(path: str, key: str) -> bool:
    """Whether a field is another one or stands in it."""
    return path == key or path.startswith((f"{key}.", f"{key}["))


def _beside(path: str, keys: Sequence[str]) -> bool:
    """Whether one of these fields stands in the same section as another field, which is in a section."""
    section = path.rpartition(".")[0]
    return bool(section) and any(key.rpartition(".")[0] == section for key in keys)


def _override(data: dict[str, Any], override: str) -> str:
    """Put one ``key=value`` in its place; the key."""
    key, value = parse_override(override, "search.candidates=8")
    put(data, key, value)
    return key


def _field_error(details: ErrorDetails, model: type[Section]) -> FieldError:
    """Pydantic's first error in our words."""
    inner = details.get("ctx", {}).get("error")
    if isinstance(inner, InputError):
        raise inner
    path = _dotted(details["loc"])
    if isinstance(inner, FieldError):
        return inner.under(path) if path and inner.path else FieldError(path or inner.path, inner.rule)
    if details["type"] == "extra_forbidden":
        known = _fields_at(model, details["loc"][:-1])
        return FieldError(path, f"is an unknown key{suggestion(str(details['loc'][-1]), known)}")
    if details["type"] == "missing":
        return FieldError(path, "is missing")
    message = details["msg"].replace("Input should be", "must be").replace("valid integer", "whole number")
    return FieldError(path, f"{message}, got {details['input']!r}")


def _dotted(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _fields_at(root: type[Section], location: tuple[int | str, ...]) -> list[str]:
    model: Any = root
    named = False  # whether the next part is a user's own name
    for part in location:
        if named:
            named = False
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        named = get_origin(field.annotation) is dict
        options = (field.annotation, *get_args(field.annotation))  # of a section that may be null too
        model = next((option for option in options if hasattr(option, "model_fields")), None)
    return list(getattr(model, "model_fields", {}))


def _differences(path: str, one: Any, other: Any) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        return [
            d
            for key in keys
            for d in _differences(f"{path}.{key}" if path else key, one.get(key), other.get(key))
        ]
    return [] if one == other else [path]
