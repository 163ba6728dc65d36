"""One training by several workers: the same as one process gives, also when one is killed."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search_space import FieldError, InputError
from tests.small_training import RECIPE, SEED, curve, data, network, tensors
from trainers import ImageSet, create_executor
from trainers.checkpoints import checkpoint_path, checkpoints_in, read_checkpoint
from trainers.device_data import DeviceImages
from trainers.evaluation import evaluate_network
from trainers.full import OnStep, Saving, train_fully
from trainers.full_step import NotFiniteError
from trainers.parallel import WorkersLostError, train_in_parallel
from trainers.proxy import TrainingDivergedError
from trainers.ranks import ALONE

ROOT = Path(__file__).parent.parent


# --- without Ray --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": 0}, "workers.number must be between 1 and 4096, got 0"),
        ({"workers": 2, "cpus": 0}, "workers.cpus must be between 1 and 1024, got 0"),
        (
            {"workers": 2, "gpus": 0.5},
            "workers.gpus must be 0 or 1, since a worker trains on one GPU, got 0.5",
        ),
        (
            {"workers": 3},
            "recipe.batch must be divisible into 3 workers times 1 accumulated parts",
        ),
        ({"workers": 2, "address": "ray://head:1"}, "--address ray://head:1: under the Ray client"),
    ],
)
def test_workers_that_cannot_be_are_refused_before_ray_starts(given: dict, message: str) -> None:
    with pytest.raises((FieldError, InputError)) as caught:
        train_in_parallel(network(), RECIPE, data(), SEED, **given)
    assert str(caught.value).startswith(message)


def test_what_trains_in_parallel_imports_no_ray_until_it_does() -> None:
    code = "import sys, trainers.parallel; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"


@pytest.fixture
def worker():
    """The module of a worker, which imports Ray."""
    create_executor("ray", scratch=Path("unused"))  # the settings that Ray reads when imported
    from trainers import ray_parallel_worker

    return ray_parallel_worker


def job(worker, **given):
    """What a worker is given, but for what a test gives it."""
    from trainers.ray_nodes import versions

    plain = {
        "architecture": network(),
        "recipe": RECIPE,
        "shared": (None,),
        "seed": SEED,
        "saving": None,
        "weights_path": None,
        "threads": 1,
        "gpu": False,
        "marks": (),
        "versions": versions(),
    }
    return worker.Job(**{**plain, **given})


def test_a_worker_has_the_threads_it_was_promised(worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert worker._prepared(job(worker, threads=3)) == "cpu"
    assert torch.get_num_threads() == 3
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_node_that_does_not_see_the_folder_is_told(worker, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(worker, "this_node", lambda: "10.0.0.3 (elsewhere)")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError) as caught:
        worker._prepared(job(worker, marks=(tmp_path / ".training-1",)))
    assert str(caught.value) == (
        f"node 10.0.0.3 (elsewhere): does not see {tmp_path}, where the training is kept; workers on several "
        "nodes need a folder that all of them share"
    )


def test_a_node_with_another_version_is_told(worker, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="has another version of this project"):
        worker._prepared(job(worker, versions={"trainer": -1, "torch": "1.0"}))


def test_the_training_s_own_errors_are_told_from_those_of_a_lost_neighbour(worker) -> None:
    lost = [
        RuntimeError(
            "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]:9"
        ),
        RuntimeError("NCCL communicator was aborted on rank 1"),
        ConnectionResetError(104, "Connection reset by peer"),
    ]
    own = [
        NotFiniteError(float("nan"), 1, 2, [3], 0.1),
        TrainingDivergedError("the training loss is 1e9"),
        InputError("runs/gloo/checkpoints: none of its checkpoints can be read"),
        OSError(28, "No space left on device", "/runs/nccl/best.safetensors"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ]
    assert [worker.of_another(error) for error in lost] == [True] * len(lost)
    assert [worker.of_another(error) for error in own] == [False] * len(own)


@pytest.mark.parametrize(
    "error",
    [
        NotFiniteError(float("inf"), 4, 2, [3, 1], 0.1),
        FieldError("stages[2].stride", "must be 1 or 2, got 3"),
        InputError("one line"),
        OSError(28, "No space left on device", "/runs/a"),
    ],
)
def test_errors_come_from_a_worker_as_themselves(worker, error: Exception) -> None:
    came = pickle.loads(pickle.dumps(worker.portable(error)))
    assert (type(came), str(came), vars(came)) == (type(error), str(error), vars(error))


def test_an_error_that_cannot_travel_says_the_same(worker) -> None:
    class LocalError(Exception):
        pass

    came = worker.portable(LocalError("about <b>this</b>"))
    assert (type(came), str(came)) == (RuntimeError, "LocalError: about <b>this</b>")


def test_of_lost_workers_the_dead_are_named_without_ray_s_guesses(worker) -> None:
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    from trainers.ray_parallel import why_lost

    died = RuntimeError("Actor died.\nWorker exit detail: It ended. Some common causes include: (1) many.")
    failures = {0: RuntimeError("gloo: Connection closed"), 1: WorkerHealthCheckFailedError("so", died)}
    assert why_lost(failures) == "worker 1 died: It ended"
    assert why_lost({0: failures[0]}) == "the workers lost their connection"


def test_marks_are_gone_afterwards(worker, tmp_path: Path) -> None:
    from trainers.ray_parallel import _marked

    (tmp_path / ".training-0123").touch()  # of a process that was killed
    with pytest.raises(KeyError), _marked([tmp_path / "new", tmp_path]) as marks:
        assert [mark.parent for mark in marks] == [tmp_path / "new", tmp_path]
        assert all(mark.exists() for mark in marks)
        raise KeyError
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]
    assert list((tmp_path / "new").iterdir()) == []


def test_one_process_agrees_with_itself() -> None:
    assert ALONE.agree(7, torch.device("cpu"))


# --- with two workers under Ray Train -----------------------------------------------------------------------

STRESS = pytest.mark.skipif(not os.environ.get("STRESS_FAULTS"), reason="more starts of workers: make stress")
TWO = replace(RECIPE, epochs=6, batch=16)
STEPS = 15  # an epoch
EPOCHS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def saving(folder: Path) -> Saving:
    return Saving(folder=folder, keep=9, minutes=None)


@pytest.fixture(scope="module")
def undisturbed(one_ray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training by two workers that was left alone, with its network."""
    folder = tmp_path_factory.mktemp("undisturbed")
    test = ImageSet(data().validation.images[:31], data().validation.labels[:31])
    steps: list[tuple[int, int]] = []
    told = train_in_parallel(
        network(),
        TWO,
        data(),
        SEED,
        workers=2,
        gpus=0,
        test=test,
        saving=saving(folder / "checkpoints"),
        weights_path=folder / "model.safetensors",
        on_step=lambda done, total, rate: steps.append((done, total)),
    )
    epochs = list(told)
    assert [m.metrics["epoch"] for m in epochs] == EPOCHS
    assert [m.final for m in epochs] == [False] * 5 + [True]
    assert 0 <= epochs[-1].metrics["test_accuracy"] * 31 <= 31
    assert steps[-1] == (6 * STEPS, 6 * STEPS)
    assert steps == sorted(steps)
    return folder


