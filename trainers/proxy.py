"""Proxy training: a few short epochs on one device, from images that live in memory as uint8.

Tensors are channels last, which torch's CPU convolutions and tensor cores both want.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_space import Architecture, InputError
from trainers.data import Dataset
from trainers.device_data import DeviceImages, subset_of
from trainers.measurement import Measurement
from trainers.protocol import ProxyProtocol
from trainers.training_step import TrainingStep

logger = logging.getLogger(__name__)

DIVERGED = 100.0  # times the loss of guessing; a few high steps at the start are not yet that
KEPT_ON_GPU = 4  # parts of data sets that a process leaves on its GPU between candidates

_on_gpu: dict[tuple[str, str, int | None, str], DeviceImages] = {}


class TrainingDivergedError(RuntimeError):
    """The loss stopped being a number, or went far above that of guessing."""


@dataclass(frozen=True, slots=True)
class ProxyEvaluator:
    """Trains each architecture under one protocol on one data set.

    Attributes:
        protocol: how.
        data: on what.
        device: ``cpu``, ``cuda``, or ``auto``: a GPU when there is one.
    """

    protocol: ProxyProtocol
    data: Dataset
    device: str = "auto"

    @property
    def fingerprint(self) -> str:
        """See `Evaluator`."""
        return self.protocol.hash(self.data.fingerprint)

    @property
    def num_classes(self) -> int:
        """See `Evaluator`."""
        return self.data.num_classes

    @property
    def in_channels(self) -> int:
        """See `Evaluator`."""
        return self.data.in_channels

    def trained(self, architecture: Architecture) -> Architecture:
        """The network that is trained for an architecture."""
        return self.protocol.network(architecture)

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        """See `Evaluator`."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        accuracies: list[float] = []
        for number in range(self.protocol.seeds):
            last = number == self.protocol.seeds - 1
            for measurement in train_candidate(
                architecture,
                self.protocol,
                self.data,
                seed * self.protocol.seeds + number,  # no two seeds of a search share a training
                device=device,
                weights_path=weights_path if last else None,
            ):
                if not measurement.final:
                    yield measurement
                    continue
                accuracies.append(measurement.accuracy)
                accuracy = measurement.accuracy if not last else sum(accuracies) / len(accuracies)
                yield replace(measurement, accuracy=accuracy, final=last)


def train_candidate(
    architecture: Architecture,
    protocol: ProxyProtocol,
    data: Dataset,
    seed: int,
    *,
    device: str = "cpu",
    graph: bool | None = None,
    weights_path: Path | None = None,
) -> Iterator[Measurement]:
    """Train once and measure, epoch by epoch.

    On a CPU the same arguments give the same accuracies to the last bit. The global generator is used
    (weights, dropout), but left as it was found whenever an epoch is handed out.

    Args:
        architecture: the candidate.
        protocol: how it is trained, also at which image size and width.
        data: images of that size.
        seed: of weights, order and augmentation.
        device: where.
        graph: capture the steps as a CUDA graph; None does so on a GPU.
        weights_path: where to leave the trained weights (safetensors), if anywhere. Those of a proxy of
            another width fit no candidate, and are not kept.

    Yields:
        One measurement an epoch; metrics ``epoch``, ``train_loss``, ``validation_loss``, ``train_seconds``.

    Raises:
        InputError: the data do not fit the architecture or the protocol.
        TrainingDivergedError: the loss is not finite, or an epoch's is a hundred times that of guessing.
    """
    try:
        yield from _epochs(architecture, protocol, data, seed, device, graph, weights_path)
    finally:
        if device.startswith("cuda"):  # others may share the GPU, and a graph's memory is its own till then
            with suppress(RuntimeError):  # of a broken GPU, which is told apart elsewhere
                torch.cuda.empty_cache()


