"""Points of a space as bits, for surrogates.

An ordered decision (its choices are numbers, or one word with a number: ``mbconv3``, ``mbconv6``) becomes a
thermometer: one bit a step between neighbours, so that near choices share bits. Any other decision becomes
one bit a choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from search_space import SearchSpace

Points = npt.NDArray[np.int64]


def ranks(choices: Sequence[Any]) -> list[int] | None:
    """The place of each choice in their order; None where they have none.

    Two choices have an order too, whatever they are.
    """
    values: list[float] = []
    prefixes = set()
    for choice in choices:
        if isinstance(choice, int | float) and not isinstance(choice, bool):
            values.append(float(choice))
            prefixes.add("")
        elif isinstance(choice, str) and (match := re.fullmatch(r"(\D*)(\d+(?:\.\d+)?)", choice)):
            values.append(float(match[2]))
            prefixes.add(match[1])
        else:
            prefixes.add(repr(choice))
    if len(choices) <= 2:
        return list(range(len(choices)))
    if len(prefixes) != 1 or len(set(values)) != len(choices):
        return None
    return np.argsort(np.argsort(values)).tolist()


class Coding:
    """Turns points (N, decisions) into bits (N, M).

    Attributes:
        bits: M; 0 where there is nothing to choose.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._tables = []
        for decision in space.decisions:
            order, n = ranks(decision.choices), len(decision.choices)
            if order is None:
                self._tables.append(np.eye(n))
            else:
                self._tables.append((np.array(order)[:, None] > np.arange(n - 1)[None]).astype(np.float64))
        self.bits = sum(table.shape[1] for table in self._tables)

    def __call__(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        x = np.asarray(points)
        return np.concatenate([table[x[:, d]] for d, table in enumerate(self._tables)], axis=1)
