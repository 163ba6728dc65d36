"""A full training in one process that is killed, or meets a fault, ends as one that was left alone."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search_space import InputError
from tests.processes import Forked
from tests.small_training import RECIPE, SEED, STEPS, assert_same_bits, data, network, order
from trainers import Dataset, checkpoints, full
from trainers.checkpoints import BEST, checkpoint_path, checkpoints_in, read_checkpoint
from trainers.device_data import DeviceImages
from trainers.full import Saving, train_fully
from trainers.full_step import FullTraining, NotFiniteError
from trainers.recipe import Recipe

RECIPES = {
    "rmsprop_tf": replace(RECIPE, accumulate=2),
    "sgd": replace(RECIPE, optimiser="sgd", schedule="cosine", ema=0.0),
    "adamw": replace(RECIPE, optimiser="adamw", learning_rate=0.01, precision="bfloat16"),
}
LAST = f"epoch-{RECIPE.epochs:04d}.safetensors"


def trained(folder: Path, recipe: Recipe, *, minutes: float | None = None) -> Path:
    """Train as far as it goes; the last checkpoint."""
    saving = Saving(folder=folder, keep=2, minutes=minutes)
    epochs = train_fully(network(), recipe, data(), SEED, saving=saving)
    assert [m.metrics["epoch"] for m in epochs] == [1.0, 2.0, 3.0]
    return folder / LAST


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The last checkpoint of a training by a recipe that was left alone."""
    known: dict[str, Path] = {}

    def last(name: str) -> Path:
        if name not in known:
            known[name] = trained(tmp_path_factory.mktemp(name), RECIPES[name])
        return known[name]

    return last


# --- killed -------------------------------------------------------------------------------------------------


def killed_at(moment: str, count: int) -> None:
    """From now on this process ends, as by kill -9, when a moment comes the `count`-th time."""

    left = [count]

    def passed() -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(real: Callable) -> Callable:
        return lambda *given, **named: (passed(), real(*given, **named))[1]

    def after(real: Callable) -> Callable:
        return lambda *given, **named: (real(*given, **named), passed())[0]

    def written(path: Path, *rest: object) -> None:
        checkpoints.write_checkpoint(path, *rest)
        if path.name == BEST:
            passed()

    if moment == "weights have moved, their average has not":
        FullTraining._follow = before(FullTraining._follow)
    elif moment == "a checkpoint is written, and not yet in its place":
        os.fsync = after(os.fsync)
    elif moment == "a checkpoint is in its place, and those before still there":
        checkpoints._sync_folder = after(checkpoints._sync_folder)
    elif moment == "the best is written, and not the last":
        full.write_checkpoint = written


MOMENTS = (
    ("weights have moved, their average has not", 3),
    ("a checkpoint is written, and not yet in its place", 3),
    ("the best is written, and not the last", 1),
    ("a checkpoint is in its place, and those before still there", 4),
)


def session(folder: Path, recipe: Recipe, given: Dataset, moment: str, count: int) -> None:
    """A session of a training, in a process of its own."""
    torch.set_num_threads(1)
    killed_at(moment, count)
    saving = Saving(folder=folder, keep=2, minutes=0.0)
    for _ in train_fully(network(), recipe, given, SEED, saving=saving):
        pass


def ended(process: Forked) -> int | None:
    """Its exit code."""
    err = process.communicate(60.0)[1]
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_killed_anywhere_it_ends_with_the_same_bits(tmp_path: Path, undisturbed, name: str) -> None:
    folder, recipe = tmp_path / "kept", RECIPES[name]
    for moment, count in MOMENTS:
        assert ended(Forked(session, folder, recipe, data(), moment, count)) == -signal.SIGKILL, moment
    assert ended(Forked(session, folder, recipe, data(), "", 0)) == 0
    assert_same_bits(folder / LAST, undisturbed(name))
    assert_same_bits(folder / BEST, undisturbed(name).parent / BEST)
    assert len(list(folder.iterdir())) == 3  # two, and the best: nothing that a killed process left


@pytest.mark.slow
def test_killed_again_and_again_at_any_time_it_ends_with_the_same_bits(tmp_path: Path, undisturbed) -> None:
    drawn, sessions = random.Random(11), 0
    for _ in range(40):
        process = Forked(session, tmp_path, RECIPES["rmsprop_tf"], data(), "", 0)
        sessions += 1
        before = time.monotonic() + 10.0
        known = len(list(tmp_path.iterdir()))
        while process.poll() is None and time.monotonic() < before and len(list(tmp_path.iterdir())) == known:
            time.sleep(0.002)
        time.sleep(drawn.uniform(0.0, 0.15))
        process.kill()
        if ended(process) == 0:
            break
    assert sessions > 3
    assert_same_bits(trained(tmp_path, RECIPES["rmsprop_tf"]), undisturbed("rmsprop_tf"))


def stopped_at(folder: Path, recipe: Recipe, step: int) -> Path:
    """Train until so many steps are done; the checkpoint that is left."""
    done = [0]

    def on_step(number: int, steps: int, rate: float) -> None:
        assert steps == 3 * STEPS
        done[0] = number

    saving = Saving(folder=folder, keep=2, minutes=None)
    given = (network(), recipe, data(), SEED)
    epochs = list(train_fully(*given, saving=saving, on_step=on_step, stop=lambda: done[0] >= step))
    assert len(epochs) == step // STEPS
    return checkpoints_in(folder)[0]


