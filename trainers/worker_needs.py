"""What a worker takes of a node, in Ray's terms: how many workers a node has room for, and how to say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from search_space import FieldError
from search_space.fields import check_int

GIB = 2**30
_UNITS = 10_000  # Ray counts resources in ten-thousandths, and cuts off what is less
_RESERVED = ("CPU", "GPU", "memory", "object_store_memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNeeds:
    """The resources of one worker, which trains one candidate at a time.

    Attributes:
        cpus: processors, and torch threads.
        gpus: GPUs, which may be a share of one.
        memory: GiB; None is no limit.
        resources: amounts of resources that nodes were started with (``ray start --resources``), by name.

    Raises:
        FieldError: an amount that Ray cannot give.
    """

    cpus: int = 1
    gpus: float = 0.0
    memory: float | None = None
    resources: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_int("cpus", self.cpus, 1, 1024)
        check_gpus(self.gpus)
        if self.memory is not None and not (_is_number(self.memory) and 1 / 1024 <= self.memory <= 2**20):
            raise FieldError("memory", f"must be null, or GiB from 0.001 to 1048576, got {self.memory!r}")
        for name, amount in self.resources.items():
            if not isinstance(name, str) or not name or name in _RESERVED or name.startswith("node:"):
                own = "; executor has fields for processors, GPUs and memory" if name in _RESERVED else ""
                raise FieldError(
                    "resources", f"must have names that nodes were started with, got {name!r}{own}"
                )
            if not (_is_number(amount) and amount >= 1 / _UNITS):
                raise FieldError(f"resources.{name}", f"must be at least 0.0001, got {amount!r}")

    def bundle(self) -> dict[str, float]:
        """By Ray's names; memory in bytes."""
        wanted: dict[str, float] = {"CPU": float(self.cpus)}
        if self.gpus:
            wanted["GPU"] = float(self.gpus)
        if self.memory is not None:
            wanted["memory"] = float(round(self.memory * GIB))
        return wanted | {name: float(amount) for name, amount in self.resources.items()}

    def room(self, node: Mapping[str, float]) -> int:
        """Workers that fit at a time on a node with these resources (``ray.nodes()[i]["Resources"]``)."""
        fits = []
        for kind, wanted in self.bundle().items():
            has, need = round(node.get(kind, 0.0) * _UNITS), int(wanted * _UNITS)  # a node's are cut already
            if kind == "GPU" and need < _UNITS:  # a share lies on one GPU
                fits.append(has // _UNITS * (_UNITS // need))
            else:
                fits.append(has // need)
        return min(fits)

    def describe(self, has: Mapping[str, float] | None = None) -> str:
        """In words, what a worker wants; or of what it wants, how much there is."""
        wanted = self.bundle() | {"GPU": self.gpus}
        amounts = wanted if has is None else {kind: has.get(kind, 0.0) for kind in wanted}
        words = [f"{_counted(amounts['CPU'], 'processor')} and {_counted(amounts['GPU'], 'GPU')}"]
        if "memory" in amounts:
            words.append(f"{amounts['memory'] / GIB:.3g} GiB of memory")
        return ", ".join(words + [f"{amounts[name]:g} {name}" for name in self.resources])


def _counted(number: float, thing: str) -> str:
    return f"{number:g} {thing}" if number == 1 else f"{number:g} {thing}s"


def check_gpus(gpus: float) -> None:
    """Refuse what Ray cannot give: a part of a GPU besides whole ones, or less than it can count.

    Raises:
        FieldError: ``gpus`` and the rule.
    """
    if not _is_number(gpus) or not (gpus == 0 or 1 / _UNITS <= gpus <= 64):
        raise FieldError("gpus", f"must be 0, a share from 0.0001 to 1, or up to 64 whole ones, got {gpus!r}")
    if gpus > 1 and gpus != int(gpus):
        raise FieldError("gpus", f"must be a whole number above 1, or a share of one GPU, got {gpus!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
