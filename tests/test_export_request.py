"""`nas export`: what is refused before anything is built, and what is said of sizes that nobody chose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nas as public
from nas.bundle import subject_of
from nas.lookup import Found, find_architecture
from results.exporting import bundle
from results.exporting.bundle import content_of
from search_space import InputError
from tests.bundles import TINY
from tests.searching import Scripted, config
from tests.test_cli import nas

BY_DEFAULT = "1,000 classes and 3 image channels, by default: --classes and --channels say others"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles of two files, for what is the same of all."""
    files = {"yaml": "architecture.yaml", "safetensors": "weights.safetensors"}
    monkeypatch.setattr(bundle, "WRITTEN", files)


@pytest.fixture
def inputs(in_tmp: Path) -> Path:
    """A description and weights under the very names that a bundle gives its files."""
    TINY.save("architecture.yaml")
    subject = subject_of(Found(architecture=TINY), num_classes=4, in_channels=1)
    Path("weights.safetensors").write_bytes(content_of("safetensors", subject))
    return in_tmp


REFUSED = [
    (["architecture.yaml", "-o", ".", "--bundle"], "architecture.yaml: is what is exported"),
    (["architecture.yaml", "-o", "architecture.yaml"], "architecture.yaml: is what is exported"),
    (["architecture.yaml", "-o", ".", "--format", "yaml"], "architecture.yaml: is what is exported"),
    (
        ["resnet_50", "--weights", "weights.safetensors", "-o", ".", "--bundle"],
        "weights.safetensors: is what is exported",
    ),
    (["resnet_50", "--weights", "linked.safetensors", "-o", "."], "linked.safetensors: is what is exported"),
    (["resnet_50", "-o", "README.md", "--bundle"], "README.md: is a file; a bundle is a folder"),
    (["resnet_50", "-o", "x", "--bundle", "--weights", "no.safetensors"], "no.safetensors: no such file of"),
    (["resnet_50", "-o", "x.onnx", "--weights", "no.safetensors"], "no.safetensors: no such file of weights"),
    (["resnet_50", "-o", "x", "--bundle", "--weights", "weights.safetensors", "--seed", "1"], "--seed draws"),
    (["resnet_50", "-o", "x.py", "--seed", "1"], "--seed draws weights, and python holds none"),
    (["resnet_50", "-o", "x", "--seed", "1"], "--seed draws weights, and a folder gets none"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_mistakes_are_one_line_before_anything_is_built(
    inputs: Path, capsys, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    Path("README.md").write_text("mine")
    Path("linked.safetensors").symlink_to("weights.safetensors")
    monkeypatch.setitem(sys.modules, "nas.bundle", None)  # which imports torch
    before = {path: path.read_bytes() for path in Path().iterdir()}
    code, out, err = nas(capsys, "export", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_what_is_refused_does_not_wait_for_torch(inputs: Path) -> None:
    program = (
        "import sys\n"
        "from nas import cli\n"
        "sys.argv = ['nas', 'export', 'architecture.yaml', '-o', '.', '--bundle']\n"
        "try:\n    cli.main()\n"
        "finally:\n    print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "False\n")


def test_a_program_is_refused_too(inputs: Path) -> None:
    for arguments in ({"architecture": "architecture.yaml"}, {"architecture": TINY}):
        with pytest.raises(InputError, match="is what is exported"):
            public.export_bundle(folder=".", weights="weights.safetensors", **arguments)


def test_a_seed_for_weights_that_were_kept_is_refused(in_tmp: Path, capsys) -> None:
    public.run_search(config(search={"candidates": 1}), evaluator=Scripted(in_tmp / "diary"))
    found = find_architecture("t@best")
    assert found.run is not None
    assert found.trial is not None
    weights = found.run.weights_path(found.trial.id)
    weights.parent.mkdir(exist_ok=True)
    weights.write_bytes(b"kept")
    code, _, err = nas(capsys, "export", "t@best", "-o", "x", "--bundle", "--seed", "1")
    assert (code, err) == (2, "nas: --seed draws weights, and those of t@best were kept; leave it out\n")


@pytest.mark.parametrize(
    "output", [["-o", "x.py"], ["-o", "x.timm.json"], ["-o", "x.safetensors", "--seed", "1"]]
)
def test_sizes_that_nobody_chose_are_said(inputs: Path, capsys, output: list[str]) -> None:
    code, out, err = nas(capsys, "export", "architecture.yaml", *output)
    assert (code, out.count(BY_DEFAULT), err) == (0, 1, "")
    code, out, err = nas(capsys, "export", "architecture.yaml", *output, "--json")
    assert (code, BY_DEFAULT in out, err) == (0, False, f"{BY_DEFAULT}\n")
    code, out, err = nas(capsys, "export", "architecture.yaml", *output, "--classes", "4")
    assert "3 image channels, by default: --channels says others" in out
    code, out, err = nas(capsys, "export", "architecture.yaml", *output, "--classes", "4", "--channels", "1")
    assert "by default" not in out + err


def test_sizes_are_said_of_bundles_and_not_of_descriptions(inputs: Path, quick: None, capsys) -> None:
    assert BY_DEFAULT in nas(capsys, "export", "architecture.yaml", "-o", "out", "--bundle")[1]
    arguments = ("architecture.yaml", "--weights", "weights.safetensors", "-o", "given", "--bundle")
    assert "by default" not in nas(capsys, "export", *arguments)[1]
    assert "by default" not in nas(capsys, "export", "architecture.yaml", "-o", "two")[1]
    assert "by default" not in nas(capsys, "export", "architecture.yaml", "-o", "x.json")[1]


def test_ctrl_c_says_that_the_bundle_is_not_complete(
    inputs: Path, quick: None, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    line = "nas: out: the bundle is not complete, and has no proof; the same command writes it anew\n"
    arguments = ("export", "architecture.yaml", "-o", "out", "--bundle")
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "verify_files", broken)
        assert nas(capsys, *arguments) == (130, "", line)
    assert nas(capsys, *arguments)[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "_make_room", broken)  # the earlier bundle is as it was
        code, _, err = nas(capsys, *arguments)
    assert (code, "not complete" in err) == (130, False)
    assert Path("out/verify.json").exists()
