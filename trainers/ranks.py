"""The processes that train one network together, each with its share of every batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process among those of a training; torch.distributed has been set up where there are several.

    Attributes:
        rank: of this process, from 0; the first writes.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wrapped(self, model: nn.Module) -> nn.Module:
        """The model, or one whose gradients are the mean over all processes."""
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        device = next(model.parameters()).device
        return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def sum(self, tensor: Tensor) -> None:
        """Add what the other processes have."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)

    def agree(self, number: int, device: torch.device) -> bool:
        """Whether all processes have the same number."""
        bounds = torch.tensor([number, -number], device=device)
        if self.size > 1:
            torch.distributed.all_reduce(bounds, torch.distributed.ReduceOp.MAX)
        return bounds.tolist() == [number, -number]

    def share(self, model: nn.Module) -> None:
        """Take the first process's buffers: batch norm's statistics are its own in each process."""
        if self.size > 1:
            for buffer in model.buffers():
                torch.distributed.broadcast(buffer, 0)


ALONE = Ranks()


def without_exchange(model: nn.Module) -> AbstractContextManager[None]:
    """Let gradients accumulate in the body, before those of the last part are exchanged."""
    no_sync = getattr(model, "no_sync", None)
    return nullcontext() if no_sync is None else no_sync()
