"""The files of a bundle: each loads, agrees, and can be used without this library; else it is found out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from nas.bundle import subject_of
from nas.lookup import Found
from results.export import FILES
from results.exporting import agreement, bundle
from results.exporting.bundle import Subject, content_of, verify_files, write_bundle
from results.exporting.provenance import DataFacts, Provenance
from tests.bundles import TINY
from tests.test_cli import nas
from tests.timm_stub import HAVE_TIMM, WITHOUT_TIMM, importable_timm

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tiny() -> Subject:
    """An untrained network of 16-pixel images, 1 channel, 4 classes."""
    return subject_of(Found(architecture=TINY), num_classes=4, in_channels=1)


@pytest.fixture(scope="module")
def whole(tiny: Subject, tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    """All files of it, with constants of normalisation, checked."""
    pytest.importorskip("onnxruntime")
    data = DataFacts(
        name="made up",
        fingerprint="0" * 64,
        confirmed=True,
        mean=(0.25,),
        std=(0.5,),
        class_names=tuple("abcd"),
    )
    subject = replace(tiny, provenance=Provenance(weights="trained", accuracy=0.5, data=data))
    return write_bundle(subject, tmp_path_factory.mktemp("whole"))


def test_initialised_weights_are_those_of_the_seed(tiny: Subject) -> None:
    before = torch.get_rng_state()
    states = [
        subject_of(Found(architecture=TINY), num_classes=4, in_channels=1, seed=s).model.state_dict()
        for s in (0, 0, 1)
    ]
    assert torch.equal(before, torch.get_rng_state())
    name = "classifier.weight"
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])
    assert not tiny.model.training


def test_the_relative_difference_is_of_the_largest_logit(tiny: Subject) -> None:
    given = agreement.probe(tiny.model, TINY, 4, 1)
    expected = torch.tensor([[1e-9, 0.0, -2e-3]])
    found = [expected + torch.tensor([[1e-9, 0.0, 0.0]])]
    absolute, relative, why = agreement._difference(found, (expected,))
    assert (absolute, relative, why) == (pytest.approx(1e-9, rel=1e-3), pytest.approx(5e-7, rel=1e-3), "")
    assert given.to_json()["batches"] == [1, 3]
    for wanted in (torch.zeros(1, 3), torch.full((1, 3), 1e-40), torch.tensor([[float("nan"), 1.0, 1.0]])):
        with pytest.raises(agreement.UnverifiableError):
            agreement._difference([torch.ones(1, 3)], (wanted,))
    assert "shape" in agreement._difference([torch.ones(1, 2)], (torch.ones(1, 3),))[2]
    assert "not finite" in agreement._difference([torch.ones(1, 3) / 0], (torch.ones(1, 3),))[2]


@pytest.mark.slow
def test_a_bundle_holds_every_format_and_each_agrees(whole: bundle.Bundle) -> None:
    assert {path.name for path in whole.folder.iterdir()} == {
        *FILES.values(),
        "README.md",
        "verify.json",
    }
    proof = json.loads((whole.folder / "verify.json").read_text())
    assert proof == whole.proof
    assert (proof["ok"], proof["not_written"], whole.ok) == (True, [], True)
    rows = {row["file"]: row for row in proof["artefacts"]}
    assert set(rows) == set(FILES.values())
    for name, row in rows.items():
        assert row["sha256"] == agreement.sha256_of(whole.folder / name)
        assert row["bytes"] == (whole.folder / name).stat().st_size
        if row["ok"] is not None:
            assert row["relative_difference"] <= 1e-5
    assert set(proof["unverified"]) <= {"architecture.timm.json"}
    assert proof["card"]["sha256"] == agreement.sha256_of(whole.folder / "README.md")
    assert proof["network"]["key"] == TINY.key
    assert proof["versions"]["torch"] == torch.__version__.split("+")[0] or proof["versions"]["torch"]


@pytest.mark.slow
def test_onnx_has_a_free_batch_names_and_facts(whole: bundle.Bundle) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(whole.folder / "model.onnx")
    onnx.checker.check_model(model)
    (image,), (logits,) = model.graph.input, model.graph.output
    assert (image.name, logits.name) == ("images", "logits")
    for value in (image, logits):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert (facts["architecture_key"], facts["input_mean"], facts["input_std"]) == (
        TINY.key,
        "[0.25]",
        "[0.5]",
    )


@pytest.mark.slow
def test_the_blocks_of_code_on_a_card_run(whole: bundle.Bundle, tmp_path: Path) -> None:
    folder = shutil.copytree(whole.folder, tmp_path / "copy")
    Image.new("RGBA", (40, 25), "white").save(folder / "image.png")
    blocks = re.findall(r"```python\n(.*?)```", (whole.folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 5
    program = "\n".join(f"exec({block!r}, {{'__name__': '__main__'}})" for block in blocks)
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES.values() if name != "architecture.timm.json"])
def test_a_file_that_changes_between_writing_and_checking_is_found_out(
    whole: bundle.Bundle, tiny: Subject, tmp_path: Path, name: str
) -> None:
    for file in whole.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    other = subject_of(Found(architecture=TINY), num_classes=4, in_channels=1, seed=1)
    path = tmp_path / name
    if name.startswith("architecture"):
        text = path.read_text()
        path.write_text(text.replace("kernel: 5", "kernel: 3").replace('"kernel": 5', '"kernel": 3'))
    elif name == "model.py":
        path.write_text(path.read_text().replace("BN_EPS = 0.001", "BN_EPS = 0.1"))
    elif name == "weights.safetensors":
        path.write_bytes(content_of("safetensors", other))
    else:
        content = bytearray(path.read_bytes())
        at = content.find(tiny.model.state_dict()["stem.0.weight"].numpy().tobytes()[:16])
        if at < 0:  # compressed, or folded into another tensor
            del content[len(content) // 2 :]
        else:
            content[at : at + 4] = b"\x00\x00\x80\x3f"
        path.write_bytes(bytes(content))
    assert path.read_bytes() != (whole.folder / name).read_bytes()
    given = agreement.probe(tiny.model, TINY, 4, 1)
    (row,) = verify_files(tmp_path, {name: 0.0}, given)
    assert (row.ok, bool(row.why)) == (False, True)
    assert json.dumps(row.to_json(), allow_nan=False)


@pytest.mark.slow
def test_without_onnxruntime_onnx_is_written_and_not_checked(
    whole: bundle.Bundle, tiny: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    given = agreement.probe(tiny.model, TINY, 4, 1)
    (row,) = verify_files(whole.folder, {"model.onnx": 1.0}, given)
    assert (row.ok, row.relative, row.write_seconds) == (None, None, 1.0)
    assert row.why == "onnxruntime is not installed: pip install 'nas-road[export]'"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_graphs_are_formats_of_their_own_and_quiet(in_tmp: Path, capfd, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    TINY.save("tiny.yaml")
    code_, out, err = nas(capfd, "export", "tiny.yaml", "-o", f"net.{kind}")
    assert (code_, err) == (0, "")
    sizes = "1,000 classes and 3 image channels, by default: --classes and --channels say others"
    assert out == f"wrote net.{kind}\n{sizes}\nweights: untrained, initialised with seed 0\n"
    assert Path(f"net.{kind}").stat().st_size > 1000


@pytest.mark.slow
def test_timm_builds_what_the_arguments_in_the_file_say(
    whole: bundle.Bundle, tiny: Subject, tmp_path: Path
) -> None:
    if not HAVE_TIMM:
        pytest.skip(WITHOUT_TIMM)
    given = agreement.probe(tiny.model, TINY, 4, 1)
    name = FILES["timm"]
    for file in (name, "weights.safetensors"):
        (tmp_path / file).write_bytes((whole.folder / file).read_bytes())
    with importable_timm():
        (row,) = verify_files(tmp_path, {name: 0.0}, given)
        assert (row.ok, row.why) == (True, "")
        assert row.relative is not None
        arguments = json.loads((tmp_path / name).read_text())
        (tmp_path / name).write_text(json.dumps({**arguments, "act_layer": "relu"}))
        assert verify_files(tmp_path, {name: 0.0}, given)[0].ok is False
        (tmp_path / name).write_text(json.dumps({**arguments, "num_features": 64}))
        assert "timm builds another network" in verify_files(tmp_path, {name: 0.0}, given)[0].why
