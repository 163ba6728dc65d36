"""Preparing data: every kind of source, one fingerprint, and nothing left behind when it goes wrong."""

from __future__ import annotations

import io
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas import InputError
from search_space import FieldError
from tests import images
from tests.images import archive_of, cifar, class_folders, image_bytes, left
from trainers import Dataset, ImageSet, load_test, open_cache, read_facts
from trainers.cache import verify
from trainers.decoding import decode
from trainers.image_sources import open_source
from trainers.prepare import PrepareOptions, _shares, prepare, split

OPTIONS = PrepareOptions(image_size=8, workers=1, validation=0.25)


# --- what a cache holds ------------------------------------------------------------------------------------


def test_a_folder_with_parts_becomes_three_parts(photos: Path, tmp_path: Path) -> None:
    facts = prepare(photos, tmp_path / "c", OPTIONS)
    data, test = open_cache(tmp_path / "c"), load_test(tmp_path / "c")
    assert facts == read_facts(tmp_path / "c")
    assert facts.counts == {"train": 18, "validation": 6, "test": 5}
    assert data.class_names == ("ant", "bee", "cat")
    assert np.bincount(data.validation.labels).tolist() == [2, 2, 2]
    assert test.labels.tolist() == [0, 0, 1, 1, 2]
    for part in (data.train, data.validation, test):
        assert part.images.shape == (len(part), 8, 8, 3)
        assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.int64)
        assert not part.images.flags.writeable
    assert (data.image_size, data.in_channels, data.num_classes) == (8, 3, 3)
    scaled = data.train.images / 255.0
    assert data.mean == pytest.approx(scaled.mean((0, 1, 2)))
    assert data.std == pytest.approx(scaled.std((0, 1, 2)))
    assert left(tmp_path / "c") == sorted(
        [
            "cache.json",
            *(f"{p}-{w}.npy" for p in ("train", "validation", "test") for w in ("images", "labels")),
        ]
    )


def test_rows_are_the_images_in_order_of_class_and_name(photos: Path, tmp_path: Path) -> None:
    prepare(photos, tmp_path / "c", OPTIONS)
    train, validation = split(open_source(photos), 0.25)
    data = open_cache(tmp_path / "c")
    for entries, part in ((train, data.train), (validation, data.validation)):
        assert entries == sorted(entries)
        for entry, image, label in zip(entries, part.images, part.labels, strict=True):
            assert np.array_equal(image, decode(str(photos / entry.key), 8))
            assert entry.label == label
    assert sorted([*train, *validation]) == list(open_source(photos).train)


def test_one_fingerprint_whatever_the_workers_and_the_packing(photos: Path, tmp_path: Path) -> None:
    sources = {
        "folder": photos,
        "tar": archive_of(photos, tmp_path / "a.tar"),
        "gz": archive_of(photos, tmp_path / "b.tar.gz", "./photos-1.0/"),
        "tgz": archive_of(photos, tmp_path / "c.tgz", "x/"),
    }
    whole = [prepare(source, tmp_path / f"c-{name}", OPTIONS) for name, source in sources.items()]
    many = replace(OPTIONS, workers=2)
    whole.append(prepare(photos, tmp_path / "c-many", many))
    whole.append(prepare(sources["gz"], tmp_path / "c-gz-many", many))
    assert len({(f.fingerprint, f.test_fingerprint, f.mean, f.std) for f in whole}) == 1
    others = [replace(OPTIONS, image_size=9), replace(OPTIONS, channels=1), replace(OPTIONS, validation=7)]
    for i, options in enumerate(others):
        assert prepare(photos, tmp_path / f"o-{i}", options).fingerprint != whole[0].fingerprint
    (photos / "train" / "ant" / "000.png").write_bytes(image_bytes(77))
    assert prepare(photos, tmp_path / "changed", OPTIONS).fingerprint != whole[0].fingerprint


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
@pytest.mark.parametrize("packed", [False, True])
def test_cifars_binary_files(tmp_path: Path, kind: str, packed: bool) -> None:
    source = cifar(tmp_path / kind, kind)
    given = archive_of(source, tmp_path / "x.tar.gz", f"{kind}-bin/") if packed else source
    facts = prepare(given, tmp_path / "c", replace(OPTIONS, image_size=32))
    data = open_cache(tmp_path / "c")
    assert (facts.name, facts.class_names) == (kind, ("cat", "dog", "ant"))
    assert sum(facts.counts.values()) == (51 if kind == "cifar10" else 36)
    for part in (data.train, data.validation, load_test(tmp_path / "c")):
        assert (part.images[..., 0] == (50 * part.labels + 7)[:, None, None]).all()  # red, by label
    raw = np.frombuffer(
        (source / ("test_batch.bin" if kind == "cifar10" else "test.bin")).read_bytes(), np.uint8
    )
    first = raw.reshape(6, -1)[0, -3072:].reshape(3, 32, 32)
    assert np.array_equal(load_test(tmp_path / "c").images[0], first.transpose(1, 2, 0))


