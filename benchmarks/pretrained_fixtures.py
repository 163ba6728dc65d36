"""Names, shapes and outputs of EfficientNets as torchvision, timm and EfficientNet-PyTorch build them.

    pip install --no-deps --target FOLDER torchvision timm efficientnet_pytorch==0.7.1
    PYTHONPATH=FOLDER python -m benchmarks.pretrained_fixtures --check    # do the packages still say this
    PYTHONPATH=FOLDER python -m benchmarks.pretrained_fixtures --write    # write the file anew
    PYTHONPATH=FOLDER python -m benchmarks.pretrained_fixtures --own-size # at 224 to 600 pixels, beside ours
    python -m benchmarks.pretrained_fixtures                              # our networks beside the file

The file is ``tests/fixtures/pretrained.json.gz``. The packages do not import beside every torch, so that
tests read the file. No published weights are in it: each tensor is a function of its name and shape
(`seeded_tensor`), written into the package's network, which then sees two fixed images of 64 pixels in
float32. EfficientNet-PyTorch is built for that size, as it pads by the size that it is built for.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainers.pretrained_sources import MEMBERS, SOURCES

FILE = Path(__file__).parent.parent / "tests" / "fixtures" / "pretrained.json.gz"
IMAGE_SIZE = 64  # pixels; with an even side at every stride the two paddings differ everywhere
IMAGES = 2
EVERY = 59  # of 1,000 logits, every so many are kept
_PRIME = 65_521


@lru_cache(1)
def _noise() -> npt.NDArray[np.float32]:
    """A prime number of values from -1 to 1, the same with every NumPy: raw bits, and no distribution."""
    bits = np.random.PCG64(11).random_raw(_PRIME) >> np.uint64(40)
    return (bits.astype(np.float32) / np.float32(2**23) - np.float32(1.0)).astype(np.float32)


def seeded_tensor(name: str, shape: tuple[int, ...], gain: float) -> Tensor:
    """A tensor that is a function of its name and shape: noise from a place that the name's SHA-256 gives.

    Variances are small, so that epsilon counts.

    Args:
        name, shape: of the tensor.
        gain: variance of a convolution's outputs over that of its inputs; into a block, half of it out of it.
    """
    if not shape:
        return torch.tensor(7)  # num_batches_tracked
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % _PRIME
    values = torch.from_numpy(np.resize(np.roll(_noise(), -start), shape))
    if len(shape) == 2:
        return values * math.sqrt(3.0 / shape[1])  # the classifier
    if len(shape) == 4:
        its = gain if shape[0] > shape[1] else gain / 2.0
        return values * math.sqrt(3.0 * its / math.prod(shape[1:]))
    if name.endswith("running_var"):
        return 0.03 + 0.02 * values
    return 1.0 + 0.3 * values if name.endswith("weight") else 0.1 * values


def seeded_images(size: int = IMAGE_SIZE) -> Tensor:
    """Images (`IMAGES`, 3, size, size), float32."""
    shape = (IMAGES, 3, size, size)
    return torch.from_numpy(np.resize(_noise()[::-1], shape)).float() * 4.0


def seeded_state(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A state dict by names and shapes; the deeper, the less is gained a layer, and outputs stay near 1."""
    norms = sum(name.endswith("running_var") for name in shapes)
    gain = 0.08 * (49.0 / norms) ** 0.3  # of 49 batch norms, as B0 has them
    return {name: seeded_tensor(name, tuple(shape), gain) for name, shape in shapes.items()}


@torch.no_grad()
def logits_of(model: nn.Module, size: int = IMAGE_SIZE) -> Tensor:
    """The kept logits (`IMAGES`, kept) of a network for the images, in its own precision."""
    dtype = next(model.parameters()).dtype
    return model.eval()(seeded_images(size).to(dtype))[:, ::EVERY]


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest value."""
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max())


def load_fixtures() -> dict[str, Any]:
    """What is in the file."""
    return json.loads(gzip.decompress(FILE.read_bytes()))


def shapes_of(fixtures: Mapping[str, Any], source: str, member: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's tensors, in its order."""
    naming = "timm" if source == "timm_tf" else source  # the same names and shapes, as `fixtures_now` saw
    return {name: tuple(shape) for name, shape in fixtures["tensors"][naming][member]}


def ours(source: str, member: str, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """Our network with a source's seeded weights, by way of a file as a user has it."""
    from safetensors.torch import save_file

    from trainers.pretrained import read_pretrained

    path = folder / f"{source}-{member}.safetensors"
    save_file(seeded_state(shapes), path)
    found = read_pretrained(path, source=source)
    path.unlink()
    return found.model


def let_torchvision_import() -> None:
    """Declare the operators that torchvision wants to describe while it is imported.

    Its compiled library does not load beside every torch, and its networks need nothing of it.
    """
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)


_KEPT: list[Any] = []  # a library that is collected takes its operators with it


def _torchvision(member: str, size: int | None) -> tuple[nn.Module, dict[str, Any]]:
    from torchvision import models
    from torchvision.transforms._presets import ImageClassification

    weights = models.get_model_weights(f"efficientnet_{member}").DEFAULT
    images = weights.transforms.keywords
    usual = ImageClassification(crop_size=1)
    facts = {
        "image_size": images["crop_size"],
        "crop": images["crop_size"] / images["resize_size"],
        "mean": images.get("mean", usual.mean),
        "std": images.get("std", usual.std),
    }
    return models.get_model(f"efficientnet_{member}"), facts


