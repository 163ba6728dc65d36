"""Full training by several processes, on this machine or on a cluster; Ray is imported when it begins.

A batch is split over the workers, whose gradients are averaged (torch's DistributedDataParallel): by ``gloo``
between processors, by ``nccl`` between GPUs. So `Recipe.batch` is the batch of all workers, and two workers
train what one process with ``accumulate: 2`` trains, up to rounding: batch norm sees one worker's part at a
time, and its running statistics are the first worker's, while one process's have seen every part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from search_space import Architecture, FieldError
from search_space.fields import check_int
from trainers.data import Dataset, ImageSet
from trainers.factory import check_address, prepare_environment
from trainers.finetuning import Start
from trainers.full import OnStep, Saving, check_full_fit
from trainers.full_step import check_split
from trainers.measurement import Measurement
from trainers.recipe import Recipe


class WorkersLostError(RuntimeError):
    """Workers of a training were lost more often than it is started again."""


def train_in_parallel(
    architecture: Architecture,
    recipe: Recipe,
    data: Dataset,
    seed: int,
    *,
    workers: int,
    cpus: int | None = None,
    gpus: int | None = None,
    test: ImageSet | None = None,
    saving: Saving | None = None,
    weights_path: Path | None = None,
    start: Start | None = None,
    address: str | None = None,
    max_failures: int = 3,
    on_step: OnStep | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Measurement]:
    """Train a network by a recipe with several workers, epoch by epoch; see `trainers.full.train_fully`.

    Where a worker is lost, all are started again from the latest checkpoint. An exception of `on_step`, an
    iteration that is closed, and Ctrl-C leave a checkpoint as `stop` does. A checkpoint of so many workers
    serves any other number of them; batch norm then sees parts of another size, so the result is another.

    Args:
        architecture, recipe, data, seed: see `train_fully`; the data are given to each node once.
        workers: processes.
        cpus: processors, and torch threads, of each; None divides those there are.
        gpus: of each, 0 or 1; None takes one where there are any.
        start: see `train_fully`; it goes to every node.
        test, saving, weights_path: see `train_fully`; every worker must see these folders.
        address: of a cluster to join, see `trainers.factory.check_address`; None is the Ray that this process
            is connected to, or this machine.
        max_failures: how often workers are started again, without an epoch's end between.
        on_step: see `train_fully`; told some ten times a second at most.
        stop: asked some times a second; when true, a checkpoint of the step then done is left and no more
            comes.

    Yields:
        What `train_fully` yields, each epoch once.

    Raises:
        FieldError: ``workers.number``, ``workers.cpus`` or ``workers.gpus`` breaks its rule.
        InputError: the data do not fit, the batch cannot be split so, the cluster cannot be joined or has no
            room, or a node does not see the data or a folder.
        TrainingDivergedError, OSError: see `train_fully`.
        WorkersLostError: workers were lost too often.
    """
    check_workers(workers, cpus, gpus)
    check_full_fit(architecture, recipe, data, test)
    check_split(recipe, workers)
    if address is not None:
        check_address(address)
    prepare_environment(address)
    from trainers.ray_parallel import ParallelTraining

    training = ParallelTraining(
        architecture=architecture,
        recipe=recipe,
        data=data,
        test=test,
        seed=seed,
        workers=workers,
        cpus=cpus,
        gpus=gpus,
        saving=saving,
        weights_path=weights_path,
        start=start,
        address=address,
        max_failures=max_failures,
        on_step=on_step,
        stop=stop,
    )
    return training.epochs()


def check_workers(workers: int, cpus: int | None, gpus: int | None) -> None:
    """Refuse workers that cannot be.

    Raises:
        FieldError: ``workers.number``, ``workers.cpus`` or ``workers.gpus`` and the rule.
    """
    check_int("workers.number", workers, 1, 4096)
    if cpus is not None:
        check_int("workers.cpus", cpus, 1, 1024)
    if gpus is not None and (isinstance(gpus, bool) or gpus not in (0, 1)):
        raise FieldError("workers.gpus", f"must be 0 or 1, since a worker trains on one GPU, got {gpus!r}")
