"""Real processes for tests that kill, interrupt and continue.

A fresh interpreter imports torch and Ray for seconds; a fork of one that has imported them begins at once,
and a signal ends both in the same way.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.imported"])


class Forked:
    """A forked process, used like `subprocess.Popen`: it calls a function of a module and ends.

    It has a session, a directory and an environment of its own, these two as they were at its start, and ends
    with the tests at the latest. It must not use `multiprocessing` itself.
    """

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self._written = [tempfile.NamedTemporaryFile("r") for _ in range(2)]  # noqa: SIM115 -- see communicate
        names = [file.name for file in self._written]
        self._process = _FORKS.Process(
            target=_begin, args=(names, str(Path.cwd()), dict(os.environ), call, arguments), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, the negative number of the signal that ended it, or None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; what it wrote to standard output and standard error.

        Raises:
            subprocess.TimeoutExpired: it runs on after that many seconds, and was killed.
        """
        self._process.join(timeout)
        late = self.poll() is None
        if late:
            self.kill()
            self._process.join()
        out, err = (file.read() for file in self._written)
        for file in self._written:
            file.close()
        if late:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0, out, err)
        return out, err


def nas_command(*words: str) -> Forked:
    """The command ``nas`` with these words."""
    return Forked(_nas, words)


def wait_for(condition: Callable[[], bool], process: Forked, seconds: float = 90.0) -> None:
    """Until the condition holds or the process has ended."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        if process.poll() is not None:
            return
        time.sleep(0.02)


def _begin(
    written: list[str],
    directory: str,
    environment: dict[str, str],
    call: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored where the tests were started
    for number, name in enumerate(written, start=1):
        file = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(directory)
    if "RAY_AUTH_MODE" not in os.environ:  # a start of Ray sets it, and this process must do so itself
        environment.pop("RAY_AUTH_MODE", None)
    os.environ.clear()
    os.environ.update(environment)
    call(*arguments)


def _nas(words: tuple[str, ...]) -> None:
    from nas import cli

    sys.argv = ["nas", *words]
    cli.main()
