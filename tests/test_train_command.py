"""``nas train``: a training as a run, its end told, stopped and gone on with, and what it refuses."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file

import nas as library
from nas.console import TrainProgress
from nas.train_config import TrainConfig, load_train_config, parse_train_config
from nas.train_run import _threads_for
from nas.train_views import network_words
from results.training import TrainingRun, list_trainings
from search_space import InputError, load_space
from tests.processes import nas_command, wait_for
from tests.test_cli import nas as command
from trainers import full
from trainers.checkpoints import read_checkpoint
from trainers.digits import load_digits

SAME = ("accuracy", "train_loss", "validation_loss", "learning_rate")
Nas = Callable[..., tuple[int, str, str]]
CONFIG = """\
data: {name: digits}
recipe:
  base: cifar
  epochs: 2
  batch: 300
  warmup_epochs: 1
  shift: 1
  flip: false
  cutout: 2
"""


@pytest.fixture
def nas(capsys: pytest.CaptureFixture[str]) -> Nas:
    """The command line in this process: exit code, standard output, standard error."""
    return partial(command, capsys)


@pytest.fixture
def ready(in_tmp: Path) -> Path:
    """A network and a configuration in the current directory."""
    load_space("digits", {"image_size": 16}).decode([0] * 20).renamed("mine").save("mine.yaml")
    Path("t.yaml").write_text(CONFIG)
    return in_tmp


def test_a_training_is_a_run_that_can_be_looked_at(ready: Path, nas: Nas) -> None:
    code, out, err = nas("train", "mine.yaml", "--config", "t.yaml", "--run", "first", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["state"] == "finished"
    assert (facts["run"], facts["architecture"], facts["epoch"], facts["epochs"]) == ("first", "mine", 2, 2)
    assert 0.0 <= facts["test_accuracy"] <= 1.0
    assert "epoch 2 of 2: validation accuracy" in err
    run = TrainingRun(Path("runs/first"))
    rows = run.measurements()
    assert [row["epoch"] for row in rows] == [1.0, 2.0]
    assert rows[-1]["accuracy"] == facts["accuracy"]
    assert [training.name for training in list_trainings()] == ["first"]
    assert any(run.path.joinpath("tensorboard").iterdir())
    kept = load_train_config(run.config_path)
    assert kept.architecture is not None
    assert kept.architecture.name == "mine"
    assert parse_train_config(kept.model_dump(mode="json")) == kept
    code, out, _ = nas("ls")
    assert code == 0
    assert "training" in out
    assert "epoch 2/2" in out
    code, out, _ = nas("status", "first")
    assert code == 0
    assert "nas eval runs/first/model.safetensors" in out
    assert json.loads(nas("status", "first", "--json")[1]) == facts
    # what has finished is told again, and not trained
    code, out, err = nas("train", "--resume", "--run", "first", "--json")
    assert code == 0
    assert json.loads(out)["seconds"] == facts["seconds"]
    assert err.strip() == "first is finished: 2 epochs; there is nothing to go on with"


def test_python_trains_too_and_a_kept_network_can_be_loaded(ready: Path) -> None:
    config = load_train_config("t.yaml", ["recipe.epochs=1"])
    mine = library.load_architecture("mine.yaml")
    update = {"architecture": mine, "origin": "candidate 7 of a search"}
    end = library.train_network(config.model_copy(update=update))
    assert end.outcome == "finished"
    assert read_checkpoint(end.run.model_path).facts.origin == "candidate 7 of a search"
    assert end.run.config()["origin"] == "candidate 7 of a search"
    again = config.model_copy(update={"architecture": mine})  # it need not be said again
    assert library.train_network(again, resume=True).measurements == end.measurements
    assert end.best == end.measurements[-1]
    model = mine.build(10, 1)
    library.load_weights(model, end.run.model_path)


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_the_printed_command_goes_on(ready: Path, nas: Nas) -> None:
    longer = ["--set", "recipe.epochs=3", "--set", "recipe.batch=60"]
    words = ["train", "mine.yaml", "--config", "t.yaml", *longer, "--set", "workers.cpus=1"]
    assert nas(*words, "--run", "whole")[0] == 0
    process = nas_command(*words, "--run", "cut")
    wait_for(lambda: len(list(Path("runs/cut/checkpoints").glob("epoch-0001*"))) > 0, process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(60)
    if process.returncode == 130:  # a fast machine may have been at the end
        assert "go on with: nas train --resume --run cut" in out
        assert json.loads(nas("status", "cut", "--json")[1])["state"] == "stopped"
    assert nas("train", "--resume", "--run", "cut")[0] == 0
    one, other = (load_file(f"runs/{name}/model.safetensors") for name in ("whole", "cut"))
    assert all(one[name].equal(other[name]) for name in one)
    whole, cut = (TrainingRun(Path(f"runs/{name}")).measurements() for name in ("whole", "cut"))
    for one, other in zip(whole, cut, strict=True):
        assert {name: one[name] for name in SAME} == {name: other[name] for name in SAME}


def test_a_loss_without_a_number_ends_with_the_images_of_its_step(ready: Path, nas: Nas) -> None:
    high = [
        "--set",
        "recipe.learning_rate=1000",
        "--set",
        "recipe.schedule=cosine",
        "--set",
        "recipe.epochs=9",
    ]
    code, _, err = nas("train", "mine.yaml", "--config", "t.yaml", *high)
    assert code == 1
    assert err.strip().splitlines()[-2 if "images of that step" in err else -1].startswith("nas: the ")
    failure = TrainingRun(Path("runs/t")).failure()
    assert failure is not None
    assert "learning_rate may help" in failure["error"]
    if "indices" in failure:
        assert len(failure["indices"]) == 300
    assert json.loads(nas("status", "t", "--json")[1])["state"] == "failed"


def test_what_is_trained_is_told_and_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    b0 = library.load_architecture("efficientnet_b0")
    settings = TrainConfig(name="t", architecture=b0).model_dump(mode="json")
    sized, small = network_words(settings, load_digits(32))  # their own side counts
    assert sized.startswith("images of 224 pixels; 4.0")
    assert small == "images of 8 pixels are resized to 224; --set recipe.image_size=32 trains faster"
    settings["recipe"]["image_size"] = 32
    assert len(network_words(settings, load_digits(32))) == 1
    settings["recipe"]["batch"] = 64
    clock = iter([0.0, 0.0, 1.0, 20.0, 41.0, 42.0])
    monkeypatch.setattr("nas.console.time.monotonic", lambda: next(clock))
    progress = TrainProgress()
    run = SimpleNamespace(name="t", path="runs/t", config=lambda: settings)
    progress.on_begin(run, load_digits(32), 0)
    for step in (1, 2, 21, 22):
        progress.on_step(step, 100, 0.1)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "step 21 of 100: 32 images/s, about 2:38 left"


def test_a_network_that_is_small_takes_one_thread(ready: Path) -> None:
    mine = library.load_architecture("mine.yaml")
    config = load_train_config("t.yaml", ["recipe.batch=64"]).model_copy(update={"architecture": mine})
    assert _threads_for(config, load_digits(16)) == 1
    b0 = config.model_copy(update={"architecture": library.load_architecture("efficientnet_b0")})
    assert _threads_for(b0, load_digits(16)) is None


def test_threads_that_wait_sleep_before_torch_is_imported() -> None:
    program = (
        "import os, sys, typer.testing, nas.cli as cli\n"
        "for words in (['train', 'no'], ['finetune', 'no', 'no'], ['transfer', 'no'],\n"
        "              ['eval', 'no', 'digits'], ['finalists', 'no', '--config', 'no']):\n"
        "    os.environ.pop('OMP_WAIT_POLICY', None)\n"
        "    assert words[0] != 'train' or 'torch' not in sys.modules\n"
        "    typer.testing.CliRunner().invoke(cli.app, words)\n"
        "    assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE', words\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


MISTAKES: list[tuple[list[str], str]] = [
    ([], "nas train needs a network: nas train ARCH --config FILE"),
    (["mine.yaml"], "nas train needs --config FILE"),
    (["nosuch", "--config", "t.yaml"], "nosuch"),
    (["mine.yaml", "--config", "nosuch.yaml"], "nosuch.yaml: no such file"),
    (["mine.yaml", "--config", "t.yaml", "--device", "tpu"], "--device must be auto, cpu or cuda, got 'tpu'"),
    (["mine.yaml", "--config", "t.yaml", "--set", "recipe.epoch=3"], "--set recipe.epoch is an unknown key"),
    (["mine.yaml", "--config", "t.yaml", "--set", "recipe.batch=1e6"], "recipe.batch must be a whole number"),
    (["mine.yaml", "--config", "t.yaml", "--set", "recipe.batch=2000"], "recipe.batch must be at most 1200"),
    (["mine.yaml", "--config", "t.yaml", "--set", "recipe.base=cifra"], "did you mean cifar?"),
    (["mine.yaml", "--config", "t.yaml", "--set", "data.cache=away"], "away: holds no prepared data"),
    (["mine.yaml", "--config", "t.yaml", "--set", "data.name=mnist"], "data.name must be one of digits"),
    (["mine.yaml", "--config", "t.yaml", "--run", "../x"], "is no name for a run"),
    (["mine.yaml", "--config", "t.yaml", "--address", "auto"], "--address is for several workers"),
    (["mine.yaml", "--config", "t.yaml", "--set", "workers.number=7"], "must be divisible into 7 workers"),
    (
        ["mine.yaml", "--config", "t.yaml", "--set", "workers.gpus=2"],
        "workers.gpus must be less than or equal",
    ),
    (
        ["mine.yaml", "--config", "short.yaml"],
        "warmup_epochs must be at most 1, the epochs, got 2, which is of the recipe cifar; give it too",
    ),
    (
        ["mine.yaml", "--config", "cifar.yaml", "--set", "recipe.epochs=1"],
        "nas: recipe.warmup_epochs must be at most 1, the epochs, got 2, which is of the recipe cifar; give "
        "it too, such as 0: --set recipe.warmup_epochs=VALUE",
    ),
    (["--resume"], "--resume needs --run NAME"),
    (["--resume", "--run", "nosuch"], "no training 'nosuch' under runs/"),
    (["mine.yaml", "--config", "t.yaml", "--resume"], "there is no such training to go on with"),
    (["mine.yaml", "--config", "typo.yaml"], "typo.yaml:1: recipes is an unknown key; did you mean recipe"),
    (["mine.yaml", "--config", "t.yaml", "--set", "recipe.image_size=2"], "image_size"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(
    ready: Path, nas: Nas, words: list[str], message: str
) -> None:
    Path("typo.yaml").write_text("recipes: cifar\n")
    Path("short.yaml").write_text("recipe: {base: cifar, epochs: 1}\n")
    Path("cifar.yaml").write_text("recipe: {base: cifar}\n")
    code, out, err = nas("train", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("runs").exists()


def test_a_training_goes_on_only_as_it_began(ready: Path, nas: Nas) -> None:
    words = ["train", "mine.yaml", "--config", "t.yaml", "--set", "recipe.epochs=1"]
    assert nas(*words)[0] == 0
    code, _, err = nas(*words)
    assert code == 2
    assert "runs/t: exists already; --resume" in err
    code, _, err = nas(*words, "--resume", "--set", "recipe.batch=200", "--set", "seed=3")
    assert code == 2
    assert "was made with another seed, recipe.batch; choose another name" in err
    code, _, err = nas(*words, "--resume", "--set", "recipe.epochs=2")
    assert code == 2
    assert "another recipe.epochs; choose another name with --run NAME, which trains from the" in err
    assert "or leave recipe.epochs at 1" in err
    with pytest.raises(InputError, match="holds a training of nas train, no search; nas status t shows it"):
        library.open_run("t")
    assert nas("status", "t", "--watch")[0] == 2


def test_a_copied_training_goes_on_by_itself_and_one_from_elsewhere_not_here(ready: Path, nas: Nas) -> None:
    assert nas("train", "mine.yaml", "--config", "t.yaml", "--run", "one")[0] == 0
    shutil.copytree("runs/one", "runs/two")
    Path("runs/two/model.safetensors").unlink()
    Path("runs/two/checkpoints/epoch-0002.safetensors").unlink()
    code, out, _ = nas("train", "--resume", "--run", "two", "--json")
    assert code == 0
    assert json.loads(out)["run"] == "two"
    assert Path("runs/two/model.safetensors").is_file()
    shutil.copytree("runs/one", "away/runs/one")
    code, out, err = nas("train", "--resume", "--run", "away/runs/one")
    assert (code, out) == (2, "")
    assert "away/runs/one: is not under runs/ of this directory" in err


def test_ctrl_c_twice_does_not_wait_for_a_measurement(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = full.evaluate_network, []

    def evaluated(*given, **named):
        calls.append(given)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("it went on measuring")
        return real(*given, **named)

    monkeypatch.setattr(full, "evaluate_network", evaluated)
    config = load_train_config("t.yaml")
    mine = library.load_architecture("mine.yaml")
    config = config.model_copy(update={"architecture": mine})
    end = library.train_network(config, device="cpu")
    assert (end.outcome, len(end.measurements), end.run.state()) == ("interrupted", 1, "stopped")
    assert [row["epoch"] for row in end.run.measurements()] == [1.0]
    assert library.train_network(config, resume=True, device="cpu").outcome == "finished"


def test_a_configuration_that_was_spoilt_hides_no_other_run(ready: Path, nas: Nas) -> None:
    assert nas("train", "mine.yaml", "--config", "t.yaml", "--set", "recipe.epochs=1")[0] == 0
    Path("runs/t/config.yaml").write_text("name: t\n")
    code, out, _ = nas("ls")
    assert code == 0
    assert "t is unreadable: runs/t/config.yaml: architecture.name is missing" in out
    code, _, err = nas("show", "tt@best")
    assert code == 2
    assert "did you mean t?" in err


def test_several_workers_are_asked_for_as_the_file_says(ready: Path, nas: Nas, monkeypatch) -> None:
    from trainers import parallel
    from trainers.full import train_fully

    asked: dict[str, object] = {}

    def train_in_parallel(*what, workers, cpus, gpus, max_failures, address, **common):
        asked.update(workers=workers, cpus=cpus, gpus=gpus, max_failures=max_failures, address=address)
        yield from train_fully(*what, **common)

    monkeypatch.setattr(parallel, "train_in_parallel", train_in_parallel)
    several = ["workers.number=2", "workers.cpus=1", "workers.max_failures=5", "recipe.epochs=1"]
    words = [word for value in several for word in ("--set", value)]
    code, _, err = nas(
        "train", "mine.yaml", "--config", "t.yaml", *words, "--device", "cpu", "--address", "auto"
    )
    assert code == 0, err
    assert asked == {"workers": 2, "cpus": 1, "gpus": 0, "max_failures": 5, "address": "auto"}
    monkeypatch.setattr("nas.train_run.device_of", lambda asked: asked)  # as where there is a GPU
    assert (
        nas("train", "mine.yaml", "--config", "t.yaml", *words, "--device", "cuda", "--run", "gpus")[0] == 0
    )
    assert asked["gpus"] == 1

    def lost(*what, **given):
        raise parallel.WorkersLostError("4 workers were lost one after another")
        yield

    monkeypatch.setattr(parallel, "train_in_parallel", lost)
    code, _, err = nas("train", "mine.yaml", "--config", "t.yaml", *words, "--run", "other")
    assert code == 1
    assert err.strip().splitlines()[-2:] == [
        "nas: 4 workers were lost one after another",
        "go on with: nas train --resume --run other",
    ]
