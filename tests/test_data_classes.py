"""``nas data prepare`` with ``--classes`` or ``--without-classes``: as if the source had no other classes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.config_sections import DataConfig
from nas.launch import load_data
from nas.sized_data import images_at
from search_space import InputError
from tests.images import archive_of, cifar, class_folders, left
from tests.test_cli import nas
from trainers import load_test, open_cache, read_facts
from trainers.cache import FACTS_FILE, verify
from trainers.class_choice import as_options, with_classes
from trainers.image_sources import Entry, ImageSource, Payload
from trainers.prepare import PrepareOptions, prepare

OPTIONS = PrepareOptions(image_size=8, workers=1, validation=0.25)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_chosen_classes_give_the_fingerprint_of_a_folder_that_holds_only_those(
    photos: Path, tmp_path: Path, packed: bool
) -> None:
    source = archive_of(photos, tmp_path / "x.tar.gz", "top/") if packed else photos
    named = prepare(source, tmp_path / "named", replace(OPTIONS, classes=("cat", "ant")))
    others = prepare(source, tmp_path / "others", replace(OPTIONS, without_classes=("bee",)))
    assert named == others
    assert (named.class_names, named.left_out) == (("ant", "cat"), ("bee",))
    assert (named.counts, named.notes) == ({"train": 14, "validation": 4, "test": 3}, ())
    for part in ("train", "val"):
        shutil.rmtree(photos / part / "bee")
    only = prepare(photos, tmp_path / "only", OPTIONS)
    assert only.left_out == ()
    prints = ("fingerprint", "test_fingerprint", "mean", "std", "counts", "held_out")
    assert [getattr(named, p) for p in prints] == [getattr(only, p) for p in prints]
    assert verify(tmp_path / "named") == []


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_of_cifar_the_records_of_chosen_classes_stay(tmp_path: Path, kind: str) -> None:
    source = cifar(tmp_path / kind, kind)  # cat, dog, ant
    facts = prepare(source, tmp_path / "c", replace(OPTIONS, image_size=32, classes=("ant", "cat")))
    whole = prepare(source, tmp_path / "all", replace(OPTIONS, image_size=32))
    assert facts.class_names == ("cat", "ant")  # in the order of the source
    assert {part: 3 * number for part, number in facts.counts.items()} == pytest.approx(
        {part: 2 * number for part, number in whole.counts.items()}, abs=3
    )
    data = open_cache(tmp_path / "c")
    for part in (data.train, data.validation, load_test(tmp_path / "c")):
        assert (
            part.images[..., 0] == (100 * part.labels + 7)[:, None, None]
        ).all()  # red: 7 of cat, 107 of ant


@given(kept=st.sets(st.integers(0, 5), min_size=2))
def test_the_two_options_choose_the_same_and_labels_count_what_is_left(kept: set[int]) -> None:
    names = tuple("abcdef")
    entries = tuple(
        Entry(label, f"{i}", f"{names[label]}/{i}") for label in range(6) for i in range(label + 1)
    )

    def payloads() -> Iterator[tuple[str, Payload]]:
        return ((entry.key, entry.key) for entry in reversed(entries))

    source = ImageSource(
        path=Path("s"),
        kind="folder",
        layout="classes",
        name="s",
        class_names=names,
        train=entries,
        test=entries[:0],
        notes=(),
        payloads=payloads,
    )
    named = with_classes(source, [names[k] for k in sorted(kept, reverse=True)])
    left_out = [name for label, name in enumerate(names) if label not in kept]
    others = with_classes(source, left_out, without=True)
    assert (named.class_names, named.train, named.test) == (others.class_names, others.train, others.test)
    assert [entry.key for entry in named.train] == [e.key for e in entries if e.label in kept]
    assert all(entry.key.startswith(f"{named.class_names[entry.label]}/") for entry in named.train)
    assert {key for key, _ in named.payloads()} == {entry.key for entry in named.train}


def test_a_file_of_names_divides_a_source_in_two(photos: Path, in_tmp: Path, capsys) -> None:
    class_folders(photos / "train", {"dog": 5}, start=90_000)
    class_folders(photos / "val", {"dog": 2}, start=95_000)
    Path("pets.txt").write_bytes("\ufeffdog\r\n\r\n cat \r\n".encode())
    for option, to in (("--classes", "pets"), ("--without-classes", "wild")):
        words = ["--image-size", "8", "--workers", "1", option, "pets.txt", "-o", to]
        code, out, err = nas(capsys, "data", "prepare", str(photos), *words)
        assert code == 0, err
        assert "2 of 4: " in out
    pets, wild = read_facts("pets"), read_facts("wild")
    assert (pets.class_names, pets.left_out) == (("cat", "dog"), ("ant", "bee"))
    assert (wild.class_names, wild.left_out) == (pets.left_out, pets.class_names)
    code, out, _ = nas(capsys, "data", "show", "wild")
    assert (code, re.findall(r"(?:classes|left out) +(.*\S)", out)) == (0, ["2 of 4: ant, bee", "cat, dog"])
    _, out, _ = nas(capsys, "data", "show", "wild", "--json")
    assert json.loads(out)["left_out"] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "ant,cta"], "photos: has no class 'cta'; did you mean cat?"),
        (["--classes", "ant,cat,wasp,fly"], "photos: has no classes 'fly', 'wasp'; known: ant, bee, cat"),
        (["--without-classes", "Bee"], "photos: has no class 'Bee'; did you mean bee?"),
        (
            ["--classes", "cat"],
            "photos: of its 3 classes one class only (cat) would be left; a classifier needs",
        ),
        (["--without-classes", "ant,bee,cat"], "photos: of its 3 classes no class would be left"),
        (["--classes", "ant,cat,ant"], "--classes must name each class once, got class 'ant' more than once"),
        (["--classes", " , "], "--classes must name a class or more, got none"),
        (["--classes", "ant,bee", "--without-classes", "cat"], "--without-classes cannot be combined with"),
        (["--classes", "pets.txt"], "--classes pets.txt: no such file; one class name a line is expected"),
        (["--without-classes", "noise"], "--without-classes noise: is no text; one class name a line is"),
        (["--without-classes", "blank"], "--without-classes must name a class or more, got none"),
        (["--classes", ",".join(f"n{i:08d}" for i in range(40))], "photos: has no classes 'n00000000', "),
    ],
)
def test_a_wrong_choice_is_one_line_and_leaves_nothing(
    photos: Path, in_tmp: Path, capsys, words: list[str], message: str
) -> None:
    Path("noise").write_bytes(b"\xff\xfe\x00c\x00")
    Path("blank").write_text("\n\n")
    before = left(in_tmp)
    code, out, err = nas(capsys, "data", "prepare", "photos", "--image-size", "8", "-o", "c", *words)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if not line.startswith("reading the names")]
    assert len(lines) == 1
    assert lines[0].startswith(f"nas: {message}")
    assert left(in_tmp) == before


def test_a_class_that_cannot_be_learnt_from_may_be_left_out(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "s", {"ant": 4, "bee": 1, "cat": 4})
    with pytest.raises(
        InputError, match=r"class 'bee' must have two .* or leave the class out \(--without-cl"
    ):
        prepare(source, tmp_path / "c", OPTIONS)
    assert prepare(source, tmp_path / "c", replace(OPTIONS, without_classes=("bee",))).counts["train"] == 6


def test_images_of_another_size_are_of_the_same_classes(photos: Path, in_tmp: Path) -> None:
    options = replace(OPTIONS, image_size=16, validation=5, without_classes=("bee",))
    given = prepare(photos, "x-16", options)
    data = DataConfig(cache=str(in_tmp / "x-16"))
    images_at(data, 20)
    assert read_facts("x-20") == prepare(photos, "by-hand", replace(options, image_size=20))
    with pytest.raises(InputError, match="-o .*x-24 --validation 5 --channels 3 --classes ant,cat$"):
        load_data(data, 24)
    assert as_options(replace(given, left_out=("salt, pepper",))) == " --classes FILE"
    many = replace(given, class_names=tuple("abcdefghijkl"), left_out=("a wasp",))
    assert as_options(many) == " --without-classes 'a wasp'"  # the shorter of the two
    shutil.rmtree(photos / "train")
    with pytest.raises(InputError, match="--channels 3 --classes ant,cat$"):
        images_at(data, 24)


def test_a_cache_from_before_classes_could_be_chosen_is_read(photos: Path, tmp_path: Path) -> None:
    facts = prepare(photos, tmp_path / "c", OPTIONS)
    file = tmp_path / "c" / FACTS_FILE
    document = json.loads(file.read_text())
    del document["left_out"]
    file.write_text(json.dumps(document))
    assert read_facts(tmp_path / "c") == facts
    file.write_text(json.dumps({**document, "left_out": None}))
    with pytest.raises(InputError, match=r"cache\.json: is damaged: TypeError"):
        read_facts(tmp_path / "c")


def test_an_unreadable_image_of_a_class_that_is_left_out_does_not_matter(
    photos: Path, tmp_path: Path
) -> None:
    (photos / "train" / "bee" / "000.png").write_bytes(b"no image")
    facts = prepare(photos, tmp_path / "c", replace(OPTIONS, classes=("ant", "cat"), max_corrupt=0.0))
    assert facts.problems == 0
    with pytest.raises(InputError, match="1 or more of 24 images of its train part cannot be read"):
        prepare(photos, tmp_path / "all", replace(OPTIONS, max_corrupt=0.0))
