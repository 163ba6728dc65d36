"""Parts of the fault benchmark: searches in processes of their own, sabotage, and the account of a run.

A search here trains nothing: its evaluator makes an accuracy from the key, and keeps a diary of what began
and ended, against which the journal is held.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import results.history as history_module
import results.journal as journal_module
import results.reading as reading_module
from controller import Controller
from nas import SearchConfig, run_search
from nas import search as search_module
from results import Run
from tests.searching import Scripted, config
from trainers import create_executor

NAME = "t"
PATIENCE = 120.0  # seconds that anything may take here


@dataclass
class Account:
    """What faults did to one search.

    Attributes:
        name: of the fault.
        times: it was brought about.
        lost: results that were recorded before a fault, and not after it, or otherwise.
        twice: networks that had a result before a fault, and were trained after it.
        seconds: from the start of each session after a fault to the first candidate that began, without the
            start of Python and its imports.
        skipped: why it was not tried; None where it was.
        remarks: what is wrong.
    """

    name: str
    times: int = 0
    lost: int = 0
    twice: int = 0
    seconds: list[float] = field(default_factory=list)
    skipped: str | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, trained twice, or wrong."""
        return not (self.lost or self.twice or self.remarks)


@dataclass(frozen=True)
class Ground:
    """A folder for one search, with its diary.

    Attributes:
        folder: the search's current directory.
        budget: of the search.
        controller: who proposes.
        executor: the configuration's section.
        evaluator: of the search.
        cluster: whether it runs on one, whose address will stand in the file ``address`` of the folder.
    """

    folder: Path
    budget: int
    evaluator: Scripted
    controller: str = "ppo"
    executor: dict[str, Any] = field(default_factory=lambda: {"kind": "inline"})
    cluster: bool = False

    def config(self) -> SearchConfig:
        """The search's configuration."""
        options = {"batch": 4, "hidden": 16, "embedding": 8} if self.controller == "ppo" else {}
        return config(
            NAME,
            search={"candidates": self.budget, "keep_weights": 0},
            executor=self.executor,
            controller={"name": self.controller, "options": options},
        )

    def start(self, sabotage: Callable[[], None] = lambda: None) -> int:
        """Begin or resume the search in a forked process; its id."""
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            os.setsid()
            os.chdir(self.folder)
            with Path("log").open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            logging.basicConfig(level=logging.WARNING, force=True)
            sabotage()
            resume = Path("runs", NAME, "journal.db").is_file()
            address = awaited(Path("address")) if self.cluster else None
            run_search(self.config(), evaluator=self.evaluator, resume=resume, address=address)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    @property
    def run(self) -> Run:
        """The run's folder."""
        return Run(self.folder / "runs" / NAME)

    def finished(self) -> dict[str, float | None]:
        """Key to accuracy of what the journal holds as finished."""
        if not self.run.journal_path.is_file():
            return {}
        trials = self.run.trials()
        return {trial.key: trial.accuracy for trial in trials if trial.arrival is not None}

    def begun(self) -> list[str]:
        """Keys of what began to be evaluated, in order."""
        return self.evaluator.lines("begin")

    def log(self) -> str:
        """What the sessions printed."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.is_file() else ""


class Watch:
    """Holds a search against itself before and after a fault.

    Args:
        ground: where it runs.
        account: to be kept.
    """

    def __init__(self, ground: Ground, account: Account) -> None:
        self.ground, self.account = ground, account
        self.before: dict[str, float | None] = {}
        self.begun = 0
        self.began = time.monotonic()

    def fault(self) -> None:
        """A fault has just happened: what is finished now has to stay."""
        self.compare()
        self.account.times += 1
        self.before, self.begun = self.ground.finished(), len(self.ground.begun())

    def compare(self) -> None:
        """Count what was lost and what was trained twice since the last fault."""
        now, again = self.ground.finished(), set(self.ground.begun()[self.begun :])
        self.account.lost += sum(now.get(key, "gone") != value for key, value in self.before.items())
        self.account.twice += len(again & set(self.before))

    def resumed(self, process: int) -> None:
        """A session was started after a fault: wait until a candidate begins, or it ends."""
        self.began = time.monotonic()
        while len(self.ground.begun()) == self.begun and ended(process) is None:
            pause(self.began)
        self.account.seconds.append(time.monotonic() - self.began)

    def end(self, process: int) -> None:
        """The last session: it has to come to its end, with all that was asked for."""
        status = wait(process)
        self.compare()
        if status != 0:
            self.account.remarks.append(f"the last session ended with {status}: {self.ground.log()[-500:]}")
        if len(self.ground.finished()) != self.ground.budget:
            self.account.remarks.append(f"{len(self.ground.finished())} results of {self.ground.budget}")


def awaited(file: Path) -> str:
    """What stands in a file, once it is there."""
    began = time.monotonic()
    while not (file.is_file() and (text := file.read_text())):
        pause(began)
    return text


_ended: dict[int, int] = {}


def ended(process: int) -> int | None:
    """How a forked process ended (negative: by a signal); None while it runs."""
    if process not in _ended:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            _ended[process] = os.waitstatus_to_exitcode(status)
    return _ended.get(process)


def wait(process: int, seconds: float = PATIENCE) -> int:
    """Until a process has ended; how it did. One that takes too long is killed."""
    until = time.monotonic() + seconds
    while (status := ended(process)) is None:
        if time.monotonic() > until:
            os.kill(process, signal.SIGKILL)
            raise RuntimeError(f"a search did not end within {seconds:g} s")
        time.sleep(0.002)
    return status


def pause(began: float) -> None:
    """A moment, within patience."""
    if time.monotonic() - began > PATIENCE:
        raise RuntimeError("nothing happened")
    time.sleep(0.002)


def warm_up() -> None:
    """Import what a search imports on its way, so that forked ones need not."""
    importlib.import_module("torch._dynamo")
    importlib.import_module("torch.utils.tensorboard.writer")
    create_executor("ray", scratch=Path("unused"))  # Ray, after the settings that it reads when imported


def kill() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_statement(number: int) -> Callable[[], None]:
    """Dies before the n-th statement that the journal runs: between changes, in them, before their commit."""

    def sabotage() -> None:
        real, count = reading_module.connect, [0]

        def trace(statement: str) -> None:
            count[0] += 1
            if count[0] == number:
                kill()

        def connect(uri: str) -> sqlite3.Connection:
            connection = real(uri)
            connection.set_trace_callback(trace)
            return connection

        reading_module.connect = journal_module.connect = connect

    return sabotage


def in_line(number: int, share: float) -> Callable[[], None]:
    """Dies when a share of the n-th line of the history is written."""

    def sabotage() -> None:
        real, count = history_module._write, [0]

        def write(file: int, data: bytes) -> None:
            count[0] += 1
            if count[0] == number:
                os.write(file, data[: int(len(data) * share)])
                kill()
            real(file, data)

        history_module._write = write

    return sabotage


def in_update(number: int) -> Callable[[], None]:
    """Dies in the n-th ask or tell of the controller, when its state has changed and is not yet saved."""

    def sabotage() -> None:
        real, count = search_module.saved, [0]

        def saved(controller: Controller) -> bytes:
            count[0] += 1
            if count[0] == number:
                kill()
            return real(controller)

        search_module.saved = saved

    return sabotage


def after(seconds: float) -> Callable[[], None]:
    """Dies after a while, wherever it is then."""

    def sabotage() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process as it is, in C, as SIGKILL does
        signal.setitimer(signal.ITIMER_REAL, seconds)

    return sabotage


def clock_goes_back(seconds: float, readings: int) -> Callable[[], None]:
    """From some reading of the clock on, it is earlier than it was."""

    def sabotage() -> None:
        real, count = time.time, [0]

        def jumped() -> float:
            count[0] += 1
            return real() - (seconds if count[0] > readings else 0.0)

        time.time = jumped

    return sabotage
