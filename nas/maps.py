"""What trained networks look at in images: class activation maps, of one network or of several side by side.

The formulas stand in `trainers.activation_maps`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from nas.checkpoint_lookup import find_checkpoint, training_of
from nas.devices import chosen_device
from nas.evaluation_data import listed
from nas.map_facts import METHODS, ActivationMaps, ClassMap, Floats, ImageMaps, Method
from search_space import FieldError, InputError
from search_space.errors import suggestion
from search_space.fields import check_choice, check_int
from trainers import ImageSet, read_facts
from trainers.activation_maps import LAST, grad_cam, layer_place, logits_of_maps, maps_of_classes
from trainers.checkpoints import Checkpoint
from trainers.decoding import decode_file
from trainers.device_data import DeviceImages
from trainers.evaluation import central, crop_margin

if TYPE_CHECKING:
    from search_space.network import Network

MOST_IMAGES = 1000  # all are decoded before anything is computed
_BATCH = 16
_GRADIENT_PIXELS = 65_536  # of a batch whose gradient is wanted: B7 keeps 0.7 GiB for so many
Begin = Callable[[int], Callable[[int], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A checkpoint as it is used: what it is called, what it reads, and which class is asked of it."""

    name: str
    checkpoint: Checkpoint
    prepared: int
    target: int | None


def activation_maps(
    checkpoint: str | Path,
    images: Sequence[str | Path],
    *,
    compare: Sequence[str | Path] = (),
    method: Method = "cam",
    layer: str | None = None,
    target: str | None = None,
    prepared: int | None = None,
    device: str | None = None,
    begin: Begin = lambda steps: lambda more: None,
) -> ActivationMaps:
    """Where networks of ``nas train`` see a class in images.

    An image is prepared as ``nas data prepare`` would (upright, the shorter side scaled, the centre square),
    then cropped, resized and normalised as ``nas eval`` does: by what each checkpoint says. So a network says
    of it what it says of the same image of prepared data.

    Args:
        checkpoint: as `nas.evaluate_checkpoint` takes it.
        images: paths of files, of any size and mode.
        compare: further checkpoints, for the same images.
        method: ``cam``, or ``grad-cam``.
        layer: of ``grad-cam``: ``stem``, ``stage1`` and so on, ``blocks.0`` and so on, or ``head``, which is
            what None is.
        target: name of the class of the maps; None is what each network predicts on each image.
        prepared: pixels that images are scaled to first; None is the size of the data that a checkpoint was
            trained on where it lies in the folder of its training and they are still there, else the
            size whose measured part is the network's own.
        device: ``cpu``, ``cuda`` or ``cuda:1``; None is a GPU where there is one.
        begin: told how many steps there are, one an image that is read and one a map; gives what is told how
            many more were done.

    Raises:
        FieldError: an option is out of range.
        InputError: no such checkpoint, image, class, layer or device; an image that cannot be read; images
            that do not fit into memory; or outputs that are no numbers. Nothing is computed before all
            images and checkpoints were read.
    """
    _check(images, method, layer, prepared)
    where = chosen_device(device)
    names = [str(text) for text in (checkpoint, *compare)]
    sources = [_source(name, layer, target, prepared) for name in names]
    kinds = sorted({(source.prepared, source.checkpoint.facts.in_channels) for source in sources})
    pixels: dict[tuple[int, int], list[npt.NDArray[np.uint8]]] = {kind: [] for kind in kinds}
    advance = begin(len(images) * (1 + len(sources)))
    for path in images:
        for size, channels in kinds:
            pixels[size, channels].append(decode_file(path, size, channels))
        advance(1)
    columns = []
    for source in sources:
        its = np.stack(pixels[source.prepared, source.checkpoint.facts.in_channels])
        columns.append(_maps_of(source, its, method, layer or LAST, where, advance))
    rows = (
        ImageMaps(image=str(path), maps=maps)
        for path, maps in zip(images, zip(*columns, strict=True), strict=True)
    )
    return ActivationMaps(method=method, layer=layer or LAST, target=target, device=where, images=tuple(rows))


def _check(images: Sequence[str | Path], method: str, layer: str | None, prepared: int | None) -> None:
    """Refuse options before anything is read.

    Raises:
        FieldError, InputError: see `activation_maps`.
    """
    check_choice("method", method, METHODS)
    if layer is not None and method == "cam":
        raise FieldError("layer", "needs the method grad-cam: cam is of the last maps alone")
    if prepared is not None:
        check_int("prepared", prepared, 8, 1024)
    if isinstance(images, (str, Path)) or not 1 <= len(images) <= MOST_IMAGES:
        got = "a text" if isinstance(images, (str, Path)) else f"{len(images):,}"
        raise InputError(f"maps are of a list of 1 to {MOST_IMAGES:,} images, got {got}")


