"""Full training: a recipe's epochs on one device or several, with checkpoints to go on from.

On a CPU a training that was killed and goes on gives the same weights as one that was not, to the last bit.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from search_space import Architecture, InputError
from search_space.network import Network
from trainers.augmentation import augmenter, cutout
from trainers.checkpoints import (
    BEST,
    Checkpoint,
    CheckpointFacts,
    checkpoint_path,
    checkpoints_in,
    prune,
    read_checkpoint,
    write_checkpoint,
)
from trainers.data import Dataset, ImageSet, check_classes
from trainers.device_data import DeviceImages
from trainers.evaluation import Evaluation, evaluate_network
from trainers.finetuning import Freezing, Start, start_network
from trainers.full_step import Augment, FullTraining
from trainers.measurement import Measurement
from trainers.proxy import DIVERGED, TrainingDivergedError
from trainers.ranks import ALONE, Ranks
from trainers.recipe import TRAINER_VERSION, Recipe

logger = logging.getLogger(__name__)

OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Which checkpoints a training leaves.

    Attributes:
        folder: where.
        keep: the latest so many; the best by validation accuracy is kept besides.
        every: epochs between two checkpoints; after the last epoch there is one in any case.
        minutes: between two checkpoints within an epoch; None makes none there.
        origin: what they say of where the network comes from.
    """

    folder: Path
    keep: int = 2
    every: int = 1
    minutes: float | None = 10.0
    origin: str = ""


def check_full_fit(
    architecture: Architecture, recipe: Recipe, data: Dataset, test: ImageSet | None = None
) -> None:
    """Refuse data that a network cannot be trained on.

    Raises:
        InputError: with the field and the bound.
        FieldError: the image is smaller than the network's total stride.
    """
    size = recipe.network(architecture).image_size
    check_classes(data, test)
    if data.num_classes < 2:
        raise InputError(f"{data.name} has one class only, there is nothing to tell apart")
    if recipe.batch > len(data.train):
        raise InputError(
            f"recipe.batch must be at most {len(data.train)}, the training images of {data.name}, got "
            f"{recipe.batch}; --set recipe.batch=N"
        )
    if 2 * recipe.shift >= data.image_size:
        raise InputError(
            f"recipe.shift must be less than half of {data.image_size} pixels, got {recipe.shift}"
        )
    if recipe.cutout >= size:
        raise InputError(
            f"recipe.cutout must be less than {size} pixels, the side of the images, got {recipe.cutout}"
        )


def train_fully(
    architecture: Architecture,
    recipe: Recipe,
    data: Dataset,
    seed: int,
    *,
    device: str = "cpu",
    test: ImageSet | None = None,
    saving: Saving | None = None,
    weights_path: Path | None = None,
    start: Start | None = None,
    ranks: Ranks = ALONE,
    on_step: OnStep | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Measurement]:
    """Train a network by a recipe, epoch by epoch.

    Where `saving` has checkpoints of this very training, it goes on from the latest that can be read.

    Args:
        architecture: the network.
        recipe: how.
        data: images of any size; the network sees its own.
        seed: of weights, order, augmentation, dropout.
        device: where.
        test: images that are measured once, after the last epoch.
        saving: which checkpoints are left; None leaves none.
        weights_path: where to leave the trained network (see `trainers.checkpoints`), if anywhere.
        start: the weights that are trained further, and what of them learns when; None draws all weights.
        ranks: this process among those of the training; batches are split, and the first one writes.
        on_step: told after every step of the steps done and all there are, and of the learning rate.
        stop: asked after every step; when true, a checkpoint is left and no more comes.

    Yields:
        One measurement an epoch, the accuracy on the validation images; those of earlier sessions come
        first. Metrics ``epoch``, ``train_loss``, ``validation_loss``, ``validation_top5``,
        ``learning_rate``, ``images_per_second``, ``train_seconds`` (of all sessions); the last has
        ``test_accuracy``, ``test_top5`` and ``test_loss`` besides, where there are test images.

    Raises:
        InputError: the data do not fit; a checkpoint is of another training, or none can be read.
        TrainingDivergedError: an epoch's loss is a hundred times that of guessing, or (`NotFiniteError`) a
            step's is no number.
        OSError: a checkpoint cannot be written.
    """
    check_full_fit(architecture, recipe, data, test)
    session = _Session(architecture, recipe, data, seed, device, test, saving, start, ranks, on_step, stop)
    try:
        for measurement in session.epochs():
            if measurement.final and weights_path is not None:
                session.leave_network(weights_path)
            yield measurement
    finally:
        if device.startswith("cuda"):
            with suppress(RuntimeError):  # of a broken GPU, which is told apart elsewhere
                torch.cuda.empty_cache()


