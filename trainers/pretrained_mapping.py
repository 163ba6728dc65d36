"""The tensors of another library's state dict in a network of ours, each under its name and of its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from search_space import Architecture, InputError
from trainers.pretrained_names import tensor_names, width
from trainers.pretrained_sources import Source

_COUNTED = ".num_batches_tracked"  # of batch norm; of no use but for training with a cumulative average


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A built network and what became of the file's tensors; see `trainers.pretrained.Pretrained`."""

    model: nn.Module
    num_classes: int
    in_channels: int
    taken: int
    unused: tuple[str, ...]
    fresh: tuple[str, ...]
    notes: tuple[str, ...]


def mapped_network(
    path: Path, source: Source, network: Architecture, tensors: Mapping[str, Tensor], num_classes: int | None
) -> Mapped:
    """The network with the file's tensors in it.

    Raises:
        InputError: a tensor is missing, of another shape, or holds what is no weight.
    """
    naming = source.naming
    depth = naming.depth(tensors)
    if depth != network.depth:
        raise InputError(f"{path}: has {depth} blocks, and {network.name} has {network.depth}")
    classes, headless = _classes(path, f"{naming.classifier}.weight", tensors, num_classes)
    stem = tensors[f"{naming.stem[0]}.weight"]
    channels = (stem.shape[1] if stem.ndim == 4 else 0) or 3  # a stem without any fails as of another shape
    with torch.device("meta"):  # nothing is drawn, nothing is in memory twice
        model = network.build(classes, channels)
    wanted = model.state_dict()
    theirs = tensor_names(network, naming, wanted)
    fresh = [name for name in wanted if theirs[name] not in tensors]
    missing = [
        theirs[name] for name in fresh
        if not name.endswith(_COUNTED) and not (headless and name.startswith("classifier."))
    ]  # fmt: skip
    if missing:
        raise InputError(
            f"{path}: lacks {missing[0]}{_and_more(missing)} of {source.network.format(member='b*')}"
        )
    state = {}
    for name, shape in ((name, tensor.shape) for name, tensor in wanted.items()):
        if name in fresh:
            state[name] = torch.zeros(shape, dtype=wanted[name].dtype)
        else:
            state[name] = _checked(path, theirs[name], tensors[theirs[name]], wanted[name], network.name)
    model.load_state_dict(state, assign=True)
    used = set(theirs.values())
    return Mapped(
        model=model.eval(),
        num_classes=classes,
        in_channels=channels,
        taken=len(wanted) - len(fresh),
        unused=tuple(name for name in tensors if name not in used),
        fresh=tuple(fresh),
        notes=_said_of(tensors, fresh, classes if headless else None),
    )


def _classes(path: Path, name: str, tensors: Mapping[str, Tensor], given: int | None) -> tuple[int, bool]:
    """Classes of the network, and whether the file has no classifier.

    Raises:
        InputError: what there is of a classifier and the number of classes do not go together.
    """
    if name in tensors:
        there = width(tensors, name)
        if not there:
            raise InputError(
                f"{path}: {name} is {tuple(tensors[name].shape)}, and a classifier has a row for each class"
            )
        if given is not None and given != there:
            raise InputError(
                f"{path}: has a classifier of {there} classes; --num-classes is for a file without"
            )
        return there, False
    if given is None:
        raise InputError(
            f"{path}: has no classifier; --num-classes N gives it one of N classes, all zeros, for a "
            "training to replace"
        )
    return given, True


def _checked(path: Path, name: str, tensor: Tensor, wanted: Tensor, network: str) -> Tensor:
    """A tensor of the file as the network takes it.

    Raises:
        InputError: it has another shape, is not stored in full, or holds what is no finite number.
    """
    if tensor.shape != wanted.shape:
        raise InputError(
            f"{path}: {name} is {tuple(tensor.shape)}, and {tuple(wanted.shape)} in {network}: it is of "
            "another network"
        )
    if tensor.is_meta:
        raise InputError(f"{path}: {name} has a shape and no values (a meta tensor); save it from a device")
    if tensor.layout != torch.strided:
        layout = str(tensor.layout).removeprefix("torch.")
        raise InputError(f"{path}: {name} is a tensor of layout {layout}; save it as a dense one")
    if wanted.dtype.is_floating_point and not tensor.dtype.is_floating_point:
        raise InputError(f"{path}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, and not floats")
    tensor = tensor.detach().to(wanted.dtype)
    if not torch.isfinite(tensor).all():
        raise InputError(f"{path}: {name} holds values that are no finite numbers")
    if name.endswith(".running_var") and (tensor < 0.0).any():
        raise InputError(f"{path}: {name} holds negative values, and is a variance")
    return tensor


def _said_of(tensors: Mapping[str, Tensor], fresh: list[str], new_classes: int | None) -> tuple[str, ...]:
    """Notes on tensors that the file does not have as ours has them."""
    notes = []
    counted = [name for name in fresh if name.endswith(_COUNTED)]
    if counted:
        notes.append(
            f"num_batches_tracked of {len(counted)} batch norms is not in the file, and was set to 0"
        )
    if new_classes is not None:
        notes.append(
            f"THE FILE HAS NO CLASSIFIER: the new one of {new_classes} classes is all zeros, and says "
            "nothing before it is trained"
        )
    kinds = {tensor.dtype for tensor in tensors.values() if tensor.dtype.is_floating_point} - {torch.float32}
    if kinds:
        words = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        notes.append(f"tensors of {words} became float32")
    return tuple(notes)


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1:,} more tensors" if len(names) > 1 else ""
