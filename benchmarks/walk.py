"""The walk of docs/walk.md, run: the commands of the page, in its order, in a folder of their own.

    python -m benchmarks.walk
    python -m benchmarks.walk --data data/cifar10-32            # nothing is downloaded
    python -m benchmarks.walk --from 4                          # goes on, or again, from step 4
    python -m benchmarks.walk --write                           # and puts what came out into the page

It stops at the first command that fails. ``--data`` names images that are there already: a source of
CIFAR-10 that ``nas data prepare`` reads, or a folder that it made and whose source is still there; links take
the place of the download, and of preparing that folder. ``--write`` copies times, printed lines and figures
into ``docs/``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.walk_page import Step, clock, figures_of, small_png, steps_of, with_printed, with_times
from results import write_whole
from search_space import InputError
from trainers import read_facts
from trainers.cache import is_cache
from trainers.fetching import published

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "walk.md"
COLUMNS = "110"  # of what commands print


class Walk:
    """A walk in a folder, which keeps what has been done: ``walk.json``.

    Args:
        folder: where commands run; configurations are copied into it.
        steps: of the page.
        data: images that are there already.
    """

    def __init__(self, folder: Path, steps: list[Step], data: Path | None) -> None:
        self.folder, self.steps, self.data = folder, steps, data
        self.notes = folder / "walk.json"
        self.done: list[dict[str, Any]] = []  # of each step its title, commands and the runs before it

    def begin(self, first: int) -> None:
        """Make the folder as it is before a step, counted from 1.

        Raises:
            InputError: there is a walk already, or none to go on with; the page has changed before that step.
        """
        last = len(self.steps) + 1
        if not 1 <= first <= last:
            raise InputError(f"--from must be from 1 to {last}, which runs nothing more, got {first}")
        try:
            there = json.loads(self.notes.read_text(encoding="utf-8")) if self.notes.is_file() else []
        except ValueError as error:
            raise InputError(f"{self.notes}: is damaged: {error}; give another --folder") from None
        if first == 1 and there:
            raise InputError(
                f"{self.folder}: holds a walk; --from N goes on with it, or give another --folder"
            )
        self.done = there[: first - 1]
        for number, step in enumerate(self.steps[: first - 1], 1):
            notes = there[number - 1] if number <= len(there) else {"commands": []}
            if tuple(c["command"] for c in notes["commands"] if c["code"] == 0) != step.commands:
                raise InputError(f"step {number} has not been done as the page has it now; --from {number}")
        before = set(there[first - 1]["runs_before"]) if first <= len(there) else set(self.runs())
        for name in set(self.runs()) - before:  # of a step that failed, or is done again
            shutil.rmtree(self.folder / "runs" / name)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.folder != ROOT:
            shutil.copytree(ROOT / "configs", self.folder / "configs", dirs_exist_ok=True)

    def runs(self) -> list[str]:
        """The runs that there are."""
        return sorted(path.name for path in (self.folder / "runs").glob("*"))

    def take(self, step: Step) -> None:
        """Run the commands of a step.

        Raises:
            SystemExit: one of them failed, with its exit code.
        """
        print(f"\n== {step.title}", flush=True)
        notes: dict[str, Any] = {"title": step.title, "runs_before": self.runs(), "commands": []}
        self.done.append(notes)
        for command in step.commands:
            print(f"$ {command}", flush=True)
            self._keep()
            began = time.monotonic()
            code, printed = 0, self._in_place_of(shlex.split(command))
            if printed is not None:
                print(printed, flush=True)
            else:
                code, printed = self._run(command)
            seconds = time.monotonic() - began
            notes["commands"].append(
                {"command": command, "seconds": seconds, "code": code, "printed": printed}
            )
            self._keep()
            print(f"  exit code {code}, {seconds:.1f} s", flush=True)
            if code:
                print(
                    f"step {step.number}, {step.title!r}: {command!r} failed with exit code {code}; "
                    f"--from {step.number} goes on there",
                    file=sys.stderr,
                )
                raise SystemExit(130 if code in (130, -2) else 1)

    def _run(self, command: str) -> tuple[int, str]:
        """The exit code of a command, and what it printed, which is passed on."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": COLUMNS}
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = []
        try:
            while True:
                try:
                    for line in process.stdout:
                        print(line, end="", flush=True)
                        lines.append(line)
                    return process.wait(), "".join(lines)
                except KeyboardInterrupt:  # the command has it too, and ends by itself
                    continue
        finally:
            if process.poll() is None:  # this process is to end: the command must not go on alone
                process.terminate()
                process.wait()

    def _in_place_of(self, words: list[str]) -> str | None:
        """Link what is there already instead of fetching or preparing it; None: the command is to run."""
        if self.data is None or words[:2] != ["nas", "data"]:
            return None
        prepared = is_cache(self.data)
        output = self.folder / words[words.index("-o") + 1] if "-o" in words else None
        if words[2] == "fetch" and output is not None:
            source = Path(read_facts(self.data).source["path"]) if prepared else self.data
            return self._link(output / published(words[3]).file_name, source)
        size = words[words.index("--image-size") + 1] if "--image-size" in words else ""
        if prepared and output is not None and size == str(read_facts(self.data).image_size):
            return self._link(output, self.data)
        return None

    def _link(self, place: Path, to: Path) -> str:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(to.resolve())
        return f"  not run: a link to what is there already ({to.name})"

    def _keep(self) -> None:
        text = json.dumps(self.done, indent=1)
        write_whole(self.notes, lambda path: path.write_text(text, encoding="utf-8"))

    def seconds(self) -> list[float]:
        """Of each step."""
        return [sum(command["seconds"] for command in notes["commands"]) for notes in self.done]

    def printed(self) -> dict[str, str]:
        """Of each command what it printed, with no path of this machine."""
        return {
            command["command"]: command["printed"].replace(f"{self.folder}/", "")
            for notes in self.done
            for command in notes["commands"]
        }


