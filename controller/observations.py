"""What a model-based controller remembers: measurements in a store of fixed size, and what is outstanding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from controller.base import Outcome
from search_space import Indices

Floats = npt.NDArray[np.float64]
_FAILED = np.nan


class Observations:
    """Measurements, one row each: two of one point are two rows, the same one told again is not.

    The store has a fixed capacity, so that a controller's state does not grow and a surrogate stays fast:
    where it is full, the oldest of the worse half gives way.

    Args:
        decisions: of a point.
        capacity: rows at most.
        outstanding: proposals without a result that are remembered at most.

    Attributes:
        points: (N, decisions).
        accuracy, cost, reward: (N,); NaN of a candidate that failed.
        version: counts changes.
        measured: counts rows, also those that have given way.
    """

    def __init__(self, decisions: int, capacity: int, outstanding: int = 256) -> None:
        self.capacity, self.outstanding = capacity, outstanding
        self.points = np.empty((0, decisions), dtype=np.int64)
        self._values = np.empty((0, 3))  # accuracy, cost, reward
        self._pending: list[Indices] = []
        self.version = 0
        self.measured = 0

    def __len__(self) -> int:
        return len(self.points)

    @property
    def accuracy(self) -> Floats:
        return self._values[:, 0]

    @property
    def cost(self) -> Floats:
        return self._values[:, 1]

    @property
    def reward(self) -> Floats:
        return self._values[:, 2]

    @property
    def succeeded(self) -> npt.NDArray[np.bool_]:
        """Which rows are no failures (N,)."""
        return np.isfinite(self._values[:, 2])

    @property
    def pending(self) -> npt.NDArray[np.int64]:
        """Outstanding points (K, decisions)."""
        return np.array(self._pending, dtype=np.int64).reshape(len(self._pending), self.points.shape[1])

    def known(self) -> set[bytes]:
        """The points that were measured or are outstanding, as bytes of int64."""
        return {point.tobytes() for point in self.points} | {point.tobytes() for point in self.pending}

    def ask(self, indices: Indices) -> None:
        """A proposal has gone out."""
        self._pending = [*self._pending, tuple(indices)][-self.outstanding :]

    def add(self, indices: Indices, outcome: Outcome | None) -> None:
        """A result has come."""
        if tuple(indices) in self._pending:
            self._pending.remove(tuple(indices))
        self.version += 1
        point = np.array(indices, dtype=np.int64)
        row = np.array([_FAILED] * 3 if outcome is None else [outcome.accuracy, outcome.cost, outcome.reward])
        same = (self.points == point).all(1) & (
            (self._values == row) | np.isnan(self._values) & np.isnan(row)
        ).all(1)
        if same.any():
            return
        if len(self) >= self.capacity:
            self._forget()
        self.measured += 1
        self.points = np.concatenate([self.points, point[None]])
        self._values = np.concatenate([self._values, row[None]])

    def _forget(self) -> None:
        """Drop the oldest row of the worse half; failures are worst."""
        rank = np.argsort(np.argsort(np.nan_to_num(self.reward, nan=-np.inf), kind="stable"), kind="stable")
        oldest = int(np.argmax(rank < self.capacity // 2))
        self.points = np.delete(self.points, oldest, axis=0)
        self._values = np.delete(self._values, oldest, axis=0)

    def state_dict(self) -> dict[str, Any]:
        """Tensors of a size that does not depend on how much is stored."""
        points = np.zeros((self.capacity, self.points.shape[1]), dtype=np.int32)
        values = np.zeros((self.capacity, 3))
        points[: len(self)], values[: len(self)] = self.points, np.nan_to_num(self._values)
        failed = np.zeros(self.capacity, dtype=np.bool_)
        failed[: len(self)] = ~self.succeeded
        pending = np.zeros((self.outstanding, self.points.shape[1]), dtype=np.int32)
        pending[: len(self._pending)] = self.pending
        return {
            "points": torch.from_numpy(points),
            "values": torch.from_numpy(values),
            "failed": torch.from_numpy(failed),
            "pending": torch.from_numpy(pending),
            "numbers": [len(self), len(self._pending), self.version, self.measured],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the store that gave this state."""
        n, waiting, self.version, self.measured = state["numbers"]
        self.points = state["points"][:n].numpy().astype(np.int64)
        self._values = state["values"][:n].numpy().copy()
        self._values[state["failed"][:n].numpy()] = _FAILED
        self._pending = [tuple(point) for point in state["pending"][:waiting].tolist()]
