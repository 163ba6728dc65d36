"""The standalone `model.py`: the same network without this project."""

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from results.exporting.source import model_source, quoted, selected
from search_space import REFERENCES, Architecture, FieldError, Head, Stage, Stem, cost, load_architecture
from search_space import load_space as space_of
from tests.bare import bare_python, site_of_torch
from tests.shapes import shapes_only
from tests.test_architecture import ARCHITECTURES, small

OPS = ("conv", "dsconv", "dsconv_act", "mbconv", "bottleneck")
FOREIGN = ("search_space", "results", "nas", "trainers", "controller", "ray", "numpy", "safetensors")


def stages(op: str, skip: str) -> tuple[Stage, ...]:
    """Layers of one block with and without a stride, with new channels and the same, and with fewer."""
    options = {"op": op, "skip": skip, "expansion": 3, "se_ratio": 0.25}
    return (
        Stage(channels=8, repeats=2, stride=2, kernel=5, **options),
        Stage(channels=12, repeats=2, **options),
        Stage(channels=7, **options),
    )


CASES = {
    **{
        f"{op}-{skip}-{padding}": small(stages=stages(op, skip), padding=padding, drop_path=0.3)
        for op in OPS
        for skip in ("identity", "pool", "none")
        for padding in ("symmetric", "same")
    },
    "every op and skip": small(
        stages=tuple(
            Stage(op=op, channels=8, repeats=2, expansion=2, se_ratio=0.3, skip=skip)
            for op, skip in zip(OPS, ("identity", "pool", "none", "identity", "identity"), strict=True)
        ),
        activation="relu6",
    ),
    "resnet's stem": small(
        stem=Stem(channels=8, kernel=7, pool="max"), head=Head(channels=0), padding="same"
    ),
    "stem without padding to choose": small(stem=Stem(channels=8, kernel=1, stride=1, pool="max")),
    "one block": small(stages=(Stage(channels=8),), activation="relu", bn_eps=1e-5, dropout=0.0),
    "a bottleneck of 3 channels": small(stages=(Stage(op="bottleneck", channels=3, repeats=2),)),
    "one channel": small(stem=Stem(channels=1), stages=(Stage(channels=1, se_ratio=0.25, repeats=2),)),
}


def module_of(source: str) -> ModuleType:
    """A source as a module, which is not importable by others; what it imports is looked through."""
    for node in ast.walk(ast.parse(source, feature_version=(3, 10))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in names} & set(FOREIGN)
    module = ModuleType("model")
    exec(compile(source, "model.py", "exec"), module.__dict__)
    return module


