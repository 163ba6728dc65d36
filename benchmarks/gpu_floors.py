"""What a training step on a GPU cannot be faster than; `gpu_proxy.py` prints it beside what was measured."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from search_space import Architecture, cost
from trainers import Dataset, ProxyProtocol
from trainers.device_data import DeviceImages
from trainers.training_step import WARM_UP, TrainingStep

VIEWS = ("view", "permute", "expand", "reshape", "t.default", "as_strided", "slice", "select", "unsqueeze")


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write, each tensor once an operation; views are free.

    That is the traffic of kernels that fuse nothing and miss every cache: memory cannot be the floor of a
    step that is faster.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not any(view in str(func) for view in VIEWS):
            tensors = [leaf for leaf in tree_leaves((args, result)) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(t.numel() * t.element_size() for t in {id(t): t for t in tensors}.values())
        return result


def _training(
    data: Dataset, architecture: Architecture, protocol: ProxyProtocol, device: str, graph: bool
) -> TrainingStep:
    model = architecture.build(data.num_classes, data.in_channels)
    model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = DeviceImages(data.train, data, device)
    training = TrainingStep(model, images, protocol, torch.Generator().manual_seed(0), graph)
    training.begin_epoch()
    return training


def work(data: Dataset, architecture: Architecture, protocol: ProxyProtocol) -> tuple[float, float]:
    """Bytes and multiply-adds of a step; bytes are counted on the processor, where backward runs in this
    thread."""
    training = _training(data, architecture, protocol, "cpu", graph=False)
    training.step()
    with Traffic() as traffic:
        training.step()
    forward = cost(architecture, data.num_classes, data.in_channels).macs
    return traffic.bytes, 3.0 * forward * protocol.batch  # backward is a product for each of two factors


def timed(run: Any, repeats: int = 5) -> float:
    """Median microseconds on the GPU."""
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - began) * 1e6)
    return statistics.median(times)


def floors(data: Dataset, architecture: Architecture, protocol: ProxyProtocol) -> dict[str, float]:
    """A captured step's time, and what launches, memory and arithmetic need at least, in microseconds.

    Launches: the step's kernels, each as long as one that does nothing takes in a graph. Memory: the step's
    traffic at the rate of a large copy. Arithmetic: its multiply-adds at the rate of a large bfloat16
    product.
    """
    small = replace(protocol, batch=32, precision="float32")
    moved, macs = work(data, architecture, small)
    scale = protocol.batch / 32
    if protocol.precision == "bfloat16":
        moved /= 2
    training = _training(data, architecture, protocol, "cuda", graph=True)
    for _ in range(WARM_UP + 2):
        training.step()
    torch.cuda.synchronize()
    steps = min(20, training.left - 1)
    step = timed(lambda: [training.step() for _ in range(steps // 5)], 5) / (steps // 5)
    eager = _training(data, architecture, protocol, "cuda", graph=False)
    eager.step()
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        eager.step()
        torch.cuda.synchronize()
    # not the host's calls, which are recorded too
    kernels = sum(e.count for e in recorded.key_averages() if e.device_type == DeviceType.CUDA)
    return {
        "batch": protocol.batch,
        "step_us": step,
        "kernels": kernels,
        "launch_us": kernels * _launch(),
        "memory_us": moved * scale / _bandwidth() * 1e6,
        "arithmetic_us": macs * scale / _arithmetic() * 1e6,
    }


def _launch() -> float:
    """Microseconds a kernel in a graph takes that does next to nothing."""
    one = torch.zeros(1, device="cuda")
    graph = torch.cuda.CUDAGraph()
    one.add_(1)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        for _ in range(1000):
            one.add_(1)
    graph.replay()
    return timed(graph.replay) / 1000


def _bandwidth() -> float:
    """Bytes a second, read and written, of a large copy."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * source.numel() / timed(lambda: target.copy_(source)) * 1e6


def _arithmetic() -> float:
    """Multiply-adds a second of a large bfloat16 product."""
    one = torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda")
    one @ one
    return 8192**3 / timed(lambda: one @ one) * 1e6
