"""``nas finetune``: what it leaves and says, gone on with without its source, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas as library
from nas.finetuning import data_section
from nas.train_config import load_train_config, parse_train_config
from nas.train_views import _rounded_down, finetuning_words, resuming
from results.training import TrainingRun
from tests.bundles import TINY
from tests.checkpoint_files import cache, checkpoint
from tests.small_training import assert_same_bits
from tests.test_cli import nas as command
from trainers.checkpoints import checkpoints_in
from trainers.data import Dataset
from trainers.digits import load_digits
from trainers.finetuning import Finetuning, number_of_parts

Nas = Callable[..., tuple[int, str, str]]
CONFIG = """\
recipe: {base: transfer, epochs: 2, batch: 50, warmup_epochs: 0, flip: false}
finetuning: {unfreeze: staged, stage_epochs: 0.5}
subset: 200
"""
WORDS = ("finetune", "one.safetensors", "digits", "--config", "t.yaml", "--device", "cpu")


@pytest.fixture
def nas(capsys: pytest.CaptureFixture[str]) -> Nas:
    """The command line in this process: exit code, standard output, standard error."""
    return partial(command, capsys)


@pytest.fixture
def ready(in_tmp: Path) -> Path:
    """A trained network of colour images and a configuration in the current directory."""
    three = {"in_channels": 3, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    checkpoint(Path("one.safetensors"), data="photos", origin="candidate 3 of a search", **three)
    Path("t.yaml").write_text(CONFIG)
    return in_tmp


def test_a_finetuned_network_says_what_of_and_eval_agrees_with_its_training(ready: Path, nas: Nas) -> None:
    code, out, err = nas(*WORDS, "--image-size", "24", "--run", "fine", "--json")
    assert code == 0, err
    assert "the stem takes 1 channel instead of 3" in err
    assert resuming(TrainingRun(Path("runs/fine"))) == "nas finetune --resume --run fine"
    facts = json.loads(out)
    assert facts["start"]["data"] == "photos"
    assert facts["start"]["network"] == "tiny"
    assert (facts["start"]["unfreeze"], facts["subset"]) == ("staged", 200)
    code, out, _ = nas("eval", "runs/fine/model.safetensors", "digits", "--json")
    assert code == 0
    measured = json.loads(out)
    assert (measured["top1"], measured["image_size"]) == (facts["test_accuracy"], 24)
    words = "fine-tuned from tiny, which had learnt photos: part by part, 0.5 epochs apart"
    assert words in nas("status", "fine")[1]
    code, out, _ = nas("show", "fine@last")
    assert words in out
    assert "the network is candidate 3 of a search" in out
    document = json.loads(nas("show", "fine@last", "--json")[1])
    same = {"weights", "network", "data", "unfreeze", "stage_epochs"}
    kept_start = document["checkpoint"]["start"]
    assert {key: kept_start[key] for key in same} == {key: facts["start"][key] for key in same}
    assert kept_start["origin"] == "candidate 3 of a search"
    kept = load_train_config("runs/fine/config.yaml")
    assert parse_train_config(kept.model_dump(mode="json")) == kept


def test_a_stopped_one_goes_on_without_its_source_and_not_with_another(ready: Path, nas: Nas) -> None:
    config = library.finetune_config("one.safetensors", "digits", "t.yaml", name="whole")
    library.train_network(config, device="cpu")
    last = Path("runs/whole/checkpoints/epoch-0002.safetensors")
    cut = config.model_copy(update={"name": "cut"})
    shutil.copytree("runs/whole", "runs/none")
    with pytest.raises(SystemExit):
        library.train_network(cut, device="cpu", listener=StopsAt(6))
    assert [path.name for path in checkpoints_in(Path("runs/cut/checkpoints"))] == ["epoch-0001.safetensors"]
    Path("one.safetensors").unlink()
    assert nas("finetune", "--resume", "--run", "cut", "--device", "cpu")[0] == 0
    assert_same_bits(last, Path("runs/cut/checkpoints/epoch-0002.safetensors"))
    # without a checkpoint it cannot begin again
    for path in [*Path("runs/none/checkpoints").iterdir(), Path("runs/none/model.safetensors")]:
        path.unlink()
    code, out, err = nas("finetune", "--resume", "--run", "none")
    assert (code, out) == (2, "")
    assert "one.safetensors: no such file" in err
    checkpoint(Path("one.safetensors"), seed=4, in_channels=3, mean=(0.5,) * 3, std=(0.2,) * 3)
    code, _, err = nas("finetune", "--resume", "--run", "none")
    assert (code, "its weights are not those that the training none was made with" in err) == (2, True)
    code, _, err = nas(*WORDS, "--run", "none", "--resume")
    assert (code, "was made with another start.weights" in err) == (2, True)
    assert len(err.splitlines()) == 1


class StopsAt:
    """Ends a training at a step as Ctrl-C twice does, without a checkpoint."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_begin(self, run: TrainingRun, data: Dataset, done: int) -> None:
        """Nothing."""

    def on_step(self, done: int, total: int, learning_rate: float) -> None:
        if done == self.step:
            raise SystemExit

    def on_epoch(self, measurement: object) -> None:
        """Nothing."""


