"""Whether a written file gives what the network gives: each is loaded back and run on the same inputs.

The relative difference of logits a from those of the network in eager mode, b, is max |a - b| / max |b| over
the logits of a batch. It does not depend on the scale of the logits, which are tiny in a deep untrained
network, and it is not blown up by the one logit that happens to be near zero. In float32 another order of the
same sums gives some 1e-6 in a network of tens of layers; a wrong weight or a wrong padding gives 1e-2.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.exporting.graphs import EXTRA, INPUT, importable, quiet
from results.exporting.timm_check import build_timm, differing, imported, why_no_timm
from search_space import Architecture, load_architecture

if TYPE_CHECKING:
    from torch import Tensor, nn

TOLERANCE = 1e-5  # relative, in float32
BATCHES = (1, 3)  # neither is the 2 that graphs are captured with: so the batch is shown to be free
SEED = 0
LEAST = 2.0**-126  # the smallest normal float32: of less, a relative difference says nothing
_SECONDS = 900.0  # that another process may take


class UnverifiableError(Exception):
    """A file that cannot be checked here; nothing is said against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Inputs, and what the network makes of them in eager mode.

    Attributes:
        architecture: the network.
        num_classes, in_channels: as it was built.
        images: standard normal, a batch each, (batch, in_channels, image_size, image_size) float32.
        logits: of each, (batch, num_classes) float32.
    """

    architecture: Architecture
    num_classes: int
    in_channels: int
    images: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]

    def to_json(self) -> dict[str, Any]:
        """What ``verify.json`` says of the inputs."""
        side = self.architecture.image_size
        largest = max(
            float(logits.abs().nan_to_num(nan=math.inf, posinf=math.inf).max()) for logits in self.logits
        )
        return {
            "distribution": "standard normal, torch.randn of a generator with this seed",
            "seed": SEED,
            "batches": list(BATCHES),
            "shape": [self.in_channels, side, side],
            "largest_logit": largest if math.isfinite(largest) else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What was found of one file.

    Attributes:
        file: its name in the bundle.
        sha256, size: of the file that was loaded; bytes.
        loaded: how, in words.
        absolute: largest difference of a logit from eager mode's; None where there are none to compare.
        relative: the same as a share of the largest logit, see above.
        ok: whether the relative difference is at most `TOLERANCE`; None where it could not be checked.
        why: it is not ok, or was not checked; else empty, or a remark.
        write_seconds, check_seconds: that each took.
    """

    file: str
    sha256: str
    size: int
    loaded: str
    absolute: float | None = None
    relative: float | None = None
    ok: bool | None = None
    why: str = ""
    write_seconds: float = 0.0
    check_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A row of ``verify.json``."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "bytes": self.size,
            "loaded": self.loaded,
            "absolute_difference": self.absolute,
            "relative_difference": self.relative,
            "ok": self.ok,
            "why": self.why or None,
            "write_seconds": round(self.write_seconds, 3),
            "check_seconds": round(self.check_seconds, 3),
        }


def probe(model: nn.Module, architecture: Architecture, num_classes: int, in_channels: int) -> Probe:
    """Run a network, which is in eval mode on the CPU, on the inputs that every file of it is tried with."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    shape = (in_channels, architecture.image_size, architecture.image_size)
    images = tuple(torch.randn(batch, *shape, generator=generator) for batch in BATCHES)
    with torch.inference_mode():
        logits = tuple(model(batch) for batch in images)
    return Probe(
        architecture=architecture,
        num_classes=num_classes,
        in_channels=in_channels,
        images=images,
        logits=logits,
    )


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else _sha(file)


def _sha(file: Any) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def checked(path: Path, given: Probe, write_seconds: float = 0.0) -> Agreement:
    """Load a file of a bundle as its users would, and compare what it gives.

    Args:
        path: the file; `CHECKS` has its name. Weights and description lie beside it.
        given: the inputs, and what is expected.
        write_seconds: that it took to write, to go into the result.

    Returns:
        What was found. A file that cannot be loaded disagrees; that is no exception.
    """
    how, check = CHECKS[path.name]
    began = time.perf_counter()
    absolute = relative = None
    ok: bool | None = False
    why = digest = ""
    size = 0
    try:
        digest, size = sha256_of(path), path.stat().st_size
        absolute, relative, why = _difference(check(path, given), given.logits)
        ok = not why and relative is not None and relative <= TOLERANCE
        if not ok and not why:
            why = f"differs by {relative:.1e} of the largest logit, more than {TOLERANCE:.0e}"
    except UnverifiableError as error:
        ok, why = None, str(error)
    except Exception as error:  # whatever a damaged file makes a reader of others do
        why = f"cannot be loaded: {_in_short(error)}"
    return Agreement(
        file=path.name,
        sha256=digest,
        size=size,
        loaded=how,
        absolute=absolute,
        relative=relative,
        ok=ok,
        why=why,
        write_seconds=write_seconds,
        check_seconds=time.perf_counter() - began,
    )


def _difference(found: list[Tensor], expected: tuple[Tensor, ...]) -> tuple[float | None, float | None, str]:
    """Largest absolute and relative difference over all batches, or why there is none."""
    import torch

    absolute = relative = 0.0
    for logits, wanted in zip(found, expected, strict=True):
        if logits.shape != wanted.shape:
            shapes = f"{tuple(logits.shape)} instead of {tuple(wanted.shape)}"
            return None, None, f"gives logits of another shape: {shapes}"
        largest = float(wanted.abs().max())
        if not bool(torch.isfinite(wanted).all()):
            raise UnverifiableError("the network itself gives logits that are not finite")
        if largest < LEAST:
            raise UnverifiableError("the network's logits are zero or below float32's normal range")
        if not bool(torch.isfinite(logits).all()):
            return None, None, "gives logits that are not finite"
        here = float((logits.double() - wanted.double()).abs().max())
        absolute, relative = max(absolute, here), max(relative, here / largest)
    return absolute, relative, ""


def _run(model: nn.Module, given: Probe) -> list[Tensor]:
    import torch

    with torch.inference_mode():
        return [model(batch) for batch in given.images]


def _from_description(path: Path, given: Probe) -> list[Tensor]:
    """A network from ``architecture.yaml`` or ``.json``, with the weights beside it."""
    architecture = load_architecture(path)
    if architecture != given.architecture:
        raise ValueError("it describes another network")
    return _with_weights(path.with_name("weights.safetensors"), given, architecture)


def _with_weights(path: Path, given: Probe, architecture: Architecture | None = None) -> list[Tensor]:
    from safetensors.torch import load_file

    model = (architecture or given.architecture).build(given.num_classes, given.in_channels)
    model.load_state_dict(load_file(path))
    return _run(model.eval(), given)


# run by a fresh interpreter: our packages, and those that read safetensors, are not to be found there
_ALONE = """
import importlib.util, sys

