"""What the command line shows of Pareto fronts, of one run and of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas import console
from nas.console import out, print_table, printable, reward_text
from results import Front, RunFront, Trial, dominating, is_raised, objective_values, violation_of
from results.fronts import ALWAYS
from results.wording import COST_NAMES, amount, count, networks, percent

_IN_ROWS = ("accuracy", "reward", "macs", "params")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Several runs with one reference point.

    Attributes:
        runs: with their fronts.
        combined: the front of all candidates of all runs; of equal ones the run named first has it.
        owners: for each of its trials, the name of the run.
    """

    runs: Sequence[RunFront]
    combined: Front
    owners: Sequence[str]


def front_json(run: RunFront) -> dict[str, Any]:
    """The document of one run."""
    front = run.front
    return {
        "front": [_trial_json(trial, front) for trial in front.trials],
        "hypervolume": front.hypervolume,
        "reference": front.reference,
        "baselines": [_baseline_json(trial, front) for trial in run.baselines],
        "objectives": list(front.objectives),
        "limits": [str(limit) for limit in front.limits],
        "feasible": front.feasible,
    }


def overlay_json(overlay: Overlay) -> dict[str, Any]:
    """The document of several runs."""
    combined = overlay.combined
    trials = [
        {"run": owner, **_trial_json(trial, combined)}
        for owner, trial in zip(overlay.owners, combined.trials, strict=True)
    ]
    return {
        "runs": [{"run": run.name, **front_json(run)} for run in overlay.runs],
        "reference": combined.reference,
        "combined": {"front": trials, "hypervolume": combined.hypervolume},
    }


def print_front(run: RunFront) -> None:
    """The front, finished baselines in their places and marked; who dominates them, and which failed."""
    front = run.front
    done = [trial for trial in run.baselines if trial.status == "done"]
    if not front.trials:
        out.print("there is no finished candidate to make a front of")
    rows = list({trial.id: trial for trial in [*front.trials, *done]}.values())
    if done:  # the front has its order already
        lowered = [_lowered(rows, name) for name in front.objectives]
        rows = [rows[place] for place in np.lexsort(lowered[::-1])]
    marks = [[trial.baseline or "", *_own_number(trial)] for trial in rows] if done else None
    if rows:
        _print_trials(rows, front, ("baseline",) if done else (), marks)
    _print_lacking(run.trials, front)
    _print_feasible(front, sum(trial.status == "done" for trial in run.trials))
    for trial in run.baselines:
        out.print(printable(_beside(trial, front)), soft_wrap=True)
    _print_directions(front)
    if front.feasible or not front.trials:
        out.print(f"hypervolume {front.hypervolume:.4f}, {_reference_text(front.reference)}")


def print_overlay(overlay: Overlay) -> None:
    """A line a run, and the front that all runs make together."""
    own = Counter(overlay.owners)
    combined = overlay.combined
    columns = ["run", "networks", "on its front", "hypervolume", "of the combined front"]
    rows: list[list[object]] = [
        [
            run.name,
            sum(trial.status == "done" for trial in run.trials),
            len(run.front.trials),
            f"{run.front.hypervolume:.4f}",
            own[run.name],
        ]
        for run in overlay.runs
    ]
    if combined.limits:
        columns.insert(2, "feasible")
        for row, run in zip(rows, overlay.runs, strict=True):
            row.insert(2, run.front.feasible)
    print_table(columns, rows)
    out.print()
    marks = [[owner, str(t.id)] for owner, t in zip(overlay.owners, combined.trials, strict=True)]
    _print_trials(combined.trials, combined, ("run",), marks, title="the combined front")
    for run in overlay.runs:
        for baseline in run.baselines:
            out.print(printable(f"{run.name}: {_beside(baseline, combined)}"), soft_wrap=True)
    done = sum(trial.status == "done" for run in overlay.runs for trial in run.trials)
    _print_lacking([trial for run in overlay.runs for trial in run.trials], combined)
    _print_feasible(combined, done)
    _print_directions(combined)
    reference = _reference_text(combined.reference)
    out.print(f"hypervolume of all together {combined.hypervolume:.4f}; each with {reference}")


def _print_trials(
    trials: Sequence[Trial],
    front: Front,
    first: Sequence[str],
    marks: Sequence[Sequence[str]] | None,
    title: str = "",
) -> None:
    """Rows of trials, with columns for objectives that are not among the usual ones.

    Args:
        trials: the rows.
        front: whose objectives they are.
        first: names of columns before the usual ones.
        marks: what stands in them, and the number of the candidate; None where there is nothing before.
        title: of the table.
    """
    more = [name for name in front.objectives if name not in _IN_ROWS]
    values = objective_values(trials, more) if more else np.empty((len(trials), 0))
    *usual, last = console.TRIAL_COLUMNS
    rows = []
    for place, trial in enumerate(trials):
        number, *facts, architecture = console.trial_row(trial)
        before = [number] if marks is None else marks[place]
        cells = [
            "-" if np.isnan(value) else _written(name, value)
            for name, value in zip(more, values[place], strict=True)
        ]
        rows.append([*before, *facts, *cells, architecture])
    print_table((*first, *usual, *(COST_NAMES.get(name, name) for name in more), last), rows, title)


