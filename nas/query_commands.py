"""``nas top`` and ``nas trials``: the best candidates, and every trial, to look at or to take away."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from nas.baseline_views import print_baselines
from nas.console import out, print_json, print_table, reward_text
from nas.lookup import search_of
from nas.options import JsonOption, RunArgument, WhereOption
from nas.ranking_views import print_ranking
from nas.status_views import trial_json
from results import Trial, open_run, ranked, selected, trial_table, write_whole
from results.run import OF_GIVEN
from results.wording import count, percent
from search_space import InputError
from search_space.errors import suggestion

query_app = typer.Typer()
_FORMATS = ("csv", "jsonl")


@query_app.command()
def top(
    run: RunArgument,
    number: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 10,
    where: WhereOption = None,
    json_output: JsonOption = False,
) -> None:
    """The best candidates by observed reward, the recommended one marked: nas top quickstart -n 5

    Conditions are on facts, on metrics of the last epoch and on decisions:
    nas top quickstart --where 'macs < 1e6 and accuracy > 0.9 and stage2.kernel == 5'
    """
    found = search_of(run)
    everything = found.trials()
    best, order = ranked(everything)[:1], ranked(selected(everything, where))
    if json_output:
        recommended = found.recommended() if order else None
        print_json([trial_json(trial, recommended) for trial in order[:number]])
        return
    if not best:
        out.print("no candidate has finished yet")
    elif not order:
        out.print(f"no finished candidate is like that{_hint(where)}")
    else:
        print_ranking(found, run, best[0], order[:number])
    print_baselines(found.baselines())


@query_app.command()
def trials(
    run: RunArgument,
    where: WhereOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file that ends in .csv or .jsonl.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="csv or jsonl, on standard output without -o.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Every trial, finished or not, in the order of proposal: nas trials quickstart -o trials.csv

    Baselines are among them. Files have a column for each fact, metric and decision; of
    scaling for alpha, beta and gamma.
    """
    kind = _format(kind, output)
    if kind is not None and json_output:
        raise InputError("--json and a file of CSV or JSON lines are two things; give one of them")
    with open_run(run).journal() as journal:
        found = selected(journal.trials(), where)
    if json_output:
        print_json([trial.to_json() for trial in found])
    elif kind is None:
        _print_trials(found, where, scaled=_is_scaled(run))
    else:
        table = trial_table(found)
        text = table.to_csv() if kind == "csv" else table.to_jsonl()
        if output is None:
            sys.stdout.write(text)
        else:
            write_whole(output, lambda path: path.write_text(text, encoding="utf-8", newline=""))
            out.print(f"wrote {len(found)} trials to {output}", soft_wrap=True)


def _format(kind: str | None, output: Path | None) -> str | None:
    """What to write, by the option or the file's ending; None for a table."""
    if kind is None and output is None:
        return None
    if kind is None and output is not None:
        kind = output.suffix.removeprefix(".").lower()
        if kind not in _FORMATS:
            raise InputError(f"{output}: must end in .csv or .jsonl")
    ending = "" if output is None else output.suffix.removeprefix(".").lower()
    if kind in _FORMATS and ending in _FORMATS and ending != kind:
        raise InputError(f"{output}: is not where --format {kind} goes")
    if kind not in _FORMATS:
        raise InputError(f"--format must be csv or jsonl, got {kind!r}{suggestion(str(kind), _FORMATS)}")
    return kind


def _hint(where: str | None) -> str:
    """What may be wrong with a condition that nothing fulfils."""
    shares = re.search(r"accuracy\s*[<>=!]+\s*(\d+(\.\d+)?)", where or "")
    return "; accuracies are from 0 to 1" if shares and float(shares[1]) > 1 else ""


def _is_scaled(run: str) -> bool:
    """Whether it is a run of given networks; a run whose configuration is lost is shown all the same."""
    try:
        return open_run(run).kind() in OF_GIVEN
    except InputError:
        return False


def _print_trials(trials: list[Trial], where: str | None, scaled: bool) -> None:
    """A table of trials: those of scaling by what was scaled and their seeds, others by their rewards."""
    if not trials:
        out.print("no trial yet" if where is None else f"no trial is like that{_hint(where)}")
        return
    names = list(dict.fromkeys(name for trial in trials for name in trial.choices)) if scaled else []
    columns = ["trial", "status", "accuracy", "reward", "MACs", "params", "seconds", "what"]
    if scaled:
        columns[3:4] = [*names, "seed"]
    rows = []
    for trial in trials:
        row = [str(trial.id), trial.status, percent(trial.accuracy), reward_text(trial.reward)]
        if scaled:
            row[3:] = [*(_choice(trial.choices.get(name)) for name in names), str(trial.seed)]
        row += [count(trial.macs), count(trial.params), f"{trial.seconds:.1f}", _what(trial)]
        rows.append(row)
    print_table(columns, rows)


def _choice(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).removeprefix("-")


def _what(trial: Trial) -> str:
    """The error where there is one, else the network in short; a baseline by its name."""
    text = trial.error or trial.network().summary()
    return text if trial.baseline is None else f"{trial.baseline}: {text}"