def machine() -> str:
    """Where this runs, in general words."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = "a GPU" if torch.cuda.is_available() else "no GPU"
    return f"{cores} processor cores, {memory:.0f} GiB of memory, {gpu}"


def write_page(walk: Walk, where: str) -> None:
    """Put what came out into the page, and its figures beside it."""
    page = PAGE.read_text(encoding="utf-8")
    for file, path in figures_of(page).items():
        write_whole(PAGE.parent / "images" / file, small_png(walk.folder / path))
    filled = with_times(with_printed(page, walk.printed()), walk.seconds(), where)
    write_whole(PAGE, lambda path: path.write_text(filled, encoding="utf-8"))
    print("wrote docs/walk.md and its figures")


def main() -> None:
    """Walk."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="images that are there already; nothing is downloaded")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the step to begin with, from 1")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "walk", help="build/walk by default")
    parser.add_argument(
        "--write", action="store_true", help="put times, printed lines and figures into docs/"
    )
    given = parser.parse_args()
    steps = steps_of(PAGE.read_text(encoding="utf-8"))
    try:
        if given.data is not None and not given.data.exists():
            raise InputError(f"--data {given.data}: is not there")
        walk = Walk(given.folder.resolve(), steps, given.data)
        walk.begin(given.first)
        busy = os.getloadavg()[0]
        where = machine()
        if busy > 0.5:
            where += f"; other work was running, {busy:.1f} processes when the walk began"
        for step in steps[given.first - 1 :]:
            walk.take(step)
        print(f"\n{where}")
        for step, seconds in zip(steps, walk.seconds(), strict=True):
            print(f"{clock(seconds):>6}  {step.title}")
        print(f"{clock(sum(walk.seconds())):>6}  all")
        if given.write:
            write_page(walk, where)
    except (InputError, OSError) as error:
        parser.exit(2, f"walk: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "walk: interrupted\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # which ends the command too
    main()
