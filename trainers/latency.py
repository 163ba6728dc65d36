"""Measured latency: the seconds that a network takes for one batch, beside a reference network's.

A machine that others use, or that grows warm, changes its speed from second to second, and a median alone
changes with it. Networks are therefore timed in rounds: in each round every network runs once, in a
shuffled order, and the reference runs before the first and after each of them. A network's time over the
mean of the two references next to it is its ratio, from which a drift that is slower than one turn cancels.

Networks have untrained weights from a fixed seed, and batch norm's statistics from a batch of noise, so that
their numbers are of the size that numbers of trained networks have; the time of a float product does not
depend on its numbers, but for denormal ones, which do not occur then. Inputs are noise. One result is the
time from the call until the result is there, of the whole batch.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from search_space import REFERENCES, Architecture, FieldError, InputError, cost
from search_space.errors import suggestion
from search_space.fields import check_choice, check_int
from search_space.reference import reference_name
from trainers.latency_backends import (
    BACKENDS,
    DEVICES,
    Prepared,
    check_backend,
    device_name,
    device_settings,
    prepare,
    versions,
)

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

LEAST_ROUNDS = 5  # of an interrupted measurement, for its rounds to be worth anything
_SEED = 0  # of the order within rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyProtocol:
    """How latency is measured: all that decides it, besides the network and the machine.

    Attributes:
        device: ``cpu`` or ``cuda``.
        backend: ``eager`` (torch as it is; channels last on a CPU), ``compile`` (`torch.compile`) or
            ``onnxruntime`` (the network exported to ONNX).
        batch: images a call.
        threads: of a CPU that one call may use; nothing to a GPU.
        warmup: untimed calls of each network before the first round.
        repeats: rounds.
        reference: the network that is timed next to each; ``""`` for none, and no ratios.

    Raises:
        FieldError: a value breaks a rule.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    backend: Literal["eager", "compile", "onnxruntime"] = "eager"
    batch: int = 1
    threads: int = 1
    warmup: int = 3
    repeats: int = 20
    reference: str = "efficientnet_b0"

    def __post_init__(self) -> None:
        check_choice("device", self.device, DEVICES)
        check_choice("backend", self.backend, BACKENDS)
        check_int("batch", self.batch, 1, 65_536)
        check_int("threads", self.threads, 1, 1024)
        check_int("warmup", self.warmup, 1, 10_000)
        check_int("repeats", self.repeats, 1, 1_000_000)
        if self.reference == "":
            return
        name = reference_name(self.reference) if isinstance(self.reference, str) else None
        if name is None:
            near = suggestion(str(self.reference), REFERENCES)
            raise FieldError("reference", f"is {self.reference!r}, which is no known network{near}")
        object.__setattr__(self, "reference", name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one network takes: milliseconds of one batch, and times the reference next to it.

    Attributes:
        name, key: of the architecture.
        median_ms, p5_ms, p25_ms, p75_ms, p95_ms: of the repeats; percentiles interpolate.
        ratio, ratio_p5, ratio_p95: median and percentiles, over the repeats, of the time over the reference's
            next to it; None without a reference.
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
    num_classes: int = 1000,
    in_channels: int = 3,
    on_round: Callable[[int, int], None] | None = None,
    on_failure: Callable[[Architecture, Exception], None] | None = None,
    on_ready: Callable[[Architecture], None] | None = None,
) -> list[Latency]:
    """The latencies of networks that take turns; all of them are in memory at once.

    The number of torch's threads, its random state, cuDNN's settings and the garbage collector are left as
    they were found.

    Args:
        architectures: each at its own image size.
        protocol: how.
        num_classes, in_channels: of all of them and of the reference.
        on_round: called after each round with the rounds done and all rounds.
        on_failure: called with each network that cannot be run, which is then left out of the results.
        on_ready: called with each network when it has been built, compiled and warmed up.

    Returns:
        One latency for each network, in the order given.

    Raises:
        InputError: the device or the backend is not to be had here, or the reference cannot be run.
        LatencyError: networks cannot be run, and there is no `on_failure`; it holds the other results.
        LatencyInterrupted: Ctrl-C after `LEAST_ROUNDS` rounds; it holds the results so far.
    """
    check_backend(protocol.device, protocol.backend, protocol.threads)
    failures: list[tuple[Architecture, Exception]] = []

    def fail(architecture: Architecture, error: Exception) -> None:
        failures.append((architecture, error))
        if on_failure is not None:
            on_failure(architecture, error)

    with device_settings(protocol.device, protocol.threads):
        ready = _Ready(protocol, num_classes, in_channels)
        reference = ready.reference()
        networks: dict[int, Prepared] = {}
        for number, architecture in enumerate(architectures):
            try:
                networks[number] = ready.of(architecture)
            except Exception as error:
                fail(architecture, error)
            else:
                if on_ready is not None:
                    on_ready(architecture)
        rounds = _Rounds(networks, reference)
        interrupted = False
        with _no_collection():
            try:
                while rounds.networks and rounds.done < protocol.repeats:
                    for number, problem in rounds.run():
                        fail(architectures[number], problem)
                    if on_round is not None:
                        on_round(rounds.done, protocol.repeats)
            except KeyboardInterrupt:
                if rounds.done < LEAST_ROUNDS:
                    raise
                interrupted = True
        latencies = [
            _summary(architectures[number], network, rounds, number, protocol, num_classes, in_channels)
            for number, network in rounds.networks.items()
        ]
    if interrupted:
        raise LatencyInterrupted(latencies)
    if failures and on_failure is None:
        raise LatencyError(latencies, failures) from failures[0][1]
    return latencies


