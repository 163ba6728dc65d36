"""The configuration of a search: strict, typed, with errors that name file, line and field.

Specifications live beside the code they configure (`trainers.ProxyProtocol`, `controller.Objective`); this
module puts them together, and refuses every key that nobody reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from controller import CONTROLLERS, Objective
from controller.factory import option_names
from nas.audit_config import AuditSettings
from nas.baselines import baselines_data, read_baselines, resolved_baselines
from search_space import Architecture, Document, FieldError, InputError, Limits, read_yaml, resolve_space
from search_space.errors import suggestion
from search_space.yaml_io import dump_yaml, parse_override, put
from trainers import DATASETS, EarlyStopping, ProxyProtocol, TableSource, WorkerNeeds

if TYPE_CHECKING:
    from typing_extensions import Self


def _specification(cls: type[Any]) -> PlainValidator:
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


def _optional(cls: type[Any]) -> PlainValidator:
    """The same, or null."""
    return PlainValidator(lambda value: None if value is None else read_specification(cls, value))


def _space(given: object) -> dict[str, Any]:
    """The contents of a space, so that a run does not depend on a file that may change."""
    if not isinstance(given, str | dict):
        raise FieldError("", f"must be a preset's name, a YAML file or a mapping, got {given!r}")
    return resolve_space(given)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataConfig(_Section):
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


def _evaluator(given: object) -> TableSource | None:
    """A section ``evaluator``: a table to replay, or None for proxy training."""
    if given is None or isinstance(given, TableSource):
        return given
    if not isinstance(given, dict):
        raise FieldError("", f"must hold keys and values, got {given!r}")
    values = dict(given)
    kind = values.pop("kind", None)
    if kind == "table":
        return read_specification(TableSource, values)
    if kind != "proxy":
        near = suggestion(str(kind), ["proxy", "table"])
        rule = "is missing: proxy or table" if kind is None else f"must be proxy or table, got {kind!r}{near}"
        raise FieldError("kind", rule)
    for key in values:
        raise FieldError(str(key), "is an unknown key; what proxy training does is said by data and protocol")
    return None


def _evaluator_data(source: TableSource | None) -> dict[str, Any]:
    return {"kind": "proxy"} if source is None else {"kind": "table", **asdict(source)}


class ControllerConfig(_Section):
    """Who proposes candidates; its options are those of the controller's class."""

    name: str = "dyna"
    options: dict[str, Any] = Field(default_factory=dict)


class BudgetConfig(_Section):
    """How long a search goes on, and what it keeps.

    Attributes:
        candidates: trainings to spend.
        patience: proposals in a row that bring no new network before the search ends.
        max_attempts: how often a candidate whose worker died is tried.
        max_failures: candidates in a row that may fail before the search gives up.
        keep_weights: trained weights are kept of this many of the best candidates; where that is not none, of
            the recommended one too.
        figure_every: results between two figures of the front in TensorBoard's log; 0 draws none.
    """

    candidates: Annotated[int, Field(ge=1, le=10_000_000)] = 48
    patience: Annotated[int, Field(ge=1)] = 160
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    max_failures: Annotated[int, Field(ge=1)] = 20
    keep_weights: Annotated[int, Field(ge=0, le=100_000)] = 10
    figure_every: Annotated[int, Field(ge=0)] = 50


class ExecutorConfig(_Section):
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
        EarlyStopping | None, _optional(EarlyStopping), PlainSerializer(lambda e: e and asdict(e))
    ] = None

    @model_validator(mode="after")
    def _worker(self) -> Self:
        WorkerNeeds(cpus=self.cpus, gpus=self.gpus or 0.0, memory=self.memory, resources=self.resources)
        return self


