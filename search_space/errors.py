"""The two errors a user can cause: a wrong field, and an input that cannot be used at all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """A mistake in what the user gave; the command line prints it as one line and exits with 2."""


class FieldError(ValueError):
    """A value that breaks a rule, with the path of the field it stands in.

    Attributes:
        path: where the value stands, such as ``stages[2].stride``.
        rule: the rule and the offending value, such as ``must be 1 or 2, got 3``.
    """

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path} {rule}")
        self.path = path
        self.rule = rule

    def __reduce__(self) -> tuple[Any, ...]:
        """From another process it comes as it is."""
        return type(self), (self.path, self.rule)

    def under(self, prefix: str) -> FieldError:
        """The same error seen from one level up."""
        joint = "" if self.path.startswith("[") else "."
        return FieldError(f"{prefix}{joint}{self.path}", self.rule)


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """``; did you mean NEAREST?``, or the whole list when nothing is near."""
    names = list(known)
    near = [name for name in names if len(wrong) > 2 and name.lower().startswith(wrong.lower())]
    near = near or difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known: {', '.join(names)}" if names else ""
