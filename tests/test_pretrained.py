"""Weights of other libraries: every name, every source's own epsilon and padding, and nothing left over.

What the libraries build is in ``tests/fixtures/pretrained.json.gz``, see `benchmarks.pretrained_fixtures`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from benchmarks.pretrained_fixtures import (
    IMAGE_SIZE,
    logits_of,
    relative_difference,
    seeded_state,
    shapes_of,
)
from search_space import REFERENCES, Architecture, Head, InputError, Stage, Stem
from tests.pretrained_states import FIXTURES, TOLERANCE, config, linked, state_of, timm_file
from tests.timm_stub import HAVE_TIMM, WITHOUT_TIMM, importable_timm
from trainers.pretrained import Pretrained, read_pretrained
from trainers.pretrained_config import read_hub_config
from trainers.pretrained_files import read_tensors
from trainers.pretrained_names import NAMINGS, tensor_names
from trainers.pretrained_sources import MEMBERS, NORMALISATIONS, SOURCES

EVERY_NETWORK = [(source, member) for source in SOURCES for member in MEMBERS]


def network_of(source: str, member: str) -> Architecture:
    """Ours, as the source builds it."""
    known = REFERENCES[f"efficientnet_{member}"]()
    its = SOURCES[source]
    return replace(known, bn_eps=its.eps_of(member), padding=its.padding, image_size=IMAGE_SIZE)


def ours_of(architecture: Architecture, source: str, state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """An architecture with a source's weights, whatever its epsilon and padding are."""
    with torch.device("meta"):
        model = architecture.build()
    names = tensor_names(architecture, SOURCES[source].naming, model.state_dict())
    model.load_state_dict({name: state[theirs] for name, theirs in names.items()}, assign=True)
    return model


# --- names and facts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "member"), EVERY_NETWORK)
def test_every_tensor_of_a_published_network_is_one_of_ours(source: str, member: str) -> None:
    architecture = network_of(source, member)
    with torch.device("meta"):
        state = architecture.build().state_dict()
    names = tensor_names(architecture, SOURCES[source].naming, state)
    shapes = {theirs: tuple(state[name].shape) for name, theirs in names.items()}
    assert shapes == shapes_of(FIXTURES, source, member)
    assert len(names) == len(shapes) > 300


@pytest.mark.parametrize(("source", "member"), EVERY_NETWORK)
def test_the_tables_say_what_the_packages_say(source: str, member: str) -> None:
    its, said = SOURCES[source], FIXTURES["networks"][source][member]
    release, found = its.release_of(member, "weights.pth")
    assert not found
    size, crop = release.sizes[member]
    mean, std = NORMALISATIONS[release.normalisation]
    ours = {"bn_eps": its.eps_of(member), "padding": its.padding, "image_size": size}
    ours |= {"crop": crop, "mean": list(mean), "std": list(std)}
    assert {key: value for key, value in said.items() if key != "logits"} == {
        key: ours[key] for key in said if key != "logits"
    }
    assert {"bn_eps", "padding", "image_size"} <= said.keys()


@pytest.mark.parametrize(
    ("source", "member", "file", "normalisation", "said"),
    [
        ("timm_tf", "b0", "tf_efficientnet_b0_ap-f262efe1.pth", "inception", True),
        ("timm_tf", "b0", "tf_efficientnet_b0_ns-c0e6a31c.pth", "imagenet", True),
        ("timm_tf", "b0", "tf_efficientnet_b0-0af12548.pth", "imagenet", True),
        ("timm_tf", "b0", "model.safetensors", "imagenet", False),
        ("timm", "b1", "efficientnet_b1.ra4_e3600_r240_in1k.safetensors", "inception", True),
        ("timm", "b1", "efficientnet_b1-533bc792.pth", "imagenet", True),
        ("timm", "b4", "efficientnet_b4_ra2_320-7eb33cd5.pth", "imagenet", True),
        ("efficientnet_pytorch", "b3", "adv-efficientnet-b3-cdd7c0f4.pth", "inception", True),
        ("efficientnet_pytorch", "b3", "efficientnet-b3-5fb5a3c3.pth", "imagenet", True),
    ],
)
def test_names_of_released_files_say_how_images_are_normalised(
    source: str, member: str, file: str, normalisation: str, said: bool
) -> None:
    release, found = SOURCES[source].release_of(member, file)
    assert (release.normalisation, found) == (normalisation, said)


@st.composite
def networks(draw: st.DrawFn) -> Architecture:
    """Networks of EfficientNet's skeleton."""
    stages = tuple(
        Stage(
            channels=8 * draw(st.integers(1, 4)),
            repeats=draw(st.integers(1, 3)),
            expansion=draw(st.sampled_from((1, 3, 6))),
            kernel=draw(st.sampled_from((3, 5))),
            se_ratio=draw(st.sampled_from((0.0, 0.25))),
        )
        for _ in range(draw(st.integers(1, 4)))
    )
    return Architecture(image_size=32, stem=Stem(channels=8), stages=stages, head=Head(channels=16))


