"""The sections that configurations are made of; each checks itself.

Specifications live beside the code they configure (`trainers.ProxyProtocol`, `controller.Objective`);
`specification` and `optional` put them into a model of pydantic.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, model_validator

from search_space import Architecture, FieldError
from search_space.errors import suggestion
from trainers import DATASETS, EarlyStopping, ProxyProtocol, WorkerNeeds
from trainers.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from typing_extensions import Self


def specification(cls: type[Any]) -> PlainValidator:
    """Reads a mapping into a specification dataclass, which checks itself."""
    return PlainValidator(lambda value: read_specification(cls, value))


def read_specification(cls: type[Any], value: object) -> Any:
    """An instance of a dataclass from a mapping.

    Raises:
        FieldError: an unknown or a missing key, or what the class refuses.
    """
    names = list(cls.__dataclass_fields__)
    if isinstance(value, cls):
        return value
    if not isinstance(value, dict):
        raise FieldError("", f"must hold keys and values, got {value!r}")
    for key in value:
        if key not in names:
            raise FieldError(str(key), f"is an unknown key{suggestion(str(key), names)}")
    try:
        return cls(**value)
    except TypeError:
        missing = next(f.name for f in fields(cls) if f.default is MISSING and f.name not in value)
        raise FieldError(missing, "is missing") from None


def optional(cls: type[Any]) -> PlainValidator:
    """The same, or null."""
    return PlainValidator(lambda value: None if value is None else read_specification(cls, value))


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataConfig(Section):
    """What candidates are trained on: one of the two.

    Attributes:
        name: of a data set that comes along; ``digits`` where nothing is said.
        cache: a folder that ``nas data prepare`` made; relative to the configuration's.
    """

    name: str | None = None
    cache: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _one(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if values.get("name") is None and values.get("cache") is None:
            return {**values, "name": "digits"}
        if values.get("name") is not None and values.get("cache") is not None:
            raise FieldError("cache", "is one way and name another to say which data; give one of them")
        return values


class ControllerConfig(Section):
    """Who proposes candidates; its options are those of the controller's class."""

    name: str = "dyna"
    options: dict[str, Any] = Field(default_factory=dict)


class RetryConfig(Section):
    """What is done about trainings that fail.

    Attributes:
        max_attempts: how often a training whose worker died is tried.
        max_failures: trainings in a row that may fail before the run gives up.
    """

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    max_failures: Annotated[int, Field(ge=1)] = 20


class BudgetConfig(RetryConfig):
    """How long a search goes on, and what it keeps.

    Attributes:
        candidates: trainings to spend.
        patience: proposals in a row that bring no new network before the search ends.
        keep_weights: trained weights are kept of this many of the best candidates; where that is not none, of
            the recommended one too.
        figure_every: results between two figures of the front in TensorBoard's log; 0 draws none.
    """

    candidates: Annotated[int, Field(ge=1, le=10_000_000)] = 48
    patience: Annotated[int, Field(ge=1)] = 160
    keep_weights: Annotated[int, Field(ge=0, le=100_000)] = 10
    figure_every: Annotated[int, Field(ge=0)] = 50


class ExecutorConfig(Section):
    """Where candidates run.

    Attributes:
        kind: ``ray`` (Ray Tune trials) or ``inline`` (this process).
        workers: candidates at a time; null fits as many as the machine, or the cluster, holds.
        cpus: processors a worker.
        gpus: GPUs a worker, perhaps a share of one; null takes one where there are any.
        memory: GiB a worker may take; null is no limit.
        resources: amounts a worker of what a cluster's nodes were started with, by name.
        time_limit: seconds a candidate may take; null is no limit.
        node_wait: seconds to wait while no node of a cluster has room for a worker.
        early_stopping: when candidates are stopped before their last epoch; null is never.
    """

    kind: Literal["ray", "inline"] = "ray"
    workers: Annotated[int, Field(ge=1, le=100_000)] | None = None
    cpus: Annotated[int, Field(ge=1, le=1024)] = 1
    gpus: float | None = None
    memory: float | None = None
    resources: dict[Any, Any] = Field(default_factory=dict)
    time_limit: Annotated[float, Field(gt=0)] | None = None
    node_wait: Annotated[float, Field(ge=0)] = 600.0
    early_stopping: Annotated[
        EarlyStopping | None, optional(EarlyStopping), PlainSerializer(lambda e: e and asdict(e))
    ] = None

    @model_validator(mode="after")
    def _worker(self) -> Self:
        WorkerNeeds(cpus=self.cpus, gpus=self.gpus or 0.0, memory=self.memory, resources=self.resources)
        return self


ProtocolSection = Annotated[
    ProxyProtocol | None, optional(ProxyProtocol), PlainSerializer(lambda p: p and asdict(p))
]


def _architecture(given: object) -> Architecture | None:
    """The contents of an architecture file, or nothing yet."""
    if given is None or isinstance(given, Architecture):
        return given
    if not isinstance(given, dict):
        raise FieldError("", f"must be the contents of an architecture file, got {given!r}")
    return Architecture.from_dict(given)


ArchitectureSection = Annotated[
    Architecture | None, PlainValidator(_architecture), PlainSerializer(lambda a: a and a.to_dict())
]

RecipeSection = Annotated[Recipe, PlainValidator(read_recipe), PlainSerializer(asdict)]


def check_data(data: DataConfig | None) -> None:
    """Refuse a data set that nobody knows.

    Raises:
        FieldError: with the nearest.
    """
    if data is not None and data.name is not None and data.name not in DATASETS:
        raise FieldError("data.name", unknown(data.name, list(DATASETS)))


def unknown(wrong: str, known: list[str]) -> str:
    """The rule that a name breaks."""
    return f"must be one of {', '.join(known)}, got {wrong!r}{suggestion(wrong, known)}"
