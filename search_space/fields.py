"""Checks that specifications share: the type and the range of one field, and unknown keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from search_space.errors import FieldError, suggestion


def check_int(name: str, value: object, low: int, high: int | None = None) -> None:
    """``low <= value <= high`` must hold for a true integer (``True`` is none)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError(name, f"must be a whole number, got {value!r}")
    if value < low or (high is not None and value > high):
        bound = f"at least {low}" if high is None else f"between {low} and {high}"
        raise FieldError(name, f"must be {bound}, got {value}")


def check_float(name: str, value: object, low: float, high: float | None = None) -> None:
    """``low <= value <= high`` must hold for a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(name, f"must be a number, got {value!r}")
    if not low <= value <= (high if high is not None else 1e300):
        bound = f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
        raise FieldError(name, f"must be {bound}, got {value:g}")


def check_bool(name: str, value: object) -> None:
    """``value`` must be true or false."""
    if not isinstance(value, bool):
        raise FieldError(name, f"must be true or false, got {value!r}")


def as_floats(specification: Any, *names: str) -> None:
    """Make fields of a frozen dataclass floats, so that 0 and 0.0 are one value in records and hashes."""
    for name in names:
        object.__setattr__(specification, name, float(getattr(specification, name)))


def check_choice(name: str, value: object, allowed: Collection[Any]) -> None:
    """``value`` must be one of ``allowed``, of the same type."""
    if not any(type(value) is type(item) and value == item for item in allowed):
        choices = " or ".join(str(item) for item in allowed)
        raise FieldError(name, f"must be {choices}, got {value!r}")


def check_mapping(
    name: str, value: object, known: Collection[str], required: Collection[str] = ()
) -> Mapping[str, Any]:
    """``value`` must be a mapping with every required key and no unknown one.

    Raises:
        FieldError: with the nearest known key when a key is unknown.
    """
    if not isinstance(value, Mapping):
        raise FieldError(name or "the file", f"must hold keys and values, got {value!r}")
    prefix = f"{name}." if name else ""
    for key in value:
        if key not in known:
            raise FieldError(f"{prefix}{key}", f"is an unknown key{suggestion(str(key), known)}")
    for key in required:
        if key not in value:
            raise FieldError(f"{prefix}{key}", "is missing")
    return value
