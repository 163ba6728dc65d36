"""A search without training, for tests: scripted outcomes, and a diary of what really ran.

As a script it runs or resumes such a search in the current directory:
``python -m tests.searching NAME EXECUTOR BUDGET [--resume] [--address HOST:PORT] [--seconds OF_AN_EPOCH]``.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from controller import Outcome, Proposal
from controller.random_search import RandomController
from nas import SearchConfig, parse_config, run_search
from search_space import Architecture
from trainers import Measurement


@dataclass(frozen=True)
class Scripted:
    """Gives an accuracy made from the key, after a while; does something else for some networks.

    Attributes:
        diary: a file with one line for every beginning and end of an evaluation.
        seconds: an epoch takes.
        acts: the n-th evaluation to begin (counted over processes, from 1) to what it does:
            ``raise``, ``break the GPU``, ``nan``, ``die``, ``hang``, ``nothing``, ``eat memory``.
    """

    diary: Path
    seconds: float = 0.0
    acts: dict[int, str] = field(default_factory=dict)
    fingerprint: str = "scripted"
    num_classes: int = 10
    in_channels: int = 1

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        act = self.acts.get(self.write("begin", architecture.key))
        accuracy = 0.5 + int(architecture.key[:6], 16) / 2**24 / 2
        for epoch in (1, 2):
            time.sleep(self.seconds)
            if act == "raise":
                raise RuntimeError("CUDA out of memory\n(as if)")
            if act == "break the GPU":
                raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
            if act == "nan":
                yield Measurement(accuracy=float("nan"))
            if act == "eat memory":
                bytearray(2**34)  # without a limit it is only address space: nothing is written
            if act == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if act == "hang":
                time.sleep(1000)
            if act == "nothing":
                return
            if epoch == 2:
                self.write("end", architecture.key)
                if weights_path is not None:
                    weights_path.parent.mkdir(parents=True, exist_ok=True)
                    weights_path.write_text(architecture.key)
            yield Measurement(accuracy=accuracy, metrics={"loss": 1.0 / epoch}, final=epoch == 2)

    def write(self, what: str, key: str) -> int:
        """Add a line; the number of lines of its kind so far."""
        with self.diary.open("a") as file:
            file.write(f"{what} {key} {os.getpid()}\n")
        return sum(line.startswith(what) for line in self.diary.read_text().splitlines())

    def processes(self) -> list[int]:
        """Who began evaluations, in their order."""
        lines = self.diary.read_text().splitlines()
        return [int(line.split()[2]) for line in lines if line.startswith("begin")]

    def lines(self, what: str) -> list[str]:
        """The keys of what began, or ended."""
        if not self.diary.exists():
            return []
        return [line.split()[1] for line in self.diary.read_text().splitlines() if line.startswith(what)]


class Contrary(RandomController):
    """Proposes at random, and bets on the worst network it was told of: never the best observed."""

    worst: tuple[float, tuple[int, ...]] | None = None

    def _learn(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        for proposal, outcome in zip(proposals, outcomes, strict=True):
            if outcome is not None and (self.worst is None or outcome.reward < self.worst[0]):
                self.worst = (outcome.reward, proposal.indices)

    def recommend(self) -> tuple[int, ...]:
        super().recommend()  # nothing without a success
        assert self.worst is not None
        return self.worst[1]

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "worst": self.worst}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.worst = state["worst"]


def config(name: str = "t", **sections: dict[str, Any]) -> SearchConfig:
    """A configuration for the digits space; sections are merged over quick defaults."""
    base: dict[str, Any] = {
        "name": name,
        "space": "digits",
        "objective": {"target": 1e6},
        "controller": {"name": "ppo", "options": {"batch": 4, "hidden": 16, "embedding": 8}},
        "search": {"candidates": 6, "figure_every": 0},  # a figure takes longer than such a search
        "executor": {"kind": "inline"},
    }
    for section, values in sections.items():
        before = base.get(section)
        base[section] = {**before, **values} if isinstance(before, dict) else values
    return parse_config(base)


def session(run_name: str, executor: str, budget: str, *options: str) -> None:
    """Run or resume a search in the current directory; the arguments are those of this script."""
    after = dict(itertools.pairwise(options))
    run_search(
        config(
            run_name,
            executor={"kind": executor, "workers": 2 if executor == "ray" else None},
            search={"candidates": int(budget)},
        ),
        resume="--resume" in options,
        evaluator=Scripted(Path("diary").absolute(), seconds=float(after.get("--seconds", 0.02))),
        address=after.get("--address"),
    )


if __name__ == "__main__":
    session(*sys.argv[1:])