HIDDEN = {hidden!r}

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"hidden: {{name}}")
        return None

sys.meta_path.insert(0, Hide())
source, weights, images, logits = sys.argv[1:]
import torch

spec = importlib.util.spec_from_file_location("model", source)
module = importlib.util.module_from_spec(spec)
sys.modules["model"] = module
spec.loader.exec_module(module)
model = module.build_model()
module.load_weights(model, weights)
model.eval()
torch.set_num_threads({threads})
with torch.inference_mode():
    torch.save([model(batch) for batch in torch.load(images, weights_only=True)], logits)
"""
_HIDDEN = ("controller", "nas", "results", "search_space", "trainers", "safetensors", "onnx", "timm", "ray")


def _from_source(path: Path, given: Probe) -> list[Tensor]:
    """What ``model.py`` gives in another interpreter, with torch and without us."""
    import torch

    program = _ALONE.format(hidden=_HIDDEN, threads=torch.get_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        images, logits = Path(folder) / "images.pt", Path(folder) / "logits.pt"
        torch.save(list(given.images), images)
        files = [path.absolute(), path.absolute().with_name("weights.safetensors"), images, logits]
        done = subprocess.run(  # noqa: S603 -- this interpreter, and a file that we have written
            [sys.executable, "-I", "-B", "-c", program, *map(str, files)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
        result: list[Tensor] = torch.load(logits, weights_only=True)
    return result


def _from_onnx(path: Path, given: Probe) -> list[Tensor]:
    """What onnxruntime makes of ``model.onnx`` on the processor."""
    if not importable("onnxruntime"):
        raise UnverifiableError(f"onnxruntime is not installed: pip install '{EXTRA}'")
    import torch

    onnxruntime = importlib.import_module("onnxruntime")  # it has no types
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(session.run(None, {INPUT: batch.numpy()})[0]) for batch in given.images]


def _from_timm(path: Path, given: Probe) -> list[Tensor]:
    """What timm's EfficientNet of these arguments gives with our weights, which it takes in their order."""
    from safetensors.torch import load_file

    arguments = json.loads(path.read_bytes())
    with quiet():
        try:
            timm = imported()
        except Exception as error:  # a package that does not fit this torch raises what it likes
            raise UnverifiableError(why_no_timm(error)) from None
        model = build_timm(timm, arguments)
    theirs, ours = model.state_dict(), load_file(path.with_name("weights.safetensors"))
    order = given.architecture.build(given.num_classes, given.in_channels).state_dict()
    tensors = [ours[name] for name in order]  # the file has them by name
    if others := list(differing(dict(zip(order, tensors, strict=True)), theirs)):
        raise ValueError(f"timm builds another network: {'; '.join(others[:3])}")
    model.load_state_dict(dict(zip(theirs, tensors, strict=True)))
    return _run(model.eval(), given)


def _from_pt2(path: Path, given: Probe) -> list[Tensor]:
    """What `torch.export.load` makes of ``model.pt2``."""
    import torch

    with quiet():
        model = torch.export.load(path).module()
    return _run(model, given)


Check = Callable[[Path, Probe], "list[Tensor]"]
CHECKS: Mapping[str, tuple[str, Check]] = {
    "architecture.yaml": ("load_architecture, build, weights.safetensors", _from_description),
    "architecture.json": ("load_architecture, build, weights.safetensors", _from_description),
    "architecture.timm.json": ("timm's EfficientNet, weights.safetensors by order", _from_timm),
    "weights.safetensors": ("safetensors, into the architecture's own module", _with_weights),
    "model.py": ("python -I with torch and without this library; its own reader of weights", _from_source),
    "model.pt2": ("torch.export.load", _from_pt2),
    "model.onnx": ("onnxruntime, CPUExecutionProvider", _from_onnx),
}


def _in_short(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