@given(networks(), st.sampled_from(sorted(NAMINGS)))
@settings(max_examples=25, deadline=None)
def test_names_are_one_to_one_and_tell_naming_and_depth(architecture: Architecture, naming: str) -> None:
    with torch.device("meta"):
        state = architecture.build(7).state_dict()
    names = tensor_names(architecture, NAMINGS[naming], state)
    back = {theirs: name for name, theirs in names.items()}
    assert {back[names[name]] for name in state} == set(state)
    assert len(back) == len(state)
    assert NAMINGS[naming].depth(back) == architecture.depth
    assert [name for name, other in NAMINGS.items() if other.holds(back)] == [naming]


# --- outputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "member"),
    [
        ("torchvision", "b0"),
        ("torchvision", "b5"),  # the first with the other epsilon
        ("timm", "b0"),
        ("timm_tf", "b0"),
        ("efficientnet_pytorch", "b0"),
    ],
)
def test_outputs_are_those_of_the_package(tmp_path: Path, source: str, member: str) -> None:
    expected = torch.tensor(FIXTURES["networks"][source][member]["logits"])
    assert 0.5 < expected.std() < 50.0  # neither constant nor beyond what floats can tell apart
    assert relative_difference(expected[0], expected[1]) > 0.01
    state = state_of(source, member)
    save_file(state, tmp_path / "weights.safetensors")
    found = read_pretrained(tmp_path / "weights.safetensors", source=source)
    assert (found.unused, found.fresh, found.taken) == ((), (), len(state))
    assert relative_difference(logits_of(found.model), expected) < TOLERANCE


@pytest.mark.parametrize("source", SOURCES)
def test_another_epsilon_or_padding_would_be_another_function(source: str) -> None:
    expected = torch.tensor(FIXTURES["networks"][source]["b0"]["logits"])
    right, state = network_of(source, "b0"), state_of(source)
    other_eps = replace(right, bn_eps=1e-3 if right.bn_eps == 1e-5 else 1e-5)
    other_padding = replace(right, padding="same" if right.padding == "symmetric" else "symmetric")
    for wrong in (other_eps, other_padding):
        assert relative_difference(logits_of(ours_of(wrong, source, state)), expected) > 1e-3


@pytest.mark.skipif(not HAVE_TIMM, reason=WITHOUT_TIMM)
@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnet_b0"])
def test_outputs_are_those_of_the_timm_that_is_here(tmp_path: Path, name: str) -> None:
    with importable_timm():
        import timm

        theirs = timm.create_model(name).eval()
        state = seeded_state({name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()})
        theirs.load_state_dict(state)
        expected = logits_of(theirs)
    path = tmp_path / f"{name}.pth"
    torch.save(state, path)
    assert relative_difference(logits_of(read_pretrained(path).model), expected) < TOLERANCE


# --- whose a file is ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def timms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `timm_file`."""
    return timm_file(tmp_path_factory.mktemp("timm"))


def test_timms_two_networks_are_never_guessed(timms: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="say --source timm or --source timm_tf, or put the hub's config"):
        read_pretrained(timms)
    plain = read_pretrained(timms, source="timm")
    assert (plain.architecture.bn_eps, plain.architecture.padding) == (1e-5, "symmetric")
    tf = read_pretrained(linked(timms, tmp_path / "tf_efficientnet_b0_ap-f262efe1.safetensors"))
    assert (tf.architecture.bn_eps, tf.architecture.padding) == (1e-3, "same")
    assert (tf.source.name, tf.preparation.mean) == ("timm_tf", (0.5, 0.5, 0.5))
    assert tf.recognised == "by the file's name: tf_efficientnet_b0"
    for name in (
        "tf-efficientnet_b0.pth",
        "tf.efficientnet_b0_ap.pth",
        "efficientnet_b0_tf.pth",
        "mytf_efficientnet_b0.pth",
        "tensorflow_efficientnet_b0.pth",
        "efficientnet_b0_of_TF.pth",
        "tf_efficientnet_b0_as_efficientnet_b0.pth",
    ):
        path = linked(timms, tmp_path / Path(name).with_suffix(".safetensors").name)
        with pytest.raises(InputError, match="say --source timm or --source timm_tf, or put the hub's conf"):
            read_pretrained(path)


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("tf_efficientnet_b0-0af12548", "efficientnet_b0.ra_in1k"),
        ("efficientnet_b0_ra-3dd342df", "tf_efficientnet_b0"),
        ("efficientnet_b0_tf", "efficientnet_b0"),
        ("tf_efficientnet_b3", "tf_efficientnet_b0"),
    ],
)
def test_a_config_that_contradicts_the_files_name_decides_nothing(
    timms: Path, tmp_path: Path, name: str, of: str
) -> None:
    path = linked(timms, tmp_path / f"{name}.safetensors")
    config(tmp_path, of)
    with pytest.raises(InputError, match="and its own name says .*; say --source timm or --source timm_tf$"):
        read_pretrained(path)


