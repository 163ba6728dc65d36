"""Published networks in spaces for other images."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import load_architecture
from search_space import (
    REFERENCES,
    Architecture,
    Decision,
    FieldError,
    Frame,
    SearchSpace,
    adapt,
    adapt_to_space,
    cost,
    frame_of,
    load_space,
    preset_names,
)

THREE = ["efficientnet_b0", "mnasnet_a1", "mobilenet_v2"]


@pytest.mark.parametrize(
    ("preset", "strides", "changes"),
    [
        ("accel-nasbench", (1, 2, 2, 2, 1, 2, 1), ()),
        ("cifar", (1, 1, 2, 2, 1, 2, 1), ("32 pixels", "stem stride 1", "stride 1 instead of 2 in stage 2")),
        ("digits", (1, 1, 1, 2, 1, 2, 1), ("32 pixels", "stride 1 instead of 2 in stages 2 and 3")),
        ("efficientnet", (1, 2, 2, 2, 1, 2, 1), ()),
        ("mnasnet", (1, 2, 2, 2, 1, 2, 1), ()),
        ("tiny-imagenet", (1, 2, 2, 2, 1, 2, 1), ("64 pixels", "stem stride 1")),
    ],
)
def test_b0_is_fitted_to_every_preset(
    preset: str, strides: tuple[int, ...], changes: tuple[str, ...]
) -> None:
    published = load_architecture("efficientnet_b0")
    network, words = adapt_to_space(published, load_space(preset))
    assert (tuple(stage.stride for stage in network.stages), words) == (strides, changes)
    # nothing else is changed
    stages = tuple(
        replace(stage, stride=old.stride) for stage, old in zip(network.stages, published.stages, strict=True)
    )
    stem = replace(network.stem, stride=2)
    assert replace(network, stages=stages, stem=stem, image_size=224) == published


def test_every_preset_has_a_case_above() -> None:
    assert preset_names() == ["accel-nasbench", "cifar", "digits", "efficientnet", "mnasnet", "tiny-imagenet"]


def test_b0_in_the_cifar_preset_is_one_of_its_networks() -> None:
    space = load_space("cifar")
    network, _ = adapt_to_space(load_architecture("efficientnet_b0"), space)
    assert [stage.stride for stage in network.stages] == [s.stride for s in space.skeleton.stages]
    assert (network.stem.stride, network.image_size) == (1, 32)
    assert cost(network, 10, 3) == (116_167_168, 4_020_358)
    assert space.contains(network)


def test_the_max_pool_of_a_stem_goes_first() -> None:
    network, words = adapt_to_space(load_architecture("resnet_50"), load_space("cifar"))
    assert (network.stem.pool, [stage.stride for stage in network.stages]) == ("none", [1, 2, 2, 2])
    assert words == ("32 pixels", "stem stride 1", "no max-pool in the stem")


def test_a_network_that_cannot_shrink_as_much_keeps_what_it_has() -> None:
    small = load_space("digits").decode((0,) * 20)
    network, words = adapt(small, Frame(224, 2, 32))
    assert (network.total_stride, [s.stride for s in network.stages]) == (8, [2, 2, 1, 1])
    assert words == ("224 pixels",)


@settings(deadline=None, max_examples=80)
@given(
    name=st.sampled_from(sorted(REFERENCES)),
    stem=st.sampled_from([1, 2, 4]),
    halvings=st.integers(0, 7),
    pixels=st.integers(0, 40),
)
def test_the_total_reduction_is_the_spaces_where_it_can_be(
    name: str, stem: int, halvings: int, pixels: int
) -> None:
    published = REFERENCES[name]()
    frame = Frame(stem * 2**halvings + pixels, stem, stem * 2**halvings)
    network, words = adapt(published, frame)
    most = stem * published.total_stride // published.stem.stride
    assert network.total_stride == min(frame.reduction, most)
    assert (network.image_size, network.stem.stride) == (frame.image_size, stem)
    strides = [stage.stride for stage in network.stages]
    kept = sum(stride == 2 for stride in strides)
    theirs = [number for number, stage in enumerate(published.stages) if stage.stride == 2]
    assert [n for n, stride in enumerate(strides) if stride == 2] == theirs[len(theirs) - kept :]
    if network.stem.pool == "max":  # which goes first
        assert kept == len(theirs)
    assert bool(words) == (network != published)
    assert adapt(network, frame) == (network, ())


@pytest.mark.parametrize("preset", ["cifar", "digits", "tiny-imagenet"])
@pytest.mark.parametrize("name", [*THREE, "resnet_50", "mobilenet_v1"])
def test_a_fitted_network_runs_on_the_spaces_images(preset: str, name: str) -> None:
    space = load_space(preset)
    network, _ = adapt_to_space(load_architecture(name), space)
    side = space.skeleton.image_size
    with torch.no_grad():
        out = network.build(10, 3, include_top=False).eval()(torch.zeros(1, 3, side, side))
    assert out.shape == (1, network.features, *[-(-side // space.skeleton.total_stride)] * 2)


class Strides:
    """A decoder with a stage that halves or does not."""

    def decode(self, choices) -> Architecture:
        base = load_space("digits").skeleton
        first = replace(base.stages[0], stride=choices[0])
        return replace(base, stages=(first, *base.stages[1:]))

    def encode(self, architecture: Architecture):
        return (architecture.stages[0].stride, 0)


def test_a_plain_space_is_looked_at_through_what_it_decodes() -> None:
    space = SearchSpace([Decision("stride", (1, 2)), Decision("other", (0,))], Strides())
    assert frame_of(space) in (Frame(32, 2, 4), Frame(32, 2, 8))
    one = SearchSpace([Decision("stride", (2,)), Decision("other", (0, 1))], Strides())
    assert frame_of(one) == frame_of(load_space("digits")) == Frame(32, 2, 8)
    published = load_architecture("mnasnet_a1")
    assert adapt_to_space(published, one) == adapt_to_space(published, load_space("digits"))
    with pytest.raises(FieldError, match="has no decoder"):
        adapt_to_space(published, SearchSpace([Decision("a", (1,))]))
