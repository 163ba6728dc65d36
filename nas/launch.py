"""From a configuration to a running search: the run folder, its lock, the session, the executor."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from controller import Controller, create_controller
from nas.baselines import adapted_baselines
from nas.config import SearchConfig, load_config, resumable
from nas.config_reading import differences
from nas.config_sections import DataConfig, ExecutorConfig
from nas.early_stopping import past_scores
from nas.interrupts import handled_interrupts
from nas.latency_config import LatencyConfig, check_predicted
from nas.replay import space_of
from nas.reuse import measurements
from nas.search import Listener, Search
from results import HISTORY, EvaluatorFacts, Journal, Run, check_new, create_run, run_path, write_whole
from search_space import FieldError, InputError, SearchSpace, load_space
from trainers import (
    Dataset,
    Evaluator,
    Executor,
    LatencyProtocol,
    TableEvaluator,
    available_cpus,
    create_executor,
    joined,
    load_dataset,
    load_table_evaluator,
    open_cache,
    read_facts,
)
from trainers.class_choice import as_options

logger = logging.getLogger(__name__)

Outcome = Literal["finished", "exhausted", "failing", "interrupted"]


@dataclass(frozen=True, slots=True)
class SearchEnd:
    """How a session of a search ended.

    Attributes:
        run: its folder.
        outcome: ``finished`` (the budget is spent), ``exhausted`` (the controller proposes nothing new),
            ``failing`` (one candidate after the other failed), or ``interrupted``.
    """

    run: Run
    outcome: Outcome


def load_data(data: DataConfig, image_size: int) -> Dataset:
    """The data that a configuration names, for networks that take images of this size (pixels).

    Raises:
        InputError: there are none, or a cache holds images of another size.
    """
    if data.cache is None:
        assert data.name is not None
        return load_dataset(data.name, image_size)
    facts = read_facts(data.cache)
    if facts.image_size != image_size:
        path = Path(data.cache)
        other = path.with_name(f"{path.name.removesuffix(f'-{facts.image_size}')}-{image_size}")
        raise InputError(
            f"data.cache: {path} holds {facts.image_size}-pixel images, the networks take {image_size}-pixel "
            f"ones: nas data prepare {facts.source['path']} --image-size {image_size} -o {other} "
            f"--validation {facts.held_out['asked']} --channels {facts.channels}{as_options(facts)}"
        )
    return open_cache(data.cache)


def create_evaluator(config: SearchConfig, space: SearchSpace) -> Evaluator:
    """The evaluator that a configuration describes: a table, or proxy training on its data, perhaps with
    the latency of each network measured.

    Raises:
        InputError: the table, or the data, cannot be used.
    """
    if config.evaluator is not None:
        return load_table_evaluator(config.evaluator, space)
    from trainers.proxy import ProxyEvaluator, check_fit

    assert config.data is not None
    assert config.protocol is not None
    network = space.decode([0] * len(space.decisions))
    try:
        image_size = config.protocol.network(network).image_size
    except FieldError as error:
        raise InputError(f"protocol: {error}") from None
    data = load_data(config.data, image_size)
    protocol = config.protocol
    if (
        image_size == network.image_size
    ):  # what changes no accuracy is not to change what a result is known by
        protocol = replace(protocol, image_size=None)
    if protocol.subset == len(data.train):
        protocol = replace(protocol, subset=None)
    check_fit(network, protocol, data)
    return timed(config.latency, ProxyEvaluator(protocol, data))


def timed(latency: LatencyConfig | None, evaluator: Evaluator) -> Evaluator:
    """An evaluator that measures latency too, where that is wanted; else the same."""
    if latency is None or latency.measured is None:
        return evaluator
    from trainers.timed import TimedEvaluator

    return TimedEvaluator(
        inner=evaluator,
        protocol=latency.measured,
        device_name=latency.device_name or "",
        reference_ms=latency.reference_ms,
    )


def calibrated(config: SearchConfig, run: Run | None, address: str | None) -> SearchConfig:
    """The configuration with what the reference of measured latency takes here, while no worker computes.

    Args:
        config: as the user gave it.
        run: that is resumed, which knows it; None begins one.
        address: of a cluster, whose machines may be others than this one.

    Raises:
        InputError: it is not known for a cluster; or latency cannot be measured here.
    """
    latency = config.latency
    if latency is None or latency.measured is None:
        return config
    if address is None:
        _check_measured(latency.measured, latency.device_name or "", config.executor)
    if latency.reference_ms is not None or not latency.measured.reference:
        return config
    if run is not None:
        known = load_config(run.config_path).latency
        milliseconds = None if known is None else known.reference_ms
    elif address is not None:
        raise InputError(
            "latency.reference_ms must be said on a cluster: what latency.measured.reference takes on a "
            f"quiet machine of it, as nas latency measure {latency.measured.reference} prints there"
        )
    else:
        from trainers.timed import reference_latency

        if os.getloadavg()[0] > available_cpus() / 2:
            logger.warning(
                "other work keeps this machine busy (load %.1f), and %s is measured now: all latencies may "
                "come out too large; latency.reference_ms can say what it takes on a quiet one",
                os.getloadavg()[0],
                latency.measured.reference,
            )
        milliseconds = reference_latency(latency.measured)
        logger.warning("%s takes %.3g ms here", latency.measured.reference, milliseconds)
    known_latency = latency.model_copy(update={"reference_ms": milliseconds})
    return config.model_copy(update={"latency": known_latency})


def _check_measured(protocol: LatencyProtocol, name: str, executor: ExecutorConfig) -> None:
    """Refuse a device that no worker of this machine has, before candidate after candidate fails for it.

    Raises:
        InputError: see `trainers.timed.check_device`; or workers see no GPU.
    """
    from trainers.timed import check_device

    check_device(protocol, name)
    if protocol.device == "cuda" and executor.kind == "ray" and executor.gpus == 0:
        raise InputError("latency.measured.device is cuda, and with executor.gpus 0 workers see no GPU")


def executor_of(config: ExecutorConfig, folder: Path, address: str | None = None) -> Executor:
    """The executor that a configuration describes, with its temporary files in a run's folder.

    Args:
        config: the section ``executor``.
        folder: of the run.
        address: of a Ray cluster; None is this machine.

    Raises:
        InputError, FieldError: see `create_executor`.
    """
    return create_executor(
        config.kind,
        scratch=folder / ".scratch",
        workers=config.workers,
        cpus=config.cpus,
        gpus=config.gpus,
        memory=config.memory,
        resources=config.resources,
        time_limit=config.time_limit,
        address=address,
        node_wait=config.node_wait,
        early_stopping=config.early_stopping,
    )


def _check_cost(config: SearchConfig, evaluator: Evaluator, own: bool) -> None:
    """Refuse a search of which networks would fail for want of the objective's cost.

    Args:
        config: of the search.
        evaluator: what measures.
        own: whether it is the user's own, which may report whatever it measures.

    Raises:
        InputError: nothing gives the cost, or not of every network.
    """
    cost = config.objective.cost
    if own or config.latency is not None or cost in ("macs", "params"):
        return
    if not isinstance(evaluator, TableEvaluator):
        raise InputError(f"objective.cost is {cost}, and a section latency must say where that comes from")
    path = "the table" if config.evaluator is None else config.evaluator.path
    if cost not in evaluator.table.metrics:
        raise InputError(f"{path}: has no column {cost!r}, the objective's cost")
    if evaluator.trees is not None:
        raise InputError(
            f"{path}: gives {cost} of its own networks alone; evaluator.surrogate: false keeps to them, and "
            "latency.model predicts that of others"
        )


def run_search(
    config: SearchConfig,
    *,
    resume: bool = False,
    evaluator: Evaluator | None = None,
    reuse: Sequence[Run] = (),
    listeners: Sequence[Listener] = (),
    address: str | None = None,
) -> SearchEnd:
    """Run a search to its end, or as far as the user lets it.

    Args:
        config: what to search; its run folder is ``runs/<name>`` of the current directory.
        resume: continue the run that is there; more candidates may be asked for, other baselines, and another
            executor.
        evaluator: instead of proxy training on the configuration's data.
        reuse: earlier runs whose measurements are taken over where they are of the same network, data,
            protocol, trainer and seed.
        listeners: told of every result.
        address: of a Ray cluster to run candidates on, ``auto`` or ``HOST:PORT``; None is this machine.

    Raises:
        InputError: the run exists (or, resuming, does not), is in use, or was made with another
            configuration; a name or a value in the configuration is wrong; no cluster answers.
    """
    if not resume:
        check_new(config.name)  # before data are read
    space = load_space(config.space)
    run = _existing(config) if resume else None
    config = calibrated(config, run, address)
    own = evaluator is not None and not isinstance(evaluator, TableEvaluator)
    evaluator = timed(config.latency, evaluator) if evaluator else create_evaluator(config, space)
    _check_cost(config, evaluator, own)
    try:  # also without limits: controllers then know the costs of the networks that are trained
        space = space_of(config, evaluator)
    except FieldError as error:
        raise InputError(str(error)) from None
    controller = _controller(config, space)
    baselines = adapted_baselines(config.baselines, space, evaluator)
    check_predicted(config.latency, baselines, evaluator)
    known = measurements(reuse, evaluator.fingerprint, config.seed_of_trainings)
    check_executor(config.executor, address)
    executor = executor_of(config.executor, run.path if run else run_path(config.name), address)
    with ExitStack() as stack:
        stack.enter_context(joined(address))  # before there is a run folder: it may refuse
        run = run or create_run(config.name, config.to_yaml())
        stack.enter_context(run.lock())
        interrupts = stack.enter_context(handled_interrupts())
        journal = Journal.open(run.journal_path)
        try:
            journal.give_up = lambda: interrupts.aborting  # what runs may still bring its result
            journal.bind_evaluator(
                EvaluatorFacts(evaluator.fingerprint, evaluator.num_classes, evaluator.in_channels)
            )
            search = Search(
                run=run,
                journal=journal,
                space=space,
                controller=controller,
                objective=config.objective,
                evaluator=evaluator,
                latency=None if config.latency is None else config.latency.model,
                seed=config.seed_of_trainings,
                budget=config.search.candidates,
                patience=config.search.patience,
                max_attempts=config.search.max_attempts,
                max_failures=config.search.max_failures,
                keep_weights=config.search.keep_weights,
                figure_every=config.search.figure_every,
                reuse=known,
                interrupts=interrupts,
                listeners=listeners,
            )
            search.set_baselines(baselines)
            if resume:  # nothing was refused: from here on the run has the new budget
                write_whole(run.config_path, lambda path: path.write_text(config.to_yaml(), encoding="utf-8"))
            outcome = _run_session(search, executor, journal, config.executor.early_stopping is not None)
        except InputError:
            begun = journal.proposals() or any(trial.attempts for trial in journal.trials())
            if not resume and not begun:  # refused before anything: the name stays free
                journal.close()
                shutil.rmtree(run.path, ignore_errors=True)
            raise
        finally:
            journal.close()
    return SearchEnd(run, outcome)


def _run_session(search: Search, executor: Executor, journal: Journal, stops_early: bool) -> Outcome:
    """Run the executor to its end, and note in the journal how it ended."""
    session = journal.begin_session(environment())
    ended = "error"
    try:
        search.start()
        executor.run(
            search.evaluator,
            search.next_candidate,
            search.record,
            on_start=lambda workers: journal.set_workers(session, workers),
            abort=lambda: search.stopping,
            notice=search.notice,
            past=past_scores(journal.candidates(), search.objective) if stops_early else (),
        )
        outcome = _outcome(search, journal)
        ended = outcome
    except Exception as error:
        with suppress(InputError, sqlite3.Error, OSError):  # perhaps it is the journal that cannot be written
            journal.note("error", " ".join(str(error).split())[:500] or type(error).__name__)
        raise
    finally:
        search.close()
        journal.end_session(session, ended)
    return outcome


def _outcome(search: Search, journal: Journal) -> Outcome:
    counts = journal.counts()
    waiting = any(t.status in ("pending", "running") for t in [*journal.candidates(), *journal.baselines()])
    if search.failing or not counts.get("done"):
        return "interrupted" if search.interrupts.draining else "failing"
    if search.interrupts.draining and (waiting or sum(counts.values()) < search.budget):
        return "interrupted"
    return "exhausted" if search.exhausted else "finished"


def _controller(config: SearchConfig, space: SearchSpace) -> Controller:
    """The controller of a configuration; its errors name the section."""
    try:
        return create_controller(
            config.controller.name, space, config.seed, config.objective, **config.controller.options
        )
    except FieldError as error:
        raise InputError(str(error.under("controller.options"))) from None


def check_executor(wanted: ExecutorConfig, address: str | None = None) -> None:
    """What can be refused before a run folder is made; a cluster's nodes are not this machine.

    Raises:
        InputError: a worker wants more than this machine has.
    """
    import torch

    if address is not None:
        return
    if wanted.kind == "ray" and wanted.cpus > available_cpus():
        raise InputError(f"executor.cpus must be at most {available_cpus()} here, got {wanted.cpus}")
    if wanted.kind == "ray" and wanted.gpus and wanted.gpus > torch.cuda.device_count():
        there = torch.cuda.device_count()
        has = "this machine has no GPU" if there == 0 else f"must be at most {there} here"
        raise InputError(f"executor.gpus: {has}, got {wanted.gpus:g}")


def _existing(config: SearchConfig) -> Run:
    """The run to resume, if it was made with the same configuration."""
    run = Run(run_path(config.name))
    if run.path.exists() and not run.journal_path.is_file():
        if (run.path / HISTORY).is_file():
            raise InputError(
                f"{run.path}: has lost its journal; nas doctor {run.path} --repair makes it anew"
            )
        raise InputError(f"{run.path}: holds no journal, so there is nothing to resume; move it away")
    if not run.journal_path.is_file():
        raise InputError(f"{run.path}: there is no run to resume; without --resume one begins")
    refuse_given(run)
    if run.kind() == "audit" and run.config().get("audit"):
        raise InputError(
            f"{run.path}: holds an audit, no search; the same nas proxy audit command goes on with it"
        )
    stored = load_config(run.config_path)
    changed = [field for field in differences(config, stored) if not resumable(field)]
    if config.latency and config.latency.reference_ms is None and "latency.reference_ms" in changed:
        changed.remove("latency.reference_ms")  # it was measured when the run began, see `calibrated`
    measured = [*run.trials(), *run.baselines()]
    if changed == ["executor.cpus"] and not any(trial.status == "done" for trial in measured):
        changed = []  # no accuracy that another number of threads would not give
    if changed:
        raise InputError(
            f"{run.path}: was made with another {', '.join(changed)}; resume it with {run.config_path}, "
            "or begin another with --run NAME"
        )
    return run


def refuse_given(run: Run) -> None:
    """Refuse a run in which given networks are trained, and whose configuration is no search's.

    Raises:
        InputError: it is of scaling, or of finalists; what goes on with it is said.
    """
    words = {"scaling": ("a run of scaling", "nas scale"), "finalists": ("finalists", "nas finalists")}
    kind = run.kind()
    if kind in words:
        what, again = words[kind]
        raise InputError(f"{run.path}: holds {what}, no search; the same {again} command goes on with it")


def environment() -> dict[str, Any]:
    """What to know of the machine when a result is questioned."""
    import torch

    packages = {name: importlib.metadata.version(name) for name in ("torch", "ray", "numpy")}
    gpus, names = torch.cuda.device_count(), {}
    if gpus:
        with suppress(RuntimeError, AssertionError):  # counted, and cannot be used from here
            names["gpu"] = torch.cuda.get_device_name(0)
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "gpus": gpus,
        **names,
        "pid": os.getpid(),
        **packages,
    }
