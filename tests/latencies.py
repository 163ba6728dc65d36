"""Models of latency and machines that nobody has, for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nas.latency_fit import FitPlan, collect
from nas.latency_samples import Conditions, SampleFile, digest_of
from search_space import Architecture, LatencyModel, StageSpace, cost
from search_space.operators import MEASURES
from trainers.latency import Latency

UNITS = {"operators": 0.02, "macs": 2e-8, "values": 5e-7, "weights": 3e-7}  # ms, the size of a processor's

PLAN = FitPlan(networks=90, held_out=30, retests=10)
FEW = FitPlan(networks=20, held_out=10, retests=4)


def a_model(space: StageSpace, seed: int = 0, kinds: Sequence[str] = tuple(MEASURES)) -> LatencyModel:
    """A model that knows these kinds of operators, with rates from a draw."""
    rng = np.random.default_rng(seed)
    rates = {
        f"{kind}.{measure}": float(UNITS[measure] * rng.uniform(0.2, 2.0))
        for kind in kinds
        for measure in MEASURES[kind]
    }
    return LatencyModel(
        intercept=0.7,
        coefficients=rates,
        image_size=space.skeleton.image_size,
        stem=space.skeleton.stem,
        head=space.skeleton.head,
        space=space.name,
        reference="efficientnet_b0",
        reference_ms=20.0,
    )


class Machine:
    """Takes what a model says, times a noise, times a drift that the reference has too.

    Attributes:
        asked: keys of the networks in the order in which they were measured.
    """

    def __init__(
        self,
        truth: LatencyModel,
        noise: float = 0.0,
        drift: Callable[[int], float] = lambda call: 1.0,
        fails: Callable[[Architecture], bool] = lambda network: False,
        stop_after: int | None = None,
    ) -> None:
        self.truth, self.noise, self.drift, self.fails = truth, noise, drift, fails
        self.stop_after = stop_after
        self.asked: list[str] = []
        self._rng = np.random.default_rng(1)

    def __call__(self, networks: Sequence[Architecture]) -> list[Latency | Exception]:
        return [self._one(network) for network in networks]

    def _one(self, network: Architecture) -> Latency | Exception:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked.append(network.key)
        if self.fails(network):
            return RuntimeError("out of\nmemory")
        return latency_of(network, self._milliseconds(network), 20.0 * self.drift(len(self.asked)))

    def _milliseconds(self, network: Architecture) -> float:
        noise = float(np.exp(self.noise * self._rng.standard_normal()))
        return self.truth.predict(network) * noise * self.drift(len(self.asked))


def latency_of(network: Architecture, milliseconds: float, reference_ms: float = 20.0) -> Latency:
    """What measuring would give."""
    macs, params = cost(network)
    return Latency(
        name=network.name,
        key=network.key,
        median_ms=milliseconds,
        p5_ms=milliseconds,
        p25_ms=milliseconds,
        p75_ms=milliseconds,
        p95_ms=milliseconds,
        ratio=milliseconds / reference_ms,
        ratio_p5=milliseconds / reference_ms,
        ratio_p95=milliseconds / reference_ms,
        reference_ms=reference_ms,
        repeats=15,
        macs=macs,
        params=params,
        image_size=network.image_size,
        device_name="a machine",
    )


def conditions_of(of: StageSpace, **changes) -> Conditions:
    usual = {
        "space": of.name,
        "space_digest": digest_of(of),
        "device": "cpu",
        "device_name": "a machine",
        "backend": "eager",
        "batch": 1,
        "threads": 1,
        "reference": "efficientnet_b0",
        "num_classes": 1000,
        "in_channels": 3,
        "versions": {"python": "3.11.1", "torch": "2.13"},
    }
    return Conditions(**{**usual, **changes})


def measured(path: Path, space: StageSpace, machine: Machine, plan: FitPlan, group: int = 1) -> SampleFile:
    file = SampleFile(path, space)
    with file.writing(conditions_of(space)):
        collect(space, file, plan, machine, group=group)
    return file
