"""Model-based reinforcement learning: a policy that practises in imagination, on a surrogate of the objective.

A candidate costs minutes of a GPU, the controller milliseconds. So everything that was measured goes into a
Gaussian process, a policy is trained on it (Dyna, Sutton 1990), and from what the policy samples and mutants
of the best, batches are chosen by upper confidence bound, one after the other, each time as if the points
chosen before had been measured (GP-BUCB, Desautels et al. 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.base import Controller, Outcome, Proposal
from controller.coding import Coding
from controller.gaussian_process import GaussianProcess
from controller.imagination import Imagination, balanced_design, climb
from controller.mutation import mutants
from controller.objective import Objective
from controller.observations import Observations
from search_space import Indices, SearchSpace
from search_space.fields import check_choice, check_float, check_int

Points = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_FEWEST = 4  # results before the surrogate is asked
_SHORTLIST = 300
_GROWTH = 1.15  # the surrogate's hyper-parameters are fitted again when the data grew by this


class DynaController(Controller):
    """The default: a Gaussian process as the model, a policy trained on it, batches by confidence bound."""

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        objective: Objective | None = None,
        *,
        first: int = 16,
        beta: float = 2.0,
        policy: str = "factorised",
        learning_rate: float = 0.15,
        samples: int = 128,
        steps: int = 20,
        epochs: int = 1,
        entropy_bonus: float = 0.02,
        capacity: int = 1024,
        warp: float = 0.2,
        mut: int = 10,
        known: bool = False,
        top: str = "obs",
        sub: int = 0,
    ) -> None:
        super().__init__(space, seed, objective)
        check_int("first", first, 2, 4096)
        check_float("beta", beta, 0.0, 100.0)
        check_choice("policy", policy, ("factorised", "lstm", "none"))
        check_float("learning_rate", learning_rate, 1e-8, 10.0)
        self.first, self.beta, self.steps = first, beta, steps
        self.warp, self.mut, self.known, self.top, self.sub = warp, mut, known, top, sub
        self._sizes = [len(decision.choices) for decision in space.decisions]
        self._rng = np.random.default_rng(seed)
        self._imagination = None
        if policy != "none":
            policy_seed = int(self._rng.integers(2**31))
            self._imagination = Imagination(
                self._sizes, policy, learning_rate, samples, epochs, entropy_bonus, policy_seed
            )
        self._design = balanced_design(first, self._sizes, self._rng)
        self._designed = 0  # points of the design that were proposed
        self._observations = Observations(len(self._sizes), capacity)
        self._coding = Coding(space)
        self._model = GaussianProcess(self._coding.bits)
        self._fitted_on = 0
        self._conditioned_on = -1

    # --- the model -------------------------------------------------------------------------------------

    def _scores(self) -> Floats:
        seen = self._observations
        reward = seen.reward.copy()
        reward[~seen.succeeded] = np.nanmin(reward)
        return reward

    def _targets(self) -> Floats:
        y = self._scores()
        if self.known:
            y = np.log(y) - self._offset(self._observations.points)
        if not self.warp:
            return y
        scale = self.warp * (np.quantile(y, 0.9) - np.quantile(y, 0.1)) + 1e-12
        return -np.log1p((y.max() - y) / scale)

    def _offset(self, points):
        c = self.space.known_cost(points, self.objective.cost)
        r = c / self.objective.target
        return np.where(r <= 1, self.objective.alpha, self.objective.beta) * np.log(r)

    def _learn(self, proposals: Sequence[Proposal], outcomes: Sequence[Outcome | None]) -> None:
        seen = self._observations
        for proposal, outcome in zip(proposals, outcomes, strict=True):
            seen.add(proposal.indices, outcome)
        n = len(seen)
        if self._ready() and n >= max(_GROWTH * self._fitted_on, self._fitted_on + 1):
            self._model.fit_parameters(self._coding(seen.points), self._targets(), self._rng)
            self._fitted_on, self._conditioned_on = n, -1

    def _ready(self) -> bool:
        return int(self._observations.succeeded.sum()) >= min(_FEWEST, self.first)

    def _condition(self) -> None:
        seen = self._observations
        if self._conditioned_on != seen.version:
            self._model.condition(self._coding(seen.points), self._targets())
            self._conditioned_on = seen.version

    def _value(self, points: Points) -> Floats:
        mean, std = self._model.predict(self._coding(points))
        v = mean + self.beta * std
        if self.known:
            v = v + self._offset(points)
        return v

    # --- proposing -------------------------------------------------------------------------------------

    def _draw(self, n: int) -> list[Proposal]:
        points: list[Indices] = []
        while len(points) < n and self._designed < len(self._design):
            points.append(tuple(self._design[self._designed].tolist()))
            self._designed += 1
        rest = n - len(points)
        if rest and not self._ready():
            points += [self.space.random(self._rng) for _ in range(rest)]
        elif rest:
            points += self._chosen(rest)
        return [Proposal(indices, self.space.choices(indices)) for indices in points]

    def _asked(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            self._observations.ask(proposal.indices)

    def _candidates(self, n: int) -> Points:
        seen = self._observations
        if self.top == "obs":
            order = np.argsort(-self._scores(), kind="stable")
        else:
            order = np.argsort(-self._model.mean(self._coding(seen.points)), kind="stable")
        if self._imagination is None:
            few = np.array([self.space.random(self._rng) for _ in range(32)])
            starts = np.concatenate([seen.points[order[:32]], few])
            return climb(self._value, starts, self._sizes, self._rng)
        steps = max(6, min(self.steps, int(2.5 * n)))
        if len(seen) >= 300:
            steps = max(4, steps // 3)
        imagined = self._imagination.practise(self._value, steps)
        if self.sub:
            near = mutants(seen.points[order[:5]], self.mut, 2, self._sizes, self._rng)
            starts = np.unique(np.concatenate([imagined, near]), axis=0)
            starts = starts[np.argsort(-self._value(starts), kind="stable")[:64]]
            return np.concatenate([climb(self._value, np.concatenate([starts, seen.points[order[:16]]]), self._sizes, self._rng, self.sub),imagined])
        each = self.mut if n > 2 else 2 * self.mut
        near = mutants(seen.points[order[:5]], each, 2, self._sizes, self._rng)
        return np.concatenate([imagined, near])

    def _chosen(self, n: int) -> list[Indices]:
        self._condition()
        candidates = np.unique(self._candidates(n), axis=0)
        known = self._observations.known()
        fresh = np.array([point.tobytes() not in known for point in candidates])
        candidates = candidates[fresh & self.space.allowed(candidates)]
        chosen = self._greedy(candidates, n)
        while len(chosen) < n:
            chosen.append(self.space.random(self._rng))
        return chosen

    def _greedy(self, candidates: Points, n: int) -> list[Indices]:
        if not len(candidates):
            return []
        order = np.argsort(-self._value(candidates), kind="stable")
        candidates = candidates[order[:_SHORTLIST]]
        k = len(candidates)
        pending = self._observations.pending
        mean, covariance = self._model.joint(self._coding(np.concatenate([candidates, pending])))
        if self.known:
            mean[:k] += self._offset(candidates)
        for waiting in range(k, len(covariance)):
            covariance = _conditioned(covariance, waiting, self._model.noise)
        chosen: list[int] = []
        for _ in range(min(n, k)):
            bound = mean[:k] + self.beta * np.sqrt(np.maximum(np.diag(covariance)[:k], 0.0))
            bound[chosen] = -np.inf
            best = int(np.argmax(bound))
            chosen.append(best)
            covariance = _conditioned(covariance, best, self._model.noise)
        return [tuple(candidates[i].tolist()) for i in chosen]

    def recommend(self) -> Indices:
        seen = self._observations
        if not self._ready() or not self._fitted_on:
            return super().recommend()
        self._condition()
        points = seen.points[seen.succeeded]
        m = self._model.mean(self._coding(points))
        if self.known:
            m = m + self._offset(points)
        return tuple(points[int(np.argmax(m))].tolist())


def _conditioned(covariance: Floats, index: int, noise: float) -> Floats:
    column = covariance[:, index]
    return covariance - np.outer(column, column) / (column[index] + noise)
