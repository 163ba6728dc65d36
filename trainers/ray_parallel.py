"""Ray Train as what starts the workers of one training. Ray is imported when that begins, not before.

What Ray Train is used for: processes on their nodes, resources, the process group, the news that a worker is
gone. What it is not: it keeps no checkpoints and restarts nothing, since `train_fully` goes on from its own
and only a lost worker is a reason to start again. What workers tell goes through a `Mailbox`, an actor beside
this process. Traps that shaped this file, all of Ray 2.60:

- Ray Train restarts after any exception: it is let restart nothing, and an exception of the training is told
  before it is raised, so that it is known from what a worker says whose neighbour was killed.
- A worker whose neighbour raised waits for it in an exchange, as long as its process lives; so at the end
  the processes themselves are killed.
- In the main thread ``fit`` takes Ctrl-C for itself and drops what runs: it gets a thread of its own.
- A worker's directory is changed: paths are absolute.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import train
from ray.train.torch import TorchConfig, TorchTrainer

from search_space import Architecture, InputError
from trainers.data import Dataset, ImageSet
from trainers.executor import available_cpus
from trainers.finetuning import Start
from trainers.full import OnStep, Saving
from trainers.measurement import Measurement
from trainers.parallel import WorkersLostError
from trainers.ray_connection import joined_cluster, private_instance
from trainers.ray_mailbox import start_mailbox, take
from trainers.ray_nodes import reason_of, versions
from trainers.ray_parallel_worker import Job, work
from trainers.recipe import Recipe
from trainers.worker_needs import WorkerNeeds

logger = logging.getLogger(__name__)

TAKE_SECONDS = 0.2  # between two looks at whether the workers are still there
STOP_SECONDS = 60.0  # that a step, and the checkpoint after it, may take when the training is to stop
END_SECONDS = 15.0  # that processes may take to end
MARK = ".training-"
SLOW_START_SECONDS = 60.0  # after which a person is told what is waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelTraining:
    """One training by several workers; see `trainers.parallel.train_in_parallel`."""

    architecture: Architecture
    recipe: Recipe
    data: Dataset
    test: ImageSet | None
    seed: int
    workers: int
    cpus: int | None
    gpus: int | None
    saving: Saving | None
    weights_path: Path | None
    start: Start | None
    address: str | None
    max_failures: int
    on_step: OnStep | None
    stop: Callable[[], bool]

    def epochs(self) -> Iterator[Measurement]:
        """The measurements of all epochs."""
        with _ray(self.address, self.workers, self.cpus):
            needs = self._needs()
            with _marked(self._folders()) as marks:
                yield from self._tries(self._job(marks, needs), needs)

    def _tries(self, job: Job, needs: WorkerNeeds) -> Iterator[Measurement]:
        """Start again after lost workers, with each epoch told once."""
        epochs = lost = 0
        while True:
            try:
                for measurement in _Try(job, self.workers, needs).epochs(self.on_step, self.stop):
                    epoch = int(measurement.metrics["epoch"])
                    if epoch > epochs:
                        epochs, lost = epoch, 0
                        yield measurement
                return
            except WorkersLostError as error:
                if epochs == self.recipe.epochs or self.stop():
                    return  # all is done and written, or no more is wanted
                lost += 1
                if lost > self.max_failures:
                    raise
                logger.warning("%s; all workers start again (%d of %d times)", error, lost, self.max_failures)

    def _needs(self) -> WorkerNeeds:
        """Of a worker, when there is room for all.

        Raises:
            InputError: there is not.
        """
        nodes = [node for node in ray.nodes() if node["Alive"]]

        def room_for(needs: WorkerNeeds) -> int:
            return sum(needs.room(node["Resources"]) for node in nodes)

        gpus = float(
            ray.cluster_resources().get("GPU", 0.0) >= self.workers if self.gpus is None else self.gpus
        )
        needs = WorkerNeeds(cpus=self.cpus or 1, gpus=gpus)
        if self.cpus is None:
            most = int(max(node["Resources"].get("CPU", 1.0) for node in nodes))
            larger = (WorkerNeeds(cpus=cpus, gpus=gpus) for cpus in range(min(most, 1024), 1, -1))
            needs = next((one for one in larger if room_for(one) >= self.workers), needs)
        if (room := room_for(needs)) < self.workers:
            raise InputError(
                f"workers: {self.workers} are asked for, each with {needs.describe()}, and "
                f"{len(nodes)} node{'s' * (len(nodes) != 1)} with {needs.describe(ray.cluster_resources())} "
                f"in all {'has' if len(nodes) == 1 else 'have'} room for {room}"
            )
        return needs

    def _folders(self) -> list[Path]:
        """What workers write to."""
        folders = [] if self.saving is None else [self.saving.folder.absolute()]
        weights = self.weights_path and self.weights_path.absolute().parent
        if weights is not None and not any(folder.is_relative_to(weights) for folder in folders):
            folders.append(weights)  # else who sees the one sees the other
        return folders

    def _job(self, marks: tuple[Path, ...], needs: WorkerNeeds) -> Job:
        saving, weights = self.saving, self.weights_path
        return Job(
            architecture=self.architecture,
            recipe=self.recipe,
            shared=(ray.put((self.data, self.test, self.start)),),
            seed=self.seed,
            saving=saving and replace(saving, folder=saving.folder.absolute()),
            weights_path=weights and weights.absolute(),
            threads=needs.cpus,
            gpu=needs.gpus > 0,
            marks=marks,
            versions=versions(),
        )


class _Try:
    """The workers from their start to their end."""

    def __init__(self, job: Job, workers: int, needs: WorkerNeeds) -> None:
        self._mailbox = start_mailbox()
        self._job, self._workers, self._needs = job, workers, needs
        self._actors: list[Any] = []
        self._lost = ""  # why, once it is known
        self._began = False  # a worker has told something
        self._ending = False  # no worker is to go on
        self._thread = threading.Thread(target=self._fit, name="workers of a training", daemon=True)

    def epochs(self, on_step: OnStep | None, stop: Callable[[], bool]) -> Iterator[Measurement]:
        """The measurements that the first worker tells, until it is over or is to stop.

        Raises:
            WorkersLostError: workers are gone, and none of them said why.
            Exception: what the training itself raised.
        """
        self._thread.start()
        try:
            for kind, said in self._said(stop):
                if kind == "step" and on_step is not None:
                    on_step(*said)
                elif kind == "epoch":
                    yield said
                elif kind == "warning":
                    logger.warning("%s", said)
                elif kind == "error":
                    self._ending = True
                    raise said
            if self._lost:
                raise WorkersLostError(self._lost)
        finally:
            self._end()

    def _said(self, stop: Callable[[], bool]) -> Iterator[tuple[str, Any]]:
        """What workers tell, until they are gone or have stopped."""
        slow, until = time.monotonic() + SLOW_START_SECONDS, float("inf")
        while time.monotonic() < until:
            if until == float("inf") and stop():
                until = time.monotonic() + (STOP_SECONDS if self._began else 0.0)
                self._mailbox.stop.remote()
            gone = not self._thread.is_alive()  # first: what was told before that is then there
            try:
                said = self._take()
            except ray.exceptions.RayError as error:
                self._lost = self._lost or reason_of(error)
                return
            yield from said
            if any(kind == "stopped" for kind, _ in said):
                self._ending = True
            if self._ending or (gone and not said):
                return
            if not self._began and time.monotonic() > slow:
                slow = float("inf")
                wanted = self._needs.describe()
                logger.warning("waiting for %d workers, each with %s", self._workers, wanted)

    def _take(self) -> list[tuple[str, Any]]:
        """What workers told since the last time."""
        said = take(self._mailbox, TAKE_SECONDS)
        self._began = self._began or bool(said)
        self._actors += [what for kind, what in said if kind == "worker"]
        return said

    def _end(self) -> None:
        """Let the first worker leave a checkpoint, and end all."""
        polite = STOP_SECONDS if self._began and not self._ending else 0.0
        with contextlib.suppress(ray.exceptions.RayError):
            self._mailbox.stop.remote()  # what is still starting hears it, too
            until = time.monotonic() + polite
            while self._thread.is_alive() and time.monotonic() < until:
                if any(kind in ("stopped", "error") for kind, _ in self._take()):
                    break
        until = time.monotonic() + END_SECONDS
        while self._thread.is_alive() and time.monotonic() < until:
            while self._actors:  # one may wait for another that is not there any more
                ray.kill(self._actors.pop())
            with contextlib.suppress(ray.exceptions.RayError):
                self._take()
            self._thread.join(0.05)

    def _fit(self) -> None:
        """In the thread: run the workers, and keep what Ray Train says of their end."""
        with tempfile.TemporaryDirectory(prefix="nas-ray-train-") as scratch:
            try:
                self._trainer(scratch).fit()
            except train.WorkerGroupError as error:
                self._lost = why_lost(error.worker_failures)
            except Exception as error:
                self._lost = f"workers were lost: {reason_of(error)}"

    def _trainer(self, scratch: str) -> TorchTrainer:
        return TorchTrainer(
            work,
            train_loop_config={"job": replace(self._job, mailbox=self._mailbox)},
            torch_config=TorchConfig(backend="nccl" if self._job.gpu else "gloo"),
            scaling_config=train.ScalingConfig(
                num_workers=self._workers,
                use_gpu=self._job.gpu,
                resources_per_worker=self._needs.bundle(),
            ),
            run_config=train.RunConfig(
                name="train",
                storage_path=scratch,
                failure_config=train.FailureConfig(max_failures=0, controller_failure_limit=0),
            ),
        )


def why_lost(failures: Mapping[int, BaseException]) -> str:
    """In one line, of which workers Ray Train says that they are gone; by rank, from 0."""
    gone = sorted(rank for rank, failure in failures.items() if not isinstance(failure, RuntimeError))
    for failure in failures.values():
        logger.debug("a worker failed", exc_info=failure)
    if not gone:
        return "the workers lost their connection"
    cause = getattr(failures[gone[0]], "health_check_failure", failures[gone[0]])
    reason = reason_of(cause)
    reason = reason.partition("Worker exit detail: ")[2] or reason  # and without Ray's guesses
    reason = reason.partition(" Some common causes")[0].rstrip(".")
    return f"worker{'s' * (len(gone) > 1)} {', '.join(map(str, gone))} died: {reason}"


@contextmanager
def _ray(address: str | None, workers: int, cpus: int | None) -> Iterator[None]:
    """What is connected already, the cluster of the address, or a private local instance."""
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield
        return
    if address is not None:
        with joined_cluster(address):
            yield
        return
    processors = available_cpus()
    wanted = max(workers, processors if cpus is None else workers * cpus)
    if wanted > 2 * processors:
        raise InputError(
            f"workers: {workers} of {cpus or 1} processors are more than twice the {processors} of this "
            "machine"
        )
    with private_instance(wanted):
        yield


@contextmanager
def _marked(folders: list[Path]) -> Iterator[tuple[Path, ...]]:
    """A file in each folder, by which a worker knows that it sees the same one.

    Raises:
        OSError: a folder cannot be written to.
    """
    marks = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"{MARK}*"):  # by a process that was killed
                left.unlink(missing_ok=True)
            mark = folder / f"{MARK}{secrets.token_hex(8)}"
            mark.touch()
            marks.append(mark)
        yield tuple(marks)
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)