def _written(name: str, value: float) -> str:
    """A metric; a latency with its unit."""
    return amount(value, name) if name in COST_NAMES else f"{value:.5g}"


def _own_number(trial: Trial) -> list[str]:
    return [str(trial.id) if trial.proposed else "-"]


def _lowered(trials: Sequence[Trial], name: str) -> Any:
    return objective_values(trials, [name])[:, 0] * (-1.0 if is_raised(name) else 1.0)


def _print_feasible(front: Front, done: int) -> None:
    if front.limits:
        limits = " and ".join(map(str, front.limits))
        least = "; the front is what breaks least, and has no hypervolume"
        else_ = least if front.trials and not front.feasible else ""
        out.print(f"{front.feasible} of {done} networks hold {limits}{else_}", soft_wrap=True)


def _print_lacking(trials: Sequence[Trial], front: Front) -> None:
    """How many finished candidates have no place in the figure, for want of an objective."""
    done = [trial for trial in trials if trial.status == "done"]
    there = np.isfinite(objective_values(done, front.objectives))
    lacked = [name for name, its in zip(front.objectives, there.T, strict=True) if not its.all()]
    if lacked:
        number = int((~there.all(axis=1)).sum())
        words = f"{number} of {networks(len(done))} lack {' or '.join(lacked)}, and are not compared"
        out.print(words, soft_wrap=True)


def _print_directions(front: Front) -> None:
    """Which way metrics go: their names decide, and a name may mislead; of costs everyone knows."""
    measured = [name for name in front.objectives if name not in (*ALWAYS, *COST_NAMES)]
    for words, raised in (("more", True), ("less", False)):
        names = [name for name in measured if is_raised(name) == raised]
        if names:
            out.print(f"of {' and '.join(names)} {words} is taken as better, by the name", soft_wrap=True)


def _beside(baseline: Trial, front: Front) -> str:
    """One line on a baseline."""
    name = baseline.baseline
    if baseline.status != "done":
        return f"baseline {name} {baseline.status}{f': {baseline.error}' if baseline.error else ''}"
    better = _dominating(baseline, front)
    if better is None:
        return f"{name} lacks {' or '.join(front.objectives)}, and is not compared"
    broken = [str(limit) for limit in front.limits if violation_of([baseline], [limit])[0] > 0]
    breaks = f"; it breaks {' and '.join(broken)}" if broken else ""
    return f"{name} is dominated by {_in_short(better, front)}{breaks}"


def _in_short(better: Sequence[Trial], front: Front) -> str:
    """The candidate with the most accuracy, and how many more there are.

    With limits, candidates that break them are not on the front and were not asked.
    """
    if not better:
        return "no candidate of the front" if front.limits else "no candidate"
    most = max(better, key=lambda trial: trial.accuracy or 0.0)
    names = sorted(front.objectives, key=lambda name: not is_raised(name))
    values = objective_values([most], names)[0].tolist()
    facts = ", ".join(_quantity(name, value) for name, value in zip(names, values, strict=True))
    others = f" and {len(better) - 1} more of the front" if len(better) > 1 else ""
    return f"candidate {most.id} ({facts}){others}"


def _quantity(name: str, value: float) -> str:
    if name == "accuracy":
        return percent(value)
    if name in COST_NAMES:
        return _cost(name, value)
    return f"{name} {reward_text(value) if name == 'reward' else f'{value:.5g}'}"


def _cost(name: str, value: float) -> str:
    return amount(value, name) if name == "latency_ms" else f"{count(value)} {name}"


def _reference_text(reference: Mapping[str, float]) -> str:
    parts = [f"{name} 0" if is_raised(name) else _cost(name, value) for name, value in reference.items()]
    return f"reference point {', '.join(parts[:-1])} and {parts[-1]}"


def _trial_json(trial: Trial, front: Front) -> dict[str, Any]:
    """Its facts, and the objectives that are metrics."""
    facts = trial.to_json()
    values = objective_values([trial], front.objectives)[0].tolist()
    measured = {
        name: value for name, value in zip(front.objectives, values, strict=True) if name not in facts
    }
    return {**facts, **measured}


def _baseline_json(baseline: Trial, front: Front) -> dict[str, Any]:
    """The facts of a baseline, and the candidates that dominate it; None where it is not measured."""
    better = _dominating(baseline, front)
    ids = None if better is None else [trial.id for trial in better]
    return {**baseline.baseline_json(), "dominated_by": ids}


def _dominating(baseline: Trial, front: Front) -> list[Trial] | None:
    if np.isnan(objective_values([baseline], front.objectives)).any():
        return None
    return dominating(baseline, front)