class _Ready:
    """Networks as calls; equal ones are built once."""

    def __init__(self, protocol: LatencyProtocol, num_classes: int, in_channels: int) -> None:
        self._protocol, self._classes, self._channels = protocol, num_classes, in_channels
        self._known: dict[str, Prepared] = {}

    def of(self, architecture: Architecture) -> Prepared:
        """The network, warmed up."""
        if architecture.key not in self._known:
            how = self._protocol
            made = prepare(
                architecture,
                device=how.device,
                backend=how.backend,
                batch=how.batch,
                threads=how.threads,
                num_classes=self._classes,
                in_channels=self._channels,
            )
            for _ in range(how.warmup):
                made.call()
            self._known[architecture.key] = made
        return self._known[architecture.key]

    def reference(self) -> Prepared | None:
        """The reference, warmed up."""
        name = self._protocol.reference
        if not name:
            return None
        try:
            return self.of(REFERENCES[name]())
        except Exception as error:
            raise InputError(f"the reference {name} cannot be run: {error}") from error


class _Rounds:
    """Networks that take turns with their reference.

    Attributes:
        networks: those that have not failed, by number.
        done: complete rounds.
    """

    def __init__(
        self,
        networks: dict[int, Prepared],
        reference: Prepared | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.networks = dict(networks)
        self.done = 0
        self._reference, self._clock = reference, clock
        self._order = random.Random(_SEED)
        self._times: list[
            dict[int, tuple[float, float]]
        ] = []  # a round: network -> (own, reference's) seconds

    def run(self) -> list[tuple[int, Exception]]:
        """One round; the networks that failed in it, which have no further turns."""
        order, failed = list(self.networks), []
        self._order.shuffle(order)
        times: dict[int, tuple[float, float]] = {}
        before = self._seconds(self._reference) if order else 0.0
        for number in order:
            try:
                own = self._seconds(self.networks[number])
            except Exception as error:
                failed.append((number, error))
                del self.networks[number]
                continue
            after = self._seconds(self._reference)
            times[number] = (own, (before + after) / 2)
            before = after
        self._times.append(times)
        self.done += 1
        return failed

    def seconds(self, number: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """A network's times in the complete rounds and the reference's next to them, seconds (rounds,)."""
        both = np.array([times[number] for times in self._times], dtype=np.float64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def _seconds(self, network: Prepared | None) -> float:
        if network is None:
            return 0.0
        began = self._clock()
        network.call()  # returns when the result is there
        return self._clock() - began


def _summary(
    architecture: Architecture,
    network: Prepared,
    rounds: _Rounds,
    number: int,
    protocol: LatencyProtocol,
    num_classes: int,
    in_channels: int,
) -> Latency:
    own, reference = rounds.seconds(number)
    p5, p25, median, p75, p95 = (1e3 * float(each) for each in np.percentile(own, (5, 25, 50, 75, 95)))
    ratios: list[float | None] = [None, None, None]
    if protocol.reference:
        ratios = [float(each) for each in np.percentile(own / reference, (5, 50, 95))]
    macs, params = cost(architecture, num_classes, in_channels)
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
        repeats=rounds.done,
        macs=macs,
        params=params,
        image_size=architecture.image_size,
        device_name=device_name(protocol.device),
        compile_seconds=network.compile_seconds,
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from running in the middle of a call."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
