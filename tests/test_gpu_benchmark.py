"""The benchmark for GPUs: what of it a processor can run."""

from dataclasses import replace

import pytest

from benchmarks import gpu_proxy
from benchmarks.gpu_checks import CHECKS
from benchmarks.gpu_floors import work
from search_space import SearchSpace
from trainers import Dataset, ImageSet, ProxyProtocol


@pytest.fixture(scope="module")
def data() -> Dataset:
    return gpu_proxy.made_up(512)


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_holds_on_a_processor_or_says_what_it_needs(
    name: str, digits_space: SearchSpace, data: Dataset
) -> None:
    outcome = CHECKS[name](data, digits_space.decode([0] * 20), "cpu")
    assert outcome.startswith("holds") or outcome == "needs a GPU"


def test_the_traffic_of_a_step_grows_with_the_batch_and_holds_its_maps(
    digits_space: SearchSpace, data: Dataset
) -> None:
    network = digits_space.decode([0] * 20)
    (small, macs), (large, more_macs) = (work(data, network, ProxyProtocol(batch=n)) for n in (32, 64))
    assert more_macs == 2 * macs
    assert 1.5 * small < large < 2 * small  # weights move once, whatever the batch
    stem = 32 * 16 * 16 * 16 * 4  # bytes of its maps: written and read by convolution, batch norm and swish
    assert small > 6 * stem


def test_a_failing_check_is_named_and_fails_the_run(monkeypatch, capsys) -> None:
    def fails(data: object, architecture: object, device: str) -> str:
        raise AssertionError("1 and 2")

    monkeypatch.setattr(gpu_proxy, "CHECKS", {"sums": fails})
    assert gpu_proxy.main(["--device", "cpu", "--checks"]) == 1
    printed = capsys.readouterr()
    assert "sums: FAILS: AssertionError: 1 and 2" in printed.out
    assert "failed: sums" in printed.err


def test_candidates_are_timed_one_by_one(monkeypatch, tmp_path, digits_space: SearchSpace, capsys) -> None:
    monkeypatch.setattr(gpu_proxy, "CHECKS", {})
    monkeypatch.setattr(gpu_proxy, "candidate", lambda: digits_space.decode([0] * 20))
    path = tmp_path / "report.json"
    arguments = ["--device", "cpu", "--images", "256", "--batches", "32", "--json", str(path)]
    assert gpu_proxy.main(arguments) == 0
    assert "kernel by kernel, float32" in capsys.readouterr().out
    assert '"seconds":' in path.read_text()


def test_made_up_images_can_be_learnt() -> None:
    data = gpu_proxy.made_up(2000)
    brightness = data.train.images.reshape(2000, -1).mean(1)
    per_class = [brightness[data.train.labels == label].mean() for label in range(10)]
    assert per_class == sorted(per_class)
    assert isinstance(replace(data, name="x").train, ImageSet)