def close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], names: list[str]) -> None:
    assert names
    for name in names:
        torch.testing.assert_close(first[name], second[name], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_two_workers_train_what_one_process_accumulates(undisturbed: Path, tmp_path: Path) -> None:
    """Three claims about one training in one test: shared out, each would start workers anew."""
    check_accumulation(undisturbed, tmp_path / "accumulated")
    check_every_image_is_measured_once(undisturbed)
    check_a_checkpoint_of_two_workers_serves_one_process(undisturbed, tmp_path / "alone")


def check_accumulation(undisturbed: Path, tmp_path: Path) -> None:
    alone = replace(TWO, accumulate=2)
    next(train_fully(network(), alone, data(), SEED, saving=saving(tmp_path)))
    first = tensors(checkpoint_path(undisturbed / "checkpoints", 1))
    second = tensors(checkpoint_path(tmp_path, 1))
    assert first.keys() == second.keys()
    # batch norm's running statistics are the first worker's, and one process's have seen both parts
    close(first, second, [name for name in first if "running_" not in name and "num_batches" not in name])
    assert any(not torch.equal(first[name], second[name]) for name in first if "running_mean" in name)


def check_every_image_is_measured_once(undisturbed: Path) -> None:
    checkpoint = read_checkpoint(undisturbed / "model.safetensors")
    images = DeviceImages(data().validation, data(), "cpu")
    size = network().image_size
    crop = TWO.measured_crop
    alone = evaluate_network(checkpoint.network(), images, num_classes=10, image_size=size, crop=crop)
    last = curve(checkpoint_path(undisturbed / "checkpoints", 6))[-1]
    assert alone.images == 101
    assert (last["accuracy"], last["validation_top5"]) == (alone.accuracy, alone.top5_accuracy)
    assert last["validation_loss"] == pytest.approx(alone.loss, rel=1e-6)


def workers_of_ours() -> list[int]:
    """Process ids of the workers that train under this process's Ray."""
    from ray._private import worker

    (raylet,) = worker._global_node.all_processes["raylet"]
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            name = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        if parent == raylet.process.pid and name.startswith(b"ray::RayTrainWorker"):
            found.append(int(stat.parent.name))
    return sorted(found)


def at(step: int, act: Callable[[], None]) -> OnStep:
    """Acts once, when so many steps are done."""
    acted: list[int] = []

    def told(done: int, steps: int, rate: float) -> None:
        if done >= step and not acted:
            acted.append(done)
            act()

    return told


@STRESS
@pytest.mark.slow
def test_stopped_and_then_killed_it_ends_the_same(
    undisturbed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def kill() -> None:
        os.kill(workers_of_ours()[-1], signal.SIGKILL)

    kept = saving(tmp_path)  # none within an epoch, but where it is stopped
    given = (network(), TWO, data(), SEED)
    enough: list[bool] = []
    on_step = at(2, lambda: enough.append(True))
    with caplog.at_level(logging.WARNING):
        few = list(
            train_in_parallel(
                *given, workers=2, gpus=0, saving=kept, on_step=on_step, stop=lambda: bool(enough)
            )
        )
    assert len(few) < 6
    assert not any(m.final for m in few)
    assert caplog.records == []
    assert workers_of_ours() == []
    stopped = read_checkpoint(checkpoints_in(tmp_path)[0]).facts
    assert 2 <= stopped.epoch * STEPS + stopped.step < 6 * STEPS
    assert stopped.step  # of no epoch's end
    with caplog.at_level(logging.WARNING):
        epochs = list(train_in_parallel(*given, workers=2, gpus=0, saving=kept, on_step=at(3 * STEPS, kill)))
    assert [m.metrics["epoch"] for m in epochs] == EPOCHS
    (said,) = [record.getMessage() for record in caplog.records]
    assert "died" in said
    assert said.endswith("all workers start again (1 of 3 times)")
    first, second = (tensors(checkpoint_path(f, 6)) for f in (undisturbed / "checkpoints", tmp_path))
    assert first.keys() == second.keys()
    close(first, second, list(first))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@STRESS
@pytest.mark.slow
def test_an_error_of_the_training_is_raised_as_itself_and_not_tried_again(
    one_ray, caplog: pytest.LogCaptureFixture
) -> None:
    wild = replace(RECIPE, optimiser="sgd", learning_rate=1000.0, weight_decay=10.0, batch=8)
    with caplog.at_level(logging.WARNING), pytest.raises(NotFiniteError) as caught:
        list(train_in_parallel(network(), wild, data(), SEED, workers=2, gpus=0))
    assert len(caught.value.indices) == 8
    assert caplog.records == []
    assert workers_of_ours() == []


@pytest.mark.slow
def test_more_workers_than_there_is_room_for_are_refused(one_ray) -> None:
    message = "workers: 4 are asked for, each with 1 processor and 0 GPUs, and 1 node with 2 processors and"
    with pytest.raises(InputError, match=message):
        list(train_in_parallel(network(), TWO, data(), SEED, workers=4, gpus=0))


def check_a_checkpoint_of_two_workers_serves_one_process(undisturbed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(undisturbed / "checkpoints", tmp_path / "kept")
    checkpoint_path(folder, 6).unlink()
    epochs = list(train_fully(network(), TWO, data(), SEED, saving=saving(folder)))
    assert [m.metrics["epoch"] for m in epochs] == EPOCHS
    first, second = (checkpoint_path(f, 6) for f in (undisturbed / "checkpoints", folder))
    assert curve(first)[:5] == curve(second)[:5]
    # the images are the same, and batch norm saw all of a step at a time: close, and not the same
    losses = [curve(path)[5]["train_loss"] for path in (first, second)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_workers_that_are_lost_again_and_again_end_it(one_ray, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers import ray_parallel

    tries: list[int] = []

    class Lost:
        def __init__(self, *given: object) -> None:
            tries.append(1)

        def epochs(self, on_step: OnStep | None, stop: Callable[[], bool]):
            raise WorkersLostError("worker 0 died: so it is")
            yield

    monkeypatch.setattr(ray_parallel, "_Try", Lost)
    with pytest.raises(WorkersLostError, match="worker 0 died: so it is"):
        list(train_in_parallel(network(), TWO, data(), SEED, workers=2, gpus=0, max_failures=2))
    assert len(tries) == 3


@STRESS
@pytest.mark.slow
def test_stopped_before_it_has_begun_it_does_not_begin(one_ray, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers import ray_parallel

    real = ray_parallel._Try._take

    def take(self):
        if not self._ending and not self._began:
            monkeypatch.setattr(ray_parallel._Try, "_take", real)
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(ray_parallel._Try, "_take", take)
    with pytest.raises(KeyboardInterrupt):
        list(train_in_parallel(network(), TWO, data(), SEED, workers=2, gpus=0))
    for thread in threading.enumerate():
        if thread.name == "workers of a training":
            thread.join(60.0)  # workers that were starting hear that they are not to begin
            assert not thread.is_alive()
    assert workers_of_ours() == []
