"""Model-based reinforcement learning: a policy that practises in imagination, on a surrogate.

A candidate costs minutes of a GPU, the controller milliseconds. So everything that was measured goes into a
Gaussian process, a policy is trained on it by PPO (Dyna, Sutton 1990), local search refines what the policy
samples, and from that a batch is chosen by upper confidence bound, one after the other, each time as if the
points chosen before had been measured (GP-BUCB, Desautels et al. 2014).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.base import Controller, Outcome, Proposal
from controller.front_goal import FrontGoal
from controller.goal import Goal, ImaginationSettings
from controller.imagination import balanced_design
from controller.mutation import Points, distinct
from controller.objective import Objective
from controller.observations import Observations
from controller.reward_goal import RewardGoal
from controller.torch_state import single_threaded
from search_space import FieldError, Indices, SearchSpace
from search_space.fields import check_choice, check_float, check_int

_FEWEST = 4  # successes before a surrogate is asked
_SMALL = 4096  # points of a space that are all looked at
_TRIES = 20


class DynaController(Controller):
    """The default of a search.

    Args:
        space, seed, objective: see `Controller`.
        goal: ``reward`` for one network; ``front`` for the hypervolume of accuracy and cost, which needs an
            objective to say which cost.
        first: balanced random points before the surrogate is used.
        beta: standard deviations of the confidence bound over the mean.
        policy: ``factorised`` logits, an ``lstm``, or ``none``, the surrogate with local search alone.
        steps: of practice for a batch of eight.
        samples: points a step of practice.
        epochs: gradient steps a step of practice.
        learning_rate: Adam's, of the policy; by default 0.15 for logits, 0.01 for an LSTM.
        entropy_bonus: weight of each decision's entropy in practice.
        capacity: measurements that are remembered; the oldest of the worse half give way.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        objective: Objective | None = None,
        *,
        goal: str = "reward",
        first: int = 16,
        beta: float = 2.0,
        policy: str = "factorised",
        steps: int = 20,
        samples: int = 128,
        epochs: int = 1,
        learning_rate: float | None = None,
        entropy_bonus: float = 0.02,
        capacity: int = 1024,
    ) -> None:
        super().__init__(space, seed, objective)
        check_choice("goal", goal, ("reward", "front"))
        check_int("first", first, 2, 4096)
        check_float("beta", beta, 0.0, 100.0)
        check_choice("policy", policy, ("factorised", "lstm", "none"))
        check_int("steps", steps, 1, 10_000)
        check_int("samples", samples, 2, 100_000)
        check_int("epochs", epochs, 1, 1000)
        if learning_rate is None:
            learning_rate = 0.01 if policy == "lstm" else 0.15
        check_float("learning_rate", learning_rate, 1e-8, 10.0)
        check_float("entropy_bonus", entropy_bonus, 0.0, 10.0)
        check_int("capacity", capacity, 16, 10_000)
        self._rng = np.random.default_rng(seed)
        settings = ImaginationSettings(
            policy=policy,
            steps=steps,
            learning_rate=learning_rate,
            samples=samples,
            epochs=epochs,
            entropy_bonus=entropy_bonus,
        )
        if goal == "reward":
            self._goal: Goal = RewardGoal(space, beta, settings, self._rng)
        elif objective is None:
            raise FieldError("goal", "front needs an objective, which says what the cost is")
        else:
            self._goal = FrontGoal(space, beta, settings, self._rng, objective)
        sizes = [len(decision.choices) for decision in space.decisions]
        self._design = balanced_design(first, sizes, self._rng).tolist()
        self._seen = Observations(len(sizes), capacity)

    def _learn(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        for proposal, outcome in zip(proposals, outcomes, strict=True):
            self._seen.add(proposal.indices, outcome)
        if self._ready():
            self._goal.learn(self._seen)

    def _ready(self) -> bool:
        return int(self._seen.succeeded.sum()) >= _FEWEST

    def _draw(self, n: int) -> list[Proposal]:
        points = [tuple(point) for point in self._design[:n]]
        self._design = self._design[n:]
        if len(points) < n and self._ready():
            points += self._chosen(n - len(points))
        while len(points) < n:  # nothing is known yet, or nothing is new
            points.append(self._unlike(points))
        return [Proposal(indices, self.space.choices(indices)) for indices in points]

    def _unlike(self, points: Sequence[Indices]) -> Indices:
        """A random point; a new one, if that is found in a few tries."""
        known = self._seen.known() | {np.array(point, dtype=np.int64).tobytes() for point in points}
        for _ in range(_TRIES):
            point = self.space.random(self._rng)
            if np.array(point, dtype=np.int64).tobytes() not in known:
                break
        return point

    def _chosen(self, n: int) -> list[Indices]:
        """Up to `n` new points that the goal wants."""
        candidates = self._goal.candidates(n, self._seen, self._admissible)
        if self.space.size <= _SMALL:
            candidates = np.concatenate([candidates, self._every_point()])
        candidates = candidates[distinct(candidates)]
        known = self._seen.known()
        new = np.array([point.tobytes() not in known for point in candidates], dtype=np.bool_)
        candidates = candidates[new & self._admissible(candidates)]
        if not len(candidates):
            return []
        return [tuple(point) for point in self._goal.chosen(n, candidates, self._seen).tolist()]

    def _every_point(self) -> Points:
        """All points of a small space (N, decisions)."""
        sizes = [range(len(decision.choices)) for decision in self.space.decisions]
        return np.array(list(itertools.product(*sizes)), dtype=np.int64)

    def _admissible(self, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """For a front no cost is ruled out by a reward: it wants the costly ones too."""
        if isinstance(self._goal, FrontGoal):
            return self.space.allowed(points)
        return super()._admissible(points)

    def _asked(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            self._seen.ask(proposal.indices)

    @single_threaded
    def recommend(self) -> Indices:
        """Of the networks measured the one with the best posterior mean: the best observed owes part of its
        reward to luck.

        Raises:
            RuntimeError: no successful candidate was told.
        """
        if not self._ready():
            return super().recommend()
        worth = np.where(self._seen.succeeded, self._goal.worth(self._seen), -np.inf)
        return tuple(self._seen.points[int(np.argmax(worth))].tolist())

    def diagnostics(self) -> dict[str, float]:
        """Entropy of the policy, nats a decision."""
        return self._goal.diagnostics()

    def state_dict(self) -> dict[str, Any]:
        """Generator, models, policy, and a store of measurements whose size is fixed."""
        return {
            **super().state_dict(),
            "generator": self._rng.bit_generator.state,
            "goal": self._goal.state_dict(),
            "design": [list(point) for point in self._design],
            "seen": self._seen.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Controller.load_state_dict`."""
        super().load_state_dict(state)
        self._rng.bit_generator.state = state["generator"]
        self._goal.load_state_dict(state["goal"])
        self._design = [list(point) for point in state["design"]]
        self._seen.load_state_dict(state["seen"])