def randomised(model: nn.Module) -> nn.Module:
    """The network with other weights and statistics than a new one has, none of them zero or one."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and (tensor.ndim == 1):
            values = torch.rand(tensor.shape, generator=generator)
            tensor.copy_(values + 0.5 if "running_var" in name or "weight" in name else values - 0.5)
    return model


def difference(expected: Tensor, found: Tensor) -> float:
    assert expected.shape == found.shape
    return ((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item()


def check_same(architecture: Architecture, sizes: Sequence[tuple[int, int]] = ((1, 33), (3, 32))) -> None:
    """The source's network is `architecture.build`'s: state, new weights, outputs, and training."""
    module = module_of(model_source(architecture, 5, 2))
    torch.manual_seed(0)
    ours, theirs = architecture.build(5, 2), module.build_model()
    torch.manual_seed(0)
    module.init_weights(theirs)
    state, other = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(other)
    assert all(torch.equal(state[name], other[name]) for name in state)
    theirs.load_state_dict(randomised(ours).state_dict(), strict=True)
    for batch, size in sizes:
        images = torch.randn(batch, 2, size, size + 5, generator=torch.Generator().manual_seed(size))
        with torch.no_grad():
            assert difference(ours.eval()(images), theirs.eval()(images)) <= 1e-5
            assert difference(ours.forward_features(images), theirs.forward_features(images)) <= 1e-5
    found = []
    for model in (ours, theirs):  # the same images are dropped, the statistics move alike
        torch.manual_seed(7)
        found.append(model.train()(images).detach())
    # an activation's gradient apart, batch norm over few numbers magnifies rounding
    assert difference(*found) <= 1e-3
    for name, tensor in ours.state_dict().items():
        assert torch.allclose(tensor.float(), theirs.state_dict()[name].float(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_every_op_skip_stem_and_padding_is_said(name: str) -> None:
    check_same(CASES[name])


@settings(max_examples=15)
@given(ARCHITECTURES)
def test_any_architecture_is_said_with_what_it_needs_and_no_more(architecture: Architecture) -> None:
    source = model_source(architecture, 5, 2)
    module = module_of(source)
    assert (architecture.name.split() or ["unnamed"])[0][:9] in (module.__doc__ or "").splitlines()[0]
    with shapes_only():
        ours, theirs = architecture.build(5, 2), module.build_model()
    state, other = ours.state_dict(), theirs.state_dict()
    assert [(k, v.shape) for k, v in state.items()] == [(k, v.shape) for k, v in other.items()]
    used = {cls for part in theirs.modules() for cls in type(part).__mro__}
    defined = {v for v in vars(module).values() if isinstance(v, type) and v.__module__ == "model"}
    assert {cls for cls in defined if issubclass(cls, nn.Module)} <= used
    rates = [block.drop_path.rate for block in ours.blocks if block.residual]
    drops = [
        block.drop_path.rate
        for block in theirs.blocks
        if getattr(block, "skip", None) is not None and hasattr(block, "drop_path")
    ]
    assert drops == (rates if any(rates) else [])


@settings(max_examples=6)
@given(ARCHITECTURES)
def test_any_architecture_computes_the_same(architecture: Architecture) -> None:
    check_same(architecture, sizes=((2, 33),))


@pytest.mark.parametrize("preset", ["digits", "cifar", "mnasnet", "efficientnet"])
def test_networks_of_a_space_compute_the_same(preset: str) -> None:
    space = space_of(preset)
    check_same(space.decode(space.random(np.random.default_rng(3))), sizes=((2, 33),))


@pytest.mark.parametrize("name", REFERENCES)
def test_references_have_the_same_state(name: str) -> None:
    architecture = load_architecture(name)
    module = module_of(model_source(architecture))
    with shapes_only():
        state, other = architecture.build().state_dict(), module.build_model().state_dict()
    assert [(k, v.shape) for k, v in state.items()] == [(k, v.shape) for k, v in other.items()]
    assert f"{cost(architecture).params:,} with 1,000 classes" in (module.__doc__ or "")
    assert f"{cost(architecture).macs:,} for one image" in (module.__doc__ or "")


@pytest.mark.parametrize("name", ["efficientnet_b0", "mnasnet_a1", "mobilenet_v1", "resnet_50"])
def test_references_compute_the_same(name: str) -> None:
    check_same(load_architecture(name), sizes=((2, 47),))


def test_only_what_is_needed_is_there() -> None:
    b0 = model_source(load_architecture("efficientnet_b0"))
    for absent in ("Bottleneck", "PoolSkip", "Same", "same_pad", "MaxPool", "DSConvAct", "skip: str", "F."):
        assert absent not in b0
    assert "SqueezeExcite" in b0
    assert "DropPath" in b0
    v1 = model_source(load_architecture("mobilenet_v1"))
    for absent in (
        "SqueezeExcite",
        "DropPath",
        "drop_path",
        "class Block",
        "MBConv",
        "se_ratio",
        "expansion",
    ):
        assert absent not in v1
    table = """\
STAGES = [
    #     block       kernel  stride  channels  repeats
    Stage(Bottleneck,      3,      1,      256,       3),
    Stage(Bottleneck,      3,      2,      512,       4),
    Stage(Bottleneck,      3,      2,     1024,       6),
    Stage(Bottleneck,      3,      2,     2048,       3),
]"""
    assert table in model_source(load_architecture("resnet_50"))


HOSTILE = [
    '"""',
    '\\"""; import os #',
    "a\\",
    '"',
    "'''",
    "*/ --> </script><!--",
    "$title ${table} %s {x}",
    "#: if se",
    "# noqa # fmt: off # type: ignore",
    "tab\tand \x00 and \x1b[31m and \u202eturned\u2028line",
    "ünïcode 🚀 名前",
    "-*- coding: latin-1 -*-",
    "x" * 5000,
    "\ud800",
    "   ",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_notes_cannot_leave_the_docstring(text: str) -> None:
    plain = ast.parse(model_source(small()))
    tree = ast.parse(model_source(small(name=text), note=f"{text}\n# {text}\n\n{text}"))
    assert [ast.dump(node) for node in tree.body[1:]] == [ast.dump(node) for node in plain.body[1:]]
    documented = ast.get_docstring(tree, clean=False) or ""
    assert documented.splitlines()[0].startswith(" ".join(text.split())[:100] or "unnamed")


