"""What faults do to a search: a table of results lost (0), networks trained twice (0) and time to resume.

    python -m benchmarks.faults
    python -m benchmarks.faults --only killed --times 500

Every fault is brought about on real processes, in temporary folders. Afterwards the journal is held against
the diary of what was really evaluated, and the controller's state against a replay of the journal. The
evaluations are made up (they take 20 ms); all else is what ``nas search`` runs. The last column leaves out
the start of Python and its imports.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.fault_parts import (
    Account,
    Ground,
    Watch,
    after,
    at_statement,
    clock_goes_back,
    ended,
    in_line,
    in_update,
    pause,
    wait,
    warm_up,
)
from nas.doctor import Replays, examine
from nas.doctor_repair import repair
from results import Run, status_of
from tests.searching import Scripted

ROOT = Path(__file__).parent.parent


@contextmanager
def ground(
    budget: int,
    *,
    seconds: float = 0.02,
    acts: dict[int, str] | None = None,
    cluster: bool = False,
    **executor: Any,
) -> Iterator[Ground]:
    """A folder for a search, removed afterwards.

    Args:
        budget: of the search.
        seconds: an evaluation takes.
        acts: see `Scripted`.
        cluster: see `Ground`.
        executor: the configuration's section; nothing is one process.
    """
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    evaluator = Scripted(folder / "diary", seconds / 2, acts or {})
    section = executor or {"kind": "inline"}
    try:
        yield Ground(folder, budget, evaluator, executor=section, cluster=cluster)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(place: Ground, account: Account) -> None:
    """The journal is sound, and the controller's state that of an undisturbed replay."""
    found = examine(place.run, Replays())
    account.remarks += [finding.text for finding in found.findings if finding.severity == "error"]
    if found.controller != "sound":
        account.remarks.append(f"the controller's state is {found.controller}")


def killed(times: int, seed: int) -> Account:
    """The driver, anywhere: before any statement, within a line of the history, in an update, at any time."""
    account, rng = Account("driver killed (kill -9), anywhere"), random.Random(seed)
    with ground(5 + 3 * times, seconds=0.0) as place:
        watch = Watch(place, account)
        for _ in range(times):
            how = rng.choice(
                [
                    at_statement(rng.randint(1, 120)),
                    in_line(rng.randint(2, 20), rng.random()),
                    in_update(rng.randint(1, 8)),
                    after(rng.uniform(0.05, 0.6)),
                ]
            )
            process = place.start(how)
            watch.resumed(process)
            wait(process)
            watch.fault()
        process = place.start()
        watch.end(process)
        check(place, account)
    return account


def interrupted(times: int, seed: int) -> Account:
    """Ctrl-C once and twice, and SIGTERM."""
    account, rng = Account("Ctrl-C once, twice, SIGTERM"), random.Random(seed)
    with ground(5 + 8 * times) as place:
        watch = Watch(place, account)
        for number in range(times):
            process = place.start()
            watch.resumed(process)
            time.sleep(rng.uniform(0.0, 0.1))
            for _ in range(2 if number % 3 == 1 else 1):
                if ended(process) is None:
                    os.kill(process, signal.SIGTERM if number % 3 == 2 else signal.SIGINT)
            if wait(process) != 0:
                account.remarks.append("a search that was interrupted did not end well")
            if status_of(place.run).state not in ("interrupted", "finished"):
                account.remarks.append("not said to be interrupted")
            watch.fault()
        watch.end(place.start())
        check(place, account)
    return account


def full_disk(times: int, seed: int) -> Account:
    """No room left for the journal: the search waits; room again: it goes on."""
    account = Account("disk full, then room again")
    with ground(12 + 12 * times) as place, small_disk(place.folder / "runs", account) as mounted:
        if not mounted:
            return account
        watch, ballast = Watch(place, account), place.folder / "runs" / "ballast"
        process = place.start()
        for _ in range(times):
            watch.resumed(process)
            fill(ballast)
            began, said = time.monotonic(), place.log().count("the disk is full")
            while place.log().count("the disk is full") == said and ended(process) is None:
                pause(began)
            time.sleep(0.2)
            watch.fault()
            ballast.unlink()
        watch.end(process)
        events = status_of(place.run).events
        if sum(event.kind == "waited" for event in events) < times:
            account.remarks.append("status does not tell of the wait")
        check(place, account)
    return account


