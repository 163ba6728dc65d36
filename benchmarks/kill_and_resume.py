"""Kill a real search with SIGKILL, resume it, and count what was lost and what was trained twice.

    python benchmarks/kill_and_resume.py --kills 3

Runs ``configs/quickstart.yaml`` in a temporary folder. Trainings are not counted by the journal but by
a wrapper around the evaluator, which writes a line to a file when a training begins.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nas import load_config, load_space, open_run, run_search
from nas.launch import create_evaluator
from search_space import Architecture
from trainers import Evaluator, Measurement

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"


@dataclass(frozen=True)
class Noted:
    """An evaluator that writes a line before every training."""

    inner: Evaluator
    diary: Path

    @property
    def fingerprint(self) -> str:
        """The inner evaluator's."""
        return self.inner.fingerprint

    @property
    def num_classes(self) -> int:
        """The inner evaluator's."""
        return self.inner.num_classes

    @property
    def in_channels(self) -> int:
        """The inner evaluator's."""
        return self.inner.in_channels

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        """The inner evaluator's, after a line in the diary."""
        with self.diary.open("a") as file:
            file.write(f"{architecture.key}\n")
        yield from self.inner.epochs(architecture, seed, weights_path)


def search(candidates: int, resume: bool) -> None:
    """One session of the search, in this process."""
    config = load_config(CONFIG, [f"search.candidates={candidates}"])
    evaluator = Noted(create_evaluator(config, load_space(config.space)), Path("diary").absolute())
    run_search(config, evaluator=evaluator, resume=resume)


def main() -> None:
    """Kill, resume, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--session", choices=["first", "resume"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.session:
        search(arguments.candidates, arguments.session == "resume")
        return
    rng = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    os.chdir(folder)
    lost = twice = 0
    finished: dict[str, float | None] = {}
    for number in range(arguments.kills + 1):
        begun = len(trainings())
        command = [sys.executable, __file__, "--candidates", str(arguments.candidates)]
        process = subprocess.Popen([*command, "--session", "resume" if number else "first"])
        if number < arguments.kills:
            target = len(finished) + 3
            while process.poll() is None and len(results()) < target:
                time.sleep(0.2)
            time.sleep(rng.uniform(0.0, 4.0))
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(3.0)
        now = results()
        lost += sum(now.get(key) != accuracy for key, accuracy in finished.items())
        twice += len(set(finished) & set(trainings()[begun:]))
        print(f"session {number + 1}: {len(finished)} results before, {len(now)} after", flush=True)
        finished = now
    print(f"kills {arguments.kills}; results {len(finished)}; lost {lost}; trained twice {twice}")
    print(f"trainings begun {len(trainings())}, of them cut off by a kill {len(trainings()) - len(finished)}")


def trainings() -> list[str]:
    """Keys of the networks whose training began, in order."""
    return Path("diary").read_text().split() if Path("diary").exists() else []


def results() -> dict[str, float | None]:
    """Key to accuracy of what the journal holds as finished."""
    if not Path("runs/quickstart/journal.db").exists():
        return {}
    return {t.key: t.accuracy for t in open_run("quickstart").trials() if t.arrival is not None}


if __name__ == "__main__":
    main()
