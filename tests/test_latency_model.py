"""The latency model: operators as they are built, tables that equal it, strict limits, and its file."""

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.scaling_limits import largest_phi
from search_space import (
    REFERENCES,
    FieldError,
    InputError,
    LatencyModel,
    LatencyQuality,
    Limits,
    StageSpace,
    cost,
    load_architecture,
    load_latency_model,
    load_space,
)
from search_space.operators import features, operators
from tests.latencies import a_model
from tests.shapes import shapes_only

# every block, every skip, squeeze-and-excitation, and a stem that pools
MIXED = {
    "name": "mixed",
    "image_size": 33,
    "activation": "relu",
    "stem": {"channels": 8, "kernel": 5, "pool": "max"},
    "head": {"channels": 24},
    "stages": [{"channels": 8, "repeats": 2}, {"channels": 16, "stride": 2}],
    "choices": {
        "op": ["conv", "dsconv", "dsconv_act", "mbconv3", "bottleneck"],
        "kernel": [1, 3, 5],
        "se_ratio": [0, 0.25],
        "skip": ["identity", "pool", "none"],
        "filters": [0.5, 1],
        "layers": [0, 1],
    },
}
SMALL = {**MIXED, "choices": {"op": ["conv", "mbconv2"], "kernel": [3, 5], "filters": [0.5, 1]}}
QUALITY = LatencyQuality(
    fitted=30,
    held_out=10,
    spearman=0.95,
    spearman_low=0.9,
    spearman_high=0.98,
    kendall=0.8,
    mape=0.03,
    macs_spearman=0.8,
    params_spearman=0.3,
)
SPACES = {name: load_space(name) for name in ("mnasnet", "digits")} | {"mixed": load_space(MIXED)}


def points_of(space: StageSpace) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*(st.integers(0, len(decision.choices) - 1) for decision in space.decisions))


# --- operators -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFERENCES)
def test_macs_and_weights_of_the_operators_are_those_of_the_network(name: str) -> None:
    network = load_architecture(name)
    found = operators(network, 7, 1)
    assert (sum(o.macs for o in found), sum(o.weights for o in found)) == cost(network, 7, 1)


@settings(max_examples=30)
@given(points_of(SPACES["mixed"]))
def test_operators_are_those_that_are_built(point: tuple[int, ...]) -> None:
    network = SPACES["mixed"].decode(point)
    with shapes_only():
        modules = [type(module).__name__ for module in network.build().modules()]
    found = features(operators(network))
    convolutions = sum(name in ("Conv2d", "PointwiseConv2d", "DepthwiseConv2d") for name in modules)
    squeezes = modules.count("SqueezeExcite")
    counted = sum(
        number
        for name, number in found.items()
        if re.fullmatch(r"(conv\d+|pointwise|depthwise\d+)\.operators", name)
    )
    assert counted - 1 == convolutions - 2 * squeezes  # the classifier is pointwise
    assert found.get("squeeze.operators", 0) == squeezes
    assert found["norm.operators"] == modules.count("BatchNorm2d")
    assert found["relu.operators"] == modules.count("ReLU") - squeezes
    assert found.get("pool_skip.operators", 0) == modules.count("PoolSkip")
    assert found["max_pool.operators"] == 1
    assert (sum(o.macs for o in operators(network)), sum(o.weights for o in operators(network))) == cost(
        network
    )


def test_values_are_those_that_go_in_and_out() -> None:
    network = replace(load_architecture("mobilenet_v2"), image_size=64)
    touched = [0]

    def count(module: nn.Module, inputs, output) -> None:
        touched[0] += inputs[0].numel() + output.numel()

    with shapes_only(), torch.inference_mode():
        built = network.build().eval()
        for module in built.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        built(torch.empty(1, 3, 64, 64))
    found = features(operators(network))
    convolutions = [
        n for name, n in found.items() if re.fullmatch(r"(conv3|pointwise|depthwise3).values", name)
    ]
    assert sum(convolutions) - (1280 + 1000) == touched[0]


# --- tables --------------------------------------------------------------------------------------------

MODELS = {name: a_model(space) for name, space in SPACES.items()}
LIMITED = {name: space.limited(Limits(), 7, 1, MODELS[name]) for name, space in SPACES.items()}


