"""What a worker takes of a node: counted as Ray counts, and refused where Ray would."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InputError, load_config
from search_space import FieldError
from trainers import WorkerNeeds

NODE = {"CPU": 8.0, "GPU": 4.0, "memory": 16.0 * 2**30, "big_gpu": 2.0, "node:10.0.0.1": 1.0}


@pytest.mark.parametrize(
    ("needs", "room"),
    [
        (WorkerNeeds(), 8),
        (WorkerNeeds(cpus=3), 2),
        (WorkerNeeds(gpus=1), 4),
        (WorkerNeeds(gpus=3), 1),
        (WorkerNeeds(gpus=0.5), 8),
        (WorkerNeeds(gpus=0.7), 4),  # a share lies on one GPU
        (WorkerNeeds(memory=3), 5),
        (WorkerNeeds(resources={"big_gpu": 1}), 2),
        (WorkerNeeds(resources={"big_gpu": 0.1}), 8),
        (WorkerNeeds(resources={"tpu": 1}), 0),
        (WorkerNeeds(memory=17), 0),
    ],
)
def test_every_resource_bounds_how_many_fit(needs: WorkerNeeds, room: int) -> None:
    assert needs.room(NODE) == room


@given(parts=st.integers(1, 100), gpus=st.integers(0, 8))
def test_an_nth_of_a_gpu_fits_n_times(parts: int, gpus: int) -> None:
    """Also 0.1, ten of which are a little less than 1 in floating point, and 1/6, which Ray cuts."""
    assert WorkerNeeds(gpus=1 / parts).room({"CPU": 1e6, "GPU": gpus}) == parts * gpus


@given(amount=st.integers(1, 10**6), times=st.integers(1, 100))
def test_of_what_a_node_has_nothing_is_cut_a_second_time(amount: int, times: int) -> None:
    """0.0003 in floating point is a little less than three ten-thousandths."""
    has, wanted = amount * times / 10_000, (amount + 0.5) / 10_000  # the half is cut
    assert WorkerNeeds(resources={"kind": wanted}).room({"CPU": 1e6, "kind": has}) == times


def test_what_is_wanted_and_what_there_is_are_said_in_the_same_words() -> None:
    needs = WorkerNeeds(cpus=2, gpus=0.25, memory=4, resources={"big_gpu": 1})
    assert needs.describe() == "2 processors and 0.25 GPUs, 4 GiB of memory, 1 big_gpu"
    assert needs.describe({"CPU": 1.0}) == "1 processor and 0 GPUs, 0 GiB of memory, 0 big_gpu"
    assert needs.bundle() == {"CPU": 2, "GPU": 0.25, "memory": 4 * 2**30, "big_gpu": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpus: 1.5", "executor.gpus must be a whole number above 1, or a share of one GPU, got 1.5"),
        ("gpus: 0.00001", "executor.gpus must be 0, a share from 0.0001 to 1, or up to 64 whole ones, got"),
        ("gpus: -1", "executor.gpus must be 0, a share"),
        ("memory: 0", "executor.memory must be null, or GiB from"),
        ("memory: much", "executor.memory must be a .*number, got 'much'"),
        ("resources: {big_gpu: 0}", "executor.resources.big_gpu must be at least 0.0001, got 0"),
        ("resources: {big_gpu: lots}", "executor.resources.big_gpu must be at least 0.0001, got 'lots'"),
        ("resources: {big_gpu: true}", "executor.resources.big_gpu must be at least 0.0001, got True"),
        ("resources: {1: 1}", "executor.resources must have names that nodes were started with, got 1"),
        ("resources: {GPU: 1}", "executor.resources must have names .*, got 'GPU'"),
        ("resources: [big_gpu]", "executor.resources must"),
        ("node_wait: -1", "executor.node_wait must be greater than or equal to 0"),
    ],
)
def test_a_configuration_that_no_worker_could_have_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"space: digits\nobjective: {{target: 1e6}}\nexecutor: {{{text}}}\n")
    with pytest.raises(InputError, match=f"config.yaml:3: {message}") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_resources_read_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "space: digits\nobjective: {target: 1e6}\n"
        "executor: {gpus: 0.25, memory: 4, resources: {big_gpu: 1}, node_wait: 30}\n"
    )
    config = load_config(path)
    again = tmp_path / "again.yaml"
    again.write_text(config.to_yaml())
    assert load_config(again).executor == config.executor
    with pytest.raises(FieldError, match="cpus must be between 1 and 1024, got 0"):
        WorkerNeeds(cpus=0)
