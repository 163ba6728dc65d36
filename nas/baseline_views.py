"""What the command line shows of baselines."""

from __future__ import annotations

from collections.abc import Sequence

from nas.console import out, print_table, printable, reward_text
from results import Run, Trial
from results.wording import count, percent

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
            out.print(printable(f"baseline {trial.baseline} failed: {trial.error}"), soft_wrap=True)


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