@contextmanager
def small_disk(folder: Path, account: Account) -> Iterator[bool]:
    """A file system of 16 MB, where one may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        account.skipped = "there is no mount command"
    else:
        account.skipped = f"a tmpfs cannot be mounted: {done.stderr.strip()}" if done.returncode else None
    try:
        yield account.skipped is None
    finally:
        if account.skipped is None:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Leave no room on a disk."""
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def locked(times: int, seed: int) -> Account:
    """Another program holds the journal for longer than SQLite waits."""
    account = Account("journal locked by another program")
    with ground(12 + 12 * times) as place:
        watch = Watch(place, account)
        process = place.start()
        for _ in range(times):
            watch.resumed(process)
            other = sqlite3.connect(place.run.journal_path, isolation_level=None, timeout=60)
            other.execute("BEGIN IMMEDIATE")
            watch.fault()
            began = time.monotonic()
            while place.log().count("another program has locked it") < account.times:
                pause(began)
            other.execute("ROLLBACK")
            other.close()
        watch.end(process)
        check(place, account)
    return account


def truncated(times: int, seed: int) -> Account:
    """The journal cut off anywhere, or overwritten; ``nas doctor --repair`` makes it anew."""
    account, rng = Account("journal truncated or overwritten"), random.Random(seed)
    with ground(5 + 3 * times, seconds=0.0) as place:
        watch = Watch(place, account)
        wait(place.start(at_statement(60)))
        for _ in range(times):
            process = place.start(at_statement(rng.randint(20, 90)))
            watch.resumed(process)
            wait(process)
            watch.fault()
            damage(place.run.journal_path, rng)
            mend(place.run)
            watch.compare()
        watch.end(place.start())
        check(place, account)
    return account


def mend(run: Run) -> None:
    """What ``nas doctor --repair`` does."""
    replays = Replays()
    with run.lock():
        repair(examine(run, replays, held=True), replays)


def damage(journal: Path, rng: random.Random) -> None:
    """Cut a file off, or overwrite a part of it; its WAL goes with it."""
    size = journal.stat().st_size
    for other in ("-wal", "-shm"):
        journal.with_name(journal.name + other).unlink(missing_ok=True)
    if rng.random() < 0.5:
        os.truncate(journal, rng.randrange(size))
        return
    with journal.open("r+b") as file:
        file.seek(rng.randrange(size))
        file.write(rng.randbytes(8192))


def second(times: int, seed: int) -> Account:
    """Another search is started on the folder of one that runs: it is refused."""
    account = Account("second search on one folder")
    with ground(10 + 15 * times, seconds=0.2) as place:  # a start waits two seconds for the lock
        watch = Watch(place, account)
        process = place.start()
        watch.resumed(process)
        for _ in range(times):
            watch.fault()
            if wait(place.start()) == 0 and ended(process) is None:
                account.remarks.append("the second was not refused")
        if "another process is at work in this folder" not in place.log():
            account.remarks.append("the second was not told why")
        watch.end(process)
        check(place, account)
    return account


def clock(times: int, seed: int) -> Account:
    """The machine's clock goes back by an hour in a session, and every session is an hour earlier."""
    account, rng = Account("clock goes back by hours"), random.Random(seed)
    with ground(5 + 6 * times) as place:
        watch = Watch(place, account)
        for number in range(1, times + 1):
            process = place.start(clock_goes_back(3600.0 * number, rng.randint(1, 40)))
            watch.resumed(process)
            time.sleep(rng.uniform(0.05, 0.3))
            if ended(process) is None:
                os.kill(process, signal.SIGKILL)
            wait(process)
            watch.fault()
            rate = status_of(place.run).candidates_per_hour
            if rate is not None and not 0 < rate < 3600 / 0.01:
                account.remarks.append(f"{rate:.0f} candidates an hour")
        watch.end(place.start())
        check(place, account)
    return account


def killed_with_ray(times: int, seed: int) -> Account:
    """The driver of a search on Ray workers, and at every second time SIGTERM; workers end by themselves."""
    account, rng = (
        Account("driver killed (kill -9) or ended (SIGTERM), with Ray workers"),
        random.Random(seed),
    )
    with ground(4 + 12 * times, kind="ray", workers=2) as place:
        watch = Watch(place, account)
        for number in range(times):
            process = place.start()
            watch.resumed(process)
            enough = len(place.finished()) + 3
            while len(place.finished()) < enough and ended(process) is None:
                pause(watch.began)
            time.sleep(rng.uniform(0.0, 0.05))
            os.kill(process, signal.SIGTERM if number % 2 else signal.SIGKILL)
            if (wait(process) == 0) != bool(number % 2):
                account.remarks.append("SIGTERM did not end it well")
            time.sleep(0.0 if number % 2 else 3.0)
            watch.fault()
        process = place.start()
        watch.resumed(process)
        watch.end(process)
        check(place, account)
    return account