def test_a_config_that_agrees_with_the_files_name_decides(timms: Path, tmp_path: Path) -> None:
    path = linked(timms, tmp_path / "tf_efficientnet_b0.ns_jft_in1k.safetensors")
    config(tmp_path, "tf_efficientnet_b0.ns_jft_in1k")
    assert read_pretrained(path).recognised == "by config.json beside it: tf_efficientnet_b0"
    config(tmp_path, "efficientnet_b0")
    assert read_pretrained(path, source="timm").recognised == "given, and its tensors are named so"


@pytest.mark.parametrize(
    "document",
    [
        {"architecture": "resnet50", "pretrained_cfg": {"input_size": "?"}},
        {"architecture": "tf_efficientnet_lite0"},
        {"architecture": "efficientnet_b8", "crop_pct": -1},
        {"architectures": ["ViTForImageClassification"]},
        ["efficientnet_b0"],
    ],
)
def test_a_config_of_no_efficientnet_is_passed_over(tmp_path: Path, document: Any) -> None:
    (tmp_path / "config.json").write_text(json.dumps(document))
    found, why = read_hub_config(tmp_path / "efficientnet_b0.safetensors")
    assert found is None
    assert why.startswith("config.json beside it ")


@pytest.mark.parametrize("source", [None, "timm"])
def test_a_config_that_is_passed_over_is_a_note(timms: Path, tmp_path: Path, source: str | None) -> None:
    config(tmp_path, "resnet50", crop_pct=-1)
    found = read_pretrained(linked(timms, tmp_path / "efficientnet_b0.safetensors"), source=source)
    assert (found.source.name, found.architecture.image_size) == ("timm", 224)
    of = "config.json beside it is of resnet50, and not of a timm EfficientNet-B0 to B7"
    assert f"{of}; it was passed over" in found.notes


def test_the_hubs_config_says_which_network_and_how_images_are_prepared(timms: Path, tmp_path: Path) -> None:
    path = linked(timms, tmp_path / "model.safetensors")
    config(tmp_path)
    found = read_pretrained(path)
    assert (found.source.name, found.architecture.image_size) == ("timm_tf", 192)
    images = found.preparation
    assert (images.crop, images.mean, images.std, images.by) == (0.9, (0.4,) * 3, (0.3,) * 3, "config.json")
    found = read_pretrained(path, source="timm", image_size=96, normalisation="inception")
    assert (found.source.name, found.architecture.image_size, found.preparation.std) == (
        "timm",
        96,
        (0.5,) * 3,
    )
    assert "config.json beside it is of tf_efficientnet_b0; it was passed over" in found.notes
    config(tmp_path, "tf_efficientnet_b3")
    with pytest.raises(
        InputError, match="is of tf_efficientnet_b3, and the file's shapes are of efficientnet_b0"
    ):
        read_pretrained(path)
    config(tmp_path, std=[0.0] * 3)
    with pytest.raises(InputError, match="std must be above 0"):
        read_pretrained(path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="say --source timm"):
        read_pretrained(path)


def test_files_as_trainings_leave_them_are_unwrapped(tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in state_of("torchvision").items()}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {}}, tmp_path / "w.pth")
    tensors, notes = read_tensors(tmp_path / "w.pth")
    assert tensors.keys() == state_of("torchvision").keys()
    assert notes[0] == "the tensors lay under 'state_dict', beside 'epoch', 'optimizer'"
    assert "'module.'" in notes[1]


