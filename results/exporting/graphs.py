"""A network written down as a graph, for programs that know nothing of its code: ONNX and ``torch.export``.

Both take images (batch, channels, height, width) of the network's own size, as float32, with a batch of any
size from 1, and give logits (batch, classes). They are of the network in eval mode: batch norm uses its
statistics, and nothing is dropped.

Sources: https://pytorch.org/docs/stable/onnx_export.html and https://pytorch.org/docs/stable/export.html.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from search_space import InputError

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

OPSET = 18  # the lowest that torch's exporter has operators for, hence what most programs can read
OPSETS = range(OPSET, 22)
INPUT, OUTPUT, BATCH = "images", "logits", "batch"
EXTRA = "nas-road[export]"
_ONNX_NEEDS = ("onnx", "onnxscript")
_LARGEST_ONNX = 2**31 - 1  # bytes: protobuf's limit on a message
_LOUD = ("torch.export", "torch.fx", "torch.onnx", "torch.onnx._internal.exporter", "onnxscript", "onnx_ir")


class NotExportableError(InputError):
    """A format that cannot be written here, or not of this network; the text says why."""


def importable(name: str) -> bool:
    """Whether an optional library is there, and can be used."""
    try:
        importlib.import_module(name)
    except (ImportError, OSError, AttributeError):  # installed, but for another version of something
        return False
    return True


def why_no_onnx() -> str:
    """What is missing to write ONNX, with how to get it; empty where nothing is."""
    missing = [name for name in _ONNX_NEEDS if not importable(name)]
    return f"model.onnx needs {' and '.join(missing)}: pip install '{EXTRA}'" if missing else ""


def check_opset(opset: int) -> None:
    """Refuse a version of ONNX's operators that cannot be written.

    Raises:
        InputError: with the bounds.
    """
    if opset not in OPSETS:
        raise InputError(f"--opset must be {OPSETS[0]} to {OPSETS[-1]}, got {opset}")


def captured(model: nn.Module, in_channels: int, image_size: int) -> ExportedProgram:
    """A network's graph with its weights.

    Args:
        model: on the CPU, in eval mode.
        in_channels, image_size: of its images; the side in pixels.

    Raises:
        NotExportableError: torch cannot write this network down.
    """
    import torch

    images = torch.zeros(2, in_channels, image_size, image_size)  # of 1, torch would take the batch for fixed
    batch = torch.export.Dim(BATCH, min=1)
    try:
        with quiet():
            return torch.export.export(model, (images,), dynamic_shapes=({0: batch},))
    except RuntimeError as error:
        raise NotExportableError(f"torch cannot export this network: {_first_line(error)}") from None


def pt2_bytes(program: ExportedProgram) -> bytes:
    """A ``.pt2`` file, for `torch.export.load`."""
    import torch

    buffer = io.BytesIO()  # torch's own writer of files cannot say that a disk is full
    with quiet():
        torch.export.save(program, buffer)
    return buffer.getvalue()


def onnx_bytes(
    program: ExportedProgram, *, opset: int = OPSET, metadata: Mapping[str, str] | None = None
) -> bytes:
    """An ``.onnx`` file with its weights in it: input ``images``, output ``logits``, dynamic axis ``batch``.

    Args:
        program: from `captured`.
        opset: version of ONNX's operators.
        metadata: goes into the file, for people and programs.

    Raises:
        InputError: the opset cannot be written.
        NotExportableError: a library is missing, torch cannot write this network, or it is larger than 2 GB.
    """
    check_opset(opset)
    if why := why_no_onnx():
        raise NotExportableError(why)
    import torch

    try:
        with quiet():
            onnx_program = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: BATCH},),
            )
            assert onnx_program is not None
            onnx_program.model.metadata_props.update(metadata or {})
            document = onnx_program.model_proto
            if document.ByteSize() > _LARGEST_ONNX:
                raise NotExportableError("model.onnx: 2 GB or more do not fit into one file; use model.pt2")
            return document.SerializeToString()
    except RuntimeError as error:
        raise NotExportableError(f"model.onnx: torch cannot write it: {_first_line(error)}") from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the exporters print, log and warn of from the user: what fails is raised."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.enter_context(_silenced(_LOUD))
        yield


@contextlib.contextmanager
def _silenced(names: Iterable[str]) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
