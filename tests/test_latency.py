"""Measured latency: turns with a reference, what is left as it was, storage, and the commands."""

from __future__ import annotations

import gc
import json
import os
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas import cli
from results.latency_store import (
    LatencyRecord,
)
from search_space import REFERENCES, Architecture, FieldError, Head, InputError, Stage, Stem, cost
from trainers import latency_backends
from trainers.latency import (
    LatencyError,
    LatencyInterrupted,
    LatencyProtocol,
    device_name,
    measure_latencies,
    measure_latency,
    versions,
)
from trainers.latency_backends import Prepared
from trainers.latency_turns import Turns

TINY = Architecture(
    name="tiny",
    image_size=16,
    stem=Stem(channels=8),
    stages=(Stage(channels=8, expansion=2, stride=2, se_ratio=0.25), Stage(op="conv", channels=8)),
    head=Head(channels=16),
)
OTHER = replace(TINY, name="other", image_size=24)
QUICK = LatencyProtocol(repeats=3, warmup=1, reference="")
RECORD = LatencyRecord(
    name="tiny",
    key=TINY.key,
    device="cpu",
    device_name="A Processor",
    backend="eager",
    batch=2,
    threads=1,
    repeats=20,
    reference="efficientnet_b0",
    median_ms=4.0,
    p5_ms=3.0,
    p25_ms=3.5,
    p75_ms=4.5,
    p95_ms=5.0,
    ratio=0.5,
    ratio_p5=0.4,
    ratio_p95=0.6,
    reference_ms=8.0,
    macs=1000,
    params=100,
    image_size=16,
    num_classes=10,
    in_channels=3,
    measured_at="2026-01-02T03:04:05+00:00",
    versions={"torch": "2.13.0"},
)


@pytest.fixture(autouse=True)
def _small_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """References that are measured at once, and a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(REFERENCES, "efficientnet_b0", lambda: replace(TINY, name="efficientnet_b0"))
    monkeypatch.setitem(REFERENCES, "resnet_50", lambda: replace(OTHER, name="resnet_50"))


def nas(*words: str) -> int:
    """The command's exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["nas", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
    return int(end.value.code or 0)


class Machine:
    """A clock, and networks of given times on a machine whose speed changes with every call."""

    def __init__(self, speed: Callable[[int], float]) -> None:
        self.now, self._speed, self.calls = 0.0, speed, 0

    def network(self, seconds: float) -> Prepared:
        def call() -> None:
            self.now += seconds * self._speed(self.calls)
            self.calls += 1

        return Prepared(call=call)

    def ratios(self, networks: list[float], reference: float, rounds: int) -> list[float]:
        """The median ratio of each network."""
        made = {number: self.network(seconds) for number, seconds in enumerate(networks)}
        turns = Turns(made, self.network(reference), clock=lambda: self.now)
        for _ in range(rounds):
            turns.run(lambda number, error: pytest.fail(str(error)))
        pairs = [turns.seconds(number) for number in made]
        return [float(np.median(own / beside)) for own, beside in pairs]


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("device", "gpu", "device must be cpu or cuda, got 'gpu'"),
        ("backend", "tvm", "backend must be eager or compile or onnxruntime, got 'tvm'"),
        ("batch", 0, "batch must be between 1 and 65536, got 0"),
        ("threads", True, "threads must be a whole number, got True"),
        ("warmup", 0, "warmup must be between 1"),
        ("repeats", 0, "repeats must be between 1"),
        (
            "reference",
            "resnet_51",
            "reference is 'resnet_51', which is no known network; did you mean resnet_50",
        ),
    ],
)
def test_a_protocol_states_the_rule_that_is_broken(field: str, value: object, rule: str) -> None:
    with pytest.raises(FieldError, match=rule):
        LatencyProtocol(**{field: value})  # type: ignore[arg-type]


def test_a_protocol_is_plain_data_and_knows_references_in_any_spelling() -> None:
    protocol = LatencyProtocol(reference="ResNet-152")
    assert asdict(protocol) == {
        "device": "cpu",
        "backend": "eager",
        "batch": 1,
        "threads": 1,
        "warmup": 3,
        "repeats": 20,
        "reference": "resnet_152",
    }


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=5), st.floats(0.1, 10.0))
def test_ratios_survive_a_machine_that_grows_twice_as_slow(networks: list[float], reference: float) -> None:
    calls = 2 * 40 * (2 * len(networks) + 1)
    machine = Machine(lambda call: 1.0 + call / calls)
    found = machine.ratios(networks, reference, 40)
    assert found == pytest.approx([seconds / reference for seconds in networks], rel=0.02)


