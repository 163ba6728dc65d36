"""Images at every size that scaled networks take, from the one data set that a configuration names."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nas.config_sections import DataConfig
from nas.sized_data import sized_cache, sized_evaluator
from search_space import Architecture, InputError
from tests.test_architecture import small
from tests.test_cli import nas
from trainers import ProxyProtocol, load_dataset, open_cache, read_facts
from trainers.cache import FACTS_FILE
from trainers.sized import SizedEvaluator

PROTOCOL = ProxyProtocol(epochs=1, batch=4)


def sized(*sizes: int) -> list[Architecture]:
    return [small(image_size=size) for size in sizes]


def prepared(source: Path, capsys, *options: str, size: int = 16, to: str = "cache-16") -> Path:
    code, _, err = nas(capsys, "data", "prepare", str(source), "--image-size", str(size), "-o", to, *options)
    assert code == 0, err
    return Path(to)


def data(cache: Path) -> DataConfig:
    return DataConfig(cache=str(cache.resolve()))


@pytest.mark.parametrize(
    "options",
    [(), ("--validation", "5"), ("--validation", "0.3", "--channels", "1"), ("--name", "ours")],
    ids=["default", "a number held out", "grey", "name"],
)
def test_a_missing_size_is_prepared_as_the_command_would(
    in_tmp: Path, photos: Path, capsys, options: tuple[str, ...]
) -> None:
    cache = prepared(photos, capsys, *options)
    evaluator = sized_evaluator(data(cache), PROTOCOL, sized(16, 19, 16))
    assert [part.data.image_size for part in evaluator.parts] == [16, 19]
    made = read_facts(cache.with_name("cache-19"))
    wanted = read_facts(prepared(photos, capsys, *options, size=19, to="by-hand"))
    assert made == wanted
    assert made.fingerprint != read_facts(cache).fingerprint
    before = {path: path.stat().st_mtime_ns for path in Path("cache-19").iterdir()}
    again = sized_evaluator(data(cache), PROTOCOL, sized(16, 19))
    assert before == {path: path.stat().st_mtime_ns for path in Path("cache-19").iterdir()}
    assert again.fingerprint == evaluator.fingerprint


def test_the_fingerprint_depends_on_the_sizes_and_not_on_their_order(in_tmp: Path) -> None:
    digits = DataConfig(name="digits")
    one, other, more = (
        sized_evaluator(digits, PROTOCOL, sized(*sizes)) for sizes in ((16, 19), (19, 16), (16, 19, 20))
    )
    assert one.fingerprint == other.fingerprint != more.fingerprint
    assert (one.num_classes, one.in_channels) == (10, 1)


def test_digits_come_at_any_size(in_tmp: Path) -> None:
    evaluator = sized_evaluator(DataConfig(name="digits"), PROTOCOL, sized(16, 37))
    assert evaluator.of(small(image_size=37)).data.fingerprint == load_dataset("digits", 37).fingerprint
    assert not list(Path().iterdir())
    with pytest.raises(InputError, match="takes 20-pixel images, there are 16, 37$"):
        evaluator.of(small(image_size=20))


def test_every_network_is_trained_on_images_of_its_size(in_tmp: Path) -> None:
    evaluator = sized_evaluator(
        DataConfig(name="digits"), ProxyProtocol(epochs=1, batch=300, subset=300), sized(8, 10)
    )
    for size in (8, 10):
        (*_, last) = evaluator.epochs(small(image_size=size), 3)
        (*_, same) = evaluator.of(small(image_size=size)).epochs(small(image_size=size), 3)
        assert last.final
        assert last.accuracy == same.accuracy


def test_a_source_that_is_gone_says_how_to_prepare_by_hand(in_tmp: Path, photos: Path, capsys) -> None:
    cache = prepared(photos, capsys, "--validation", "5")
    shutil.move(photos, in_tmp / "moved")
    with pytest.raises(InputError) as caught:
        sized_evaluator(data(cache), PROTOCOL, sized(16, 19))
    message = str(caught.value)
    place = (in_tmp / "cache-19").resolve()
    assert message.startswith(f"data.cache: {place} is wanted for networks at 19 pixels: {photos}")
    assert message.endswith(
        f"; or nas data prepare SOURCE --image-size 19 -o {place} --validation 5 --channels 3"
    )
    assert "\n" not in message
    assert not place.exists()
    prepared(in_tmp / "moved", capsys, "--validation", "5", size=19, to="cache-19")  # as it says
    assert sized_evaluator(data(cache), PROTOCOL, sized(16, 19)).num_classes == 3
    sized_evaluator(data(cache), PROTOCOL, sized(16))  # needs no source


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--validation", "6"), "counts"),
        (("--channels", "1"), "channels"),
        (("--validation", "0.2"), "held_out"),
    ],
)
def test_a_cache_beside_that_was_prepared_otherwise_is_refused(
    in_tmp: Path, photos: Path, capsys, options: tuple[str, ...], field: str
) -> None:
    cache = prepared(photos, capsys, "--validation", "5")
    prepared(
        photos,
        capsys,
        *(("--validation", "5") if "--channels" in options else ()),
        *options,
        size=19,
        to="cache-19",
    )
    with pytest.raises(InputError) as caught:
        sized_evaluator(data(cache), PROTOCOL, sized(16, 19))
    beside = (in_tmp / "cache-19").resolve()
    assert str(caught.value) == (
        f"{beside}: has another {field} than {cache.resolve()}; move it away to have it made anew"
    )


def test_a_cache_beside_of_other_classes_or_another_size_is_refused(
    in_tmp: Path, photos: Path, capsys
) -> None:
    cache = prepared(photos, capsys)
    (photos / "train" / "ant").rename(photos / "train" / "owl")
    (photos / "val" / "ant").rename(photos / "val" / "owl")
    prepared(photos, capsys, size=19, to="cache-19")
    with pytest.raises(InputError, match="cache-19: has another class_names than"):
        sized_evaluator(data(cache), PROTOCOL, sized(16, 19))
    shutil.copytree(cache, "cache-20")
    with pytest.raises(InputError, match="cache-20: holds 16-pixel images; move it away"):
        sized_evaluator(data(cache), PROTOCOL, sized(16, 20))
    Path("cache-21").mkdir()
    with pytest.raises(InputError, match="cache-21"):
        sized_evaluator(data(cache), PROTOCOL, sized(16, 21))


def test_where_a_size_lies(in_tmp: Path, photos: Path, capsys) -> None:
    facts = read_facts(prepared(photos, capsys))
    for given, expected in [("photos-16", "photos-19"), ("photos", "photos-19"), ("p-16-32", "p-16-32-19")]:
        assert sized_cache(Path("data") / given, facts, 19) == Path("data") / expected
        assert sized_cache(Path("data") / given, facts, 16) == Path("data") / given


def test_a_size_that_cannot_be_prepared_is_refused(in_tmp: Path, photos: Path, capsys) -> None:
    cache = prepared(photos, capsys)
    with pytest.raises(
        InputError, match="^data.cache: images of 2000 pixels cannot be prepared, only of 8 to 1024"
    ):
        sized_evaluator(data(cache), PROTOCOL, sized(16, 2000))


def test_a_protocols_own_image_size_is_refused(in_tmp: Path) -> None:
    with pytest.raises(InputError) as caught:
        sized_evaluator(DataConfig(name="digits"), replace(PROTOCOL, image_size=16), sized(16))
    assert str(caught.value) == (
        "protocol.image_size must be null, got 16: each network is trained at its own resolution, which is "
        "what is scaled; --set protocol.image_size=null"
    )


def test_a_protocol_that_does_not_fit_is_refused(in_tmp: Path) -> None:
    digits = DataConfig(name="digits")
    with pytest.raises(InputError, match="protocol.shift must be less than half of 16 pixels, got 9"):
        sized_evaluator(digits, replace(PROTOCOL, shift=9), sized(32, 16))
    with pytest.raises(InputError, match="protocol.subset must be at most 1"):
        sized_evaluator(digits, replace(PROTOCOL, subset=5000), sized(16))


def test_parts_of_different_data_are_no_evaluator(in_tmp: Path, photos: Path, capsys) -> None:
    digits = sized_evaluator(DataConfig(name="digits"), PROTOCOL, sized(20)).parts
    own = sized_evaluator(data(prepared(photos, capsys)), PROTOCOL, sized(16)).parts
    with pytest.raises(InputError, match="digits at 20 pixels and photos at 16 are different data"):
        SizedEvaluator.of_parts([*digits, *own])
    other = open_cache(prepared(photos, capsys, "--validation", "6", size=17, to="other"))
    with pytest.raises(InputError, match=r"photos has 18 training images at 17 pixels and \d+ at 16"):
        SizedEvaluator.of_parts([replace(own[0], data=other), *own])


def test_facts_survive_their_file(in_tmp: Path, photos: Path, capsys) -> None:
    """What was asked of the split must come back with its type: 5 images are not a share."""
    for asked, kind in (("5", int), ("0.5", float)):
        cache = prepared(photos, capsys, "--validation", asked, to=f"cache-{kind.__name__}")
        assert type(json.loads((cache / FACTS_FILE).read_text())["held_out"]["asked"]) is kind
        assert type(read_facts(cache).held_out["asked"]) is kind
