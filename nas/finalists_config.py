"""The configuration of finalists: which networks of a search are trained fully, how, and on what.

A run's own has the section ``chosen`` besides: the networks themselves and what the search knew of them, so
that nothing depends on the search any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator

from controller import Objective
from nas.config_reading import read_given, validated
from nas.config_sections import (
    DataConfig,
    ExecutorConfig,
    RecipeSection,
    RetryConfig,
    Section,
    check_data,
    read_specification,
    specification,
)
from nas.scaling_settings import MOST_SEEDS
from search_space import Architecture, FieldError
from search_space.fields import check_bool, check_choice, check_int
from search_space.yaml_io import dump_yaml

Pick = Literal["front", "top"]
Role = Literal["finalist", "b0", "random"]
MOST_NETWORKS = 100
LEAST_RANDOM = 3  # fewer say nothing of what a random network is worth


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalistsSettings:
    """Which networks are trained, and how often.

    Attributes:
        n: finalists.
        seeds: trainings of each network.
        random: random networks of about the recommended one's MACs; None is as many as finalists, at least 3.
        pick: ``front`` takes them from the Pareto front of accuracy and the search's own cost, ``top`` by
            reward alone.
        keep_weights: the trained weights of every training are kept in the run's folder.
        checkpoints: a training whose worker was killed goes on from its last checkpoint, for which all
            workers must see the run's folder; None does so on one machine, and on a cluster begins again.
    """

    n: int = 5
    seeds: int = 3
    random: int | None = None
    pick: Pick = "front"
    keep_weights: bool = False
    checkpoints: bool | None = None

    def __post_init__(self) -> None:
        check_int("n", self.n, 1, MOST_NETWORKS)
        check_int("seeds", self.seeds, 1, MOST_SEEDS)
        if self.random is not None:
            check_int("random", self.random, LEAST_RANDOM, MOST_NETWORKS)
        check_choice("pick", self.pick, ("front", "top"))
        check_bool("keep_weights", self.keep_weights)
        if self.checkpoints is not None:
            check_bool("checkpoints", self.checkpoints)

    @property
    def randoms(self) -> int:
        """How many random networks are wanted."""
        return max(self.n, LEAST_RANDOM) if self.random is None else self.random


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenNetwork:
    """A network that is trained fully.

    Attributes:
        name: what it is called: ``candidate 17``, ``efficientnet_b0``, ``random 2``.
        role: why it is trained; a finalist may be shaped as B0 is, too.
        architecture: as it is trained: at the recipe's image size.
        recommended: it is the one that the search's controller bets on.
        b0_shaped: it has B0's stages, scaled.
        candidate: its number in the search; None where it was not trained there.
        proxy_accuracy: as the search measured it, 0 to 1; None where it did not.
        cost: the search's own, such as latency, which a reward is made of; None where it is not known.
        note: how it came about, in words.
    """

    name: str
    role: Role
    architecture: Architecture
    recommended: bool = False
    b0_shaped: bool = False
    candidate: int | None = None
    proxy_accuracy: float | None = None
    cost: float | None = None
    note: str = ""

    @property
    def title(self) -> str:
        """Its role in words."""
        words = {"finalist": "finalist", "b0": "B0-shaped", "random": "random"}[self.role]
        if self.recommended:
            words = "recommended"
        return f"{words}, B0-shaped" if self.b0_shaped and self.role != "b0" else words


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFacts:
    """What is kept of the search.

    Attributes:
        name: of its run.
        key: SHA-256 of its space, limits, objective, protocol and evaluator.
        num_classes, in_channels: of its networks.
        candidates: that had finished when the finalists were chosen.
        front: of these on the Pareto front.
        objective: what it maximises.
        data, protocol: its sections; None where a table was replayed.
    """

    name: str
    key: str
    num_classes: int
    in_channels: int
    candidates: int
    front: int
    objective: Objective
    data: DataConfig | None
    protocol: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """All that is trained, and where it comes from.

    Attributes:
        search: the search.
        rule: how the finalists were chosen, in words.
        tolerance: how far the MACs of the random networks may be from the recommended one's, as a share.
        networks: the finalists, the recommended one first; then B0's shape, then the random ones.
        test_part: fingerprint of the images that test accuracies are of; None until some are measured.
    """

    search: SearchFacts
    rule: str
    tolerance: float
    networks: tuple[ChosenNetwork, ...]
    test_part: str | None = None

    @property
    def recommended(self) -> ChosenNetwork:
        """The one that the search's controller bets on."""
        return next(network for network in self.networks if network.recommended)


def read_chosen(given: object) -> Chosen | None:
    """The section ``chosen``; null where nothing has been chosen yet.

    Raises:
        FieldError: it is not what `chosen_data` writes.
    """
    if given is None or isinstance(given, Chosen):
        return given
    if not isinstance(given, dict):
        raise FieldError("", f"must hold keys and values, got {given!r}")
    values = dict(given)
    try:
        values["search"] = _read_search(values.get("search"))
    except FieldError as error:
        raise error.under("search") from None
    listed = values.get("networks")
    if not isinstance(listed, list):
        raise FieldError("networks", f"must be a list, got {listed!r}")
    networks = []
    for number, network in enumerate(listed):
        try:
            networks.append(_read_network(network))
        except FieldError as error:
            raise error.under(f"networks[{number}]") from None
    values["networks"] = tuple(networks)
    chosen: Chosen = read_specification(Chosen, values)
    if chosen.test_part is not None and not isinstance(chosen.test_part, str):
        raise FieldError("test_part", f"must be a fingerprint or null, got {chosen.test_part!r}")
    if [network.recommended for network in chosen.networks].count(True) != 1:
        raise FieldError("networks", "must have one that is recommended")
    if len({network.architecture.key for network in chosen.networks}) < len(chosen.networks):
        raise FieldError("networks", "must be different")
    return chosen


