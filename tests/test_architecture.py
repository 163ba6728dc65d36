"""Descriptions: checks, round trips, identity."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results import export
from search_space import Architecture, FieldError, Head, InputError, Stage, Stem, cost, load_architecture

STAGES = st.builds(
    Stage,
    op=st.sampled_from(["conv", "dsconv", "dsconv_act", "mbconv", "bottleneck"]),
    channels=st.integers(1, 40),
    repeats=st.integers(1, 3),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.sampled_from([1, 2]),
    expansion=st.integers(1, 6),
    se_ratio=st.sampled_from([0.0, 0.04, 0.25, 0.5, 1.0]),
    skip=st.sampled_from(["identity", "pool", "none"]),
)
ARCHITECTURES = st.builds(
    Architecture,
    name=st.one_of(
        st.sampled_from(["1e3", "on", "ünïcode: #1", "🚀", "010", "1:30", "null", "- x", "a: b"]),
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), min_size=1),
    ),
    image_size=st.integers(64, 99),
    stem=st.builds(
        Stem,
        channels=st.integers(1, 24),
        stride=st.sampled_from([1, 2]),
        pool=st.sampled_from(["none", "max"]),
    ),
    stages=st.lists(STAGES, min_size=1, max_size=4).map(tuple),
    head=st.builds(Head, channels=st.sampled_from([0, 1, 24, 64])),
    activation=st.sampled_from(["swish", "relu", "relu6"]),
    padding=st.sampled_from(["symmetric", "same"]),
    bn_eps=st.sampled_from([1e-3, 1e-5]),
    dropout=st.sampled_from([0.0, 0.2]),
    drop_path=st.sampled_from([0.0, 0.2]),
)


def small(**changes) -> Architecture:
    """A network with one stage, and what a test changes of it."""
    stage = Stage(channels=8, stride=2, expansion=2)
    base = {"image_size": 32, "stem": Stem(channels=8), "stages": (stage,), "head": Head(channels=16)}
    return Architecture(**{**base, **changes})


@given(ARCHITECTURES)
def test_dict_and_json_round_trips_are_exact(architecture: Architecture) -> None:
    data = json.loads(json.dumps(architecture.to_dict()))
    assert Architecture.from_dict(data) == architecture
    assert Architecture.from_dict(data).key == architecture.key


@given(ARCHITECTURES)
def test_exported_json_comes_back_through_the_loader(tmp_path_factory, architecture: Architecture) -> None:
    path = tmp_path_factory.mktemp("json") / "network.json"
    export(architecture, path)
    assert load_architecture(path) == architecture


@given(ARCHITECTURES)
def test_yaml_round_trip_is_exact(tmp_path_factory, architecture: Architecture) -> None:
    path = tmp_path_factory.mktemp("yaml") / "network.yaml"
    architecture.save(path)
    assert load_architecture(path) == architecture


def test_key_ignores_what_does_not_change_the_network() -> None:
    network = small()
    assert replace(network, name="other", dropout=0.5, drop_path=0.0).key == network.key
    # one strided layer has no skip to choose
    assert small(stages=(Stage(channels=8, stride=2, expansion=2, skip="none"),)).key == network.key


def test_padding_counts_only_where_a_kernel_meets_a_stride() -> None:
    flat = {"stem": Stem(channels=8, stride=1), "stages": (Stage(channels=8, expansion=2),)}
    assert small(**flat).key == small(**flat, padding="same").key
    pixel = {"stem": Stem(channels=8, kernel=1), "stages": (Stage(channels=8, kernel=1, stride=2),)}
    assert small(**pixel).key == small(**pixel, padding="same").key


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": 33},
        {"activation": "relu"},
        {"bn_eps": 1e-5},
        {"padding": "same"},
        {"stem": Stem(channels=9)},
        {"head": Head(channels=17)},
        {"stages": (Stage(channels=8, stride=2, expansion=3),)},
        {"stages": (Stage(channels=8, stride=2, expansion=2, kernel=5),)},
        {"stages": (Stage(channels=8, stride=2, expansion=2, se_ratio=0.25),)},
        {"stages": (Stage(channels=8, stride=2, expansion=2, repeats=2),)},
        {"stages": (Stage(channels=9, stride=2, expansion=2),)},
        {"stages": (Stage(channels=8, stride=1, expansion=2),)},
    ],
)
def test_key_changes_with_the_network(changes) -> None:
    assert small(**changes).key != small().key


def test_the_key_is_stable_across_versions() -> None:
    # runs and caches are found by it: a change of the key's recipe must be deliberate
    assert load_architecture("efficientnet_b0").key.startswith("bac710d26cee2b46")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"stages": [{"chanels": 8}]}, r"stages\[0\].chanels is an unknown key; did you mean channels\?"),
        ({"stages": [{"channels": 8, "stride": 3}]}, r"stages\[0\].stride must be 1 or 2, got 3"),
        ({"stages": [{"channels": True}]}, r"stages\[0\].channels must be a whole number, got True"),
        (
            {"stages": [{"channels": 8, "se_ratio": 2}]},
            r"stages\[0\].se_ratio must be between 0 and 1, got 2",
        ),
        (
            {"stages": [{"channels": 8, "se_ratio": float("nan")}]},
            "se_ratio must be between 0 and 1, got nan",
        ),
        ({"stages": [{}]}, r"stages\[0\].channels is missing"),
        ({"stages": []}, "stages must hold at least one stage"),
        ({"stages": "ab"}, "stages must be a list"),
        ({"image_size": 1}, "image_size must be at least the total stride, 2, got 1"),
        ({"format": 7}, "format must be 1, got 7: a file of another version"),
        ({"stages": [{"channels": 8, "kernel": 3.0}]}, r"stages\[0\].kernel must be 1 or 3 or .*, got 3.0"),
        ({"stem": 3}, "stem must hold keys and values"),
        ({"activation": "gelu"}, "activation must be swish or relu or relu6, got 'gelu'"),
    ],
)
def test_a_broken_description_says_what_is_wrong(data, message: str) -> None:
    good = {
        "image_size": 32,
        "stem": {"channels": 8},
        "stages": [{"channels": 8}],
        "head": {"channels": 16},
    }
    with pytest.raises(FieldError, match=message):
        Architecture.from_dict({**good, **data})


def test_errors_in_a_file_name_file_and_line(tmp_path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        "image_size: 32\nstem: {channels: 8}\nstages:\n"
        "  - {channels: 8}\n  - {channels: 0}\nhead: {channels: 4}\n"
    )
    with pytest.raises(
        InputError, match=r"net.yaml:5: stages\[1\].channels must be between 1 and 65536, got 0"
    ):
        load_architecture(path)


def test_cost_depends_on_classes_and_channels() -> None:
    ten, eleven = cost(small(), num_classes=10), cost(small(), num_classes=11)
    assert (eleven.macs - ten.macs, eleven.params - ten.params) == (16, 17)
    assert cost(small(), in_channels=1).params == cost(small()).params - 2 * 9 * 8
