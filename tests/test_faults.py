"""What happens to real processes: killed, interrupted, and continued."""

import random
import re
import signal
import time
from pathlib import Path

import pytest

from nas import open_run
from results import Session
from tests.processes import Forked, nas_command, start, wait_for
from tests.searching import Scripted, config, session
from tests.test_cli import nas
from tests.test_search import assert_equal_states, replayed

pytestmark = pytest.mark.slow


def finished_keys() -> set[str]:
    return {trial.key for trial in open_run("t").trials() if trial.arrival is not None}


def sessions() -> list[Session]:
    with open_run("t").journal() as journal:
        assert not journal.counts().get("running", 0) or journal.sessions()[-1].outcome is None
        return journal.sessions()


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_kill_9_loses_no_result_and_trains_nothing_twice(in_tmp: Path, executor: str) -> None:
    diary, rng, budget = Scripted(in_tmp / "diary"), random.Random(7), 24
    arguments = ("t", executor, str(budget))
    survivors: list[tuple[set[str], int]] = []
    # a start of Ray takes seconds: there SIGTERM takes the place of the second of three kills
    stops = [signal.SIGKILL, signal.SIGTERM] if executor == "ray" else [signal.SIGKILL] * 3
    for number, stop in enumerate(stops):
        resume = ["--resume"] if number else []
        if stop == signal.SIGTERM:  # an interpreter that must come to its end too
            process = start("-m", "tests.searching", *arguments, *resume)
        else:
            process = Forked(session, *arguments, *resume)
        enough = len(diary.lines("end")) + 4
        wait_for(lambda enough=enough: len(diary.lines("end")) >= enough, process)
        time.sleep(rng.uniform(0.0, 0.06))
        process.send_signal(stop)
        _, err = process.communicate()
        if stop == signal.SIGTERM:
            assert process.returncode == 0, err  # stops cleanly, what ran goes back to the queue
            assert sessions()[-1].outcome == "interrupted"
        elif executor == "ray":
            time.sleep(2.5)  # orphaned workers notice within 2 s
        survivors.append((finished_keys(), len(diary.lines("begin"))))
    process = Forked(session, "t", "inline", str(budget), "--resume")  # what Ray began goes on without it too
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    begins = diary.lines("begin")
    for finished, begun in survivors:
        assert len(finished) >= 2
        assert finished <= finished_keys()  # nothing that was recorded is lost
        assert not finished & set(begins[begun:])  # nor trained again
    trials = open_run("t").trials()
    assert [trial.status for trial in trials] == ["done"] * budget
    assert open_run("t").recommended() == open_run("t").best()  # the bet of this controller
    settings = config("t", search={"candidates": budget})
    controller, saved = replayed(open_run("t"), settings)
    assert_equal_states(controller.state_dict(), saved)


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_ctrl_c_stops_cleanly_and_the_printed_command_goes_on(in_tmp: Path, executor: str) -> None:
    config_file = in_tmp / "t.yaml"
    config_file.write_text(
        "space: digits\nobjective: {target: 1e6}\nprotocol: {epochs: 1, batch: 256}\n"
        f"search: {{candidates: 60}}\nexecutor: {{kind: {executor}}}\n"
    )
    process = nas_command("search", str(config_file))
    wait_for(lambda: Path("runs/t/journal.db").is_file() and len(finished_keys()) >= 2, process)
    process.send_signal(signal.SIGINT)
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
    goes_on = nas_command(*command[1].split())
    wait_for(lambda: len(finished_keys()) >= len(before) + 2, goes_on)
    goes_on.send_signal(signal.SIGINT)
    if executor == "ray":  # twice: at once; inline may be through with what ran before the second comes
        time.sleep(0.2)
        goes_on.send_signal(signal.SIGINT)
    out, err = goes_on.communicate(timeout=60)
    assert goes_on.returncode == 130, err
    assert ("stopping now" in err) == (executor == "ray")
    assert before < finished_keys()
    assert {trial.status for trial in open_run("t").trials()} <= {"done", "pending"}


def test_a_search_can_be_read_while_it_runs(in_tmp: Path, capsys) -> None:
    process = start("-m", "tests.searching", "t", "inline", "4000")
    wait_for(lambda: Path("runs/t/journal.db").is_file() and len(finished_keys()) >= 2, process)
    assert "t: running" in nas(capsys, "status", "t")[1]
    second = Forked(session, "t", "inline", "4000", "--resume")
    assert "another search is running in this folder" in second.communicate(timeout=60)[1]
    process.kill()
    process.communicate()
    assert "t: killed" in nas(capsys, "status", "t")[1]
