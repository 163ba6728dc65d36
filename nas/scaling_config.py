"""The configuration of a scaling search, or of an experiment on the dimensions of scaling.

A search's configuration serves too: its data, protocol, seed and executor are taken, and its section
``scaling``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainSerializer

from nas.config import SearchConfig, load_config
from nas.config_reading import read_given, validated
from nas.config_sections import (
    ArchitectureSection,
    DataConfig,
    ExecutorConfig,
    ProtocolSection,
    RetryConfig,
    Section,
    check_data,
    optional,
)
from nas.scaling_settings import DimensionSettings, GridSettings
from search_space import InputError
from search_space.yaml_io import dump_yaml
from trainers import ProxyProtocol

_OF_SEARCHES = (
    "space",
    "objective",
    "evaluator",
    "controller",
    "baselines",
    "limits",
    "latency",
    "audit",
    "training_seed",
)


class ScalingConfig(Section):
    """What is trained to learn how a network is to be scaled.

    Attributes:
        name: of the run, under ``runs/``.
        seed: of every network's first training; the others are drawn from it.
        baseline: what is scaled; of a run, where it is kept.
        data, protocol: what an accuracy means.
        scaling: the grid of alpha, beta and gamma.
        dimensions: the experiment on single dimensions.
        search: what is done about trainings that fail.
        executor: where.
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    baseline: ArchitectureSection = None
    data: DataConfig = DataConfig(name="digits")
    protocol: ProtocolSection = ProxyProtocol()
    scaling: Annotated[
        GridSettings | None, optional(GridSettings), PlainSerializer(lambda s: s and asdict(s))
    ] = None
    dimensions: Annotated[
        DimensionSettings | None, optional(DimensionSettings), PlainSerializer(lambda s: s and asdict(s))
    ] = None
    search: RetryConfig = RetryConfig()
    executor: ExecutorConfig = ExecutorConfig()

    @property
    def how(self) -> ProxyProtocol:
        """The protocol, where a file says ``null`` the default."""
        return self.protocol or ProxyProtocol()

    def to_yaml(self) -> str:
        """The configuration with every default written out; `load_scaling_config` reads it back."""
        return dump_yaml(self.model_dump(mode="json"))


def load_scaling_config(
    path: Path | str, overrides: Sequence[str] | None = None, name: str | None = None
) -> ScalingConfig:
    """Read a configuration, of scaling or of a search.

    Args:
        path: a YAML file.
        overrides: ``key=value`` with dotted keys (``scaling.seeds=4``); values are YAML.
        name: of the run; else the file's, to which ``-scaling`` is added where it is a search's.

    Raises:
        InputError: one line with file, line and field; or nothing is trained in that search.
    """
    given = read_given(path, overrides, name)
    if any(key in given.data for key in _OF_SEARCHES):
        config = load_config(path, list(overrides or []))
        return of_search(config, name or f"{config.name}-scaling")
    given.resolve_data()
    return validated(ScalingConfig, given.data, _check, given.document, given.overridden)


def parse_scaling_config(data: dict[str, Any]) -> ScalingConfig:
    """A configuration from plain data; errors as in `load_scaling_config`."""
    return validated(ScalingConfig, data, _check)


def of_search(config: SearchConfig, name: str) -> ScalingConfig:
    """The configuration under which the winner of a search is scaled.

    Raises:
        InputError: nothing is trained in this search.
    """
    if config.protocol is None or config.data is None:
        raise InputError(
            f"{config.name}: its evaluator replays a table, and scaled networks are to be trained"
        )
    return ScalingConfig(
        name=name,
        seed=config.seed_of_trainings,
        data=config.data,
        protocol=config.protocol,
        scaling=config.scaling,
        search=RetryConfig(max_attempts=config.search.max_attempts, max_failures=config.search.max_failures),
        executor=config.executor,
    )


def _check(config: ScalingConfig) -> None:
    check_data(config.data)