MISTAKES: list[tuple[list[str], str]] = [
    ([], "nas finetune needs a trained network and data"),
    (["one.safetensors"], "nas finetune needs a trained network and data"),
    (["one.safetensors", "digits"], "nas finetune needs --config FILE"),
    (["nosuch.safetensors", "digits", "--config", "t.yaml"], "nosuch.safetensors: no such file"),
    (["efficientnet_b0", "digits", "--config", "t.yaml"], "efficientnet_b0: is no checkpoint to fine-tune"),
    (["nosuch@best", "digits", "--config", "t.yaml"], "nosuch"),
    (["broken.safetensors", "digits", "--config", "t.yaml"], "broken.safetensors: cannot be read"),
    (
        ["other.safetensors", "digits", "--config", "t.yaml"],
        "is a checkpoint of version 9, this program reads",
    ),
    (["one.safetensors", "digts", "--config", "t.yaml"], "did you mean digits?"),
    (["one.safetensors", "photos", "--config", "t.yaml"], "photos: is no prepared data; nas data prepare"),
    (
        ["one.safetensors", "digits", "--config", "t.yaml", "--set", "subset=1201"],
        "subset must be at most 1200",
    ),
    (["one.safetensors", "digits", "--config", "t.yaml", "--set", "subset=1"], "--set subset must be"),
    (
        ["one.safetensors", "digits", "--config", "t.yaml", "--set", "subset=9"],
        "subset must be at least 10, one image a class of digits, got 9",
    ),
    (
        ["one.safetensors", "digits", "--config", "t.yaml", "--set", "subset=20"],
        "recipe.batch must be at most 20, the training images of digits, got 50; --set recipe.batch=N",
    ),
    (["digits", "one.safetensors"], "the checkpoint comes first: nas finetune one.safetensors digits"),
    (["digits", "mine@last"], "the checkpoint comes first: nas finetune mine@last digits"),
    (["one.safetensors", "digits", "--config", "t.yaml", "--image-size", "2"], "image_size"),
    (
        ["one.safetensors", "digits", "--config", "t.yaml", "--set", "finetuning.unfreez=head"],
        "did you mean unfreeze?",
    ),
    (["--resume"], "--resume needs --run NAME"),
    (["--resume", "--run", "nosuch"], "no training 'nosuch' under runs/"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(
    ready: Path, nas: Nas, words: list[str], message: str
) -> None:
    whole = Path("one.safetensors").read_bytes()
    Path("broken.safetensors").write_bytes(whole[: len(whole) // 2])
    Path("other.safetensors").write_bytes(whole.replace(b'\\"version\\": 1', b'\\"version\\": 9'))
    Path("photos").mkdir()
    code, out, err = nas("finetune", *words)
    assert (code, out) == (2, ""), err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("runs").exists()


def test_nas_train_says_which_command_finetunes(ready: Path, nas: Nas) -> None:
    code, _, err = nas("train", "one.safetensors", "--config", "t.yaml")
    assert (code, "finetuning: is for nas finetune CHECKPOINT DATA --config t.yaml" in err) == (2, True)
    Path("p.yaml").write_text("recipe: {base: cifar, epochs: 1, warmup_epochs: 0, cutout: 0}\n")
    assert nas("train", "one.safetensors", "--config", "p.yaml", "--run", "plain")[0] == 0
    assert json.loads(nas("status", "plain", "--json")[1])["start"] is None
    code, _, err = nas("finetune", "--resume", "--run", "plain")
    assert (code, "plain: is no fine-tuning; nas train --resume --run plain goes on with it" in err) == (
        2,
        True,
    )


def test_a_finetuning_says_what_becomes_of_its_stem_and_how_far_it_will_learn(ready: Path) -> None:
    config = library.finetune_config("one.safetensors", "digits", "t.yaml").model_dump(mode="json")
    data = load_digits(16)
    stem, stages = finetuning_words(config, data)
    assert stem == "the stem takes 1 channel instead of 3: its weights are summed over them"
    assert stages == "in 2 epochs 4 of 5 parts will learn; finetuning.stage_epochs: 0.4 reaches all"
    assert number_of_parts(TINY) == 5
    config["finetuning"]["stage_epochs"] = 0.4
    assert finetuning_words(config, data) == [stem]
    Path("one.safetensors").unlink()  # one that goes on within its first epoch needs it no more
    assert finetuning_words(config, data) == []
    assert finetuning_words({**config, "start": None}, data) == []


@given(st.integers(1, 10_000), st.integers(2, 100))
def test_the_advised_stage_reaches_every_part_and_wastes_no_half(epochs: int, parts: int) -> None:
    stage = _rounded_down(epochs / parts)
    assert epochs / parts / 2 < stage <= epochs / parts * (1 + 1e-9)
    assert Finetuning(unfreeze="staged", stage_epochs=stage).learning(parts, epochs * (1 - 1e-6)) == parts


def test_a_transfer_is_gone_on_with_as_one(ready: Path, nas: Nas) -> None:
    Path("runs/tab/trainings").mkdir(parents=True)
    Path("runs/tab/config.yaml").write_text("networks: {}\n")
    for command_name in ("finetune", "train"):
        code, out, err = nas(command_name, "--resume", "--run", "tab")
        assert (code, out) == (2, "")
        assert err.strip() == "nas: tab is a transfer; go on with: nas transfer --resume --run tab"


def test_data_may_be_prepared_or_come_along(in_tmp: Path) -> None:
    cache(Path("noise"))
    assert data_section("noise").cache == str(Path("noise").resolve())
    assert data_section("digits").name == "digits"
    cache(Path("digits"))  # a folder goes before a name
    assert data_section("digits").cache is not None