def test_who_stops_it_at_a_step_finds_a_checkpoint_of_that_step(tmp_path: Path, undisturbed) -> None:
    for step in (4, STEPS, 2 * STEPS + 5):  # the last of an epoch among them
        facts = read_checkpoint(stopped_at(tmp_path, RECIPES["sgd"], step)).facts
        assert facts.epoch * STEPS + facts.step == step
    assert_same_bits(trained(tmp_path, RECIPES["sgd"]), undisturbed("sgd"))


# --- damaged files ------------------------------------------------------------------------------------------


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "noise": os.urandom(3000)}[how])


@pytest.mark.parametrize("how", ["truncated", "empty", "noise"])
def test_of_a_damaged_checkpoint_the_one_before_is_taken(
    tmp_path: Path, undisturbed, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    folder = shutil.copytree(undisturbed("sgd").parent, tmp_path / "kept")
    damage(folder / LAST, how)
    with caplog.at_level(logging.WARNING):
        assert_same_bits(trained(folder, RECIPES["sgd"]), undisturbed("sgd"))
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(str(folder / LAST))
    assert told.endswith("going on from the one before")
    assert "\n" not in told


def test_a_damaged_checkpoint_is_not_kept_in_place_of_one_that_can_be_read(tmp_path: Path) -> None:
    recipe = RECIPES["sgd"]
    damage(stopped_at(tmp_path, recipe, STEPS + 4), "truncated")
    done: list[int] = []
    saving = Saving(folder=tmp_path, keep=1, minutes=0.0)
    epochs = train_fully(
        *(network(), recipe, data(), SEED),
        saving=saving,
        on_step=lambda number, steps, rate: done.append(number),
        stop=lambda: bool(done),
    )
    assert list(epochs)
    assert done == [STEPS + 1]  # after the first epoch's
    assert checkpoints_in(tmp_path)[1:] == [checkpoint_path(tmp_path, 1, 1)]
    assert read_checkpoint(checkpoint_path(tmp_path, 1, 1)).resumable


def test_where_all_checkpoints_are_damaged_it_does_not_start_again(tmp_path: Path, undisturbed) -> None:
    folder = shutil.copytree(undisturbed("sgd").parent, tmp_path / "kept")
    for path in checkpoints_in(folder):
        damage(path, "truncated")
    left = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError) as caught:
        trained(folder, RECIPES["sgd"])
    assert str(caught.value) == f"{folder}: none of its checkpoints can be read"
    assert {path: path.read_bytes() for path in folder.iterdir()} == left


# --- a full disk --------------------------------------------------------------------------------------------


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def full_when_synced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disk is found to be full when what was written is to reach it."""

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.mark.parametrize("what", ["best", "checkpoint", "sync"])
def test_on_a_full_disk_it_ends_and_later_goes_on(
    tmp_path: Path, undisturbed, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    recipe, size = RECIPES["sgd"], (undisturbed("sgd").parent / BEST).stat().st_size
    first = stopped_at(tmp_path, recipe, 4)
    before = first.read_bytes()
    limits = {"best": file_size_limit(size // 2), "checkpoint": file_size_limit(size + 30_000)}
    with limits.get(what) or full_when_synced(monkeypatch), pytest.raises(OSError, match="Errno") as caught:
        trained(tmp_path, recipe)
    number = errno.ENOSPC if what == "sync" else errno.EFBIG
    wanted = checkpoint_path(tmp_path, 1) if what == "checkpoint" else tmp_path / BEST
    assert str(caught.value) == f"[Errno {number}] {os.strerror(number)}: '{wanted}'"
    best = {tmp_path / BEST} if what == "checkpoint" else set()
    assert set(tmp_path.iterdir()) == {first} | best  # nothing half written
    assert first.read_bytes() == before
    assert_same_bits(trained(tmp_path, recipe), undisturbed("sgd"))


# --- no numbers ---------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_names_its_images_and_leaves_the_last_good_checkpoint(
    tmp_path: Path, undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = DeviceImages.normalised, []

    def normalised(self: DeviceImages, raw: torch.Tensor) -> torch.Tensor:
        calls.append(raw)
        # after the first epoch's steps and its validation, in the third step: its first part is whole
        wrong = float("nan") if len(calls) == 2 * STEPS + 1 + 2 * 2 + 2 else 1.0
        return real(self, raw) * wrong

    with monkeypatch.context() as patch:
        patch.setattr(DeviceImages, "normalised", normalised)
        with pytest.raises(NotFiniteError) as caught:
            trained(tmp_path, RECIPES["rmsprop_tf"], minutes=0.0)
    assert (caught.value.epoch, caught.value.step) == (2, 3)
    assert caught.value.indices == order(1)[2]
    assert checkpoints_in(tmp_path)[0] == checkpoint_path(tmp_path, 1, 2)
    assert_same_bits(trained(tmp_path, RECIPES["rmsprop_tf"]), undisturbed("rmsprop_tf"))


def test_a_rate_that_is_too_high_is_told_with_the_step_it_failed_in(tmp_path: Path) -> None:
    recipe = replace(RECIPE, optimiser="sgd", learning_rate=1000.0, weight_decay=10.0, batch=10)
    with pytest.raises(NotFiniteError, match="lower learning_rate") as caught:
        trained(tmp_path, recipe)
    error = caught.value
    assert error.indices == order(error.epoch - 1, batch=10)[error.step - 1]
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.indices, again.step) == (str(error), error.indices, error.step)
