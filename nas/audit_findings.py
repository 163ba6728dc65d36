"""What an audit found, from the rows of its journal; and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.audit_config import OWN, REFERENCE, Variant
from nas.audit_plan import Part
from nas.audit_statistics import (
    Agreement,
    Array,
    Bias,
    Estimate,
    Precision,
    Trainings,
    Verdict,
    advice,
    agreement,
    cheapest,
    precision,
    verdict,
)
from nas.search import measured_by
from results import Trial
from search_space import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What an audit found.

    Attributes:
        networks: the sample, by rising MACs.
        macs, layers: of each: (n,).
        variants: the protocols without the reference, the search's own first.
        trainings: every protocol's, the reference's among them, by name.
        agreements: every protocol's but the reference's, by name.
        reference, precision: the reference and what is known of it alone.
        target: the tau to reach.
    """

    networks: tuple[Architecture, ...]
    macs: Array
    layers: Array
    variants: tuple[Variant, ...]
    trainings: dict[str, Trainings]
    agreements: dict[str, Agreement]
    reference: Variant
    precision: Precision
    target: float

    @property
    def cheapest(self) -> str | None:
        """See `nas.audit_statistics.cheapest`."""
        return cheapest(self.agreements, self.target)

    @property
    def advice(self) -> str:
        """See `nas.audit_statistics.advice`."""
        return advice(self.agreements, self.precision, self.target)

    def verdict(self, name: str) -> Verdict:
        """See `nas.audit_statistics.verdict`."""
        return verdict(self.agreements[name], self.target)

    def relative_seconds(self, name: str) -> float | None:
        """Seconds of a training over those of the reference; None where either is unknown."""
        ours, theirs = self.agreements[name].precision.seconds, self.precision.seconds
        return ours / theirs if ours is not None and theirs else None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "target": self.target,
            "architectures": len(self.networks),
            "reference": {
                "settings": self.reference.settings,
                "seeds": self.trainings[REFERENCE].accuracy.shape[1],
                **_precision_json(self.precision),
            },
            "protocols": [self._protocol_json(variant) for variant in self.variants],
            "cheapest": self.cheapest,
            "advice": self.advice,
        }

    def _protocol_json(self, variant: Variant) -> dict[str, Any]:
        found = self.agreements[variant.name]
        judged = self.verdict(variant.name)
        return {
            "name": variant.name,
            "settings": variant.settings,
            "networks": found.networks,
            "seeds": self.trainings[variant.name].accuracy.shape[1],
            **_estimate_json("tau", found.tau),
            **_estimate_json("tau_mean", found.tau_mean),
            **_precision_json(found.precision),
            "relative_seconds": self.relative_seconds(variant.name),
            "regret": found.regret,
            "bias": {"macs": _bias_json(found.macs), "layers": _bias_json(found.layers)},
            "level": judged.level,
            "verdict": judged.words,
        }


def _estimate_json(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _precision_json(found: Precision) -> dict[str, Any]:
    return {
        **_estimate_json("tau_seeds", found.tau_seeds),
        "noise": found.noise,
        "spread": found.spread,
        "noise_ratio": found.noise_ratio,
        "seconds": found.seconds,
        "failed": found.failed,
    }


def _bias_json(bias: Bias) -> dict[str, Any]:
    return {**_estimate_json("correlation", bias.correlation), "words": bias.words}


def part_names(parts: Sequence[Part], trials: Sequence[Trial]) -> dict[str, str]:
    """What identifies a measurement besides key and seed, to the name of its protocol."""
    names: dict[str, str] = {}
    for trial in trials:
        if trial.protocol not in names:
            network = trial.network()
            mine = (part for part in parts if measured_by(part.evaluator, network) == trial.protocol)
            names[trial.protocol] = next(mine).variant.name
    return names


def findings_of(parts: Sequence[Part], trials: Sequence[Trial], target: float) -> Findings:
    """Compare the results of an audit.

    Args:
        parts: its protocols.
        trials: every training.
        target: the tau to reach.
    """
    networks = {trial.key: trial for trial in sorted(trials, key=lambda trial: (trial.macs, trial.id))}
    architectures = tuple(trial.network() for trial in networks.values())
    macs = np.array([trial.macs for trial in networks.values()], dtype=np.float64)
    layers = np.array([network.depth for network in architectures], dtype=np.float64)
    names = part_names(parts, trials)
    trainings = {
        part.variant.name: _trainings(
            part, list(networks), [trial for trial in trials if names[trial.protocol] == part.variant.name]
        )
        for part in parts
    }
    variants = {part.variant.name: part.variant for part in parts}
    reference = variants.pop(REFERENCE)
    order = sorted(variants.values(), key=lambda variant: variant.name != OWN)
    theirs = trainings[REFERENCE]
    return Findings(
        networks=architectures,
        macs=macs,
        layers=layers,
        variants=tuple(order),
        trainings=trainings,
        agreements={v.name: agreement(trainings[v.name], theirs, macs, layers) for v in order},
        reference=reference,
        precision=precision(theirs),
        target=target,
    )


def _trainings(part: Part, keys: list[str], trials: Sequence[Trial]) -> Trainings:
    """The results of one protocol: a row a network, a column a seed."""
    rows = {key: number for number, key in enumerate(keys)}
    columns = {seed: number for number, seed in enumerate(part.seeds)}
    accuracy, seconds = (np.full((len(rows), len(columns)), np.nan) for _ in range(2))
    for trial in trials:
        if trial.accuracy is not None:
            at = rows[trial.key], columns[trial.seed]
            accuracy[at], seconds[at] = trial.accuracy, trial.seconds
    return Trainings(accuracy=accuracy, seconds=seconds)
