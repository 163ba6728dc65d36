"""Where a network computes: the processor, or a GPU that torch sees."""

from __future__ import annotations

import re

from search_space import InputError


def chosen_device(given: str | None) -> str:
    """The device to compute on.

    Args:
        given: ``cpu``, ``cuda`` or ``cuda:1``; None is a GPU where there is one.

    Raises:
        InputError: there is none of that name.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if given is None:
        return "cuda" if there else "cpu"
    match = re.fullmatch(r"cpu|cuda(?::(\d{1,4}))?", given)
    if match is None:
        raise InputError(f"device must be cpu, cuda, or cuda:1 and the like, got {given!r}")
    if given != "cpu" and int(match[1] or 0) >= there:
        raise InputError(f"device is {given}, and torch sees {there or 'no'} GPU{'s' * (there > 1)} here")
    return given