def test_classes_alone_and_files_that_are_no_images(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "flat", {"b": 3, "a": 3})
    (root / "a" / "deep").mkdir()
    (root / "a" / "deep" / "more.JPG").write_bytes(image_bytes(9, kind="JPEG"))
    (root / "a" / "._000.png").write_bytes(b"macOS")
    (root / "a" / "notes.txt").write_text("no image")
    (root / ".git").mkdir()
    (root / "cover.png").write_bytes(image_bytes(10))
    (root / "a" / "loop").symlink_to(root)
    facts = prepare(root, tmp_path / "c", OPTIONS)
    assert facts.counts == {"train": 5, "validation": 2, "test": 0}
    assert facts.notes == ("not used, as they lie in no class of a part: 1 images, in the source itself",)
    with pytest.raises(InputError, match="has no test part"):
        load_test(tmp_path / "c")


def test_one_part_is_the_test_part_and_the_others_are_named(photos: Path, tmp_path: Path) -> None:
    class_folders(photos / "test", {"ant": 1, "bee": 1, "cat": 1}, start=60_000)
    class_folders(photos / "extra", {"dog": 4})
    source = open_source(photos)
    assert [entry.key for entry in source.test] == [f"test/{name}/000.png" for name in ("ant", "bee", "cat")]
    assert source.class_names == ("ant", "bee", "cat")
    (note,) = source.notes
    assert note.startswith("not used, as they lie in no class of a part: 9 images, in ")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    source = open_source(class_folders(tmp_path / "vehicles", {"train": 3, "test": 3, "car": 3}))
    assert (source.class_names, len(source.train), source.test) == (("car", "test", "train"), 9, ())


def test_an_image_is_scaled_then_cropped_to_its_centre(tmp_path: Path) -> None:
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, :40], wide[:, 40:80], wide[:, 80:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "PNG")
    middle = decode(file.getvalue(), 10)
    assert (middle[:, 1:-1] == (0, 255, 0)).all()
    noise = image_bytes(3, (90, 60))
    image = Image.open(io.BytesIO(noise))
    whole = np.asarray(image.resize((30, 20), Image.Resampling.BICUBIC))[:, 5:25]
    assert np.abs(whole.astype(int) - decode(noise, 20)).max() <= 1
    assert decode(noise, 20, 1).shape == (20, 20, 1)
    exact = image_bytes(4, (16, 16))
    assert np.array_equal(decode(exact, 16), np.asarray(Image.open(io.BytesIO(exact))))


def test_odd_images_are_read_as_a_person_sees_them() -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    upper = np.zeros((16, 16, 3), np.uint8)
    upper[:8] = 255
    Image.fromarray(upper).save(file, "PNG", exif=exif)
    turned = decode(file.getvalue(), 16)
    assert (turned[:, 8:] == 255).all()
    assert (turned[:, :8] == 0).all()
    deep = io.BytesIO()
    Image.fromarray(np.full((16, 16), 0x8000, np.uint16)).save(deep, "PNG")
    assert (decode(deep.getvalue(), 16) == 128).all()
    for mode in ("CMYK", "L", "P", "LA", "1"):
        file = io.BytesIO()
        Image.new(mode, (20, 20)).save(file, "TIFF")
        assert decode(file.getvalue(), 8).shape == (8, 8, 3)


# --- the split ---------------------------------------------------------------------------------------------


