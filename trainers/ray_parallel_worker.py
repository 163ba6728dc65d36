"""One of several workers that train a network together under Ray Train, and how they are heard."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import train

from search_space import Architecture, InputError
from trainers.data import Dataset, ImageSet
from trainers.finetuning import Start
from trainers.full import Saving, train_fully
from trainers.ranks import Ranks
from trainers.ray_mailbox import tell
from trainers.ray_nodes import other_version, reason_of, this_node, versions
from trainers.recipe import Recipe

TELL_SECONDS = 0.1  # between two steps that are told
# how gloo, NCCL and their store say that another process is gone
_GONE = ("gloo", "nccl", "connection closed", "connection reset", "connection was likely closed", "tcpstore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every worker is given.

    Attributes:
        architecture, recipe, seed, saving, weights_path: see `train_fully`; paths are absolute.
        shared: holds the reference to the data, the test images and the start, which a node fetches once.
        threads: of torch.
        gpu: whether a worker has one.
        marks: files that it must see.
        versions: of the machine that asks.
        mailbox: handle of a `trainers.ray_mailbox.Mailbox`.
    """

    architecture: Architecture
    recipe: Recipe
    shared: tuple[Any]
    seed: int
    saving: Saving | None
    weights_path: Path | None
    threads: int
    gpu: bool
    marks: tuple[Path, ...]
    versions: Mapping[str, Any]
    mailbox: Any = None


def work(config: Mapping[str, Any]) -> None:
    """A worker's part of a training, from Ray Train."""
    job: Job = config["job"]
    context = train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size())
    if ray.get(tell(job.mailbox, "worker", ray.get_runtime_context().current_actor)):
        return
    try:
        with _warnings_told(job, ranks):
            _train(job, ranks)
    except Exception as error:
        if not of_another(error):
            ray.get(tell(job.mailbox, "error", portable(error)))
        raise RuntimeError(reason_of(error)) from None  # the original may not be fit to travel


def _train(job: Job, ranks: Ranks) -> None:
    device = _prepared(job)
    data, test, start = _shared(job)
    teller = _Teller(job.mailbox)
    epochs = train_fully(
        job.architecture,
        job.recipe,
        data,
        job.seed,
        device=device,
        test=test,
        saving=job.saving,
        weights_path=job.weights_path,
        start=start,
        ranks=ranks,
        on_step=teller.step if ranks.first else None,
        stop=teller.is_to_stop,
    )
    for measurement in epochs:
        if ranks.first:
            ray.get(tell(job.mailbox, "epoch", measurement))
    if teller.is_to_stop():
        ray.get(tell(job.mailbox, "stopped"))


def _prepared(job: Job) -> str:
    """Set up this process, and look whether its node will do; the device to train on."""
    if not job.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(job.threads)
    if other := other_version(versions(), job.versions):
        raise InputError(f"node {this_node()}: {other}")
    for mark in job.marks:
        if not mark.exists():
            raise InputError(
                f"node {this_node()}: does not see {mark.parent}, where the training is kept; workers on "
                "several nodes need a folder that all of them share"
            )
    if not job.gpu:
        return "cpu"
    from ray.train.torch import get_device

    device = get_device()
    torch.cuda.set_device(device)
    return str(device)


def _shared(job: Job) -> tuple[Dataset, ImageSet | None, Start | None]:
    try:
        data, test, start = ray.get(job.shared[0])
    except ray.exceptions.ObjectLostError:
        raise
    except Exception as error:
        raise InputError(f"node {this_node()}: {reason_of(error)}") from None
    return data, test, start


class _Teller:
    """Tells the mailbox of steps, now and then, and hears whether to stop."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        self._told = float("-inf")
        self._answer: Any = None
        self._stop = False

    def is_to_stop(self) -> bool:
        """Whether that was answered; never to any but the first worker."""
        return self._stop

    def step(self, done: int, steps: int, rate: float) -> None:
        """See `OnStep`."""
        now = time.monotonic()
        if now - self._told < TELL_SECONDS and done < steps:
            return
        self._told = now
        if self._answer is not None and ray.wait([self._answer], timeout=0)[0]:
            self._stop = self._stop or ray.get(self._answer)
        self._answer = tell(self._mailbox, "step", (done, steps, rate))


class _Told(logging.Handler):
    """Warnings of the training go to who waits for it."""

    def __init__(self, mailbox: Any) -> None:
        super().__init__(logging.WARNING)
        self._mailbox = mailbox

    def emit(self, record: logging.LogRecord) -> None:
        tell(self._mailbox, "warning", record.getMessage())


@contextmanager
def _warnings_told(job: Job, ranks: Ranks) -> Iterator[None]:
    """The first worker's warnings are told while the body runs."""
    if not ranks.first:
        yield
        return
    ours, handler = logging.getLogger("trainers"), _Told(job.mailbox)
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)


def of_another(error: BaseException) -> bool:
    """Whether an exception says that another worker, or what it kept, is gone."""
    if isinstance(error, ray.exceptions.RayError):
        return True
    if not isinstance(error, RuntimeError | ConnectionError):
        return False
    text = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or any(word in text for word in _GONE)


def portable(error: Exception) -> Exception:
    """The exception, or one that says the same and can go to another process."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        pickle.dumps(error)  # of a class that the other process finds too
        again = copy.copy(error)  # as it is made again there
    except Exception:
        again = None
    if type(again) is type(error) and str(again) == str(error):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
