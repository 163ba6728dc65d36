"""The order in which parallel processes get the tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import shared_out


class Item:
    """What the order looks at of a test."""

    def __init__(self, slow: bool = False, forks: bool = False, module: object = None) -> None:
        self.slow = slow
        self.module = module or (SimpleNamespace(Forked=0) if forks else SimpleNamespace())

    def get_closest_marker(self, name: str) -> bool | None:
        return True if self.slow and name == "slow" else None


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 40])
def test_every_test_is_there_once_and_those_that_wait_begin_in_all_processes(workers: int) -> None:
    one, other = SimpleNamespace(), SimpleNamespace()
    quick = [Item() for _ in range(20)]
    slow = [Item(slow=True, module=module) for module in (one, one, other, one)]
    forking = [Item(forks=True), Item(slow=True, forks=True)]
    items: Any = [*quick[:7], *slow, *quick[7:], *forking]
    order: list[Any] = shared_out(items, workers)
    assert len(order) == len(items)
    assert set(order) == set(items)
    assert order[:2] == forking[::-1]  # the slow one first
    size = len(items) // workers
    if workers == 2:
        assert order[size : size + 4] == slow
    if workers == 3:  # a module stays together
        third = size + (len(items) - size) // 2
        assert order[size : size + 3] == [slow[0], slow[1], slow[3]]
        assert order[third] is slow[2]
    assert [item for item in order if item in quick] == quick