@given(st.lists(st.integers(2, 60), min_size=2, max_size=12), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_shares_have_the_sum_asked_for_and_leave_something_on_either_side(
    counts: list[int], pick: int
) -> None:
    low, high = len(counts), sum(counts) - len(counts)
    wanted = low + pick % (high - low + 1)
    taken = _shares(np.array(counts), wanted)
    assert sum(taken) == wanted
    assert all(1 <= t < n for t, n in zip(taken, counts, strict=True))
    if all(1 <= wanted * n / sum(counts) <= n - 1 for n in counts):
        assert all(abs(t - wanted * n / sum(counts)) < 1 for t, n in zip(taken, counts, strict=True))


def test_what_is_held_out_is_fixed_by_the_names(photos: Path) -> None:
    held = [entry.key.removeprefix("train/") for entry in split(open_source(photos), 6)[1]]
    assert (
        " ".join(held) == "ant/001.png ant/005.png bee/000.png bee/002.png cat/005.png cat/006.png"
    )  # another split is another data set


@pytest.mark.parametrize(
    ("validation", "message"),
    [(2, "must be between 3 and 21 of its 24 training images"), (22, "must be between 3 and 21"), (24, "24")],
)
def test_a_validation_part_that_does_not_fit_is_refused(photos: Path, validation: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(open_source(photos), validation)


# --- sharing -----------------------------------------------------------------------------------------------


def test_a_data_set_pickles_as_a_path(photos: Path, tmp_path: Path) -> None:
    prepare(photos, tmp_path / "c", replace(OPTIONS, image_size=64))
    data = open_cache(tmp_path / "c")
    for dump in (pickle.dumps, cloudpickle.dumps):
        packed = dump(data)
        assert len(packed) < 2000 < data.train.images.nbytes
        again: Dataset = pickle.loads(packed)
        for part in ("train", "validation"):
            ours, theirs = getattr(data, part), getattr(again, part)
            assert isinstance(theirs.images, np.memmap)
            assert isinstance(theirs.labels, np.memmap)
            assert np.array_equal(ours.images, theirs.images)
            assert np.array_equal(ours.labels, theirs.labels)
        assert (again.fingerprint, again.mean, again.class_names) == (
            data.fingerprint,
            data.mean,
            data.class_names,
        )
    assert pickle.loads(pickle.dumps(again)).train.images.base is not None


def test_what_somebody_cut_out_of_a_cache_stays_cut_out_when_pickled(photos: Path, tmp_path: Path) -> None:
    prepare(photos, tmp_path / "c", OPTIONS)
    data = open_cache(tmp_path / "c")
    few = replace(data, train=ImageSet(data.train.images[:5], data.train.labels[:5]), mean=(0.0, 0.0, 0.0))
    again = pickle.loads(pickle.dumps(few))
    assert np.array_equal(again.train.images, data.train.images[:5])
    assert again.mean == (0.0, 0.0, 0.0)
    cut = replace(data.train, images=data.train.images[3:], labels=data.train.labels[3:])
    assert np.array_equal(pickle.loads(pickle.dumps(cut)).images, data.train.images[3:])


def test_a_pickle_of_a_cache_that_was_replaced_is_refused(photos: Path, tmp_path: Path) -> None:
    prepare(photos, tmp_path / "c", OPTIONS)
    packed = pickle.dumps(open_cache(tmp_path / "c"))
    prepare(photos, tmp_path / "c", replace(OPTIONS, validation=5), force=True)
    with pytest.raises(InputError, match="was prepared anew since it was opened"):
        pickle.loads(packed)


# --- damage ------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(photos: Path, tmp_path: Path) -> Path:
    prepare(photos, tmp_path / "cache", OPTIONS)
    return tmp_path / "cache"


def test_verify_finds_one_changed_byte(cache: Path) -> None:
    assert verify(cache) == []
    for name, what in (("train-images", "the fingerprint"), ("test-labels", "the test part's fingerprint")):
        file = cache / f"{name}.npy"
        content = file.read_bytes()
        file.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
        (line,) = verify(cache)
        assert line.startswith(f"{what} does not hold: cache.json says ")
        file.write_bytes(content)


def test_a_file_with_more_than_its_header_says_is_refused(cache: Path) -> None:
    with (cache / "train-labels.npy").open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match="train-labels.npy: holds more than its header says"):
        open_cache(cache)


@pytest.mark.parametrize("size", [0, 50, 200, -1])
def test_a_file_cut_short_is_one_line(cache: Path, size: int) -> None:
    file = cache / "train-images.npy"
    os.truncate(file, size if size >= 0 else file.stat().st_size - 1)
    with pytest.raises(InputError, match="train-images.npy: is cut short or damaged") as caught:
        open_cache(cache)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "has version 2, this program reads 1"),
        ({"format": "other"}, "describes no prepared data"),
        ({"image_size": 16}, r"holds uint8 \(18, 8, 8, 3\), cache.json says uint8 \(18, 16, 16, 3\)"),
        ({"counts": {"train": 17, "validation": 6, "test": 5}}, "cache.json says"),
        ({"counts": {"train": 17}}, "is damaged"),
        ({"mean": [0.5]}, "is damaged"),
        ({"mean": 3}, "is damaged"),
    ],
)
def test_a_cache_that_contradicts_itself_is_refused(cache: Path, change: dict, message: str) -> None:
    file = cache / "cache.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        open_cache(cache)


def test_missing_pieces_are_named(cache: Path, tmp_path: Path) -> None:
    (cache / "validation-labels.npy").unlink()
    with pytest.raises(InputError, match="validation-labels.npy: is missing"):
        open_cache(cache)
    (cache / "cache.json").write_text("{")
    with pytest.raises(InputError, match="cache.json: is damaged"):
        open_cache(cache)
    with pytest.raises(InputError, match="holds no prepared data"):
        open_cache(tmp_path / "nowhere")


