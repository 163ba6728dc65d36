"""Replay of published tables: what is read, what is refused, what an accuracy means."""

import io
import itertools
import json
import math
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_space import FieldError, InputError, StageSpace, load_space
from tests.tables import SPACE, accuracy, accuracy_of, load, rows_of, write_csv, write_jsonl
from tests.test_accel_nasbench import ARCHIVE
from tests.test_stage_space import TINY, every_point
from trainers import TableEvaluator, TableSource, boosted_trees
from trainers.table_files import Table, read_table

FEW = {"n_estimators": 30, "max_depth": 3, "learning_rate": 0.2, "subsample": 0.7}


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(boosted_trees, "SETTINGS", FEW)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def space() -> StageSpace:
    return load_space(SPACE)


# --- what is read ----------------------------------------------------------------------------------------


def metric(table: Table, space: StageSpace, point: tuple[int, ...], name: str) -> float:
    row = table.points.tolist().index(list(point))
    return float(table.accuracy[row] if name == "accuracy" else table.metrics[name][row])


@pytest.mark.parametrize("ending", ["csv", "jsonl", "ndjson", "CSV"])
def test_csv_and_json_lines_hold_the_same_table(space, tmp_path, ending: str) -> None:
    rows = [{**row, "latency": 1.5, "note": "x"} for row in rows_of(space)]
    write = write_csv if ending.lower() == "csv" else write_jsonl
    table = read_table(write(tmp_path / f"t.{ending}", rows), space)
    assert (table.rows, table.points.shape) == (space.size, (space.size, 5))
    assert list(table.metrics) == ["latency"]
    for point in every_point(space):
        assert metric(table, space, point, "accuracy") == accuracy_of(point)
        assert metric(table, space, point, "latency") == 1.5


@pytest.mark.parametrize("three", [3, 3.0, "3", "3.0", " 3 "])
def test_numbers_are_choices_however_they_are_written(space, tmp_path, three: Any) -> None:
    rows = rows_of(space)
    rows[0]["stage1.kernel"] = three
    expected = read_table(write_jsonl(tmp_path / "a.jsonl", rows_of(space)), space)
    for path in (write_jsonl(tmp_path / "t.jsonl", rows), write_csv(tmp_path / "t.csv", rows)):
        assert np.array_equal(read_table(path, space).points, expected.points)


def test_accuracies_may_be_percents_and_another_column(space, tmp_path) -> None:
    rows = [{**row, "top1": 100 * row["accuracy"], "accuracy": 0.1} for row in rows_of(space)]
    path = write_csv(tmp_path / "t.csv", rows)
    table = read_table(path, space, "top1", percent=True)
    assert metric(table, space, (0, 1, 0, 1, 0), "accuracy") == pytest.approx(accuracy_of((0, 1, 0, 1, 0)))
    assert list(table.metrics) == ["accuracy"]
    plain = load(path, space, accuracy="top1", percent=True, surrogate=False)
    (measured,) = plain.epochs(space.decode((0, 1, 0, 1, 0)), 0)
    assert measured.accuracy == pytest.approx(accuracy_of((0, 1, 0, 1, 0)))
    assert measured.metrics["table accuracy"] == 0.1  # the run's curves have an accuracy of their own
    assert "accuracy" not in measured.metrics


def test_a_network_that_stands_in_several_rows_has_their_mean(space, tmp_path) -> None:
    row = rows_of(space)[0]
    given = [(0.5, 1.0, None), (0.6, 2.0, ""), (0.7, None, "-")]
    rows = [{**row, "accuracy": a, "latency": b, "size": c} for a, b, c in given]
    rows.append({**rows_of(space)[1], "latency": None, "size": 7})
    table = read_table(write_jsonl(tmp_path / "t.jsonl", rows), space)
    assert (table.rows, len(table.points)) == (4, 2)
    assert table.accuracy[0] == pytest.approx(0.6)
    assert table.metrics["latency"][0] == 1.5  # of the rows that have one
    assert math.isnan(table.metrics["latency"][1])
    assert math.isnan(table.metrics["size"][0])
    assert table.metrics["size"][1] == 7  # a column that the first row leaves empty
    evaluator = TableEvaluator(space=space, table=table, trees=None)
    (measured,) = evaluator.epochs(space.decode(table.points[0]), 0)
    assert measured.metrics == {"exact_accuracy": pytest.approx(0.6), "in_table": 1.0, "latency": 1.5}


