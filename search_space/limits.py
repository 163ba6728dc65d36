"""Upper bounds on what a network of a search may cost."""

from __future__ import annotations

from dataclasses import dataclass

from search_space.fields import check_float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What no candidate may exceed; None is no limit.

    Attributes:
        macs: multiply-adds of one image.
        params: parameters.
        memory: bytes, as `search_space.memory` counts them.
        latency_ms: milliseconds, as a `LatencyModel` predicts them; of no use without one.
    """

    macs: float | None = None
    params: float | None = None
    memory: float | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.given().items():
            check_float(name, value, 1e-6 if name == "latency_ms" else 1.0)

    def given(self) -> dict[str, float]:
        """The limits there are, by name."""
        values = {
            "macs": self.macs,
            "params": self.params,
            "memory": self.memory,
            "latency_ms": self.latency_ms,
        }
        return {name: value for name, value in values.items() if value is not None}
