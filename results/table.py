"""Trials as columns: NumPy arrays of one length, a pandas frame, CSV and JSON lines.

table = trial_table(open_run("quickstart").trials())
table["accuracy"]                    # (N,) float64, NaN where there is none
table[table.matching("macs < 300e6 and stage2.kernel == 5")].frame()
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from results.expressions import evaluate
from results.trial import Trial
from search_space import InputError
from search_space.errors import suggestion

if TYPE_CHECKING:
    import pandas

Column = npt.NDArray[Any]
_TEXT = ("status", "key", "error", "baseline", "reused")
_WHOLE = ("id", "macs", "params", "seed", "attempts")
FACTS = (
    *("id", "status", "accuracy", "reward", "macs", "params", "seconds", "epochs", "arrival", "attempts"),
    *("seed", "key", "error", "baseline", "reused"),
)


@dataclass(frozen=True, slots=True)
class TrialTable:
    """Trials by column. Use `trial_table`.

    Attributes:
        columns: name to array, each (N,): the facts of a trial (`FACTS`), the metrics of its last epoch by
            their own names, and what it chose for each decision. Numbers are int64, or float64 with NaN for
            what is not there; other values are objects with None.
        decisions: the columns that are decisions.
    """

    columns: Mapping[str, Column]
    decisions: tuple[str, ...]

    def __repr__(self) -> str:
        return f"TrialTable({len(self)} trials; {', '.join(self.columns)})"

    def __len__(self) -> int:
        return len(self.columns["id"])

    def __getitem__(self, which: Any) -> Any:
        """A column by its name; or a table of the rows that a mask (N,) or indices select.

        Raises:
            InputError: no column of that name, with the nearest.
        """
        if not isinstance(which, str):
            return TrialTable({name: values[which] for name, values in self.columns.items()}, self.decisions)
        if which not in self.columns:
            near = suggestion(which, self.columns)
            raise InputError(f"{which!r} is no column; there are {_listed(self.columns)}{near}")
        return self.columns[which]

    def number(self, name: str) -> npt.NDArray[np.float64]:
        """A column of numbers, (N,) float64.

        Raises:
            InputError: no column of that name, or one of text.
        """
        values = self[name]
        if values.dtype == object:
            raise InputError(f"{name} is no column of numbers")
        return np.asarray(values, dtype=np.float64)

    def matching(self, expression: str) -> npt.NDArray[np.bool_]:
        """The rows, (N,), for which an expression holds, such as ``macs < 300e6 and accuracy > 0.9``.

        What is not there (the accuracy of a failed trial) makes every comparison false.

        Raises:
            InputError: it cannot be understood, or names no column.
        """
        return evaluate(expression, self.columns)

    def frame(self) -> pandas.DataFrame:
        """A pandas data frame of all columns, one row a trial.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError("pandas is not installed: pip install pandas") from None
        return pandas.DataFrame(dict(self.columns))

    def records(self) -> Iterable[dict[str, Any]]:
        """Plain values by column, one mapping a row; None for what is not there."""
        plain = [_plain(values) for values in self.columns.values()]
        for row in zip(*plain, strict=True):
            yield dict(zip(self.columns, row, strict=True))

    def to_csv(self) -> str:
        """Comma-separated values with a header, as RFC 4180 has them; what is not there is empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.columns))
        writer.writeheader()
        writer.writerows(self.records())
        return text.getvalue()

    def to_jsonl(self) -> str:
        """JSON lines, one object a row; what is not there is null."""
        return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in self.records())


def trial_table(trials: Sequence[Trial]) -> TrialTable:
    """Columns of trials, in their order."""
    rows = [_facts(trial) for trial in trials]
    columns = {name: _column(name, [row[name] for row in rows]) for name in FACTS}
    last = [trial.curve[-1] if trial.curve else {} for trial in trials]
    for name in _names(last):
        if name not in columns and name != "epoch":
            columns[name] = _column(name, [metrics.get(name) for metrics in last])
    decisions = tuple(name for name in _names([trial.choices for trial in trials]) if name not in columns)
    for name in decisions:
        columns[name] = _column(name, [trial.choices.get(name) for trial in trials])
    return TrialTable(columns, decisions)


def selected(trials: list[Trial], condition: str | None) -> list[Trial]:
    """The trials for which a condition holds (see `TrialTable.matching`); all of them without one.

    Where there are no trials, no decision and no metric is known, and no condition is wrong.
    """
    if condition is None or not trials:
        return trials
    return [trials[place] for place in trial_table(trials).matching(condition).nonzero()[0]]


def _facts(trial: Trial) -> dict[str, Any]:
    own = {name: getattr(trial, name) for name in FACTS if name != "epochs"}
    return {**own, "epochs": len(trial.curve)}


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every key, in the order of its first appearance."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _column(name: str, values: list[Any]) -> Column:
    """The narrowest type that holds every value."""
    if name in _WHOLE:
        return np.array(values, dtype=np.int64)
    kinds = {type(value) for value in values if value is not None}
    if name not in _TEXT and kinds <= {int, float} and not (kinds == {int} and None not in values):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    if name not in _TEXT and kinds == {int}:
        return np.array(values, dtype=np.int64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _plain(values: Column) -> list[Any]:
    return [None if isinstance(value, float) and value != value else value for value in values.tolist()]


def _listed(names: Iterable[str]) -> str:
    """The facts and metrics; decisions are many."""
    shown = [name for name in names if "." not in name]
    return ", ".join(shown) + " and each decision"