@pytest.mark.parametrize("name", SPACES)
def test_tables_predict_what_the_model_predicts(name: str) -> None:
    space, limited, model = SPACES[name], LIMITED[name], MODELS[name]

    @settings(max_examples=25)
    @given(st.lists(points_of(space), min_size=1, max_size=8))
    def check(points) -> None:
        from_tables = limited.known_cost(points, "latency_ms")
        networks = [space.decode(point) for point in points]
        np.testing.assert_allclose(from_tables, model.predict_many(networks, 7, 1), rtol=1e-12)

    check()


def test_a_prediction_is_the_sum_of_rates_times_features() -> None:
    model, space = MODELS["mixed"], SPACES["mixed"]
    for seed in range(5):
        network = space.decode(space.random(np.random.default_rng(seed)))
        total = sum(
            model.coefficients[name] * amount for name, amount in features(operators(network)).items()
        )
        assert model.predict(network) == pytest.approx(model.intercept + total, rel=1e-12)


def test_without_a_model_no_latency_is_known() -> None:
    space = SPACES["digits"]
    point = space.random(np.random.default_rng(0))
    assert space.known_cost([point], "latency_ms") is None
    assert space.limited(Limits()).known_cost([point], "latency_ms") is None
    with pytest.raises(FieldError, match=r"limits\.latency_ms needs a latency model"):
        space.limited(Limits(latency_ms=5.0))


def test_a_model_that_lacks_an_operator_of_the_space_is_refused_with_the_stage() -> None:
    model = a_model(SPACES["mnasnet"], kinds=("conv3", "pointwise", "depthwise3", "norm", "relu6", "add"))
    with pytest.raises(FieldError, match=r"^stages\[0\] has (conv5|squeeze|pool_skip), of which"):
        SPACES["mnasnet"].limited(Limits(), latency=model)


# --- limits --------------------------------------------------------------------------------------------


def every_latency(space: StageSpace, model: LatencyModel) -> tuple[np.ndarray, np.ndarray]:
    points = np.indices([len(d.choices) for d in space.decisions]).reshape(len(space.decisions), -1).T
    return points, model.predict_many([space.decode(point) for point in points])


def test_the_smallest_latency_is_exact_and_named_when_a_limit_is_below_it() -> None:
    space = load_space(SMALL)
    for seed in range(3):
        model = a_model(space, seed)
        _, milliseconds = every_latency(space, model)
        least, at = space.tables(latency=model).smallest_latency()
        assert least == milliseconds.min() == model.predict(space.decode(at))
        with pytest.raises(FieldError, match=r"limits\.latency_ms must be at least (\S+), the least") as said:
            space.limited(Limits(latency_ms=0.99 * least), latency=model)
        named = float(re.findall(r"at least (\S+),", str(said.value))[0])
        assert least <= named < 1.01 * least
        space.limited(Limits(latency_ms=named), latency=model)  # what it names can be given


def test_allowed_and_repaired_keep_to_latency_and_other_limits_together() -> None:
    space = load_space(SMALL)
    model = a_model(space)
    points, milliseconds = every_latency(space, model)
    macs, params = space.batch_cost(points)
    rng = np.random.default_rng(0)
    for _ in range(15):
        chosen = int(rng.integers(len(points)))
        limits = Limits(
            latency_ms=float(milliseconds[chosen]),
            macs=float(macs[chosen]) if rng.random() < 0.5 else None,
            params=float(params[chosen]) if rng.random() < 0.5 else None,
        )
        limited = space.limited(limits, latency=model)
        within = milliseconds <= milliseconds[chosen]
        if limits.macs is not None:
            within &= macs <= limits.macs
        if limits.params is not None:
            within &= params <= limits.params
        assert limited.allowed(points).tolist() == within.tolist()
        for point in points[::7]:
            assert limited.allows(limited.repaired(point))


def test_limits_on_latency_are_checked() -> None:
    assert Limits(latency_ms=0.5).given() == {"latency_ms": 0.5}
    with pytest.raises(FieldError, match="latency_ms must be at least"):
        Limits(latency_ms=0.0)
    with pytest.raises(FieldError, match="is for searches"):
        largest_phi(load_architecture("efficientnet_b0"), Limits(latency_ms=50.0))


