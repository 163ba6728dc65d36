"""Numbers as people write them."""

from __future__ import annotations


def count(number: float | None) -> str:
    """5288548 as ``5.29 M``."""
    if number is None:
        return "-"
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * unit:  # what would round to 1000 of the next smaller
            return f"{number / unit:.3g} {letter}"
    return f"{number:g}"


COST_NAMES = {"macs": "MACs", "params": "parameters", "latency_ms": "latency"}


def amount(cost: float | None, name: str, *, unit: bool = True) -> str:
    """A cost by its name: ``300 M MACs``, ``300 M`` without the unit, ``12.5 ms`` in any case."""
    if cost is not None and name.endswith("_ms"):
        return f"{cost:.3g} ms"
    return f"{count(cost)} {COST_NAMES.get(name, name)}" if unit else count(cost)


def percent(share: float | None) -> str:
    """0.9633 as ``96.33 %``."""
    return "-" if share is None else f"{100 * share:.2f} %"


def count_of(number: int, one: str, many: str | None = None) -> str:
    """``1 seed``, ``3 seeds``, ``10,000 classes``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def networks(number: int) -> str:
    """10000 as ``10,000 networks``."""
    return count_of(number, "network")
