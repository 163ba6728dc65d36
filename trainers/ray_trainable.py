"""One candidate in a Ray worker: a Tune trainable whose step is an epoch."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from search_space import Architecture
from trainers.executor import Candidate, Result, after_failure, describe, finished
from trainers.measurement import Evaluator, Measurement
from trainers.ray_nodes import SharedEvaluator, other_version, reason_of, this_node, versions


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What every worker is given once.

    Attributes:
        shared: the reference to the evaluator, which a node fetches once and its workers read in place.
        home: id of the node the search runs on: elsewhere there is no run folder.
        versions: of the search's machine.
        memory_bytes: a worker without a GPU may take besides what it has when it starts; None is no limit.
    """

    shared: SharedEvaluator
    home: str
    versions: Mapping[str, Any]
    memory_bytes: int | None = None


def candidate_to_config(candidate: Candidate, threads: int, time_limit: float | None) -> dict[str, Any]:
    """What Tune carries to the worker: plain values."""
    weights = candidate.weights_path
    return {
        "id": candidate.id,
        "architecture": json.dumps(candidate.architecture.to_dict()),
        "seed": candidate.seed,
        "weights_path": None if weights is None else str(weights.absolute()),
        "threads": threads,
        "time_limit": time_limit,
    }


def result_from_json(candidate_id: int, text: str) -> Result:
    """What the last step reported as its outcome."""
    data = json.loads(text)
    return Result(
        id=candidate_id,
        status=data["status"],
        curve=tuple(Measurement(**measurement) for measurement in data["curve"]),
        error=data["error"],
        seconds=data["seconds"],
    )


def measured(report: str) -> tuple[Measurement, float]:
    """The measurement of an epoch, and the seconds its candidate has taken so far."""
    data = json.loads(report)
    return Measurement(**data["measurement"]), data["seconds"]


class CandidateTrainable(tune.Trainable):  # type: ignore[misc]
    """One candidate in a worker; a step is an epoch."""

    def setup(self, config: dict[str, Any], worker: WorkerSetup | None = None) -> None:
        assert worker is not None
        no_gpu = not ray.get_gpu_ids()
        if no_gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a worker without a GPU share sees no GPU
        os.environ["OMP_NUM_THREADS"] = str(config["threads"])  # where torch is imported later
        try:
            self._evaluator: Evaluator = ray.get(worker.shared[0])
        except Exception as error:
            raise RuntimeError(f"node {this_node()}: {reason_of(error)}") from None
        if "torch" in sys.modules:  # an evaluator without it, such as a table, starts in half the time
            import torch

            torch.set_num_threads(int(config["threads"]))
        if other := other_version(versions(), worker.versions):  # Ray chooses also nodes not yet asked
            raise RuntimeError(f"node {this_node()}: {other}")
        self._memory: tuple[int, int] | None = None
        if worker.memory_bytes is not None and no_gpu:  # CUDA reserves address space that is no memory
            self._memory = memory_limit(worker.memory_bytes)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._away = ray.get_runtime_context().get_node_id() != worker.home
        self._broken = False  # the GPU does not work any more in this process
        self._null = Path(os.devnull).open("w")  # noqa: SIM115 -- the timer needs it while the worker lives
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._broken:
            os._exit(1)  # the candidate goes back to the queue, for a worker with a GPU
        self._begin(new_config)
        return True  # False would lose the trial without a word

    def _begin(self, config: dict[str, Any]) -> None:
        self._candidate_id = int(config["id"])
        self._limit: float | None = config["time_limit"]
        self._curve: list[Measurement] = []
        self._seconds = 0.0
        self._epochs: Iterator[Measurement] | None = None
        self._config = config
        self._weights = None if config["weights_path"] is None else Path(config["weights_path"])
        if self._folder is not None:
            self._folder.cleanup()  # of the candidate before
            self._folder = None
        if self._away and self._weights is not None:  # the run folder is on another machine
            self._folder = tempfile.TemporaryDirectory(prefix="nas-weights-")
            self._weights = Path(self._folder.name) / self._weights.name

    def step(self) -> dict[str, Any]:
        """One epoch, reported; the report of the last one carries the outcome."""
        began = time.perf_counter()
        outcome: Result | None = None
        weights: Any = None
        epochs = len(self._curve)
        try:
            if self._limit is not None:
                remaining = max(self._limit - self._seconds, 0.01)
                faulthandler.dump_traceback_later(remaining, exit=True, file=self._null)
            with limited(self._memory):
                over = self._advance()
            if over:
                weights = self._weights_for_home()
                outcome = finished(self._candidate_id, self._curve, 0.0)
        except Exception as error:  # failure is a state
            outcome = Result(id=self._candidate_id, status="failed", error=describe(error))
            self._epochs = None
            self._broken = after_failure(error)
            gc.collect()  # what a failed network held may stand between the next one and the memory limit
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._seconds += time.perf_counter() - began
        accuracy = self._curve[-1].accuracy if self._curve else 0.0
        reported: dict[str, Any] = {"accuracy": accuracy, "done": outcome is not None, "outcome": ""}
        if len(self._curve) > epochs:
            report = {"measurement": asdict(self._curve[-1]), "seconds": self._seconds}
            reported["epoch"] = json.dumps(report)
        if outcome is not None:
            reported["outcome"] = json.dumps(
                {
                    "status": outcome.status,
                    "error": outcome.error,
                    "seconds": self._seconds,
                    "curve": [asdict(measurement) for measurement in self._curve],
                }
            )
            self._epochs = None  # frees the network
        if weights is not None:
            reported["weights"] = weights
        return reported

    def _weights_for_home(self) -> Any:
        """A reference to the trained weights, where their place is on another machine.

        In the report itself Tune would print them into its log's arguments, twice, and could not bear that
        they are lost with their node.
        """
        if self._folder is None:
            return None
        assert self._weights is not None
        weights = self._weights.read_bytes() if self._weights.is_file() else None
        self._folder.cleanup()  # now: a worker that is killed leaves what it has
        self._folder = None
        return None if weights is None else ray.put(weights)

    def _advance(self) -> bool:
        """Run an epoch; whether it was the last."""
        if self._epochs is None:
            architecture = Architecture.from_dict(json.loads(self._config["architecture"]))
            self._epochs = iter(
                self._evaluator.epochs(architecture, int(self._config["seed"]), self._weights)
            )
        measurement = next(self._epochs, None)
        if measurement is not None:
            if not isinstance(measurement, Measurement):
                raise TypeError(f"an evaluator gives measurements, got {measurement!r}")
            self._curve.append(measurement)
        return measurement is None or measurement.final

    def cleanup(self) -> None:
        """The worker ends."""
        if self._folder is not None:
            self._folder.cleanup()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a lost candidate is trained again."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Never called."""


def memory_limit(more: int) -> tuple[int, int] | None:
    """The bounds (RLIMIT_DATA, soft and hard) at which a process may have so many bytes more than it has now.

    Counted is its own data, not files that it maps or the object store. None where it is not Linux.
    """
    if sys.platform != "linux":
        return None
    import resource

    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^VmData:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = int(found[1]) * 1024 + more
    return (limit if hard == resource.RLIM_INFINITY else min(limit, hard)), hard


@contextmanager
def limited(memory: tuple[int, int] | None) -> Iterator[None]:
    """Bound this process while the body runs: what asks for more gets a MemoryError.

    Only a candidate is bounded: Ray would not survive it where it sends what came of one.
    """
    if memory is None:
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, memory)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
