"""Networks as calls to hold a clock beside: eager, compiled, or by ONNX Runtime; on a CPU or a GPU."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from search_space import Architecture, InputError
from trainers.executor import available_cpus

EXPORT_HINT = "pip install 'nas-road[export]'"
_ONNX_PACKAGES = ("onnxruntime", "onnx", "onnxscript")  # to run it, and two that torch's exporter wants
_COMPILED = "TORCHINDUCTOR_CACHE_DIR"
_SEED = 0  # of weights and inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A network that is built and compiled.

    Attributes:
        call: runs it once on the same input; returns when the result is there.
        compile_seconds: that compiling or exporting took; None for eager.
    """

    call: Callable[[], None]
    compile_seconds: float | None = None


def device_name(device: str) -> str:
    """What the maker calls the processor or the GPU.

    Args:
        device: ``cpu`` or ``cuda``.
    """
    if device == "cuda":
        return " ".join(torch.cuda.get_device_name().split())
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return " ".join(name.split()) or "unknown processor"


def versions(protocol: Any) -> dict[str, str]:
    """The software that a latency depends on, and the settings of it that it does.

    Args:
        protocol: a `LatencyProtocol`.
    """
    found = {"python": platform.python_version(), "torch": torch.__version__}
    if protocol.backend == "onnxruntime":
        found |= {name: importlib.metadata.version(name) for name in _ONNX_PACKAGES if _is_there(name)}
    if protocol.device == "cuda":
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())
        found["tf32"] = "convolutions" if torch.backends.cudnn.allow_tf32 else "off"
        if torch.get_float32_matmul_precision() != "highest":
            found["tf32"] += f", products {torch.get_float32_matmul_precision()}"
    return found


def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def check_backend(device: str, backend: str, threads: int) -> None:
    """Refuse what cannot be had on this machine, before anything is built.

    Raises:
        InputError: there is no GPU, a package is missing, or there are fewer processors than threads.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, and torch sees no GPU here")
    if device == "cpu" and threads > available_cpus():
        raise InputError(f"threads is {threads}, and there are {available_cpus()} processors here")
    if backend != "onnxruntime":
        return
    missing = [name for name in _ONNX_PACKAGES if not _is_there(name)]
    if missing:
        raise InputError(f"backend onnxruntime needs {', '.join(missing)}; {EXPORT_HINT}")
    if device == "cuda":
        providers = importlib.import_module("onnxruntime").get_available_providers()
        if "CUDAExecutionProvider" not in providers:
            raise InputError("onnxruntime has no CUDA here; pip install onnxruntime-gpu in its place")


@contextmanager
def device_settings(device: str, threads: int) -> Iterator[None]:
    """So many threads of the CPU, convolutions of a GPU autotuned; as they were afterwards."""
    before, tuned = torch.get_num_threads(), torch.backends.cudnn.benchmark
    try:
        if device == "cpu":
            torch.set_num_threads(threads)
        else:
            torch.backends.cudnn.benchmark = True
        yield
    finally:
        if device == "cpu":
            torch.set_num_threads(before)
        else:
            torch.backends.cudnn.benchmark = tuned


@contextmanager
def compile_folder(backend: str) -> Iterator[None]:
    """Torch's compiled code in a folder of its own, for the backend that has any.

    In the folder that all processes share, a compilation that was killed leaves half a library, which every
    later one of the same network then tries to load.
    """
    if backend != "compile":
        yield
        return
    before = os.environ.get(_COMPILED)
    with tempfile.TemporaryDirectory(prefix="nas-latency-", ignore_cleanup_errors=True) as folder:
        os.environ[_COMPILED] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[_COMPILED]
            else:
                os.environ[_COMPILED] = before


def prepare(
    architecture: Architecture,
    *,
    device: str,
    backend: str,
    batch: int,
    threads: int,
    num_classes: int,
    in_channels: int,
) -> Prepared:
    """A network ready to be timed, in inference mode and float32, on a batch of noise at its image size.

    Args:
        architecture: the network.
        device, backend, batch, threads: see `LatencyProtocol`.
        num_classes, in_channels: of the network.

    Raises:
        Exception: whatever building, compiling and running raise, such as for want of memory.
    """
    model, images = _network(architecture, device, batch, num_classes, in_channels)
    if backend == "eager":
        return Prepared(call=_torch_call(model, images))
    began = time.perf_counter()
    if backend == "compile":
        call = _torch_call(_compiled(model, threads if device == "cpu" else None), images)
    else:
        call = _onnx_call(model, images, device, threads)
    call()  # compiles
    return Prepared(call=call, compile_seconds=time.perf_counter() - began)


def _network(
    architecture: Architecture, device: str, batch: int, num_classes: int, in_channels: int
) -> tuple[nn.Module, Tensor]:
    """The network and its images (batch, in_channels, image_size, image_size), both on the device."""
    side = architecture.image_size
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # weights are drawn on the CPU
        torch.manual_seed(_SEED)
        # momentum 1: batch norm's statistics become those of the one batch
        model = architecture.build(num_classes, in_channels, bn_momentum=1.0, dropout=0.0, drop_path=0.0)
        images = torch.randn(max(batch, 2), in_channels, side, side)
    model, images = model.to(device), images.to(device)
    if device == "cpu":
        model, images = _channels_last(model), images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        model.train()(images[:2])  # a variance needs two images where maps have one pixel
    return model.eval().requires_grad_(False), images[:batch]


def _channels_last(model: nn.Module) -> nn.Module:
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _torch_call(model: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], None]:
    on_gpu = images.is_cuda

    def call() -> None:
        with torch.inference_mode():
            model(images)
            if on_gpu:
                torch.cuda.synchronize()

    return call


def _compiled(model: nn.Module, threads: int | None) -> Callable[[Tensor], Tensor]:
    def forward(images: Tensor) -> Tensor:
        return model(images)

    # torch keeps compiled code by the code that it was compiled from, few versions of each: every network
    # gets a copy of its own, or the ninth would run uncompiled
    forward.__code__ = forward.__code__.replace()
    # the number of threads becomes part of the compiled code
    options: dict[str, Any] | None = None if threads is None else {"cpp.threads": threads}
    return torch.compile(forward, dynamic=False, options=options)


def _onnx_call(model: nn.Module, images: Tensor, device: str, threads: int) -> Callable[[], None]:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    # idle threads of one network would else spin while the next is timed
    options.add_session_config_entry("session.force_spinning_stop", "1")
    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    plain = images.cpu().contiguous()
    with tempfile.TemporaryDirectory(prefix="nas-latency-") as folder:
        path = Path(folder) / "network.onnx"
        _write_onnx(model.cpu().to(memory_format=torch.contiguous_format), plain, path)  # type: ignore[call-overload]
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    if session.get_providers()[0] != provider:  # it falls back without a word
        raise InputError(f"onnxruntime cannot use {provider} here")
    binding = session.io_binding()
    value = onnxruntime.OrtValue.ortvalue_from_numpy(plain.numpy(), device, 0)
    binding.bind_ortvalue_input(session.get_inputs()[0].name, value)  # no copy from the host in the time
    binding.bind_output(session.get_outputs()[0].name, device)

    def call() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return call


def _write_onnx(model: nn.Module, images: Tensor, path: Path) -> None:
    """The network as ONNX, for this batch; torch's exporter says much that nobody asked for."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(model, (images,), dynamo=True, verbose=False)
            assert program is not None
            program.save(str(path))
    finally:
        logger.setLevel(before)
