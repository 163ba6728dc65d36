"""A full training as a run: begun, shown, stopped, gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from nas.finetuning import started
from nas.interrupts import Interrupts, handled_interrupts
from nas.train_config import TrainConfig, changed_fields, load_train_config
from nas.train_data import TrainImages, limited, open_images
from results import RUNS, Run, run_path, write_whole
from results.tensorboard import CurveLog
from results.training import TrainingRun, create_training, is_training
from search_space import InputError, cost
from trainers import Dataset, ImageSet, Measurement, check_address, read_facts
from trainers.cache import FACTS_FILE
from trainers.finetuning import Start

_LITTLE_WORK = 50_000_000  # multiply-adds of a batch; the measurements are in docs/train.md
Outcome = Literal["finished", "interrupted"]
MESSAGES = {
    1: b"\nleaving a checkpoint; Ctrl-C again stops now\n",
    2: b"\nstopping now; the checkpoints that are there stay\n",
}


class TrainListener(Protocol):
    """Who is told how a training goes."""

    def on_begin(self, run: TrainingRun, data: Dataset, done: int) -> None:
        """It begins, or goes on after so many epochs."""

    def on_step(self, done: int, total: int, learning_rate: float) -> None:
        """So many steps of all are done."""

    def on_epoch(self, measurement: Measurement) -> None:
        """An epoch of this session was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainEnd:
    """How a session of training ended.

    Attributes:
        run: its folder.
        outcome: ``finished`` or ``interrupted``.
        measurements: after every epoch, also of earlier sessions.
    """

    run: TrainingRun
    outcome: Outcome
    measurements: tuple[Measurement, ...]

    @property
    def best(self) -> Measurement | None:
        """The epoch with the highest validation accuracy, the first of equals."""
        return max(self.measurements, key=lambda m: m.accuracy, default=None)


def train_network(
    config: TrainConfig,
    *,
    resume: bool = False,
    device: str = "auto",
    address: str | None = None,
    listener: TrainListener | None = None,
    images: TrainImages | None = None,
    folder: Path = RUNS,
    interrupts: Interrupts | None = None,
) -> TrainEnd:
    """Train a network fully, in a run of its own.

    Args:
        config: with its architecture.
        resume: go on with the run of this name, from its latest checkpoint.
        device: ``cpu``, ``cuda``, or ``auto``: a GPU when there is one.
        address: of a Ray cluster, for more than one worker.
        listener: who is told.
        images: of the configuration's data, where they are open already.
        folder: that the run lies in.
        interrupts: how often the user asked to stop, where somebody counts that already.

    Raises:
        InputError: the run is there, or is not; it was made with another configuration; data, device or the
            weights to start from cannot be used.
        TrainingDivergedError: the loss went away; the run says where (`TrainingRun.failure`).
        torch.OutOfMemoryError: the run says so too, and that another session may try again.
        WorkersLostError: workers were lost too often.
    """
    if config.architecture is None:
        raise InputError("architecture: is missing; nas train ARCH --config FILE")
    found = None
    if resume:
        found, before = _existing(config, folder)
        config = config.model_copy(update={"origin": config.origin or before.origin})
        if (measured := _all_measured(found, config)) is not None:
            _refuse_other_images(found, config)
            return TrainEnd(run=found, outcome="finished", measurements=measured)
    assert config.architecture is not None
    network = config.recipe.network(config.architecture)
    images = images or open_images(config.data, network.image_size)
    data, test = limited(images.data, config.subset), images.test
    check_training(config, data, test, device, address)
    data, start = started(config, data, found)
    run = found or create_training(config.name, config.to_yaml(), folder)
    handled = handled_interrupts(MESSAGES, raises=True) if interrupts is None else nullcontext(interrupts)
    with Run(run.path).lock(), handled as asked:
        write_whole(run.config_path, lambda path: path.write_text(config.to_yaml(), encoding="utf-8"))
        run.write_failure(None)
        session = _Session(config, run, data, test, start, device, address, asked, listener)
        return session.train()