def _timm(name: str) -> tuple[nn.Module, dict[str, Any]]:
    import timm

    # of B1 it is the one with a file of its own among timm's releases; the hub's have a config.json
    tagged = "efficientnet_b1.ft_in1k" if name == "efficientnet_b1" else name
    config = timm.get_pretrained_cfg(tagged)
    facts = {
        "image_size": config.input_size[-1],
        "crop": config.crop_pct,
        "mean": config.mean,
        "std": config.std,
    }
    return timm.create_model(name), facts


def _lukemelas(member: str, size: int | None) -> tuple[nn.Module, dict[str, Any]]:
    from efficientnet_pytorch import EfficientNet

    name = f"efficientnet-{member}"
    changes = {} if size is None else {"image_size": size}
    # its README gives the rest in words
    return EfficientNet.from_name(name, **changes), {"image_size": EfficientNet.get_image_size(name)}


Built = tuple[nn.Module, dict[str, Any]]
BUILDERS: dict[str, Callable[[str, int | None], Built]] = {
    "torchvision": _torchvision,
    "timm": lambda member, size: _timm(f"efficientnet_{member}"),
    "timm_tf": lambda member, size: _timm(f"tf_efficientnet_{member}"),
    "efficientnet_pytorch": _lukemelas,
}


def built(source: str, member: str, size: int | None) -> tuple[nn.Module, dict[str, Any]]:
    """A package's network with seeded weights, and what the package says of it.

    Args:
        source, member: which.
        size: pixels that it is to be built for; None is its own size.
    """
    model, facts = BUILDERS[source](member, size)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(seeded_state(shapes))
    (eps,) = {module.eps for module in model.modules() if isinstance(module, nn.BatchNorm2d)}
    convolutions = {type(module).__name__ for module in model.modules() if isinstance(module, nn.Conv2d)}
    same = any("Same" in name for name in convolutions)
    return model.eval(), {**facts, "bn_eps": eps, "padding": "same" if same else "symmetric"}


def fixtures_now() -> dict[str, Any]:
    """What the packages that are installed say."""
    import efficientnet_pytorch
    import timm
    import torchvision

    versions = {"torchvision": torchvision, "timm": timm, "efficientnet_pytorch": efficientnet_pytorch}
    tensors: dict[str, Any] = {}
    networks: dict[str, Any] = {}
    for source in SOURCES:
        for member in MEMBERS:
            model, facts = built(source, member, IMAGE_SIZE)
            found = [[name, list(tensor.shape)] for name, tensor in model.state_dict().items()]
            known = tensors.setdefault("timm" if source == "timm_tf" else source, {})
            if known.setdefault(member, found) != found:
                raise SystemExit(f"{source} {member}: is no longer named as timm's plain network")
            logits = [[float(f"{value:.8g}") for value in row] for row in logits_of(model).tolist()]
            networks.setdefault(source, {})[member] = {**facts, "logits": logits}
            print(
                source,
                member,
                f"largest logit {max(abs(value) for row in logits for value in row):.2f}",
                flush=True,
            )
    made = {name: package.__version__ for name, package in versions.items()}
    return {"made_with": {**made, "torch": torch.__version__}, "tensors": tensors, "networks": networks}


def write() -> None:
    """Write the file."""
    text = json.dumps(fixtures_now(), separators=(",", ":"))
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"wrote {FILE.name}: {FILE.stat().st_size:,} bytes")


def check() -> bool:
    """Whether the packages still say what the file says."""
    there, now = load_fixtures(), json.loads(json.dumps(fixtures_now()))
    good = there["tensors"] == now["tensors"]
    print("names and shapes:", "as in the file" if good else "OTHERS than in the file")
    for source, members in there["networks"].items():
        for member, facts in members.items():
            other = now["networks"][source][member]
            off = relative_difference(torch.tensor(other.pop("logits")), torch.tensor(facts.pop("logits")))
            agrees = off <= 1e-5 and facts == other
            print(f"{source} {member}: logits {off:.1e}{'' if facts == other else f', {facts} are {other}'}")
            good = good and agrees
    return good


def beside_ours() -> bool:
    """Whether our networks give the outputs that the file has."""
    import tempfile

    fixtures, good = load_fixtures(), True
    with tempfile.TemporaryDirectory() as folder:
        for source, members in fixtures["networks"].items():
            for member, facts in members.items():
                model = ours(source, member, Path(folder), shapes_of(fixtures, source, member))
                off = relative_difference(logits_of(model), torch.tensor(facts["logits"]))
                print(f"{source} {member}: {off:.1e}", flush=True)
                good = good and off <= 1e-5
    return good


def at_own_size() -> bool:
    """Whether our networks give the packages' outputs at the sizes that these are published for."""
    import tempfile

    good = True
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            for member in MEMBERS:
                theirs, facts = built(source, member, None)
                shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
                size = facts["image_size"]
                expected = logits_of(theirs, size)
                off = relative_difference(
                    logits_of(ours(source, member, Path(folder), shapes), size), expected
                )
                print(f"{source} {member} at {size}: {off:.1e}", flush=True)
                good = good and off <= 1e-5
    return good


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="write the file by the packages")
    what.add_argument("--check", action="store_true", help="compare the packages with the file")
    what.add_argument("--own-size", action="store_true", help="compare ours with the packages at full size")
    options = parser.parse_args()
    if options.write or options.check or options.own_size:
        let_torchvision_import()
    if options.write:
        write()
    else:
        good = check() if options.check else at_own_size() if options.own_size else beside_ours()
        sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