# --- what a model refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 240}, "image_size must be 224, which the latency model was fitted at, got 240"),
        (
            {"activation": "swish"},
            r"stages\[0\] has swish, of which the latency model has seen none; it knows",
        ),
        ({"stem": replace(load_architecture("mobilenet_v2").stem, kernel=7)}, "stem has conv7, of which"),
    ],
)
def test_networks_unlike_those_that_were_fitted_are_refused(change, message: str) -> None:
    kinds = ("conv3", "pointwise", "depthwise3", "norm", "relu6", "add")
    model = a_model(SPACES["mnasnet"], kinds=kinds)
    network = load_architecture("mobilenet_v2")
    assert model.predict(network) > model.intercept
    with pytest.raises(FieldError, match=f"^{message}"):
        model.predict(replace(network, **change))


def test_the_stem_that_all_fitted_networks_share_need_not_be_known() -> None:
    model = a_model(SPACES["mnasnet"], kinds=("pointwise", "depthwise3", "norm", "relu6", "add"))
    network = load_architecture("mobilenet_v2")
    assert model.predict(network) == model.predict(network, in_channels=1)
    wider = replace(network, stem=replace(network.stem, channels=64))
    with pytest.raises(FieldError, match="^stem has conv3"):
        model.predict(wider)


# --- the file ------------------------------------------------------------------------------------------


def test_a_model_is_read_back_equal() -> None:
    model = replace(MODELS["digits"], quality=QUALITY, versions={"torch": "2.0"})
    text = json.dumps(model.to_dict())
    assert LatencyModel.from_dict(json.loads(text)) == model
    assert pickle.loads(pickle.dumps(model)) == model
    assert LatencyModel.from_dict({**model.to_dict(), "quality": None}).quality is None


def test_the_fingerprint_is_of_what_predicts() -> None:
    model = MODELS["digits"]
    others = [replace(model, quality=QUALITY), replace(model, device_name="another", space="of this name")]
    shuffled = dict(reversed(model.coefficients.items()))
    others.append(replace(model, coefficients=shuffled))
    assert {other.fingerprint for other in others} == {model.fingerprint}
    dearer = {**model.coefficients, "add.values": 2 * model.coefficients["add.values"]}
    different = [
        replace(model, intercept=0.8),
        replace(model, coefficients=dearer),
        replace(model, image_size=64),
    ]
    assert len({model.fingerprint, *(other.fingerprint for other in different)}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format must be 1, got 2: a file of another version"),
        ({"format": True}, "format must be 1"),
        ({"intercept": -1.0}, "intercept must be at least 0, got -1"),
        ({"intercept": "much"}, "intercept must be a number"),
        ({"coeficients": {}}, "coeficients is an unknown key; did you mean coefficients?"),
        (
            {"coefficients": {"conv3.mac": 1.0}},
            "coefficients.conv3.mac is an unknown key; did you mean conv3.macs",
        ),
        ({"coefficients": {"conv3.macs": -1.0}}, "coefficients.conv3.macs must be at least 0, got -1"),
        ({"coefficients": [1.0]}, "coefficients must hold keys and values"),
        ({"stem": {"channels": 0}}, "stem.channels must be between"),
        ({"stem": {"kernel": 3}}, "stem.channels is missing"),
        ({"quality": {"spearman": 2.0}}, "quality.fitted is missing"),
        ({"device_name": None}, "device_name must be text, got None"),
        ({"versions": {"torch": 2.0}}, "versions.torch must be text, got 2.0"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
    ],
)
def test_a_broken_file_is_refused_with_line_field_and_rule(change, message: str, tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    path.write_text(json.dumps({**MODELS["digits"].to_dict(), **change}, indent=2))
    with pytest.raises(InputError, match=rf"latency\.json:\d+: {re.escape(message)}"):
        load_latency_model(path)


def test_what_is_no_file_of_a_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_latency_model(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("[1, 2")
    with pytest.raises(InputError, match=r"text\.json"):
        load_latency_model(tmp_path / "text.json")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="the file must hold keys and values"):
        load_latency_model(tmp_path / "list.json")
