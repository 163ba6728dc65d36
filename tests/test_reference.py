"""The published networks, exact to the last parameter."""

from dataclasses import replace

import pytest

from search_space import (
    REFERENCES,
    Architecture,
    InputError,
    Stage,
    cost,
    load_architecture,
    load_space,
    stage_table,
)

# arXiv 1905.11946, table 2, to the last digit; the pixels are the reference implementation's
FAMILY = {
    "efficientnet_b0": (224, 5_288_548),
    "efficientnet_b1": (240, 7_794_184),
    "efficientnet_b2": (260, 9_109_994),
    "efficientnet_b3": (300, 12_233_232),
    "efficientnet_b4": (380, 19_341_616),
    "efficientnet_b5": (456, 30_389_784),
    "efficientnet_b6": (528, 43_040_704),
    "efficientnet_b7": (600, 66_347_960),
}


@pytest.mark.parametrize(("name", "facts"), FAMILY.items())
def test_params_of_the_family_match_the_paper(name: str, facts: tuple[int, int]) -> None:
    architecture = load_architecture(name)
    assert architecture.image_size == facts[0]
    assert cost(architecture).params == facts[1]
    assert sum(p.numel() for p in architecture.build().parameters()) == facts[1]


def test_macs_of_b0_match_the_paper() -> None:
    assert cost(load_architecture("efficientnet_b0")).macs == 385_814_752


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("mobilenet_v1", 4_231_976, 568_740_352),
        ("mobilenet_v2", 3_504_872, 300_774_272),
        ("mnasnet_a1", 3_887_038, 311_579_072),
        ("resnet_50", 25_557_032, 4_089_184_256),
        ("resnet_152", 60_192_808, 11_513_626_624),
    ],
)
def test_the_other_references_match_their_papers(name: str, params: int, macs: int) -> None:
    architecture = load_architecture(name)
    assert cost(architecture) == (macs, params)
    assert sum(p.numel() for p in architecture.build().parameters()) == params


def test_each_reference_has_its_own_activation() -> None:
    activations = {name: load_architecture(name).activation for name in REFERENCES}
    assert {activations[name] for name in ("mobilenet_v1", "mnasnet_a1", "resnet_50", "resnet_152")} == {
        "relu"
    }
    assert activations["mobilenet_v2"] == "relu6"
    assert activations["efficientnet_b0"] == "swish"


def test_b0_in_the_papers_table_1() -> None:
    rows = [
        (r.operator, r.resolution, r.channels, r.layers)
        for r in stage_table(load_architecture("efficientnet_b0"))
    ]
    assert rows == [
        ("Conv3x3", 224, 32, 1),
        ("MBConv1, k3x3, SE 0.25", 112, 16, 1),
        ("MBConv6, k3x3, SE 0.25", 112, 24, 2),
        ("MBConv6, k5x5, SE 0.25", 56, 40, 2),
        ("MBConv6, k3x3, SE 0.25", 28, 80, 3),
        ("MBConv6, k5x5, SE 0.25", 14, 112, 3),
        ("MBConv6, k5x5, SE 0.25", 14, 192, 4),
        ("MBConv6, k3x3, SE 0.25", 7, 320, 1),
        ("Conv1x1 & Pooling & FC", 7, 1280, 1),
    ]


def test_receptive_fields_are_the_known_ones() -> None:
    # Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019
    fields = {
        name: stage_table(load_architecture(name))[-2].receptive_field
        for name in ("mobilenet_v1", "resnet_50")
    }
    pooled = load_architecture("resnet_50")
    pooled = replace(pooled, stages=(Stage(op="conv", kernel=1, channels=64, skip="pool"),))
    assert stage_table(pooled)[-2].receptive_field == 11 + 2 * 4  # pooling skips see three pixels
    assert fields == {"mobilenet_v1": 315, "resnet_50": 427}  # ResNet v1.5: its stride is in the 3x3


@pytest.mark.parametrize("spelling", ["EfficientNet-B0", "efficientnetb0", "EFFICIENTNET_B0"])
def test_reference_names_are_found_in_any_spelling(spelling: str) -> None:
    assert load_architecture(spelling).name == "efficientnet_b0"


def test_unknown_reference_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean efficientnet_b"):
        load_architecture("eficientnet_b9")


def test_the_efficientnet_space_holds_b0() -> None:
    space = load_space("efficientnet")
    b0 = load_architecture("efficientnet_b0")
    indices = space.encode(b0)
    assert space.decode(indices).key == b0.key
    assert space.contains(b0)


def test_the_mnasnet_space_holds_its_reference() -> None:
    assert load_space("mnasnet").contains(load_architecture("mobilenet_v2").renamed("x"))
    around_a1 = load_space("mnasnet", {"reference": "mnasnet_a1"})
    assert around_a1.contains(load_architecture("mnasnet_a1"))
    assert not load_space("mnasnet").contains(load_architecture("mnasnet_a1"))


def test_the_accel_nasbench_space_is_b0s_skeleton() -> None:
    space = load_space("accel-nasbench")
    assert len(space.decisions) == 28
    assert space.contains(load_architecture("efficientnet_b0"))


def test_the_efficientnet_space_does_not_hold_b1() -> None:
    assert not load_space("efficientnet").contains(load_architecture("efficientnet_b1"))


def test_b0_comes_back_from_its_file(tmp_path) -> None:
    b0: Architecture = load_architecture("efficientnet_b0")
    b0.save(tmp_path / "b0.yaml")
    assert load_architecture(tmp_path / "b0.yaml") == b0
