"""Latency predicted from a description: a sum over operators, fitted to measured networks.

latency = intercept + sum over kinds of operators of rate x amount, with rates that are not negative: so much
for every operator of the kind, for its multiply-adds, for the values that it reads and writes, for its
weights (`search_space.operators`). A sum over layers is known stage by stage, as MACs are: the latency of
every point of a stage-factorised space is a look-up a stage (`search_space.tables`), so that strict limits
on latency cost nothing. nn-Meter (MobiSys 2021) and ProxylessNAS (arXiv 1812.00332) predict by sums too.

A model holds for one device, backend, batch, number of threads and image size. It refuses operators of
which it has seen none. What it cannot tell apart from a constant, such as the one stem that all networks of
a space share, is in the intercept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search_space.architecture import Architecture
from search_space.errors import FieldError, InputError
from search_space.fields import as_floats, check_float, check_int, check_mapping
from search_space.operators import (
    MEASURES,
    Operator,
    head_operators,
    stage_operators,
    stem_operators,
    stem_side,
)
from search_space.stage import Head, Stage, Stem
from search_space.yaml_io import read_yaml

FORMAT = 1
_TEXTS = ("device", "device_name", "backend", "space", "reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyQuality:
    """How well a model predicts networks that it was not fitted to.

    Attributes:
        fitted, held_out: numbers of networks.
        spearman: rank correlation of predicted and measured on the held-out networks, with the ends of its
            95 % bootstrap interval in `spearman_low` and `spearman_high`.
        kendall: the same by Kendall's tau-b.
        mape: mean of |predicted / measured - 1|; 0.03 is 3 %.
        macs_spearman, params_spearman: of MACs alone and of parameters alone, on the same networks.
        retest_spearman, retest_mape: of a second measurement against the first, of networks measured twice:
            what no predictor can exceed by much; None where none were.
    """

    fitted: int
    held_out: int
    spearman: float
    spearman_low: float
    spearman_high: float
    kendall: float
    mape: float
    macs_spearman: float
    params_spearman: float
    retest_spearman: float | None = None
    retest_mape: float | None = None

    def __post_init__(self) -> None:
        check_int("fitted", self.fitted, 1)
        check_int("held_out", self.held_out, 1)
        for name in ("mape", "retest_mape"):
            if (value := getattr(self, name)) is not None:
                check_float(name, value, 0.0)
        for item in fields(self):
            correlation = "spearman" in item.name or item.name == "kendall"
            if correlation and (value := getattr(self, item.name)) is not None:
                check_float(item.name, value, -1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyModel:
    """An additive model of latency. Treat its mappings as read-only.

    Attributes:
        intercept: ms that every network takes.
        coefficients: ms for one unit of a feature (``conv3.macs``: for one multiply-add of a 3x3
            convolution), at least 0. A kind of operator that has none of its features here is unknown.
        image_size, stem, head: of the networks fitted, all of which share them.
        num_classes, in_channels: likewise.
        device, device_name: ``cpu`` or ``cuda``, and the name of what was measured.
        backend, batch, threads: how it was measured; a latency is that of a whole batch.
        versions: of the software, by package.
        space: the name of the space whose networks were measured.
        reference, reference_ms: the network that was measured in between, and its latency.
        quality: on held-out networks; None where it was not tested.
    """

    intercept: float
    coefficients: Mapping[str, float]
    image_size: int
    stem: Stem
    head: Head
    num_classes: int = 1000
    in_channels: int = 3
    device: str = "cpu"
    device_name: str = ""
    backend: str = "eager"
    batch: int = 1
    threads: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    space: str = ""
    reference: str = ""
    reference_ms: float = 0.0
    quality: LatencyQuality | None = None

    def __post_init__(self) -> None:
        check_float("intercept", self.intercept, 0.0)
        check_float("reference_ms", self.reference_ms, 0.0)
        as_floats(self, "intercept", "reference_ms")
        known = [f"{kind}.{measure}" for kind, measures in MEASURES.items() for measure in measures]
        given = check_mapping("coefficients", self.coefficients, known)
        for name, value in given.items():
            check_float(f"coefficients.{name}", value, 0.0)
        ordered = {name: float(given[name]) for name in known if name in given}
        object.__setattr__(self, "coefficients", ordered)
        if not (self.intercept or any(ordered.values())):
            raise FieldError("coefficients", "and intercept are all 0: every network would take no time")
        for name in ("image_size", "num_classes", "in_channels", "batch", "threads"):
            check_int(name, getattr(self, name), 1)
        for name in _TEXTS:
            _check_text(name, getattr(self, name))
        if not isinstance(self.versions, Mapping):
            raise FieldError("versions", f"must hold keys and values, got {self.versions!r}")
        for name, version in self.versions.items():
            _check_text(f"versions.{name}", version)
        object.__setattr__(self, "versions", dict(self.versions))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what predicts: rates, and what networks must share. How it was tested does not count."""
        identity = [FORMAT, self.intercept, dict(self.coefficients), self.image_size]
        identity += [asdict(self.stem), asdict(self.head)]
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    # --- prediction ------------------------------------------------------------------------------------

    def predict(self, architecture: Architecture, num_classes: int = 1000, in_channels: int = 3) -> float:
        """Latency of a network in ms, for a whole batch.

        Args:
            architecture: of the model's image size.
            num_classes: outputs of the classifier.
            in_channels: channels of the image. Where the stem is the only full convolution of the space, its
                cost is in the intercept, and other channels change nothing.

        Raises:
            FieldError: another image size, or an operator that none of the fitted networks had.
        """
        total = self.intercept + self.stem_ms(architecture, in_channels)
        side, channels = stem_side(architecture), architecture.stem.channels
        for number, stage in enumerate(architecture.stages):
            total += self.stage_ms(stage, channels, side, architecture.activation, f"stages[{number}]")
            side, channels = -(-side // stage.stride), stage.channels
        return total + self.head_ms(architecture, side, num_classes)

    def predict_many(
        self, architectures: Iterable[Architecture], num_classes: int = 1000, in_channels: int = 3
    ) -> npt.NDArray[np.float64]:
        """`predict` of each: (N,) ms."""
        found = [self.predict(architecture, num_classes, in_channels) for architecture in architectures]
        return np.array(found, dtype=np.float64)

    def stem_ms(self, architecture: Architecture, in_channels: int) -> float:
        """The stem's part; see `predict`."""
        stem, size = architecture.stem, architecture.image_size
        if size != self.image_size:
            raise FieldError(
                "image_size", f"must be {self.image_size}, which the latency model was fitted at, got {size}"
            )
        found = stem_operators(stem, in_channels, size, architecture.activation)
        if stem != self.stem:  # another stem must be known by its operators; the fitted one may be constant
            self._check_known(found, "stem")
        return self._sum(found)

    def stage_ms(self, stage: Stage, in_channels: int, side: int, activation: str, path: str) -> float:
        """A stage's part, after a width and at a side; `path` is its name in errors."""
        found = stage_operators(stage, in_channels, side, activation)
        self._check_known(found, path)
        return self._sum(found)

    def head_ms(self, architecture: Architecture, side: int, num_classes: int) -> float:
        """The part of head and classifier; what of it never varied is in the intercept."""
        found = head_operators(architecture, side, num_classes)
        if architecture.head != self.head:
            self._check_known([operator for operator in found if operator.kind != "mean"], "head")
        return self._sum(found)

    def knows(self, kind: str) -> bool:
        """Whether networks that were fitted differed in operators of this kind."""
        return any(f"{kind}.{measure}" in self.coefficients for measure in MEASURES[kind])

    def _check_known(self, found: Iterable[Operator], path: str) -> None:
        for operator in found:
            if not self.knows(operator.kind):
                known = ", ".join(dict.fromkeys(name.partition(".")[0] for name in self.coefficients))
                raise FieldError(
                    path,
                    f"has {operator.kind}, of which the latency model has seen none; it knows {known}",
                )

    def _sum(self, found: Iterable[Operator]) -> float:
        total = 0.0
        for operator in found:
            for measure in MEASURES[operator.kind]:
                rate = self.coefficients.get(f"{operator.kind}.{measure}")
                if rate:
                    total += rate * getattr(operator, measure)
        return total

    # --- files -----------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back to an equal model."""
        return {
            "format": FORMAT,
            **{item.name: getattr(self, item.name) for item in fields(self)},
            "coefficients": dict(self.coefficients),
            "versions": dict(self.versions),
            "stem": asdict(self.stem),
            "head": asdict(self.head),
            "quality": None if self.quality is None else asdict(self.quality),
        }

    @classmethod
    def from_dict(cls, data: object) -> LatencyModel:
        """Read what `to_dict` wrote.

        Raises:
            FieldError: an unknown key, a missing one, a value out of range, or a newer format.
        """
        known = [item.name for item in fields(cls)]
        needed = ["format", "intercept", "coefficients", "image_size", "stem", "head"]
        values = dict(check_mapping("", data, ["format", *known], needed))
        file_format = values.pop("format")
        if type(file_format) is not int or file_format != FORMAT:
            raise FieldError("format", f"must be {FORMAT}, got {file_format!r}: a file of another version")
        values["stem"] = _read(Stem, "stem", values["stem"], ["channels"])
        values["head"] = _read(Head, "head", values["head"], ["channels"])
        if values.get("quality") is not None:
            required = [name for name in _names(LatencyQuality) if not name.startswith("retest_")]
            values["quality"] = _read(LatencyQuality, "quality", values["quality"], required)
        return cls(**values)


def load_latency_model(path: Path | str) -> LatencyModel:
    """A model from the JSON file that ``nas latency fit`` wrote.

    Raises:
        InputError: one line with file, line and field: no such file, no JSON, or a rule is broken.
    """
    if Path(path).suffix == ".jsonl":
        raise InputError(f"{path}: holds measurements; the model that nas latency fit wrote ends in .json")
    document = read_yaml(path)  # JSON is YAML
    try:
        return LatencyModel.from_dict(document.data)
    except FieldError as error:
        raise document.error(error) from None


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise FieldError(name, f"must be text, got {value!r}")


def _names(cls: type[Any]) -> list[str]:
    return [item.name for item in fields(cls)]


def _read(cls: type[Any], path: str, data: object, required: list[str]) -> Any:
    values = check_mapping(path, data, _names(cls), required)
    try:
        return cls(**values)
    except FieldError as error:
        raise error.under(path) from None
