"""A ranking of candidates as the command line shows it."""

from __future__ import annotations

from nas import console
from nas.console import out, print_table
from results import Run, Trial
from results.wording import amount


def print_ranking(
    run: Run, typed: str, best: Trial, trials: list[Trial] | None = None, title: str = ""
) -> None:
    """A table with the recommended candidate marked, and what RUN@best and RUN@observed stand for.

    Args:
        run: the search.
        typed: what the user calls it.
        best: of all observed rewards.
        trials: the rows; by default the recommended and the best observed.
        title: of the table.
    """
    with run.journal() as journal:
        bet = journal.recommended()
    recommended = bet or best
    if trials is None:
        trials = [recommended] if recommended.id == best.id else [recommended, best]
    *columns, last = console.TRIAL_COLUMNS
    latencies = [trial.cost("latency_ms") for trial in trials]
    timed = any(latency is not None for latency in latencies)
    rows = []
    for trial, latency in zip(trials, latencies, strict=True):
        *facts, architecture = console.trial_row(trial)
        facts += [amount(latency, "latency_ms")] if timed else []
        rows.append(["*" if trial.id == recommended.id else "", *facts, architecture])
    print_table(("", *columns, *(["latency"] if timed else []), last), rows, title)
    if bet is None:
        text = (
            f"candidate {best.id} has the best observed reward; nothing is recommended, so {typed}@best is it"
        )
    elif bet.id == best.id:
        text = f"candidate {bet.id} is recommended and has the best observed reward ({typed}@best)"
    else:
        text = (
            f"candidate {bet.id} is recommended ({typed}@best); candidate {best.id} has the best observed "
            f"reward ({typed}@observed)"
        )
    out.print(text, soft_wrap=True)