def test_ratios_survive_a_step_that_doubles_all_times() -> None:
    machine = Machine(lambda call: 2.0 if call > 77 else 1.0)
    assert machine.ratios([1.0, 3.0], 2.0, 11) == pytest.approx([0.5, 1.5])


def test_a_network_is_as_fast_as_itself_where_delays_are_rare_and_long() -> None:
    noise = random.Random(1)
    machine = Machine(lambda call: 1.0 + 0.1 * noise.random() + (noise.random() < 0.15) * 3.0)
    assert machine.ratios([1.0, 1.0], 1.0, 400) == pytest.approx([1.0, 1.0], abs=0.01)


def test_the_order_changes_from_round_to_round_and_not_from_run_to_run() -> None:
    def orders() -> list[str]:
        said: list[str] = []
        turns = Turns({n: Prepared(call=lambda n=n: said.append(str(n))) for n in range(4)}, None)  # type: ignore[misc]
        for _ in range(6):
            turns.run(lambda number, error: None)
        return ["".join(said[i : i + 8 : 2]) for i in range(0, len(said), 8)]

    assert orders() == orders()
    assert len(set(orders())) > 2
    assert all(sorted(order) == ["0", "1", "2", "3"] for order in orders())


def test_percentiles_are_those_of_the_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    every = np.arange(1.0, 102.0)[:, None] / 1e3
    monkeypatch.setattr(Turns, "seconds", lambda self, number: (every, every[:, [0, 0]] * 2))
    found = measure_latency(TINY, replace(QUICK, reference="efficientnet_b0"))
    assert (found.p5_ms, found.p25_ms, found.median_ms, found.p75_ms, found.p95_ms) == pytest.approx(
        (6.0, 26.0, 51.0, 76.0, 96.0)
    )
    assert (found.ratio, found.ratio_p5, found.ratio_p95) == pytest.approx((0.5, 0.5, 0.5))
    assert (found.reference_ms, found.repeats) == (pytest.approx(102.0), 101)


def test_a_measurement_has_the_networks_facts() -> None:
    found = measure_latency(TINY, QUICK, 10, 1)
    assert (found.macs, found.params) == cost(TINY, 10, 1)
    assert (found.name, found.key, found.image_size, found.repeats) == ("tiny", TINY.key, 16, 3)
    assert 0 < found.p5_ms <= found.p25_ms <= found.median_ms <= found.p75_ms <= found.p95_ms
    assert (
        found.ratio
        is found.ratio_p5
        is found.ratio_p95
        is found.reference_ms
        is found.compile_seconds
        is None
    )
    assert found.device_name == device_name("cpu") != ""
    assert json.loads(json.dumps(found.to_json()))["median_ms"] == found.median_ms
    assert versions(QUICK)["torch"] == torch.__version__


def test_threads_random_state_and_collection_are_left_as_they_were() -> None:
    torch.set_num_threads(1)
    before, seen = torch.get_rng_state().clone(), []
    threads = min(2, latency_backends.available_cpus())
    how = replace(QUICK, threads=threads)
    measure_latencies([TINY], how, on_round=lambda *_: seen.append((torch.get_num_threads(), gc.isenabled())))
    assert seen == [(threads, False)] * 3
    assert (torch.get_num_threads(), gc.isenabled()) == (1, True)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.is_grad_enabled()


