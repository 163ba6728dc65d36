"""Class activation maps and Grad-CAM: the formulas, and that they point at what is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.map_facts import centre_of_mass, concentration
from search_space import Architecture, Head, InputError, Stage
from search_space.network import Network
from tests.bundles import TINY
from tests.colour_network import network, squares
from trainers.activation_maps import class_activation_map, grad_cam, layer_names, layer_place

HEADLESS = replace(TINY, head=Head(channels=0), padding="same")
RESNET = replace(
    TINY,
    activation="relu",
    stages=(
        Stage(op="conv", channels=12, kernel=3, stride=2),
        Stage(op="bottleneck", channels=16, repeats=2, kernel=3, skip="identity"),
        Stage(op="dsconv_act", channels=20, kernel=5, stride=2, skip="pool"),
    ),
)
NETWORKS = {"mbconv": TINY, "without a head": HEADLESS, "others": RESNET}


def made(its: Architecture, seed: int = 0) -> tuple[Any, Tensor, Tensor]:
    """A network of 7 classes whose batch norms do something, images (4, 3, 40, 40) and classes."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = replace(its, image_size=40).build(7, 3, bn_momentum=1.0).double().train()
        with torch.no_grad():
            model(torch.randn(8, 3, 40, 40).double())
            model.classifier.bias.normal_()
        return model.eval(), torch.randn(4, 3, 40, 40).double(), torch.tensor([0, 6, 3, 3])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_mean_of_the_map_and_the_bias_are_the_logit(name: str) -> None:
    model, images, classes = made(NETWORKS[name])
    maps = class_activation_map(model, images, classes)
    with torch.no_grad():
        logits = model(images).gather(1, classes[:, None])[:, 0]
    assert maps.shape[1:] == model.forward_features(images).shape[2:]
    assert maps.shape[1] > 2
    assert maps.std((1, 2)).min() > 1e-3, "even maps would say nothing"
    assert torch.allclose(maps.mean((1, 2)) + model.classifier.bias[classes], logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_grad_cam_of_the_last_maps_is_the_positive_part_of_cam_over_its_cells(name: str) -> None:
    model, images, classes = made(NETWORKS[name])
    maps = class_activation_map(model, images, classes)
    found = grad_cam(model, images, classes)
    assert (maps < 0).any()
    assert (maps > 0).any()
    assert torch.allclose(found * maps[0].numel(), maps.relu(), rtol=0, atol=1e-12)


def hooked(model: Network, module: torch.nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM by hooks and a backward pass through the whole network, as it is usually written."""
    kept: dict[str, Tensor] = {}
    hook = module.register_forward_hook(lambda _, __, output: kept.update(maps=output))
    logits = model(images)
    hook.remove()
    kept["maps"].retain_grad()
    logits[torch.arange(len(images)), classes].sum().backward()
    slope = kept["maps"].grad
    assert slope is not None
    return (kept["maps"] * slope.mean((2, 3), keepdim=True)).sum(1).clamp(min=0).detach()


@pytest.mark.parametrize("name", NETWORKS)
def test_grad_cam_of_every_layer_is_the_papers(name: str) -> None:
    model, images, classes = made(NETWORKS[name])
    its = model.architecture
    repeats = [stage.repeats for stage in its.stages]
    last = {f"stage{number + 1}": sum(repeats[: number + 1]) - 1 for number in range(len(repeats))}
    modules = {"stem": model.stem, **{stage: model.blocks[block] for stage, block in last.items()}}
    modules |= {f"blocks.{number}": block for number, block in enumerate(model.blocks)}
    assert {*layer_names(its)} - {"head"} <= modules.keys()
    for layer, module in modules.items():
        expected = hooked(model, module, images, classes)
        assert expected.max() > 0, layer
        assert torch.allclose(grad_cam(model, images, classes, layer), expected, rtol=1e-9, atol=1e-12), layer


def test_a_map_is_the_same_whatever_else_is_in_the_batch() -> None:
    model, images, classes = made(TINY)
    for maps in (class_activation_map, lambda *given: grad_cam(*given, layer="stage1")):
        together = maps(model, images, classes)
        for number in range(len(images)):
            alone = maps(model, images[number : number + 1], classes[number : number + 1])
            assert torch.allclose(together[number], alone[0], rtol=0, atol=1e-12)


def test_nothing_of_the_network_is_changed() -> None:
    model, images, classes = made(TINY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():  # as callers may have it
        grad_cam(model, images, classes, "stem")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@given(repeats=st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_a_stage_is_its_last_block_and_layers_come_in_order(repeats: list[int]) -> None:
    its = replace(TINY, stages=tuple(Stage(op="conv", channels=8, repeats=number) for number in repeats))
    places = [layer_place(its, layer) for layer in layer_names(its)]
    assert places == sorted(set(places))
    assert places[0] == 1
    assert places[-1] == sum(repeats) + 2  # stem, blocks, head
    for number in range(len(repeats)):
        block = f"blocks.{sum(repeats[: number + 1]) - 1}"
        assert layer_place(its, f"stage{number + 1}") == layer_place(its, block)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("stage9", "has no layer 'stage9'; did you mean stage"),
        ("x", "has no layer 'x'; known: stem, stage1, stage2, head"),
        ("blocks.3", "has no layer 'blocks.3'; its blocks are blocks.0 to blocks.2"),
        ("blocks", "its blocks are blocks.0 to blocks.2"),
    ],
)
def test_a_layer_that_is_not_there_is_named_with_those_that_are(layer: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        layer_place(TINY, layer)
    assert words in str(caught.value)


# --- what is planted is found ------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    red=st.tuples(st.integers(0, 24), st.integers(0, 10)),
    green=st.tuples(st.integers(0, 24), st.integers(22, 24)),
)
def test_maps_peak_where_the_object_of_their_class_is(red: tuple[int, int], green: tuple[int, int]) -> None:
    model = network()
    pixels = squares({"red": red, "green": green})
    images = torch.from_numpy(pixels).float().permute(2, 0, 1)[None] / 255.0
    for label, (row, column) in enumerate((red, green)):
        classes = torch.tensor([label])
        for maps in (
            class_activation_map(model, images, classes),
            grad_cam(model, images, classes),
            grad_cam(model, images, classes, "stem"),
        ):
            found = maps[0].numpy()
            assert found.shape == (16, 16)
            peak_row, peak_column = np.unravel_index(found.argmax(), found.shape)
            assert row - 1 <= 2 * peak_row <= row + 8  # a cell is two pixels and sees three
            assert column - 1 <= 2 * peak_column <= column + 8
            centre = centre_of_mass(found)
            assert centre is not None
            assert 32 * centre[0] == pytest.approx(column + 4, abs=1.5)
            assert 32 * centre[1] == pytest.approx(row + 4, abs=1.5)
            assert concentration(found) == pytest.approx(1.0)  # 8x8 of 32x32 pixels are less than a fifth
    blue = class_activation_map(model, images, torch.tensor([2]))
    assert concentration(blue[0].numpy()) is None
    assert centre_of_mass(blue[0].numpy()) is None


# --- the numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "share"),
    [
        (np.ones((7, 9)), 0.2),
        (np.ones((2, 2)), 0.2),
        (np.eye(1), 0.2),
        (np.diag([1.0, 0.0]), 0.8),  # a fifth of four cells is 0.8 of one
        (np.diag([1.0] * 10), 1.0),
        (np.array([[4.0, 1.0, 1.0, 1.0, 1.0, -9.0, -9.0, -9.0, -9.0, -9.0]]), 5 / 8),
    ],
)
def test_the_concentration_of_maps_that_are_known(values: np.ndarray, share: float) -> None:
    assert concentration(values.astype(np.float32)) == pytest.approx(share)


@given(
    values=st.lists(st.floats(-1, 1, width=32), min_size=12, max_size=12),
    times=st.integers(1, 4),
    factor=st.floats(0.125, 8),
)
def test_the_numbers_do_not_depend_on_the_scale_or_on_how_finely_the_cells_are_cut(
    values: list[float], times: int, factor: float
) -> None:
    plain = np.array(values, np.float32).reshape(3, 4)
    plain[np.abs(plain) < 1e-6] = 0.0
    finer = np.kron(plain * np.float32(factor), np.ones((times, times), np.float32))
    if (plain <= 0).all():
        assert (concentration(finer), centre_of_mass(finer)) == (None, None)
        return
    share = concentration(plain)
    assert 0.2 - 1e-9 <= share <= 1.0 + 1e-9
    assert concentration(finer) == pytest.approx(share, rel=1e-5)
    assert centre_of_mass(finer) == pytest.approx(centre_of_mass(plain), rel=1e-5)
