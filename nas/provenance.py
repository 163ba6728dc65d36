"""What a run knows of a network's weights: the data, the protocol, and the search that found it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nas.checkpoint_lookup import checkpoint_of
from nas.latency_config import LatencyConfig
from nas.lookup import Found
from nas.sized_data import sized_cache
from results import Run, Trial, words_of
from results.exporting.provenance import DataFacts, Provenance
from search_space import FieldError, InputError
from trainers import ProxyProtocol, load_dataset, read_facts
from trainers.decoding import RESIZED
from trainers.recipe import read_recipe
from trainers.timed import timed_fingerprint

_LICENCES = {
    "digits": "UCI's Optical Recognition of Handwritten Digits, by way of scikit-learn; the UCI repository "
    "gives CC BY 4.0"
}
_UNKNOWN_LICENCE = "not known here; that of the source"
_PREPARED = {
    "digits": (
        "8x8 pixels in one grey channel, bright strokes on dark (invert ink on paper); values of 0 to 16 "
        "stretched by 255/16 to 0 to 255; then resized bilinearly (Pillow) and rounded",
        "of 1,797 images 1,200 to train, 300 to validate, 297 to test, classes in proportion",
    )
}


def provenance_of(found: Found) -> Provenance:
    """What is known of a network that a run trained and whose weights it kept.

    Data that are elsewhere now leave what depends on them unknown; of others than the run's it is said.

    Raises:
        InputError: the run's configuration or journal cannot be read.
    """
    if (checkpoint := checkpoint_of(found)) is not None:
        from nas.checkpoint_provenance import provenance_of_checkpoint

        return provenance_of_checkpoint(found, checkpoint)
    run, trial = found.run, found.trial
    if run is None or trial is None:
        return Provenance(origin=found.origin, weights="untrained")
    config = run.config()
    table = isinstance(config.get("evaluator"), dict) and config["evaluator"].get("kind") == "table"
    # an audit compares protocols, and the configuration's need not be this training's
    protocol = None if table or found.kind == "audit" else _protocol(config)
    size = found.architecture.image_size
    trained_at = size if protocol is None else protocol.image_size or size
    data = None if protocol is None else data_facts(trial, config, protocol, trained_at)
    if found.kind == "finalists":
        data = _named_facts(config, size)
        data = data and replace(data, confirmed=_same_recipe(trial, config, data))
    shape = (found.num_classes, found.in_channels)
    if data is not None and data.mean is not None and (len(data.class_names), len(data.mean)) != shape:
        data = DataFacts(
            name=data.name, why_unknown="the data of that name now have other classes or channels"
        )
    return Provenance(
        origin=found.origin,
        weights="trained" if found.weights is not None else "untrained",
        accuracy=trial.accuracy if found.weights is not None else None,
        trainings=1 if protocol is None else protocol.seeds,
        trained_at=None if trained_at == size else trained_at,
        data=data,
        protocol=config.get("protocol") if protocol is not None else None,
        search=search_facts(run, found, config),
    )


def _protocol(config: dict[str, Any]) -> ProxyProtocol | None:
    """How the run trained; None where its configuration does not say."""
    values = config.get("protocol")
    try:
        return ProxyProtocol(**values) if isinstance(values, dict) else None
    except (FieldError, TypeError):  # of another version of this library
        return None


def data_facts(
    trial: Trial, config: dict[str, Any], protocol: ProxyProtocol, image_size: int
) -> DataFacts | None:
    """The data that a run trained on, as they can be asked now.

    Args:
        trial: which has the fingerprint of what measured it.
        config: of its run.
        protocol: of it.
        image_size: that it trained at, pixels.

    Returns:
        None where the configuration names no data.
    """
    facts = _named_facts(config, image_size)
    return facts and replace(facts, confirmed=_same(trial, config, protocol, facts))


def _named_facts(config: dict[str, Any], image_size: int) -> DataFacts | None:
    """The data that a configuration names, as they are now; None where it names none."""
    section = config.get("data")
    if not isinstance(section, dict) or not (section.get("name") or section.get("cache")):
        return None
    name = str(section.get("name") or Path(str(section["cache"])).name)
    try:
        cache = section.get("cache")
        return facts_of_cache(Path(str(cache)), image_size) if cache else facts_of_name(name, image_size)
    except InputError as error:
        return DataFacts(name=name, why_unknown=f"the data are not there now: {error}")


def _same_recipe(trial: Trial, config: dict[str, Any], facts: DataFacts) -> bool:
    """Whether a full training was made on these data, by its hash of recipe and data."""
    if facts.fingerprint is None:
        return False
    try:
        recipe = read_recipe(config.get("recipe"))
    except FieldError:  # of another version of this library
        return False
    return trial.protocol.partition(" ")[0] == recipe.hash(facts.fingerprint)


def facts_of_name(name: str, image_size: int) -> DataFacts:
    """Of data that are known by name, at a size.

    Raises:
        InputError: no such data set.
    """
    data = load_dataset(name, image_size)
    return DataFacts(
        name=data.name,
        fingerprint=data.fingerprint,
        mean=data.mean,
        std=data.std,
        class_names=data.class_names,
        counts={"train": len(data.train), "validation": len(data.validation)},
        prepared=_PREPARED.get(name, ()),
        licence=_LICENCES.get(name, _UNKNOWN_LICENCE),
    )


def facts_of_cache(path: Path, image_size: int) -> DataFacts:
    """Of prepared data, at a size.

    Raises:
        InputError: they cannot be read, or are not there at that size.
    """
    facts = read_facts(path)
    facts = read_facts(sized_cache(path, facts, image_size))
    parts = (f"{part}: {words}" for part, words in facts.held_out.items() if part in facts.counts)
    chosen = [f"classes: {facts.number_of_classes} of the source"] if facts.left_out else []
    return DataFacts(
        name=facts.name,
        fingerprint=facts.fingerprint,
        mean=facts.mean,
        std=facts.std,
        class_names=facts.class_names,
        counts={part: number for part, number in facts.counts.items() if number},
        prepared=(facts.resized, *parts, *chosen),
        crop="centre square" if facts.resized == RESIZED else None,
        licence=_UNKNOWN_LICENCE,
    )


def _same(trial: Trial, config: dict[str, Any], protocol: ProxyProtocol, facts: DataFacts) -> bool:
    """Whether a trial was measured on these data, by its hash of protocol, data and measured latency.

    A protocol is hashed without what changes no accuracy (see `nas.launch.create_evaluator`), so that there
    are few forms of one.
    """
    if facts.fingerprint is None:
        return False
    forms = [protocol, replace(protocol, image_size=None), replace(protocol, subset=None)]
    forms.append(replace(protocol, image_size=None, subset=None))
    hashes = {form.hash(facts.fingerprint) for form in forms}
    try:
        latency = LatencyConfig.model_validate(config["latency"]) if config.get("latency") else None
    except ValueError:  # of another version of this library
        return False
    if latency is not None and latency.measured is not None:
        how = (latency.measured, latency.device_name or "", latency.reference_ms)
        hashes = {timed_fingerprint(inner, *how) for inner in hashes}
    return trial.protocol.partition(" ")[0] in hashes  # words follow, see `nas.search.measured_by`


def search_facts(run: Run, found: Found, config: dict[str, Any]) -> dict[str, str]:
    """Facts on the run and on the network's place in it, by what they are called."""
    trial = found.trial
    assert trial is not None
    with run.journal() as journal:
        counts, sessions, bet = journal.counts(), journal.sessions(), journal.recommended()
    facts = {"run": run.name, "kind": {"scaling": "run of scaling"}.get(found.kind, found.kind)}
    facts["network"] = (
        trial.title if found.kind == "search" else f"trial {trial.id}, {words_of(trial.choices)}"
    )
    if found.kind == "search":
        best = run.best().id == trial.id if trial.status == "done" else False
        places = [
            word for word, holds in (("recommended", found.recommended), ("best observed", best)) if holds
        ]
        facts["place"] = ", ".join(places) or "neither recommended nor the best observed"
        if bet is not None and bet.id != trial.id:
            facts["recommended instead"] = bet.title
    facts["candidates"] = ", ".join(f"{number:,} {status}" for status, number in counts.items() if number)
    facts |= _settings(config)
    if trial.reward is not None:
        facts["reward"] = f"{trial.reward:.4f}"
    facts["seed of the training"] = str(trial.seed)
    dates = [session.started_at for session in sessions] + [s.ended_at for s in sessions if s.ended_at]
    if dates:
        first, last = (datetime.fromtimestamp(at, timezone.utc).date() for at in (min(dates), max(dates)))
        facts["date"] = f"{first}" if first == last else f"{first} to {last}"
        if "torch" in sessions[-1].environment:
            facts["torch then"] = str(sessions[-1].environment["torch"])
    return facts


def _settings(config: dict[str, Any]) -> dict[str, str]:
    """Controller, objective and seed, where the configuration has them."""
    facts: dict[str, str] = {}
    controller, objective = config.get("controller"), config.get("objective")
    if isinstance(controller, dict) and controller.get("name"):
        facts["controller"] = str(controller["name"])
    if isinstance(objective, dict):
        facts["objective"] = ", ".join(
            f"{name} {value}" for name, value in objective.items() if value is not None
        )
    if "seed" in config:
        facts["seed of the search"] = str(config["seed"])
    return facts
