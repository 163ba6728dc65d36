"""timm builds from our arguments what we build; without timm skipped, see `tests.timm_stub`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from results.exporting import timm_check
from results.exporting.timm_check import TimmCheck, compared, timm_difference
from search_space import (
    REFERENCES,
    Architecture,
    FieldError,
    Head,
    InputError,
    Stage,
    Stem,
    load_architecture,
    load_space,
    timm_arguments,
)
from tests.test_architecture import small
from tests.timm_stub import HAVE_TIMM, WITHOUT_TIMM, importable_timm

needs_timm = pytest.mark.usefixtures("timm")


def of_timm(**changes) -> Architecture:
    """A network with widths that timm keeps."""
    return small(**{"stem": Stem(channels=8), "head": Head(channels=16), **changes})


@pytest.fixture(scope="module")
def timm() -> Iterator[None]:
    """timm can be imported."""
    if not HAVE_TIMM:
        pytest.skip(WITHOUT_TIMM)
    with importable_timm():
        yield


def check(architecture: Architecture, **options) -> TimmCheck:
    return timm_difference(architecture, num_classes=10, in_channels=1, **options)


def test_without_timm_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    monkeypatch.setattr(timm_check, "imported", broken)
    found = timm_difference(of_timm())
    assert not found.agrees
    assert str(found) == "timm cannot be imported: operator torchvision::nms does not exist"


def test_timm_that_is_not_there_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert str(timm_difference(of_timm())) == "timm is not installed"


def test_without_words_for_a_network_it_says_so() -> None:
    found = timm_difference(load_architecture("resnet_50"))
    assert not found.agrees
    assert found.reason.startswith("timm cannot build it: stem cannot be said in timm's arguments")


def test_two_networks_are_compared_tensor_by_tensor() -> None:
    torch.manual_seed(0)
    ours, same = of_timm().build(5, 1), of_timm().build(5, 1)
    found = compared(ours, same, (1, 33), "0")
    assert found.agrees
    assert found.difference == 0.0
    assert str(found).startswith(f"timm 0 builds the same {found.params:,} parameters")
    assert ours.training
    wider = compared(ours, of_timm(head=Head(channels=24)).build(5, 1), (1, 33), "0")
    assert not wider.agrees
    assert wider.difference is None
    assert wider.shapes[0] == "head.0.weight (16, 8, 1, 1) is head.0.weight (24, 8, 1, 1)"
    assert "builds another network" in str(wider)
    deeper = compared(ours, of_timm(stages=(Stage(channels=8, repeats=2),)).build(5, 1), (1, 33), "0")
    assert "tensors are" in deeper.shapes[-1]


def test_another_function_of_the_same_weights_is_seen() -> None:
    relu, swish = (of_timm(activation=name).build(5, 1) for name in ("relu", "swish"))
    found = compared(relu, swish, (1, 33), "0")
    assert found.difference is not None
    assert found.difference > 0.01
    assert not found.agrees


def test_a_deep_stride_stays_a_stride_in_timm() -> None:
    assert timm_arguments(of_timm())["output_stride"] == 32
    deep = of_timm(image_size=128, stages=tuple(Stage(channels=8, stride=2) for _ in range(6)))
    assert timm_arguments(deep)["output_stride"] == 128


def test_squeezed_channels_are_rounded_as_timm_computes_them() -> None:
    # 184 * 0.6875 = 126.5, which rounds to 126; by way of 1840 * (0.6875 / 10) timm gets 127
    stages = (Stage(channels=184), Stage(channels=184, expansion=10, se_ratio=0.6875))
    with pytest.raises(FieldError, match="se_ratio of 0.6875 is rounded otherwise by timm"):
        timm_arguments(of_timm(stages=stages))


@needs_timm
@pytest.mark.parametrize(
    "name", [name for name in REFERENCES if name != "mobilenet_v1" and "resnet" not in name]
)
def test_references_are_timms(name: str) -> None:
    small_enough = name not in ("efficientnet_b5", "efficientnet_b6", "efficientnet_b7")
    found = check(load_architecture(name), image_size=64 if small_enough else 33)
    assert found.agrees, str(found)


@needs_timm
@pytest.mark.parametrize("preset", ["accel-nasbench", "digits", "efficientnet"])
def test_networks_of_a_space_are_timms(preset: str) -> None:
    space, rng = load_space(preset), np.random.default_rng(0)
    for _ in range(3):
        found = check(space.decode(space.random(rng)), image_size=33)
        assert found.agrees, str(found)


@needs_timm
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("activation", ["swish", "relu", "relu6"])
def test_every_block_that_timm_has_is_timms(padding: str, activation: str) -> None:
    stages = [
        Stage(op=op, channels=8 * (1 + i), stride=2, repeats=2, kernel=5, expansion=3, se_ratio=se, skip=skip)
        for i, (op, se, skip) in enumerate(
            [
                ("conv", 0.0, "identity"),
                ("conv", 0.0, "none"),
                ("dsconv", 0.25, "identity"),
                ("dsconv_act", 0.25, "none"),
                ("mbconv", 0.5, "identity"),
                ("mbconv", 0.0, "none"),
            ]
        )
    ]
    network = of_timm(stages=stages, padding=padding, activation=activation, image_size=128, bn_eps=1e-5)
    found = check(network)
    assert found.agrees, str(found)


@needs_timm
def test_given_weights_are_compared(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, path = of_timm().build(10, 1), tmp_path / "weights.safetensors"
    nn.init.normal_(model.classifier.bias, 3.0)
    save_file(model.state_dict(), path)
    assert check(of_timm(), weights=path).difference == check(of_timm(), weights=model).difference
    path.write_bytes(b"")
    with pytest.raises(InputError, match="weights.safetensors: cannot be loaded"):
        check(of_timm(), weights=path)
