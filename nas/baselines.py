"""Baselines: reference networks that a search trains beside its candidates, under the same protocol.

In a configuration a baseline is the name of a published network or an architecture file. What a run keeps is
the name, or the file's contents. `search_space.adaptation` says how a network fits into the run's space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search_space import (
    REFERENCES,
    Adapted,
    Architecture,
    Document,
    FieldError,
    InputError,
    SearchSpace,
    adapt_to_space,
    load_architecture,
)
from search_space.errors import suggestion
from search_space.loading import is_file
from search_space.reference import reference_name
from trainers import Evaluator, TableEvaluator


def read_baselines(given: object) -> tuple[Architecture, ...]:
    """The section ``baselines``: a list of names, of files, and of files' contents.

    Raises:
        FieldError: what is no network, one that is there twice, or a name that another network has.
    """
    if not isinstance(given, list | tuple):
        raise FieldError("", f"must be a list of networks, got {given!r}")
    networks: list[Architecture] = []
    for number, entry in enumerate(given):
        try:
            network = _read(entry)
            _check(network, networks)
        except FieldError as error:
            raise (
                error.under(f"[{number}]") if error.path else FieldError(f"[{number}]", error.rule)
            ) from None
        networks.append(network)
    return tuple(networks)


def _read(entry: object) -> Architecture:
    if isinstance(entry, Architecture):
        return entry
    if isinstance(entry, Mapping):
        return Architecture.from_dict(entry)
    if not isinstance(entry, str):
        raise FieldError("", f"must be a network's name or an architecture file, got {entry!r}")
    if reference_name(entry) is None and not is_file(entry):
        raise FieldError("", f"is {entry!r}, which is no known network{suggestion(entry, REFERENCES)}")
    return load_architecture(entry)


def _check(network: Architecture, before: Sequence[Architecture]) -> None:
    """A name that ``RUN@NAME`` finds again, and one network."""
    name = network.name
    if name in ("best", "observed") or name.isdecimal() or "@" in name:
        raise FieldError(
            "name", f"must be one that RUN@NAME can stand for, got {name!r}: it has a meaning there"
        )
    published = reference_name(name)
    if published is not None and not _same(network, REFERENCES[published]()):
        raise FieldError("name", f"is {name}, and the network is another; give it a name of its own")
    for number, other in enumerate(before):
        if name == other.name or _same(network, other):
            raise FieldError("", f"is {name}, which is there already as baselines[{number}]")


def _same(one: Architecture, other: Architecture) -> bool:
    """Whether two descriptions are measured as one network."""
    return (one.key, one.dropout, one.drop_path) == (other.key, other.dropout, other.drop_path)


def baselines_data(networks: Sequence[Architecture]) -> list[str | dict[str, Any]]:
    """What `read_baselines` reads back: names of published networks, and the contents of others."""
    published = [REFERENCES[n.name]() if n.name in REFERENCES else None for n in networks]
    return [n.name if n == own else n.to_dict() for n, own in zip(networks, published, strict=True)]


def resolved_baselines(given: Any, document: Document, folder: Path, typed: bool) -> Any:
    """A configuration's list with the contents of files instead of their names.

    Args:
        given: the list.
        document: of the configuration, for the lines of mistakes.
        folder: where files are looked for.
        typed: the list was given by ``--set``.

    Raises:
        InputError: a file cannot be read, or breaks a rule.
    """
    if not isinstance(given, list):
        return given
    return [_resolved(entry, f"baselines[{i}]", document, folder, typed) for i, entry in enumerate(given)]


def _resolved(entry: Any, field: str, document: Document, folder: Path, typed: bool) -> Any:
    if not isinstance(entry, str) or reference_name(entry) is not None or not is_file(entry):
        return entry
    try:
        network = load_architecture(folder / entry)
    except InputError as error:
        line = f":{document.lines[field]}" if field in document.lines else ""
        place = "--set" if typed else f"{document.source}{line}:"
        raise InputError(f"{place} {field}: {error}") from None
    if network.name == "unnamed":
        network = network.renamed(Path(entry).stem)
    return network.to_dict()


def adapted_baselines(
    networks: Sequence[Architecture], space: SearchSpace, evaluator: Evaluator
) -> list[Adapted]:
    """Baselines as they are trained in a search.

    Raises:
        InputError: the evaluator cannot train, or two become one network in the space.
    """
    if networks and isinstance(evaluator, TableEvaluator):
        raise InputError("baselines are trained, and the evaluator is a table, which trains nothing")
    baselines: list[Adapted] = []
    names: dict[tuple[str, float, float], str] = {}
    for network in networks:
        baseline = adapt_to_space(network, space)
        fitted = baseline.architecture
        identity = (fitted.key, fitted.dropout, fitted.drop_path)
        other = names.setdefault(identity, network.name)
        if other != network.name:
            raise InputError(f"baselines: {other} and {network.name} are one network in this space")
        baselines.append(baseline)
    return baselines