def workers(times: int, seed: int) -> Account:
    """Candidates that kill their worker, raise, are not a number, hang, and want too much memory."""
    account = Account("worker killed in mid-epoch, candidate raises, NaN, hangs, out of memory")
    kinds = ("die", "raise", "nan", "hang", "eat memory")
    acts = {3 + 2 * number: kinds[number % len(kinds)] for number in range(len(kinds) * times)}
    executor = {"kind": "ray", "workers": 2, "time_limit": 3.0, "memory": 0.5}
    with ground(8 + 2 * len(acts), acts=acts, **executor) as place:
        watch = Watch(place, account)
        watch.end(place.start())
        account.times = len(acts)
        trials = place.run.trials()
        done = {trial.key for trial in trials if trial.status == "done"}
        ends = place.evaluator.lines("end")
        account.lost, account.twice = len(set(ends) - done), len(ends) - len(set(ends))
        failed = sorted(
            (trial.error or "").split(":")[0][:16] for trial in trials if trial.status == "failed"
        )
        expected = sorted(["RuntimeError", "ValueError", "MemoryError", "took longer than"] * times)
        if failed != expected:
            account.remarks.append(f"failed for {failed}, and not for {expected}")
        lost = [event for event in status_of(place.run).events if event.kind == "worker lost"]
        if len(lost) != times:
            account.remarks.append(f"{len(lost)} lost workers told of, and not {times}")
        check(place, account)
    return account


def nodes(times: int, seed: int) -> Account:
    """Nodes of a cluster die in mid-epoch and others join."""
    account = Account("node killed in mid-epoch, another joins")
    with ground(6 + 6 * times, seconds=2.0, kind="ray", cluster=True) as place:
        process = place.start()  # before this process has threads of Ray's, which no fork survives
        from ray.cluster_utils import Cluster

        memory = {"object_store_memory": 2**28}
        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory}
        )
        try:
            node, watch = cluster.add_node(num_cpus=1, **memory), Watch(place, account)
            (place.folder / "address").write_text(cluster.address)
            for _ in range(times):
                before, began = len(place.begun()), time.monotonic()
                while len(place.begun()) < before + 4 and ended(process) is None:
                    pause(began)
                cluster.remove_node(node, allow_graceful=False)
                watch.fault()
                node = cluster.add_node(num_cpus=1, **memory)
            watch.end(process)
        finally:
            cluster.shutdown()
        kinds = {event.kind for event in status_of(place.run).events}
        if not {"node left", "node joined", "worker lost"} <= kinds:
            account.remarks.append(f"status tells of {', '.join(sorted(kinds)) or 'nothing'} only")
        check(place, account)
    return account


ROUND = 10
Fault = Callable[[int, int], Account]
FAULTS: dict[str, tuple[Fault, int]] = {  # and how often it is brought about
    "killed": (killed, 50),
    "interrupted": (interrupted, 9),
    "full_disk": (full_disk, 3),
    "locked": (locked, 3),
    "truncated": (truncated, 20),
    "second": (second, 3),
    "clock": (clock, 5),
    "killed_with_ray": (killed_with_ray, 3),
    "workers": (workers, 2),
    "nodes": (nodes, 3),
}


def in_rounds(fault: Fault, times: int, seed: int) -> Account:
    """A fault that often, at most ten times to a search: a long one comes to the end of its small space."""
    rounds = [min(ROUND, times - done) for done in range(0, times, ROUND)]
    accounts = [fault(number, seed + which) for which, number in enumerate(rounds)]
    whole = accounts[0]
    for account in accounts[1:]:
        whole.times += account.times
        whole.lost += account.lost
        whole.twice += account.twice
        whole.seconds += account.seconds
        whole.remarks += account.remarks
    return whole


def row(account: Account) -> str:
    """A line of the table."""
    if account.skipped is not None:
        return f"| {account.name} | not tried: {account.skipped} | | | |"
    resume = f"{statistics.median(account.seconds):.2f} s" if account.seconds else "-"
    return f"| {account.name} | {account.times} | {account.lost} | {account.twice} | {resume} |"


def main() -> None:
    """Bring faults about, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=[*FAULTS])
    parser.add_argument("--times", type=int, nargs="+", help="of each, or of all; by default its own number")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    given = arguments.times or [FAULTS[name][1] for name in arguments.only]
    if len(given) not in (1, len(arguments.only)) or min(given) < 1:
        parser.error("--times: one positive number, or one for each fault")
    warm_up()
    os.environ["PYTHONPATH"] = str(ROOT)  # for workers
    print("| fault | times | results lost | trained twice | next candidate begins after (median) |")
    print("|---|---|---|---|---|", flush=True)
    remarks, held = [], True
    for name, times in zip(arguments.only, given * (len(arguments.only) // len(given)), strict=True):
        account = in_rounds(FAULTS[name][0], times, arguments.seed)
        print(row(account), flush=True)
        held &= account.holds
        remarks += [f"{account.name}: {remark}" for remark in account.remarks]
    for remark in remarks:
        print(remark)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
