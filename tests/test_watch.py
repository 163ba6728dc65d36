"""`nas status --watch`: from another process while a search runs, through a pipe and on a terminal."""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import os
import pty
import re
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, Group

from nas import run_search
from nas.watch import PlainLines, Watcher
from nas.watch_views import ASCII_BLOCKS, BLOCKS, Sight, draw, plain_line, sparkline
from results import Event, Run, Status, create_run, open_run, status_of
from search_space import InputError
from tests.processes import Forked
from tests.searching import Scripted, config, session
from tests.test_cli import nas

WATCH = [sys.executable, "-m", "nas.cli", "status", "t", "--watch", "--every", "0.2"]


@pytest.fixture
def status(in_tmp: Path) -> Status:
    """Of a search of 8 candidates, two of which failed, as if it still ran."""
    run = run_search(
        config(search={"candidates": 8}), evaluator=Scripted(in_tmp / "diary", acts={2: "raise", 3: "nan"})
    ).run
    now = status_of(run)
    trials = [replace(now.results[i], id=100 + i, status="running") for i in range(3)]
    return replace(now, state="running", running=trials, workers=3, seconds_left=65.0, budget=16)


@contextmanager
def searching(budget: int, seconds: float, *options: str) -> Iterator[Forked]:
    """Another process that searches; its session has begun."""
    process = Forked(session, "t", "inline", str(budget), "--seconds", str(seconds), *options)
    try:
        until = time.monotonic() + 60
        while not _has_session():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


def _has_session() -> bool:
    if not Path("runs/t/journal.db").is_file():
        return False
    with open_run("t").journal() as journal:
        return bool(journal.sessions())


def empty_run(budget: int) -> None:
    """A run whose search has not begun: to be watched from its beginning, however slow the machine is."""
    create_run("t", config(search={"candidates": budget}).to_yaml())


# --- what is drawn ------------------------------------------------------------------------------------


def test_a_screen_of_any_size_is_never_left(status: Status) -> None:
    events = [Event(1, 0.0, "worker lost", "candidate 3: " + "long words " * 40)]
    sight = Sight(name="t", at=0.0, status=replace(status, events=events), trouble="locked " * 30)
    for width, height in itertools.product([20, 50, 80, 120], [1, 5, 24, 60]):
        lines = draw(sight, width, height)
        assert 1 <= len(lines) <= height
        assert all(line.cell_len <= width for line in lines)
        console = Console(width=width, height=height, record=True, file=io.StringIO())
        console.print(Group(*lines))
        assert len(console.export_text().splitlines()) == len(lines)  # nothing wraps


def test_the_screen_has_the_facts(status: Status) -> None:
    best = status.best
    assert best is not None
    facts = ["t  running", "8/16", "50 %", f"{100 * best.accuracy:.2f} %", f"{best.reward:.4f}"]
    facts += ["1:05 left", "2 failed", "3 running on 3 workers", "100 1:17", "CUDA out of memory"]
    facts += [best.network().stages[0].operator.replace("mbconv", "mb"), "result  accuracy  reward"]
    for width in (50, 80, 120):
        sight = Sight(name="t", at=0.0, status=status, seen={100: 77.0})
        lines = [line.plain for line in draw(sight, width, 40)]
        text = "\n".join(lines)
        for fact in facts:
            assert fact in text
        (curve,) = [line for line in lines if line.startswith("best reward")]
        assert set(BLOCKS) & set(curve)
        assert lines[-1].startswith("read ")


def test_only_what_matters_most_is_on_a_low_screen(status: Status) -> None:
    lines = [line.plain for line in draw(Sight(name="t", at=0.0, status=status), 80, 4)]
    assert [line.split()[0] for line in lines][:1] == ["t"]
    assert "8/16" in lines[1]
    assert lines[3].startswith("best ")


def test_a_terminal_without_unicode_gets_none(status: Status) -> None:
    for line in draw(Sight(name="t", at=0.0, status=status, trouble="x" * 99), 60, 40, ascii_only=True):
        assert line.plain.isascii()


def test_before_anything_is_known_it_says_so(status: Status) -> None:
    assert len(draw(Sight(name="t", at=0.0, status=None, trouble="locked"), 80, 24)) == 3
    none = replace(status, best=None, recommended=None, results=[], running=[], failures={}, counts={})
    assert any("no result yet" in line.plain for line in draw(Sight(name="t", at=0.0, status=none), 80, 24))
    waiting = Sight(name="t", at=0.0, status=replace(none, state="new"))
    assert not waiting.ended
    assert any("waits" in line.plain for line in draw(waiting, 80, 24))
    assert plain_line(waiting).endswith("t: waits for the search to begin")


