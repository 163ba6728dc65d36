"""How many measured networks a model of latency needs, and what other predictors make of the same ones.

``python -m benchmarks.latency_predictor SPACE MEASUREMENTS.jsonl``, where the measurements are those that
``nas latency fit SPACE -o latency.json`` keeps beside its model. For several splits, a part is held out, and
from the rest more and more networks are fitted:

- additive: the model of ``nas latency fit``;
- additive, few features: with only some measures of each kind of operator;
- boosted trees: of the logarithm of the latency, on the same features, and on the choices of the space;
- MACs alone: a straight line with the least relative error.

Nothing is measured here, and the order of the table is that of the code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import GradientBoostingRegressor

from nas.console import print_json, print_table
from nas.latency_fit import feature_matrix, first_measurements
from nas.latency_regression import fit_rates, relative_error, spearman
from nas.latency_samples import SampleFile
from search_space import InputError, StageSpace, cost, load_space

Floats = npt.NDArray[np.float64]
Predictor = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], Floats]
SIZES = (25, 50, 100, 200, 300)
TREES = {"n_estimators": 500, "max_depth": 3, "learning_rate": 0.05, "subsample": 0.7, "random_state": 0}
FEW = {
    "additive, MACs by kind": ("macs",),
    "additive, MACs and values by kind": ("macs", "values"),
    "additive, without weights": ("operators", "macs", "values"),
}


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a predictor that was fitted to so many networks predicts others, in the mean over splits."""

    predictor: str
    networks: int
    spearman: float
    mape: float


class Problem:
    """Measured networks as arrays: N networks, F features, D decisions.

    Attributes:
        names: of the features (F).
        amounts: (N, F).
        points: (N, D) indices of choices.
        macs, ratios: (N,) multiply-adds, and times the reference's latency.
    """

    def __init__(self, space: StageSpace, path: Path) -> None:
        file = SampleFile(path, space)
        if file.conditions is None:
            raise InputError(f"{path}: holds no measurements")
        samples = first_measurements(file.samples)
        networks = [sample.architecture for sample in samples]
        classes = (file.conditions.num_classes, file.conditions.in_channels)
        self.names, self.amounts = feature_matrix(networks, *classes)
        self.points = np.array([space.encode(network) for network in networks], dtype=np.float64)
        self.macs = np.array([cost(network, *classes).macs for network in networks], dtype=np.float64)
        self.ratios = np.array([sample.ratio for sample in samples])

    def predictors(self) -> dict[str, Predictor]:
        """By name: from the places of the networks to fit and of those to predict, predictions."""

        def linear(columns: Floats) -> Predictor:
            def predict(fitted: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> Floats:
                varies = np.ptp(columns[fitted], axis=0) > 0
                intercept, rates = fit_rates(columns[fitted][:, varies], self.ratios[fitted])
                predicted: Floats = intercept + columns[others][:, varies] @ rates
                return predicted

            return predict

        def trees(columns: Floats) -> Predictor:
            def predict(fitted: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> Floats:
                model = GradientBoostingRegressor(**TREES).fit(columns[fitted], np.log(self.ratios[fitted]))
                predicted: Floats = np.exp(model.predict(columns[others]))
                return predicted

            return predict

        found = {"additive": linear(self.amounts)}
        for name, measures in FEW.items():
            kept = [feature.partition(".")[2] in measures for feature in self.names]
            found[name] = linear(self.amounts[:, kept])
        found["boosted trees, same features"] = trees(self.amounts)
        found["boosted trees, choices"] = trees(self.points)
        found["MACs alone"] = linear(self.macs[:, None])
        return found


def curve(problem: Problem, held_out: int, sizes: Sequence[int], splits: int) -> list[Quality]:
    """For each predictor and size the mean over splits of Spearman and relative error on held-out ones."""
    found = []
    for name, predict in problem.predictors().items():
        for size in sizes:
            ranks, errors = [], []
            for split in range(splits):
                order = np.random.default_rng(split).permutation(len(problem.ratios))
                others, rest = order[:held_out], order[held_out:]
                predicted, measured = predict(rest[:size], others), problem.ratios[others]
                ranks.append(spearman(predicted, measured))
                errors.append(relative_error(predicted, measured))
            found.append(Quality(name, size, float(np.mean(ranks)), float(np.mean(errors))))
    return found


def main() -> None:
    """Read the measurements, and print the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("space", help="a preset or a YAML file")
    parser.add_argument("measurements", type=Path)
    parser.add_argument("--held-out", type=int, default=100)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the numbers instead of a table")
    options = parser.parse_args()
    problem = Problem(load_space(options.space), options.measurements)
    rest = len(problem.ratios) - options.held_out
    sizes = [size for size in SIZES if size <= rest]
    if not sizes:
        raise SystemExit(f"{len(problem.ratios)} networks are measured, and {options.held_out} are held out")
    found = curve(problem, options.held_out, sizes, options.splits)
    if options.json:
        print_json([asdict(one) for one in found])
        return
    rows = []
    for name in dict.fromkeys(one.predictor for one in found):
        mine = [one for one in found if one.predictor == name]
        rows.append((name, *(f"{one.spearman:.3f} / {100 * one.mape:.1f} %" for one in mine)))
    title = f"{len(problem.ratios)} networks, {options.held_out} held out, mean of {options.splits} splits"
    print_table(("Spearman / mean error", *(f"{size} fitted" for size in sizes)), rows, title)


if __name__ == "__main__":
    main()
