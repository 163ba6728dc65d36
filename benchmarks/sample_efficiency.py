"""How many networks must be trained? Controllers and other libraries on the replay of Accel-NASBench.

    python benchmarks/sample_efficiency.py run TABLE --seeds 24        # hours; resumable, --jobs in parallel
    python benchmarks/sample_efficiency.py report TABLE                # tables, figures in docs/images

TABLE is Accel-NASBench's archive. Every run is one line in ``runs/sample_efficiency.jsonl``; what is there is
not run again. Seeds count from 1; controllers were tuned on others, from 5000.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # one core a run
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import peers  # noqa: E402
from benchmarks.replay import OBJECTIVE, Replay, drive  # noqa: E402
from controller import create_controller  # noqa: E402
from search_space import load_space  # noqa: E402
from trainers.table import TableEvaluator, TableSource, load_table_evaluator  # noqa: E402

RESULTS = Path("runs/sample_efficiency.jsonl")
MEASURED = 1  # raise it when a controller, or what is measured, changes: older rows then no longer count
NOISE = 0.31  # accuracy points; what Accel-NASBench's authors saw between seeds


class Method(NamedTuple):
    """One way to search.

    Attributes:
        search: runs on a replay with a seed.
        exact, noisy, front: budgets without noise, with noise, and for a front; 0 is not run.
    """

    search: Callable[[Replay, int], None]
    exact: int = 0
    noisy: int = 0
    front: int = 0


def _ours(name: str, batch: int, **options: Any) -> Callable[[Replay, int], None]:
    return partial(_drive, name, batch, options)


def _drive(name: str, batch: int, options: dict[str, Any], replay: Replay, seed: int) -> None:
    drive(create_controller(name, replay.space, seed, OBJECTIVE, **options), replay, batch)


METHODS = {
    "dyna": Method(_ours("dyna", 8), exact=300, noisy=300),
    "dyna, one by one": Method(_ours("dyna", 1), exact=200, noisy=200),
    "dyna, LSTM policy": Method(
        _ours("dyna", 8, policy="lstm", epochs=2, entropy_bonus=0.05), exact=150, noisy=200
    ),
    "dyna without policy": Method(_ours("dyna", 8, policy="none"), exact=300, noisy=300),
    "local": Method(_ours("local", 1), exact=500, noisy=500),
    "evolution": Method(_ours("evolution", 1), exact=500, noisy=500),
    "ppo": Method(_ours("ppo", 16), exact=500, noisy=500),
    "reinforce": Method(_ours("reinforce", 8), exact=500, noisy=500),
    "random": Method(_ours("random", 8), exact=1000, noisy=500, front=500),
    "Optuna TPE": Method(peers.optuna_tpe, exact=800, noisy=400),
    "Optuna NSGA-II": Method(peers.optuna_nsga2, exact=500, noisy=500),
    "pymoo NSGA-II": Method(peers.pymoo_nsga2, exact=500, noisy=500),
    "dyna, goal front": Method(_ours("dyna", 8, goal="front"), front=500),
    "dyna, goal front, without policy": Method(_ours("dyna", 8, goal="front", policy="none"), front=500),
    "Optuna NSGA-II, two goals": Method(peers.optuna_nsga2_front, front=500),
    "pymoo NSGA-II, two goals": Method(peers.pymoo_nsga2_front, front=500),
}


class Job(NamedTuple):
    """One run: a line of the results."""

    method: str
    kind: str
    seed: int
    budget: int


@cache
def evaluator(table: str) -> TableEvaluator:
    """The table, read once a process."""
    return load_table_evaluator(TableSource(path=table), load_space("accel-nasbench"))


def run_job(table: str, job: Job) -> dict[str, Any]:
    """One search to the end of its budget."""
    import torch

    torch.set_num_threads(1)
    looked_up = evaluator(table)
    replay = Replay(looked_up, looked_up.space, job.budget, NOISE if job.kind == "noisy" else 0.0, job.seed)
    began = time.process_time()
    METHODS[job.method].search(replay, job.seed)
    seconds = time.process_time() - began - replay.seconds
    row = {**job._asdict(), "measured": MEASURED, "ms_per_proposal": 1000.0 * seconds / job.budget}
    if job.kind == "front":
        return row | {"accuracy": _short(replay.accuracy), "macs": replay.macs}
    return row | {"true": _short(replay.true.tolist()), "recommended": _short(replay.bets().tolist())}


def _short(values: list[float]) -> list[float]:
    return [round(value, 6) for value in values]


def jobs(seeds: int, methods: list[str]) -> list[Job]:
    """Every run that is wanted, seed by seed, so that what is there early compares."""
    return [
        Job(name, kind, seed, budget)
        for seed in range(1, seeds + 1)
        for name, method in METHODS.items()
        for kind, budget in (("exact", method.exact), ("noisy", method.noisy), ("front", method.front))
        if budget and (not methods or name in methods)
    ]


def read_results() -> dict[Job, dict[str, Any]]:
    """What was run before; a line that a kill cut off is left out."""
    found = {}
    for line in RESULTS.read_text().splitlines() if RESULTS.is_file() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        job = Job(row["method"], row["kind"], row["seed"], row["budget"])
        if row["measured"] == MEASURED and job.method in METHODS:
            found[job] = row
    wanted = set(jobs(max((job.seed for job in found), default=0), []))
    return {job: row for job, row in found.items() if job in wanted}


def run(table: str, seeds: int, methods: list[str], workers: int) -> None:
    """Run what is missing."""
    evaluator(table)  # fits the regressor once, before the processes share it
    missing = [job for job in jobs(seeds, methods) if job not in read_results()]
    print(f"{len(missing)} runs on {workers} processes")
    RESULTS.parent.mkdir(exist_ok=True)
    began = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(workers) as pool, RESULTS.open("a") as file:
        for number, row in enumerate(pool.imap_unordered(partial(run_job, table), missing), start=1):
            file.write(f"\n{json.dumps(row)}")
            file.flush()
            minutes = (time.perf_counter() - began) / 60
            print(f"{number}/{len(missing)} {minutes:.1f} min: {row['kind']} {row['method']} {row['seed']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("table", help="Accel-NASBench's archive")
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument(
        "--method", action="append", default=[], choices=METHODS, help="only this; repeatable"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", type=Path, help="put the tables into this page, between its markers")
    given = parser.parse_args()
    if given.what == "run":
        run(given.table, given.seeds, given.method, given.jobs)
    else:
        from benchmarks.sample_efficiency_report import report

        report(evaluator(given.table), list(read_results().values()), given.seeds, given.write)


if __name__ == "__main__":
    main()