class SearchConfig(_Section):
    """A whole search.

    Attributes:
        name: of the run, under ``runs/``.
        seed: of the controller, and of every training.
        training_seed: of every training, instead: searches whose controllers have other seeds can then take
            over one another's measurements.
        space: its contents, all filled in; a configuration may give a preset's name, a YAML file (relative
            to the configuration's), or a mapping that extends either.
        limits: what no candidate may exceed.
        evaluator: ``{kind: proxy}`` trains every candidate; ``{kind: table, …}`` replays published results
            (`trainers.TableSource`).
        baselines: reference networks that are trained under the same protocol, for comparison; a
            configuration gives names of published ones, and architecture files (relative to its own).
        data, protocol: what the accuracy of proxy training means; None where a table is replayed.
        objective: what is maximised.
        controller: who proposes.
        search: how long.
        executor: where.
        audit: how `nas proxy audit` compares protocols; None is its defaults. No search reads it.
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    training_seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    space: Annotated[dict[str, Any], BeforeValidator(_space)]
    limits: Annotated[Limits, _specification(Limits), PlainSerializer(asdict)] = Limits()
    evaluator: Annotated[TableSource | None, PlainValidator(_evaluator), PlainSerializer(_evaluator_data)] = (
        None
    )
    baselines: Annotated[
        tuple[Architecture, ...], PlainValidator(read_baselines), PlainSerializer(baselines_data)
    ] = ()
    data: DataConfig | None = None
    protocol: Annotated[
        ProxyProtocol | None, _optional(ProxyProtocol), PlainSerializer(lambda p: p and asdict(p))
    ] = None
    objective: Annotated[Objective, _specification(Objective), PlainSerializer(asdict)]
    controller: ControllerConfig = ControllerConfig()
    search: BudgetConfig = BudgetConfig()
    executor: ExecutorConfig = ExecutorConfig()
    audit: Annotated[
        AuditSettings | None, _optional(AuditSettings), PlainSerializer(lambda a: a and asdict(a))
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _one_evaluator(cls, values: Any) -> Any:
        """Data and protocol belong to proxy training, and are filled in there."""
        if not isinstance(values, dict):
            return values
        evaluator = values.get("evaluator")
        table = isinstance(evaluator, TableSource) or (
            isinstance(evaluator, dict) and evaluator.get("kind") == "table"
        )
        for key in ("data", "protocol"):
            if table and values.get(key) is not None:
                raise FieldError(key, "is for proxy training, and the evaluator is a table")
            if not table and values.get(key) is None:
                values = {**values, key: {}}
        if table and values.get("baselines"):
            raise FieldError("baselines", "are trained, and the evaluator is a table, which trains nothing")
        return values

    @property
    def seed_of_trainings(self) -> int:
        """The one that is said, or the controller's."""
        return self.seed if self.training_seed is None else self.training_seed

    def to_yaml(self) -> str:
        """The configuration with every default written out; `load_config` reads it back to an equal one."""
        return dump_yaml(self.model_dump(mode="json"))

    def differences(self, other: SearchConfig) -> list[str]:
        """The fields that two configurations do not share, as dotted paths."""
        return _differences("", self.model_dump(mode="json"), other.model_dump(mode="json"))


def resumable(field: str) -> bool:
    """Whether a run may go on with another value: how much is done and where, not what is measured.

    The processors of a worker are its torch threads, and accuracies are exact for one number of threads.
    """
    # the run knows table and data by their contents, and baselines may come and go
    if field in ("name", "evaluator.path", "data.cache", "baselines"):
        return True
    if field.split(".")[0] == "audit":  # is not for searches
        return True
    return field.startswith(("search.", "executor.")) and field != "executor.cpus"


def load_config(
    path: Path | str, overrides: list[str] | None = None, name: str | None = None
) -> SearchConfig:
    """Read a configuration file.

    Args:
        path: a YAML file. Without a ``name`` the file's stem is the run's name; that of a run folder is the
            folder's.
        name: of the run, instead of the file's.
        overrides: ``key=value`` with dotted keys (``search.candidates=8``); values are YAML.

    Raises:
        InputError: one line with file, line and field.
    """
    document = read_yaml(path)
    data = document.data
    if not isinstance(data, dict):
        raise InputError(f"{path}: must hold keys and values")
    overridden = [_override(data, override) for override in overrides or []]
    for key in [k for k in document.lines if any(_within(k, o) for o in overridden)]:
        del document.lines[key]  # the file's line does not hold what is now there
    if (Path(path).parent / "journal.db").is_file():
        data["name"] = Path(path).resolve().parent.name  # the run it lies in, also if that was copied
    data.setdefault("name", Path(path).stem)
    if name is not None:
        data["name"] = name
    if "space" in data:
        typed = any(key == "space" for key in overridden)  # a path on the command line starts there
        folder = Path() if typed else Path(path).parent
        data["space"] = _resolved_space(data["space"], document, folder)
    if "baselines" in data:
        typed = any(key == "baselines" for key in overridden)
        folder = Path() if typed else Path(path).parent
        data["baselines"] = resolved_baselines(data["baselines"], document, folder, typed)
    if isinstance(data.get("data"), dict) and {"data.name", "data.cache"} & set(overridden) == {"data.cache"}:
        data["data"].pop("name", None)  # what is typed replaces the file's way to say which data
    for section, key in (("evaluator", "path"), ("data", "cache")):
        values = data.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str):
            typed = any(o in (section, f"{section}.{key}") for o in overridden)
            folder = Path() if typed else Path(path).parent
            values[key] = str((folder / values[key]).resolve())
    return parse_config(data, document, overridden)


