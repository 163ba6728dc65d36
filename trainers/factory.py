"""From a kind to an executor; Ray is imported only when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from search_space import FieldError, InputError
from trainers.early_stopping import EarlyStopping
from trainers.executor import Executor, InlineExecutor
from trainers.worker_needs import WorkerNeeds

# Read by Ray and Tune when they are imported or started; a user's own setting wins.
_RAY_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # workers hide GPUs themselves, see CandidateTrainable
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a worker that is taken away is a lost one
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",  # that others may have a cluster's processors
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's own drops running trials
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "5",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # no snapshots: the journal is the truth
    "TUNE_MAX_PENDING_TRIALS_PG": "64",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "60",
    "TUNE_WARN_THRESHOLD_S": "60",
}
# Read by OpenMP when torch is imported: processors are shared, and threads that wait must not spin.
_PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def create_executor(
    kind: Literal["ray", "inline"],
    *,
    scratch: Path,
    workers: int | None = None,
    cpus: int = 1,
    gpus: float | None = None,
    memory: float | None = None,
    resources: Mapping[str, float] | None = None,
    time_limit: float | None = None,
    address: str | None = None,
    node_wait: float = 600.0,
    early_stopping: EarlyStopping | None = None,
) -> Executor:
    """An executor by kind.

    Args:
        kind: ``ray`` for Ray Tune trials, ``inline`` for this process.
        scratch: a folder for temporary files of its own.
        workers, cpus, gpus, memory, resources, time_limit, address, node_wait, early_stopping: see
            `RayExecutor`; inline uses ``cpus`` as torch threads.

    Raises:
        FieldError: an amount that Ray cannot give, or an option of the other kind.
        InputError: an address that cannot be joined.
    """
    if kind == "inline":
        if address is not None:
            raise InputError("--address is for the executor ray, and executor.kind is inline")
        given = {
            "workers": workers,
            "gpus": gpus,
            "memory": memory,
            "resources": resources or None,
            "time_limit": time_limit,
            "early_stopping": early_stopping,
        }
        for option, setting in given.items():
            if setting is not None:
                raise FieldError(f"executor.{option}", "is for the executor ray, inline has one process")
        return InlineExecutor(threads=cpus)
    if address is not None:
        check_address(address)
    try:
        WorkerNeeds(cpus=cpus, gpus=gpus or 0.0, memory=memory, resources=resources or {})
    except FieldError as error:
        raise error.under("executor") from None
    prepare_environment(address)
    from trainers.ray_executor import RayExecutor

    return RayExecutor(
        scratch=scratch,
        slots=workers,
        cpus=cpus,
        gpus=gpus,
        memory=memory,
        resources=dict(resources or {}),
        time_limit=time_limit,
        address=address,
        node_wait=node_wait,
        early_stopping=early_stopping,
    )


def prepare_environment(address: str | None) -> None:
    """Set, before Ray is imported, what it then reads; `address` is of a cluster to join."""
    spin_no_threads()
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address is not None:  # each try waits 40 s for a head that does not answer
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")


def spin_no_threads() -> None:
    """Have torch's threads sleep while they wait for one another; it serves before torch is imported.

    Where other processes compute, threads that spin keep the processors from the ones that they wait for.
    """
    for name, value in _PATIENT_THREADS.items():
        os.environ.setdefault(name, value)


def check_address(address: str) -> None:
    """Whether a search can join a cluster by this address: ``auto``, or ``HOST:PORT`` of its head.

    Raises:
        InputError: it cannot, and why.
    """
    place, asked = address, f"--address {address}"
    if address == "auto" and os.environ.get("RAY_ADDRESS"):
        place = os.environ["RAY_ADDRESS"]
        asked += f", which RAY_ADDRESS says is {place}"
    if place.startswith("ray://"):
        raise InputError(
            f"{asked}: under the Ray client Tune would run on the cluster, away from the run folder and its "
            "journal; run the command on a node of the cluster, with --address auto"
        )
    host, colon, port = place.rpartition(":")
    whole = bool(host and colon) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
    if place != "auto" and (not whole or "/" in place or (":" in host and not host.startswith("["))):
        raise InputError(f"{asked}: must be auto or HOST:PORT, such as 10.0.0.1:6379")


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Be on a cluster while the body runs; without an address nothing happens.

    Raises:
        InputError: see `check_address` and `trainers.ray_connection.joined_cluster`.
    """
    if address is None:
        yield
        return
    check_address(address)
    prepare_environment(address)
    from trainers.ray_connection import joined_cluster

    with joined_cluster(address):
        yield