def test_activations_have_the_size_of_a_trained_networks() -> None:
    model, images = latency_backends._network(TINY, "cpu", 1, 10, 3)
    assert images.shape == (1, 3, 16, 16)
    assert not model.training
    with torch.inference_mode():
        maps = model.forward_features(images)
    assert 0.1 < float(maps.std()) < 10.0


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network ``other`` runs out of memory after its first round."""
    prepare = latency_backends.prepare

    def half(architecture: Architecture, **how: object) -> Prepared:
        made = prepare(architecture, **how)  # type: ignore[arg-type]
        calls = iter(range(1, 5))

        def call() -> None:
            made.call()
            if architecture.image_size == 24 and next(calls) == 4:
                raise MemoryError("no memory for it")

        return replace(made, call=call)

    monkeypatch.setattr("trainers.latency.prepare", half)


@pytest.mark.usefixtures("breaking")
def test_one_network_without_memory_costs_no_other_its_result() -> None:
    third = replace(TINY, name="third", image_size=32)
    with pytest.raises(LatencyError, match="not measured: other: no memory for it") as failed:
        measure_latencies([TINY, OTHER, third], QUICK)
    assert [(found.name, found.repeats) for found in failed.value.latencies] == [("tiny", 3), ("third", 3)]
    assert [network.name for network, _ in failed.value.failures] == ["other"]
    said: list[tuple[int, str]] = []
    found = measure_latencies([OTHER, TINY], QUICK, on_failure=lambda n, error: said.append((n, str(error))))
    assert [each.name for each in found] == ["tiny"]
    assert said == [(0, "no memory for it")]


def test_a_network_that_cannot_be_built_is_a_failure_and_a_reference_is_an_error() -> None:
    with pytest.raises(LatencyError, match="tiny: in_channels must be at least 1, got 0"):
        measure_latencies([TINY], QUICK, in_channels=0)
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(InputError, match="the reference resnet_50 cannot"),
    ):
        patch.setattr(latency_backends, "_network", lambda *_: 1 / 0)
        measure_latency(TINY, replace(QUICK, reference="resnet_50"))


@pytest.mark.parametrize("rounds", [4, 5, 7])
def test_ctrl_c_keeps_the_rounds_if_there_are_enough(rounds: int) -> None:
    def stop(done: int, total: int) -> None:
        if done == rounds:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as ended:
        measure_latencies([TINY], replace(QUICK, repeats=50), on_round=stop)
    assert isinstance(ended.value, LatencyInterrupted) == (rounds >= 5)
    if isinstance(ended.value, LatencyInterrupted):
        assert [found.repeats for found in ended.value.latencies] == [rounds]
    assert gc.isenabled()


def test_what_a_machine_has_not_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"threads is 1000, and there (is|are) \d+ processor"):
        measure_latency(TINY, replace(QUICK, threads=1000))
    monkeypatch.setattr(latency_backends, "_is_there", lambda package: package != "onnx")
    with pytest.raises(InputError, match=r"needs onnx; pip install 'nas-road\[export\]'"):
        measure_latency(TINY, replace(QUICK, backend="onnxruntime"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="torch sees no GPU here"):
        measure_latency(TINY, replace(QUICK, device="cuda"))


def test_onnx_runtime_computes_what_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    made = []
    real = onnxruntime.InferenceSession

    def session(*words: object, **named: object) -> object:
        made.append((real(*words, **named), words[1]))
        return made[-1][0]

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    found = measure_latency(TINY, replace(QUICK, backend="onnxruntime", batch=2), 10)
    ((ours, options),) = made
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1
    model, images = latency_backends._network(TINY, "cpu", 2, 10, 3)
    with torch.inference_mode():
        expected = model(images).numpy()
    (given,) = ours.run(None, {ours.get_inputs()[0].name: images.contiguous().numpy()})
    assert np.abs(given - expected).max() <= 1e-4 * np.abs(expected).max()
    assert found.median_ms > 0
    assert found.compile_seconds is not None
    assert found.compile_seconds > 0
    assert "onnxruntime" in versions(replace(QUICK, backend="onnxruntime"))


@pytest.mark.slow
def test_every_compiled_network_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when there are more than torch keeps of one code, which is 8 by default and 2 here. Writing C++,
    which takes most of a minute, is left to `make stress`."""
    import torch._dynamo
    from torch._dynamo.utils import counters

    compiled = torch.compile
    if not os.environ.get("STRESS_ARCHITECTURES"):
        monkeypatch.setattr(
            torch,
            "compile",
            lambda model, dynamic, options: compiled(model, dynamic=dynamic, backend="eager"),
        )
    counters.clear()
    folder = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    stem = replace(TINY, stages=(Stage(op="conv", channels=4, kernel=1),), stem=Stem(channels=4, kernel=1))
    networks = [replace(stem, image_size=size) for size in range(8, 11)]
    with torch._dynamo.config.patch(recompile_limit=2):
        found = measure_latencies(networks, replace(QUICK, backend="compile"), 2)
    assert len(found) == 3
    assert all(each.compile_seconds for each in found)
    assert counters["stats"]["unique_graphs"] == 3
    assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") == folder
