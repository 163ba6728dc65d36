"""What must hold of proxy training on a GPU; `gpu_proxy.py` runs it. Each check returns words, or raises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import torch

from search_space import Architecture
from trainers import Dataset, ImageSet, ProxyProtocol
from trainers.device_data import DeviceImages
from trainers.executor import after_failure
from trainers.proxy import TrainingDivergedError, train_candidate
from trainers.training_step import WARM_UP, TrainingStep

PROTOCOL = ProxyProtocol(epochs=2, batch=128, learning_rate=0.05, shift=4, flip=True)
# what a GPU must do and a processor cannot: prints a line and ends with 0 when the fault is recognised
BROKEN = """
import torch
from trainers.executor import after_failure
try:
    index = torch.tensor([10**9], device='cuda')
    print(torch.zeros(4, device='cuda')[index].cpu())
except Exception as error:
    assert after_failure(error), repr(error)
    print(type(error).__name__)
"""


def _step(
    data: Dataset,
    architecture: Architecture,
    device: str,
    protocol: ProxyProtocol = PROTOCOL,
    *,
    graph: bool | None = None,
    resident: bool | None = None,
) -> TrainingStep:
    torch.manual_seed(0)
    model = replace(architecture, dropout=0.0, drop_path=0.0).build(data.num_classes, data.in_channels)
    model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = DeviceImages(data.train, data, device, resident=resident)
    return TrainingStep(model, images, protocol, torch.Generator().manual_seed(0), graph)


def _close(one: float, other: float, tolerance: float, words: str) -> str:
    difference = abs(one - other) / abs(other)
    if not difference <= tolerance:
        raise AssertionError(f"{words}: {one:.6f} and {other:.6f}")
    return f"holds: {one:.6f} and {other:.6f}"


def graph_equals_steps(data: Dataset, architecture: Architecture, device: str) -> str:
    """An epoch of captured steps has the loss of one of steps that are run."""
    if not device.startswith("cuda"):
        return "needs a GPU"
    losses = [_step(data, architecture, device, graph=graph).epoch() for graph in (True, False)]
    return _close(losses[0], losses[1], 0.02, "mean loss with and without a graph")


def device_equals_processor(data: Dataset, architecture: Architecture, device: str) -> str:
    """The first steps on the device and on the processor have the same losses: same draws, same sums."""
    few = replace(PROTOCOL, batch=64, learning_rate=1e-3)
    part = replace(data, train=ImageSet(data.train.images[:256], data.train.labels[:256]))
    losses = [_step(part, architecture, where, few).epoch() for where in (device, "cpu")]
    return _close(losses[0], losses[1], 0.01, "mean loss on the device and on the processor")


def repeats(data: Dataset, architecture: Architecture, device: str) -> str:
    """One seed twice gives the same accuracy on a processor, and nearly so on a GPU."""
    found = []
    for _ in range(2):
        *_, last = train_candidate(architecture, PROTOCOL, data, 0, device=device)
        found.append(last.accuracy)
    if abs(found[0] - found[1]) > (0.05 if device.startswith("cuda") else 0.0):
        raise AssertionError(f"accuracies {found[0]:.4f} and {found[1]:.4f} of one seed")
    return f"holds: {found[0]:.4f} and {found[1]:.4f}"


def bfloat16_learns(data: Dataset, architecture: Architecture, device: str) -> str:
    """Autocast learns what float32 learns."""
    losses = []
    for precision in ("float32", "bfloat16"):
        protocol = replace(PROTOCOL, precision=precision)  # type: ignore[arg-type]
        *_, last = train_candidate(architecture, protocol, data, 0, device=device)
        losses.append(last.metrics["train_loss"])
    return _close(losses[1], losses[0], 0.1, "training loss in bfloat16 and in float32")


def no_wait_inside_an_epoch(data: Dataset, architecture: Architecture, device: str) -> str:
    """The host never waits for the GPU between the steps of an epoch, captured or not."""
    if not device.startswith("cuda"):
        return "needs a GPU"
    for graph in (False, True):
        training = _step(data, architecture, device, graph=graph)
        training.begin_epoch()
        for _ in range(WARM_UP + 1):  # with the capture, which waits
            training.step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(4):
                training.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return "holds"


def host_images_train_the_same(data: Dataset, architecture: Architecture, device: str) -> str:
    """Images that stay in the host's memory and travel batch by batch train as those on the device do."""
    losses = [_step(data, architecture, device, resident=resident).epoch() for resident in (False, True)]
    return _close(losses[0], losses[1], 0.02, "mean loss with images on the host and on the device")


def divergence_is_noticed(data: Dataset, architecture: Architecture, device: str) -> str:
    """A rate that breaks the training ends it in its first epochs."""
    try:
        list(train_candidate(architecture, replace(PROTOCOL, learning_rate=1e3), data, 0, device=device))
    except TrainingDivergedError as error:
        return f"holds: {error}"
    raise AssertionError("a learning rate of 1000 gave an accuracy")


def out_of_memory_is_survived(data: Dataset, architecture: Architecture, device: str) -> str:
    """A candidate that does not fit fails alone; the next one trains in the same process."""
    if not device.startswith("cuda"):
        return "needs a GPU"
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    used = torch.cuda.memory_reserved() / total
    torch.cuda.set_per_process_memory_fraction(min(1.0, used + 0.3 * 2**30 / total))
    try:
        next(train_candidate(architecture, replace(PROTOCOL, batch=2048), data, 0, device=device))
    except torch.OutOfMemoryError as error:
        if after_failure(error):
            raise AssertionError("to be out of memory was taken for a broken GPU") from error
    else:
        raise AssertionError("0.3 GiB sufficed for a batch of 2048")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    next(train_candidate(architecture, PROTOCOL, data, 0, device=device))
    return "holds"


def a_fault_is_recognised(data: Dataset, architecture: Architecture, device: str) -> str:
    """A kernel that fails is told from a candidate that does: its process must be replaced."""
    if not device.startswith("cuda"):
        return "needs a GPU"
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.strip().splitlines()[-1])
    return f"holds: {done.stdout.strip().splitlines()[-1]}"


CHECKS: dict[str, Callable[[Dataset, Architecture, str], str]] = {
    "a captured step is a step": graph_equals_steps,
    "the device computes what the processor does": device_equals_processor,
    "a seed repeats": repeats,
    "bfloat16 learns": bfloat16_learns,
    "no wait inside an epoch": no_wait_inside_an_epoch,
    "images on the host": host_images_train_the_same,
    "divergence": divergence_is_noticed,
    "out of memory": out_of_memory_is_survived,
    "a broken GPU": a_fault_is_recognised,
}
