"""The configuration of a search: strict, typed, with errors that name file, line and field.

Specifications live beside the code they configure (`trainers.ProxyProtocol`, `controller.Objective`); this
module puts them together, and refuses every key that nobody reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, model_validator

from controller import CONTROLLERS, Objective
from controller.factory import option_names
from nas.audit_config import AuditSettings
from nas.baselines import baselines_data, read_baselines, resolved_baselines
from nas.config_reading import read_given, validated
from nas.config_sections import (
    BudgetConfig,
    ControllerConfig,
    DataConfig,
    ExecutorConfig,
    ProtocolSection,
    Section,
    check_data,
    optional,
    read_specification,
    specification,
    unknown,
)
from nas.latency_config import LatencyConfig, check_latency
from nas.scaling_settings import GridSettings
from search_space import Architecture, Document, FieldError, InputError, Limits, resolve_space
from search_space.errors import suggestion
from search_space.yaml_io import dump_yaml
from trainers import TableSource


def _space(given: object) -> dict[str, Any]:
    """The contents of a space, so that a run does not depend on a file that may change."""
    if not isinstance(given, str | dict):
        raise FieldError("", f"must be a preset's name, a YAML file or a mapping, got {given!r}")
    return resolve_space(given)


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


class SearchConfig(Section):
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
        latency: where the latency of networks comes from, if it is wanted.
        controller: who proposes.
        search: how long.
        executor: where.
        audit: how `nas proxy audit` compares protocols; None is its defaults. No search reads it.
        scaling: the grid of `nas scale ARCH --search`; None is its defaults. No search reads it.
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    training_seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    space: Annotated[dict[str, Any], BeforeValidator(_space)]
    limits: Annotated[Limits, specification(Limits), PlainSerializer(asdict)] = Limits()
    evaluator: Annotated[TableSource | None, PlainValidator(_evaluator), PlainSerializer(_evaluator_data)] = (
        None
    )
    baselines: Annotated[
        tuple[Architecture, ...], PlainValidator(read_baselines), PlainSerializer(baselines_data)
    ] = ()
    data: DataConfig | None = None
    protocol: ProtocolSection = None
    objective: Annotated[Objective, specification(Objective), PlainSerializer(asdict)]
    latency: LatencyConfig | None = None
    controller: ControllerConfig = ControllerConfig()
    search: BudgetConfig = BudgetConfig()
    executor: ExecutorConfig = ExecutorConfig()
    audit: Annotated[
        AuditSettings | None, optional(AuditSettings), PlainSerializer(lambda a: a and asdict(a))
    ] = None
    scaling: Annotated[
        GridSettings | None, optional(GridSettings), PlainSerializer(lambda s: s and asdict(s))
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


def resumable(field: str) -> bool:
    """Whether a run may go on with another value: how much is done and where, not what is measured.

    The processors of a worker are its torch threads, and accuracies are exact for one number of threads.
    """
    # the run knows table and data by their contents, and baselines may come and go
    if field in ("name", "evaluator.path", "data.cache", "baselines"):
        return True
    if field.split(".")[0] in ("audit", "scaling"):  # are not for searches
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
    given = read_given(path, overrides, name)
    data, document = given.data, given.document
    if "space" in data:  # a path on the command line starts there
        data["space"] = _resolved_space(data["space"], document, given.folder("space"))
    if "baselines" in data:
        typed, folder = given.typed("baselines"), given.folder("baselines")
        data["baselines"] = resolved_baselines(data["baselines"], document, folder, typed)
    given.resolve_data()
    given.resolve("evaluator", "path")
    given.resolve("latency", "model")
    return parse_config(data, document, given.overridden)


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
    return validated(SearchConfig, data, _check, document, overridden)


def _check(config: SearchConfig) -> None:
    """What pydantic cannot see."""
    _check_names(config)
    _check_audit(config)
    check_latency(config)


def _check_names(config: SearchConfig) -> None:
    """Names that other packages own."""
    check_data(config.data)
    if config.controller.name not in CONTROLLERS:
        raise FieldError("controller.name", unknown(config.controller.name, list(CONTROLLERS)))
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
