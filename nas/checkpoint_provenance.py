"""What a checkpoint of full training says of its network's weights, for the card of a bundle."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nas.checkpoint_lookup import recipe_words, start_words, training_of
from nas.console import duration
from nas.lookup import Found
from nas.provenance import facts_of_cache, facts_of_name, search_facts
from results import Run
from results.exporting.agreement import sha256_of
from results.exporting.provenance import DataFacts, Provenance
from results.training import TrainingRun
from results.wording import count_of
from search_space import FieldError, InputError
from trainers import read_facts
from trainers.checkpoints import Checkpoint, CheckpointFacts


def provenance_of_checkpoint(found: Found, checkpoint: Checkpoint) -> Provenance:
    """What is known of a network that a full training left.

    Mean, deviation and classes are the checkpoint's own. Counts and preparation are told where the data are
    there still and have the fingerprint of those that were trained on.
    """
    facts = checkpoint.facts
    if facts.imported:
        return _imported(checkpoint)
    run = training_of(checkpoint.path) or found.run
    training = {} if run is None else {"run": run.name}
    training["recipe"] = recipe_words(facts.recipe)
    if facts.start is not None:
        training["start"] = start_words(facts.start)
    training["epoch"] = f"{facts.epoch} of {facts.epochs}"
    if facts.step:
        training["epoch"] += f", and {count_of(facts.step, 'step')} of the next"
    if facts.best_epoch is not None and facts.best_epoch == facts.epoch and not facts.step:
        training["place"] = "the best validation accuracy of the epochs so far"
    training |= {"seed": str(facts.seed), "time": duration(facts.seconds)}
    return Provenance(
        origin=found.origin,
        weights="trained",
        measured_crop=facts.measured_crop,
        accuracy=None if facts.step else facts.accuracy,
        test_accuracy=_test_accuracy(facts),
        data=_data_facts(facts, run),
        protocol=dict(facts.recipe),
        training=training,
        search=_search(found, facts),
    )


def _imported(checkpoint: Checkpoint) -> Provenance:
    """What is known of weights that were trained elsewhere."""
    facts = checkpoint.facts
    return Provenance(
        weights="given",
        weights_file=(checkpoint.path.name, sha256_of(checkpoint.path)),
        weights_origin=facts.origin,
        measured_crop=facts.measured_crop,
        data=DataFacts(
            name=facts.data,
            why_unknown="the weights were trained elsewhere",
            confirmed=True,  # by the file itself
            mean=facts.mean,
            std=facts.std,
            class_names=facts.class_names,
            crop="centre square",
            licence="not known here; that of the source",
        ),
    )


def _search(found: Found, facts: CheckpointFacts) -> dict[str, str]:
    """What is known of the search of the network: in the checkpoint, or in the run that trained it."""
    if facts.origin:
        return {"network": facts.origin}
    if found.run is None or found.trial is None:
        return {}
    return search_facts(found.run, found, found.run.config())


def _test_accuracy(facts: CheckpointFacts) -> float | None:
    """That was measured with these weights after the last epoch; None where it was not."""
    if facts.step or facts.epoch != facts.epochs or not facts.curve:
        return None
    value = facts.curve[-1].get("test_accuracy")
    return float(value) if isinstance(value, int | float) else None


def _data_facts(facts: CheckpointFacts, run: Run | TrainingRun | None) -> DataFacts:
    own = {"fingerprint": facts.data_fingerprint, "mean": facts.mean, "std": facts.std}
    for there in _there(facts, run):
        if there.fingerprint == facts.data_fingerprint:
            return DataFacts(
                name=facts.data,
                confirmed=True,
                class_names=facts.class_names,
                counts=there.counts,
                prepared=there.prepared,
                crop=there.crop,
                licence=there.licence,
                **own,  # type: ignore[arg-type]
            )
    return DataFacts(
        name=facts.data,
        confirmed=True,  # by the file itself
        class_names=facts.class_names,
        licence="not known here; that of the source",
        **own,  # type: ignore[arg-type]
    )


def _there(facts: CheckpointFacts, run: Run | TrainingRun | None) -> list[DataFacts]:
    """Data that may be those of a training: of its name, or where its configuration says."""
    section: object = None
    if run is not None:
        with suppress(InputError):
            section = run.config().get("data")
    found = []
    if isinstance(section, dict) and section.get("cache"):
        path = Path(str(section["cache"]))
        with suppress(InputError, OSError):
            found.append(facts_of_cache(path, read_facts(path).image_size))
    with suppress(InputError, FieldError):
        found.append(facts_of_name(facts.data, facts.image_size))
    return found