def seeded_network(
    architecture: Architecture, recipe: Recipe, data: Dataset, seed: int, device: str
) -> Network:
    """The network with its first weights; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would set the GPUs' too
        model = architecture.build(
            data.num_classes,
            data.in_channels,
            bn_momentum=recipe.bn_momentum,
            dropout=recipe.dropout,
            drop_path=recipe.drop_path,
        )
    return model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def augment_of(recipe: Recipe, image_size: int, data: Dataset) -> Augment | None:
    """What changes images by the recipe's policy, and cuts squares out of them."""
    if recipe.auto_augment == "none" and not recipe.cutout:
        return None
    policy = augmenter(recipe.auto_augment, image_size, data.in_channels)
    fill = torch.tensor([round(255.0 * mean) for mean in data.mean], dtype=torch.uint8)

    def changed(raw: Tensor, generator: torch.Generator) -> Tensor:
        raw = policy(raw, generator)
        return cutout(raw, recipe.cutout, generator, fill) if recipe.cutout else raw

    return changed


class _Session:
    """One session of a training; see `train_fully`."""

    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        data: Dataset,
        seed: int,
        device: str,
        test: ImageSet | None,
        saving: Saving | None,
        start: Start | None,
        ranks: Ranks,
        on_step: OnStep | None,
        stop: Callable[[], bool],
    ) -> None:
        self.recipe, self.data, self.seed, self.ranks = recipe, data, seed, ranks
        self.network = recipe.network(architecture)
        self.device, self.test, self.saving = device, test, saving
        self.on_step, self.stop = on_step, stop
        train = DeviceImages(data.train, data, device)
        self.validation = DeviceImages(data.validation, data, device)
        size = self.network.image_size
        model = seeded_network(self.network, recipe, data, seed, device)
        if start is not None and not (saving and checkpoints_in(saving.folder)):
            start_network(model, start)
        self.training = FullTraining(
            model,
            train,
            recipe,
            size,
            seed,
            augment_of(recipe, size, data),
            ranks,
            None if start is None else Freezing(model, start.finetuning),
        )
        self.facts = CheckpointFacts(
            num_classes=data.num_classes,
            in_channels=data.in_channels,
            class_names=data.class_names,
            mean=data.mean,
            std=data.std,
            image_size=size,
            measured_crop=recipe.measured_crop,
            data=data.name,
            data_fingerprint=data.fingerprint,
            recipe=asdict(recipe),
            trainer_version=TRAINER_VERSION,
            seed=seed,
            epoch=0,
            step=0,
            epochs=recipe.epochs,
            accuracy=None,
            best_accuracy=None,
            best_epoch=None,
            curve=(),
            seconds=0.0,
            origin="" if saving is None else saving.origin,
            start=None if start is None else start.described(),
        )
        self._began = self._saved = time.monotonic()
        self._before = 0.0  # seconds of earlier sessions

    def epochs(self) -> Iterator[Measurement]:
        """The measurements of all epochs."""
        self._go_on()
        for past in self.facts.curve:
            yield self._measurement(past)
        while self.training.epoch < self.recipe.epochs:
            values = self._epoch()
            if values is None:
                return
            yield self._measurement(values)
            if self.stop():
                return

    def _measurement(self, values: Mapping[str, float]) -> Measurement:
        metrics = dict(values)
        accuracy = metrics.pop("accuracy")
        return Measurement(
            accuracy=accuracy, metrics=metrics, final=metrics["epoch"] == float(self.recipe.epochs)
        )

    def _epoch(self) -> dict[str, float] | None:
        """Train the rest of an epoch, measure, and leave a checkpoint; what was measured, None if stopped."""
        training, began = self.training, time.monotonic()
        first = training.step
        while training.step < training.steps:
            training.advance()
            if self.on_step is not None:
                done = training.epoch * training.steps + training.step
                self.on_step(done, training.steps * self.recipe.epochs, training.learning_rate)
            stopped = self.stop()
            self._save_in_epoch(stopped)
            if stopped and training.step < training.steps:
                return None
        loss, rate = training.mean_loss, training.learning_rate
        if not loss <= DIVERGED * math.log(self.data.num_classes):
            raise TrainingDivergedError(
                f"the training loss is {loss:g} in epoch {training.epoch + 1}; a lower learning_rate may help"
            )
        images = (training.steps - first) * self.recipe.batch
        speed = images / max(time.monotonic() - began, 1e-9)
        training.end_epoch()
        measured = self.measure(self.validation)
        if not math.isfinite(measured.loss):
            raise TrainingDivergedError(
                f"the validation loss is {measured.loss} in epoch {training.epoch}; a lower learning_rate "
                "may help"
            )
        values = {
            "accuracy": measured.accuracy,
            "epoch": float(training.epoch),
            "train_loss": loss,
            "validation_loss": measured.loss,
            "validation_top5": measured.top5_accuracy,
            "learning_rate": rate,
            "images_per_second": speed,
            "train_seconds": self._seconds,
        }
        if self.test is not None and training.epoch == self.recipe.epochs:
            last = self.measure(DeviceImages(self.test, self.data, self.device))
            values |= {
                "test_accuracy": last.accuracy,
                "test_top5": last.top5_accuracy,
                "test_loss": last.loss,
            }
        self._note(values)
        return values

    def measure(self, images: DeviceImages) -> Evaluation:
        """What is to be measured, on images."""
        self.ranks.share(self.training.measured)
        return evaluate_network(
            self.training.measured,
            images,
            num_classes=self.data.num_classes,
            image_size=self.network.image_size,
            crop=self.recipe.measured_crop,
            precision=self.recipe.precision,
            ranks=self.ranks,
        )

    def leave_network(self, path: Path) -> None:
        """Write the trained network alone."""
        if self.ranks.first:
            write_checkpoint(path, self.training.measured, self.network, self._now())

    # --- checkpoints ---------------------------------------------------------------------------------------

    @property
    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def _note(self, values: dict[str, float]) -> None:
        """Keep what an epoch gave, and leave its checkpoints."""
        facts, accuracy = self.facts, values["accuracy"]
        best = facts.best_accuracy is None or accuracy > facts.best_accuracy
        self.facts = replace(
            facts,
            accuracy=accuracy,
            best_accuracy=accuracy if best else facts.best_accuracy,
            best_epoch=self.training.epoch if best else facts.best_epoch,
            curve=(*facts.curve, values),
        )
        if self.saving is None or not self.ranks.first:
            return
        if best:  # before the checkpoint that tells of it
            write_checkpoint(self.saving.folder / BEST, self.training.measured, self.network, self._now())
        epoch = self.training.epoch
        if epoch % self.saving.every == 0 or epoch == self.recipe.epochs or self.stop():
            self._save(self.saving)

    def _save_in_epoch(self, stopped: bool) -> None:
        saving = self.saving
        if saving is None or not self.ranks.first:
            return
        minutes = math.inf if saving.minutes is None else saving.minutes
        due = stopped or time.monotonic() - self._saved >= 60.0 * minutes
        if due and self.training.step < self.training.steps:
            self.training.check()
            self._save(saving)

    def _now(self) -> CheckpointFacts:
        training = self.training
        return replace(self.facts, epoch=training.epoch, step=training.step, seconds=self._seconds)

    def _save(self, saving: Saving) -> None:
        training = self.training
        path = checkpoint_path(saving.folder, training.epoch, training.step)
        write_checkpoint(path, training.measured, self.network, self._now(), training.state())
        prune(path, saving.keep)
        self._saved = time.monotonic()

    def _go_on(self) -> None:
        """Take the latest checkpoint that can be read, if there is any."""
        if self.saving is None:
            return
        paths = checkpoints_in(self.saving.folder)
        for path in paths:
            try:
                checkpoint = read_checkpoint(path)
                self._refuse_other(checkpoint)
                measured, state = checkpoint.tensors(), checkpoint.state()
            except _OtherTrainingError:
                raise
            except InputError as error:
                logger.warning("%s; going on from the one before", error)
                continue
            try:
                self.training.load(measured, state, checkpoint.facts.epoch, checkpoint.facts.step)
            except (RuntimeError, KeyError) as error:
                raise InputError(f"{path}: is no checkpoint of this training: {error}") from None
            self.facts, self._before = checkpoint.facts, checkpoint.facts.seconds
            break
        else:
            if paths:
                raise InputError(f"{self.saving.folder}: none of its checkpoints can be read")
        done = self.training.epoch * self.training.steps + self.training.step
        if not self.ranks.agree(done, self.training.images.device):
            raise InputError(
                f"{self.saving.folder}: the workers see different checkpoints in it; it must be a folder "
                "that all of them share"
            )

    def _trained(self, network: Architecture) -> tuple[object, ...]:
        """What of a network changes its training; its key leaves out what only a training sees."""
        recipe = self.recipe
        dropout = network.dropout if recipe.dropout is None else recipe.dropout
        drop_path = network.drop_path if recipe.drop_path is None else recipe.drop_path
        return network.key, dropout, drop_path

    def _refuse_other(self, checkpoint: Checkpoint) -> None:
        facts, mine = checkpoint.facts, self.facts
        differing = [
            what
            for what, same in (
                ("network", self._trained(checkpoint.architecture) == self._trained(self.network)),
                ("data", facts.data_fingerprint == mine.data_fingerprint),
                ("seed", facts.seed == mine.seed),
                ("recipe", facts.recipe == mine.recipe),
                ("start", facts.start == mine.start),
                ("version of the trainer", facts.trainer_version == mine.trainer_version),
            )
            if not same
        ]
        if differing:
            raise _OtherTrainingError(
                f"{checkpoint.path}: is of a training with another {', '.join(differing)}"
            )


class _OtherTrainingError(InputError):
    """A checkpoint is whole, and of another training."""