@given(st.text())
def test_quoted_text_is_read_back_as_it_was(text: str) -> None:
    assert ast.literal_eval(f'"""{quoted(text)}"""') == text
    assert quoted(text).isprintable()


@given(st.text(st.sampled_from("\"\\n\\' $#\u202e"), min_size=1))
def test_any_mixture_of_quotation_marks_stays_text(text: str) -> None:
    name = text.replace("\n", " ")
    assert ast.get_docstring(ast.parse(model_source(small(name=name), note=text)))


def test_sources_are_formatted_and_clean(tmp_path: Path) -> None:
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed")
    networks = [load_architecture(name) for name in REFERENCES] + list(CASES.values())
    networks += [small(name=text) for text in HOSTILE if text.isprintable()]
    rng = np.random.default_rng(0)
    for preset in ("cifar", "mnasnet", "efficientnet", "tiny-imagenet"):
        space = space_of(preset)
        networks += [space.decode(space.random(rng)) for _ in range(5)]
    for number, network in enumerate(networks):
        source = model_source(network, 10, 1, note="Found by a search.\n\n" + "Far away. " * 40)
        (tmp_path / f"model_{number}.py").write_text(source, encoding="utf-8")
    for command in (["format", "--check"], ["check"]):
        for width in ("88", "100"):  # of a plain user, and a wider one
            options = ["--isolated", "--no-cache", "--line-length", width, str(tmp_path)]
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, *options], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert max(len(line) for line in source.splitlines()) <= 100


def test_arguments_of_build_model_are_overridable() -> None:
    module = module_of(model_source(small(drop_path=0.4, stages=(Stage(channels=8, repeats=2),)), 5, 1))
    model = module.build_model(num_classes=7, in_channels=4, dropout=0.9, drop_path=0.1)
    assert model.eval()(torch.zeros(1, 4, 32, 32)).shape == (1, 7)
    assert model.dropout.p == 0.9
    assert model.blocks[1].drop_path.rate == 0.1
    with pytest.raises(FieldError, match="num_classes must be at least 1, got 0"):
        model_source(small(), 0)
    with pytest.raises(FieldError, match="in_channels must be at least 1"):
        model_source(small(), 1, 0)


def test_the_template_keeps_its_conditions() -> None:
    lines = ["a", "#: if x", "b", "#: if not y", "c", "#: else", "d", "#: end", "#: end", "e  #: if y", "f"]
    assert list(selected(lines, {"x": True, "y": True})) == ["a", "b", "d", "e", "f"]
    assert list(selected(lines, {"x": True, "y": False})) == ["a", "b", "c", "f"]
    assert list(selected(lines, {"x": False, "y": True})) == ["a", "e", "f"]
    with pytest.raises(KeyError):
        list(selected(lines, {"x": True}))


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    """A source's module, for what it reads."""
    return module_of(model_source(small()))


