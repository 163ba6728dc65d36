"""What the command line shows of baselines."""

from __future__ import annotations

from collections.abc import Sequence

from nas import console
from nas.console import count, out, percent, print_table, reward_text
from results import Front, Run, Trial, dominating

_COLUMNS = ("baseline", "accuracy", "reward", "MACs", "params", "fitted to the space by")


def print_baselines(baselines: Sequence[Trial]) -> None:
    """A table of them, and the errors of those that failed; nothing where there are none."""
    if not baselines:
        return
    print_table(
        _COLUMNS, [_row(trial) for trial in baselines], "baselines (reference networks, trained alike)"
    )
    for trial in baselines:
        if trial.status == "failed":
            out.print(f"baseline {trial.baseline} failed: {trial.error}", soft_wrap=True)


def _row(trial: Trial) -> list[str]:
    accuracy = percent(trial.accuracy) if trial.status == "done" else trial.status
    also = f"; also candidate {trial.id}" if trial.proposed else ""
    return [
        trial.baseline or "",
        accuracy,
        reward_text(trial.reward),
        count(trial.macs),
        count(trial.params),
        f"{trial.adapted or 'nothing: as published'}{also}",
    ]


def print_front(front: Front, baselines: Sequence[Trial], cost: str) -> None:
    """The front by rising cost, finished baselines in their places and marked; and who dominates them."""
    done = [trial for trial in baselines if trial.status == "done"]
    if not done:
        print_table(console.TRIAL_COLUMNS, [console.trial_row(trial) for trial in front.trials])
        return
    rows = list({trial.id: trial for trial in [*front.trials, *done]}.values())
    rows.sort(key=lambda trial: (getattr(trial, cost), -(trial.accuracy or 0.0)))
    print_table(
        ("baseline", *console.TRIAL_COLUMNS),
        [[trial.baseline or "", *_candidate_row(trial)] for trial in rows],
    )
    for trial in done:
        better = dominating(trial, front, cost)
        out.print(f"{trial.baseline} is dominated by {_in_short(better, cost)}", soft_wrap=True)


def _in_short(better: Sequence[Trial], cost: str) -> str:
    """The candidate with the most accuracy, and how many more there are."""
    if not better:
        return "no candidate"
    most = max(better, key=lambda trial: trial.accuracy or 0.0)
    others = f" and {len(better) - 1} more of the front" if len(better) > 1 else ""
    return f"candidate {most.id} ({percent(most.accuracy)}, {count(getattr(most, cost))} {cost}){others}"


def _candidate_row(trial: Trial) -> list[str]:
    number, *rest = console.trial_row(trial)
    return [number if trial.proposed else "-", *rest]


def print_comparison(run: Run, recommended: Trial) -> None:
    """One line a baseline: the recommended network beside it."""
    for trial in run.baselines():
        if trial.status != "done" or trial.accuracy is None or recommended.accuracy is None:
            out.print(f"baseline {trial.baseline}: {trial.status}", soft_wrap=True)
            continue
        points = 100.0 * (recommended.accuracy - trial.accuracy)
        out.print(
            f"baseline {trial.baseline}: {percent(trial.accuracy)}, {count(trial.macs)} MACs, "
            f"{count(trial.params)} params; the recommended network has {points:+.2f} points at "
            f"{recommended.macs / trial.macs:.2f} x its MACs and {recommended.params / trial.params:.2f} x "
            "its params",
            soft_wrap=True,
        )