class _Session:
    """One session; see `train_network`."""

    def __init__(
        self,
        config: TrainConfig,
        run: TrainingRun,
        data: Dataset,
        test: ImageSet | None,
        start: Start | None,
        device: str,
        address: str | None,
        interrupts: Interrupts,
        listener: TrainListener | None,
    ) -> None:
        self.config, self.run, self.data, self.test = config, run, data, test
        self.start = start
        self.device, self.address = device, address
        self.interrupts, self.listener = interrupts, listener
        self.log = CurveLog(run.path / "tensorboard")

    def train(self) -> TrainEnd:
        """Train to the end, or until the user stops it."""
        import torch

        from trainers.full_step import NotFiniteError
        from trainers.proxy import TrainingDivergedError

        before = len(self._measured_before())
        if self.listener is not None:
            self.listener.on_begin(self.run, self.data, before)
        measured: list[Measurement] = []
        try:
            for measurement in self._measurements():
                measured.append(measurement)
                if len(measured) > before:
                    self._note(measured)
        except KeyboardInterrupt:  # the second; what is not on disk is trained again
            pass
        except TrainingDivergedError as error:
            where: dict[str, Any] = {"error": str(error)}
            if isinstance(error, NotFiniteError):
                where |= {
                    "epoch": error.epoch,
                    "step": error.step,
                    "learning_rate": error.rate,
                    "indices": error.indices,
                }
            self.run.write_failure(where)
            raise
        except torch.OutOfMemoryError as error:
            self.run.write_failure({"error": str(error).partition("\n")[0], "again": True})
            raise
        finished = bool(measured) and measured[-1].final
        if len(measured) >= before:  # else it ended before it read them
            self._write(measured)  # also what an earlier session was killed before it wrote
        outcome: Outcome = "finished" if finished else "interrupted"
        return TrainEnd(run=self.run, outcome=outcome, measurements=tuple(measured))

    def _measured_before(self) -> list[dict[str, float]]:
        """What earlier sessions measured, by the latest checkpoint; the file may be behind it."""
        from trainers.checkpoints import checkpoints_in, read_checkpoint

        for path in checkpoints_in(self.run.checkpoints):
            with suppress(InputError):
                return [dict(values) for values in read_checkpoint(path).facts.curve]
        return []

    def _measurements(self) -> Iterator[Measurement]:
        from trainers.full import Saving, train_fully
        from trainers.parallel import train_in_parallel

        config, workers = self.config, self.config.workers
        assert config.architecture is not None
        saving = Saving(
            folder=self.run.checkpoints,
            keep=config.checkpoints.keep,
            every=config.checkpoints.every,
            minutes=config.checkpoints.minutes,
            origin=config.origin,
        )
        common: dict[str, Any] = {
            "test": self.test,
            "start": self.start,
            "saving": saving,
            "weights_path": self.run.model_path,
            "on_step": None if self.listener is None else self.listener.on_step,
            "stop": lambda: self.interrupts.draining,
        }
        what = (config.architecture, config.recipe, self.data, config.seed)
        if workers.number > 1:
            yield from train_in_parallel(
                *what,
                workers=workers.number,
                cpus=workers.cpus,
                gpus={"cpu": 0, "cuda": 1}.get(self.device, workers.gpus),
                max_failures=workers.max_failures,
                address=self.address,
                **common,
            )
            return
        with threads_of(workers.cpus or _threads_for(config, self.data)):
            yield from train_fully(*what, device=device_of(self.device), **common)

    def _note(self, measured: list[Measurement]) -> None:
        """Tell of an epoch."""
        self._write(measured)
        last = measured[-1]
        self.log.add("train", {"accuracy": last.accuracy, **last.metrics}, int(last.metrics["epoch"]))
        if self.listener is not None:
            self.listener.on_epoch(measured[-1])

    def _write(self, measured: list[Measurement]) -> None:
        self.run.write_measurements([{"accuracy": m.accuracy, **m.metrics} for m in measured])


