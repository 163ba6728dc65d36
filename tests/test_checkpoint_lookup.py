"""Checkpoints, and files of weights, wherever an architecture is taken."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import nas as public
from nas.bundle import subject_of
from nas.checkpoint_lookup import network_origin, recipe_words
from nas.lookup import find_architecture
from nas.provenance import provenance_of
from nas.weights import tensor_shapes
from results.exporting import bundle
from results.exporting.card import accuracy_words
from search_space import InputError, scale_architecture
from tests.bundles import TINY
from tests.checkpoint_files import FACTS, cache, checkpoint, network, training
from tests.searching import Scripted, config
from tests.test_cli import nas
from trainers.checkpoints import network_tensors
from trainers.digits import load_digits
from trainers.proxy import save_weights
from trainers.recipe import RECIPES


def same(state: dict[str, torch.Tensor], seed: int) -> bool:
    """Whether a state is that of the network of a seed."""
    own = network(seed).state_dict()
    return state.keys() == own.keys() and all(torch.equal(state[name], own[name]) for name in own)


# --- what is found -----------------------------------------------------------------------------------------


def test_a_checkpoint_is_an_architecture(in_tmp: Path, capsys) -> None:
    path = checkpoint(Path("c.safetensors"), state=True)
    found = find_architecture("c.safetensors")
    assert (found.architecture.key, found.weights) == (TINY.key, path)
    assert (found.num_classes, found.in_channels, found.sized, found.accuracy) == (10, 1, True, 0.9)
    assert found.origin == (
        "checkpoint of a training, epoch 3 of 3: validation accuracy 0.9000 on digits, recipe cifar with "
        "epochs 3, cutout 0, 10 classes, 1 input channel"
    )
    code, out, err = nas(capsys, "show", "c.safetensors")
    assert (code, err) == (0, "")
    assert found.origin in out
    assert "10 classes, 1 input channel;" in out
    facts = json.loads(nas(capsys, "show", "c.safetensors", "--json")[1])
    assert (facts["key"], facts["num_classes"], facts["in_channels"]) == (TINY.key, 10, 1)
    its = facts["checkpoint"]
    assert (its["epoch"], its["accuracy"], its["data"], its["resumable"]) == (3, 0.9, "digits", True)
    assert its["recipe"]["cutout"] == 0


def test_weights_of_a_search_or_an_export_are_an_architecture(in_tmp: Path, capsys) -> None:
    save_weights(network(0, 3, 7), TINY, Path("w.safetensors"))
    found = find_architecture("w.safetensors")
    assert (found.architecture.key, found.checkpoint) == (TINY.key, None)
    assert (found.num_classes, found.in_channels, found.sized) == (7, 3, True)
    assert found.origin == "weights in w.safetensors: 7 classes, 3 input channels"
    assert subject_of(found).provenance.weights == "given"
    tensors = {name: t for name, t in network().state_dict().items() if not name.startswith("classifier.")}
    save_file(tensors, "top.safetensors", {"architecture": json.dumps(TINY.to_dict())})
    assert find_architecture("top.safetensors").origin == "weights in top.safetensors, without a classifier"


def test_networks_of_a_training_are_found_by_name(in_tmp: Path, capsys) -> None:
    folder = training()
    for reference, seed, epoch in (("best", 1, 1), ("last", 3, 3), ("2", 2, 2), ("3", 3, 3), ("1", 1, 1)):
        found = find_architecture(f"tr@{reference}")
        assert same(network_tensors(found.weights), seed), reference
        assert found.origin.startswith(f"checkpoint of the training tr, epoch {epoch} of 3: validation acc")
        assert find_architecture(f"runs/tr@{reference}").weights == found.weights
    assert find_architecture(folder / "model.safetensors").training == "tr"
    for path in (folder / "checkpoints").glob("epoch-*"):
        path.unlink()
    assert find_architecture("tr@last").weights == folder / "model.safetensors"


def test_a_checkpoint_within_an_epoch_has_no_accuracy_of_its_own(in_tmp: Path) -> None:
    checkpoint(Path("c.safetensors"), epoch=1, step=7)
    found = find_architecture("c.safetensors")
    assert found.accuracy is None
    words = "epoch 1 of 3 and 7 steps of the next: validation accuracy 0.9000 before these steps on digits"
    assert words in found.origin
    known = provenance_of(found)
    assert (known.accuracy, known.test_accuracy) == (None, None)
    assert "middle of an epoch" in accuracy_words(known)
    checkpoint(Path("c.safetensors"), epoch=0, step=7, accuracy=None, best_accuracy=None, best_epoch=None)
    assert "not measured yet, on digits" in find_architecture("c.safetensors").origin


def test_a_reference_comes_before_a_training_of_its_name(in_tmp: Path) -> None:
    training("efficientnet_b0")
    assert find_architecture("efficientnet_b0").checkpoint is None
    assert find_architecture("efficientnet_b0@best").checkpoint is not None


MISTAKES = [
    (["show", "tr"], "'tr' is a training; its best network is tr@best, its last tr@last"),
    (["show", "runs/tr"], "'runs/tr' is a training; its best network is runs/tr@best"),
    (["show", "tr@12"], "tr has kept no checkpoint of epoch 12; those nearest are tr@1, tr@2, tr@3"),
    (["show", "tr@observed"], "tr@observed: after @ comes best, last, or the number of an epoch"),
    (["show", f"tr@{'9' * 20}"], "after @ comes best, last, or the number of an epoch"),
    (["show", "empty@last"], "empty has no checkpoint yet"),
    (["show", "empty@best"], "empty has no best checkpoint yet"),
    (["show", "empty@1"], "empty has kept no checkpoint of epoch 1; there is none"),
    (["show", "none.safetensors"], "none.safetensors: no such file of weights"),
    (["show", f"{'x' * 5000}.safetensors"], "no such file of weights"),
    (["show", "text.safetensors"], "text.safetensors: cannot be read as safetensors"),
    (["show", "plain.safetensors"], "plain.safetensors: does not say of which architecture its weights are"),
    (["show", "other.safetensors"], "its tensors are not of the architecture that it names, wide"),
    (["show", "classes.safetensors"], "says 9 classes and 1 channel, and its tensors are of others"),
    (["export", "tr@best", "-o", "runs/tr/checkpoints/best.safetensors"], "is what is exported"),
    (["export", "tr@best", "-o", "x.onnx", "--classes", "7"], "holds weights for 10 classes"),
    (["export", "tr@best", "-o", "x.py", "--channels", "3"], "holds weights for 1 channels"),
    (
        ["export", "tr@best", "-o", "x.safetensors", "--seed", "1"],
        "--seed draws weights, and those of tr@best",
    ),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        training()
        Path("runs/empty/checkpoints").mkdir(parents=True)
        Path("runs/empty/config.yaml").write_text("name: empty\nrecipe: imagenet\n")
        Path("text.safetensors").write_text("hello")
        save_file({"a": torch.zeros(2)}, "plain.safetensors")
        wide = scale_architecture(TINY, depth=1, width=2, image_size=16, name="wide")
        save_weights(network(), wide, Path("other.safetensors"))
        facts = replace(FACTS, num_classes=9, class_names=FACTS.class_names[:9])
        from trainers.checkpoints import write_checkpoint

        write_checkpoint(Path("classes.safetensors"), network(), TINY, facts)
    return folder


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_mistakes_are_one_line(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(places)
    before = Path("runs/tr/checkpoints/best.safetensors").read_bytes()
    code, out, err = nas(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert words in err
    assert Path("runs/tr/checkpoints/best.safetensors").read_bytes() == before


def test_hostile_names_do_nothing_to_a_terminal(in_tmp: Path, capsys) -> None:
    checkpoint(Path("c.safetensors"), data="\x1b[31m[bold]red[/bold]", recipe={"batch\x1b": "\x07"})
    out = nas(capsys, "show", "c.safetensors")[1]
    assert "[bold]red[/bold]" in out
    assert not {"\x1b", "\x07"} & set(out)


def test_recipes_are_named_with_what_is_other() -> None:
    cifar, imagenet = FACTS.recipe, {**FACTS.recipe}
    assert recipe_words({**cifar, "epochs": 30, "cutout": 8}) == "recipe cifar"
    imagenet = {name: getattr(RECIPES["imagenet"], name) for name in RECIPES["imagenet"].__dataclass_fields__}
    assert recipe_words(imagenet) == "recipe imagenet"
    others = {**cifar, "batch": 64, "ema": 0.0, "flip": False, "shift": 0}
    words = "recipe cifar with epochs 3, batch 64, ema 0.0, shift 0, flip False, cutout 0"
    assert recipe_words(others) == words


# --- what takes them ---------------------------------------------------------------------------------------


def test_what_a_training_goes_on_from_is_passed_over(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.safetensors", state=True)
    assert any(name.startswith("resume/") for name in load_file(path))
    model = TINY.build(10, 1)
    public.load_weights(model, path)
    assert same(model.state_dict(), 0)
    assert tensor_shapes(path) == {name: tuple(t.shape) for name, t in model.state_dict().items()}
    other = TINY.build(10, 1)
    assert public.transfer_weights(other, path).fresh == ()
    assert same(other.state_dict(), 0)


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["tr@last", "-o", "w.safetensors"], "w.safetensors"),
        (["runs/tr/checkpoints/epoch-0003.safetensors", "-o", "x.bin/", "--format", "safetensors"], None),
        (["tr@last", "-o", "folder"], "folder/weights.safetensors"),
        (
            ["tiny.yaml", "--weights", "runs/tr/checkpoints/epoch-0003.safetensors", "-o", "v.safetensors"],
            "v.safetensors",
        ),
    ],
)
def test_exported_weights_are_the_networks_alone(
    in_tmp: Path, capsys, arguments: list[str], file: str | None
) -> None:
    training()
    TINY.save("tiny.yaml")
    if file is None:
        Path("x.bin").mkdir()
        file = "x.bin/weights.safetensors"
    code, _, err = nas(capsys, "export", *arguments)
    assert (code, err) == (0, "")
    assert same(load_file(file), 3)
    with safe_open(file, "pt") as opened:
        assert "checkpoint" not in opened.metadata()
    assert find_architecture(file).architecture.key == TINY.key


def test_comparing_shows_the_accuracy_of_a_training(in_tmp: Path, capsys) -> None:
    training()
    code, out, _ = nas(capsys, "compare", "tr@best", "tr@last", "efficientnet_b0")
    assert code == 0
    assert "at 10 classes and 1 input channel" in out
    assert "91.00 %" in out
    assert "83.00 %" in out
    assert "the accuracy of a checkpoint is its training's, on the validation part" in out


def test_scaling_starts_from_a_checkpoint(in_tmp: Path, capsys) -> None:
    training()
    code, out, _ = nas(capsys, "scale", "tr@last", "--resolution", "2", "-o", "made", "--weights")
    assert code == 0
    assert "100 % of the parameters" in out
    (made,) = Path("made").glob("*.safetensors")
    assert same(load_file(made), 3)


def test_latency_is_of_the_checkpoints_classes(in_tmp: Path, capsys) -> None:
    training()
    arguments = ("--reference", "none", "--repeats", "1", "--warmup", "1", "--json")
    code, out, _ = nas(capsys, "latency", "measure", "tr@best", *arguments)
    assert code == 0
    (latency,) = json.loads(out)["latencies"]
    assert (latency["num_classes"], latency["in_channels"]) == (10, 1)


# --- the card ----------------------------------------------------------------------------------------------


def test_the_card_says_how_and_on_what_it_was_trained(
    in_tmp: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"yaml": "architecture.yaml", "safetensors": "weights.safetensors"}
    monkeypatch.setattr(bundle, "WRITTEN", files)
    training()
    code, out, err = nas(capsys, "export", "tr@last", "-o", "net", "--bundle")
    assert (code, err) == (0, "")
    assert "weights: trained. Accuracy: 88.00 % on the test part, measured once after the last epoch" in out
    card = Path("net/README.md").read_text()
    for words in (
        "checkpoint of the training tr, epoch 3 of 3",
        "A full training by a recipe.",
        "- recipe: `recipe cifar with epochs 3, cutout 0`",
        "- epoch: `3 of 3`",
        "| `label_smoothing` | `0.1` |",
        "**88.00 %** on the test part",
        "**83.00 %** on the validation part, which was held out",
        "- mean: 0.3\n- deviation: 0.37",
        f"- fingerprint: `{FACTS.data_fingerprint}`",
        "- outputs in order: `0`, `1`",
        "- licence: not known here",
    ):
        assert words in card, words
    assert "proxy" not in card.lower()
    assert "UNCONFIRMED" not in card
    assert "Not confirmed" not in card
    assert json.loads(Path("net/verify.json").read_text())["ok"] is True
    assert "The network comes from no search that is known here." in card
    assert public.export_bundle("tr@last", "again").ok


def test_a_trained_network_knows_the_search_that_found_it(in_tmp: Path, capsys) -> None:
    public.run_search(config(search={"candidates": 2}), evaluator=Scripted(in_tmp / "diary"))
    origin = network_origin(find_architecture("t@best"))
    assert re.match(
        r"candidate \d of the search t \(recommended\): validation accuracy .*; 2 candidates$", origin
    )
    assert network_origin(find_architecture("efficientnet_b0")) == ""
    path = checkpoint(Path("c.safetensors"), origin=origin)
    found = find_architecture(path)
    assert found.origin.endswith(f"1 input channel; the network is {origin}")
    assert network_origin(found) == origin  # also where it is trained again
    assert provenance_of(found).search == {"network": origin}
    assert json.loads(nas(capsys, "show", str(path), "--json")[1])["checkpoint"]["origin"] == origin


def test_a_checkpoint_that_says_no_origin_can_be_read(in_tmp: Path) -> None:
    path = checkpoint(Path("c.safetensors"))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    document = json.loads(metadata["checkpoint"])
    del document["origin"]
    save_file(load_file(path), path, {**metadata, "checkpoint": json.dumps(document)})
    assert find_architecture(path).checkpoint.facts.origin == ""


def test_what_a_run_trained_fully_is_a_checkpoint_too(in_tmp: Path) -> None:
    public.run_search(config(search={"candidates": 1}), evaluator=Scripted(in_tmp / "diary"))
    found = find_architecture("t@best")
    assert found.run is not None
    assert found.trial is not None
    with pytest.raises(InputError, match="is no checkpoint of nas train"):
        public.evaluate_checkpoint("t@best", "digits")
    checkpoint(found.run.weights_path(found.trial.id))
    known = provenance_of(find_architecture("t@best"))
    assert (known.accuracy, known.test_accuracy, known.training["run"]) == (0.9, 0.88, "t")
    assert known.origin.startswith("candidate")
    assert public.evaluate_checkpoint("t@best", "digits", device="cpu").evaluation.images == 297


def test_of_data_that_are_still_there_more_is_said(in_tmp: Path) -> None:
    fingerprint = load_digits(16).fingerprint
    checkpoint(Path("c.safetensors"), data_fingerprint=fingerprint, epoch=2)
    known = provenance_of(find_architecture("c.safetensors"))
    assert known.data is not None
    assert known.data.counts["validation"] == 300
    assert "CC BY 4.0" in known.data.licence
    assert "of 300 images" in accuracy_words(known)
    assert "The test part was not measured with these weights; `nas eval` measures it" in accuracy_words(
        known
    )
    folder = training()
    cache(Path("noise"), fingerprint=FACTS.data_fingerprint)
    (folder / "config.yaml").write_text("data: {cache: noise}\nrecipe: cifar\n")
    data = provenance_of(find_architecture("tr@best")).data
    assert data is not None
    assert (data.counts["validation"], data.mean) == (12, FACTS.mean)
    assert data.prepared[0] == "not at all"
