"""From a name to a bundle: what `nas export --bundle` does, for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from nas.export_request import refuse_own_inputs
from nas.lookup import Found, find_architecture
from nas.provenance import provenance_of
from nas.weights import load_weights, named_architecture, tensor_shapes
from results.exporting.agreement import sha256_of
from results.exporting.bundle import Bundle, Subject, write_bundle
from results.exporting.graphs import OPSET
from results.exporting.provenance import Provenance
from search_space import Architecture, InputError
from search_space.fields import check_int


def export_bundle(
    architecture: str | Path | Architecture,
    folder: str | Path,
    *,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    opset: int = OPSET,
    seed: int = 0,
    tell: Callable[[str], None] = lambda text: None,
) -> Bundle:
    """Write a network's bundle: description, source, weights, graphs, card, and the proof that they agree.

    Args:
        architecture: the network, or what `nas.load_architecture` takes.
        folder: made where it is not there; files of an earlier bundle are replaced.
        weights: a ``.safetensors`` file; None takes those that the run or the checkpoint has, or draws new
            ones.
        num_classes, in_channels: of the network; None takes the weights', or ImageNet's.
        opset: version of ONNX's operators.
        seed: of weights that are drawn.
        tell: told what is done next, in words.

    Returns:
        What was written. `Bundle.ok` is False where a file disagrees, or none could be checked; that
        is no exception.

    Raises:
        InputError: nothing of that name; weights of another network; or the folder cannot be written, or
            holds files that are no bundle's, or what is exported.
        FieldError: a number is out of range.
    """
    if isinstance(architecture, Architecture):
        refuse_own_inputs(Path(folder), None, bundle=True, inputs=(weights,))
        found = Found(architecture=architecture)
    else:
        refuse_own_inputs(Path(folder), None, bundle=True, inputs=(architecture, weights))
        found = find_architecture(architecture)
    subject = subject_of(found, weights=weights, num_classes=num_classes, in_channels=in_channels, seed=seed)
    return write_bundle(subject, Path(folder), opset=opset, tell=tell)


def subject_of(
    found: Found,
    *,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    seed: int = 0,
) -> Subject:
    """A network with its weights, ready to be written down.

    Args:
        found: the architecture and where it comes from.
        weights, num_classes, in_channels, seed: see `export_bundle`.

    Raises:
        InputError, FieldError: see `export_bundle`.
    """
    check_int("seed", seed, 0, 2**63 - 1)
    if weights is None and found.checkpoint is None:
        weights = found.file
    path = found.weights if weights is None else Path(weights)
    classes, channels = _sizes(found, path, num_classes, in_channels)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = found.architecture.build(classes, channels)
    if path is not None:
        _refuse_others(found.architecture, path)
        load_weights(model, path)
    return Subject(
        architecture=found.architecture,
        num_classes=classes,
        in_channels=channels,
        model=model.eval(),
        provenance=_provenance(found, None if weights is None else Path(weights), seed),
    )


def _refuse_others(architecture: Architecture, weights: Path) -> None:
    """Refuse weights whose file names another network, which may have the same shapes.

    Another resolution is no other network here: it changes no weight.

    Raises:
        InputError: with the other network's name.
    """
    theirs = named_architecture(weights)
    if theirs is None:
        return
    size = max(theirs.image_size, architecture.image_size)
    if replace(theirs, image_size=size).key != replace(architecture, image_size=size).key:
        raise InputError(f"{weights}: holds weights of another network: {theirs.name}, by what it says")


def _sizes(
    found: Found, weights: Path | None, num_classes: int | None, in_channels: int | None
) -> tuple[int, int]:
    """Classes and channels: as asked, else the weights', else the run's or ImageNet's.

    Raises:
        InputError: the weights have others than are asked for.
    """
    shapes = {} if weights is None else tensor_shapes(weights)
    top, stem = shapes.get("classifier.weight", ()), shapes.get("stem.0.weight", ())
    classes, channels = found.num_classes, found.in_channels
    if len(top) == 2:
        classes = _agreed("classes", num_classes, top[0], weights)
    if len(stem) == 4:
        channels = _agreed("channels", in_channels, stem[1], weights)
    return num_classes or classes, in_channels or channels


def _agreed(what: str, asked: int | None, there: int, weights: Path | None) -> int:
    if asked is not None and asked != there:
        raise InputError(f"--{what} {asked}: {weights} holds weights for {there} {what}")
    return there


def _provenance(found: Found, given: Path | None, seed: int) -> Provenance:
    """What is known of the weights: nothing of the run's holds for a file of the user's."""
    known = provenance_of(found)
    if given is None:
        return replace(known, seed=seed)
    return Provenance(
        origin="" if found.file is not None else known.origin,
        weights="given",
        weights_file=(given.name, sha256_of(given)),
        search=known.search,
    )
