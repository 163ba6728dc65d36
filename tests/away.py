"""Searches on a node that has none of this machine's files: ``python -m tests.away HOME HEAD``.

In a process of its own, since one that has had a private Ray keeps to its token. HOME holds a file ``here``
and a prepared cache ``photos``; on the node, which has the resource ``away``, it is empty.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from search_space import Architecture, InputError
from tests.test_executors import Book
from trainers import Measurement, ProxyProtocol, create_executor, open_cache
from trainers.proxy import ProxyEvaluator


@dataclass(frozen=True)
class Absent:
    """Says whether a file of the search's machine is there, and leaves weights where it is told."""

    file: Path
    fingerprint: str = "absent"
    num_classes: int = 10
    in_channels: int = 1

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        assert weights_path is not None
        weights_path.write_bytes(architecture.key.encode() * 10_000)
        yield Measurement(accuracy=0.5, metrics={"there": self.file.exists()})


def main(home: Path, head: str) -> None:
    """Weights come home, and missing data name the node."""
    book = Book(3)
    book.queue = [replace(c, weights_path=home / "w" / f"{c.id}.bin") for c in book.queue]
    executor = create_executor(
        "ray", scratch=home / "scratch", resources={"away": 1}, address=head, node_wait=90.0
    )
    executor.run(Absent(home / "here"), book.next_candidate, book.record)  # waits for the node
    assert [result.status for result in book.results.values()] == ["done"] * 3, book.results
    assert [result.curve[-1].metrics["there"] for result in book.results.values()] == [0.0] * 3
    for candidate in book.candidates.values():
        written = (home / "w" / f"{candidate.id}.bin").read_bytes()
        assert written == candidate.architecture.key.encode() * 10_000
    assert not list((home / "w").glob("*.unfinished"))
    data = ProxyEvaluator(ProxyProtocol(), open_cache(home / "photos"))
    with pytest.raises(InputError) as refused:
        executor.run(data, Book(1).next_candidate, Book(1).record)
    found = re.fullmatch(rf"node \S+ \(\S+\): {home}/photos: holds no prepared data.*", str(refused.value))
    assert found is not None, refused.value


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
