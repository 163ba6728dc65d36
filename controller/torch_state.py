"""What a controller needs of torch's global state, set while it works and put back after."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def single_threaded(method: Callable[P, R]) -> Callable[P, R]:
    """Run with one thread and with gradients.

    The last bits of a sum depend on the number of threads, and a controller that is resumed must go on as if
    nothing had happened. What it computes is too small to gain from more.
    """

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        before = torch.get_num_threads()
        if before != 1:
            torch.set_num_threads(1)
        try:
            with torch.enable_grad():
                return method(*args, **kwargs)
        finally:
            if before != 1:
                torch.set_num_threads(before)

    return wrapped
