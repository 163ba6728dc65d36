"""Weights from a file: of the same network whole, of a network of another scale what agrees.

A deeper network has its layers under other numbers: ``blocks.3`` is in EfficientNet-B0 the first layer of the
third stage, in B1 the second of the second. Tensors are therefore matched by their place, which is the stage
and the layer's number in it, and not by their names alone. A convolution is taken or left together with the
batch norm behind it: statistics of one convolution's outputs say nothing of another's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from results import write_whole
from search_space import Architecture, InputError, cost
from search_space.fields import check_int
from search_space.network import Network
from trainers.checkpoints import RESUME, check_there, network_tensors, readable
from trainers.proxy import save_weights

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norm: buffers, no parameters


class NothingAgreesError(InputError):
    """No layer of one network has the place and the shapes of one of the other."""


class TensorFacts(NamedTuple):
    """One tensor of a network.

    Attributes:
        name: in the network.
        shape: of the tensor.
        params: trainable parameters in it; batch norm's statistics have none.
        origin: its name in the file that it was taken from; None where it was not.
    """

    name: str
    shape: tuple[int, ...]
    params: int
    origin: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """What a network took from the weights of another.

    Attributes:
        source: name of the network that the weights are of.
        target: name of the network that took them.
        taken: tensors that were taken, in the network's order.
        fresh: tensors that kept their initial values.
    """

    source: str
    target: str
    taken: tuple[TensorFacts, ...]
    fresh: tuple[TensorFacts, ...]

    @property
    def taken_params(self) -> int:
        """Trainable parameters that were taken."""
        return sum(tensor.params for tensor in self.taken)

    @property
    def fresh_params(self) -> int:
        """Trainable parameters that kept their initial values."""
        return sum(tensor.params for tensor in self.fresh)

    @property
    def share(self) -> float:
        """The share of the trainable parameters that were taken, 0 to 1."""
        return self.taken_params / (self.taken_params + self.fresh_params)

    @property
    def summary(self) -> str:
        """Such as ``58 of 213 tensors, 31.0 % of the parameters``; 100 % is said of all, 0 % of none."""
        tenths = math.floor(1000 * self.share)
        percent = "less than 0.1" if self.taken and not tenths else f"{tenths / 10:.1f}"
        if not self.fresh:
            percent = "100"
        return (
            f"{len(self.taken)} of {len(self.taken) + len(self.fresh)} tensors, {percent} % of the parameters"
        )

    def to_json(self) -> dict[str, Any]:
        """The facts that ``--json`` prints."""
        return {
            "source": self.source,
            "target": self.target,
            "taken_tensors": len(self.taken),
            "fresh_tensors": len(self.fresh),
            "taken_params": self.taken_params,
            "fresh_params": self.fresh_params,
            "share": round(self.share, 6),
        }


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load exported weights, or those of a checkpoint, into a network built alike.

    Args:
        model: from `Architecture.build`.
        path: a ``.safetensors`` file. What a training goes on from (``resume/``) is passed over.

    Raises:
        InputError: no such file, no safetensors, or weights of another network.
    """
    tensors = network_tensors(path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{path}: holds weights of another network: {first}") from None


def tensor_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's tensors in a ``.safetensors`` file.

    Raises:
        InputError: no such file, or no safetensors.
    """
    from safetensors import safe_open

    with readable(path), safe_open(path, framework="pt") as file:
        return _shapes(file)


def _shapes(file: Any) -> dict[str, tuple[int, ...]]:
    """Of an open safetensors file, without what a training goes on from."""
    names = (name for name in file.keys() if not name.startswith(RESUME))  # noqa: SIM118
    return {name: tuple(file.get_slice(name).get_shape()) for name in names}


def named_architecture(path: str | Path) -> Architecture | None:
    """The architecture that a ``.safetensors`` file says its weights are of; None where it says none.

    Raises:
        InputError: no such file, no safetensors, or an architecture that cannot be read.
    """
    from safetensors import safe_open

    with readable(path), safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    return _named(path, metadata)


def transfer_weights(
    model: nn.Module, path: str | Path, *, classifier: bool = True, source: Architecture | None = None
) -> Transferred:
    """Take from a network's weights what fits one of another depth, width or resolution.

    A layer is taken where the other network has one of the same operator at the same place (stage, and number
    in the stage), and all its tensors have the same shapes: a convolution with its batch norm and that one's
    statistics, a convolution of squeeze-and-excitation, the classifier. All else keeps the values it has.
    Another resolution changes no shape, so that all is taken.

    Args:
        model: from `Architecture.build`; it is changed in place, tensor by tensor.
        path: a ``.safetensors`` file that a search kept, or `write_transferred` or ``nas export`` wrote.
        classifier: take the classifier too, where its shape agrees; False for classes of another meaning.
        source: the architecture that the weights are of, for a file that does not say so itself.

    Raises:
        InputError: no such file, no safetensors, no architecture in it, or one that its tensors are not of.
        NothingAgreesError: there is no layer to take; nothing was changed. It is an `InputError` too.
        TypeError: the model is not from `Architecture.build`.
    """
    from safetensors import safe_open

    if not isinstance(model, Network):
        raise TypeError(f"the model must be built by Architecture.build, got {type(model).__name__}")
    with readable(path), safe_open(path, "pt") as file:
        shapes = _shapes(file)
        source = _source_of(path, file.metadata() or {}, shapes, source)
        state = model.state_dict()
        origins = _origins(state, model.architecture, shapes, source)
        if not classifier:
            origins = {name: origin for name, origin in origins.items() if not name.startswith("classifier.")}
        if not origins:
            raise NothingAgreesError(
                f"{path}: no layer of its network, {source.name}, has the place and the shapes of one of "
                f"{model.architecture.name}; there are no weights to take"
            )
        with torch.no_grad():
            for name, origin in origins.items():  # one at a time: neither network is in memory twice
                state[name].copy_(file.get_tensor(origin))
    facts = [_facts(name, tensor, origins.get(name)) for name, tensor in state.items()]
    return Transferred(
        source=source.name,
        target=model.architecture.name,
        taken=tuple(tensor for tensor in facts if tensor.origin is not None),
        fresh=tuple(tensor for tensor in facts if tensor.origin is None),
    )


def transferred_state(
    source_path: str | Path,
    architecture: Architecture,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    seed: int = 0,
    source: Architecture | None = None,
) -> tuple[dict[str, Tensor], Transferred]:
    """Starting weights of a scaled network: drawn anew, then replaced by what another network's file has.

    The same arguments give the same weights, and the global generator is left as it was.

    Args:
        source_path: a ``.safetensors`` file.
        architecture: the scaled network.
        num_classes, in_channels: of the scaled network.
        seed: of what is drawn, from 0.
        source: see `transfer_weights`.

    Returns:
        The state, as `nn.Module.load_state_dict` takes it, and what of it was taken.

    Raises:
        FieldError: a number is out of range.
        InputError, NothingAgreesError: see `transfer_weights`.
    """
    model, transferred = _started(source_path, architecture, num_classes, in_channels, seed, source)
    return model.state_dict(), transferred


def write_transferred(
    source_path: str | Path,
    architecture: Architecture,
    path: str | Path,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    seed: int = 0,
    source: Architecture | None = None,
) -> Transferred:
    """Write `transferred_state` to a ``.safetensors`` file, whole or not at all.

    Args:
        source_path: a ``.safetensors`` file.
        architecture: the scaled network; it goes into the file's metadata.
        path: the file to write.
        num_classes, in_channels, seed, source: see `transferred_state`.

    Raises:
        FieldError: a number is out of range.
        InputError, NothingAgreesError: see `transfer_weights`; or the file cannot be written, or it is the
            source itself.
    """
    from safetensors import SafetensorError

    path = Path(path)
    if path.exists() and Path(source_path).exists() and path.samefile(source_path):
        raise InputError(f"{path}: holds the weights to take, and cannot be written over")
    model, transferred = _started(source_path, architecture, num_classes, in_channels, seed, source)
    try:
        write_whole(path, lambda unfinished: save_weights(model, architecture, unfinished))
    except SafetensorError as error:  # its word for a full disk
        raise InputError(f"{path}: cannot be written: {error}") from None
    return transferred


def _started(
    source_path: str | Path,
    architecture: Architecture,
    num_classes: int,
    in_channels: int,
    seed: int,
    source: Architecture | None,
) -> tuple[nn.Module, Transferred]:
    """The scaled network with its starting weights."""
    check_int("seed", seed, 0, 2**63 - 1)
    check_there(source_path)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would set the GPUs' too
        model = architecture.build(num_classes, in_channels)
    return model, transfer_weights(model, source_path, source=source)


def _facts(name: str, tensor: Tensor, origin: str | None) -> TensorFacts:
    params = 0 if name.endswith(_STATISTICS) else tensor.numel()
    return TensorFacts(name, tuple(tensor.shape), params, origin)


def _source_of(
    path: str | Path,
    metadata: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    given: Architecture | None,
) -> Architecture:
    """The architecture that a file's tensors are of; by it, and not by a guess, they have their places."""
    source = _named(path, metadata) if given is None else given
    if source is None:
        raise InputError(f"{path}: does not say of which architecture its weights are; give it as source")
    if not describes(source, shapes):
        whose = "of the architecture that the file names" if given is None else "of the source given"
        raise InputError(f"{path}: its tensors are not {whose}, {source.name}")
    return source


def _named(path: str | Path, metadata: Mapping[str, str]) -> Architecture | None:
    if "architecture" not in metadata:
        return None
    try:
        return Architecture.from_dict(json.loads(metadata["architecture"]))
    except (ValueError, RecursionError) as error:  # FieldError and JSON's errors are ValueErrors
        raise InputError(f"{path}: holds an architecture that cannot be read: {error}") from None


def describes(architecture: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether tensors can be those of an architecture: as many blocks and as many parameters."""
    numbers = {name.split(".")[1] for name in shapes if name.startswith("blocks.")}
    if numbers != {str(number) for number in range(architecture.depth)}:
        return False
    stem, top = shapes.get("stem.0.weight", ()), shapes.get("classifier.weight", ())
    if len(stem) != 4 or len(top) not in (0, 2):
        return False
    params = cost(architecture, top[0] if top else 0, stem[1]).params
    return params == sum(math.prod(s) for name, s in shapes.items() if not name.endswith(_STATISTICS))


def _layer_of(name: str) -> str:
    """``blocks.3.expand`` for ``blocks.3.expand.1.running_mean``: a convolution with its batch norm."""
    module = name.rpartition(".")[0]
    parent, _, last = module.rpartition(".")
    return parent if last.isdecimal() else module


def _grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of tensors by layer, each as what follows the layer's name."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layer = _layer_of(name)
        layers.setdefault(layer, []).append(name[len(layer) :])
    return layers


def _places(architecture: Architecture) -> list[tuple[int, int, str]]:
    """Stage, number in the stage and operator of every block, in the network's order."""
    ops = iter(block.op for block in architecture.blocks())
    return [
        (stage, number, next(ops))
        for stage, described in enumerate(architecture.stages)
        for number in range(described.repeats)
    ]


def _origins(
    state: Mapping[str, Tensor],
    target: Architecture,
    shapes: Mapping[str, tuple[int, ...]],
    source: Architecture,
) -> dict[str, str]:
    """For each tensor of the target that is taken, the name of its origin in the file."""
    blocks = {place: number for number, place in enumerate(_places(source))}
    blocks_here = _places(target)
    origins: dict[str, str] = {}
    for layer, endings in _grouped(state).items():
        origin: str | None = layer
        if layer.startswith("blocks."):
            _, number, rest = layer.split(".", 2)
            there = blocks.get(blocks_here[int(number)])
            origin = None if there is None else f"blocks.{there}.{rest}"
        if origin is None:
            continue
        pairs = {layer + ending: origin + ending for ending in endings}
        if all(tuple(state[name].shape) == shapes.get(its) for name, its in pairs.items()):
            origins |= pairs
    return origins
