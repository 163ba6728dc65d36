"""What a search costs besides training: wall time against the workers' own seconds.

    python benchmarks/search_overhead.py quickstart

Reads the journal of a finished run (of one session, under ``runs/``) and prints its wall time from the
first candidate's start to the last result, the seconds that workers spent on candidates, their ratio, and
the time before the first candidate began (Ray's start, a worker's start and its imports).
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics

from results import open_run


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a name under runs/, or a path")
    run = open_run(parser.parse_args().run)
    trials = run.trials()
    with run.journal() as journal:
        sessions = journal.sessions()
    if len(sessions) != 1 or sessions[0].ended_at is None:
        raise SystemExit(f"{run.name}: needs a run of one session that has ended, this has {len(sessions)}")
    began = sessions[0].started_at
    with sqlite3.connect(f"file:{run.journal_path}?mode=ro", uri=True) as raw:
        ends = raw.execute("SELECT finished_at, seconds FROM trials WHERE finished_at NOT NULL").fetchall()
    first = min(end - seconds for end, seconds in ends)
    wall = max(end for end, _ in ends) - first
    training = sum(seconds for _, seconds in ends)
    workers = sessions[0].workers or 1
    accuracies = [trial.accuracy for trial in trials if trial.accuracy is not None]
    print(f"distinct candidates       {len({trial.key for trial in trials})}")
    print(f"failed                    {sum(trial.status == 'failed' for trial in trials)}")
    print(f"median accuracy           {100 * statistics.median(accuracies):.2f} %")
    print(f"workers                   {workers}")
    print(f"training                  {training:.1f} s, {training / len(ends):.2f} s a candidate")
    print(f"first start to last end   {wall:.1f} s")
    print(f"over training / workers   {wall / (training / workers):.3f} x")
    print(f"before the first start    {first - began:.1f} s")
    print(f"whole session             {sessions[0].ended_at - began:.1f} s")


if __name__ == "__main__":
    main()
