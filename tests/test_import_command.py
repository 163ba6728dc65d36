"""``nas import``: files of strangers, mistakes, and the checkpoint that is left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import nas as public
from benchmarks.pretrained_fixtures import logits_of, relative_difference
from nas.bundle import subject_of
from nas.checkpoint_lookup import NOT_KNOWN, network_origin, start_words
from nas.finetuning import start_section
from nas.lookup import find_architecture
from results.exporting.bundle import Subject
from search_space import FieldError, InputError
from tests.pretrained_states import FIXTURES, TOLERANCE, linked, timm_file
from tests.test_cli import nas
from trainers.checkpoints import read_checkpoint


@pytest.fixture(scope="module")
def timms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `timm_file`."""
    return timm_file(tmp_path_factory.mktemp("timm"))


# --- files of strangers ------------------------------------------------------------------------------------


class Hostile:
    """Unpickled, it makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("taken-over",)


def test_code_in_a_pickle_is_refused_and_not_run(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {"a": Hostile()}}, "w.pth")
    code, out, err = nas(capsys, "import", "w.pth", "-o", "b0.safetensors")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert ".mkdir; save its state dict alone" in err
    assert sorted(path.name for path in in_tmp.iterdir()) == ["w.pth"]


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 100, 20_000])
def test_truncated_files_are_one_line(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], ending: str, kept: int
) -> None:
    state = {"conv_stem.weight": torch.ones(32, 3, 3, 3), "other": torch.ones(30_000)}
    path = Path(f"w.{ending}")
    torch.save(state, path) if ending == "pth" else save_file(state, path)
    path.write_bytes(path.read_bytes()[:kept])
    code, out, err = nas(capsys, "import", str(path), "-o", "b0.safetensors")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "cannot be read as" in err


MISTAKES = [
    (["none.pth", "-o", "b0.safetensors"], "none.pth: no such file of weights"),
    (["folder.pth", "-o", "b0.safetensors"], "folder.pth: no such file of weights"),
    (["w.onnx", "-o", "b0.safetensors"], "files of weights end in .safetensors, .pth"),
    (["list.pth", "-o", "b0.safetensors"], "holds a list, and not tensors by name"),
    (["empty.pth", "-o", "b0.safetensors"], "holds no tensors by name"),
    (["strange.pth", "-o", "b0.safetensors"], "is named neither as torchvision, timm, efficientnet_pytorch"),
    (["strange.pth", "-o", "b0.pth"], "a checkpoint's name ends in .safetensors"),
    (["strange.pth", "-o", "folder.safetensors"], "folder.safetensors: is a folder"),
    (["strange.pth", "-o", "b0.safetensors", "--source", "tim"], "--source must be torchvision or timm"),
    (
        ["strange.pth", "-o", "b0.safetensors", "--normalisation", "x"],
        "--normalisation must be imagenet or inc",
    ),
    (["strange.pth", "-o", "b0.safetensors", "--num-classes", "0"], "--num-classes must be"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_mistakes_are_one_line(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    Path("folder.pth").mkdir()
    Path("folder.safetensors").mkdir()
    Path("w.onnx").write_text("")
    torch.save([torch.ones(1)], "list.pth")
    torch.save({}, "empty.pth")
    torch.save({"a": torch.ones(1)}, "strange.pth")
    code, out, err = nas(capsys, "import", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert words in err


# --- the checkpoint ----------------------------------------------------------------------------------------


def test_an_imported_checkpoint_is_taken_as_any_and_says_what_it_is(
    timms: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linked(timms, Path("tf_efficientnet_b0-0af12548.safetensors"))
    Path("names.txt").write_text("\n".join(f"class {number}" for number in range(1000)) + "\n")
    arguments = ("tf_efficientnet_b0-0af12548.safetensors", "-o", "b0.safetensors")
    code, out, err = nas(capsys, "import", *arguments, "--classes", "names.txt", "--image-size", "64")
    assert (code, err) == (0, "")
    for words in (
        "timm_tf (by the file's name",
        "0.001",
        "same",
        "64 pixels, the central 87.5 %",
        "prepare data at 73 pixels",
        "360",
        "none",
    ):
        assert words in out
    found = find_architecture("b0.safetensors")
    assert found.checkpoint is not None
    facts = read_checkpoint("b0.safetensors").facts
    assert facts.imported
    assert (facts.class_names[7], facts.accuracy, facts.recipe) == ("class 7", None, {})
    expected = torch.tensor(FIXTURES["networks"]["timm_tf"]["b0"]["logits"])
    assert relative_difference(logits_of(found.checkpoint.network()), expected) < TOLERANCE
    where = "weights of timm's tf_efficientnet_b0, from tf_efficientnet_b0-0af12548.safetensors (sha256 "
    assert found.origin.startswith(where)
    assert found.origin.endswith(
        "): imported, and not trained or measured here, 1,000 classes, 3 input channels"
    )
    assert network_origin(found) == f"the architecture of {facts.origin}"
    start = start_section(found.checkpoint).model_dump() | {"unfreeze": "whole"}
    assert start_words(start) == f"fine-tuned from {facts.origin}: all of it"
    shown = json.loads(nas(capsys, "show", "b0.safetensors", "--json")[1])
    assert (shown["bn_eps"], shown["padding"], shown["checkpoint"]["imported"]) == (1e-3, "same", True)
    subject = subject_of(found)
    assert isinstance(subject, Subject)
    known = subject.provenance
    assert (known.weights, known.weights_origin, known.training) == ("given", facts.origin, {})
    assert known.data is not None
    assert known.data.mean == facts.mean


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\nb\n", "must name 1,000 classes, one a line, got 2"),
        ("\n" * 1000, "got 1,000, 1000 of them empty"),
        ("\n".join(str(n // 2) for n in range(1000)), "line 1, '0', stands 2 times"),
    ],
)
def test_names_of_classes_are_one_a_line(timms: Path, in_tmp: Path, text: str, words: str) -> None:
    Path("names.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        public.import_weights(timms, "b0.safetensors", source="timm", classes="names.txt")
    assert not Path("b0.safetensors").exists()


def test_where_such_a_file_is_given_as_a_network_the_command_is_named(
    timms: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linked(timms, Path("theirs.safetensors"))
    torch.save({"a": torch.ones(1)}, "theirs.pth")
    for name in ("theirs.safetensors", "theirs.pth"):
        for command in (["show", name], ["eval", name, "digits"]):
            code, _, err = nas(capsys, *command)
            assert (code, err.count("\n")) == (2, 1)
            assert f"nas import {name} -o theirs-imported.safetensors" in err


def test_the_weights_to_import_are_not_written_over(timms: Path) -> None:
    with pytest.raises(InputError, match="holds the weights to import"):
        public.import_weights(timms, timms, source="timm")
    with pytest.raises(InputError, match="holds the weights to import"):
        public.import_weights(timms, timms, source="timm", force=True)
    with pytest.raises(FieldError, match="image_size must be between 32"):
        public.import_weights(timms, timms.with_name("o.safetensors"), source="timm", image_size=8)


def test_what_is_there_is_written_over_with_force_alone(
    timms: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linked(timms, Path("efficientnet_b0.safetensors"))
    Path("mine.safetensors").write_text("of a long training")
    arguments = ("import", "efficientnet_b0.safetensors", "-o", "mine.safetensors", "--json")
    code, out, err = nas(capsys, *arguments)
    assert (code, out, err) == (2, "", "nas: mine.safetensors: exists; --force replaces it\n")
    assert Path("mine.safetensors").read_text() == "of a long training"
    code, out, err = nas(capsys, *arguments, "--force")
    assert (code, err) == (0, "")
    assert json.loads(out)["prepared_size"] == 256  # 224 pixels are 0.875 of it
    assert nas(capsys, *arguments)[0] == 2, "an imported one is no other"


# --- what is made of it ------------------------------------------------------------------------------------


def test_what_is_finetuned_from_imported_weights_names_their_origin() -> None:
    origin = "weights of torchvision's efficientnet_b0, from w.pth (sha256 00)"
    start = {"network": "efficientnet_b0", "data": NOT_KNOWN, "origin": origin, "unfreeze": "head"}
    assert start_words(start) == f"fine-tuned from {origin}: the classifier alone"
    del start["origin"]  # as a run's configuration had it once
    assert start_words(start) == "fine-tuned from efficientnet_b0: the classifier alone"