def test_a_network_is_found_whichever_of_its_points_the_table_names(tmp_path) -> None:
    space = load_space(TINY)
    points = every_point(space)[::7]
    names = [decision.name for decision in space.decisions]
    rows = [{**dict(zip(names, space.choices(p), strict=True)), "accuracy": 0.5} for p in points]
    evaluator = load(write_jsonl(tmp_path / "t.jsonl", rows), space, surrogate=False)
    networks = [space.decode(point) for point in points]
    assert all(next(evaluator.epochs(n, 0)).metrics["in_table"] == 1.0 for n in networks[::10])
    assert len(evaluator.table.points) == len({space.encode(network) for network in networks}) < len(points)
    assert np.isfinite(evaluator.accuracies(points)).all()


def test_the_canonical_point_is_the_one_that_encode_gives() -> None:
    space = load_space(TINY)
    points = every_point(space)
    canonical = space.canonical(points)
    assert (canonical != np.array(points)).any()
    for point, found in list(zip(points, canonical.tolist(), strict=True))[::11]:
        assert tuple(found) == space.encode(space.decode(point))
    with pytest.raises(FieldError, match="must have shape"):
        space.canonical([[0]])


# --- what is refused -------------------------------------------------------------------------------------

GOOD = {"stage1.kernel": 3, "stage1.layers": 1, "stage2.kernel": 3, "stage2.se_ratio": 0, "stage2.layers": 1}
HEADER = ",".join([*GOOD, "accuracy"])


