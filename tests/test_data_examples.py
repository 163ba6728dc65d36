"""Images of prepared data as files: ``nas data show --images``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nas.data_examples import spread
from tests.test_data_commands import nas
from trainers import load_test, open_cache
from trainers.prepare import PrepareOptions, prepare


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=40), data=st.data())
def test_every_class_has_its_turn_before_any_has_a_second(labels: list[int], data: st.DataObject) -> None:
    number = data.draw(st.integers(1, len(labels)))
    taken = spread(np.array(labels), number)
    assert len({index for index, _ in taken}) == number
    assert [turn for _, turn in taken] == sorted(turn for _, turn in taken)
    for index, turn in taken:  # so many of its class lie before it
        assert labels[:index].count(labels[index]) == turn
    most = max(turn for _, turn in taken)
    counts = [sum(labels[index] == label for index, _ in taken) for label in set(labels)]
    whole = [min(most, labels.count(label)) for label in set(labels)]
    assert all(count in (least, least + 1) for count, least in zip(counts, whole, strict=True))


@pytest.fixture
def cache(photos: Path, tmp_path: Path) -> Path:
    prepare(photos, tmp_path / "c", PrepareOptions(image_size=8, workers=1, validation=0.25))
    return tmp_path / "c"


def test_the_files_are_the_test_images_to_the_last_bit(
    cache: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    folder = tmp_path / "new" / "images"
    names, test = open_cache(cache).class_names, load_test(cache)
    words = ["data", "show", cache, "--images", len(names) + 1, "-o", folder]
    assert nas(*words, "--json", monkeypatch=monkeypatch) == 0
    files = [Path(path) for path in json.loads(capsys.readouterr().out)["images"]]
    assert [file.stem for file in files[:-1]] == [f"{label}-{name}" for label, name in enumerate(names)]
    assert files[-1].stem == f"0-{names[0]}-2"
    assert sorted(folder.iterdir()) == sorted(files)
    for label, file in enumerate(files[:-1]):
        first = test.images[list(test.labels).index(label)]
        assert np.array_equal(np.asarray(Image.open(file)), first)
    assert nas(*words, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.splitlines() == [f"wrote {file}" for file in files]


def test_grey_images_are_grey_files_and_without_a_test_part_they_are_of_validation(
    photos: Path, tmp_path: Path, monkeypatch
) -> None:
    options = PrepareOptions(image_size=8, channels=1, workers=1, validation=0.25)
    prepare(photos / "train", tmp_path / "g", options)
    assert (
        nas("data", "show", tmp_path / "g", "--images", 1, "-o", tmp_path / "i", monkeypatch=monkeypatch) == 0
    )
    [file] = (tmp_path / "i").iterdir()
    with Image.open(file) as image:
        assert (image.mode, image.size) == ("L", (8, 8))
    validation = open_cache(tmp_path / "g").validation
    assert np.array_equal(
        np.asarray(Image.open(file)), validation.images[list(validation.labels).index(0), ..., 0]
    )


def test_mistakes_are_one_line(cache: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "file").write_text("")
    for words, message in [
        (["--images", 6], "--images and -o go together"),
        (["-o", tmp_path], "--images and -o go together"),
        (["--images", 0, "-o", tmp_path], "greater than or equal to 1"),
        (["--images", 99, "-o", tmp_path], "--images must be at most 5, the test part of"),
        (["--images", 1, "-o", tmp_path / "file"], "cannot be written"),
    ]:
        assert nas("data", "show", cache, *words, monkeypatch=monkeypatch) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))
