"""The blocks of code on a model card: each runs as it stands, in the folder of the bundle.

The first reads an image, which its user has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from results.exporting.provenance import DataFacts

if TYPE_CHECKING:
    from results.exporting.card import CardFacts


class Use(NamedTuple):
    """One way to use a bundle.

    Attributes:
        title: for people.
        file: that must be there.
        code: what the block holds; empty where there is none for this network.
    """

    title: str
    file: str
    code: Callable[[DataFacts | None, CardFacts], str]


def _image_file(data: DataFacts | None, facts: CardFacts) -> str:
    """From a file to pixels, as the data were prepared and cropped; bilinearly where that is not known."""
    mode = {1: "L", 3: "RGB"}.get(facts.in_channels)
    if mode is None:
        return ""
    side = facts.architecture.image_size
    whole = round(side / (facts.provenance.measured_crop or 1.0))  # pixels that the central part is taken of
    lines = [f'image = ImageOps.exif_transpose(Image.open("image.png")).convert("{mode}")  # any size']
    if data is not None and data.crop == "centre square":
        lines += [
            "side = min(image.size)",
            "left, top = (image.width - side) / 2, (image.height - side) / 2",
            "box = (left, top, left + side, top + side)",
            f"image = image.resize(({whole}, {whole}), Image.Resampling.BICUBIC, box=box)",
        ]
    else:
        lines.append(f"image = image.resize(({whole}, {whole}), Image.Resampling.BILINEAR)")
    if whole > side:
        near, far = (whole - side) // 2, (whole - side) // 2 + side
        lines.append(f"image = image.crop(({near}, {near}, {far}, {far}))  # the network takes the centre")
    shape = f"({side}, {side}, {facts.in_channels})"
    body = "\n".join(lines)
    return f"""import numpy as np
from PIL import Image, ImageOps

{body}
pixels = np.asarray(image, np.float32).reshape{shape}.transpose(2, 0, 1)[None]
print(pixels.shape)  # (1, {facts.in_channels}, {side}, {side}), 0 to 255
# in the blocks of torch: pixels = torch.from_numpy(pixels)"""


def _torch_alone(data: DataFacts | None, facts: CardFacts) -> str:
    return f"""import torch

from model import build_model, load_weights

{_images(data, facts)}
model = build_model()
load_weights(model, "weights.safetensors")
with torch.inference_mode():
    logits = model.eval()(images)
print(logits.argmax(1))"""


def _onnx(data: DataFacts | None, facts: CardFacts) -> str:
    return f"""import numpy as np
import onnxruntime

{_images(data, facts, numpy=True)}
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {{"images": images}})
print(logits.argmax(1))"""


def _pt2(data: DataFacts | None, facts: CardFacts) -> str:
    return f"""import torch

{_images(data, facts)}
model = torch.export.load("model.pt2").module()
with torch.inference_mode():
    logits = model(images)
print(logits.argmax(1))"""


def _library(data: DataFacts | None, facts: CardFacts) -> str:
    sizes = f"num_classes={facts.num_classes}, in_channels={facts.in_channels}"
    return f"""import torch

import nas

{_images(data, facts)}
model = nas.load_architecture("architecture.yaml").build({sizes})
nas.load_weights(model, "weights.safetensors")
with torch.inference_mode():
    logits = model.eval()(images)
print(logits.argmax(1))"""


def _images(data: DataFacts | None, facts: CardFacts, *, numpy: bool = False) -> str:
    """Stand-ins for a user's images, and what makes inputs of them."""
    side, channels = facts.architecture.image_size, facts.in_channels
    shape = f"(2, {channels}, {side}, {side})"
    draw = f"np.random.randint(0, 256, {shape})" if numpy else f"torch.randint(0, 256, {shape})"
    lines = [f"pixels = {draw}  # instead of your images, 0 to 255"]
    if data is None or data.mean is None or data.std is None:
        made = "(pixels / 255).astype(np.float32)" if numpy else "pixels / 255"
        return "\n".join([*lines, f"images = {made}  # then normalised as the weights were trained"])
    for name, values in (("mean", data.mean), ("std", data.std)):
        listed = f"[{', '.join(f'{value:.8g}' for value in values)}]"
        array = f"np.array({listed}, np.float32)" if numpy else f"torch.tensor({listed})"
        lines.append(f"{name} = {array}.reshape(-1, 1, 1)")
    made = "(pixels / 255 - mean) / std"
    return "\n".join([*lines, f"images = ({made}).astype(np.float32)" if numpy else f"images = {made}"])


USES = (
    Use("An image file as `pixels`", "model.py", _image_file),
    Use("With torch alone", "model.py", _torch_alone),
    Use("With onnxruntime", "model.onnx", _onnx),
    Use("With torch.export", "model.pt2", _pt2),
    Use("With nas-road", "architecture.yaml", _library),
)
