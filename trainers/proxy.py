"""Proxy training: a few short epochs on one device, from images that live in memory as uint8.

Augmentation and normalisation work on whole batches; tensors are channels last, which torch's CPU
convolutions and tensor cores both want.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from search_space import Architecture, InputError
from trainers.data import Dataset, ImageSet
from trainers.measurement import Measurement
from trainers.protocol import ProxyProtocol


class TrainingDivergedError(RuntimeError):
    """The loss stopped being a number."""


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

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        """See `Evaluator`."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return train_candidate(
            architecture, self.protocol, self.data, seed, device=device, weights_path=weights_path
        )


def train_candidate(
    architecture: Architecture,
    protocol: ProxyProtocol,
    data: Dataset,
    seed: int,
    *,
    device: str = "cpu",
    weights_path: Path | None = None,
) -> Iterator[Measurement]:
    """Train and measure, epoch by epoch.

    On a CPU the same arguments give the same accuracies to the last bit. The global generator is used
    (weights, dropout), but left as it was found whenever an epoch is handed out.

    Args:
        architecture: what to train, at its own image size.
        protocol: how.
        data: images of that size.
        seed: of weights, order and augmentation.
        device: where.
        weights_path: where to leave the trained weights (safetensors), if anywhere.

    Yields:
        One measurement an epoch; metrics ``epoch``, ``train_loss``, ``validation_loss``, ``train_seconds``.

    Raises:
        InputError: the data do not fit the architecture or the protocol.
        TrainingDivergedError: the loss is not finite.
    """
    check_fit(architecture, protocol, data)
    began = time.perf_counter()
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model = architecture.build(data.num_classes, data.in_channels, bn_momentum=protocol.bn_momentum)
        model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        random_state = _random_state(devices)
    order = torch.Generator().manual_seed(seed)
    train, validation = _Batches(data.train, data, device), _Batches(data.validation, data, device)
    optimiser = torch.optim.SGD(
        _parameter_groups(model, protocol.weight_decay),
        lr=protocol.learning_rate,
        momentum=protocol.momentum,
        nesterov=protocol.momentum > 0,
    )
    steps = len(data.train) // protocol.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, protocol.learning_rate, total_steps=steps * protocol.epochs + 1, cycle_momentum=False
    )
    for epoch in range(1, protocol.epochs + 1):
        with torch.random.fork_rng(devices=devices):
            _set_random_state(random_state, devices)
            train_loss = _train_epoch(model, train, protocol, optimiser, schedule, order)
            random_state = _random_state(devices)
        if not np.isfinite(train_loss):
            raise TrainingDivergedError(f"the training loss is {train_loss} in epoch {epoch}")
        accuracy, validation_loss = measure(model, validation)
        if not np.isfinite(validation_loss):
            raise TrainingDivergedError(f"the validation loss is {validation_loss} in epoch {epoch}")
        if weights_path is not None and epoch == protocol.epochs:
            save_weights(model, architecture, weights_path)
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
    if data.image_size != architecture.image_size:
        raise InputError(
            f"{architecture.name} takes {architecture.image_size}-pixel images, "
            f"{data.name} holds {data.image_size}-pixel ones"
        )
    if 2 * protocol.shift >= data.image_size:
        raise InputError(
            f"protocol.shift must be less than half of {data.image_size} pixels, got {protocol.shift}"
        )
    if protocol.batch > len(data.train):
        raise InputError(
            f"protocol.batch must be at most {len(data.train)}, the training images of {data.name}, "
            f"got {protocol.batch}"
        )


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weights decay; biases and batch norm do not."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    kept = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


class _Batches:
    """Images on a device as uint8, handed out in normalised, augmented batches."""

    def __init__(self, images: ImageSet, data: Dataset, device: str) -> None:
        self.images = _tensor(images.images).to(device)  # (N, H, W, C)
        self.labels = _tensor(images.labels).to(device)  # (N,)
        self.mean = torch.tensor(data.mean, device=device) * 255.0
        self.scale = 1.0 / (torch.tensor(data.std, device=device) * 255.0 + 1e-9)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, index: Tensor, shift: int = 0, flip: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The images at `index` (B,) as (B, C, H, W) float32, channels last in memory, and labels (B,)."""
        index = index.to(self.labels.device)
        images = self.images[index]
        if shift:
            images = _shifted(images, shift, generator)
        if flip:
            mirrored = torch.rand(len(images), generator=generator).to(images.device) < 0.5
            images = torch.where(mirrored[:, None, None, None], images.flip(2), images)
        x = (images.float() - self.mean) * self.scale
        return x.permute(0, 3, 1, 2), self.labels[index]


def _tensor(array: np.ndarray) -> Tensor:
    # shared memory is read-only, and torch would warn of it; nothing here writes
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _shifted(images: Tensor, shift: int, generator: torch.Generator | None) -> Tensor:
    """Each image (B, H, W, C) moved by its own offset within +-shift; the border is zero."""
    batch, height, width, _ = images.shape
    offsets = torch.randint(0, 2 * shift + 1, (2, batch), generator=generator).to(images.device)
    padded = functional.pad(images, (0, 0, shift, shift, shift, shift))
    rows = offsets[0][:, None] + torch.arange(height, device=images.device)  # (B, H)
    columns = offsets[1][:, None] + torch.arange(width, device=images.device)  # (B, W)
    which = torch.arange(batch, device=images.device)
    return padded[which[:, None, None], rows[:, :, None], columns[:, None, :]]


def _train_epoch(
    model: nn.Module,
    train: _Batches,
    protocol: ProxyProtocol,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    order: torch.Generator,
) -> float:
    """One pass over the training images; the mean loss."""
    model.train()
    total = torch.zeros((), device=train.labels.device)
    steps = len(train) // protocol.batch
    shuffled = torch.randperm(len(train), generator=order)
    for step in range(steps):
        index = shuffled[step * protocol.batch : (step + 1) * protocol.batch]
        x, labels = train.batch(index, protocol.shift, protocol.flip, order)
        loss = functional.cross_entropy(model(x), labels, label_smoothing=protocol.label_smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        total += loss.detach()
    return float(total) / steps


@torch.no_grad()
def measure(model: nn.Module, images: _Batches, batch: int = 500) -> tuple[float, float]:
    """Accuracy (0 to 1) and mean cross entropy."""
    model.eval()
    correct = torch.zeros((), device=images.labels.device)
    loss = torch.zeros((), device=images.labels.device)
    for index in torch.arange(len(images)).split(batch):
        x, labels = images.batch(index)
        logits = model(x)  # (B, classes)
        correct += (logits.argmax(1) == labels).sum()
        loss += functional.cross_entropy(logits, labels, reduction="sum")
    return float(correct) / len(images), float(loss) / len(images)


def _random_state(devices: list[torch.device]) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


def _set_random_state(states: list[Tensor], devices: list[torch.device]) -> None:
    torch.set_rng_state(states[0])
    for state, device in zip(states[1:], devices, strict=True):
        torch.cuda.set_rng_state(state, device)


def save_weights(model: nn.Module, architecture: Architecture, path: Path) -> None:
    """Write weights whole or not at all, with the architecture in the file's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    save_file(tensors, unfinished, metadata={"architecture": json.dumps(architecture.to_dict())})
    unfinished.chmod(0o644)  # safetensors writes for the owner alone
    unfinished.replace(path)
