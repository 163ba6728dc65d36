"""A training step that asks the host for nothing, run as it is or replayed as a CUDA graph.

A step of a small network is some hundreds of kernels of a few microseconds each, and launching them one by
one from Python takes longer than running them. So on a GPU the first steps run as they are, on a stream of
their own, which allocates what is allocated once; the next one is captured, and from then on replayed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.device_data import DeviceImages, EpochPlan
from trainers.optimisation import MovingAverage, create_optimiser
from trainers.protocol import ProxyProtocol

WARM_UP = 3  # steps before the capture, as torch's documentation of CUDA graphs has it


class TrainingStep:
    """The state of a training, and its step.

    Args:
        model: to train, on the device of the images.
        images: to train on.
        protocol: how.
        generator: of order and augmentation, on the host.
        graph: capture steps as a CUDA graph; None does so on a GPU.

    Attributes:
        model: what is trained.
        measured: what is to be measured: the model, or the moving average of its weights.
        steps: of an epoch.
        left: steps of the epoch that are still to come.
    """

    def __init__(
        self,
        model: nn.Module,
        images: DeviceImages,
        protocol: ProxyProtocol,
        generator: torch.Generator,
        graph: bool | None = None,
    ) -> None:
        device = images.device
        self.model, self.images, self.protocol, self._generator = model, images, protocol, generator
        self.plan = EpochPlan.empty(len(images), protocol, device)
        self.steps = len(self.plan.order)
        total = self.steps * protocol.epochs
        self._rates = torch.as_tensor(protocol.learning_rates(total), dtype=torch.float32, device=device)
        self._rate = self._rates[0].clone()
        self._row = torch.zeros(1, dtype=torch.int64, device=device)  # of the epoch's plan
        self._done = torch.zeros(1, dtype=torch.int64, device=device)  # steps since the beginning
        self._loss = torch.zeros((), device=device)  # sum over the epoch
        self._raw: Tensor | None = None  # where images that do not live on the device arrive
        self._optimiser = create_optimiser(model, protocol, self._rate)
        self._average = MovingAverage(model) if protocol.ema else None
        self.measured = self._average.model if self._average else model
        self._graphed = device.type == "cuda" if graph is None else graph
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = 0
        self.left = 0

    def epoch(self) -> float:
        """One pass over the images.

        Returns:
            The mean loss. On a CPU a loss that is no number ends the epoch at once, and is returned.
        """
        self.begin_epoch()
        for _ in range(self.steps):
            self.step()
            if self.images.device.type == "cpu" and not torch.isfinite(self._loss):
                break
        return float(self._loss) / self.steps  # the only time the host waits for the device

    def begin_epoch(self) -> None:
        """Draw the plan of an epoch."""
        self.model.train()
        self.plan.draw(len(self.images), self.protocol, self._generator)
        self.left = self.steps
        self._row.zero_()
        self._loss.zero_()

    def step(self) -> None:
        """The next step of the epoch; without a wait for its end on a GPU."""
        if not self.images.resident:
            self._receive(self.images.fetched(self.plan.host_order[-self.left]))
        self.left -= 1
        self._advance()

    def _receive(self, raw: Tensor) -> None:
        if self._raw is None:
            self._raw = raw.clone()
        else:
            self._raw.copy_(raw, non_blocking=True)

    def _advance(self) -> None:
        if not self._graphed:
            self._step()
            return
        with torch.cuda.device(self.images.device):  # streams and graphs are the current device's
            if self._warm < WARM_UP:
                self._warm += 1
                stream = torch.cuda.Stream()
                stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(stream):
                    self._step()
                torch.cuda.current_stream().wait_stream(stream)
            else:
                if self._graph is None:
                    self._graph = self._captured()
                self._graph.replay()

    def _captured(self) -> torch.cuda.CUDAGraph:
        """A step, recorded and not run."""
        self._optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph

    def _step(self) -> None:
        """Forward, backward, update. Everything it reads has an address that stays."""
        protocol, plan = self.protocol, self.plan
        index = plan.order.index_select(0, self._row)[0]
        raw = self.images.images[index] if self._raw is None else self._raw
        raw = plan.augmented(raw, self._row, protocol.shift)
        x = plan.cropped(self.images.normalised(raw), self._row)
        labels = self.images.labels[index]
        # a cache of casts would outlive the step in which it was captured
        with torch.autocast(
            x.device.type, torch.bfloat16, enabled=protocol.precision == "bfloat16", cache_enabled=False
        ):
            logits = self.model(x)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=protocol.label_smoothing)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._rate.copy_(self._rates.index_select(0, self._done)[0])
        self._optimiser.step()
        self._loss += loss.detach()
        self._row += 1
        self._done += 1
        if self._average is not None:
            decay = ((1.0 + self._done) / (10.0 + self._done)).clamp(max=protocol.ema)[0]
            self._average.update(decay)
