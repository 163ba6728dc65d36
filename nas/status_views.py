"""What the command line shows of a search's progress and of what happened to it."""

from __future__ import annotations

from typing import Any

from nas import console
from nas.console import duration, hourly, out, print_table, printable, reward_text
from results import Drift, Run, Status, Trial, chosen_of, status_of
from results.run import OF_GIVEN
from results.wording import amount, count, percent

RUN_COLUMNS = ("run", "kind", "state", "candidates", "best accuracy", "best reward", "its MACs")


def status_row(run: Run) -> list[str]:
    """A run in a list of runs, by `RUN_COLUMNS`."""
    status = status_of(run)
    best = status.best
    chosen = chosen_of(status.scaled)
    first = best if chosen is None else chosen.trials[0]
    accuracy = best.accuracy if best else None if chosen is None else chosen.mean
    return [
        run.name,
        status.kind,
        status.state,
        f"{console.over(status.counts)}/{status.budget or '?'}",
        percent(accuracy),
        reward_text(best.reward if best else None),
        count(first.macs if first else None),
    ]


def status_json(run: Run) -> dict[str, Any]:
    """The facts that ``nas status --json`` prints."""
    return status_document(run.name, status_of(run))


def status_document(name: str, status: Status) -> dict[str, Any]:
    """The same of a status that is known."""
    saved = status.stopped_epochs
    return {
        "run": name,
        "kind": status.kind,
        "state": status.state,
        "counts": status.counts,
        "budget": status.budget,
        "best": trial_json(status.best, status.recommended),
        "recommended": trial_json(status.recommended, status.recommended),
        "workers": status.workers,
        "running": [trial.id for trial in status.running],
        "candidates_per_hour": status.candidates_per_hour,
        "seconds_left": status.seconds_left,
        "baselines": [trial.baseline_json() for trial in status.baselines],
        "sessions": status.sessions,
        "failures": status.failures,
        "events": [event._asdict() for event in status.events],
        "reused": status.reused,
        "stopped_epochs": None if saved is None else {"saved": saved[0], "of": saved[1]},
        "networks": _networks_json(status),
        "target": None if status.target is None else status.target.to_json(),
    }


def _networks_json(status: Status) -> list[dict[str, Any]] | None:
    """The given networks of a run, and which of them is chosen; None of another run."""
    if status.kind not in OF_GIVEN:
        return None
    chosen = chosen_of(status.scaled)
    return [{**network.to_json(), "chosen": network is chosen} for network in status.scaled]


def trial_json(trial: Trial | None, recommended: Trial | None) -> dict[str, Any] | None:
    """The facts of a trial, and whether it is the recommended one."""
    if trial is None:
        return None
    return {**trial.to_json(), "recommended": recommended is not None and trial.id == recommended.id}


def print_status(name: str, status: Status) -> None:
    """How a search stands, and what happened to it."""
    rate = hourly(status.candidates_per_hour)
    counts = ", ".join(f"{number} {state}" for state, number in status.counts.items()) or "none yet"
    out.print(f"{name}: {status.state}; {counts}; of {status.budget or '?'}")
    left, what = duration(status.seconds_left), "candidates" if status.kind == "search" else "trainings"
    out.print(f"workers {status.workers or '-'}; {rate} {what} an hour; {left} left")
    if len(status.sessions) > 1 or sum(status.sessions.values()) > 1:
        ends = ", ".join(f"{number} {end}" for end, number in status.sessions.items())
        out.print(f"sessions: {sum(status.sessions.values())} ({ends})")
    for run, number in status.reused.items():
        out.print(f"{number} measurements were taken over from {run}", soft_wrap=True)
    if status.stopped_epochs is not None:
        saved, whole = status.stopped_epochs
        out.print(f"stopping early saved {saved} of {whole} epochs ({100 * saved / whole:.0f} %)")
    for error, number in status.failures.items():
        out.print(f"{number} failed: {printable(error)}", soft_wrap=True)
    _print_events(status)


def print_target(typed: str, drift: Drift | None, best: Trial | None, recommended: Trial | None) -> None:
    """How far the best and the recommended network are from the target, and whether the objective holds it.

    Args:
        typed: what the user calls the run.
        drift: None where there is no target; nothing is printed then.
        best, recommended: the two networks, if there are any.
    """
    if drift is None or best is None:
        return
    line = f"target {amount(drift.target, drift.cost)}: the best so far has {_share(drift, drift.best)}"
    same = recommended is None or recommended.id == best.id
    line += f"; it is {typed}@best" if same else f", the recommended {_share(drift, drift.recommended)}"
    out.print(printable(line), soft_wrap=True)
    if drift.held is False:
        line = f"the objective does not hold the target: nas objective {typed} shows what would"
        out.print(printable(line), soft_wrap=True)


def _share(drift: Drift, ratio: float | None) -> str:
    """A cost, and how many times the target it is."""
    if ratio is None:
        return "none that was measured"
    return f"{amount(ratio * drift.target, drift.cost, unit=False)} ({ratio:.2f} x)"


def print_scaled(status: Status) -> None:
    """The given networks of a run, the chosen marked; nothing where there are none."""
    if not status.scaled:
        return
    chosen = chosen_of(status.scaled)
    rows = []
    for network in status.scaled:
        first, accuracies = network.trials[0], network.accuracies
        waiting = sum(trial.arrival is None for trial in network.trials)
        failed = sum(trial.status == "failed" for trial in network.trials)
        ends = [f"{len(accuracies)} done", *([f"{failed} failed"] if failed else [])]
        ends += [f"{waiting} to come"] if waiting else []
        cells = [network.words, percent(network.mean), ", ".join(ends), count(first.macs)]
        rows.append(["*" if network is chosen else "", *cells, count(first.params), str(first.id)])
    print_table(("", "network", "mean accuracy", "trainings", "MACs", "params", "first trial"), rows)
    if chosen is not None:
        word = "is chosen" if status.state == "finished" else "is ahead so far"
        out.print(f"* {word}: {chosen.words}", soft_wrap=True)


def _print_events(status: Status) -> None:
    """How often each kind of thing happened, and the last of it."""
    kinds: dict[str, list[str]] = {}
    for event in status.events:
        kinds.setdefault(event.kind, []).append(event.text)
    for kind, texts in kinds.items():
        times = "once" if len(texts) == 1 else f"{len(texts)} times, last"
        out.print(f"{kind} {times}: {printable(texts[-1])}", soft_wrap=True)


def print_runs(rows: list[list[str]], unreadable: dict[str, str]) -> None:
    """A list of runs, by `RUN_COLUMNS`, and below it why some cannot be read."""
    blank = ["-", "unreadable", *"-" * (len(RUN_COLUMNS) - 3)]
    print_table(RUN_COLUMNS, sorted([*rows, *([name, *blank] for name in unreadable)]))
    for name, error in unreadable.items():
        out.print(f"{name} is unreadable: {printable(error)}", soft_wrap=True)
