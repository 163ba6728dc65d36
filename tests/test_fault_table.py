"""Faults on real processes: no result is lost, nothing is trained twice, the journal stays sound.

``make stress`` brings each about more often.
"""

import os
import sys
import warnings
from pathlib import Path

import pytest

from benchmarks import faults as benchmark
from benchmarks.fault_parts import Account, Ground, Watch
from tests.processes import Forked
from tests.searching import Scripted

STRESS = int(os.environ.get("STRESS_FAULTS", "0"))  # times; 20 and more of the kills in ``make stress``

# what runs in one process for how many times, and whether it starts Ray
GROUPS = [
    ({"killed": 10}, False),
    ({"interrupted": 3, "clock": 2, "second": 1}, False),
    ({"full_disk": 1, "locked": 1, "truncated": 4}, False),
    ({"killed_with_ray": 1}, True),
]


@pytest.mark.slow
@pytest.mark.parametrize(("faults", "ray"), GROUPS, ids=["-".join(faults) for faults, _ in GROUPS])
@pytest.mark.timeout(1500 if STRESS else 240)
def test_a_fault_loses_no_result_and_trains_nothing_twice(in_tmp: Path, faults, ray: bool) -> None:
    bring_about({name: max(times, STRESS // 5 if ray else STRESS) for name, times in faults.items()})


@pytest.mark.slow
@pytest.mark.skipif(
    not STRESS, reason="make stress; test_cluster.py has a node die, test_executors.py workers"
)
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("fault", ["workers", "nodes"])
def test_workers_and_nodes_that_die_lose_no_result(in_tmp: Path, fault: str) -> None:
    bring_about({fault: STRESS // 5})


def bring_about(faults: dict[str, int]) -> None:
    """Run the benchmark, in a process of its own, and hold its table against what it may say."""
    process = Forked(table_of, ["--only", *faults, "--times", *map(str, faults.values())])
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    rows = [line.strip("|").split("|") for line in out.splitlines()[2:] if line.startswith("|")]
    assert len(rows) == len(faults)
    for (name, times), cells in zip(faults.items(), rows, strict=True):
        _, brought, lost, twice, _ = (cell.strip() for cell in cells)
        if brought.startswith("not tried"):
            warnings.warn(f"{name}: {brought}", stacklevel=1)
            continue
        assert int(brought) >= times
        assert (lost, twice) == ("0", "0")


def table_of(words: list[str]) -> None:
    """The benchmark's command line."""
    sys.argv = ["faults", *words]
    benchmark.main()


def test_the_account_counts_what_is_lost_and_what_is_trained_twice(in_tmp: Path, monkeypatch) -> None:
    diary = Scripted(in_tmp / "diary")
    account = Account("made up")
    watch = Watch(Ground(in_tmp, 3, diary), account)
    now = {"a": 0.5, "b": 0.25}
    monkeypatch.setattr(Ground, "finished", lambda ground: dict(now))
    diary.write("begin", "a")
    diary.write("begin", "b")
    watch.fault()
    diary.write("begin", "c")
    watch.compare()
    assert account.holds
    diary.write("begin", "b")
    now["a"] = 0.75
    watch.compare()
    assert (account.lost, account.twice, account.holds) == (1, 1, False)