def _epochs(
    architecture: Architecture,
    protocol: ProxyProtocol,
    data: Dataset,
    seed: int,
    device: str,
    graph: bool | None,
    weights_path: Path | None,
) -> Iterator[Measurement]:
    """See `train_candidate`; ended, nothing of it holds memory of the device."""
    check_fit(architecture, protocol, data)
    began = time.perf_counter()
    network = protocol.network(architecture)
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model = network.build(data.num_classes, data.in_channels, bn_momentum=protocol.bn_momentum)
        model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        random_state = _random_state(devices)
    train, validation = (_images(data, part, protocol, device) for part in ("train", "validation"))
    training = TrainingStep(model, train, protocol, torch.Generator().manual_seed(seed), graph)
    for epoch in range(1, protocol.epochs + 1):
        with torch.random.fork_rng(devices=devices):
            _set_random_state(random_state, devices)
            train_loss = training.epoch()
            random_state = _random_state(devices)
        if not train_loss <= DIVERGED * math.log(data.num_classes):
            raise TrainingDivergedError(
                f"the training loss is {train_loss:g} in epoch {epoch}; a lower learning_rate may help"
            )
        accuracy, validation_loss = measure(training.measured, validation, protocol.precision)
        if not math.isfinite(validation_loss):
            raise TrainingDivergedError(f"the validation loss is {validation_loss} in epoch {epoch}")
        if weights_path is not None and epoch == protocol.epochs and protocol.width == 1.0:
            _keep_weights(training.measured, network, weights_path)
        yield Measurement(
            accuracy=accuracy,
            final=epoch == protocol.epochs,
            metrics={
                "epoch": float(epoch),
                "train_loss": train_loss,
                "validation_loss": validation_loss,
                "train_seconds": time.perf_counter() - began,
            },
        )


def check_fit(architecture: Architecture, protocol: ProxyProtocol, data: Dataset) -> None:
    """Refuse data that a candidate cannot be trained on.

    Raises:
        InputError: with the field and the bound.
    """
    image_size = protocol.network(architecture).image_size
    if data.image_size != image_size:
        raise InputError(
            f"{architecture.name} takes {image_size}-pixel images, {data.name} holds {data.image_size}-pixel "
            "ones"
        )
    if data.num_classes < 2:
        raise InputError(f"{data.name} has one class only, there is nothing to tell apart")
    if 2 * protocol.shift >= data.image_size:
        raise InputError(
            f"protocol.shift must be less than half of {data.image_size} pixels, got {protocol.shift}"
        )
    images, whose = len(data.train), f"the training images of {data.name}"
    if protocol.subset is not None:
        if protocol.subset > images:
            raise InputError(f"protocol.subset must be at most {images}, {whose}, got {protocol.subset}")
        images, whose = protocol.subset, "protocol.subset"
    if protocol.batch > images:
        raise InputError(f"protocol.batch must be at most {images}, {whose}, got {protocol.batch}")


def _images(data: Dataset, part: str, protocol: ProxyProtocol, device: str) -> DeviceImages:
    """A part of the data on a device; on a GPU it stays there for the next candidate."""
    images = data.train if part == "train" else data.validation
    subset = protocol.subset if part == "train" else None
    key = (data.fingerprint, part, subset, device)
    if key not in _on_gpu:
        indices = None if subset is None else subset_of(images.labels, subset)
        made = DeviceImages(images, data, device, indices)
        if made.device.type == "cpu":
            return made
        while len(_on_gpu) >= KEPT_ON_GPU:
            del _on_gpu[next(iter(_on_gpu))]
        _on_gpu[key] = made
    return _on_gpu[key]


@torch.no_grad()
def measure(
    model: nn.Module, images: DeviceImages, precision: str = "float32", batch: int = 500
) -> tuple[float, float]:
    """Accuracy (0 to 1) and mean cross entropy."""
    model.eval()
    correct = torch.zeros((), device=images.device)
    loss = torch.zeros((), device=images.device)
    for index in torch.arange(len(images)).split(batch):
        x = images.normalised(images.fetched(index))
        labels = images.labels[int(index[0]) : int(index[-1]) + 1]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(x).float()  # (B, classes)
        correct += (logits.argmax(1) == labels).sum()
        loss += functional.cross_entropy(logits, labels, reduction="sum")
    return float(correct) / len(images), float(loss) / len(images)


def _random_state(devices: list[torch.device]) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


def _set_random_state(states: list[Tensor], devices: list[torch.device]) -> None:
    torch.set_rng_state(states[0])
    for state, device in zip(states[1:], devices, strict=True):
        torch.cuda.set_rng_state(state, device)


def _keep_weights(model: nn.Module, architecture: Architecture, path: Path) -> None:
    """Write weights where that can be done; a full disk costs the weights, and not the measurement."""
    from safetensors import SafetensorError

    try:
        save_weights(model, architecture, path)
    except (OSError, SafetensorError) as error:
        logger.warning("%s: the weights are not kept: %s", path, error)


def save_weights(model: nn.Module, architecture: Architecture, path: Path) -> None:
    """Write weights whole or not at all, with the architecture in the file's metadata."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        save_file(tensors, unfinished, metadata={"architecture": json.dumps(architecture.to_dict())})
        unfinished.chmod(0o644)  # safetensors writes for the owner alone
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
