"""The trials of a report as columns of plain values: a page of 10,000 candidates stays small."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from results.drawing import DrawnStage, drawn_stages
from results.fronts import is_raised
from results.table import FACTS
from results.trial import Trial
from search_space import Decision

_LONGEST = 5000  # characters of an error
_ERRORS = 1_000_000  # characters of all errors together
_EPOCHS = 300_000  # of all curves together
_AS_THEY_ARE = (
    *("id", "status", "accuracy", "reward", "macs", "params", "arrival", "attempts", "seed"),
    *("baseline", "adapted", "reused", "proposed"),
)
_FACTS = {
    "accuracy": ("accuracy", "more"),
    "reward": ("reward", "more"),
    "macs": ("MACs", "less"),
    "params": ("parameters", "less"),
    "seconds": ("seconds of evaluation", "less"),
}


class Stages:
    """The distinct stages of many networks, each kept once.

    A stage costs what its description says, at the channels and the resolution of what comes in: networks
    whose stages have all been seen so are not built again, which is most of the time of a large report.

    Args:
        num_classes, in_channels: of the networks that were trained.
    """

    def __init__(self, num_classes: int, in_channels: int) -> None:
        self.rows: list[list[Any]] = []
        self._classes, self._channels = num_classes, in_channels
        self._places: dict[tuple[DrawnStage, str], int] = {}
        self._seen: dict[Hashable, int] = {}

    def numbers(self, trial: Trial) -> list[int]:
        """Which rows a network has, from the stem to the head."""
        keys = _stage_keys(trial.architecture)
        known = [self._seen.get(key) for key in keys]
        numbers = [number for number in known if number is not None]
        if len(numbers) == len(keys):
            return numbers
        network = trial.network()
        drawn = drawn_stages(network, self._classes, self._channels)
        short = ["", *network.summary().split(" | "), ""]
        numbers = [self._number(stage, words) for stage, words in zip(drawn, short, strict=True)]
        self._seen.update(zip(keys, numbers, strict=True))
        return numbers

    def _number(self, stage: DrawnStage, short: str) -> int:
        known = self._places.setdefault((stage, short), len(self.rows))
        if known == len(self.rows):
            self.rows.append([*stage, short])
        return known


def _stage_keys(architecture: Mapping[str, Any]) -> list[Hashable]:
    """What the row of each stage depends on, from the stem to the head."""
    rest = json.dumps({k: v for k, v in architecture.items() if k not in ("name", "stages")}, sort_keys=True)
    keys: list[Hashable] = [rest]
    before: tuple[Any, ...] = ()  # channels of what comes in, and all strides until then
    strides: tuple[Any, ...] = ()
    for stage in architecture["stages"]:
        keys.append((rest, before, tuple(stage.items())))
        strides = (*strides, stage["stride"])
        before = (stage["channels"], strides)
    return [*keys, (rest, before)]


def trial_columns(
    trials: Sequence[Trial], decisions: Sequence[Decision], num_classes: int, in_channels: int, cost: str
) -> dict[str, Any]:
    """What the page knows of trials.

    Args:
        trials: candidates and baselines.
        decisions: of the space.
        num_classes, in_channels: of the networks that were trained.
        cost: of the search's objective; it has a column even before anything was measured.

    Returns:
        ``columns``: name to a list with one value a trial, None for what is not there.
        ``metrics``: the same of the last epoch's metrics.
        ``stages``: the distinct `DrawnStage` rows, each with its short form; the column of that name holds
        their numbers.
        ``errors``: the distinct texts; the column ``error`` holds their numbers.
        ``curve_stride``: the curves hold every so many epochs, counted back from the last.
    """
    table = Stages(num_classes, in_channels)
    stride = max(1, math.ceil(sum(len(trial.curve) for trial in trials) / _EPOCHS))
    errors = list(dict.fromkeys(trial.error for trial in trials if trial.error is not None))
    places = {error: number for number, error in enumerate(errors)}
    choices = [{_name(choice): i for i, choice in enumerate(d.choices)} for d in decisions]
    columns: dict[str, Any] = {name: [getattr(trial, name) for trial in trials] for name in _AS_THEY_ARE}
    columns["key"] = [trial.key[:16] for trial in trials]
    columns["seconds"] = [round(trial.seconds, 3) for trial in trials]
    columns["epochs"] = [len(trial.curve) for trial in trials]
    columns["error"] = [None if trial.error is None else places[trial.error] for trial in trials]
    columns["curve"] = [_curve(trial, stride) for trial in trials]
    columns["stages"] = [table.numbers(trial) for trial in trials]
    columns["choices"] = [
        [of.get(_name(trial.choices.get(d.name)), -1) for d, of in zip(decisions, choices, strict=True)]
        for trial in trials
    ]
    return {
        "columns": columns,
        "metrics": _metrics(trials, decisions, cost),
        "stages": table.rows,
        "errors": _shortened(errors),
        "curve_stride": stride,
    }


def measure_key(name: str) -> str:
    """What the page calls a fact, or a metric of the last epoch."""
    return name if name in _FACTS else f"metric:{name}"


def measures_of(metrics: Iterable[str]) -> list[dict[str, str]]:
    """What an axis may show: ``key``, ``label``, and whether ``more`` or ``less`` of it is better.

    Of a metric that the evaluator named, its name decides: see `results.fronts.is_raised`.
    """
    facts = [{"key": key, "label": label, "better": better} for key, (label, better) in _FACTS.items()]
    return facts + [
        {
            "key": f"metric:{name}",
            "label": _label(name),
            "better": "more" if is_raised(name) else "less",
        }
        for name in metrics
    ]


def _label(metric: str) -> str:
    """``latency_ms`` as ``latency, ms``; other names without their underscores."""
    words = metric.removesuffix("_ms").replace("_", " ")
    return f"{words}, ms" if metric.endswith("_ms") else words


def choice_text(choice: Any) -> str:
    """A choice as the page writes it."""
    return choice if isinstance(choice, str) else f"{choice:g}" if isinstance(choice, float) else str(choice)


def _name(choice: Any) -> Any:
    """What tells choices apart; a list that came back from JSON is the tuple it was."""
    return tuple(choice) if isinstance(choice, list) else choice


def _metrics(
    trials: Sequence[Trial], decisions: Sequence[Decision], cost: str
) -> dict[str, list[float | None]]:
    """Numbers of the last epoch by their names, one a trial; the cost among them if it is no fact."""
    known = {*FACTS, "epoch", *(decision.name for decision in decisions)}
    last = [trial.curve[-1] if trial.curve else {} for trial in trials]
    names = dict.fromkeys(name for metrics in last for name in metrics if name not in known)
    if cost not in _FACTS:
        names.setdefault(cost)
    return {name: [_number(metrics.get(name)) for metrics in last] for name in names}


def _number(value: Any, digits: int = 6) -> float | None:
    """To so many significant digits; None for what is no number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def _curve(trial: Trial, stride: int) -> list[float | None]:
    """Accuracy over epochs; empty where there was one, whose accuracy is the trial's."""
    if len(trial.curve) < 2:
        return []
    kept = trial.curve[(len(trial.curve) - 1) % stride :: stride]
    return [_number(epoch["accuracy"]) if "accuracy" in epoch else None for epoch in kept]


def _shortened(errors: Sequence[str]) -> list[str]:
    """Each whole where there are few or they are short."""
    longest = max(120, min(_LONGEST, _ERRORS // max(1, len(errors))))
    return [
        error if len(error) <= longest else f"{error[:longest]} … ({len(error):,} characters in the journal)"
        for error in errors
    ]