# --- images that cannot be read ----------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_unreadable_images_are_listed_and_left_out(photos: Path, tmp_path: Path, packed: bool) -> None:
    jpeg = image_bytes(1, (64, 64), "JPEG")
    bad = {"train/ant/003.png": b"", "train/cat/000.png": jpeg[: len(jpeg) // 2], "val/bee/001.png": b"text"}
    expected = prepare(photos, tmp_path / "good", OPTIONS)
    good = open_cache(tmp_path / "good")
    for name, content in bad.items():
        (photos / name).write_bytes(content)
    source = archive_of(photos, tmp_path / "x.tar.gz") if packed else photos
    facts = prepare(source, tmp_path / "c", replace(OPTIONS, max_corrupt=0.2))
    assert sum(facts.counts.values()) == sum(expected.counts.values()) - 3
    lines = (tmp_path / "c" / "problems.txt").read_text().splitlines()
    assert lines == [
        "train/ant/003.png: is no image, or is empty",
        next(line for line in lines if line.startswith("train/cat/000.png: ") and "truncated" in line),
        "val/bee/001.png: is no image, or is empty",
    ]
    assert (facts.problems, verify(tmp_path / "c")) == (3, [])
    data = open_cache(tmp_path / "c")
    kept = [
        [entry.key not in bad for entry in entries]
        for entries in split(open_source(photos), OPTIONS.validation)
    ]
    for ours, before, rows in zip(
        (data.train, data.validation), (good.train, good.validation), kept, strict=True
    ):
        assert np.array_equal(ours.images, before.images[rows])
        assert np.array_equal(ours.labels, before.labels[rows])
    assert data.mean == pytest.approx((data.train.images / 255.0).mean((0, 1, 2)))


def test_too_many_unreadable_images_are_an_error(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "ant" / "003.png").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"1 or more of 24 .* train part .*--max-corrupt 0.01 .*train/ant/003.png"
    ):
        prepare(photos, tmp_path / "c", OPTIONS)
    assert left(tmp_path) == ["photos"]


def test_a_class_that_becomes_empty_is_an_error(photos: Path, tmp_path: Path) -> None:
    (photos / "val" / "cat" / "000.png").write_bytes(b"")
    with pytest.raises(InputError, match="class 'cat' has no readable image in the test part"):
        prepare(photos, tmp_path / "c", replace(OPTIONS, max_corrupt=0.5))
    assert left(tmp_path) == ["photos"]


# --- sources and options that cannot be used ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (images.no_source, "nowhere: no such folder or archive"),
        (images.no_images, "holds no images; expected CLASS/image"),
        (images.only_loose, "its images lie in no directories of classes"),
        (images.one_class, "holds one class only"),
        (images.empty_class, r"class 'c' \(c\) has no images"),
        (images.empty_class_in_an_archive, r"class 'c' \(top/train/c\) has no images"),
        (images.only_in_test, "class 'c' is in test but not in train"),
        (images.only_in_train, "class 'c' is in train but not in validation"),
        (images.no_train, "has test/CLASS/image, but no train/CLASS/image"),
        (images.too_few, "class 'b' must have two training images or more, .* got 1"),
        (
            images.no_archive,
            "archive: file could not be opened successfully; a source is a folder or a tar",
        ),
        (images.cut_archive, "s.tar.gz: cannot be read as an archive: "),
        (images.archive_of_archives, r"holds archives \(n01440764.tar\); unpack it"),
        (images.cifar_without_a_file, "lacks data_batch_3.bin of cifar10's binary files"),
        (images.cifar_cut, "data_batch_2.bin must hold records of 3073 bytes"),
        (images.cifar_label, "data_batch_2.bin: record 2 has label 200, must be below 3"),
        (images.cifar_python, "take the binary version"),
        (images.two_cifars, "holds CIFAR-10 and CIFAR-100"),
    ],
)
def test_a_source_that_cannot_be_used_is_one_line_and_leaves_nothing(
    tmp_path: Path, make, message: str
) -> None:
    source = make(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        prepare(source, tmp_path / "out" / "deep" / "c", OPTIONS)
    assert "\n" not in str(caught.value)
    assert left(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"image_size": 7}, "image_size"),
        ({"image_size": 1025}, "image_size"),
        ({"channels": 2}, "channels"),
        ({"validation": 0.0}, "validation"),
        ({"validation": 1.0}, "validation"),
        ({"validation": 0}, "validation"),
        ({"validation": float("nan")}, "validation"),
        ({"workers": 0}, "workers"),
        ({"max_corrupt": 1.5}, "max_corrupt"),
    ],
)
def test_options_out_of_range_are_refused(change: dict, field: str) -> None:
    with pytest.raises(FieldError, match=f"^{field} must be"):
        replace(OPTIONS, **change)
