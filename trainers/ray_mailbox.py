"""How workers that train together are heard: an actor between them and who waits for them."""

from __future__ import annotations

import asyncio
import pickle
import sys
from typing import Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class Mailbox:
    """Keeps what workers say until it is taken; what they say stays pickled."""

    def __init__(self) -> None:
        self._said: list[bytes] = []
        self._something = asyncio.Event()
        self._stop = False

    async def tell(self, said: bytes) -> bool:
        """Keep what a worker says; whether it is to stop."""
        self._said.append(said)
        self._something.set()
        return self._stop

    async def take(self, seconds: float) -> list[bytes]:
        """What was said since the last time, after a wait of so many seconds at most."""
        try:
            await asyncio.wait_for(self._something.wait(), seconds)
        except (TimeoutError, asyncio.TimeoutError):  # one and the same from Python 3.11
            return []
        said, self._said = self._said, []
        self._something.clear()
        return said

    async def stop(self) -> None:
        """Ask the first worker to stop after a step."""
        self._stop = True


def start_mailbox() -> Any:
    """The handle of a new mailbox on this node.

    Its process does not import this package, which would bring torch.
    """
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def tell(mailbox: Any, kind: str, said: Any = None) -> Any:
    """Say something of a kind; a reference to whether the worker is to stop."""
    return mailbox.tell.remote(pickle.dumps((kind, said)))


def take(mailbox: Any, seconds: float) -> list[tuple[str, Any]]:
    """What workers said since the last time, by kind, after a wait of so many seconds at most."""
    return [pickle.loads(said) for said in ray.get(mailbox.take.remote(seconds))]  # noqa: S301 -- our workers