def test_what_errors_say_does_nothing_to_the_terminal(status: Status, capsys) -> None:
    wicked = "\x1b[2J\x1b]0;title\x07 [bold]red[/bold]\r\nline\u202e"
    event = Event(1, 0.0, "worker lost", wicked)
    failed = [replace(trial, error=wicked) for trial in status.failed]
    told = replace(status, events=[event], failures={wicked: 3}, failed=failed, results=failed)
    sight = Sight(name=wicked, at=0.0, status=told, trouble=wicked)
    for line in draw(sight, 120, 40):
        assert line.plain.isprintable()
    assert plain_line(sight).isprintable()
    lines = PlainLines()
    lines.show(replace(sight, status=replace(told, events=[])))
    lines.show(sight)
    captured = capsys.readouterr()
    assert "[bold]red[/bold]" in captured.out
    assert "\x1b" not in captured.out + captured.err
    assert "\r" not in captured.out


@given(st.lists(st.floats(-1e6, 1e6), max_size=200), st.integers(0, 80), st.booleans())
def test_a_sparkline_fits_and_its_ends_are_the_lowest_and_the_highest(
    values: list[float], width: int, last: bool
) -> None:
    curve = sparkline(values, width, ASCII_BLOCKS, last)
    assert len(curve) == min(width, len(values))
    assert set(curve) <= set(ASCII_BLOCKS)
    if curve and width >= len(values) and max(values) > min(values):
        assert curve[int(np.argmax(values))] == ASCII_BLOCKS[-1]
        assert curve[int(np.argmin(values))] == ASCII_BLOCKS[0]
    if last:
        rising = sparkline(sorted(values), width, ASCII_BLOCKS, last)
        heights = [ASCII_BLOCKS.index(letter) for letter in rising]
        assert heights == sorted(heights)


def test_the_numbers_beside_a_curve_are_of_what_is_drawn(status: Status) -> None:
    trial = status.results[-1]
    many = [replace(trial, id=i, reward=float(i % 2)) for i in range(1000)]  # 20 or more to a character
    text = [
        line.plain for line in draw(Sight(name="t", at=0.0, status=replace(status, results=many)), 60, 40)
    ]
    (curve,) = [line for line in text if line.startswith("rewards")]
    assert re.search(r" 0\.[45]\d+ to 0\.[45]\d+$", curve)  # means of many: neither 0 nor 1 is drawn
    (best,) = [line for line in text if line.startswith("best reward")]
    assert best.endswith(" 1.0000 to 1.0000")


def test_a_slow_search_has_a_rate_too(status: Status) -> None:
    slow = replace(status, candidates_per_hour=0.4)
    assert "; 0.4/h; " in plain_line(Sight(name="t", at=0.0, status=slow))
    text = [line.plain for line in draw(Sight(name="t", at=0.0, status=slow), 80, 40)]
    assert any("0.4 an hour" in line for line in text)


# --- when is read -------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass only in reading."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_no_more_than_a_fifth_of_the_time_goes_to_reading(status: Status) -> None:
    clock, run = Clock(), open_run("t")

    def slow(run: Run) -> Status:
        clock.now += 1.0
        return status

    watcher = Watcher(run, 2.0, slow, clock)
    assert watcher.look().seen == {100: 0.0, 101: 0.0, 102: 0.0}
    assert watcher.pause == 4.0
    clock.now += watcher.pause
    assert watcher.look().seen[100] == 5.0
    assert Watcher(run, 10.0, slow, clock).pause == 10.0


def test_a_candidate_that_begins_again_is_seen_anew(status: Status) -> None:
    clock = Clock()
    now = [status]
    watcher = Watcher(open_run("t"), 1.0, lambda run: now[0], clock)
    watcher.look()
    clock.now = 9.0
    assert watcher.look().seen[100] == 9.0
    now[0] = replace(status, running=[replace(t, attempts=t.attempts + 1) for t in status.running])
    assert watcher.look().seen[100] == 0.0