def device_of(asked: str) -> str:
    """A device for torch.

    Raises:
        InputError: there is no such device here.
    """
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no GPU here")
    return asked


def _threads_for(config: TrainConfig, data: Dataset) -> int | None:
    """Torch's threads where nobody said how many: one where they would mostly wait; None is all."""
    assert config.architecture is not None
    network = config.recipe.network(config.architecture)
    macs, _ = cost(network, data.num_classes, data.in_channels)
    images = config.recipe.batch // config.recipe.accumulate
    return 1 if macs * images < _LITTLE_WORK else None


@contextmanager
def threads_of(cpus: int | None) -> Iterator[None]:
    """Torch's threads while the body runs; None leaves them as they are."""
    import torch

    before = torch.get_num_threads()
    if cpus is not None:
        torch.set_num_threads(cpus)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_training(
    config: TrainConfig, data: Dataset, test: ImageSet | None, device: str, address: str | None = None
) -> None:
    """What can be refused before a run folder is made.

    Raises:
        InputError, FieldError: data, device or workers cannot be used.
    """
    from trainers.full import check_full_fit
    from trainers.full_step import check_split
    from trainers.parallel import check_workers

    assert config.architecture is not None
    check_full_fit(config.architecture, config.recipe, data, test)
    device_of(device)
    workers = config.workers
    check_split(config.recipe, workers.number)
    if workers.number > 1:
        check_workers(workers.number, workers.cpus, workers.gpus)
        if address is not None:
            check_address(address)
    elif address is not None:
        raise InputError("--address is for several workers, and workers.number is 1")


def _existing(config: TrainConfig, folder: Path) -> tuple[TrainingRun, TrainConfig]:
    """The run to go on with and its configuration, if it was made with the same."""
    run = TrainingRun(run_path(config.name, folder))
    if not run.path.exists():
        raise InputError(f"{run.path}: there is no such training to go on with; leave out --resume")
    if not is_training(run.path):
        raise InputError(f"{run.path}: holds no training of nas train; choose another name with --run NAME")
    before = load_train_config(run.config_path)
    changed = changed_fields(config, before)
    if changed:
        hint = "choose another name with --run NAME"
        if "recipe.epochs" in changed:
            hint += (
                f", which trains from the beginning, or leave recipe.epochs at {before.recipe.epochs}: the "
                "rate falls by them, so a training cannot be made longer"
            )
        raise InputError(f"{run.path}: was made with another {', '.join(changed)}; {hint}")
    return run, before


def _all_measured(run: TrainingRun, config: TrainConfig) -> tuple[Measurement, ...] | None:
    """What was measured in a training that is finished; None where anything is left to do or to write."""
    rows: list[dict[str, float]] = []
    with suppress(InputError):  # a damaged file is written anew
        rows = run.measurements()
    if run.state() != "finished" or len(rows) != config.recipe.epochs:
        return None
    measured = []
    for epoch, row in enumerate(rows, 1):
        if not isinstance(row, dict) or row.get("epoch") != epoch or "accuracy" not in row:
            return None
        metrics = {name: value for name, value in row.items() if name != "accuracy"}
        measured.append(
            Measurement(accuracy=row["accuracy"], metrics=metrics, final=epoch == config.recipe.epochs)
        )
    return tuple(measured)


def _refuse_other_images(run: TrainingRun, config: TrainConfig) -> None:
    """Refuse a finished training as one on a cache of other images; a cache that is gone is not needed.

    Raises:
        InputError: they are others, or the cache or the network cannot be read.
    """
    from trainers.checkpoints import read_checkpoint

    cache = config.data.cache
    if cache is None or not (Path(cache) / FACTS_FILE).is_file():
        return
    if read_facts(cache).fingerprint != read_checkpoint(run.model_path).facts.data_fingerprint:
        raise InputError(
            f"{run.path}: was trained on other images than those of {cache}; choose another name with "
            "--run NAME"
        )
