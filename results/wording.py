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


def cost_of_unit(value: float | None, cost: str) -> str:
    """A cost with its unit: ``300 M MACs``, ``4.1 M parameters``, ``21.3 ms``."""
    if cost == "latency_ms":
        return "-" if value is None else f"{value:.3g} ms"
    return f"{count(value)} {COST_NAMES.get(cost, cost)}"


def percent(share: float | None) -> str:
    """0.9633 as ``96.33 %``."""
    return "-" if share is None else f"{100 * share:.2f} %"


def count_of(number: int, one: str, many: str | None = None) -> str:
    """``1 seed``, ``3 seeds``, ``10,000 classes``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def networks(number: int) -> str:
    """10000 as ``10,000 networks``."""
    return count_of(number, "network")
