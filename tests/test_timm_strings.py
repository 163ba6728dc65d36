"""timm's block strings, both ways."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from search_space import (
    FieldError,
    Stage,
    load_architecture,
    load_space,
    stages_from_timm,
    timm_arguments,
    to_timm,
)
from search_space.timm_strings import stage_from_timm, stage_to_timm
from tests.test_architecture import STAGES, small

# timm/models/efficientnet.py, _gen_efficientnet
TIMM_B0 = [
    ["ds_r1_k3_s1_e1_c16_se0.25"],
    ["ir_r2_k3_s2_e6_c24_se0.25"],
    ["ir_r2_k5_s2_e6_c40_se0.25"],
    ["ir_r3_k3_s2_e6_c80_se0.25"],
    ["ir_r3_k5_s1_e6_c112_se0.25"],
    ["ir_r4_k5_s2_e6_c192_se0.25"],
    ["ir_r1_k3_s1_e6_c320_se0.25"],
]
# timm/models/efficientnet.py, _gen_mnasnet_a1
TIMM_A1 = [
    ["ds_r1_k3_s1_e1_c16_noskip"],
    ["ir_r2_k3_s2_e6_c24"],
    ["ir_r3_k5_s2_e3_c40_se0.25"],
    ["ir_r4_k3_s2_e6_c80"],
    ["ir_r2_k3_s1_e6_c112_se0.25"],
    ["ir_r3_k5_s2_e6_c160_se0.25"],
    ["ir_r1_k3_s1_e6_c320"],
]


def test_b0_is_timms_arch_def() -> None:
    b0 = load_architecture("efficientnet_b0")
    assert to_timm(b0) == TIMM_B0
    assert replace(b0, stages=stages_from_timm(TIMM_B0)).key == b0.key


def test_timms_mnasnet_a1_is_ours() -> None:
    a1 = load_architecture("mnasnet_a1")
    assert replace(a1, stages=stages_from_timm(TIMM_A1)).key == a1.key


def timm_has_it(stage: Stage) -> bool:
    return (
        stage.op != "bottleneck"
        and stage.skip != "pool"
        and (stage.op, stage.skip) != ("dsconv_act", "identity")
    )


@given(STAGES.filter(timm_has_it))
def test_a_stage_comes_back_as_the_same_blocks(stage: Stage) -> None:
    for in_channels in (stage.channels, stage.channels + 1):
        assert stage_from_timm(stage_to_timm(stage)).blocks(in_channels) == stage.blocks(in_channels)


@pytest.mark.parametrize("preset", ["efficientnet", "accel-nasbench", "digits"])
def test_networks_of_a_space_come_back(preset: str) -> None:
    space, rng = load_space(preset), np.random.default_rng(0)
    for _ in range(50):
        network = space.decode(space.random(rng))
        assert replace(network, stages=stages_from_timm(to_timm(network))).key == network.key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ir_r2_k3_s2_e6_c24_sx0.25", "has an option that is not known: 'sx0.25'"),
        ("ir_r2_k3_s2_e6_c24_se0,25", "not known: 'se0,25'"),
        ("ir_r2_k3_s2_e6_c24_se2", "not known: 'se2'"),
        ("ir_r2_k3_s2_e6_c24_", "not known: ''"),
        ("ir_r2_k3_s2_e6_r3_c24", "gives r twice"),
        ("ir_r2_k3_s2_c24", "lacks e"),
        ("ir_k3_s2_e6_c24", "lacks r"),
        ("ir_r2_k4_s2_e6_c24", "has a value out of range: kernel must be"),
        ("ir_r2_k3_s3_e6_c24", "has a value out of range: stride must be"),
        ("ds_r1_k3_s1_e6_c16", "has expansion 6, which ds does not have"),
        ("cn_r1_k3_s1_c16_se0.25", "has an option that cn does not have"),
        ("er_r1_k3_s1_e4_c24", "must begin with cn, ds, dsa, ir, got 'er'"),
        ("ir_r1_k3_s1_e1_c16", "has an expansion of 1, for which timm still builds the expansion; say ds"),
        ("", "must begin with"),
    ],
)
def test_a_typo_is_an_error(text: str, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        stage_from_timm(text)


def test_small_se_ratios_come_back() -> None:
    for ratio in (1 / 12, 1e-5, 0.25):
        stage = Stage(channels=24, expansion=3, se_ratio=ratio)
        assert stage_from_timm(stage_to_timm(stage)).se_ratio == ratio


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (load_space("cifar").decode([0] * 35), "stem cannot be said in timm's arguments"),
        (load_architecture("mobilenet_v1"), "head cannot be said in timm's arguments"),
        (small(), None),
        (small(stages=(Stage(channels=12),)), "channels must be multiples of 8 for timm"),
        (small(stages=(Stage(channels=8, se_ratio=0.2),)), "se_ratio of 0.2 is rounded otherwise by timm"),
    ],
)
def test_what_timm_would_build_differently_is_an_error(network, message: str | None) -> None:
    if message is None:
        assert timm_arguments(network)["stem_size"] == 8
        return
    with pytest.raises(FieldError, match=message):
        timm_arguments(network)


def test_only_the_first_string_of_a_stage_has_a_stride() -> None:
    assert len(stages_from_timm([["ds_r1_k3_s2_e1_c16", "ds_r1_k5_s1_e1_c16"]])) == 2
    with pytest.raises(FieldError, match="timm takes from the first block of a stage only"):
        stages_from_timm([["ds_r1_k3_s2_e1_c16", "ds_r1_k5_s2_e1_c16"]])


def test_what_timm_cannot_say_is_an_error() -> None:
    with pytest.raises(FieldError, match="timm's dsa has no skip"):
        to_timm(small(stages=(Stage(op="dsconv_act", channels=8),)))
    with pytest.raises(FieldError, match=r"stages\[0\] cannot be said in timm's strings: a pooling skip"):
        to_timm(small(stages=(Stage(channels=8, skip="pool"),)))
    with pytest.raises(FieldError, match="cannot be said in timm's strings: bottleneck"):
        to_timm(load_architecture("resnet_50"))
