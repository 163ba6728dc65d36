"""From a kind to an executor; Ray is imported only when it is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from search_space import FieldError
from trainers.executor import Executor, InlineExecutor

# Read by Ray and Tune when they are imported or started; a user's own setting wins.
_RAY_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # workers hide GPUs themselves, see CandidateTrainable
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
    "OMP_WAIT_POLICY": "PASSIVE",  # workers share processors: idle OpenMP threads must not spin
    "KMP_BLOCKTIME": "0",
}


def create_executor(
    kind: Literal["ray", "inline"],
    *,
    scratch: Path,
    workers: int | None = None,
    cpus: int = 1,
    gpus: float | None = None,
    time_limit: float | None = None,
) -> Executor:
    """An executor by kind.

    Args:
        kind: ``ray`` for Ray Tune trials, ``inline`` for this process.
        scratch: a folder for temporary files of its own.
        workers, cpus, gpus, time_limit: see `RayExecutor`; inline uses ``cpus`` as torch threads.
    """
    if kind == "inline":
        given = {"workers": workers, "gpus": gpus, "time_limit": time_limit}
        for option, setting in given.items():
            if setting is not None:
                raise FieldError(f"executor.{option}", "is for the executor ray, inline has one process")
        return InlineExecutor(threads=cpus)
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from trainers.ray_executor import RayExecutor

    return RayExecutor(scratch=scratch, slots=workers, cpus=cpus, gpus=gpus, time_limit=time_limit)
