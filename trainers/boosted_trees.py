"""Gradient-boosted regression trees that are fitted once, kept as plain arrays, and evaluated with NumPy.

scikit-learn fits them (Friedman 2001). What is kept is arrays in an ``.npz`` file, which holds no code,
unlike a pickled model; evaluation walks all trees at once and is fast for one point too.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_ARRAYS = ("left", "right", "feature", "threshold", "value", "scalars")
_CHUNK = 64  # points: what a step reads and writes stays in the processor's cache
SETTINGS = {"n_estimators": 3000, "max_depth": 3, "learning_rate": 0.04, "subsample": 0.7}


class FitQuality(NamedTuple):
    """How well held-out points are predicted: R², and Kendall's rank correlation."""

    r2: float
    tau: float


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """A sum of trees; shapes in letters: T trees, K nodes of the largest tree.

    Attributes:
        left, right: (T, K) children of a node; a leaf is its own child.
        feature, threshold: (T, K); a point goes left where its feature is at most the threshold.
        value: (T, K) of the leaves, already times the learning rate.
        scalars: (5,) the constant, the depth, the number of features, held-out R², held-out tau.
    """

    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: Floats
    value: Floats
    scalars: Floats

    @property
    def quality(self) -> FitQuality:
        """On the fifth of the points that was held out once, before the fit on all."""
        return FitQuality(float(self.scalars[3]), float(self.scalars[4]))

    @property
    def features(self) -> int:
        """Columns of a point."""
        return int(self.scalars[2])

    def predict(self, points: npt.ArrayLike) -> Floats:
        """Values (N,) at points (N, features)."""
        x = np.asarray(points, dtype=np.float32)  # as scikit-learn compares them
        trees, nodes = self.left.shape
        first = np.arange(trees, dtype=np.int32) * nodes  # (T,) roots, where all trees stand in one row
        left, right = ((side + first[:, None]).ravel() for side in (self.left, self.right))
        feature, threshold, value = self.feature.ravel(), self.threshold.ravel(), self.value.ravel()
        found = np.empty(len(x))
        for start in range(0, len(x), _CHUNK):
            part = x[start : start + _CHUNK]
            rows = np.arange(len(part), dtype=np.int32)[:, None] * part.shape[1]
            node = np.broadcast_to(first, (len(part), trees))
            for _ in range(int(self.scalars[1])):
                goes_left = part.ravel().take(rows + feature.take(node)) <= threshold.take(node)
                node = np.where(goes_left, left.take(node), right.take(node))
            found[start : start + len(part)] = self.scalars[0] + value.take(node).sum(axis=1)
        return found

    def digest(self) -> str:
        """SHA-256 of everything that decides a prediction."""
        hashed = hashlib.sha256()
        for name in _ARRAYS[:-1]:
            hashed.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        hashed.update(self.scalars[:3].tobytes())  # how good it is decides nothing
        return hashed.hexdigest()

    def save(self, path: Path, made_from: str) -> None:
        """Write an ``.npz`` file.

        Args:
            path: whole or not at all.
            made_from: identifies the data, for `load`.
        """
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.npz")
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        try:
            np.savez_compressed(unfinished, made_from=np.array(made_from), **arrays)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path, made_from: str) -> BoostedTrees | None:
        """What `save` wrote; None where the file is not there, broken, or of other data."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if str(arrays["made_from"]) != made_from:
                    return None
                return cls(**{name: arrays[name] for name in _ARRAYS})
        except Exception:  # a damaged cache can fail in many ways, and is fitted again
            return None


def fit_boosted_trees(points: npt.ArrayLike, values: npt.ArrayLike) -> BoostedTrees:
    """Fit on all points, after a fit on four fifths that tells how good it is on the rest.

    Args:
        points: (N, features), at least 20.
        values: (N,).
    """
    from scipy.stats import kendalltau

    x, y = np.asarray(points, dtype=np.float64), np.asarray(values, dtype=np.float64)
    order = np.random.default_rng(0).permutation(len(y))
    held, rest = order[: len(y) // 5], order[len(y) // 5 :]
    predicted = _fit(x[rest], y[rest]).predict(x[held])
    spread = float(((y[held] - y[held].mean()) ** 2).sum())
    r2 = 1.0 - float(((predicted - y[held]) ** 2).sum()) / spread if spread > 0 else 0.0
    tau = float(np.nan_to_num(kendalltau(predicted, y[held]).statistic))
    trees = _fit(x, y)
    trees.scalars[3:] = (r2, tau)
    return trees


def _fit(x: Floats, y: Floats) -> BoostedTrees:
    from sklearn.ensemble import GradientBoostingRegressor

    leaf = min(10, max(1, len(y) // 50))
    model = GradientBoostingRegressor(**SETTINGS, min_samples_leaf=leaf, random_state=0).fit(x, y)
    trees = [estimator.tree_ for estimator in model.estimators_[:, 0]]
    nodes = max(tree.node_count for tree in trees)
    shape = (len(trees), nodes)
    left = np.tile(np.arange(nodes, dtype=np.int32), (len(trees), 1))
    right, feature = left.copy(), np.zeros(shape, dtype=np.int32)
    threshold, value = np.zeros(shape), np.zeros(shape)
    for row, tree in enumerate(trees):
        inner = np.flatnonzero(tree.children_left >= 0)
        left[row, inner], right[row, inner] = tree.children_left[inner], tree.children_right[inner]
        feature[row, inner], threshold[row, inner] = tree.feature[inner], tree.threshold[inner]
        value[row, : tree.node_count] = SETTINGS["learning_rate"] * tree.value[:, 0, 0]
    constant = float(np.ravel(model.init_.constant_)[0])
    scalars = np.array([constant, SETTINGS["max_depth"], x.shape[1], 0.0, 0.0])
    return BoostedTrees(left, right, feature, threshold, value, scalars)
