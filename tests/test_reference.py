"""The published networks, exact to the last parameter."""

import pytest

from search_space import Architecture, InputError, cost, load_architecture, load_space

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


def test_the_efficientnet_space_does_not_hold_b1() -> None:
    assert not load_space("efficientnet").contains(load_architecture("efficientnet_b1"))


def test_b0_comes_back_from_its_file(tmp_path) -> None:
    b0: Architecture = load_architecture("efficientnet_b0")
    b0.save(tmp_path / "b0.yaml")
    assert load_architecture(tmp_path / "b0.yaml") == b0
