"""Bundles: what is written loads, agrees, and can be used without this library; else it is found out."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nas as public
from nas.bundle import subject_of
from nas.lookup import Found, find_architecture
from nas.provenance import provenance_of
from results.export import FILES, export
from results.exporting import agreement, bundle, graphs
from results.exporting.bundle import Subject, content_of, verify_files, write_bundle, write_files
from results.exporting.card import CardFacts, card_text
from results.exporting.markdown import code
from results.exporting.provenance import DataFacts, Provenance
from search_space import Architecture, Head, InputError, Stage, Stem
from tests.searching import Scripted, config
from tests.test_cli import nas

ROOT = Path(__file__).parent.parent
TINY = Architecture(
    name="tiny",
    image_size=16,
    stem=Stem(channels=8, kernel=3, stride=2),
    stages=(
        Stage(op="mbconv", channels=8, repeats=1, kernel=3, stride=2, expansion=1, se_ratio=0.25),
        Stage(op="mbconv", channels=16, repeats=2, kernel=5, stride=2, expansion=3),
    ),
    head=Head(channels=32),
)
DESCRIBED = {kind: FILES[kind] for kind in ("yaml", "json", "safetensors")}  # what takes no time
EVERYTHING = {*FILES.values(), "README.md", "verify.json"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles of three files, for what is the same of all."""
    monkeypatch.setattr(bundle, "WRITTEN", DESCRIBED)


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


def test_code_spans_hold_what_they_hold() -> None:
    assert code("plain") == "`plain`"
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert code("two\nlines\x1b[0m") == "`two lines [0m`"
    assert code("") == ""


HOSTILE = "`<script>alert(1)</script>` | [x](http://e) $x^2$ --- \"'{{}}: &amp; # **b**"


def card_of(subject: Subject, **more: Any) -> str:
    facts: dict[str, Any] = {"opset": 18, "agreements": [], "absent": {}, "versions": {}}
    return card_text(
        CardFacts(
            architecture=subject.architecture,
            num_classes=subject.num_classes,
            in_channels=subject.in_channels,
            provenance=subject.provenance,
            **{**facts, **more},
        )
    )


def test_names_on_a_card_are_no_markup(tiny: Subject) -> None:
    data = DataFacts(name=HOSTILE, class_names=(HOSTILE, "```\n# b"), prepared=(HOSTILE,))
    known = Provenance(
        origin=HOSTILE,
        weights="given",
        weights_file=(HOSTILE, "0"),
        data=data,
        protocol={"epochs": HOSTILE},
        search={"run": HOSTILE, "controller": HOSTILE},
    )
    subject = replace(tiny, architecture=TINY.renamed(HOSTILE), provenance=known)
    text = card_of(subject, absent={"model.onnx": HOSTILE})
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(head)["model_name"] == HOSTILE
    without = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", body)  # as CommonMark finds code spans
    assert "script" not in without
    assert "http" not in without
    rows = [line for line in body.splitlines() if line.startswith("| `epochs`")]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 3  # two cells


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (Provenance(seed=7), ["**The weights are untrained**", "seed 7", "None: the weights are untrained."]),
        (
            Provenance(weights="given", weights_file=("w.safetensors", "ab" * 32)),
            ["`w.safetensors`", "ab" * 32, "Not known: the weights came from a file"],
        ),
        (
            Provenance(weights="trained", accuracy=0.9, trainings=3, trained_at=8),
            ["**90.00 %** on the validation part", "never seen", "mean of 3 trainings", "at 8 pixels"],
        ),
    ],
)
def test_a_card_claims_no_more_than_is_known(tiny: Subject, known: Provenance, words: list[str]) -> None:
    text = card_of(replace(tiny, provenance=known))
    for word in words:
        assert word in text
    assert ("%" in text) == (known.accuracy is not None)
    assert "not known here" in text or known.weights == "untrained"  # how inputs are normalised


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


def test_a_bundle_holds_every_format_and_each_agrees(whole: bundle.Bundle) -> None:
    assert {path.name for path in whole.folder.iterdir()} == EVERYTHING  # no half file, no __pycache__
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


