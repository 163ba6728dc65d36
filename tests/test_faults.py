"""What happens to real processes: killed, interrupted, and continued."""

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas import open_run
from tests.searching import Scripted, config
from tests.test_search import assert_equal_states, replayed

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


def start(*arguments: str) -> subprocess.Popen[str]:
    """A command in a session of its own, with its output kept."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 90.0) -> None:
    """Until the condition holds or the process has ended."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        if process.poll() is not None:
            return
        time.sleep(0.005)


def finished_keys() -> set[str]:
    return {trial.key for trial in open_run("t").trials() if trial.arrival is not None}


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_kill_9_loses_no_result_and_trains_nothing_twice(in_tmp: Path, executor: str) -> None:
    diary, rng, budget = Scripted(in_tmp / "diary"), random.Random(7), 24
    command = ["-m", "tests.searching", "t", executor, str(budget)]
    survivors: list[tuple[set[str], int]] = []
    for kill in range(3 if executor == "inline" else 2):  # a start of Ray takes seconds
        process = start(*command, *(["--resume"] if kill else []))
        enough = len(diary.lines("end")) + 4
        wait_for(lambda enough=enough: len(diary.lines("end")) >= enough, process)
        time.sleep(rng.uniform(0.0, 0.06))
        process.kill()
        process.communicate()
        time.sleep(2.5 if executor == "ray" else 0.0)  # orphaned workers notice within 2 s
        survivors.append((finished_keys(), len(diary.lines("begin"))))
    process = start(*command, "--resume")
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    begins = diary.lines("begin")
    for finished, begun in survivors:
        assert len(finished) >= 2
        assert finished <= finished_keys()  # nothing that was recorded is lost
        assert not finished & set(begins[begun:])  # nor trained again
    trials = open_run("t").trials()
    assert [trial.status for trial in trials] == ["done"] * budget
    settings = config("t", search={"candidates": budget})
    controller, saved = replayed(open_run("t"), settings)
    assert_equal_states(controller.state_dict(), saved)


@pytest.mark.parametrize(("executor", "times"), [("inline", 1), ("ray", 1), ("ray", 2)])
def test_ctrl_c_stops_cleanly_and_the_printed_command_goes_on(
    in_tmp: Path, executor: str, times: int
) -> None:
    config_file = in_tmp / "t.yaml"
    config_file.write_text(
        "space: digits\nobjective: {target: 1e6}\nprotocol: {epochs: 1, batch: 256}\n"
        f"search: {{candidates: 60}}\nexecutor: {{kind: {executor}}}\n"
    )
    process = start("-m", "nas.cli", "search", str(config_file))
    wait_for(lambda: Path("runs/t/journal.db").is_file() and len(finished_keys()) >= 2, process)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 130
    assert out.startswith("t: interrupted; ")
    assert "Traceback" not in err
    counts = {trial.status for trial in open_run("t").trials()}
    assert counts <= {"done", "pending"}
    before = finished_keys()
    assert 2 <= len(before) < 60
    command = re.search(r"resume with: nas (.*)", err)
    assert command is not None
    if (executor, times) != ("ray", 1):
        return
    goes_on = start("-m", "nas.cli", *command[1].split(), "--set", f"search.candidates={len(before) + 2}")
    out, err = goes_on.communicate(timeout=90)
    assert goes_on.returncode == 0, err
    assert before <= finished_keys()
    assert len(finished_keys()) >= len(before) + 2


def test_sigterm_stops_cleanly_and_at_once(in_tmp: Path) -> None:
    process = start("-m", "tests.searching", "t", "ray", "4000")
    wait_for(lambda: Path("runs/t/journal.db").is_file() and len(finished_keys()) >= 2, process)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    with open_run("t").journal() as journal:
        assert [session.outcome for session in journal.sessions()] == ["interrupted"]
        assert not journal.counts().get("running", 0)


def test_a_search_can_be_read_while_it_runs(in_tmp: Path) -> None:
    process = start("-m", "tests.searching", "t", "inline", "4000")
    wait_for(lambda: Path("runs/t/journal.db").is_file() and len(finished_keys()) >= 2, process)
    status = subprocess.run(
        [sys.executable, "-m", "nas.cli", "status", "t"], capture_output=True, text=True, check=True
    )
    assert "t: running" in status.stdout
    second = subprocess.run(
        [sys.executable, "-m", "tests.searching", "t", "inline", "4000", "--resume"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "another search is running in this folder" in second.stderr
    process.kill()
    process.communicate()
    status = subprocess.run(
        [sys.executable, "-m", "nas.cli", "status", "t"], capture_output=True, text=True, check=True
    )
    assert "t: killed" in status.stdout
