"""Ray Tune as the executor. Ray is imported when a run begins, not before.

What Tune is used for: processes, resources, trials. What it is not: it never logs, never snapshots and never
restores, because the journal of the search is the only truth (``Tuner.restore`` loses what finished since
its last snapshot). Traps that shaped this file, all of Ray 2.60:

- ``Tuner()`` pickles searcher, callbacks and stopper for a restore we never make: `Live` pickles nothing.
- An exception in a trainable costs the worker: candidates' failures are caught and reported as results.
- With reused workers a finished trial's worker takes the queued trial and cancels the worker that was
  starting for it; so the searcher holds candidates back by its own count of free slots.
- ``FINISHED`` is final: it is given only when nothing is open, since a lost candidate may come again.
- A trial can end without `on_trial_complete`: `Hooks.on_step_end` sweeps.
- Tune makes no steps while it waits for a first trial: nodes are looked at in `suggest` too.
- Tune keeps every last result: weights that came with it are taken out before (`Hooks.on_trial_result`).
- Tune has no time limit a trial: a C timer (`faulthandler`) ends a hanging worker even with the GIL held.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import ray
from ray import tune

from search_space import InputError
from trainers.early_stopping import EarlyStopping
from trainers.executor import NextCandidate, Notice, Record, available_cpus
from trainers.measurement import Evaluator
from trainers.ray_connection import joined_cluster, private_instance
from trainers.ray_early_stopping import StopEarly
from trainers.ray_nodes import Nodes, versions
from trainers.ray_searcher import CandidateSearcher, Hooks, StopAll
from trainers.ray_trainable import CandidateTrainable, WorkerSetup
from trainers.worker_needs import GIB, WorkerNeeds


@dataclass(frozen=True, slots=True, kw_only=True)
class RayExecutor:
    """Runs candidates as Ray Tune trials on reused workers.

    Attributes:
        scratch: a folder for Tune's own files; wiped before and after.
        slots: workers at a time; None fits as many as the machine, or the cluster, holds.
        cpus: processors, and torch threads, a worker.
        gpus: GPUs a worker, which may be a fraction; None takes one where there are any at the start.
        memory: GiB a worker; None is no limit.
        resources: of the cluster's own kinds, a worker.
        time_limit: seconds a candidate may take; None is no limit.
        address: of a cluster to join, see `trainers.factory.check_address`; None is this machine.
        node_wait: seconds to go on while no node of a cluster has room for a worker.
        early_stopping: when candidates are stopped before their last epoch; None is never.
    """

    scratch: Path
    slots: int | None = None
    cpus: int = 1
    gpus: float | None = None
    memory: float | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    time_limit: float | None = None
    address: str | None = None
    node_wait: float = 600.0
    early_stopping: EarlyStopping | None = None

    def run(
        self,
        evaluator: Evaluator,
        next_candidate: NextCandidate,
        record: Record,
        *,
        on_start: Callable[[int], None] = lambda workers: None,
        abort: Callable[[], bool] = lambda: False,
        notice: Notice = lambda kind, text: None,
        past: Sequence[Sequence[float]] = (),
    ) -> None:
        """See `Executor`; an abort is noticed within a step of Tune's loop."""
        with self._ray():
            needs = self._needs()
            shared = (ray.put(evaluator),)
            cluster = self.address is not None
            nodes = Nodes(
                needs,
                self.slots,
                shared if cluster else None,
                self.node_wait if cluster else None,
                notice,
            )
            nodes.begin(abort)
            on_start(nodes.capacity)
            searcher = CandidateSearcher(
                next_candidate,
                record,
                abort,
                notice,
                nodes,
                threads=self.cpus,
                time_limit=self.time_limit,
            )
            worker = WorkerSetup(
                shared=shared,
                home=ray.get_runtime_context().get_node_id(),
                versions=versions(),
                memory_bytes=None if self.memory is None else round(self.memory * GIB),
            )
            trainable = tune.with_resources(
                tune.with_parameters(CandidateTrainable, worker=worker),
                tune.PlacementGroupFactory([needs.bundle()]),
            )
            shutil.rmtree(self.scratch, ignore_errors=True)
            try:
                self._tuner(trainable, searcher, past).fit()
            finally:
                nodes.end()
                shutil.rmtree(self.scratch, ignore_errors=True)
            if searcher.error is not None:
                raise searcher.error

    def _tuner(
        self,
        trainable: type[CandidateTrainable],
        searcher: CandidateSearcher,
        past: Sequence[Sequence[float]],
    ) -> tune.Tuner:
        rule = self.early_stopping
        return tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=None if rule is None else StopEarly(rule, searcher, past),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(self.scratch.absolute()),
                verbose=0,
                log_to_file=False,
                callbacks=[Hooks(searcher)],
                stop=StopAll(searcher),
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )

    def _needs(self) -> WorkerNeeds:
        gpus = self.gpus
        if gpus is None:
            gpus = 1.0 if ray.cluster_resources().get("GPU") else 0.0
        return WorkerNeeds(cpus=self.cpus, gpus=gpus, memory=self.memory, resources=self.resources)

    @contextmanager
    def _ray(self) -> Iterator[None]:
        """What is connected already, the cluster of the address, or a private local instance."""
        if ray.is_initialized():
            yield
            return
        if self.address is not None:
            with joined_cluster(self.address):
                yield
            return
        processors = available_cpus()
        if self.slots is not None and self.slots * self.cpus > 2 * processors:
            raise InputError(
                f"executor.workers: {self.slots} workers of {self.cpus} are more than twice the {processors} "
                "processors of this machine"
            )
        with private_instance(None if self.slots is None else self.slots * self.cpus):
            yield