def _resolved_space(given: Any, document: Document, folder: Path) -> Any:
    """The contents of a configuration's space; mistakes in it have the configuration's lines."""
    if isinstance(given, dict):
        lines = {key[6:]: line for key, line in document.lines.items() if key.startswith("space.")}
        return resolve_space(Document(given, lines, document.source), folder)
    if not isinstance(given, str):
        return given
    try:
        return resolve_space(given, folder)
    except InputError as error:
        line = f":{document.lines['space']}" if "space" in document.lines else ""
        raise InputError(f"{document.source}{line}: space: {error}") from None


def parse_config(
    data: dict[str, Any], document: Document | None = None, overridden: Sequence[str] = ()
) -> SearchConfig:
    """A configuration from plain data; errors as in `load_config`."""
    document = document or Document(data, {}, "configuration")
    try:
        config = SearchConfig.model_validate(data)
        _check_names(config)
        _check_audit(config)
    except FieldError as error:
        wrong = error
    except ValidationError as error:
        wrong = _field_error(error.errors()[0])
    else:
        return config
    if wrong.path not in document.lines and any(
        _within(key, wrong.path) or _within(wrong.path, key) for key in overridden
    ):
        raise InputError(f"--set {wrong}")
    raise document.error(wrong)


def _check_names(config: SearchConfig) -> None:
    """Names that other packages own."""
    if config.data is not None and config.data.name is not None and config.data.name not in DATASETS:
        raise FieldError("data.name", _unknown(config.data.name, list(DATASETS)))
    if config.controller.name not in CONTROLLERS:
        raise FieldError("controller.name", _unknown(config.controller.name, list(CONTROLLERS)))
    known = option_names(config.controller.name)
    for option in config.controller.options:
        if option not in known:
            raise FieldError(f"controller.options.{option}", f"is an unknown key{suggestion(option, known)}")


def _check_audit(config: SearchConfig) -> None:
    """Protocols to compare, which are overrides of the search's own."""
    if config.audit is None:
        return
    if config.protocol is None:
        raise FieldError("audit", "is for proxy training, and the evaluator is a table")
    config.audit.variants(config.protocol)


def _unknown(wrong: str, known: list[str]) -> str:
    return f"must be one of {', '.join(known)}, got {wrong!r}{suggestion(wrong, known)}"


def _within(path: str, key: str) -> bool:
    """Whether a field is another one or stands in it."""
    return path == key or path.startswith((f"{key}.", f"{key}["))


def _override(data: dict[str, Any], override: str) -> str:
    """Put one ``key=value`` in its place; the key."""
    key, value = parse_override(override, "search.candidates=8")
    put(data, key, value)
    return key


def _field_error(details: ErrorDetails) -> FieldError:
    """Pydantic's first error in our words."""
    inner = details.get("ctx", {}).get("error")
    if isinstance(inner, InputError):
        raise inner
    path = _dotted(details["loc"])
    if isinstance(inner, FieldError):
        return inner.under(path) if path and inner.path else FieldError(path or inner.path, inner.rule)
    if details["type"] == "extra_forbidden":
        known = _fields_at(details["loc"][:-1])
        return FieldError(path, f"is an unknown key{suggestion(str(details['loc'][-1]), known)}")
    if details["type"] == "missing":
        return FieldError(path, "is missing")
    message = details["msg"].replace("Input should be", "must be").replace("valid integer", "whole number")
    return FieldError(path, f"{message}, got {details['input']!r}")


def _dotted(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    model: Any = SearchConfig
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        options = (field.annotation, *get_args(field.annotation))  # of a section that may be null too
        model = next((option for option in options if hasattr(option, "model_fields")), None)
    return list(getattr(model, "model_fields", {}))


def _differences(path: str, one: Any, other: Any) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        return [
            d
            for key in keys
            for d in _differences(f"{path}.{key}" if path else key, one.get(key), other.get(key))
        ]
    return [] if one == other else [path]