def _read_search(given: object) -> SearchFacts:
    if not isinstance(given, dict):
        raise FieldError("", f"must hold keys and values, got {given!r}")
    data = given.get("data")
    values = {
        **given,
        "objective": read_specification(Objective, given.get("objective")),
        "data": None if data is None else DataConfig.model_validate(data),
    }
    facts: SearchFacts = read_specification(SearchFacts, values)
    for name in ("num_classes", "in_channels", "candidates"):
        check_int(name, getattr(facts, name), 1)
    return facts


def _read_network(given: object) -> ChosenNetwork:
    if not isinstance(given, dict) or not isinstance(given.get("architecture"), dict):
        raise FieldError("architecture", "must be the contents of an architecture file")
    try:
        architecture = Architecture.from_dict(given["architecture"])
    except FieldError as error:
        raise error.under("architecture") from None
    network: ChosenNetwork = read_specification(ChosenNetwork, {**given, "architecture": architecture})
    check_choice("role", network.role, ("finalist", "b0", "random"))
    for name in ("recommended", "b0_shaped"):
        check_bool(name, getattr(network, name))
    for name in ("proxy_accuracy", "cost"):
        value = getattr(network, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise FieldError(name, f"must be a number or null, got {value!r}")
    return network


def chosen_data(chosen: Chosen | None) -> dict[str, Any] | None:
    """What `read_chosen` reads back."""
    if chosen is None:
        return None
    search = chosen.search
    facts = {name: getattr(search, name) for name in SearchFacts.__dataclass_fields__}
    facts["objective"] = asdict(search.objective)
    facts["data"] = None if search.data is None else search.data.model_dump(mode="json")
    facts["protocol"] = None if search.protocol is None else dict(search.protocol)
    networks = []
    for network in chosen.networks:
        values = {name: getattr(network, name) for name in ChosenNetwork.__dataclass_fields__}
        networks.append({**values, "architecture": network.architecture.to_dict()})
    own = {"rule": chosen.rule, "tolerance": chosen.tolerance, "test_part": chosen.test_part}
    return {"search": facts, **own, "networks": networks}


class FinalistsConfig(Section):
    """How the finalists of a search are trained.

    Attributes:
        name: of the run, under ``runs/``.
        seed: of every network's first training; the others are drawn from it, and so are random networks.
        data: what on; None is the search's own.
        recipe: how each is trained (`trainers.recipe`).
        finalists: which, and how often.
        search: what is done about trainings that fail.
        executor: where.
        chosen: the networks, once they are chosen; only the configuration of a run has them.
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataConfig | None = None
    recipe: RecipeSection
    finalists: Annotated[FinalistsSettings, specification(FinalistsSettings), PlainSerializer(asdict)] = (
        FinalistsSettings()
    )
    search: RetryConfig = RetryConfig()
    executor: ExecutorConfig = ExecutorConfig()
    chosen: Annotated[Chosen | None, PlainValidator(read_chosen), PlainSerializer(chosen_data)] = None

    def to_yaml(self) -> str:
        """The configuration with every default written out; `load_finalists_config` reads it back."""
        return dump_yaml(self.model_dump(mode="json"))


def load_finalists_config(
    path: Path | str,
    overrides: Sequence[str] | None = None,
    name: str | None = None,
    search: str | None = None,
    options: Mapping[str, str] | None = None,
) -> FinalistsConfig:
    """Read a configuration.

    Args:
        path: a YAML file.
        overrides: ``key=value`` with dotted keys (``finalists.seeds=4``); values are YAML.
        name: of the run, instead of the file's; a run's own configuration under another name chooses anew.
        search: name of the search: where neither gives the run a name it is ``<search>-finalists``.
        options: what overrides were typed as, by key: ``{"finalists.n": "-n"}``.

    Raises:
        InputError: one line with file, line and field.
    """
    given = read_given(path, overrides, name)
    named = name is not None or "name" in given.document.lines or given.typed("name")
    if search is not None and not named:
        given.data["name"] = f"{search}-finalists"
    folder = Path(path).resolve().parent
    if (folder / "journal.db").is_file() and given.data["name"] != folder.name:
        given.data.pop("chosen", None)  # a run's configuration under another name chooses anew
    given.resolve_data()
    return validated(FinalistsConfig, given.data, _check, given.document, given.overridden, options)


def parse_finalists_config(data: dict[str, Any]) -> FinalistsConfig:
    """A configuration from plain data; errors as in `load_finalists_config`."""
    return validated(FinalistsConfig, data, _check)


def _check(config: FinalistsConfig) -> None:
    check_data(config.data)
    if config.executor.early_stopping is not None:
        raise FieldError(
            "executor.early_stopping", "must be null: finalists are compared after whole trainings"
        )
