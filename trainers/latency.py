"""Measured latency: the seconds that a network takes for one batch, beside a reference network's.

A machine that others use, or that grows warm, changes its speed from second to second, and a median alone
changes with it. Networks are therefore timed in rounds: in each round every network runs once, in a
shuffled order, and the reference runs before the first and after each of them. A network's ratio is the
median of its times over the reference's just before and just after, so that a drift slower than a turn
cancels. Each time counts by itself: over the mean of both a network would seem faster than itself, since
delays are rare and long, and a mean of two has more of them than the median of one.

A turn is an untimed call and a timed one: caches hold the network's own weights, whichever was before it.

Networks have untrained weights from a fixed seed, and batch norm's statistics from a batch of noise, so that
their numbers are of the size that numbers of trained networks have; the time of a float product does not
depend on its numbers, but for denormal ones, which do not occur then. Inputs are noise. One result is the
time from the call until the result is there, of the whole batch.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from search_space import REFERENCES, Architecture, InputError, cost
from trainers.latency_backends import (
    Prepared,
    check_backend,
    compile_folder,
    device_name,
    device_settings,
    prepare,
    versions,
)
from trainers.latency_protocol import LatencyProtocol
from trainers.latency_turns import LEAST_ROUNDS, Turns

__all__ = [
    "LEAST_ROUNDS",
    "Latency",
    "LatencyError",
    "LatencyInterrupted",
    "LatencyProtocol",
    "device_name",
    "measure_latencies",
    "measure_latency",
    "versions",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one network takes: milliseconds of one batch, and times the reference next to it.

    Attributes:
        name, key: of the architecture.
        median_ms, p5_ms, p25_ms, p75_ms, p95_ms: of the repeats; percentiles interpolate.
        ratio, ratio_p5, ratio_p95: median and percentiles, over the repeats, of the time over the reference's
            just before, and over the one's just after; None without a reference.
        reference_ms: the reference's median time next to this network; None likewise.
        repeats: timed calls.
        macs, params, image_size: of the network, for one image.
        device_name: of the processor or the GPU.
        compile_seconds: that `torch.compile` or the export took, once; None where nothing is compiled.
    """

    name: str
    key: str
    median_ms: float
    p5_ms: float
    p25_ms: float
    p75_ms: float
    p95_ms: float
    ratio: float | None
    ratio_p5: float | None
    ratio_p95: float | None
    reference_ms: float | None
    repeats: int
    macs: int
    params: int
    image_size: int
    device_name: str
    compile_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class LatencyError(RuntimeError):
    """Some networks could not be measured; the others were.

    Attributes:
        latencies: of the networks that could.
        failures: the other architectures, each with what went wrong.
    """

    def __init__(self, latencies: list[Latency], failures: list[tuple[Architecture, Exception]]) -> None:
        first = f"{failures[0][0].name}: {failures[0][1]}"
        more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
        super().__init__(f"not measured: {first}{more}")
        self.latencies = latencies
        self.failures = failures


class LatencyInterrupted(KeyboardInterrupt):
    """Ctrl-C came when enough rounds were complete.

    Attributes:
        latencies: by the complete rounds.
    """

    def __init__(self, latencies: list[Latency]) -> None:
        super().__init__()
        self.latencies = latencies


def measure_latency(
    architecture: Architecture, protocol: LatencyProtocol, num_classes: int = 1000, in_channels: int = 3
) -> Latency:
    """The latency of one network; see `measure_latencies`.

    Raises:
        InputError: the device or the backend is not to be had here.
        LatencyError: the network cannot be run, as for want of memory.
    """
    return measure_latencies([architecture], protocol, num_classes, in_channels)[0]


