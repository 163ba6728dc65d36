"""The regressor of a replayed table: its trees, and where they are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_space import StageSpace, load_space
from tests.tables import SPACE, accuracy, load, rows_of, write_csv
from trainers import boosted_trees
from trainers.boosted_trees import BoostedTrees, fit_boosted_trees

FEW = {"n_estimators": 30, "max_depth": 3, "learning_rate": 0.2, "subsample": 0.7}


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(boosted_trees, "SETTINGS", FEW)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def space() -> StageSpace:
    return load_space(SPACE)


# --- boosted trees ---------------------------------------------------------------------------------------


def some_points(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).integers(4, size=(n, 5))
    return x, np.sin(x[:, 0]) + 0.3 * x[:, 1] * x[:, 2]


@pytest.mark.parametrize("depth", [1, 3, 5])
@pytest.mark.parametrize("whole", [True, False], ids=["choices", "numbers"])
def test_trees_predict_what_scikit_learn_predicts(depth: int, whole: bool, monkeypatch) -> None:
    from sklearn.ensemble import GradientBoostingRegressor

    settings = {**FEW, "max_depth": depth}
    monkeypatch.setattr(boosted_trees, "SETTINGS", settings)
    x, y = some_points(200)
    others = np.random.default_rng(1).integers(-1, 6, size=(1500, 5))  # more than one chunk
    if not whole:
        x, others = x + np.random.default_rng(2).random(x.shape), others * 0.7123
    theirs = GradientBoostingRegressor(**settings, min_samples_leaf=4, random_state=0).fit(x, y)
    ours = fit_boosted_trees(x, y)
    assert np.allclose(ours.predict(others), theirs.predict(others), rtol=0, atol=1e-12)
    assert np.array_equal(ours.predict(others)[:3], [ours.predict(others[i : i + 1])[0] for i in range(3)])
    assert ours.predict(np.empty((0, 5))).shape == (0,)
    assert ours.features == 5


def test_quality_is_measured_on_points_that_the_fit_did_not_see() -> None:
    x, y = some_points(400)
    learnable, noise = fit_boosted_trees(x, y), np.random.default_rng(0).normal(size=400)
    assert 0.8 < learnable.quality.r2 < 1.0
    assert 0.7 < learnable.quality.tau < 1.0
    hopeless = fit_boosted_trees(np.random.default_rng(3).random((400, 5)), noise).quality
    assert hopeless.r2 < 0.1  # on what was fitted it would be far above
    assert abs(hopeless.tau) < 0.2
    assert fit_boosted_trees(x, np.ones(400)).quality == (0.0, 0.0)


def test_trees_come_back_from_their_file_bit_for_bit(tmp_path: Path) -> None:
    x, y = some_points(100)
    trees, path = fit_boosted_trees(x, y), tmp_path / "trees.npz"
    trees.save(path, "data")
    assert [file.name for file in tmp_path.iterdir()] == ["trees.npz"]
    loaded = BoostedTrees.load(path, "data")
    assert loaded is not None
    assert loaded.digest() == trees.digest()
    assert loaded.quality == trees.quality
    assert np.array_equal(loaded.predict(x), trees.predict(x))
    assert BoostedTrees.load(path, "other data") is None
    assert BoostedTrees.load(tmp_path / "none.npz", "data") is None
    for damaged in (path.read_bytes()[:500], b"", b"no archive", path.read_bytes().replace(b"PK", b"KP")):
        path.write_bytes(damaged)
        assert BoostedTrees.load(path, "data") is None


def test_the_digest_follows_what_is_predicted_and_not_how_well() -> None:
    x, y = some_points(100)
    one, two = fit_boosted_trees(x, y), fit_boosted_trees(x, y)
    two.scalars[3:] = 0.0
    assert one.digest() == two.digest() != fit_boosted_trees(x, y + 1e-3 * x[:, 0]).digest()


# --- the regressor's cache -------------------------------------------------------------------------------


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every fit."""
    made: list[int] = []

    def counted(points: Any, values: Any) -> BoostedTrees:
        made.append(len(points))
        return fit_boosted_trees(points, values)

    monkeypatch.setattr("trainers.table.fit_boosted_trees", counted)
    return made


def test_the_regressor_is_fitted_once_and_again_when_its_file_is_of_no_use(
    space, tmp_path, fits, monkeypatch
) -> None:
    path = write_csv(tmp_path / "t.csv", rows_of(space))
    first = load(path, space)
    cached = tmp_path / ".t.csv.trees.npz"
    assert cached.is_file()
    assert load(path, space).fingerprint == first.fingerprint
    assert len(fits) == 1
    cached.write_bytes(cached.read_bytes()[:700])
    assert load(path, space).fingerprint == first.fingerprint
    assert len(fits) == 2
    write_csv(path, rows_of(space)[1:])  # other data under the same name
    assert load(path, space).fingerprint != first.fingerprint
    assert len(fits) == 3
    monkeypatch.setattr(boosted_trees, "SETTINGS", {**FEW, "n_estimators": 10})
    assert load(path, space).trees.predict([[0] * 5]) != first.trees.predict([[0] * 5])
    assert len(fits) == 4


def test_the_regressor_of_another_order_of_choices_is_another(tmp_path, fits) -> None:
    one = load_space(SPACE)
    two = load_space({**SPACE, "choices": {**SPACE["choices"], "kernel": [7, 3, 5]}})
    path = write_csv(tmp_path / "t.csv", rows_of(one))
    first, second = load(path, one), load(path, two)
    assert len(fits) == 2
    assert first.table.fingerprint != second.table.fingerprint
    network = one.decode((1, 0, 1, 1, 0))
    assert accuracy(first, network) == accuracy(second, network)


def test_a_folder_that_cannot_be_written_leaves_the_users_cache(space, tmp_path, fits, monkeypatch) -> None:
    path = write_csv(tmp_path / "t.csv", rows_of(space))
    save = BoostedTrees.save

    def refusing(trees: BoostedTrees, to: Path, made_from: str) -> None:
        if to.parent == tmp_path:
            raise PermissionError("read-only")
        save(trees, to, made_from)

    monkeypatch.setattr(BoostedTrees, "save", refusing)
    first = load(path, space)
    assert [file.suffix for file in (tmp_path / "cache" / "nas-road").iterdir()] == [".npz"]
    assert load(path, space).fingerprint == first.fingerprint
    assert len(fits) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", str(path / "impossible"))  # below a file: nowhere to write at all
    assert load(path, space).fingerprint == first.fingerprint
    assert len(fits) == 2
