"""``nas latency fit`` and ``nas latency predict`` as a user meets them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nas.latency_samples import SampleFile
from search_space import load_latency_model, load_space
from tests.latencies import PLAN, Machine, a_model, measured
from tests.test_cli import nas

SIZES = ["--networks", "90", "--held-out", "30", "--retests", "10"]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> SampleFile:
    """Measurements of a machine with 3 % of noise."""
    space = load_space("mnasnet")
    path = tmp_path_factory.mktemp("noisy") / "m.jsonl"
    return measured(path, space, Machine(a_model(space), noise=0.03), PLAN)


@pytest.fixture
def fitted(noisy: SampleFile, in_tmp: Path, capsys) -> Path:
    """A model that the command wrote."""
    (in_tmp / "m.jsonl").write_bytes(noisy.path.read_bytes())
    arguments = ["latency", "fit", "mnasnet", "-o", "latency.json", "--measurements", "m.jsonl", *SIZES]
    code, out, err = nas(capsys, *arguments, "--plot", "fit.png")
    assert (code, err) == (0, "")
    assert re.search(r"Spearman 0\.9\d\d \[0\.\d+, [01]\.\d+\], Kendall 0\.\d+, mean error \d\.\d %", out)
    assert "30 networks that were not among the 90 fitted" in out
    assert "MACs alone: Spearman" in out
    assert "measured a second time" in out
    assert (in_tmp / "fit.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads(nas(capsys, *arguments, "--json")[1])
    model = load_latency_model("latency.json")
    assert document["fingerprint"] == model.fingerprint
    assert document["quality"]["held_out"] == 30
    assert document["coefficients"] == model.coefficients
    return in_tmp / "latency.json"


def test_fit_and_predict_from_measurements(fitted: Path, capsys) -> None:
    model = load_latency_model(fitted)
    code, out, err = nas(capsys, "latency", "predict", "mobilenet_v2", "--model", str(fitted))
    assert (code, err) == (0, "")
    assert "mobilenet_v2" in out
    document = json.loads(
        nas(capsys, "latency", "predict", "mobilenet_v2", "--model", "latency.json", "--json")[1]
    )
    (one,) = document["networks"]
    space = load_space("mnasnet")
    assert one["latency_ms"] == pytest.approx(model.predict(space.skeleton))
    assert one["ratio"] == pytest.approx(one["latency_ms"] / model.reference_ms)
    refused = nas(capsys, "latency", "predict", "efficientnet_b0", "--model", "latency.json")
    assert refused[0] == 2
    assert refused[2].startswith("nas: efficientnet_b0: stages[0] has swish, of which the latency model")
    assert refused[2].count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "mnasnte", "-o", "l.json"], "did you mean mnasnet"),
        (["fit", "mnasnet", "-o", "l.yaml"], "l.yaml: must end in .json"),
        (["fit", "mnasnet", "-o", "l.json", "--plot", "l.bmp"], "l.bmp: must end in"),
        (["fit", "mnasnet", "-o", "l.json", "--networks", "3"], "--networks"),
        (["fit", "mnasnet", "-o", "l.json", "--device", "tpu"], "--device must be cpu or cuda, got 'tpu'"),
        (
            ["fit", "mnasnet", "-o", "l.json", "--reference", "b0"],
            "--reference is 'b0', which is no known network",
        ),
        (["fit", "mnasnet", "-o", "l.json", "--reference", ""], "--reference must be a network"),
        (
            ["fit", "mnasnet", "-o", "l.json", "--measurements", "m.jsonl", "--threads", "2"],
            "m.jsonl: its measurements have --threads 1, not 2; --measurements takes another file",
        ),
        (
            ["fit", "mnasnet", "-o", "l.json", "--measurements", "m.jsonl"],  # more networks, on this machine
            "m.jsonl: its measurements have device_name 'a machine', and here it is",
        ),
        (["predict", "mobilenet_v2", "--model", "none.json"], "none.json: no such file"),
        (["predict", "mobilenet_v2", "--model", "broken.json"], "broken.json: format is missing"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    arguments, message, noisy, in_tmp: Path, capsys
) -> None:
    (in_tmp / "m.jsonl").write_bytes(noisy.path.read_bytes())
    (in_tmp / "broken.json").write_text("{}")
    code, out, err = nas(capsys, "latency", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (in_tmp / "l.json").exists()


def test_the_command_measures_keeps_each_line_and_goes_on_after_ctrl_c(
    in_tmp: Path, capsys, monkeypatch
) -> None:
    space = load_space("digits")
    machine = Machine(a_model(space), stop_after=12)

    def measure(networks, protocol, num_classes, in_channels, on_failure):
        assert (protocol.threads, protocol.repeats, num_classes, in_channels) == (1, 15, 10, 1)
        return [latency for latency in machine(networks) if not isinstance(latency, Exception)]

    monkeypatch.setattr("trainers.latency.measure_latencies", measure)
    arguments = ["latency", "fit", "digits", "-o", "l.json", "--classes", "10", "--channels", "1"]
    arguments += ["--networks", "20", "--held-out", "10", "--retests", "4"]
    code, out, err = nas(capsys, *arguments)
    assert (code, out) == (130, "")
    assert "12 measurements were made, 22 are left; the same command goes on" in err
    assert len(Path("l.measured.jsonl").read_text().splitlines()) == 1 + 12
    assert not Path("l.json").exists()
    machine.stop_after = None
    assert nas(capsys, *arguments[:5], *arguments[9:])[0] == 0  # classes and channels are the file's
    assert len(machine.asked) == 34
    model = load_latency_model("l.json")
    assert (model.num_classes, model.in_channels, model.space) == (10, 1, "digits")


def test_a_model_that_cannot_be_written_leaves_the_old_one(fitted: Path, capsys, monkeypatch) -> None:
    before = fitted.read_bytes()

    def full(self, *arguments, **options) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    arguments = ["latency", "fit", "mnasnet", "-o", "latency.json", "--measurements", "m.jsonl", *SIZES]
    code, _, err = nas(capsys, *arguments, "--seed", "1")
    assert code == 2
    assert "latency.json: cannot be written: No space left" in err
    assert fitted.read_bytes() == before


def test_real_networks_are_measured_and_failures_keep_their_place(in_tmp: Path, monkeypatch) -> None:
    from nas.latency_fit_commands import _measurer
    from trainers.latency import LatencyProtocol

    space = load_space("digits")
    rng = np.random.default_rng(0)
    networks = [space.decode(space.random(rng)) for _ in range(3)]
    building = type(networks[0]).build

    def build(network, *arguments, **options):
        if network is networks[1]:
            raise RuntimeError("too large")
        return building(network, *arguments, **options)

    monkeypatch.setattr(type(networks[0]), "build", build)
    found = _measurer(LatencyProtocol(repeats=2, warmup=1, reference="mobilenet_v2"), 10, 1)(networks)
    assert [found[0].key, found[2].key] == [networks[0].key, networks[2].key]
    assert isinstance(found[1], Exception)
    assert found[0].ratio > 0
