"""``nas transfer``: networks on data sets, both ways; killed, shared by processes, and what it refuses."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nas as library
from nas.config_sections import DataConfig
from nas.repeated import Margin
from nas.transfer_config import TransferData, load_transfer_config, recipe_of, subset_for
from nas.transfer_findings import Score, paired
from nas.transfer_run import TransferEnd
from nas.transfer_views import published_for
from results.figures import OwnTransfer, own_transfer_figure
from results.training import TrainingRun
from results.transfer_run import cells_of, open_transfer
from search_space import FieldError, cost
from tests.bundles import TINY
from tests.checkpoint_files import cache, checkpoint
from tests.processes import nas_command, wait_for
from tests.small_training import assert_same_bits
from tests.test_cli import nas as command
from trainers.checkpoints import read_checkpoint
from trainers.evaluation import wilson_interval

Nas = Callable[..., tuple[int, str, str]]
CONFIG = """\
recipe: {base: transfer, epochs: 1, batch: 50, warmup_epochs: 0, flip: false}
scratch: {learning_rate: 0.2}
seeds: 2
subset: 100
data:
  noise: {recipe: {batch: 20}, scratch: {momentum: 0.8}, subset: all}
"""
WORDS = ("transfer", "one.safetensors", "grey.safetensors", "--config", "t.yaml", "--device", "cpu")


@pytest.fixture
def nas(capsys: pytest.CaptureFixture[str]) -> Nas:
    """The command line in this process: exit code, standard output, standard error."""
    return partial(command, capsys)


@pytest.fixture
def ready(in_tmp: Path) -> Path:
    """Two trained networks, of colour and of grey images, two data sets and a configuration."""
    checkpoint(Path("one.safetensors"), in_channels=3, mean=(0.5,) * 3, std=(0.2,) * 3, data="photos")
    checkpoint(Path("grey.safetensors"), seed=1)
    cache(Path("noise-16"), names=("a", "b"), counts=(60, 20, 0), channels=3)
    Path("t.yaml").write_text(CONFIG)
    return in_tmp


def test_every_network_goes_to_every_data_set_both_ways_at_equal_budget(ready: Path, nas: Nas) -> None:
    words = (*WORDS, "--data", "digits", "--data", "noise-16", "--run", "mine")
    code, out, err = nas(*words, "--json", "--published", "--plot", "t.png")
    assert code == 0, err
    document = json.loads(out)
    assert document["run"] == "mine"
    assert [network["name"] for network in document["networks"]] == ["one", "grey"]  # both are called tiny
    assert document["networks"][0]["learnt"] == "photos"
    assert [(d["name"], d["part"], d["images"]) for d in document["data"]] == [
        ("digits", "test", 297),
        ("noise", "validation", 20),
    ]
    assert len(document["cells"]) == 2 * 2 * 2 * 2
    assert {cell["state"] for cell in document["cells"]} == {"finished"}
    assert all((cell["test_accuracy"] is None) == (cell["data"] == "noise") for cell in document["cells"])
    assert document["published"]["geometric_means"] == {"public": 4.7, "reported": 9.6}
    assert Path("t.png").stat().st_size > 10_000
    rows = {(row["network"], row["data"]): row for row in document["table"]}
    row = rows["one", "digits"]
    assert (row["macs"], row["params"]) == cost(TINY, 10, 1)
    accuracies = {
        (cell["start"], cell["seed"]): cell["test_accuracy"]
        for cell in document["cells"]
        if (cell["network"], cell["data"]) == ("one", "digits")
    }
    assert row["finetuned"]["mean"] == pytest.approx(
        (accuracies["finetuned", 0] + accuracies["finetuned", 1]) / 2
    )
    assert row["difference"]["value"] == pytest.approx(row["finetuned"]["mean"] - row["scratch"]["mean"])
    # both ways: the same budget and data; the file's other rate from scratch alone
    run = open_transfer("mine")
    ways = {
        start: read_checkpoint(run.trainings / f"one-noise-{start}-1/model.safetensors").facts
        for start in ("finetuned", "scratch")
    }
    assert {facts.epochs for facts in ways.values()} == {1}
    assert {facts.recipe["batch"] for facts in ways.values()} == {20}
    assert {facts.data_fingerprint for facts in ways.values()} == {"c" * 64}
    assert ways["finetuned"].recipe["learning_rate"] == 0.05
    assert (ways["scratch"].recipe["learning_rate"], ways["scratch"].recipe["momentum"]) == (0.2, 0.8)
    assert ways["scratch"].start is None
    assert ways["finetuned"].start is not None
    assert ways["finetuned"].start["weights"] == document["networks"][0]["weights"]
    assert ways["finetuned"].mean == (0.5,) * 3  # as the network is used to
    # it is found by the commands that show runs, and nothing is trained again
    times = {path: path.stat().st_mtime_ns for path in run.trainings.rglob("*.safetensors")}
    assert json.loads(nas("ls", "--json")[1])[0] == {
        "run": "mine",
        "kind": "transfer",
        "state": "finished",
        "counts": {"finished": 16},
        "budget": 16,
    }
    assert "16/16 trained" in nas("ls")[1]
    assert json.loads(nas("status", "mine", "--json")[1])["table"] == document["table"]
    assert "noise has no test part" in nas("status", "mine")[1]
    assert nas(*words)[0] == 0
    assert nas("transfer", "--resume", "--run", "mine")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in run.trainings.rglob("*.safetensors")} == times
    assert nas("show", "runs/mine/trainings/one-digits-finetuned-0@last")[0] == 0
    code, _, err = nas("top", "mine")
    assert (code, "holds a transfer of nas transfer, no search; nas status mine" in err) == (2, True)


def test_python_transfers_too_and_more_seeds_are_added(ready: Path) -> None:
    def run(*more: str) -> TransferEnd:
        return library.transfer(
            ["grey.safetensors"],
            ["digits"],
            "t.yaml",
            overrides=["data={}", *more],
            run="p",
            from_scratch=False,
        )

    first = run("seeds=1")
    assert [cell.cell.name for cell in first.cells] == ["tiny-digits-finetuned-0"]
    (row,) = first.table
    assert (row.scratch, row.difference) == (None, None)
    assert row.finetuned is not None
    right = round(row.finetuned.mean * 297)
    assert row.finetuned.interval == wilson_interval(right, 297)
    assert row.finetuned.over == "images"
    more = run("seeds=2")
    assert more.cells[0] == first.cells[0]
    assert more.cells[1].over
    assert library.transfer_table("p") == more
    assert len(run("seeds=1").cells) == 2  # what is there counts


def test_a_diverged_training_is_a_failure_and_the_others_go_on(ready: Path, nas: Nas) -> None:
    words = (
        *WORDS[:2],
        *WORDS[3:],
        "--data",
        "digits",
        "--set",
        "data={}",
        "--set",
        "scratch.learning_rate=900",
    )
    words += ("--set", "recipe.epochs=2", "--seeds", "1")
    code, out, err = nas(*words, "--json")
    assert code == 1
    cells = {cell["start"]: cell for cell in json.loads(out)["cells"]}
    assert cells["finetuned"]["state"] == "finished"
    assert (cells["scratch"]["state"], cells["scratch"]["test_accuracy"]) == ("failed", None)
    assert "learning_rate may help" in cells["scratch"]["error"]
    row = json.loads(out)["table"][0]
    assert (row["scratch"], row["difference"], row["failed"]) == (None, None, 1)
    assert "failed: the" in nas("status", "t")[1]
    code, _, err = nas(*words)
    assert (code, "tiny-digits" in err) == (1, False)  # not tried again


@pytest.mark.slow
def test_a_killed_transfer_goes_on_within_the_training_and_two_processes_share_one(ready: Path) -> None:
    long = ("transfer", "grey.safetensors", "--config", "t.yaml", "--data", "digits", "--device", "cpu")
    long += (
        "--set",
        "data={}",
        "--set",
        "recipe.epochs=6",
        "--set",
        "finetuning={unfreeze: staged, stage_epochs: 0.9}",
        "--set",
        "cpus=1",
        "--set",
        "subset=600",
        "--seeds",
        "1",
    )
    whole = nas_command(*long, "--run", "whole")
    other = nas_command(*long, "--run", "whole")
    killed = nas_command(*long, "--run", "killed")
    its = Path("runs/killed/trainings/tiny-digits-finetuned-0/checkpoints")
    wait_for(lambda: len(list(its.glob("epoch-0002*"))) > 0, killed)
    killed.kill()
    killed.communicate(20)
    assert not (its.parent / "model.safetensors").exists()
    outs = [process.communicate(240) for process in (whole, other)]
    assert [whole.returncode, other.returncode] == [0, 0], outs
    told = [sum("test accuracy" in line for line in err.splitlines()) for _, err in outs]
    assert sum(told) == 2  # each was trained by one of them
    assert outs[0][0] == outs[1][0]  # and both show the table
    again = nas_command("transfer", "--resume", "--run", "killed", "--device", "cpu")
    _, err = again.communicate(240)
    assert again.returncode == 0, err
    for start in ("finetuned", "scratch"):
        name = f"trainings/tiny-digits-{start}-0/checkpoints/epoch-0006.safetensors"
        assert_same_bits(Path("runs/whole") / name, Path("runs/killed") / name)


def test_ctrl_c_stops_after_a_checkpoint_and_names_the_command(
    ready: Path, nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.transfer_progress import TransferProgress

    steps: list[int] = []

    def on_step(self: object, done: int, total: int, rate: float) -> None:
        steps.append(done)
        if len(steps) == 3:  # within the second training
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TransferProgress, "on_step", on_step)
    words = (*WORDS[:2], *WORDS[3:], "--data", "digits", "--set", "data={}", "--seeds", "1")
    code, out, err = nas(*words)
    assert code == 130
    assert err.strip().splitlines()[-1] == "go on with: nas transfer --resume --run t"
    assert "1 finished, 1 stopped" in out
    assert "go on with: nas transfer --resume --run t" in nas("status", "t")[1]
    assert "nas transfer --resume --run t" in nas("status", "runs/t/trainings/tiny-digits-scratch-0")[1]
    assert "leaving a checkpoint" not in out
    code, out, _ = nas("transfer", "--resume", "--run", "t", "--device", "cpu", "--json")
    assert code == 0
    assert steps == [1, 2, 1, 2]


MISTAKES: list[tuple[list[str], str]] = [
    ([], "nas transfer needs trained networks and data"),
    (["one.safetensors", "--config", "t.yaml"], "nas transfer needs trained networks and data"),
    (["one.safetensors", "--data", "digits"], "nas transfer needs --config FILE"),
    (["digits", "--data", "a@last"], "the checkpoint comes first: nas transfer a@last --data digits"),
    (["one.safetensors", "--data", "digit", "--config", "t.yaml"], "did you mean digits?"),
    (["one.safetensors", "--data", "t.yaml", "--config", "t.yaml"], "t.yaml: is no prepared data"),
    (["nosuch.safetensors", "--data", "digits", "--config", "t.yaml"], "nosuch.safetensors: no such file"),
    (["efficientnet_b0", "--data", "digits", "--config", "t.yaml"], "is no checkpoint to fine-tune"),
    (["one.safetensors", "one.safetensors", "--data", "digits", "--config", "t.yaml"], "is named twice"),
    (
        ["one.safetensors", "--data", "digits", "--config", "t.yaml"],
        "data.noise: is none of the data sets, which are digits",
    ),
    (["--resume"], "--resume needs --run NAME"),
    (["--resume", "--run", "nosuch"], "no transfer 'nosuch' under runs/"),
    (
        ["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--resume"],
        "there is no such transfer",
    ),
    (["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--device", "tpu"], "--device must be"),
    (["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--seeds", "0"], "--set seeds"),
    (["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--plot", "t.gif"], "must end in"),
    (
        ["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--set", "scratch.epochs=9"],
        "scratch.epochs must not be said: both ways have the same budget",
    ),
    (
        ["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--set", "scratch.measured_crop=0.8"],
        "scratch.measured_crop must not be said: both ways have the same budget and measurement",
    ),
    (
        ["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--set", "scratch.learning_rat=1"],
        "did you mean learning_rate?",
    ),
    (
        ["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--set", "data.noise.subsett=9"],
        "data.noise.subsett is an unknown key; did you mean subset?",
    ),
    (
        ["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--set", "data.noise.recipe.epoch=9"],
        "did you mean epochs?",
    ),
    (
        ["one.safetensors", "--data", "noise-16", "--config", "t.yaml", "--set", "data.noise.subset=90"],
        "tiny on noise: subset must be at most 60",
    ),
    (
        [
            "one.safetensors",
            "--data",
            "noise-16",
            "--config",
            "t.yaml",
            "--set",
            "data.noise.recipe.batch=90",
        ],
        "tiny on noise: recipe.batch must be at most 60",
    ),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(
    ready: Path, nas: Nas, words: list[str], message: str
) -> None:
    code, out, err = nas("transfer", *words)
    assert (code, out) == (2, ""), err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("runs").exists()


def test_a_transfer_goes_on_only_as_it_began(ready: Path, nas: Nas) -> None:
    words = ("transfer", "grey.safetensors", "--config", "t.yaml", "--device", "cpu", "--run", "mine")
    words += ("--data", "digits", "--set", "data={}", "--seeds", "1", "--no-scratch")
    assert nas(*words)[0] == 0
    code, _, err = nas(*words, "--set", "recipe.epochs=3")
    assert (code, "was made with another recipe.epochs; choose another name" in err) == (2, True)
    checkpoint(Path("grey.safetensors"), seed=5)
    code, _, err = nas(*words)
    assert (code, "was made with another networks" in err) == (2, True)
    Path("grey.safetensors").unlink()  # what is trained needs it no more
    assert nas("transfer", "--resume", "--run", "mine")[0] == 0
    code, _, err = nas("transfer", "--resume", "--run", "mine", "--seeds", "2")
    assert (code, err.strip().splitlines()[-1].startswith("nas: ")) == (2, True)
    assert "grey.safetensors: no such file" in err
    Path("runs/mine/config.yaml").write_text("name: mine\n")
    code, _, err = nas("status", "mine")
    assert code == 2
    assert "mine is unreadable" in nas("ls")[1]
    assert TrainingRun(Path("runs/mine/trainings/tiny-digits-finetuned-0")).state() == "finished"


def test_what_is_other_for_a_data_set_is_found_by_its_name_or_its_folders(ready: Path) -> None:
    from nas.transfer_setup import transfer_config

    Path("t.yaml").write_text(CONFIG.replace("noise:", "noise-16:"))
    config = transfer_config(["one.safetensors"], ["digits", "noise-16"], "t.yaml")
    digits, noise = config.sets
    assert recipe_of(config, digits, "finetuned").batch == 50
    assert recipe_of(config, noise, "finetuned").batch == 20
    assert [subset_for(config, one) for one in (digits, noise)] == [100, None]
    Path("again.yaml").write_text(config.to_yaml())
    again = load_transfer_config("again.yaml", name=config.name)
    assert again == config


def test_a_run_of_other_images_is_not_gone_on_with(ready: Path, nas: Nas) -> None:
    words = ("transfer", "one.safetensors", "--config", "t.yaml", "--data", "noise-16", "--seeds", "1")
    assert nas(*words, "--no-scratch", "--device", "cpu")[0] == 0
    Path("noise-16").rename("old")
    cache(Path("noise-16"), names=("a", "b"), counts=(60, 20, 0), channels=3, fingerprint="d" * 64)
    code, _, err = nas("transfer", "--resume", "--run", "t", "--seeds", "2", "--device", "cpu")
    assert (code, "noise-16: holds other images than when t began" in err) == (2, True)


# --- figures of the table ----------------------------------------------------------------------------


def test_differences_are_paired_by_seed() -> None:
    # the seeds' noise is common to both: by pairs it cancels, without them it would not
    one, other = {0: 0.80, 1: 0.90, 2: 0.85}, {0: 0.70, 1: 0.80, 2: 0.76}
    margin = paired(one, other)
    assert margin is not None
    assert margin.value == pytest.approx(0.29 / 3)
    # differences 0.10, 0.10, 0.09: t(0.975, 2) = 4.3027, deviation 0.0057735
    assert margin.high is not None
    assert margin.high - margin.value == pytest.approx(4.302653 * 0.0057735 / 3**0.5, rel=1e-4)
    assert margin.certain
    assert paired({0: 0.5}, {1: 0.5}) is None
    assert paired({0: 0.5, 1: 0.6}, {0: 0.4}) == Margin(value=pytest.approx(0.1), low=None, high=None)
    assert paired({0: 0.5, 1: 0.5}, {0: 0.4, 1: 0.4}) == Margin(value=pytest.approx(0.1), low=None, high=None)


def test_equal_accuracies_are_no_measure_of_noise() -> None:
    assert Score(values=(0.5, 0.5, 0.5), images=100).interval is None
    one = Score(values=(0.5,), images=100)
    assert (one.over, one.interval) == ("images", wilson_interval(50, 100))
    two = Score(values=(0.5, 0.6), images=100)
    assert two.over == "seeds"
    assert two.interval is not None
    assert sum(two.interval) / 2 == pytest.approx(0.55)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.booleans())
@settings(max_examples=20, deadline=None)
def test_cells_are_all_once_and_seed_after_seed(networks: int, data: int, seeds: int, both: bool) -> None:
    names = [f"n{number}" for number in range(networks)]
    cells = cells_of(names, [f"d{number}" for number in range(data)], seeds, from_scratch=both)
    assert len({cell.name for cell in cells}) == len(cells) == networks * data * seeds * (1 + both)
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    assert replace(cells[0], seed=1).name.endswith("-finetuned-1")


def point(**given: object) -> OwnTransfer:
    facts = {"network": "a", "data": "d", "start": "finetuned", "params": 1e6, "accuracy": 0.99, "seeds": 3}
    return OwnTransfer(**{**facts, "interval": (0.9, 1.05), **given})  # type: ignore[arg-type]


def test_the_figure_has_a_panel_a_data_set_and_a_name_a_network() -> None:
    points = [point(), point(start="scratch", accuracy=0.8, interval=None), point(network="_b$x", params=3e6)]
    figure = own_transfer_figure(points, {"d": "d, test part", "e": "e, test part"}, "mine")
    first, second, *others = figure.axes
    assert [axes.get_title("left") for axes in (first, second)] == ["d, test part", "e, test part"]
    assert first.get_xscale() == "log"
    written = [text.get_text() for text in first.texts]
    assert sorted(written) == ["_b$x", "a"]
    assert [text.get_text() for text in second.texts] == ["no training has a result yet"]
    assert [axes for axes in others if axes.get_visible()] == []
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["fine-tuned", "from scratch"]
    assert points[0].bar == (pytest.approx(9.0), pytest.approx(1.0))  # Student's may leave 0 to 100
    with pytest.raises(FieldError, match="params must be above 0"):
        point(params=0)
    with pytest.raises(FieldError, match="accuracy must be between 0 and 1"):
        point(accuracy=1.5)


@pytest.mark.parametrize(
    ("name", "classes", "images", "row"),
    [
        ("cifar10-jpeg", 10, 10_000, "CIFAR-10"),
        ("CIFAR-100", 100, 10_000, "CIFAR-100"),
        ("cifar100", 10, 10_000, None),
        ("cifar10", 10, 500, None),  # a part of it does not compare
        ("flowers", 5, 6149, None),  # others
        ("oxford_iiit_pets", 37, 3369, "Oxford-IIIT Pets"),
    ],
)
def test_a_published_data_set_is_known_by_name_and_sizes(
    name: str, classes: int, images: int, row: str | None
) -> None:
    data = TransferData(
        name=name,
        data=DataConfig(cache="x/data"),
        fingerprint="f",
        num_classes=classes,
        in_channels=3,
        train=9,
        part="test",
        images=images,
    )
    found = published_for(data)
    assert (None if found is None else found.dataset) == row
    folder = data.model_copy(update={"name": "mine", "data": DataConfig(cache=f"x/{name}-32")})
    assert published_for(folder) == found