def measure_latencies(
    architectures: Sequence[Architecture],
    protocol: LatencyProtocol,
    num_classes: int | Sequence[int] = 1000,
    in_channels: int | Sequence[int] = 3,
    on_round: Callable[[int, int], None] | None = None,
    on_failure: Callable[[int, Exception], None] | None = None,
    on_ready: Callable[[int], None] | None = None,
) -> list[Latency]:
    """The latencies of networks that take turns; all of them are in memory at once.

    The number of torch's threads, its random state, cuDNN's settings and the garbage collector are left as
    they were found.

    Args:
        architectures: each at its own image size.
        protocol: how.
        num_classes, in_channels: of the networks, one for all or one each. The reference has always 1000
            and 3, so that a ratio means the same everywhere.
        on_round: called after each round with the rounds done and all rounds.
        on_failure: called with the place of each network that cannot be run and the reason; it is then left
            out of the results.
        on_ready: called with the place of each network when it has been built, compiled and warmed up, or has
            failed.

    Returns:
        One latency for each network, in the order given.

    Raises:
        InputError: the device or the backend is not to be had here, or the reference cannot be run.
        LatencyError: networks cannot be run, and there is no `on_failure`; it holds the other results.
        LatencyInterrupted: Ctrl-C after `LEAST_ROUNDS` rounds; it holds the results so far.
    """
    check_backend(protocol.device, protocol.backend, protocol.threads)
    number = len(architectures)
    tasks = [
        _Task(*task)
        for task in zip(architectures, _each(num_classes, number), _each(in_channels, number), strict=True)
    ]
    failures: list[tuple[Architecture, Exception]] = []

    def fail(number: int, error: Exception) -> None:
        failures.append((architectures[number], error))
        if on_failure is not None:
            on_failure(number, error)

    with compile_folder(protocol.backend), device_settings(protocol.device, protocol.threads):
        turns = _turns(tasks, protocol, fail, on_ready)
        complete = turns.run_all(protocol.repeats, fail, on_round)
    latencies = [
        _summary(tasks[number], network, turns.seconds(number), protocol)
        for number, network in turns.networks.items()
    ]
    if not complete:
        raise LatencyInterrupted(latencies)
    if failures and on_failure is None:
        raise LatencyError(latencies, failures) from failures[0][1]
    return latencies


def _turns(
    tasks: Sequence[_Task],
    protocol: LatencyProtocol,
    fail: Callable[[int, Exception], None],
    on_ready: Callable[[int], None] | None,
) -> Turns:
    """The reference and the networks, built and warm; those that cannot be are left out."""
    ready = _Ready(protocol)
    reference = ready.reference()
    networks: dict[int, Prepared] = {}
    for number, task in enumerate(tasks):
        try:
            networks[number] = ready.of(task)
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # which would keep its memory
            fail(number, error)
        if on_ready is not None:
            on_ready(number)
    return Turns(networks, reference)


class _Task(NamedTuple):
    """A network to measure, as it is built."""

    architecture: Architecture
    num_classes: int = 1000
    in_channels: int = 3


def _each(value: int | Sequence[int], number: int) -> Sequence[int]:
    return [value] * number if isinstance(value, int) else value


class _Ready:
    """Networks as calls; equal ones are built once."""

    def __init__(self, protocol: LatencyProtocol) -> None:
        self._protocol = protocol
        self._known: dict[tuple[str, int, int], Prepared] = {}

    def of(self, task: _Task) -> Prepared:
        """The network, warmed up."""
        same = (task.architecture.key, task.num_classes, task.in_channels)
        if same not in self._known:
            how = self._protocol
            made = prepare(
                task.architecture,
                device=how.device,
                backend=how.backend,
                batch=how.batch,
                threads=how.threads,
                num_classes=task.num_classes,
                in_channels=task.in_channels,
            )
            for _ in range(how.warmup):
                made.call()
            self._known[same] = made
        return self._known[same]

    def reference(self) -> Prepared | None:
        """The reference, warmed up."""
        name = self._protocol.reference
        if not name:
            return None
        try:
            return self.of(_Task(REFERENCES[name]()))
        except Exception as error:
            raise InputError(f"the reference {name} cannot be run: {error}") from error


def _summary(
    task: _Task,
    network: Prepared,
    seconds: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    protocol: LatencyProtocol,
) -> Latency:
    """Percentiles of a network's times (rounds, 1) and of their ratios to the reference's (rounds, 2)."""
    architecture = task.architecture
    own, reference = seconds
    p5, p25, median, p75, p95 = (1e3 * float(each) for each in np.percentile(own, (5, 25, 50, 75, 95)))
    ratios: list[float | None] = [None, None, None]
    if protocol.reference:
        ratios = [float(each) for each in np.percentile(own / reference, (5, 50, 95))]
    macs, params = cost(*task)
    return Latency(
        name=architecture.name,
        key=architecture.key,
        median_ms=median,
        p5_ms=p5,
        p25_ms=p25,
        p75_ms=p75,
        p95_ms=p95,
        ratio=ratios[1],
        ratio_p5=ratios[0],
        ratio_p95=ratios[2],
        reference_ms=1e3 * float(np.median(reference)) if protocol.reference else None,
        repeats=len(own),
        macs=macs,
        params=params,
        image_size=architecture.image_size,
        device_name=device_name(protocol.device),
        compile_seconds=network.compile_seconds,
    )
