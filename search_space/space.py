"""A search space: an ordered tuple of decisions, and a decoder that turns choices into an architecture.

The spaces here are factorised by stage, as in MnasNet (arXiv 1807.11626): each stage has its own choice of
operation with expansion, kernel, squeeze-and-excitation ratio, filters and layers; all layers of a stage
share them. Controllers see decisions alone, so a space without a decoder is legal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from search_space.architecture import Architecture
from search_space.errors import FieldError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Indices = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice to make.

    Attributes:
        name: such as ``stage3.kernel``.
        choices: what there is to choose from, all different.
    """

    name: str
    choices: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            raise FieldError(self.name, "must have at least one choice")
        if any(choice in self.choices[:number] for number, choice in enumerate(self.choices)):
            raise FieldError(self.name, f"must have different choices, got {list(self.choices)}")


class Decoder(Protocol):
    """Turns choices into an architecture and back."""

    def decode(self, choices: Sequence[Any]) -> Architecture:
        """The architecture that these choices, one a decision, describe."""

    def encode(self, architecture: Architecture) -> tuple[Any, ...]:
        """The choices that describe this architecture; ValueError where there are none."""


class SearchSpace:
    """Decisions and, where there is one, a decoder.

    Args:
        decisions: in the order in which a controller makes them.
        decoder: how choices become an architecture; a space without one serves controllers only.
        name: for messages and records.

    Raises:
        FieldError: no decision, or two of one name.
    """

    def __init__(
        self, decisions: Sequence[Decision], decoder: Decoder | None = None, name: str = "unnamed"
    ) -> None:
        self.decisions = tuple(decisions)
        self.name = name
        self._decoder = decoder
        names = [decision.name for decision in self.decisions]
        if not names:
            raise FieldError("decisions", "must hold at least one decision")
        if len(set(names)) != len(names):
            raise FieldError("decisions", f"must have different names, got {names}")

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {len(self.decisions)} decisions, size {self.size:.3g})"

    @property
    def size(self) -> int:
        """Number of points, exactly."""
        return math.prod(len(decision.choices) for decision in self.decisions)

    def choices(self, indices: Sequence[int]) -> tuple[Any, ...]:
        """What the indices stand for, one choice a decision.

        Raises:
            FieldError: the wrong number of indices, or one out of range.
        """
        if len(indices) != len(self.decisions):
            raise FieldError("indices", f"must number {len(self.decisions)}, got {len(indices)}")
        for decision, index in zip(self.decisions, indices, strict=True):
            if not 0 <= index < len(decision.choices):
                last = len(decision.choices) - 1
                raise FieldError(f"indices.{decision.name}", f"must be between 0 and {last}, got {index}")
        return tuple(d.choices[i] for d, i in zip(self.decisions, indices, strict=True))

    def decode(self, indices: Sequence[int]) -> Architecture:
        """The architecture at these indices.

        Raises:
            FieldError: an index is out of range, or the space has no decoder.
        """
        choices = self.choices(indices)
        if self._decoder is None:
            raise FieldError(self.name, "has no decoder: it holds decisions, not architectures")
        return self._decoder.decode(choices)

    def encode(self, architecture: Architecture) -> Indices:
        """The indices whose architecture has this one's key.

        Raises:
            FieldError: the architecture is not in the space; the message says where it leaves it.
        """
        if self._decoder is None:
            raise FieldError(self.name, "has no decoder: it holds decisions, not architectures")
        wanted = self._decoder.encode(architecture)
        indices = []
        for decision, choice in zip(self.decisions, wanted, strict=True):
            if choice not in decision.choices:
                offered = ", ".join(str(c) for c in decision.choices)
                raise FieldError(decision.name, f"must be one of {offered}, got {choice}")
            indices.append(decision.choices.index(choice))
        if self.decode(indices).key != architecture.key:
            raise FieldError(
                "architecture", f"differs from the space {self.name!r} in what the space holds fixed"
            )
        return tuple(indices)

    def contains(self, architecture: Architecture) -> bool:
        """Whether some point of the space builds the same network."""
        try:
            self.encode(architecture)
        except FieldError:
            return False
        return True

    def canonical(self, points: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Of many points (N, decisions) those that `encode` gives for the same architectures."""
        import numpy as np

        return np.array(points, dtype=np.int64)

    def allows(self, indices: Sequence[int]) -> bool:
        """Whether controllers may propose this point; without limits every one."""
        return True

    def allowed(self, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """`allows` of many points (N, decisions): (N,)."""
        import numpy as np

        return np.ones(len(np.asarray(points)), dtype=np.bool_)

    def repaired(self, indices: Sequence[int]) -> Indices:
        """A point near this one that is allowed."""
        return tuple(indices)

    def known_cost(self, points: npt.ArrayLike, cost: str) -> npt.NDArray[np.float64] | None:
        """A cost of many points (N, decisions) that is known without training: (N,); None where it is not.

        Args:
            points: indices.
            cost: such as ``macs``.
        """
        return None

    def random(self, rng: np.random.Generator) -> Indices:
        """One point, uniform over the decisions' choices, as indices."""
        return tuple(int(rng.integers(len(decision.choices))) for decision in self.decisions)
