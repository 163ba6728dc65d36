"""The grid search for alpha, beta and gamma on a baseline of one's own, and what it found.

Source: arXiv 1905.11946, section 3.3, step 1: phi is 1, twice the MACs, a small grid; the best by accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nas.repeated import Margin, Repeated, repeated
from nas.scaling_grid import GridPoint, grid_points
from nas.scaling_run import Member, Plan
from nas.scaling_settings import GridSettings
from search_space import Architecture, cost


def grid_plan(baseline: Architecture, points: Sequence[GridPoint], settings: GridSettings) -> Plan:
    """What a grid search trains: the baseline and every point, and contenders again while noise demands it.

    Args:
        baseline: what is scaled.
        points: of the grid, see `grid_points`.
        settings: how often each is trained.
    """
    names = ("alpha", "beta", "gamma")
    members = [Member(architecture=baseline, choices=dict.fromkeys(names, 1.0))]
    members += [
        Member(architecture=p.architecture, choices={"alpha": p.alpha, "beta": p.beta, "gamma": p.gamma})
        for p in points
    ]

    def more(accuracies: Sequence[Sequence[float]], tried: Sequence[int]) -> list[int]:
        places = [place for place in range(1, len(members)) if accuracies[place]]
        if not places:
            return []
        measured = repeated([accuracies[place] for place in places])
        close = measured.close()
        contenders = [places[index] for index in [measured.order()[0], *close]] if close else []
        return sorted(place for place in contenders if tried[place] < settings.max_seeds)

    return Plan(members=tuple(members), seeds=settings.seeds, most=settings.max_seeds, more=more)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridFindings:
    """What a grid search found.

    Attributes:
        baseline: what was scaled.
        macs: the baseline's multiply-adds.
        points: those with an accuracy, the best first.
        measured: their accuracies, in that order.
        alone: the baseline's accuracies; empty where every training of it failed.
        left_out: points of which every training failed.
        failed: trainings that failed.
    """

    baseline: Architecture
    macs: int
    points: tuple[GridPoint, ...]
    measured: Repeated
    alone: tuple[float, ...]
    left_out: int
    failed: int

    @property
    def chosen(self) -> GridPoint:
        """The point of highest mean accuracy; of equal ones the cheaper."""
        return self.points[0]

    @property
    def margin(self) -> Margin | None:
        """The chosen point's over the runner-up's; None where there is no other."""
        return self.measured.margin(0, 1) if len(self.points) > 1 else None

    @property
    def gain(self) -> Margin | None:
        """The chosen point's margin over the baseline, by the noise of all; None without a baseline."""
        if not self.alone:
            return None
        return repeated([self.alone, *self.measured.accuracies]).margin(1, 0)

    @property
    def close(self) -> list[GridPoint]:
        """The points that cannot be told apart from the chosen."""
        return [self.points[index] for index in self.measured.close()]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        margin, gain, chances = self.margin, self.gain, self.measured.chances()
        return {
            "baseline": {
                "name": self.baseline.name,
                "key": self.baseline.key,
                "macs": self.macs,
                "accuracies": list(self.alone),
            },
            "points": [
                {
                    "alpha": point.alpha,
                    "beta": point.beta,
                    "gamma": point.gamma,
                    "nominal": point.nominal,
                    "macs_factor": point.macs_factor,
                    "macs": point.macs,
                    "params": point.params,
                    "image_size": point.architecture.image_size,
                    "aliases": point.aliases,
                    "key": point.architecture.key,
                    "accuracy": self.measured.means[index],
                    "error": self.measured.error(index),
                    "accuracies": list(self.measured.accuracies[index]),
                    "chance": None if chances is None else chances[index],
                }
                for index, point in enumerate(self.points)
            ],
            "chosen": {"alpha": self.chosen.alpha, "beta": self.chosen.beta, "gamma": self.chosen.gamma},
            "margin": None if margin is None else margin.to_json(),
            "gain": None if gain is None else gain.to_json(),
            "close": len(self.close),
            "deviation": self.measured.deviation,
            "left_out": self.left_out,
            "failed": self.failed,
        }


def grid_findings(
    baseline: Architecture,
    points: Sequence[GridPoint],
    accuracies: Sequence[Sequence[float]],
    failed: Sequence[int],
    num_classes: int,
    in_channels: int,
) -> GridFindings | None:
    """What came of a grid search; None where no point has an accuracy.

    Args:
        baseline, points: what was trained.
        accuracies, failed: of the baseline and then of every point, see `ScalingEnd`.
        num_classes, in_channels: of the networks, for their cost.
    """
    done = [place for place, its in enumerate(accuracies) if its and place > 0]
    if not done:
        return None
    best_first = [done[index] for index in repeated([accuracies[place] for place in done]).order()]
    return GridFindings(
        baseline=baseline,
        macs=cost(baseline, num_classes, in_channels).macs,
        points=tuple(points[place - 1] for place in best_first),
        measured=repeated([accuracies[place] for place in best_first]),
        alone=tuple(accuracies[0]),
        left_out=len(points) - len(done),
        failed=sum(failed),
    )


__all__ = ["GridFindings", "GridPoint", "grid_findings", "grid_plan", "grid_points"]
