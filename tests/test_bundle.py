"""`nas export`: bundles and single formats; what breaks off, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nas as public
from nas.bundle import subject_of
from nas.lookup import Found
from results.export import FILES, export
from results.exporting import bundle, graphs
from results.exporting.bundle import Subject, content_of, write_bundle, write_files
from results.exporting.provenance import Provenance
from search_space import Head, InputError
from tests.bundles import TINY
from tests.test_cli import nas

DESCRIBED = {kind: FILES[kind] for kind in ("yaml", "json", "safetensors")}  # what takes no time


@pytest.fixture(scope="module")
def tiny() -> Subject:
    """An untrained network of 16-pixel images, 1 channel, 4 classes."""
    return subject_of(Found(architecture=TINY), num_classes=4, in_channels=1)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles of three files, for what is the same of all."""
    monkeypatch.setattr(bundle, "WRITTEN", DESCRIBED)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**63 - 1), st.integers(1, 5), st.integers(1, 4))
def test_what_is_said_to_agree_loads(
    tmp_path: Path, quick: None, seed: int, classes: int, channels: int
) -> None:
    subject = subject_of(Found(architecture=TINY), num_classes=classes, in_channels=channels, seed=seed)
    made = write_bundle(subject, tmp_path)
    assert made.ok
    model = public.load_architecture(tmp_path / "architecture.yaml").build(classes, channels)
    public.load_weights(model, tmp_path / "weights.safetensors")
    image = torch.rand(2, channels, 16, 16)
    assert torch.equal(model.eval()(image), subject.model(image))