def _source(name: str, layer: str | None, target: str | None, prepared: int | None) -> _Source:
    """A checkpoint that has what is asked for.

    Raises:
        InputError: there is none, or it has no such layer or class.
    """
    found = find_checkpoint(name)
    facts = found.facts
    if layer is not None:
        try:
            layer_place(found.architecture, layer)
        except InputError as error:
            raise InputError(f"{name} {error}") from None
    if target is not None and target not in facts.class_names:
        near = suggestion(target, facts.class_names)
        if not near.startswith("; did"):
            near = f"; it knows {listed(facts.class_names)}"
        raise InputError(f"{name} does not know the class {target!r}{near}")
    return _Source(
        name=name,
        checkpoint=found,
        prepared=_prepared_size(found) if prepared is None else prepared,
        target=None if target is None else facts.class_names.index(target),
    )


def _prepared_size(checkpoint: Checkpoint) -> int:
    """Pixels of the images that a checkpoint was trained on where that can be told, else by its crop."""
    training = training_of(checkpoint.path)
    if training is not None:
        # the data may be gone, or be others by now: they say no more than the size
        with suppress(InputError, KeyError, TypeError):
            data = read_facts(training.config()["data"]["cache"])
            if data.fingerprint == checkpoint.facts.data_fingerprint:
                return data.image_size
    return checkpoint.facts.prepared_size


def _maps_of(
    source: _Source,
    pixels: npt.NDArray[np.uint8],
    method: Method,
    layer: str,
    device: str,
    advance: Callable[[int], None],
) -> list[ClassMap]:
    """The maps of one network on images (N, H, W, C) of the size that it reads.

    Raises:
        InputError: no room in memory, or outputs that are no numbers.
    """
    facts = source.checkpoint.facts
    network: Any = source.checkpoint.network(device, facts.image_size)
    images = DeviceImages(ImageSet(pixels, np.zeros(len(pixels), np.int64)), facts, device)
    maps = []
    for index in torch.arange(len(pixels)).split(_batch(facts.image_size, layer)):
        try:
            x = central(images.normalised(images.fetched(index)), facts.image_size, facts.measured_crop)
            shares, classes, values = _computed(network, x, source.target, method, layer)
        except torch.OutOfMemoryError:
            raise InputError(
                f"{source.name}: images of {facts.image_size} pixels do not fit into the memory of {device}; "
                "take --device cpu"
            ) from None
        if not (np.isfinite(shares).all() and np.isfinite(values).all()):
            raise InputError(f"{source.name}: its outputs on these images are no finite numbers")
        maps += [_class_map(source, *each) for each in zip(shares, classes, values, strict=True)]
        advance(len(index))
    return maps


def _batch(image_size: int, layer: str) -> int:
    """Images at a time: below the last layer all that a network computes is kept for the gradient."""
    return _BATCH if layer == LAST else min(_BATCH, max(1, _GRADIENT_PIXELS // image_size**2))


def _computed(
    network: Network, x: torch.Tensor, target: int | None, method: Method, layer: str
) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    """Softmax (B, classes), classes of the maps (B,), and the maps (B, h, w)."""
    with torch.no_grad():
        last = network.forward_features(x)  # (B, features, h, w)
        logits = logits_of_maps(network, last)  # (B, classes)
    classes = logits.argmax(1) if target is None else torch.full_like(logits[:, 0], target, dtype=torch.int64)
    if method == "cam":
        values = maps_of_classes(network, last, classes)
    else:
        values = grad_cam(network, x, classes, layer)
    return logits.softmax(1).cpu().numpy(), classes.cpu().numpy(), values.cpu().numpy()


def _class_map(source: _Source, shares: Floats, target: np.int64, values: Floats) -> ClassMap:
    facts = source.checkpoint.facts
    likeliest = int(shares.argmax())
    return ClassMap(
        checkpoint=source.name,
        network=source.checkpoint.architecture.name,
        image_size=facts.image_size,
        prepared_size=source.prepared,
        margin=crop_margin(source.prepared, facts.measured_crop) / source.prepared,
        predicted=facts.class_names[likeliest],
        probability=float(shares[likeliest]),
        target=facts.class_names[target],
        target_probability=float(shares[target]),
        map=values,
    )