def test_the_blocks_of_code_on_a_card_run(whole: bundle.Bundle) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (whole.folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    program = "\n".join(f"exec({block!r}, {{'__name__': '__main__'}})" for block in blocks)
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=whole.folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4


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
    (row,) = verify_files(tmp_path, {name: 0.0}, given, tiny)
    assert (row.ok, bool(row.why)) == (False, True)
    assert json.dumps(row.to_json(), allow_nan=False)


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
    for name in ("README.md", "model.py"):
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


def test_without_onnxruntime_onnx_is_written_and_not_checked(
    whole: bundle.Bundle, tiny: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    given = agreement.probe(tiny.model, TINY, 4, 1)
    (row,) = verify_files(whole.folder, {"model.onnx": 1.0}, given, tiny)
    assert (row.ok, row.relative, row.write_seconds) == (None, None, 1.0)
    assert row.why == "onnxruntime is not installed: pip install 'nas-road[export]'"


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
    # the very files that are exported may be in the folder
    code_, _, _ = nas(
        capsys, "export", "tiny.yaml", "--weights", "out/weights.safetensors", "-o", "out", "--bundle"
    )
    assert code_ == 0
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


def test_source_is_a_format_of_its_own(in_tmp: Path, capsys) -> None:
    TINY.save("tiny.yaml")
    assert nas(capsys, "export", "tiny.yaml", "-o", "net.py", "--classes", "7")[0] == 0
    assert "NUM_CLASSES = 7" in Path("net.py").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_graphs_are_formats_of_their_own_and_quiet(in_tmp: Path, capfd, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    TINY.save("tiny.yaml")
    code_, out, err = nas(capfd, "export", "tiny.yaml", "-o", f"net.{kind}")
    assert (code_, err) == (0, "")
    assert out == f"wrote net.{kind}\nweights: untrained, initialised with seed 0\n"
    assert Path(f"net.{kind}").stat().st_size > 1000


@pytest.fixture
def trained(in_tmp: Path) -> Path:
    """A search of one candidate, really trained for an epoch on a part of the digits."""
    settings_ = config(
        search={"candidates": 1, "keep_weights": 1},
        protocol={"epochs": 1, "subset": 64},
        space={"extends": "digits", "image_size": 16},
    )
    public.run_search(settings_)
    return in_tmp


def test_a_run_tells_what_its_weights_are_and_how_inputs_are_made(trained: Path, monkeypatch) -> None:
    from trainers import load_dataset

    found = find_architecture("t@best")
    known = provenance_of(found)
    data = load_dataset("digits", 16)
    assert known.data is not None
    assert known.data.confirmed
    assert (known.data.mean, known.data.std) == (data.mean, data.std)
    assert known.data.fingerprint == data.fingerprint
    assert (known.weights, known.accuracy) == ("trained", found.trial.accuracy)
    assert known.protocol["epochs"] == 1
    assert known.search["run"] == "t"
    assert known.search["place"] == "recommended, best observed"
    text = card_of(replace(subject_of(found), provenance=known))
    assert f"- mean: {data.mean[0]:.8g}" in text
    assert "of 300 images" in text
    assert "Not confirmed" not in text
    text = card_of(subject_of(found, weights=found.weights))  # as if of somebody else: nothing holds of them
    assert "%" not in text
    # data that are others now
    monkeypatch.setattr(
        "nas.provenance.load_dataset",
        lambda name, size: replace(load_dataset(name, size), fingerprint="1" * 64),
    )
    assert "Not confirmed" in card_of(subject_of(found))


def test_a_run_without_weights_claims_no_accuracy(in_tmp: Path) -> None:
    public.run_search(config(search={"candidates": 2}), evaluator=Scripted(in_tmp / "diary"))
    for file in Path("runs/t/weights").glob("*"):
        file.unlink()
    subject = subject_of(find_architecture("t@best"))
    assert (subject.provenance.weights, subject.provenance.accuracy) == ("untrained", None)
    assert "validation part" not in card_of(subject)


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
