"""Tables and figures of `sample_efficiency`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.replay import rewards
from results.pareto import hypervolume, pareto_front
from search_space import load_architecture
from trainers.table import TableEvaluator

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]
FRONT = Path("runs/sample_efficiency_front.npz")
FIGURE = Path("docs/images/sample-efficiency.png")
WORST, MOST = 0.5, 660e6  # the reference point of the hypervolume: accuracy, MACs
NEVER = float("inf")


class Truth:
    """What the replay holds, found by exhaustive local search and not by a compared method.

    Attributes:
        best: the highest reward known.
        b0: EfficientNet-B0's.
        front: hypervolume of the best front known.
    """

    def __init__(self, evaluator: TableEvaluator) -> None:
        self._evaluator, self._space = evaluator, evaluator.space
        self._tables = self._space.tables()  # type: ignore[attr-defined]
        b0 = np.array([self._space.encode(load_architecture("efficientnet_b0"))])
        self.b0 = float(self._rewards(b0)[0])
        accuracy, macs = self._front()
        self.front = hypervolume(accuracy, macs, WORST, MOST)
        self.best = max(float(rewards(accuracy, macs).max()), self._hill_climb())

    def _both(self, points: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        return self._evaluator.accuracies(points), self._tables.cost(points)[0].astype(np.float64)

    def _rewards(self, points: npt.NDArray[np.int64]) -> Floats:
        return rewards(*self._both(points))

    def _neighbours(self, points: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """All points that differ from one of these in one decision."""
        made = []
        for d, decision in enumerate(self._space.decisions):
            for choice in range(len(decision.choices)):
                changed = points.copy()
                changed[:, d] = choice
                made.append(changed)
        return np.unique(np.concatenate(made), axis=0)

    def _hill_climb(self, starts: int = 6) -> float:
        """Steepest ascent by one and, at its end, two exchanges."""
        rng, best = np.random.default_rng(0), 0.0
        for _ in range(starts):
            points = np.array([self._space.random(rng) for _ in range(200)])
            here, value = points[[np.argmax(self._rewards(points))]], 0.0
            while True:
                near = self._neighbours(here)
                if self._rewards(near).max() <= value:
                    near = self._neighbours(near)
                found = self._rewards(near)
                if found.max() <= value:
                    break
                here, value = near[[np.argmax(found)]], float(found.max())
            best = max(best, value)
        return best

    def _front(self) -> tuple[Floats, Floats]:
        """Expand every point of the front to its neighbours until it stands still."""
        if FRONT.is_file():
            saved = np.load(FRONT)
            if str(saved["table"]) == self._evaluator.fingerprint:
                return saved["accuracy"], saved["macs"]
        rng = np.random.default_rng(0)
        points = np.array([self._space.random(rng) for _ in range(3000)])
        expanded: set[bytes] = set()
        while True:
            accuracy, macs = self._both(points)
            kept = pareto_front(accuracy, macs)
            points, accuracy, macs = points[kept], accuracy[kept], macs[kept]
            new = np.array([point.tobytes() not in expanded for point in points]) & (macs < MOST)
            if not new.any():
                break
            expanded |= {point.tobytes() for point in points[new]}
            points = np.concatenate([points, self._neighbours(points[new])])
        np.savez(FRONT, accuracy=accuracy, macs=macs, table=np.array(self._evaluator.fingerprint))
        return accuracy, macs


def report(evaluator: TableEvaluator, rows: list[Row], seeds: int, page: Path | None) -> None:
    """Print the tables, draw the figure, and put the tables into a page if one is given."""
    truth = Truth(evaluator)
    rows = [row for row in rows if row["seed"] <= seeds]
    truth.best = max([truth.best, *(max(row["true"]) for row in rows if "true" in row)])
    assert evaluator.trees is not None
    quality = evaluator.trees.quality
    lines = [
        f"Best reward known {truth.best:.5f}, EfficientNet-B0's {truth.b0:.5f}; regressor: held-out R² "
        f"{quality.r2:.3f}, Kendall's τ {quality.tau:.3f}. Medians [quartiles] over seeds.",
        "",
        *_table(rows, "exact", _exact_columns(truth)),
        "",
        *_table(rows, "noisy", _noisy_columns(truth)),
        "",
        *_table(rows, "front", _front_columns(truth)),
    ]
    text = "\n".join(lines)
    print(text)
    _draw(rows, truth)
    if page is not None:
        start, end = "<!-- measured -->", "<!-- /measured -->"
        before = page.read_text()
        page.write_text(
            re.sub(f"{start}.*{end}", lambda _: f"{start}\n{text}\n{end}", before, flags=re.DOTALL)
        )


Column = Callable[[Row], float]


def _exact_columns(truth: Truth) -> dict[str, Column]:
    return {
        "networks until B0's reward": lambda row: _first(np.array(row["true"]) >= truth.b0),
        "networks until regret ≤ 0.0030": lambda row: _first(_regret(row, truth) <= 0.0030),
        "regret at 100": lambda row: float(_regret(row, truth)[99]),
    }


def _noisy_columns(truth: Truth) -> dict[str, Column]:
    return {
        "networks until true regret ≤ 0.0100": lambda row: _first(_bet_regret(row, truth) <= 0.0100),
        "true regret at 100": lambda row: float(_bet_regret(row, truth)[99]),
        "true regret at 200": lambda row: float(_bet_regret(row, truth)[199]),
    }


def _front_columns(truth: Truth) -> dict[str, Column]:
    def share(n: int) -> Column:
        return lambda row: _volume(row, n) / truth.front

    return {f"share of the front's hypervolume at {n}": share(n) for n in (100, 200, 500)}


def _first(reached: npt.NDArray[np.bool_]) -> float:
    at = np.flatnonzero(reached)
    return float(at[0] + 1) if len(at) else NEVER


def _regret(row: Row, truth: Truth) -> Floats:
    return truth.best - np.maximum.accumulate(np.array(row["true"]))


def _bet_regret(row: Row, truth: Truth) -> Floats:
    return truth.best - np.array(row["recommended"])


def _volume(row: Row, n: int) -> float:
    return hypervolume(row["accuracy"][:n], row["macs"][:n], WORST, MOST)


def _table(rows: list[Row], kind: str, columns: dict[str, Column]) -> list[str]:
    """Markdown; methods in the order of the first column's median."""
    found = {}
    for method in dict.fromkeys(row["method"] for row in rows if row["kind"] == kind):
        mine = [row for row in rows if row["kind"] == kind and row["method"] == method]
        values = {name: np.array([column(row) for row in mine]) for name, column in columns.items()}
        budget = mine[0]["budget"]
        cells = [_cell(value, budget) for value in values.values()]
        time = np.median([row["ms_per_proposal"] for row in mine])
        order = [float(np.median(value)) for value in values.values()]
        sign = -1.0 if kind == "front" else 1.0
        key = (sign * order[-1], order[0]) if kind != "exact" else (order[0], order[1])
        found[method] = (key, [method, str(len(mine)), *cells, f"{time:.1f}"])
    heads = ["method", "seeds", *columns, "ms a proposal"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return lines + [f"| {' | '.join(cells)} |" for _, cells in sorted(found.values())]


def _cell(values: Floats, budget: int) -> str:
    """Median and quartiles, which may be runs that never got there."""
    low, middle, high = (float(np.sort(values)[round(q * (len(values) - 1))]) for q in (0.25, 0.5, 0.75))

    def text(value: float) -> str:
        if value == NEVER:
            return f"> {budget}"
        return f"{value:.0f}" if value >= 1 else f"{value:.4f}" if value < 0.2 else f"{value:.3f}"

    return f"{text(middle)} [{text(low)}, {text(high)}]"


def _draw(rows: list[Row], truth: Truth) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 5.2), layout="constrained")
    panels = figure.subplots(1, 3)
    curves: list[tuple[str, str, Callable[[Row], Floats]]] = [
        ("exact", "without noise: regret of the best seen", lambda row: _regret(row, truth)),
        ("noisy", "noise 0.31 points: true regret of the recommendation", lambda r: _bet_regret(r, truth)),
        ("front", "accuracy and MACs: share of the hypervolume", lambda row: _volumes(row, truth)),
    ]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    colours = {method: f"C{number % 10}" for number, method in enumerate(methods)}
    styles = {method: "--" if number >= 10 else "-" for number, method in enumerate(methods)}
    for panel, (kind, title, curve) in zip(panels, curves, strict=True):
        mine = [row for row in rows if row["kind"] == kind]
        for method in dict.fromkeys(row["method"] for row in mine):
            lines = np.array([curve(row) for row in mine if row["method"] == method])
            lines = lines[:, :500]
            x = np.arange(1, lines.shape[1] + 1) * (1 if kind != "front" else 10)
            low, middle, high = np.quantile(lines, [0.25, 0.5, 0.75], axis=0)
            ours = method.startswith("dyna")
            colour = colours[method]
            width = 2 if ours else 1
            panel.plot(x, middle, styles[method], label=method, linewidth=width, color=colour)
            panel.fill_between(x, low, high, alpha=0.12, color=colour)
        panel.set_title(title)
        panel.set_xlabel("networks")
        panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=3)
        panel.grid(alpha=0.3)
        if kind != "front":
            panel.set_yscale("log")
            panel.set_ylim(5e-4, 0.06)
            panel.set_xlim(8, 500)
        else:
            panel.set_ylim(0.6, 1.0)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=110)
    print(f"\nwrote {FIGURE}")


def _volumes(row: Row, truth: Truth) -> Floats:
    return np.array([_volume(row, n) for n in range(10, len(row["macs"]) + 1, 10)]) / truth.front
