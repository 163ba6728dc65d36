"""A search without training, for tests: scripted outcomes, and a diary of what really ran.

As a script it runs or resumes such a search in the current directory:
``python -m tests.searching NAME EXECUTOR BUDGET [--resume] [--address HOST:PORT] [--seconds OF_AN_EPOCH]``.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controller import Outcome, Proposal
from controller.random_search import RandomController
from nas import SearchConfig, parse_config, run_search
from tests.scripted import Scripted

# a configuration's section of a controller that learns; without it one that costs next to nothing proposes
PPO: dict[str, Any] = {"name": "ppo", "options": {"batch": 4, "hidden": 16, "embedding": 8}}


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
        "controller": {"name": "random", "options": {}},
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
