"""Seconds for Pareto fronts and hypervolumes, beside pymoo and moocore in the same run; results must agree.

    python benchmarks/pareto_time.py                              100,000 points
    python benchmarks/pareto_time.py --points 2000 10000 1000000

Processor seconds, the median of several rounds. The points are random in the unit cube, on one front (none
dominates another: the worst case of most algorithms), or all equal. Fronts stand beside pymoo's non-dominated
sorting for the first front, hypervolumes beside moocore's; both compute in C. They come with the extra
``pip install '.[peers]'``; without it our own times stand alone.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from results.pareto import Floats, dominated_volume, hypervolume_curve, non_dominated

KINDS = ("random", "on one front", "all equal")


def points_of(kind: str, number: int, objectives: int) -> Floats:
    """Points (number, objectives), to be lowered."""
    rng = np.random.default_rng(0)
    if kind == "random":
        return rng.random((number, objectives))
    if kind == "all equal":
        return np.full((number, objectives), 0.5)
    simplex = rng.dirichlet(np.ones(objectives), number)
    simplex[:, :-1] = np.round(simplex[:, :-1] * 2**40) / 2**40  # such numbers are added without rounding
    simplex[:, -1] = 1.0 - simplex[:, :-1].sum(axis=1)
    return simplex


def timed(call: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Median processor seconds, and what was computed."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        result = call()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds), result


def peers() -> tuple[Callable[[Floats], Any], Callable[[Floats, Floats], float]] | None:
    """A peer's front and hypervolume; None, with a line, where they are not installed."""
    try:
        import moocore
        from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting
    except ImportError as error:
        print(f"no peers: {error}; pip install '.[peers]' brings them")
        return None

    def front(points: Floats) -> Any:
        return NonDominatedSorting().do(points, only_non_dominated_front=True)

    def volume(points: Floats, reference: Floats) -> float:
        return float(moocore.hypervolume(points, ref=reference))

    return front, volume


def line(name: str, own: float, peer: float | None) -> None:
    """One row of the table."""
    beside = "" if peer is None else f" {peer:9.4f} s {own / max(peer, 1e-9):10.1f} x"
    print(f"{name:44} {own:9.4f} s{beside}", flush=True)


def table(number: int, rounds: int) -> None:
    """Every kind of points, in two and three objectives."""
    others = peers()
    beside = "" if others is None else "      peer   ours / peer"
    print(f"{number:,} points{'':34} ours{beside}")
    for objectives in (2, 3):
        for kind in KINDS:
            points, reference = points_of(kind, number, objectives), np.ones(objectives)
            own, front = timed(partial(non_dominated, points), rounds)
            own_volume, volume = timed(partial(dominated_volume, points, reference), rounds)
            peer = peer_volume = None
            if others is not None:
                peer, its_front = timed(partial(others[0], points), rounds)
                # of equal points pymoo keeps all
                assert len(front) == len(np.unique(points[its_front], axis=0)), "the fronts differ"
                peer_volume, its_volume = timed(partial(others[1], points, reference), rounds)
                assert math.isclose(volume, its_volume, rel_tol=1e-9), "the hypervolumes differ"
            what = f"{objectives} objectives, {kind}"
            line(f"{what}: front of {len(front):,}", own, peer)
            line(f"{what}: hypervolume", own_volume, peer_volume)
    for kind in KINDS:
        points = points_of(kind, number, 2)
        accuracy, cost = 1.0 - points[:, 1], points[:, 0]
        own, _ = timed(partial(hypervolume_curve, accuracy, cost, 0.0, 1.0), rounds)
        line(f"{kind}: hypervolume after each point", own, None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, nargs="+", default=[100_000])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for number in given.points:
        table(number, given.rounds)


if __name__ == "__main__":
    main()
