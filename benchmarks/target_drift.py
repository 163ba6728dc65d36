"""How far from their target objectives end, on networks that were trained.

    python -m benchmarks.target_drift TABLE                        # minutes
    python -m benchmarks.target_drift TABLE --seeds 0              # seconds: what the table's best would be

TABLE is Accel-NASBench's archive. The first tables give the network of the archive that each objective
rewards most, which is what a perfect search would find, for targets at five quantiles of its costs:
multiply-adds, and the latency that the archive's authors measured on a device. The last gives what real
searches recommend: the default controller on a replay of the archive, whose regressor answers for networks it
does not hold, with the noise of repeated training.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from controller import Objective, Outcome, create_controller
from search_space import Limits, load_space
from trainers import TableEvaluator, TableSource, load_table_evaluator

Floats = npt.NDArray[np.float64]
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
SEARCHED = (0.1, 0.5, 0.9)
NOISE = 0.31  # accuracy points; what Accel-NASBench's authors saw between seeds
BATCH = 8
FORMS: Mapping[str, Mapping[str, Any]] = {
    "soft, -0.07": {},
    "doubling_gain 0.02": {"doubling_gain": 0.02},
    "doubling_gain 0.1": {"doubling_gain": 0.1},
    "hard": {"form": "hard"},
    "absolute, -0.03": {"form": "absolute", "beta": -0.03},
    "absolute, -0.07": {"form": "absolute", "beta": -0.07},
    "absolute, -0.1": {"form": "absolute", "beta": -0.1},
    "absolute, -0.2": {"form": "absolute", "beta": -0.2},
}
LIMITED = "limits and hard"  # no network above T is trained
SEARCHES = ("soft, -0.07", "hard", LIMITED, "absolute, -0.07", "absolute, -0.1", "absolute, -0.2")


def best_of(objective: Objective, accuracy: Floats, cost: Floats) -> int:
    """The place of the network with the highest reward."""
    rewards = [objective.reward(float(a), float(c)) for a, c in zip(accuracy, cost, strict=True)]
    return int(np.argmax(rewards))


def exact(title: str, accuracy: Floats, cost: Floats, unit: float, name: str) -> None:
    """The best network of the archive by each objective: cost over target, and accuracy."""
    targets = [float(np.quantile(cost, quantile)) for quantile in QUANTILES]
    print(f"\n{title}: cost / T and accuracy of the best of {len(cost):,} networks\n")
    print_row("objective", [f"T = {target / unit:.3g} {name}" for target in targets])
    print_row("---", ["---"] * len(targets))
    for form, values in FORMS.items():
        cells = []
        for target in targets:
            place = best_of(Objective(target=target, **values), accuracy, cost)
            cells.append(f"{cost[place] / target:.2f}, {100 * accuracy[place]:.2f} %")
        print_row(form, cells)


def searched(evaluator: TableEvaluator, form: str, target: float, candidates: int, seed: int) -> list[float]:
    """What one search recommends: cost over target, and accuracy without noise."""
    limited = form == LIMITED
    objective = Objective(target=target, **FORMS["hard" if limited else form])
    space = load_space("accel-nasbench").limited(Limits(macs=target if limited else None))
    controller = create_controller("dyna", space, seed, objective)
    rng = np.random.default_rng(1_000_003 + seed)
    for first in range(0, candidates, BATCH):
        proposals = controller.ask(min(BATCH, candidates - first))
        points = [proposal.indices for proposal in proposals]
        accuracy, cost = measured(evaluator, points)
        noisy = np.clip(accuracy + 0.01 * NOISE * rng.standard_normal(len(points)), 0.0, 1.0)
        pairs = zip(noisy.tolist(), cost.tolist(), strict=True)
        controller.tell(proposals, [Outcome(a, c, objective.reward(a, c)) for a, c in pairs])
    accuracy, cost = measured(evaluator, [controller.recommend()])
    return [float(cost[0]) / target, float(accuracy[0])]


def measured(evaluator: TableEvaluator, points: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
    """Accuracies without noise and multiply-adds (N,) of points."""
    cost = evaluator.space.known_cost(points, "macs")
    assert cost is not None  # a space of stages
    return evaluator.accuracies(points), cost


def searches(evaluator: TableEvaluator, candidates: int, seeds: int) -> None:
    """What the default controller recommends: the median over seeds, and the extremes of cost over target."""
    cost = evaluator.space.known_cost(evaluator.table.points, "macs")
    assert cost is not None
    targets = [float(np.quantile(cost, quantile)) for quantile in SEARCHED]
    what = f"recommended after {candidates} candidates, median [lowest, highest] of {seeds} seeds"
    print(f"\nMACs: cost / T and true accuracy of what is {what}\n")
    print_row("objective", [f"T = {target / 1e6:.3g} M" for target in targets])
    print_row("---", ["---"] * len(targets))
    for form in SEARCHES:
        cells = []
        for target in targets:
            ends = [searched(evaluator, form, target, candidates, seed) for seed in range(1, seeds + 1)]
            drifts, accuracies = zip(*ends, strict=True)
            middle = f"{statistics.median(drifts):.2f} [{min(drifts):.2f}, {max(drifts):.2f}]"
            cells.append(f"{middle}, {100 * statistics.median(accuracies):.2f} %")
        print_row(form, cells)


def print_row(name: str, cells: Sequence[str]) -> None:
    """A row of a table in Markdown."""
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", help="Accel-NASBench's archive")
    parser.add_argument("--seeds", type=int, default=3, help="of the searches; 0 searches nothing")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--latency", default="latency_zcu102", help="a column in milliseconds")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # as on any machine
    began = time.perf_counter()
    evaluator = load_table_evaluator(TableSource(path=given.table), load_space("accel-nasbench"))
    table = evaluator.table
    if given.latency not in table.metrics:
        parser.error(f"--latency must be one of {', '.join(table.metrics)}")
    macs = evaluator.space.known_cost(table.points, "macs")
    assert macs is not None
    exact("MACs", table.accuracy, macs, 1e6, "M")
    latency = table.metrics[given.latency]
    known = np.isfinite(latency)
    exact(given.latency, table.accuracy[known], latency[known], 1.0, "ms")
    if given.seeds:
        searches(evaluator, given.candidates, given.seeds)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
