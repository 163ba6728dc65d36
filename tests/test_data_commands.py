"""The commands of ``nas data``, searches on a cache, and what is left when something goes wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import trainers.prepare
from nas import InputError, load_config, run_search
from nas.cli import main
from nas.launch import load_data
from tests.images import archive_of, class_folders, image_bytes, left
from trainers import open_cache, read_facts
from trainers.image_sources import open_source
from trainers.prepare import PrepareOptions, prepare

ROOT = Path(__file__).parent.parent
REAL = ROOT.parent / "shared" / "data"
OPTIONS = PrepareOptions(image_size=8, workers=1, validation=0.25)


def nas(*words: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["nas", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


# --- commands ----------------------------------------------------------------------------------------------


def test_prepare_show_and_verify(photos: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    cache = tmp_path / "c"
    words = ["data", "prepare", photos, "--image-size", 8, "-o", cache, "--validation", "5", "--workers", 1]
    assert nas(*words, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    for text in ("train        19", "5 of the source's training", "the source's own; no search reads it"):
        assert " ".join(text.split()) in " ".join(printed.out.split())
    assert "decoding in 1 process: 29/29" in printed.err
    assert nas("data", "show", cache, "--json", monkeypatch=monkeypatch) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["counts"] == {"train": 19, "validation": 5, "test": 5}
    assert (facts["fingerprint"], facts["problems"]) == (read_facts(cache).fingerprint, 0)
    assert facts["bytes"] == sum(file.stat().st_size for file in cache.iterdir())
    assert nas("data", "verify", cache, monkeypatch=monkeypatch) == 0
    assert f"whole; fingerprint {facts['fingerprint']}" in capsys.readouterr().out
    file = cache / "validation-images.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    assert nas("data", "verify", cache, monkeypatch=monkeypatch) == 1
    assert f"nas: {cache}: the fingerprint does not hold: cache.json says {facts['fingerprint']}" in (
        capsys.readouterr().err
    )
    assert nas("data", "verify", cache, "--json", monkeypatch=monkeypatch) == 1
    assert json.loads(capsys.readouterr().out)["whole"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image-size", "4"], "nas: --image-size must be between 8 and 1024, got 4"),
        (["--image-size", "8", "--validation", "some"], "nas: --validation must be a share such as 0.1"),
        (["--image-size", "8", "--validation", "1.0"], "nas: --validation must be a share between 0 and 1"),
        (["--image-size", "8", "--max-corrupt", "2"], "nas: --max-corrupt must be between 0 and 1, got 2.0"),
    ],
)
def test_mistakes_are_one_line(
    photos: Path, tmp_path: Path, monkeypatch, capsys, words, message: str
) -> None:
    assert nas("data", "prepare", photos, "-o", tmp_path / "c", *words, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
    assert left(tmp_path) == ["photos"]


# --- what is there already ---------------------------------------------------------------------------------


def test_a_cache_is_replaced_only_when_told_to_and_when_the_new_one_is_whole(
    photos: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "c"
    first = prepare(photos, cache, OPTIONS)
    with pytest.raises(InputError, match="c: exists; --force replaces it"):
        prepare(photos, cache, OPTIONS)
    (photos / "train" / "ant" / "000.png").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        prepare(photos, cache, OPTIONS, force=True)
    assert read_facts(cache) == first
    (photos / "train" / "ant" / "000.png").write_bytes(image_bytes(5))
    mapped = open_cache(cache)
    before = mapped.train.images.copy()
    assert prepare(photos, cache, OPTIONS, force=True).fingerprint != first.fingerprint
    assert np.array_equal(mapped.train.images, before)  # a search that has it open keeps what it opened
    assert left(tmp_path) == ["c", "photos"]


def test_what_is_no_cache_is_never_removed(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    prepare(photos, tmp_path / "c", OPTIONS)
    (tmp_path / "c" / "notes.txt").write_text("mine")
    for name in ("mine", "file", "c"):
        with pytest.raises(
            InputError, match=f"{name}: exists and is not a prepared data set and nothing else"
        ):
            prepare(photos, tmp_path / name, OPTIONS, force=True)
    assert left(tmp_path / "mine") == ["thesis.txt"]
    assert (tmp_path / "c" / "notes.txt").is_file()
    with pytest.raises(InputError, match="lies in the source"):
        prepare(photos, photos / "c", OPTIONS)


def test_leftovers_of_a_killed_process_are_removed_but_not_those_of_a_living_one(
    photos: Path, tmp_path: Path
) -> None:
    stale = tmp_path / ".c.unfinished-0123"
    stale.mkdir()
    (stale / "train-images.npy").write_bytes(b"half")
    (tmp_path / ".other.unfinished-0123").mkdir()
    prepare(photos, tmp_path / "c", OPTIONS)
    assert left(tmp_path) == [".other.unfinished-0123", "c", "photos"]
    stale.mkdir()
    with FileLock(stale / ".lock"), pytest.raises(InputError, match="another process is preparing it"):
        prepare(photos, tmp_path / "c", OPTIONS, force=True)
    (tmp_path / "c").rename(tmp_path / ".c.replaced-0123")  # killed between two renames
    with pytest.raises(InputError, match="exists"):
        prepare(photos, tmp_path / "c", OPTIONS)
    assert left(tmp_path) == [".other.unfinished-0123", "c", "photos"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    photos: Path, tmp_path: Path, monkeypatch, number: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(trainers.prepare.os, "posix_fallocate", full, raising=False)
    with pytest.raises(InputError, match="c: there is no room for it: 29 images take "):
        prepare(photos, tmp_path / "c", OPTIONS)
    assert left(tmp_path) == ["photos"]


def test_a_place_that_cannot_be_written_is_one_line(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="c: cannot be written: Not a directory"):
        prepare(photos, tmp_path / "file" / "c", OPTIONS)
    assert left(tmp_path) == ["file", "photos"]


def test_a_process_that_dies_while_decoding_is_one_line(photos: Path, tmp_path: Path, monkeypatch) -> None:
    class Dying:
        """Ends the process that unpickles it, as the system does when memory runs out."""

        def __reduce__(self) -> tuple[object, ...]:
            return os._exit, (9,)

        def __len__(self) -> int:
            return 0

    source = open_source(photos)
    keys = [entry.key for entry in (*source.train, *source.test)]
    dying = replace(source, payloads=lambda: ((key, Dying()) for key in keys))
    monkeypatch.setattr(trainers.prepare, "open_source", lambda path: dying)
    monkeypatch.setattr(trainers.prepare, "_BATCH_IMAGES", 8)
    with pytest.raises(InputError, match="a process that decodes images died"):
        prepare(photos, tmp_path / "c", replace(OPTIONS, workers=2))
    assert left(tmp_path) == ["photos"]


def _preparing(tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    """A command that has begun to decode with two processes."""
    source = class_folders(tmp_path / "s", {"a": 1, "b": 1})
    large = image_bytes(1, (700, 700), "JPEG")
    for name in ("a", "b"):
        for i in range(400):
            (source / name / f"x{i}.jpg").write_bytes(large)
    (tmp_path / "out").mkdir()
    words = ["data", "prepare", str(source), "--image-size", "64", "-o", str(tmp_path / "out" / "c")]
    child = subprocess.Popen(
        [sys.executable, "-m", "nas.cli", *words, "--workers", "2"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # may be ignored where tests run
    )
    assert child.stderr is not None
    line = child.stderr.readline()  # the first tenth is decoded
    assert line.startswith("decoding in 2 processes"), line
    return child, tmp_path / "out"


def _members(group: int) -> list[int]:
    """Living processes of a session, zombies aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_from_outside_leaves_no_cache_and_no_process(tmp_path: Path, number: int) -> None:
    child, out = _preparing(tmp_path)
    if number == signal.SIGINT:
        os.killpg(child.pid, number)  # as a terminal does
    else:
        child.send_signal(number)
    _, error = child.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while _members(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _members(child.pid) == []
    if number == signal.SIGKILL:
        (unfinished,) = left(out)
        assert unfinished.startswith(".c.unfinished-")
        small = class_folders(tmp_path / "small", {"a": 3, "b": 3})
        prepare(small, out / "c", OPTIONS)
        assert left(out) == ["c"]
        return
    assert child.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert "Traceback" not in error
    assert left(out) == []


# --- configurations ----------------------------------------------------------------------------------------

CONFIG = """
space: digits
objective: {target: 1.5e6}
data: {cache: ../data/photos}
protocol: {epochs: 1, batch: 4, shift: 1}
search: {candidates: 2}
executor: {kind: inline}
"""


@pytest.fixture
def project(photos: Path, in_tmp: Path) -> Path:
    """A configuration in ``configs/`` that names a cache in ``data/``, of the size that the space wants."""
    (in_tmp / "configs").mkdir()
    (in_tmp / "configs" / "mine.yaml").write_text(CONFIG)
    prepare(photos, in_tmp / "data" / "photos", PrepareOptions(image_size=32, workers=1, validation=6))
    return in_tmp


def test_a_cache_is_found_beside_the_configuration_or_the_current_directory(project: Path) -> None:
    config = load_config("configs/mine.yaml")
    assert config.data is not None
    assert (config.data.name, config.data.cache) == (None, str(project / "data" / "photos"))
    (project / "again.yaml").write_text(config.to_yaml())
    assert load_config("again.yaml", name="mine") == config
    typed = load_config("configs/mine.yaml", ["data.cache=data/other"])
    assert typed.data is not None
    assert typed.data.cache == str(project / "data" / "other")
    digits = load_config(ROOT / "configs" / "quickstart.yaml", ["data.cache=x"])
    assert digits.data is not None
    assert (digits.data.name, digits.data.cache) == (None, str(project / "x"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{name: digits, cache: x}", "mine.yaml:4: data.cache is one way and name another"),
        ("{cache: 3}", "mine.yaml:4: data.cache must be a .*string, got 3"),
        ("{cash: x}", "mine.yaml:4: data.cash is an unknown key; did you mean cache?"),
    ],
)
def test_a_configuration_names_its_data_in_one_way(project: Path, data: str, message: str) -> None:
    text = CONFIG.replace("{cache: ../data/photos}", data)
    (project / "configs" / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_config("configs/mine.yaml")


def test_a_cache_of_another_size_says_what_to_type(project: Path, photos: Path) -> None:
    config = load_config("configs/mine.yaml")
    assert config.data is not None
    match = (
        "holds 32-pixel images, the networks take 64-pixel ones: "
        f"nas data prepare {photos} --image-size 64 -o {project}/data/photos-64 --validation 6 --channels 3"
    )
    with pytest.raises(InputError, match=match):
        load_data(config.data, 64)
    assert load_data(config.data, 32).fingerprint == read_facts("data/photos").fingerprint


def test_a_search_on_a_cache_can_go_on_when_the_cache_has_moved(project: Path) -> None:
    end = run_search(load_config("configs/mine.yaml"))
    assert end.outcome == "finished"
    shutil.move("data/photos", "moved")
    with pytest.raises(InputError, match="data/photos: holds no prepared data"):
        run_search(load_config("configs/mine.yaml", ["search.candidates=3"]), resume=True)
    changes = ["search.candidates=3", "data.cache=moved"]
    assert run_search(load_config("configs/mine.yaml", changes), resume=True).outcome == "finished"
    assert [trial.status for trial in end.run.trials()] == ["done"] * 3
    prepare(project / "photos", "moved", PrepareOptions(image_size=32, workers=1, validation=5), force=True)
    with pytest.raises(InputError, match="another"):
        run_search(load_config("configs/mine.yaml", ["search.candidates=4", "data.cache=moved"]), resume=True)


# --- real archives -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "classes"),
    [
        ("tiny-imagenet-40.tar.gz", 64, ("n01443537", "n01629819")),
        ("cifar10-jpeg.tar.gz", 32, ("airplane", "automobile")),
    ],
)
def test_real_images(tmp_path: Path, name: str, size: int, classes: tuple[str, ...]) -> None:
    """400 images of each of the first two classes of the archives in ``../shared/data``, packed again."""
    archive = REAL / name
    if not archive.is_file():
        pytest.skip(f"{name} is not beside the checkout")
    taken = dict.fromkeys(classes, 0)
    with tarfile.open(archive) as packed:
        while (member := packed.next()) is not None and min(taken.values()) < 400:
            parts = member.name.split("/")
            if member.isreg() and parts[0] == "train" and taken.get(parts[1], 400) < 400:
                taken[parts[1]] += 1
                packed.extract(member, tmp_path / "s", filter="data")
    options = PrepareOptions(image_size=size, workers=2)
    facts = prepare(tmp_path / "s", tmp_path / "folder", options)
    again = prepare(archive_of(tmp_path / "s", tmp_path / "a.tar"), tmp_path / "archive", options)
    assert facts.fingerprint == again.fingerprint
    assert facts.class_names == classes
    assert (facts.counts, facts.problems) == ({"train": 720, "validation": 80, "test": 0}, 0)
    assert 0.2 < min(facts.mean) < max(facts.mean) < 0.8  # photographs
    data = open_cache(tmp_path / "folder")
    assert np.bincount(data.validation.labels).tolist() == [40, 40]