def test_safetensors_are_read_bit_for_bit(reader: ModuleType, tmp_path: Path) -> None:
    values = torch.tensor([[1.5, -2.25, 0.0], [3.0, float("inf"), 1e-8]])
    tensors = {"empty": torch.empty(0, 3), "scalar": torch.tensor(7), "bool": torch.tensor([True, False])}
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        tensors[str(dtype)] = values.to(dtype)
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        tensors[str(dtype)] = torch.arange(5).to(dtype)
    save_file(tensors, tmp_path / "t.safetensors", metadata={"made by": "a test"})
    read = reader.read_safetensors(tmp_path / "t.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert torch.equal(read[name], tensor)


def encoded(header: object, values: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no safetensors file, or is cut off"),
        (b"\x08\x00", "is no safetensors file, or is cut off"),
        (b"\xff" * 64, "is no safetensors file, or is cut off"),
        (encoded(b"{"), "no JSON header"),
        (encoded(b"\xff\xfe"), "no JSON header"),
        (encoded(b"[" * 100_000), "no JSON header"),
        (encoded([]), "no JSON header"),
        (encoded({"a": 3}), "tensor 'a' must have a dtype out of F64, F32"),
        (encoded(entry("F33"), bytes(4)), "must have a dtype"),
        (encoded(entry(["F32"]), bytes(4)), "must have a dtype"),
        (encoded(entry(shape=None), bytes(4)), "must have a shape and data_offsets"),
        (encoded(entry(shape=[True]), bytes(4)), "of whole numbers"),
        (encoded(entry(shape=[-1]), bytes(4)), "of whole numbers"),
        (encoded(entry(shape=[1.0]), bytes(4)), "of whole numbers"),
        (encoded(entry(offsets=[0]), bytes(4)), "does not fit"),
        (encoded(entry(offsets=[4, 0]), bytes(4)), "does not fit"),
        (encoded(entry(offsets=[0, 8]), bytes(8)), "does not fit: 4 bytes at data_offsets"),
        (encoded(entry(shape=[2**60]), bytes(4)), "does not fit"),
        (encoded(entry(), bytes(3)), "does not fit"),
        (encoded(entry(shape=[0, 10**30], offsets=[0, 0])), "of whole numbers"),
        (encoded(entry(), bytes(5)), "bytes that belong to no tensor"),
    ],
)
def test_malformed_weights_are_refused(reader: ModuleType, tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        reader.read_safetensors(path)


def test_weights_of_another_network_are_refused(reader: ModuleType, tmp_path: Path) -> None:
    save_file(small().build(3).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(RuntimeError, match="size mismatch for classifier.weight"):
        reader.load_weights(reader.build_model(), tmp_path / "w.safetensors")


def test_the_command_line_runs_one_image(
    reader: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "w.safetensors"
    save_file(small().build().state_dict(), weights)
    monkeypatch.setattr(sys, "argv", ["model.py", "--weights", str(weights), "--image-size", "17"])
    reader.main()
    assert capsys.readouterr().out == f"parameters: {cost(small()).params:,}\nlogits: (1, 1000)\n"
    weights.write_bytes(b"")
    for arguments, message in (
        (["--weights", str(weights)], "is no safetensors file"),
        (["--weights", str(tmp_path / "none")], "No such file"),
        (["--image-size", "0"], "--image-size must be at least 1, got 0"),
    ):
        monkeypatch.setattr(sys, "argv", ["model.py", *arguments])
        with pytest.raises(SystemExit, match="2"):
            reader.main()
        assert message in capsys.readouterr().err


BARE = """
import importlib.util, runpy, torch
model, weights, *foreign = sys.argv[1:]
assert not [name for name in foreign if importlib.util.find_spec(name)]
sys.argv = [model, "--weights", weights]
runpy.run_path(model, run_name="__main__")
module = runpy.run_path(model)
network = module["build_model"]().eval()
module["load_weights"](network, weights)
images = torch.linspace(-1.0, 1.0, 2 * 3 * 33 * 33).reshape(2, 3, 33, 33)
with torch.no_grad():
    print("sum:", network(images).double().sum().item())
"""


@pytest.mark.slow
def test_the_source_runs_where_there_is_only_torch(tmp_path: Path) -> None:
    architecture = replace(small(stages=stages("mbconv", "pool"), padding="same"), name='a "name"')
    network = randomised(architecture.build(10)).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "model.py").write_text(model_source(architecture, 10), encoding="utf-8")
    files = [str(tmp_path / name) for name in ("model.py", "weights.safetensors")]
    done = bare_python(site_of_torch(tmp_path / "site"), BARE, *files, *FOREIGN)
    assert done.returncode == 0, done.stderr
    images = torch.linspace(-1.0, 1.0, 2 * 3 * 33 * 33).reshape(2, 3, 33, 33)
    with torch.no_grad():
        expected = network(images).double().sum().item()
    params, logits, total = done.stdout.splitlines()
    assert params == f"parameters: {cost(architecture, 10).params:,}"
    assert logits == "logits: (1, 10)"
    assert float(total.removeprefix("sum: ")) == pytest.approx(expected, rel=1e-5, abs=1e-5)
