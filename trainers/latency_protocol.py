"""How latency is measured, as a configuration says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from search_space import REFERENCES, FieldError
from search_space.errors import suggestion
from search_space.fields import check_choice, check_int
from search_space.reference import reference_name

DEVICES = ("cpu", "cuda")
BACKENDS = ("eager", "compile", "onnxruntime")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyProtocol:
    """How latency is measured: all that decides it, besides the network and the machine.

    Attributes:
        device: ``cpu`` or ``cuda``.
        backend: ``eager`` (torch as it is; channels last on a CPU), ``compile`` (`torch.compile`) or
            ``onnxruntime`` (the network exported to ONNX).
        batch: images a call.
        threads: of a CPU that one call may use; nothing to a GPU.
        warmup: untimed calls of each network before the first round.
        repeats: rounds.
        reference: the network that is timed next to each; ``""`` for none, and no ratios.

    Raises:
        FieldError: a value breaks a rule.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    backend: Literal["eager", "compile", "onnxruntime"] = "eager"
    batch: int = 1
    threads: int = 1
    warmup: int = 3
    repeats: int = 20
    reference: str = "efficientnet_b0"

    def __post_init__(self) -> None:
        check_choice("device", self.device, DEVICES)
        check_choice("backend", self.backend, BACKENDS)
        check_int("batch", self.batch, 1, 65_536)
        check_int("threads", self.threads, 1, 1024)
        check_int("warmup", self.warmup, 1, 10_000)
        check_int("repeats", self.repeats, 1, 1_000_000)
        if self.reference == "":
            return
        name = reference_name(self.reference) if isinstance(self.reference, str) else None
        if name is None:
            near = suggestion(str(self.reference), REFERENCES)
            raise FieldError("reference", f"is {self.reference!r}, which is no known network{near}")
        object.__setattr__(self, "reference", name)
