"""Tensors of a file that another library wrote: safetensors, or what ``torch.save`` leaves.

The latter is a pickle, which may hold code. It is read with ``weights_only``, which makes tensors, numbers,
texts and containers of them, and nothing else.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from search_space import InputError
from trainers.checkpoints import check_there, readable
from trainers.pretrained_sources import SAVED_BY_TORCH

ENDINGS = (".safetensors", *SAVED_BY_TORCH)
# timm's own order (timm/models/_helpers.py, load_state_dict): an average of the weights comes first
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")
# of DistributedDataParallel, torch.compile, and of a module that holds the network
_PREFIXES = ("module.", "_orig_mod.", "model.")
_SHOWN = 4


def read_tensors(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of a file by name.

    Args:
        path: a file with one of `ENDINGS`.

    Returns:
        The tensors, without a prefix that all names have; and what is to be known of how they lay there.

    Raises:
        InputError: no such file, another kind of file, a damaged one, one that holds code, or no tensors.
    """
    check_there(path)
    notes: tuple[str, ...] = ()
    if path.suffix == ".safetensors":
        tensors = _of_safetensors(path)
    elif path.suffix in SAVED_BY_TORCH:
        tensors, notes = _unwrapped(path, _loaded(path))
    else:
        raise InputError(f"{path}: files of weights end in {', '.join(ENDINGS)}")
    if not tensors:
        raise InputError(f"{path}: holds no tensors by name")
    tensors, prefix = _without_prefix(tensors)
    return tensors, (*notes, f"every name began with {prefix!r}, which was taken off") if prefix else notes


def _of_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    with readable(path), safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _loaded(path: Path) -> Any:
    """What ``torch.save`` was given.

    Raises:
        InputError: it cannot be read as data alone.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises whatever bytes of others lead it to
        # of a file that is cut short the reader seeks what is before the beginning: that is the file's fault
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
        text = " ".join(str(error).split())
        named = re.search(r"\bGLOBAL (\S+)", text)
        if named:
            fix = "save its state dict alone, where you trust the file"
            raise InputError(f"{path}: is refused, as loading it would call {named[1]}; {fix}") from None
        if "TorchScript" in text:
            raise InputError(f"{path}: is a TorchScript program; save its state dict alone") from None
        raise InputError(
            f"{path}: cannot be read as what torch.save writes; it is damaged, or another kind of file"
        ) from None


def _unwrapped(path: Path, loaded: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict in what was loaded, and under which name it lay there.

    Raises:
        InputError: there is none.
    """
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path}: holds a {type(loaded).__name__}, and not tensors by name")
    tensors = _tensors(loaded)
    if tensors:
        others = [str(name) for name in loaded if name not in tensors]
        return tensors, (f"passed over, as they are no tensors: {_listed(others)}",) if others else ()
    for wrapper in _WRAPPERS:
        inside = loaded.get(wrapper)
        if isinstance(inside, Mapping) and (tensors := _tensors(inside)):
            others = [str(name) for name in loaded if name != wrapper]
            note = f"the tensors lay under {wrapper!r}"
            return tensors, (f"{note}, beside {_listed(others)}" if others else note,)
    raise InputError(
        f"{path}: holds no tensors by name, there or under {', '.join(_WRAPPERS)}; it has "
        f"{_listed([str(name) for name in loaded]) or 'nothing'}"
    )


def _tensors(values: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {
        name: value for name, value in values.items() if isinstance(name, str) and isinstance(value, Tensor)
    }


def _without_prefix(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    taken = ""
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in tensors)), ""):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
        taken += prefix
    return tensors, taken


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
