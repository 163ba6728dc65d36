"""An evaluator without training. Ray's workers import this module, so it imports little."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from search_space import Architecture
from trainers import Measurement


@dataclass(frozen=True)
class Scripted:
    """Gives an accuracy made from the key, after a while; does something else for some networks.

    Attributes:
        diary: a file with one line for every beginning and end of an evaluation.
        seconds: an epoch takes.
        acts: the n-th evaluation to begin (counted over processes, from 1) to what it does:
            ``raise``, ``break the GPU``, ``nan``, ``die``, ``hang``, ``nothing``, ``eat memory``.
    """

    diary: Path
    seconds: float = 0.0
    acts: dict[int, str] = field(default_factory=dict)
    fingerprint: str = "scripted"
    num_classes: int = 10
    in_channels: int = 1

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        act = self.acts.get(self.write("begin", architecture.key))
        accuracy = 0.5 + int(architecture.key[:6], 16) / 2**24 / 2
        for epoch in (1, 2):
            time.sleep(self.seconds)
            if act == "raise":
                raise RuntimeError("CUDA out of memory\n(as if)")
            if act == "break the GPU":
                import torch  # here, as workers import it for more than a second

                raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
            if act == "nan":
                yield Measurement(accuracy=float("nan"))
            if act == "eat memory":
                bytearray(2**34)  # without a limit it is only address space: nothing is written
            if act == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if act == "hang":
                time.sleep(1000)
            if act == "nothing":
                return
            if epoch == 2:
                self.write("end", architecture.key)
                if weights_path is not None:
                    weights_path.parent.mkdir(parents=True, exist_ok=True)
                    weights_path.write_text(architecture.key)
            yield Measurement(accuracy=accuracy, metrics={"loss": 1.0 / epoch}, final=epoch == 2)

    def write(self, what: str, key: str) -> int:
        """Add a line; the number of lines of its kind so far."""
        with self.diary.open("a") as file:
            file.write(f"{what} {key} {os.getpid()}\n")
        return sum(line.startswith(what) for line in self.diary.read_text().splitlines())

    def processes(self) -> list[int]:
        """Who began evaluations, in their order."""
        lines = self.diary.read_text().splitlines()
        return [int(line.split()[2]) for line in lines if line.startswith("begin")]

    def lines(self, what: str) -> list[str]:
        """The keys of what began, or ended."""
        if not self.diary.exists():
            return []
        return [line.split()[1] for line in self.diary.read_text().splitlines() if line.startswith(what)]


class Three:
    """Yields three measurements; the second says that it is the last."""

    fingerprint, num_classes, in_channels = "three", 10, 1

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        for number in (1, 2, 3):
            yield Measurement(accuracy=np.float32(number / 4), metrics={"n": number}, final=number == 2)


@dataclass(frozen=True)
class Hungry:
    """One network, of the key `greedy`, asks for a GiB; the others ask for little."""

    fingerprint: str = "hungry"
    num_classes: int = 10
    in_channels: int = 1
    greedy: str = ""

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        size = 2**30 if architecture.key == self.greedy else 2**20
        memory = np.ones(size, dtype=np.uint8)
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
        known = {"hidden": hidden, "torch": "torch" in sys.modules}
        yield Measurement(accuracy=0.5, metrics={"pid": os.getpid(), "bytes": memory.nbytes, **known})


class Timed(Scripted):
    """Says a latency too: the more blocks, the more."""

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        blocks = float(sum(stage.repeats for stage in architecture.stages))
        for measurement in super().epochs(architecture, seed, weights_path):
            measurement.metrics.update(latency_ms=blocks, blocks=blocks)
            yield measurement
