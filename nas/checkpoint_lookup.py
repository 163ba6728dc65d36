"""Trained networks by their files: a ``.safetensors`` file, or ``NAME@best``, ``NAME@last`` and ``NAME@12``
of a training."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.lookup import IMAGENET, Found, find_architecture
from results.training import CHECKPOINTS, TrainingRun, find_training
from results.wording import count_of
from search_space import InputError
from trainers.pretrained_sources import SAVED_BY_TORCH

if TYPE_CHECKING:
    from trainers.checkpoints import Checkpoint

NOT_KNOWN = "not known here"  # what imported weights learnt
_NAMED = 6  # checkpoints that an error lists
_DESCRIPTIONS = (".yaml", ".yml", ".json")


def training_of(path: Path) -> TrainingRun | None:
    """The training that a checkpoint lies in the folder of, if it lies in one."""
    path = path.absolute()
    return find_training(path.parent.parent if path.parent.name == CHECKPOINTS else path.parent)


def found_in_training(training: TrainingRun, name: str, reference: str) -> Found:
    """A network of a training.

    Args:
        training: which.
        name: of it, as the user gave it.
        reference: ``best``, ``last``, or the number of an epoch.

    Raises:
        InputError: another reference, or there is no such checkpoint, with those that are nearest.
    """
    from trainers.checkpoints import BEST, checkpoints_in

    latest = checkpoints_in(training.checkpoints)
    if not latest and training.model_path.is_file():
        latest = [training.model_path]
    if reference == "best":
        path = training.checkpoints / BEST
        if not path.is_file():
            raise InputError(f"{name} has no best checkpoint yet: no epoch has been measured")
    elif reference == "last":
        if not latest:
            raise InputError(f"{name} has no checkpoint yet")
        path = latest[0]
    elif re.fullmatch("[0-9]{1,9}", reference):
        path = _of_epoch(training, name, int(reference), latest)
    else:
        raise InputError(f"{name}@{reference}: after @ comes best, last, or the number of an epoch")
    return found_in_file(path)


def _of_epoch(training: TrainingRun, name: str, epoch: int, latest: list[Path]) -> Path:
    """The checkpoint that was written after so many epochs.

    Raises:
        InputError: it was not kept.
    """
    from trainers.checkpoints import BEST, read_checkpoint

    kept: dict[int, Path] = {}
    for path in [*latest, training.model_path, training.checkpoints / BEST]:
        if path.is_file():
            facts = read_checkpoint(path).facts
            if not facts.step:
                kept.setdefault(facts.epoch, path)
    if epoch in kept:
        return kept[epoch]
    nearest = sorted(sorted(kept, key=lambda other: (abs(other - epoch), other))[:_NAMED])
    there = f"those nearest are {name}@{f', {name}@'.join(map(str, nearest))}" if kept else "there is none"
    if len(kept) == 1:
        there = f"there is {name}@{nearest[0]}"
    raise InputError(f"{name} has kept no checkpoint of epoch {epoch}; {there}")


def import_hint(path: Path | str) -> str:
    """What to do with weights that are not of this program."""
    file, made = shlex.quote(str(path)), shlex.quote(f"{Path(path).stem}-imported.safetensors")
    return f"those of timm, torchvision or EfficientNet-PyTorch: nas import {file} -o {made}"


def may_be_checkpoint(text: str | Path) -> bool:
    """Whether a text can only be meant as a checkpoint: ``x.safetensors``, or ``NAME@last`` and no file."""
    path = Path(text)
    return path.suffix == ".safetensors" or ("@" in path.name and not path.exists())


def found_in_file(path: Path) -> Found:
    """The network whose weights a file holds: of a training, of a search, or exported.

    Raises:
        InputError: no such file, no safetensors, no architecture in it, or one that its tensors are not of.
    """
    from nas.weights import describes, named_architecture, tensor_shapes
    from trainers.checkpoints import is_checkpoint, read_checkpoint

    checkpoint = read_checkpoint(path) if is_checkpoint(path) else None
    network = checkpoint.architecture if checkpoint is not None else named_architecture(path)
    if network is None:
        raise InputError(f"{path}: does not say of which architecture its weights are; {import_hint(path)}")
    shapes = tensor_shapes(path)
    if not describes(network, shapes):
        raise InputError(f"{path}: its tensors are not of the architecture that it names, {network.name}")
    top, channels = shapes.get("classifier.weight"), shapes["stem.0.weight"][1]
    classes = top[0] if top else None
    found = Found(
        architecture=network,
        file=path,
        num_classes=classes or IMAGENET[0],
        in_channels=channels,
        sized=classes is not None,
    )
    if checkpoint is None:
        return found
    facts = checkpoint.facts
    if (classes, channels) != (facts.num_classes, facts.in_channels):
        raise InputError(
            f"{path}: says {count_of(facts.num_classes, 'class', 'classes')} and "
            f"{count_of(facts.in_channels, 'channel')}, and its tensors are of others"
        )
    training = training_of(path)
    return replace(found, checkpoint=checkpoint, training="" if training is None else training.name)


def checkpoint_of(found: Found) -> Checkpoint | None:
    """What the weights of a network say of a full training, if they are of one and can be read.

    A run that trains fully, such as one of finalists, keeps them under the number of the trial.
    """
    from trainers.checkpoints import is_checkpoint, read_checkpoint

    if found.checkpoint is not None or found.weights is None:
        return found.checkpoint
    with suppress(InputError):  # what is no file of weights is told where the weights are wanted
        return read_checkpoint(found.weights) if is_checkpoint(found.weights) else None
    return None


def find_checkpoint(text: str | Path) -> Checkpoint:
    """The checkpoint of full training that a user names, by its file or as ``NAME@best``.

    Raises:
        InputError: it is none, and what makes one.
    """
    path = Path(text)
    if path.is_file() and path.suffix not in (".safetensors", *SAVED_BY_TORCH, *_DESCRIPTIONS):
        raise InputError(f"{text}: is no checkpoint; those of nas train are .safetensors files")
    network = find_architecture(text)
    if (found := checkpoint_of(network)) is not None:
        return found
    why = "is no checkpoint of nas train, which says how images are to be normalised and what the classes are"
    raise InputError(f"{text}: {why} called; nas train {text} --config FILE leaves one")


def checkpoint_words(checkpoint: Checkpoint, training: str) -> str:
    """One line on a checkpoint.

    Args:
        checkpoint: what it is about.
        training: name of the training; empty where it is not known.
    """
    facts = checkpoint.facts
    sizes = (
        f"{count_of(facts.num_classes, 'class', 'classes')}, {count_of(facts.in_channels, 'input channel')}"
    )
    if facts.imported:
        return f"{facts.origin}: imported, and not trained or measured here, {sizes}"
    whose = f"of the training {training}" if training else "of a training"
    where = f"epoch {facts.epoch} of {facts.epochs}"
    if facts.step:
        where += f" and {count_of(facts.step, 'step')} of the next"
    if facts.accuracy is None:
        measured = f"not measured yet, on {facts.data}"
    else:
        before = " before these steps" if facts.step else ""
        measured = f"validation accuracy {facts.accuracy:.4f}{before} on {facts.data}"
    words = f"checkpoint {whose}, {where}: {measured}, {recipe_words(facts.recipe)}, {sizes}"
    if facts.start is not None:
        words += f"; {start_words(facts.start)}"
    return f"{words}; the network is {facts.origin}" if facts.origin else words


def start_words(start: Mapping[str, Any]) -> str:
    """What a network was fine-tuned from and how: ``fine-tuned from b0, which had learnt photos: …``.

    Args:
        start: what a checkpoint, or the configuration of a training, says of it.
    """
    how = {"whole": "all of it", "head": "the classifier alone"}.get(str(start.get("unfreeze")))
    if how is None:
        how = f"part by part, {start.get('stage_epochs')} epochs apart"
    network, data = start.get("network") or "a network", start.get("data") or "other data"
    if data == NOT_KNOWN:
        return f"fine-tuned from {start.get('origin') or network}: {how}"
    return f"fine-tuned from {network}, which had learnt {data}: {how}"


def network_origin(found: Found) -> str:
    """One line on where a network comes from that is to be trained; empty for a reference or a description.

    Of a checkpoint it is what that says of its network, since its weights are not taken over.
    """
    if found.checkpoint is not None and found.checkpoint.facts.origin:
        facts = found.checkpoint.facts
        return f"the architecture of {facts.origin}" if facts.imported else facts.origin
    if found.run is None or found.kind != "search":
        return found.origin
    with found.run.journal() as journal:
        return f"{found.origin}; {count_of(sum(journal.counts().values()), 'candidate')}"


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """``recipe cifar``, or the nearest of that name and what is other: ``recipe cifar with epochs 3``."""
    from trainers.recipe import RECIPES

    differing = {
        name: [key for key, value in recipe.items() if asdict(known).get(key) != value]
        for name, known in RECIPES.items()
    }
    name = min(differing, key=lambda base: len(differing[base]))
    others = differing[name]
    if not others:
        return f"recipe {name}"
    return f"recipe {name} with {', '.join(f'{key} {recipe[key]}' for key in others)}"


def checkpoint_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """What ``--json`` says of a checkpoint, besides its network."""
    facts = checkpoint.facts
    return {
        "path": str(checkpoint.path),
        "epoch": facts.epoch,
        "step": facts.step,
        "epochs": facts.epochs,
        "accuracy": facts.accuracy,
        "best_accuracy": facts.best_accuracy,
        "best_epoch": facts.best_epoch,
        "data": facts.data,
        "data_fingerprint": facts.data_fingerprint,
        "class_names": list(facts.class_names),
        "seed": facts.seed,
        "recipe": dict(facts.recipe),
        "resumable": checkpoint.resumable,
        "seconds": facts.seconds,
        "origin": facts.origin or None,
        "imported": facts.imported,
        "start": None if facts.start is None else dict(facts.start),
    }
