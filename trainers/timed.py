"""Training with the latency of each network measured beside it, where it is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from search_space import Architecture, InputError, load_architecture
from trainers.latency import device_name, measure_latency
from trainers.latency_backends import check_backend
from trainers.latency_protocol import LatencyProtocol
from trainers.measurement import Evaluator, Measurement


def reference_latency(protocol: LatencyProtocol) -> float:
    """What the reference network takes here, ms: to be measured while nothing else computes.

    Raises:
        InputError: the device or the backend is not to be had here.
    """
    reference = load_architecture(protocol.reference)
    return measure_latency(reference, replace(protocol, reference=""), 1000, 3).median_ms


def timed_fingerprint(
    inner: str, protocol: LatencyProtocol, device_name: str, reference_ms: float | None
) -> str:
    """The fingerprint of a training, and of how latency is measured beside it; see `TimedEvaluator`."""
    how = [asdict(protocol), device_name, reference_ms]
    words = f"{inner} latency {json.dumps(how, sort_keys=True)}"
    return hashlib.sha256(words.encode()).hexdigest()


def check_device(protocol: LatencyProtocol, name: str) -> None:
    """Refuse to measure on this machine what is to be measured on another.

    Args:
        protocol: how latency is measured.
        name: text that the name of the device must hold.

    Raises:
        InputError: the device or the backend is not to be had here, or the device has another name.
    """
    check_backend(protocol.device, protocol.backend, protocol.threads)
    here = device_name(protocol.device)
    if name not in here:
        raise InputError(f"latency is to be measured on a device named like {name!r}, and this is {here!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedEvaluator:
    """Measures the latency of an architecture, then its accuracy as another evaluator does.

    Every measurement carries ``latency_ms`` and ``latency_p95_ms``, and with a reference network
    ``latency_ratio``. The latency is that of the architecture itself at its own image size, whatever thinner
    network a proxy trains for it.

    Attributes:
        inner: what trains.
        protocol: how latency is measured.
        device_name: text that the device's name must hold; empty takes any device.
        reference_ms: what the reference takes on a quiet device; see `nas.latency_config.LatencyConfig`.
    """

    inner: Evaluator
    protocol: LatencyProtocol
    device_name: str = ""
    reference_ms: float | None = None

    @property
    def fingerprint(self) -> str:
        """See `Evaluator`: of the training and of how latency is measured."""
        return timed_fingerprint(self.inner.fingerprint, self.protocol, self.device_name, self.reference_ms)

    @property
    def num_classes(self) -> int:
        """See `Evaluator`."""
        return self.inner.num_classes

    @property
    def in_channels(self) -> int:
        """See `Evaluator`."""
        return self.inner.in_channels

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        """See `Evaluator`.

        Raises:
            InputError: the device is of another kind than the one that is to be measured, or it or the
                backend cannot be used.
        """
        latency = self._latency(architecture)
        for measurement in self.inner.epochs(architecture, seed, weights_path):
            yield replace(measurement, metrics={**measurement.metrics, **latency})

    def _latency(self, architecture: Architecture) -> Mapping[str, float]:
        check_device(self.protocol, self.device_name)
        found = measure_latency(architecture, self.protocol, self.num_classes, self.in_channels)
        metrics = {"latency_ms": found.median_ms, "latency_p95_ms": found.p95_ms}
        if found.ratio is not None:
            metrics["latency_ratio"] = found.ratio
            if self.reference_ms is not None:
                quiet = found.ratio * self.reference_ms / found.median_ms
                metrics |= {"latency_ms": quiet * found.median_ms, "latency_p95_ms": quiet * found.p95_ms}
        return metrics
