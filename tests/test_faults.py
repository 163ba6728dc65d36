"""What happens to real processes: killed, interrupted, and continued."""

import re
import signal
import time
from pathlib import Path

import pytest

from nas import open_run
from tests.processes import Forked, nas_command, wait_for
from tests.searching import session
from tests.test_cli import nas

pytestmark = pytest.mark.slow


def finished_keys() -> set[str]:
    return {trial.key for trial in open_run("t").trials() if trial.arrival is not None}


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
    process = Forked(session, "t", "inline", "4000")
    wait_for(lambda: Path("runs/t/journal.db").is_file() and len(finished_keys()) >= 2, process)
    assert "t: running" in nas(capsys, "status", "t")[1]
    second = Forked(session, "t", "inline", "4000", "--resume")
    assert "another process is at work in this folder" in second.communicate(timeout=60)[1]
    process.kill()
    process.communicate()
    assert "t: killed" in nas(capsys, "status", "t")[1]
