"""Networks that take turns with their reference, so that what slows a machine slows all alike.

Why, and what a ratio is, is said in `trainers.latency`.
"""

from __future__ import annotations

import gc
import random
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from trainers.latency_backends import Prepared

LEAST_ROUNDS = 5  # of an interrupted measurement, for its rounds to be worth anything
_SEED = 0  # of the order within rounds


class Turns:
    """Networks that take turns with their reference.

    Attributes:
        networks: those that have not failed, by number.
    """

    def __init__(
        self,
        networks: dict[int, Prepared],
        reference: Prepared | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.networks = dict(networks)
        self._reference, self._clock = reference, clock
        self._order = random.Random(_SEED)
        # a round: own seconds of each network, and the reference's before and after it
        self._times: list[dict[int, tuple[float, float, float]]] = []

    @property
    def done(self) -> int:
        """Complete rounds."""
        return len(self._times)

    def run(self, fail: Callable[[int, Exception], None]) -> None:
        """One round; the networks that fail in it have no further turns."""
        order = list(self.networks)
        self._order.shuffle(order)
        times: dict[int, tuple[float, float, float]] = {}
        before = self._seconds(self._reference) if order else 0.0
        for number in order:
            try:
                own = self._seconds(self.networks[number])
            except Exception as error:
                traceback.clear_frames(error.__traceback__)  # which would keep its memory
                del self.networks[number]
                fail(number, error)
                continue
            after = self._seconds(self._reference)
            times[number] = (own, before, after)
            before = after
        self._times.append(times)

    def run_all(
        self,
        repeats: int,
        fail: Callable[[int, Exception], None],
        on_round: Callable[[int, int], None] | None = None,
    ) -> bool:
        """All rounds, without the garbage collector; whether they were complete.

        Args:
            repeats: how many.
            fail: called with each network that fails, and why.
            on_round: called after each with the rounds done and all.

        Raises:
            KeyboardInterrupt: Ctrl-C before `LEAST_ROUNDS` were complete; later it ends the rounds.
        """
        with _no_collection():
            try:
                while self.networks and self.done < repeats:
                    self.run(fail)
                    if on_round is not None:
                        on_round(self.done, repeats)
            except KeyboardInterrupt:
                if self.done < LEAST_ROUNDS:
                    raise
                return False
        return True

    def seconds(self, number: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """A network's times in the complete rounds, seconds (rounds, 1), and the reference's before and after
        each (rounds, 2)."""
        every = np.array([times[number] for times in self._times], dtype=np.float64).reshape(-1, 3)
        return every[:, :1], every[:, 1:]

    def _seconds(self, network: Prepared | None) -> float:
        if network is None:
            return 0.0
        network.call()  # else the caches hold what the network before left there, which is not its own doing
        began = self._clock()
        network.call()  # returns when the result is there
        return self._clock() - began


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from running in the middle of a call."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