def changed(source: str, **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """A state with tensors replaced, or left out where None; ``__`` is a dot."""
    state: dict[str, Any] = state_of(source) | {name.replace("__", "."): t for name, t in changes.items()}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


def read_changed(tmp_path: Path, state: dict[str, torch.Tensor], **options: Any) -> Pretrained:
    save_file(state, tmp_path / "w.safetensors")
    return read_pretrained(tmp_path / "w.safetensors", source="efficientnet_pytorch", **options)


def test_what_is_left_over_is_named_in_both_directions(tmp_path: Path) -> None:
    whole = state_of("efficientnet_pytorch")
    old = {name: t for name, t in whole.items() if not name.endswith("num_batches_tracked")}
    found = read_changed(tmp_path, {**old, "_aux.weight": torch.ones(2)})
    assert found.unused == ("_aux.weight",)
    assert len(found.fresh) == 49
    assert "num_batches_tracked of 49 batch norms is not in the file, and was set to 0" in found.notes
    headless = changed("efficientnet_pytorch", _fc__weight=None, _fc__bias=None)
    with pytest.raises(InputError, match="has no classifier; --num-classes N gives it one"):
        read_changed(tmp_path, headless)
    found = read_changed(tmp_path, headless, num_classes=10)
    assert found.fresh == ("classifier.weight", "classifier.bias")
    assert found.model.classifier.weight.shape == (10, 1280)
    assert not found.model.classifier.weight.any()
    assert any("THE FILE HAS NO CLASSIFIER" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"_blocks__3___bn1__bias": None}, {}, "lacks _blocks.3._bn1.bias of efficientnet-b"),
        ({"_blocks__3___bn1__bias": torch.ones(3)}, {}, "_blocks.3._bn1.bias is .3,., and .144,. in"),
        ({"_bn0__bias": torch.full((32,), float("nan"))}, {}, "_bn0.bias holds values that are no finite"),
        ({"_bn0__bias": torch.ones(32, dtype=torch.int8)}, {}, "_bn0.bias holds int8, and not floats"),
        ({"_bn0__running_var": torch.full((32,), -1e-3)}, {}, "_bn0.running_var holds negative values"),
        ({"_fc__weight": torch.ones(0, 1280)}, {}, "_fc.weight is .0, 1280., and a classifier has a row"),
        ({"_fc__weight": torch.tensor(1.0)}, {}, "_fc.weight is .., and a classifier has a row"),
        ({"_conv_stem__weight": torch.ones(32, 0, 3, 3)}, {}, "_conv_stem.weight is .32, 0, 3, 3., and"),
        (
            {"_conv_head__weight": torch.ones(8, 320, 1, 1)},
            {},
            "none of EfficientNet-B0 to B7 has a stem of 32",
        ),
        ({"_conv_stem__weight": torch.ones(32, 1, 3, 3)}, {}, "is of images with 1 channels"),
        ({}, {"num_classes": 7}, "has a classifier of 1000 classes"),
        ({}, {"architecture": REFERENCES["efficientnet_b1"]()}, "has 16 blocks, and efficientnet_b1 has 23"),
        (
            {},
            {"architecture": REFERENCES["resnet_50"]()},
            "resnet_50: no pretrained weights are named for it",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_an_error(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read_changed(tmp_path, changed("efficientnet_pytorch", **changes), **options)


def test_tensors_without_their_values_are_an_error(tmp_path: Path) -> None:
    path, name = tmp_path / "w.pth", "_conv_head.weight"
    for tensor, words in (
        (torch.empty(1280, 320, 1, 1, device="meta"), "has a shape and no values"),
        (torch.zeros(1280, 320, 1, 1).to_sparse(), "is a tensor of layout sparse_coo; save it as a dense"),
    ):
        torch.save(state_of("efficientnet_pytorch") | {name: tensor}, path)
        with pytest.raises(InputError, match=f"w.pth: {name} {words}"):
            read_pretrained(path)


@pytest.mark.parametrize(
    "changes",
    [{"activation": "relu"}, {"stem": Stem(channels=32, stride=1)}, {"image_size": 96, "dropout": 0.0}],
)
def test_a_network_of_the_same_tensors_may_be_another(tmp_path: Path, changes: dict[str, Any]) -> None:
    given = replace(REFERENCES["efficientnet_b0"](), **changes)
    found = read_changed(tmp_path, state_of("efficientnet_pytorch"), architecture=given)
    another = not changes.keys() <= {"image_size", "dropout"}
    assert (found.network is None) == another
    assert (found.title == "a network named as EfficientNet-PyTorch's") == another
    assert any("how its images were prepared is not known" in note for note in found.notes) == another


def test_a_network_that_is_none_of_b0_to_b7_is_given(tmp_path: Path) -> None:
    stages = (Stage(channels=8, repeats=2, se_ratio=0.25), Stage(channels=16, expansion=3, stride=2))
    mine = Architecture(
        name="mine", image_size=32, stem=Stem(channels=8), stages=stages, head=Head(channels=24)
    )
    with torch.random.fork_rng(devices=[]):
        state = mine.build(5).state_dict()
    names = tensor_names(mine, NAMINGS["timm"], state)
    save_file({names[name]: tensor for name, tensor in state.items()}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="a stem of 8 channels, 3 blocks and a head of 24"):
        read_pretrained(tmp_path / "w.safetensors", source="timm_tf")
    found = read_pretrained(tmp_path / "w.safetensors", source="timm_tf", architecture=mine)
    assert (found.architecture.bn_eps, found.architecture.padding, found.num_classes) == (1e-3, "same", 5)
    assert "how its images were prepared is not known" in found.notes[0]
