"""Cells of a transfer: what counts as trained, is tried again or refused; and how it is told."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nas as library
from nas.repeated import Margin
from nas.train_config import load_train_config
from nas.transfer_config import TransferConfig, load_transfer_config
from nas.transfer_findings import Score, TransferRow, paired
from nas.transfer_progress import TransferProgress
from nas.transfer_run import TransferEnd
from nas.transfer_views import _margin, _words
from results.training import TrainingRun, is_training
from results.transfer_run import TransferRun
from search_space import InputError
from tests.checkpoint_files import cache, checkpoint
from tests.test_cli import nas as command
from trainers.recipe import RECIPES

Nas = Callable[..., tuple[int, str, str]]
CONFIG = """\
recipe: {epochs: 1, batch: 50, warmup_epochs: 0, flip: false}
seeds: 1
subset: 100
"""
WORDS = ("transfer", "grey.safetensors", "--config", "t.yaml", "--device", "cpu", "--run", "mine")
WORDS += ("--data", "digits", "--no-scratch")
CELL = Path("runs/mine/trainings/tiny-digits-finetuned-0")


@pytest.fixture
def nas(capsys: pytest.CaptureFixture[str]) -> Nas:
    """The command line in this process: exit code, standard output, standard error."""
    return partial(command, capsys)


@pytest.fixture
def ready(in_tmp: Path) -> Path:
    """A trained network of grey images and a configuration."""
    checkpoint(Path("grey.safetensors"))
    Path("t.yaml").write_text(CONFIG)
    return in_tmp


def shown(nas: Nas) -> tuple[str, str]:
    """The state of the only cell in the table, and of the run in the list."""
    document = json.loads(nas("status", "mine", "--json")[1])
    listed = json.loads(nas("ls", "--json")[1])[0]
    assert document["counts"] == listed["counts"]
    return document["cells"][0]["state"], listed["state"]


def test_a_cell_is_finished_by_what_is_on_disk(
    ready: Path, nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(self: object, done: int, total: int, rate: float) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate much.")

    with monkeypatch.context() as patch:
        patch.setattr(TransferProgress, "on_step", no_memory)
        assert nas(*WORDS)[0] == 1
    assert "tiny-digits-finetuned-0 failed: CUDA out of memory." in nas("status", "mine")[1]
    assert shown(nas) == ("failed", "failed")
    code, _, err = nas(*WORDS)  # tried again
    assert code == 0, err
    assert shown(nas) == ("finished", "finished")
    # a failure that another process wrote late takes nothing back
    TrainingRun(CELL).write_failure({"error": "late"})
    assert shown(nas) == ("finished", "finished")
    TrainingRun(CELL).write_failure(None)
    # killed between the network and the last measurement
    whole = (CELL / "metrics.jsonl").read_text()
    (CELL / "metrics.jsonl").unlink()
    assert shown(nas) == ("stopped", "stopped")
    assert nas(*WORDS)[0] == 0
    assert (CELL / "metrics.jsonl").read_text() == whole
    # without checkpoints it is a training still, and nothing is left to do
    shutil.rmtree(CELL / "checkpoints")
    before = (CELL / "model.safetensors").stat().st_mtime_ns
    assert nas(*WORDS)[0] == 0
    assert shown(nas) == ("finished", "finished")
    assert (CELL / "model.safetensors").stat().st_mtime_ns == before
    (CELL / "model.safetensors").rename("m")
    assert not is_training(CELL)
    Path("m").rename(CELL / "model.safetensors")
    # a number of another training is none of this transfer
    config = (CELL / "config.yaml").read_text()
    (CELL / "config.yaml").write_text(config.replace("momentum: 0.9", "momentum: 0.8"))
    document = json.loads(nas("status", "mine", "--json")[1])
    cell = document["cells"][0]
    assert (cell["state"], cell["test_accuracy"]) == ("failed", None)
    assert f"another configuration: recipe.momentum; remove {CELL} to" in cell["error"]
    assert document["table"][0]["finetuned"] is None
    assert nas(*WORDS)[0] == 1


def test_a_finished_training_is_none_on_other_images(ready: Path, nas: Nas) -> None:
    cache(Path("old"), names=("a", "b"), counts=(60, 20, 0))
    Path("f.yaml").write_text("recipe: {epochs: 1, batch: 20, warmup_epochs: 0}\n")
    words = ("finetune", "grey.safetensors", "--config", "f.yaml", "--run", "one")
    assert nas(*words, "old", "--device", "cpu")[0] == 0
    cache(Path("new"), names=("a", "b"), counts=(60, 20, 0), fingerprint="d" * 64)
    code, out, err = nas(*words, "new", "--resume")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "runs/one: was trained on other images than those of " in err
    Path("old").rename("moved")  # the same images elsewhere, or nowhere
    assert nas(*words, "moved", "--resume")[0] == 0
    assert nas("finetune", "--resume", "--run", "one")[0] == 0


@pytest.mark.parametrize(
    ("text", "typed", "epochs"),
    [
        ("seeds: 1\n", [], 20),
        ("seeds: 1\n", ["recipe.epochs=3"], 3),
        ("recipe: {epochs: 4}\n", [], 4),
        ("recipe: {base: transfer}\n", ["recipe.epochs=5"], 5),
    ],
)
def test_a_recipe_without_a_base_is_transfers(ready: Path, text: str, typed: list[str], epochs: int) -> None:
    Path("a.yaml").write_text(text)
    Path("b.yaml").write_text(text.replace("seeds", "seed"))
    of_transfer = load_transfer_config("a.yaml", typed).recipe
    of_finetune = library.finetune_config("grey.safetensors", "digits", "b.yaml", typed).recipe
    assert of_transfer == of_finetune
    assert of_transfer.epochs == epochs
    assert of_transfer.learning_rate == RECIPES["transfer"].learning_rate


def test_nas_train_without_a_base_is_still_imagenets(in_tmp: Path) -> None:
    Path("b.yaml").write_text("recipe: {epochs: 30}\n")
    assert load_train_config("b.yaml").recipe == replace(RECIPES["imagenet"], epochs=30)


def test_another_base_is_kept_and_a_typo_is_told_by_its_place(ready: Path) -> None:
    assert load_transfer_config("t.yaml", ["recipe=cifar"]).recipe == RECIPES["cifar"]
    Path("t.yaml").write_text("seeds: 1\nrecipe:\n  epoch: 3\n")
    with pytest.raises(InputError, match=r"t.yaml:3: recipe.epoch is an unknown key; did you mean epochs\?"):
        load_transfer_config("t.yaml")


# --- how figures are told ----------------------------------------------------------------------------


@given(st.integers(1, 5000), st.data())
def test_equal_differences_of_counts_are_no_measure_of_noise(images: int, data: st.DataObject) -> None:
    more = data.draw(st.integers(0, images))
    counts = data.draw(st.lists(st.integers(0, images - more), min_size=2, max_size=5))
    other = {seed: right / images for seed, right in enumerate(counts)}
    one = {seed: (right + more) / images for seed, right in enumerate(counts)}
    margin = paired(one, other)
    assert margin == Margin(value=pytest.approx(more / images, abs=1e-12), low=None, high=None)


def test_equal_differences_on_297_images_are_equal() -> None:
    one, other = {0: 250 / 297, 1: 271 / 297, 2: 288 / 297}, {0: 249 / 297, 1: 270 / 297, 2: 287 / 297}
    assert len({one[seed] - other[seed] for seed in one}) > 1  # as floats they are not
    assert paired(one, other) == Margin(value=pytest.approx(1 / 297), low=None, high=None)


def row(finetuned: tuple[float, ...], scratch: tuple[float, ...], wanted: int = 3) -> TransferRow:
    """A row whose seeds are counted from 0."""
    scores = [Score(values=values, images=100) for values in (finetuned, scratch)]
    difference = paired(dict(enumerate(finetuned)), dict(enumerate(scratch)))
    pairs = min(len(finetuned), len(scratch))
    return TransferRow(
        network="n", data="d", part="test", finetuned=scores[0], scratch=scores[1], difference=difference,
        pairs=pairs, params=1, macs=1, failed=0, wanted=wanted,
    )  # fmt: skip


def test_a_difference_says_of_how_many_seeds_it_is() -> None:
    assert _margin(row((0.5, 0.6, 0.7), (0.4, 0.5, 0.6))) == "+10.00 (equal)"
    assert _margin(row((0.5, 0.6), (0.4, 0.5, 0.6))) == "+10.00 (equal) (2 of 3 seeds)"
    assert _margin(row((0.5,), (0.4, 0.5, 0.6))) == "+10.00 (1 of 3 seeds)"
    assert _margin(row((0.5,), (0.4,), wanted=1)) == "+10.00"
    assert _margin(row((0.5, 0.65, 0.7), (0.4, 0.5, 0.6))).endswith(" *")
    assert row((0.5, 0.6), (0.4,)).to_json()["pairs"] == 1


@pytest.mark.parametrize(
    ("finetuned", "scratch", "told"),
    [
        ((0.5, 0.6, 0.7), (0.4, 0.5, 0.62), (False, False)),
        ((0.5, 0.6, 0.7), (0.4,), (True, False)),
        ((0.5, 0.5, 0.5), (0.4, 0.5, 0.6), (False, True)),
        ((0.5, 0.6, 0.7), (0.4, 0.5, 0.6), (False, True)),  # the differences
    ],
)
def test_the_words_below_the_table_explain_what_is_in_it(
    finetuned: tuple[float, ...], scratch: tuple[float, ...], told: tuple[bool, bool]
) -> None:
    end = TransferEnd(
        run=TransferRun(Path("x")), outcome="finished", cells=(), table=(row(finetuned, scratch),)
    )
    words = _words(TransferConfig(name="x", seeds=3), end, published=False)
    assert tuple(any(line.startswith(sign) for line in words) for sign in ("[ ]", "(equal)")) == told
