"""Conditions on columns, such as ``macs < 300e6 and stage2.kernel == 5``: parsed, and never run as code.

The grammar is a part of Python's: names of columns (with dots), numbers, texts in quotes, ``< <= > >= == !=``
(also in chains), ``in`` and ``not in`` with a list, ``and or not``, and ``+ - * /`` between numbers.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from search_space import InputError
from search_space.errors import suggestion

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_LONGEST = 2000  # characters: deeper nesting than that allows would be a mistake
_EXAMPLE = "such as 'macs < 300e6 and accuracy > 0.9'"


def evaluate(text: str, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """The rows for which a condition holds.

    Args:
        text: the condition.
        columns: name to array, each (N,); float NaN and None are what is not there.

    Returns:
        (N,). A comparison with what is not there is false, ``!=`` and ``not in`` too; ``not`` turns false
        into true.

    Raises:
        InputError: no such condition, with its place; or a name that is no column, with the nearest.
    """
    if len(text) > _LONGEST:
        raise InputError(f"a condition has at most {_LONGEST} characters, this one has {len(text)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on how to write a program
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise InputError(f"{text!r} is no condition{place}; write one {_EXAMPLE}") from None
    with np.errstate(all="ignore"):
        try:
            return _Condition(text, columns).truth(tree.body)
        except RecursionError:
            raise InputError(f"a condition is nested too deeply; write one {_EXAMPLE}") from None


class _Condition:
    def __init__(self, text: str, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        self._text, self._columns = text, columns
        self._rows = len(next(iter(columns.values())))

    def truth(self, node: ast.expr) -> npt.NDArray[np.bool_]:
        """A part that is true or false for each row."""
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(value) for value in node.values]
            return (
                np.logical_and.reduce(parts) if isinstance(node.op, ast.And) else np.logical_or.reduce(parts)
            )
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.truth(node.operand)
        if isinstance(node, ast.Compare):
            holds = np.ones(self._rows, dtype=np.bool_)
            left = node.left
            for comparison, right in zip(node.ops, node.comparators, strict=True):
                holds &= self._compared(comparison, left, right)
                left = right
            return holds
        raise self._wrong(node, "is neither true nor false")

    def _compared(self, comparison: ast.cmpop, left: ast.expr, right: ast.expr) -> npt.NDArray[np.bool_]:
        if isinstance(comparison, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
                raise self._wrong(right, "must be a list of values after in")
            value = self.value(left)
            one = [self._same(value, self.value(element), left) for element in right.elts]
            among = np.logical_or.reduce(one)
            return among if isinstance(comparison, ast.In) else _there(value, self._rows) & ~among
        function = _COMPARISONS.get(type(comparison))
        if function is None:
            raise self._wrong(left, "is compared in a way that is not known here")
        mine, other = self.value(left), self.value(right)
        if isinstance(comparison, ast.Eq):
            return self._same(mine, other, left)
        if isinstance(comparison, ast.NotEq):
            there = _there(mine, self._rows) & _there(other, self._rows)
            return there & ~self._same(mine, other, left)
        for value, part in ((mine, left), (other, right)):
            if not _numeric(value):
                raise self._wrong(part, "is no number, and has only == != in")
        return np.broadcast_to(np.asarray(function(mine, other), dtype=np.bool_), (self._rows,))

    def _same(self, one: Any, other: Any, part: ast.expr) -> npt.NDArray[np.bool_]:
        for mine, its in ((one, other), (other, one)):
            if isinstance(its, str) and _numeric(mine):
                raise self._wrong(part, f"is a number, and {its!r} is a text")
        equal = np.equal(np.asarray(one, dtype=object), np.asarray(other, dtype=object))
        return _there(one, self._rows) & np.broadcast_to(equal, (self._rows,)).astype(np.bool_)

    def value(self, node: ast.expr) -> Any:
        """A part that has a value for each row, or one for all."""
        if isinstance(node, ast.Constant) and type(node.value) in (int, float, str, bool):
            return node.value
        if isinstance(node, ast.Name | ast.Attribute):
            return self._column(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._number(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](self._number(node.left), self._number(node.right))
        raise self._wrong(node, "is not known here")

    def _number(self, node: ast.expr) -> Any:
        value = self.value(node)
        if not _numeric(value):
            raise self._wrong(node, "is no number")
        return np.asarray(value, dtype=np.float64)

    def _column(self, node: ast.Name | ast.Attribute) -> npt.NDArray[Any]:
        name = ast.unparse(node)
        if name not in self._columns:
            near = suggestion(name, self._columns)
            if "did you mean" not in near:
                near = f"; a text stands in quotes: '{name}'"
            raise InputError(f"{name!r} in the condition {self._text!r} is no column{near}")
        return self._columns[name]

    def _wrong(self, node: ast.expr, why: str) -> InputError:
        part = ast.get_source_segment(self._text.strip(), node) or ast.unparse(node)
        return InputError(f"{part!r} in the condition {self._text!r} {why}; write one {_EXAMPLE}")


def _numeric(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype != object
    return isinstance(value, int | float)


def _there(value: Any, rows: int) -> npt.NDArray[np.bool_]:
    """Whether there is a value, for each row."""
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return np.ones(rows, dtype=np.bool_)
    if value.dtype == object:
        return np.array([item is not None for item in value], dtype=np.bool_)
    return ~np.isnan(value.astype(np.float64))
