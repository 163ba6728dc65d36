"""Spaces: decisions, presets, files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space import Decision, FieldError, InputError, SearchSpace, load_space, preset_names
from search_space.errors import suggestion

PRESETS = preset_names()


@pytest.mark.parametrize("preset", PRESETS)
def test_encode_undoes_decode(preset: str) -> None:
    space, rng = load_space(preset), np.random.default_rng(0)
    for _ in range(300):
        indices = space.random(rng)
        architecture = space.decode(indices)
        assert space.decode(space.encode(architecture)).key == architecture.key
        if preset != "mnasnet":  # where several points build one network, any of them will do
            assert space.encode(architecture) == indices


def test_multipliers_that_round_to_one_width_are_one_choice() -> None:
    decisions = {d.name: d.choices for d in load_space("efficientnet").decisions}
    assert decisions["stage1.filters"] == (16, 24)  # 12.8 and 16 round to 16, 19.2 to 24
    assert decisions["stage6.filters"] == (128, 160, 192)  # B0 has 192
    assert decisions["stage1.layers"] == (1, 2)
    assert decisions["stage4.layers"] == (3, 4, 5)
    assert decisions["stage3.op"] == ("mbconv1", "mbconv3", "mbconv6")


def test_size_counts_the_points() -> None:
    space = SearchSpace([Decision("a", (1, 2)), Decision("b", ("x", "y", "z"))])
    assert space.size == 6
    assert load_space("efficientnet").size == 12**7 * (2 * 2 * 3**5) * (2 * 3**5 * 2)  # op, filters, layers


@given(st.integers(0, 2**31 - 1))
def test_random_points_are_legal(seed: int) -> None:
    space = load_space("digits")
    space.choices(space.random(np.random.default_rng(seed)))


def test_a_space_without_a_decoder_serves_controllers_only() -> None:
    space = SearchSpace(decisions=[Decision("op0", ("identity", "k3e3", "k5e6"))])
    assert space.choices((2,)) == ("k5e6",)
    with pytest.raises(FieldError, match="has no decoder"):
        space.decode((0,))


@pytest.mark.parametrize(
    ("indices", "message"),
    [((0,), "indices must number 2, got 1"), ((0, 3), "indices.b must be between 0 and 2, got 3")],
)
def test_wrong_indices_are_refused(indices, message: str) -> None:
    space = SearchSpace([Decision("a", (1, 2)), Decision("b", ("x", "y", "z"))])
    with pytest.raises(FieldError, match=message):
        space.choices(indices)


def test_wrong_decisions_are_refused() -> None:
    with pytest.raises(FieldError, match="at least one choice"):
        Decision("a", ())
    with pytest.raises(FieldError, match="different choices"):
        Decision("a", (1, 1))
    with pytest.raises(FieldError, match="different names"):
        SearchSpace([Decision("a", (1,)), Decision("a", (2,))])
    with pytest.raises(FieldError, match="at least one decision"):
        SearchSpace([])


def test_encode_says_where_an_architecture_leaves_the_space() -> None:
    space = load_space("digits")
    inside = space.decode([0] * len(space.decisions))
    from dataclasses import replace

    wider = replace(inside, stages=(replace(inside.stages[0], channels=17), *inside.stages[1:]))
    with pytest.raises(FieldError, match=r"stage1.filters must be one of 16, 24, got 17"):
        space.encode(wider)
    with pytest.raises(FieldError, match="holds fixed"):
        space.encode(replace(inside, image_size=64))


SPACE = """name: mine
image_size: 32
stem: {channels: 8}
head: {channels: 32}
stages:
  - {channels: 8, stride: 2, repeats: 1}
  - {channels: 16, stride: 2, repeats: 2, choices: {kernel: [7]}}
choices:
  op: [mbconv1, mbconv4]
  kernel: [3, 5]
  se_ratio: [0]
  filters: [1.0]
  layers: [0, 1]
"""


def write(tmp_path, text: str):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return path


def test_a_space_is_a_yaml_file(tmp_path) -> None:
    space = load_space(write(tmp_path, SPACE))
    assert space.size == (2 * 2 * 2) * (2 * 1 * 2)
    stage = space.decode([1] * 2 + [0] * 2 + [1] + [1] + [0] * 3 + [1]).stages[1]
    assert (stage.expansion, stage.kernel, stage.repeats) == (4, 7, 3)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("kernel: [3, 5]", "kernel: [3, 4]", r"space.yaml:10: choices.kernel\[1\] must be 1 or 3"),
        (
            "kernel: [3, 5]",
            "kernal: [3]",
            r"space.yaml:10: choices.kernal is an unknown key; did you mean kernel",
        ),
        (
            "op: [mbconv1, mbconv4]",
            "op: [conf]",
            r"space.yaml:9: choices.op\[0\] must be mbconv with its exp",
        ),
        ("op: [mbconv1, mbconv4]", "op: [mbconv]", r"choices.op\[0\] must be mbconv with its expansion"),
        (
            "op: [mbconv1, mbconv4]",
            "op: [mbconv1]\n  skip: [pol]",
            r"choices.skip\[0\] must be identity or pool",
        ),
        ("layers: [0, 1]", "layers: 1", "space.yaml:13: choices.layers must be a list"),
        ("layers: [0, 1]", "layers: [x]", r"choices.layers\[0\] must be a whole number, got 'x'"),
        ("filters: [1.0]", "filters: [-1]", r"choices.filters\[0\] must be between"),
        (
            "repeats: 1}",
            "repeats: 0}",
            r"space.yaml:6: stages\[0\].repeats must be between 1 and 1000, got 0",
        ),
        ("image_size: 32", "image_size: 4", "space.yaml:2: image_size must be at least the total stride, 8"),
        ("kernel: [7]", "kernel: [2]", r"space.yaml:7: stages\[1\].choices.kernel\[0\] must be"),
        ("name: mine", "name: mine\nextends: nosuch", "'nosuch' is no known search space"),
        (
            "name: mine",
            "name: mine\nreference: resnet",
            "space.yaml:2: reference is 'resnet', which is no known network; did you mean resnet_50",
        ),
        ("head: {channels: 32}\n", "", "space.yaml: head is missing"),
        ("image_size: 32", "image_size: 32\nimage_size: 33", "space.yaml:3: key 'image_size' is given twice"),
        ("stem: {channels: 8}", "stem: {channels: 8", "space.yaml:4: "),
    ],
)
def test_a_broken_space_names_file_line_and_field(tmp_path, before: str, after: str, message: str) -> None:
    assert before in SPACE
    with pytest.raises(InputError, match=message):
        load_space(write(tmp_path, SPACE.replace(before, after)))


def test_unknown_presets_name_the_nearest() -> None:
    with pytest.raises(InputError, match="'digts' is no known search space; did you mean digits?"):
        load_space("digts")
    with pytest.raises(InputError, match="nowhere.yaml: no such file"):
        load_space("nowhere.yaml")
    assert suggestion("zzz", ["a", "b"]) == "; known: a, b"