def test_a_disagreement_is_exit_code_1_and_stays_to_be_seen(
    in_tmp: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    TINY.save("tiny.yaml")

    def corrupting(*arguments: Any, **named: Any) -> Any:
        result = write_files(*arguments, **named)
        other = subject_of(Found(architecture=TINY), seed=1)
        Path("out/weights.safetensors").write_bytes(content_of("safetensors", other))
        return result

    monkeypatch.setattr(bundle, "write_files", corrupting)
    code_, out, err = nas(capsys, "export", "tiny.yaml", "-o", "out", "--bundle")
    assert code_ == 1
    assert "nas: weights.safetensors disagrees with the network: differs by " in err
    assert json.loads(Path("out/verify.json").read_text())["ok"] is False
    assert "| no: " in Path("out/README.md").read_text()
    code_, out, _ = nas(capsys, "export", "tiny.yaml", "-o", "out", "--bundle", "--json")
    assert (code_, json.loads(out)["verify"]["ok"]) == (1, False)


def test_a_broken_off_bundle_proves_nothing(
    in_tmp: Path, quick: None, tiny: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tiny, Path("out"))
    assert Path("out/verify.json").exists()

    def broken(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "content_of", broken)
        with pytest.raises(KeyboardInterrupt):
            write_bundle(tiny, Path("out"))
    assert {path.name for path in Path("out").iterdir()} == set(DESCRIBED.values())  # no card either
    assert write_bundle(tiny, Path("out")).ok


@pytest.mark.parametrize("broken", [*DESCRIBED.values(), "README.md", "verify.json"])
def test_a_full_disk_leaves_no_half_file(
    in_tmp: Path, quick: None, tiny: Subject, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    write_bundle(tiny, Path("out"))
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    real = os.replace

    def full(self: Path, target: Any) -> Any:
        if Path(target).name == broken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match=f"{broken}: cannot be written: No space left on device"):
        write_bundle(replace(tiny, architecture=TINY), Path("out"))
    after = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert "verify.json" not in after
    assert set(after) <= set(before)  # nothing temporary
    if broken in DESCRIBED.values():
        assert after[broken] == before[broken]


def test_a_limit_on_the_size_of_files_is_a_line(in_tmp: Path, tiny: Subject) -> None:
    TINY.save("tiny.yaml")
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "from nas import cli\n"
        "sys.argv = ['nas', 'export', 'tiny.yaml', '-o', 'out', '--bundle']\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "nas: out/weights.safetensors: cannot be written: File too large\n"
    assert not [path for path in Path("out").iterdir() if path.name.startswith(".")]


def test_files_of_others_are_not_written_over(in_tmp: Path, quick: None, tiny: Subject) -> None:
    for name in ("README.md", "model.py", "verify.json"):
        Path("mine").mkdir(exist_ok=True)
        Path("mine", name).write_text("mine\n")
        with pytest.raises(InputError, match=f"mine/{name}: is of no bundle"):
            write_bundle(tiny, Path("mine"))
        assert Path("mine", name).read_text() == "mine\n"
        Path("mine", name).unlink()
    trained = replace(tiny, provenance=Provenance(weights="trained"))
    write_bundle(trained, Path("mine"))
    with pytest.raises(InputError, match="is of another export, and tiny has no weights"):
        write_bundle(tiny, Path("mine"))
    assert Path("mine/verify.json").exists()


def test_a_file_that_replaces_a_bundles_ends_its_proof(
    in_tmp: Path, quick: None, tiny: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    write_bundle(tiny, Path("out"))
    export(TINY, Path("out/other.yaml"))
    assert Path("out/verify.json").exists()
    export(replace(TINY, activation="relu"), Path("out"), kind="yaml")
    assert not {"verify.json", "README.md"} & {path.name for path in Path("out").iterdir()}
    assert "out: its verify.json and card are removed, as architecture.yaml is replaced" in caplog.text


def test_files_that_are_not_written_now_do_not_stay(
    in_tmp: Path, quick: None, tiny: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("out").mkdir()
    Path("out/model.onnx").write_text("of an earlier bundle")
    monkeypatch.setattr(bundle, "WRITTEN", {**DESCRIBED, "onnx": "model.onnx"})
    monkeypatch.setitem(sys.modules, "onnx", None)
    made = write_bundle(tiny, Path("out"))
    assert (made.ok, made.proof["onnx_opset"]) == (True, None)
    assert made.proof["not_written"][0]["file"] == "model.onnx"
    assert not Path("out/model.onnx").exists()
    card = Path("out/README.md").read_text()
    assert "`model.onnx` is not here: " in card
    assert "onnxruntime" not in card.split("## Versions")[0].replace("onnxruntime`", "")


def test_what_onnx_needs_is_said_with_how_to_get_it(
    in_tmp: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    TINY.save("tiny.yaml")
    for name in ("onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    line = "nas: model.onnx needs onnx and onnxscript: pip install 'nas-road[export]'\n"
    assert nas(capsys, "export", "tiny.yaml", "-o", "x.onnx") == (2, "", line)
    assert nas(capsys, "export", "tiny.yaml", "-o", "x", "--format", "onnx") == (2, "", line)
    assert not Path("x").exists()
    monkeypatch.setattr(bundle, "WRITTEN", {**DESCRIBED, "onnx": "model.onnx"})
    code_, out, err = nas(capsys, "export", "tiny.yaml", "-o", "out", "--bundle")
    assert (code_, err) == (0, "")
    assert "model.onnx was not written: model.onnx needs onnx and onnxscript" in out


MISTAKES = [
    (["--bundle", "--format", "yaml", "-o", "out"], "--bundle writes every format, and --format one"),
    (["--bundle", "-o", "x.yaml"], "x.yaml: --bundle writes a folder, and this names a file"),
    (["--bundle", "-o", "x.onnx"], "x.onnx: --bundle writes a folder, and this names a file"),
    (["--bundle", "-o", "file"], "file: is a file; a bundle is a folder"),
    (["--bundle", "-o", "file/out"], "file/out: cannot be written: Not a directory"),
    (["--bundle", "-o", "x" * 300], "cannot be written: File name too long"),
    (["--bundle", "-o", "out", "--opset", "17"], "--opset must be 18 to 21, got 17"),
    (["-o", "x.pt2", "--opset", "18"], "--opset is for ONNX"),
    (["-o", "x.yaml", "--weights", "w.safetensors"], "--weights is for what holds weights, and yaml"),
    (["--bundle", "-o", "out", "--weights", "no.safetensors"], "no.safetensors: no such file of weights"),
    (["--bundle", "-o", "out", "--weights", "file"], "file: cannot be read as safetensors"),
    (
        ["--bundle", "-o", "out", "--weights", "w.safetensors", "--classes", "5"],
        "holds weights for 4 classes",
    ),
    (["--bundle", "-o", "out", "--weights", "w.safetensors", "--channels", "3"], "holds weights for 1 chann"),
    (["--bundle", "-o", "out", "--weights", "other.safetensors"], "holds weights of another network"),
    (["-o", "x.pth"], "x.pth: must be a folder, or end in .yaml, .json"),
    (["-o", "x", "--format", "onx"], "format must be yaml, json, timm, safetensors, python, pt2, onnx, got"),
    (["-o", "w2.safetensors"], "tiny has no trained weights to export"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_mistakes_are_one_line(in_tmp: Path, tiny: Subject, capsys, arguments: list[str], words: str) -> None:
    TINY.save("tiny.yaml")
    Path("file").write_text("no folder")
    Path("w.safetensors").write_bytes(content_of("safetensors", tiny))
    wider = replace(TINY, head=Head(channels=64))
    other = subject_of(Found(architecture=wider), num_classes=4, in_channels=1)
    Path("other.safetensors").write_bytes(content_of("safetensors", other))
    code_, out, err = nas(capsys, "export", "tiny.yaml", *arguments)
    assert (code_, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not Path("out").exists()


@pytest.mark.parametrize("bias", [float("nan"), float("inf"), 0.0])
def test_where_nothing_can_be_compared_nothing_is_proved(
    in_tmp: Path, quick: None, capsys, bias: float
) -> None:
    TINY.save("tiny.yaml")
    subject = subject_of(Found(architecture=TINY))
    torch.nn.init.zeros_(subject.model.classifier.weight)
    torch.nn.init.constant_(subject.model.classifier.bias, bias)
    Path("w.safetensors").write_bytes(content_of("safetensors", subject))
    code_, _, err = nas(capsys, "export", "tiny.yaml", "--weights", "w.safetensors", "-o", "out", "--bundle")
    assert (code_, err.count("\n")) == (1, 1)
    assert err.startswith("nas: no file could be checked: the network")
    proof = json.loads(Path("out/verify.json").read_text())
    assert (proof["ok"], len(proof["unverified"])) == (False, len(DESCRIBED))
    assert proof["inputs"]["largest_logit"] == (None if bias else 0.0)


def test_weights_of_a_network_with_the_same_shapes_are_refused(
    in_tmp: Path, quick: None, tiny: Subject
) -> None:
    Path("w.safetensors").write_bytes(content_of("safetensors", tiny))
    larger = replace(TINY, name="larger", image_size=32, dropout=0.5)
    assert subject_of(Found(architecture=larger), weights="w.safetensors").num_classes == 4
    for other in (replace(TINY, activation="relu"), replace(TINY, padding="same", image_size=32)):
        with pytest.raises(InputError, match="holds weights of another network: tiny, by what it says"):
            subject_of(Found(architecture=other), weights="w.safetensors")


def test_weights_of_a_file_decide_classes_and_channels(
    in_tmp: Path, quick: None, tiny: Subject, capsys
) -> None:
    TINY.save("tiny.yaml")
    Path("w.safetensors").write_bytes(content_of("safetensors", tiny))
    arguments = ("tiny.yaml", "--weights", "w.safetensors")
    code_, out, err = nas(capsys, "export", *arguments, "-o", "out", "--bundle", "--json")
    assert (code_, err) == (0, "")
    network = json.loads(out)["verify"]["network"]
    assert (network["num_classes"], network["in_channels"]) == (4, 1)
    assert network["weights"] == "from a file of the user"
    assert nas(capsys, "export", *arguments, "-o", "copy.safetensors")[0] == 0
    assert Path("copy.safetensors").read_bytes() == Path("w.safetensors").read_bytes()


def test_untrained_weights_are_written_where_a_seed_is_given(in_tmp: Path, capsys) -> None:
    TINY.save("tiny.yaml")
    code_, out, err = nas(
        capsys, "export", "tiny.yaml", "-o", "w.safetensors", "--seed", "3", "--classes", "4"
    )
    assert (code_, err) == (0, "")
    assert "weights: untrained, initialised with seed 3" in out
    model = TINY.build(4)
    public.load_weights(model, "w.safetensors")
    out = nas(capsys, "export", "tiny.yaml", "-o", "w.safetensors", "--seed", "3", "--json")[1]
    assert json.loads(out) == {
        "files": ["w.safetensors"],
        "weights": "untrained, initialised with seed 3",
    }


def test_source_is_a_format_of_its_own(in_tmp: Path, capsys) -> None:
    TINY.save("tiny.yaml")
    assert nas(capsys, "export", "tiny.yaml", "-o", "net.py", "--classes", "7")[0] == 0
    assert "NUM_CLASSES = 7" in Path("net.py").read_text()


def test_a_bundle_from_a_program(in_tmp: Path, quick: None) -> None:
    made = public.export_bundle(TINY, "out", num_classes=3)
    assert made.ok
    assert made.proof["network"]["num_classes"] == 3
    with pytest.raises(InputError, match="is no known architecture"):
        public.export_bundle("nosuch", "out")


def test_old_exports_are_as_they_were(in_tmp: Path) -> None:
    assert [path.name for path in export(TINY, Path("net"))] == ["architecture.yaml", "architecture.json"]
    with pytest.raises(InputError, match=r"model\.onnx needs the network with its weights"):
        export(TINY, Path("x.onnx"))
    assert graphs.OPSET == 18