def json_line(**values: Any) -> str:
    row = {**GOOD, "accuracy": 0.5, **{name.replace("__", "."): value for name, value in values.items()}}
    return json.dumps({name: value for name, value in row.items() if value != "GONE"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "t.csv: holds no networks"),
        ("t.csv", HEADER, "t.csv: holds no networks"),
        ("t.jsonl", "\n\n", "t.jsonl: holds no networks"),
        (
            "t.csv",
            HEADER.replace("stage2.se_ratio", "stage2.se") + "\n3,1,3,0,1,0.5",
            "t.csv: has no column 'stage2.se_ratio', a decision of the space; did you mean stage2.se?",
        ),
        (
            "t.csv",
            HEADER.replace("accuracy", "acuracy") + "\n3,1,3,0,1,0.5",
            "t.csv: has no column 'accuracy', the accuracy; did you mean acuracy?",
        ),
        (
            "t.csv",
            f"{HEADER}\n3,1,3,0,1,0.5\n3,1,9,0,1,0.5",
            "t.csv:3: stage2.kernel is no choice of the space: '9'; known: 3, 5, 7",
        ),
        (
            "t.jsonl",
            json_line() + "\n" + json_line(stage2__se_ratio=[0.25]),
            "t.jsonl:2: stage2.se_ratio is no choice of the space: [0.25]; known: 0, 0.25",
        ),
        ("t.jsonl", f"{json_line()}\n{json_line(stage1__layers='GONE')}", "t.jsonl:2: stage1.layers is miss"),
        ("t.jsonl", f"{json_line()}\n{json_line(accuracy='GONE')}", "t.jsonl:2: accuracy is missing"),
        ("t.csv", f"{HEADER}\n3,1,3,0,1,high", "t.csv:2: accuracy must be a number, got 'high'"),
        ("t.csv", f"{HEADER}\n3,1,3,0,1,", "t.csv:2: accuracy must be a number, got ''"),
        ("t.csv", f"{HEADER}\n3,1,3,0,1,nan", "t.csv:2: accuracy must be a number, got 'nan'"),
        ("t.jsonl", json_line(accuracy=True), "t.jsonl:1: accuracy must be a number, got True"),
        ("t.jsonl", json_line(accuracy=math.inf), "t.jsonl:1: accuracy must be a number, got inf"),
        (
            "t.csv",
            f"{HEADER}\n3,1,3,0,1,0.5\n\n3,1,3,0,1,67.1",
            "t.csv:4: accuracy must be 0 to 1, got '67.1'; percent: true reads 0 to 100",
        ),
        ("t.csv", f"{HEADER}\n3,1,3,0,1,-0.5", "t.csv:2: accuracy must be 0 to 1, got '-0.5'"),
        ("t.jsonl", json_line() + "\n{'a': 1}", "t.jsonl:2: is no JSON: Expecting property name"),
        ("t.jsonl", "[" * 100_000, "t.jsonl:1: is no JSON: maximum recursion depth"),
        ("t.jsonl", "[1, 2]", "t.jsonl:1: must be an object with a key a column"),
        ("t.jsonl", json_line()[:-1] + ', "accuracy": 1}', "t.jsonl:1: is no JSON: 'accuracy' is given t"),
        ("t.csv", f"{HEADER}\n3,1,3,0,1,0.5\n3,1,3,0,1", "t.csv:3: must have 6 columns"),
        ("t.csv", f"{HEADER}\n3,1,3,0,1,0.5,9", "t.csv:2: must have 6 columns"),
        ("t.csv", f"{HEADER},accuracy\n3,1,3,0,1,0.5,0.5", "t.csv:1: has two columns 'accuracy'"),
        ("t.csv", f"{HEADER}\n3,1,3,0,1,{'9' * 200_000}", "t.csv:2: is no CSV: field larger than"),
        (
            "t.csv",
            f"{HEADER},stage1.op\n3,1,3,0,1,0.5,mbconv6",
            "t.csv: has a column 'stage1.op', which the space does not decide",
        ),
        ("t.csv", b"\xff\xfe\x00", "t.csv: is no text; a table is .csv, .jsonl, or an archive .tar.gz"),
        ("t.xlsx", b"PK\x00", "t.xlsx: a table is .csv, .jsonl, or Accel-NASBench's .tar.gz"),
        ("t.tar.gz", b"no archive", "t.tar.gz: cannot be read: "),
        ("t.tar", b"", "t.tar: cannot be read: "),
    ],
    ids=range(29),
)  # fmt: skip
def test_a_bad_table_is_one_line_with_file_and_row(
    space, tmp_path, name: str, content: str | bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_table(path, space)
    assert str(caught.value).startswith(f"{tmp_path}/{message}")
    assert "\n" not in str(caught.value)


def test_a_missing_table_and_a_small_one_say_what_to_do(space, tmp_path) -> None:
    with pytest.raises(InputError, match=r"none.csv: no such table; Accel-NASBench's is on github.com/"):
        read_table(tmp_path / "none.csv", space)
    with pytest.raises(InputError, match="no such table"):
        read_table(tmp_path, space)
    path = write_csv(tmp_path / "t.csv", rows_of(space)[:19])
    with pytest.raises(InputError, match="t.csv: holds 19 networks, too few .* surrogate: false looks up"):
        load(path, space)
    assert load(path, space, surrogate=False).trees is None


def test_line_separators_within_a_json_string_are_no_ends_of_a_line(space, tmp_path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json_line()[:-1] + ', "note": "a\u2028b"}\r\n')
    assert read_table(path, space).rows == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": ""}, "path must be a file, got ''"),
        ({"path": 3}, "path must be a file, got 3"),
        ({"path": "t", "accuracy": 1}, "accuracy must be a column's name, got 1"),
        ({"path": "t", "percent": 1}, "percent must be"),
        ({"path": "t", "noise": -0.1}, "noise must be between 0 and 50, got -0.1"),
        ({"path": "t", "noise": math.nan}, "noise must be"),
    ],
)
def test_a_source_checks_itself(values, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        TableSource(**values)


# --- Accel-NASBench's archive ----------------------------------------------------------------------------


def accel_file(accuracy: float, **changed: Any) -> dict[str, Any]:
    blocks = {f"block{n}_{k}": v for n in range(7) for k, v in (("e", 6), ("k", 5), ("l", 2), ("se", True))}
    return {
        "architecture": {**blocks, **changed},
        "metrics": {"val_top1": accuracy, "val_top5": 80.0, "train_time": 2660.4},
        "platform_perf": {
            "latency_zcu102": {"latency_mean": 5.0, "latency_std": None},
            "throughput_a100": {"throughput_mean": 7034.9, "throughput_std": 7.5},
        },
    }


def write_archive(path: Path, files: list[Any]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        folder = tarfile.TarInfo("./all/")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for number, facts in enumerate([*files, "README"]):
            content = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
            name = "README.md" if facts == "README" else f"./all/result_{number}.json"
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_the_archive_of_accel_nasbench_is_read_as_points_of_its_space(tmp_path) -> None:
    space = load_space("accel-nasbench")
    files = [accel_file(60.0), accel_file(62.0), accel_file(50.0, block3_e=1, block0_se=False, block5_l=4)]
    for name in ("t.tar.gz", "t.tgz", "t.tar"):
        table = read_table(write_archive(tmp_path / name, files), space)
        assert (table.rows, len(table.points)) == (3, 2)
        found = {space.choices(p): a for p, a in zip(table.points.tolist(), table.accuracy, strict=True)}
        usual = ("mbconv6", 5, 0.25, 2)
        other = [usual] * 7
        other[0], other[3], other[5] = ("mbconv6", 5, 0, 2), ("mbconv1", 5, 0.25, 2), ("mbconv6", 5, 0.25, 4)
        assert found == {tuple(usual * 7): pytest.approx(0.61), tuple(itertools.chain(*other)): 0.5}
        assert {name: values[0] for name, values in table.metrics.items()} == {
            "val_top5": 80.0, "train_time": 2660.4, "latency_zcu102": 5.0, "throughput_a100": 7034.9,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"architecture": {}}, "t.tar.gz: ./all/result_1.json: is no network of Accel-NASBench: KeyError"),
        ([1, 2], "t.tar.gz: ./all/result_1.json: is no network of Accel-NASBench: TypeError"),
        ({**accel_file(60.0), "platform_perf": 3}, "t.tar.gz: ./all/result_1.json: is no network of Accel"),
        (b"{", "t.tar.gz: ./all/result_1.json: is no network of Accel-NASBench: JSONDecodeError"),
        (b'{"a": "\xff"}', "t.tar.gz: ./all/result_1.json: is no network of Accel-NASBench: Unicode"),
        (accel_file(60.0, block2_k=9), "t.tar.gz: ./all/result_1.json: stage3.kernel is no choice of"),
        (accel_file(160.0), "t.tar.gz: ./all/result_1.json: val_top1 must be 0 to 100, got 160.0"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_network_of_the_archive_is_named(tmp_path, facts, message: str) -> None:
    path = write_archive(tmp_path / "t.tar.gz", [accel_file(60.0), facts])
    with pytest.raises(InputError) as caught:
        read_table(path, load_space("accel-nasbench"))
    assert str(caught.value).startswith(f"{tmp_path}/{message}")
    assert "\n" not in str(caught.value)


def test_a_damaged_archive_and_one_of_another_space_are_refused(tmp_path) -> None:
    files = [accel_file(60.0, block0_k=3 + 2 * (n % 2), block1_l=1 + n % 3) for n in range(40)]
    path = write_archive(tmp_path / "t.tar.gz", files)
    content, space = path.read_bytes(), load_space("accel-nasbench")
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    for damaged in (content[: len(content) // 2], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="t.tar.gz: .*(cannot be read|is no network)"):
            read_table(path, space)
    write_archive(path, [])
    with pytest.raises(InputError, match="t.tar.gz: holds no networks"):
        read_table(path, space)
    without = load_space({"extends": "accel-nasbench", "choices": {"se_ratio": [0.25]}})
    assert read_table(write_archive(path, [accel_file(60.0)]), without).rows == 1
    kernels = load_space({"name": "k", "reference": "efficientnet_b0", "choices": {"kernel": [3, 5]}})
    with pytest.raises(InputError, match="has a column 'stage1.op', which the space does not decide"):
        read_table(path, kernels)


@pytest.mark.skipif(not ARCHIVE.is_file(), reason="Accel-NASBench's archive is not beside the checkout")
def test_the_published_archive_is_replayed_and_its_regressor_predicts_what_it_has_not_seen(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(boosted_trees, "SETTINGS", {**FEW, "n_estimators": 40, "learning_rate": 0.4})
    path = tmp_path / ARCHIVE.name  # its own folder would keep the regressor
    path.write_bytes(ARCHIVE.read_bytes())
    evaluator = load(path, load_space("accel-nasbench"))
    assert (evaluator.table.rows, len(evaluator.table.points)) == (5138, 5125)
    assert evaluator.table.accuracy.max() == pytest.approx(0.67052)
    assert evaluator.trees.quality.r2 > 0.9
    assert evaluator.trees.quality.tau > 0.8
    assert len(evaluator.table.metrics) == 10


# --- what an accuracy means ------------------------------------------------------------------------------


@pytest.fixture
def half(space, tmp_path) -> Path:
    """Every second network."""
    return write_csv(tmp_path / "half.csv", rows_of(space)[::2])


def test_networks_in_the_table_have_its_accuracy_and_others_the_regressors(space, half) -> None:
    evaluator = load(half, space)
    predicted = evaluator.trees.predict(every_point(space))
    for number, point in enumerate(every_point(space)):
        (measured,) = evaluator.epochs(space.decode(point), seed=1)
        known = number % 2 == 0
        assert measured.accuracy == (accuracy_of(point) if known else predicted[number])
        assert measured.metrics == {"exact_accuracy": measured.accuracy, "in_table": float(known)}
        assert evaluator.accuracies([point])[0] == measured.accuracy
    assert measured.final


def test_without_a_regressor_other_networks_fail(space, half) -> None:
    evaluator = load(half, space, surrogate=False)
    points = every_point(space)
    assert accuracy(evaluator, space.decode(points[0])) == accuracy_of(points[0])
    with pytest.raises(LookupError, match="the network is not in the table"):
        accuracy(evaluator, space.decode(points[1]))
    assert np.isfinite(evaluator.accuracies(points)).tolist() == [True, False] * (len(points) // 2)


def test_a_network_of_another_space_is_refused(space, half) -> None:
    with pytest.raises(FieldError, match="stages must number 2"):
        accuracy(load(half, space), load_space("accel-nasbench").decode([0] * 28))


def test_noise_is_the_same_for_a_network_and_seed_and_as_wide_as_stated(space, tmp_path) -> None:
    path = write_csv(tmp_path / "t.csv", rows_of(space))
    noisy, exact = load(path, space, noise=0.31), load(path, space)
    again = pickle.loads(pickle.dumps(noisy))
    networks = [space.decode(point) for point in every_point(space)]

    true = [accuracy(exact, network) for network in networks]

    def errors(evaluator: TableEvaluator, seed: int) -> np.ndarray:
        return np.array([accuracy(evaluator, n, seed) for n in networks]) - true

    first = errors(noisy, 0)
    assert np.array_equal(first, errors(again, 0))
    assert (first != errors(noisy, 1)).all()
    many = np.concatenate([errors(noisy, seed) for seed in range(20)])
    assert 0.0029 < many.std() < 0.0033
    assert abs(many.mean()) < 0.0003
    (measured,) = noisy.epochs(networks[0], 0)
    assert measured.metrics["exact_accuracy"] == accuracy(exact, networks[0]) != measured.accuracy
    wild = load(path, space, noise=50.0)
    assert {accuracy(wild, n) for n in networks} >= {0.0, 1.0}  # accuracies stay accuracies


def test_the_fingerprint_follows_table_unit_noise_and_regressor(space, half, tmp_path) -> None:
    rows = rows_of(space)[::2]
    rows[0]["accuracy"] += 0.001
    other = write_csv(tmp_path / "other.csv", rows)
    moved = write_csv(tmp_path / "moved.csv", rows_of(space)[::2])
    evaluators = [
        load(half, space),
        load(half, space, surrogate=False),
        load(half, space, noise=0.31),
        load(half, space, noise=0.3100000001),
        load(half, space, percent=True),
        load(other, space),
    ]
    assert len({evaluator.fingerprint for evaluator in evaluators}) == 6
    assert load(moved, space).fingerprint == evaluators[0].fingerprint
    assert load(half, space, noise=0).fingerprint == evaluators[0].fingerprint


def test_an_evaluator_travels_to_other_processes(space, half) -> None:
    evaluator = load(half, space, noise=0.5)
    copy = pickle.loads(pickle.dumps(evaluator))
    networks = [space.decode(point) for point in every_point(space)]
    assert copy.fingerprint == evaluator.fingerprint
    assert [accuracy(copy, n) for n in networks] == [accuracy(evaluator, n) for n in networks]
