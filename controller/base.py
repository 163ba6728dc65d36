"""The contract of a controller: ask for candidates, tell what came of them."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.objective import Objective
from controller.torch_state import single_threaded
from search_space import FieldError, Indices, SearchSpace
from search_space.fields import as_floats

DRAWS = 8  # tries to draw a point within the limits before one is repaired


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate a controller wants to know about.

    Attributes:
        indices: one a decision.
        choices: what the indices stand for.
        log_prob: of the whole sequence under the policy that sampled it; None without a policy.
    """

    indices: Indices
    choices: tuple[Any, ...]
    log_prob: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a candidate achieved.

    Attributes:
        accuracy: 0 to 1.
        cost: in the objective's unit.
        reward: the objective's value.
    """

    accuracy: float
    cost: float
    reward: float

    def __post_init__(self) -> None:
        for name in ("accuracy", "cost", "reward"):
            if not math.isfinite(getattr(self, name)):
                raise FieldError(name, f"must be finite, got {getattr(self, name)}")
        as_floats(self, "accuracy", "cost", "reward")


class Controller(ABC):
    """Proposes candidates and learns from their outcomes.

    Any number of proposals may be outstanding, and outcomes may come in any order and any grouping; one
    proposal may be told more than once (a network that was proposed twice), or never.
    All randomness comes from the controller's own generator, which is part of its state: two controllers
    with equal state that are asked and told the same go on equally, to the last bit on one machine.

    Args:
        space: the decisions to make; only they are used, never the decoder.
        seed: of the generator.
        objective: what the rewards are made with, for controllers that use known costs.
    """

    def __init__(self, space: SearchSpace, seed: int, objective: Objective | None = None) -> None:
        self.space = space
        self.objective = objective
        self._best: tuple[float, Indices] | None = None
        self._to_beat: float | None = None  # the best reward that an accuracy of at most 1 has given

    @single_threaded
    def ask(self, n: int) -> list[Proposal]:
        """`n` candidates, drawn now; they may repeat earlier ones.

        All are within the space's limits, and none is ruled out by arithmetic: where the cost is known
        without training, even a perfect accuracy at that cost must not fall short of the best reward seen.
        What is drawn otherwise is drawn again, a bounded number of times; then an admissible point near it
        takes its place, without a log-probability.
        """
        proposals: list[Proposal] = []
        for _ in range(DRAWS):
            if len(proposals) >= n:
                break
            drawn = self._draw(n - len(proposals))
            admissible = self._admissible([proposal.indices for proposal in drawn])
            kept = [p for p, fits in zip(drawn, admissible, strict=True) if fits]
            self._asked(kept)
            proposals += kept
        if len(proposals) < n:
            repaired = [self._repaired(proposal) for proposal in self._draw(n - len(proposals))]
            self._asked(repaired)
            proposals += repaired
        return proposals

    def _admissible(self, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which points (N, decisions) are worth a training, as far as arithmetic goes: (N,)."""
        admissible = self.space.allowed(points)
        if self.objective is not None and self._to_beat is not None:
            costs = self.space.known_cost(points, self.objective.cost)
            if costs is not None:
                best = self._to_beat - 1e-12 * abs(self._to_beat)  # powers differ in their last bit
                admissible &= self.objective.ceiling(costs) >= best
        return admissible

    def _repaired(self, proposal: Proposal) -> Proposal:
        """Within the limits, and from there towards the best point seen, as far as is needed.

        A best point that is beyond the limits itself was told by somebody else; limits come first.
        """
        within = self.space.repaired(proposal.indices)
        indices = list(within)
        if self._best is not None:
            for decision, choice in enumerate(self._best[1]):
                if self._admissible([indices])[0]:
                    break
                indices[decision] = choice
        found = tuple(indices) if self.space.allows(indices) else within
        return Proposal(found, self.space.choices(found))

    def _asked(self, proposals: Sequence[Proposal]) -> None:  # noqa: B027 -- most need not know
        """These go out; for controllers that remember what is outstanding."""

    @abstractmethod
    def _draw(self, n: int) -> list[Proposal]:
        """`n` candidates from the policy, at least one, without regard to limits."""

    @single_threaded
    def tell(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        """What came of proposals; None for a candidate that failed.

        Raises:
            FieldError: the two differ in number, or a proposal is not of this space.
        """
        if len(proposals) != len(outcomes):
            raise FieldError("outcomes", f"must number {len(proposals)}, got {len(outcomes)}")
        proposals = [replace(p, indices=tuple(int(i) for i in p.indices)) for p in proposals]
        for proposal, outcome in zip(proposals, outcomes, strict=True):
            self.space.choices(proposal.indices)
            if outcome is None:
                continue
            if self._best is None or outcome.reward > self._best[0]:
                self._best = (outcome.reward, proposal.indices)
            # rewards that the objective cannot give (accuracies in percent, say) rule nothing out
            possible = self.objective is not None and outcome.accuracy <= 1.0 and outcome.cost > 0
            if possible and outcome.reward <= self.objective.ceiling([outcome.cost])[0] + 1e-9:  # type: ignore[union-attr]
                self._to_beat = max(outcome.reward, self._to_beat or outcome.reward)
        self._learn(proposals, outcomes)

    @abstractmethod
    def _learn(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        """Update the policy, if there is one."""

    def recommend(self) -> Indices:
        """The candidate to bet on: the best observed, where a controller has no model of the noise.

        Raises:
            RuntimeError: no successful candidate was told.
        """
        if self._best is None:
            raise RuntimeError("recommend() needs a successful candidate, and none was told")
        return self._best[1]

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs, as tensors and plain values (safe to load with
        ``torch.load(weights_only=True)``); bounded in size, however much was told."""
        best = None if self._best is None else [self._best[0], list(self._best[1])]
        return {
            "controller": type(self).__name__,
            "space": self._fingerprint(),
            "best": best,
            "to_beat": self._to_beat,
        }

    def _fingerprint(self) -> str:
        """Of the decisions: names and choices."""
        decisions = [[d.name, [repr(choice) for choice in d.choices]] for d in self.space.decisions]
        return hashlib.sha256(json.dumps(decisions).encode()).hexdigest()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the controller that gave this state.

        Raises:
            ValueError: the state is of another kind of controller, or of another space.
        """
        if state.get("controller") != type(self).__name__:
            raise ValueError(f"state is of a {state.get('controller')}, this is a {type(self).__name__}")
        if state["space"] != self._fingerprint():
            raise ValueError("state is of another space: its decisions differ")
        best = state["best"]
        self._best = None if best is None else (best[0], tuple(best[1]))
        self._to_beat = state.get("to_beat")

    def diagnostics(self) -> dict[str, float]:
        """Scalars that describe the policy now, for curves; empty where there is no policy."""
        return {}