def test_a_journal_that_is_locked_is_tried_again(status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = []

    def read(run: Run) -> Status:
        if errors:
            raise errors.pop()
        return status

    run = open_run("t")
    watcher = Watcher(run, 1.0, read)
    errors.append(InputError("t: cannot be opened now: another program has locked it"))
    with run.lock():  # a search is there
        first = watcher.look()
        assert (first.status, first.ended) == (None, False)
        assert "locked" in (first.trouble or "")
        assert watcher.look().trouble is None
        errors += [sqlite3.OperationalError("database is locked")] * 9
        for _ in range(9):
            sight = watcher.look()
            assert sight.status is status
            assert sight.trouble == "database is locked"
            assert not sight.ended
    watcher.look()
    errors += [OSError("gone")] * 9
    for _ in range(4):
        assert watcher.look().trouble == "gone"
    with pytest.raises(OSError, match="gone"):  # nobody searches, and it stays so
        watcher.look()
    with pytest.raises(OSError, match="gone"):  # at the start it is a mistake of the user's
        Watcher(run, 1.0, read).look()


def test_a_search_that_does_not_run_is_shown_once(status: Status, capsys) -> None:
    code, out, err = nas(capsys, "status", "t", "--watch")
    assert code == 0
    assert err == "t: no search runs; this is how it stands\n"
    assert out == nas(capsys, "status", "t")[1]
    code, out, _ = nas(capsys, "status", "t", "--watch", "--json")
    assert code == 0
    (line,) = out.splitlines()
    assert json.loads(line)["state"] == "finished"


def test_mistakes_are_told_in_one_line(status: Status, capsys) -> None:
    for words, message in [
        (["t", "--every", "3"], "--every goes with --watch"),
        (["t", "--watch", "--every", "0"], "Invalid value for '--every'"),
        (["u", "--watch"], "no run 'u' under runs/"),
    ]:
        code, out, err = nas(capsys, "status", *words)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1


# --- beside a search ----------------------------------------------------------------------------------


@pytest.mark.parametrize("terminal", [False, True])
def test_without_a_terminal_there_are_lines_and_no_control_codes(in_tmp: Path, terminal: bool) -> None:
    """The pseudo-terminal is one whose user wants no colours."""
    empty_run(8)
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm"}
    reader, writer = pty.openpty() if terminal else os.pipe()
    watch = subprocess.Popen(WATCH, stdout=writer, stderr=subprocess.PIPE, env=environment)
    os.close(writer)
    text = _read(reader, until=b"t: waits for the search to begin")
    with searching(8, 0.15, "--resume"):
        text += _read(reader, until=b" t running: ")  # comes while it runs
        text += _read(reader)
        assert watch.communicate(timeout=30)[1] == b""
    assert watch.returncode == 0
    assert b"\x1b" not in text
    lines = text.decode().splitlines()
    first_of_status = lines.index(next(line for line in lines if line.startswith("t: finished; 8 done")))
    assert " t finished: 8/8; best " in lines[first_of_status - 1]
    assert "best so far" in lines[first_of_status + 2]


def test_json_lines_are_documents(in_tmp: Path) -> None:
    empty_run(6)
    watch = subprocess.Popen([*WATCH, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watch.stdout is not None
    first = json.loads(watch.stdout.readline())
    with searching(6, 0.15, "--resume"):
        out, err = watch.communicate(timeout=60)
    documents = [first, *(json.loads(line) for line in out.splitlines())]
    assert [documents[i]["state"] for i in (0, 1, -1)] == ["new", "running", "finished"]
    assert documents[-1]["counts"] == {"done": 6}
    assert any(document["running"] for document in documents)
    assert (watch.returncode, err) == (0, "")


def test_a_search_that_is_killed_is_told(in_tmp: Path) -> None:
    with searching(50, 0.2) as search:
        watch = subprocess.Popen(WATCH, stdout=subprocess.PIPE, text=True)
        assert watch.stdout is not None
        watch.stdout.readline()
        search.kill()
        out, _ = watch.communicate(timeout=30)
    assert watch.returncode == 0
    assert "t: killed; " in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_on_a_terminal_it_is_live_and_leaves_the_terminal_as_it_was(in_tmp: Path, number: int) -> None:
    with searching(200, 0.15) as search:
        watch, terminal = _on_a_terminal(24, 80)
        text = _read(terminal, until=b"result  accuracy")
        text += _read(terminal, until=b"Ctrl-C ends the watching only")
        assert b"\x1b[?25l" in text  # no cursor
        assert b"\x1b[?1049h" in text  # a screen of its own
        for word in (b"running", b"/200", b" left", b"best reward"):
            assert word in text
        watch.send_signal(number)
        text = _read(terminal)
        assert watch.wait(timeout=30) == 128 + number
        assert text.rfind(b"\x1b[?25h") > text.rfind(b"\x1b[?25l")  # the cursor is back
        assert text.rfind(b"\x1b[?1049l") > text.rfind(b"\x1b[?1049h")
        assert b"Traceback" not in text
        assert search.poll() is None


def test_on_a_terminal_the_final_status_stays(in_tmp: Path) -> None:
    empty_run(6)
    watch, terminal = _on_a_terminal(20, 50)
    text = _read(terminal, until=b"waits for the search to begin")
    with searching(6, 0.1, "--resume"):
        text += _read(terminal)
        assert watch.wait(timeout=30) == 0
    after = text[text.rfind(b"\x1b[?1049l") :]
    assert b"t: finished; 6 done" in after
    assert b"\x1b[?25h" in text


def _on_a_terminal(height: int, width: int) -> tuple[subprocess.Popen[bytes], int]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    environment = {name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    watch = subprocess.Popen(
        WATCH,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(theirs)
    return watch, ours


def _read(descriptor: int, until: bytes | None = None, seconds: float = 60.0) -> bytes:
    """What comes until a word, or the end, when it is closed."""
    text, end = b"", time.monotonic() + seconds
    while until is None or until not in text:
        left = end - time.monotonic()
        assert left > 0, text
        if not select.select([descriptor], [], [], left)[0]:
            continue
        try:
            more = os.read(descriptor, 65536)
        except OSError:  # how a terminal says that nobody writes any more
            more = b""
        if not more:
            os.close(descriptor)
            return text
        text += more
    return text
