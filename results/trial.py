"""One trial of a search, as the journal keeps it: a candidate, a baseline, or both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from search_space import Architecture

Status = Literal["pending", "running", "done", "failed", "stopped"]
STATUSES: tuple[Status, ...] = ("pending", "running", "done", "failed", "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A training with what is known of it.

    Attributes:
        id: counts from 1 in the order of proposal.
        key: of its architecture.
        protocol: fingerprint of how it is measured.
        seed: of its training.
        choices: decision name to what was chosen.
        architecture: plain data of the network.
        status: a state, never a number: a failed trial has no accuracy.
        attempts: how often its evaluation began.
        arrival: its place in the order of results; None before.
        curve: one measurement an epoch.
        seconds: of evaluation.
        baseline: name of the reference network that it is; None where it is none.
        adapted: what of that network was changed to fit the space, in words; None where it is none, and empty
            where nothing was.
        proposed: whether it is a candidate: no baseline, or one that the controller proposed all the same.
        reused: the run whose measurement it took over; None where it was measured here.
    """

    id: int
    key: str
    protocol: str
    seed: int
    choices: dict[str, Any]
    architecture: dict[str, Any]
    macs: int
    params: int
    status: Status = "pending"
    attempts: int = 0
    accuracy: float | None = None
    reward: float | None = None
    error: str | None = None
    arrival: int | None = None
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    baseline: str | None = None
    adapted: str | None = None
    proposed: bool = True
    reused: str | None = None

    @property
    def title(self) -> str:
        """What it is called in a sentence."""
        if self.proposed:
            return f"candidate {self.id}"
        return f"trial {self.id}" if self.baseline is None else f"baseline {self.baseline}"

    def cost(self, name: str) -> float | None:
        """A cost by name: ``macs`` and ``params`` are arithmetic, others a metric of its last measurement;
        None where nothing was measured."""
        if name in ("macs", "params"):
            return float(getattr(self, name))
        return self.curve[-1].get(name) if self.curve else None

    def network(self) -> Architecture:
        """The architecture itself."""
        return Architecture.from_dict(self.architecture)

    def to_json(self) -> dict[str, Any]:
        """The facts that ``--json`` prints."""
        return {
            "id": self.id,
            "status": self.status,
            "key": self.key,
            "accuracy": self.accuracy,
            "macs": self.macs,
            "params": self.params,
            "latency_ms": self.cost("latency_ms"),
            "reward": self.reward,
            "choices": self.choices,
            "seed": self.seed,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "baseline": self.baseline,
            "reused": self.reused,
        }

    def baseline_json(self) -> dict[str, Any]:
        """The same of a baseline, with its name and what was changed."""
        return {"name": self.baseline, "adapted": self.adapted, **self.to_json()}


def ranked(trials: list[Trial]) -> list[Trial]:
    """The finished trials, best reward first; of equals the earlier."""
    done = [trial for trial in trials if trial.status == "done" and trial.reward is not None]
    return sorted(done, key=lambda trial: (-(trial.reward or 0.0), trial.id))
