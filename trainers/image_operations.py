"""The operations of AutoAugment's search space, on batches of uint8 images and on any device.

Each takes images (n, H, W, C) uint8 with C 1 or 3, and one argument an image, (n,) float64 on the host, and
gives new images (n, H, W, C) uint8. What comes out is what Pillow gives for each image by itself, to the last
bit (``ImageOps``, ``ImageEnhance``, ``Image.transform`` and ``Image.rotate`` without interpolation), except
that pixels from outside an image are grey, as in the reference.

All is whole numbers or single products and sums, so the result is the same on every device and does not
depend on the other images. Sources: arXiv 1805.09501, table 6, and tensorflow/tpu,
``models/official/efficientnet/autoaugment.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

GREY = 128  # where an image has been moved away, as in the reference
_FIXED = 65536.0  # coordinates are multiples of 1/65536 of a pixel, as in Pillow

Operation = Callable[[Tensor, Tensor], Tensor]


def _an_image(values: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """One value an image, (n, 1, 1, 1), beside the images."""
    return values.to(dtype).view(-1, 1, 1, 1).to(x.device, non_blocking=True)


def _entries(x: Tensor) -> Tensor:
    """Where each value stands in tables (n, C, 256) that lie one after the other, (n * H * W * C,) int32."""
    count, height, width, channels = x.shape
    tables = torch.arange(count * channels, dtype=torch.int32, device=x.device).view(count, 1, 1, channels)
    first = (256 * tables).expand(count, 1, width, channels).reshape(count, 1, -1)  # long rows add fast
    return x.reshape(count, height, -1).int().add_(first).view(-1)


def _looked_up(tables: Tensor, entries: Tensor, x: Tensor) -> Tensor:
    """The values of tables (n, C, 256) at the entries of the images."""
    return tables.reshape(-1).to(torch.uint8).index_select(0, entries).view_as(x)


def _most(x: Tensor) -> Tensor:
    """The highest value of each channel, (n, C, 1)."""
    count, height, _, channels = x.shape
    return (
        x.reshape(count, height, -1).amax(1).view(count, -1, channels).amax(1)[..., None]
    )  # by rows is fast


def auto_contrast(x: Tensor, _: Tensor) -> Tensor:
    """Each channel stretched to 0 to 255; a channel of one value stays."""
    most = _most(x).double()  # (n, C, 1)
    least = 255.0 - _most(255 - x).double()
    flat = most <= least
    full = torch.full_like(most, 255.0)  # of a number by a tensor, torch makes a product with the reciprocal
    scale = torch.where(flat, 1.0, full / (most - least))
    offset = torch.where(flat, 0.0, -least * scale)
    values = torch.arange(256, dtype=torch.float64, device=x.device)
    return _looked_up((values * scale + offset).clamp(0, 255), _entries(x), x)


def equalize(x: Tensor, _: Tensor) -> Tensor:
    """Each channel's values spread evenly over 0 to 255, by the channel's histogram."""
    entries = _entries(x)
    tables = len(x) * x.shape[3]
    histogram = torch.bincount(entries, minlength=256 * tables).view(len(x), -1, 256)  # (n, C, 256)
    step = (histogram.sum(2, keepdim=True) - histogram.gather(2, _most(x).long())) // 255
    below = histogram.cumsum(2) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    return _looked_up(torch.where(step > 0, table, torch.arange(256, device=x.device)), entries, x)


def invert(x: Tensor, _: Tensor) -> Tensor:
    """255 less each value."""
    return 255 - x


def posterize(x: Tensor, bits: Tensor) -> Tensor:
    """The highest `bits` of each value, 0 to 8, and zeros."""
    kept = torch.full_like(bits, 0xFF00, dtype=torch.int64) >> bits.long() & 0xFF
    return x & _an_image(kept, x, torch.uint8)


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    """Values from `threshold` on inverted; 256 inverts none."""
    return torch.where(x < _an_image(threshold, x, torch.int16), x, 255 - x)


def solarize_add(x: Tensor, amount: Tensor) -> Tensor:
    """`amount`, 0 to 127, added to the values below 128."""
    return torch.where(x < 128, x + _an_image(amount, x, torch.uint8), x)


def _blended(base: Tensor | float, image: Tensor, factor: Tensor) -> Tensor:
    """`base` for a factor of 0, the image for 1, and beyond it for more; floats, as new uint8."""
    return (image - base).mul_(factor).add_(base).clamp_(0.0, 255.0).to(torch.uint8)


def _factors(factor: Tensor, x: Tensor) -> Tensor:
    return _an_image(factor, x, torch.float32)


def _luminance(planes: Tensor) -> Tensor:
    """ITU-R 601-2, rounded, of planes (C, ...) float32, exact; grey images are their own."""
    if len(planes) == 1:
        return planes[0]
    red, green, blue = planes
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000).mul_(2.0**-16).floor_()  # all below 2**24


def _planes(x: Tensor) -> Tensor:
    """The channels apart, (C, n, H, W) float32."""
    return x.permute(3, 0, 1, 2).contiguous().float()


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Black for 0, the image for 1, brighter beyond."""
    return _blended(0.0, x.float(), _factors(factor, x))


def color(x: Tensor, factor: Tensor) -> Tensor:
    """Without colour for 0, the image for 1, more colour beyond; grey images stay."""
    if x.shape[3] == 1:
        return x
    planes = _planes(x)
    mixed = _blended(_luminance(planes), planes, _factors(factor, x)[..., 0])
    return torch.stack(mixed.unbind(), 3)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """The image's mean luminance for 0, the image for 1, more contrast beyond."""
    pixels = x.shape[1] * x.shape[2]
    total = _luminance(_planes(x)).sum((1, 2), dtype=torch.float64).long()  # whole numbers, so exact
    mean = (2 * total + pixels) // (2 * pixels)  # rounded half up
    return _blended(mean.float().view(-1, 1, 1, 1), x.float(), _factors(factor, x))


def sharpness(x: Tensor, factor: Tensor) -> Tensor:
    """Smoothed for 0, the image for 1, sharper beyond; the outermost pixels stay."""
    wide = x.short()
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    weighed = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * wide[:, 1:-1, 1:-1]  # of thirteen
    image = x.float()
    smooth = image.clone()
    smooth[:, 1:-1, 1:-1] = weighed.float().mul_(1 / 13).add_(0.5).floor_()  # never near a whole number
    return _blended(smooth, image, _factors(factor, x))


def _moved(x: Tensor, rows: list[Tensor | float]) -> Tensor:
    """Each image read at affine places, the nearest pixel.

    Args:
        x: images (n, H, W, C).
        rows: a, b, c, d, e, f as in ``Image.transform``: the pixel at (x, y) comes from column
            ``a x + b y + c`` and row ``d x + e y + f``, of pixels' centres; (n,) float64 each, or a number.
    """
    count, height, width, channels = x.shape
    a, b, c, d, e, f = (torch.as_tensor(value, dtype=torch.float64).expand(count) for value in rows)
    places = torch.stack([a, b, c + (a + b) / 2, d, e, f + (d + e) / 2])  # of the first pixel's centre
    fixed = (places * _FIXED + 0.5).floor().to(torch.int32).to(x.device, non_blocking=True)
    a, b, c, d, e, f = fixed[:, :, None, None].unbind()
    across = torch.arange(width, dtype=torch.int32, device=x.device)
    down = torch.arange(height, dtype=torch.int32, device=x.device)[:, None]
    bordered = x.new_full((count, height + 2, width + 2, channels), GREY)
    bordered[:, 1:-1, 1:-1] = x
    image = torch.arange(count, dtype=torch.int32, device=x.device).view(-1, 1, 1)
    first = (image * (height + 2) + 1) * (width + 2) + 1  # in the bordered images, of each image's pixels
    column = ((c + a * across) + b * down).bitwise_right_shift_(16).clamp_(-1, width)  # (n, H, W)
    row = ((f + d * across) + e * down).bitwise_right_shift_(16).clamp_(-1, height)
    place = row.mul_(width + 2).add_(column).add_(first)
    return bordered.view(-1, channels).index_select(0, place.view(-1)).view_as(x)


def shear_x(x: Tensor, slope: Tensor) -> Tensor:
    """Each row moved by `slope` times its number to the left."""
    return _moved(x, [1.0, slope, 0.0, 0.0, 1.0, 0.0])


def shear_y(x: Tensor, slope: Tensor) -> Tensor:
    """Each column moved up by `slope` times its number."""
    return _moved(x, [1.0, 0.0, 0.0, slope, 1.0, 0.0])


def translate_x(x: Tensor, pixels: Tensor) -> Tensor:
    """Moved to the left."""
    return _moved(x, [1.0, 0.0, pixels, 0.0, 1.0, 0.0])


def translate_y(x: Tensor, pixels: Tensor) -> Tensor:
    """Moved up."""
    return _moved(x, [1.0, 0.0, 0.0, 0.0, 1.0, pixels])


def rotate(x: Tensor, degrees: Tensor) -> Tensor:
    """Turned about the centre, counter-clockwise."""
    height, width = x.shape[1] / 2, x.shape[2] / 2
    cos, sin = torch.cos(-degrees.deg2rad()), torch.sin(-degrees.deg2rad())
    across = width - cos * width - sin * height
    down = height + sin * width - cos * height
    return _moved(x, [cos, sin, across, -sin, cos, down])


def cutout(raw: Tensor, size: int, generator: torch.Generator, fill: int | Tensor = GREY) -> Tensor:
    """One square a image blotted out (arXiv 1708.04552).

    Args:
        raw: images (B, H, W, C) uint8, with any number of channels, on any device.
        size: side of the square, in pixels; 0 gives the images back. The centre is uniform over the pixels,
            so that part of the square may lie outside.
        generator: on the host; two numbers an image are drawn.
        fill: the value, or one a channel, (C,).

    Returns:
        New images of the same shape.

    Raises:
        ValueError: a negative size.
    """
    if size < 0:
        raise ValueError(f"size must be 0 or more, got {size}")
    if size == 0:
        return raw
    count, height, width, _ = raw.shape
    rows = torch.randint(height, (count, 1), generator=generator) - size // 2
    columns = torch.randint(width, (count, 1), generator=generator) - size // 2
    down = torch.arange(height) - rows  # (B, H), from the square's upper edge
    across = torch.arange(width) - columns
    hidden_rows, hidden_columns = (down >= 0) & (down < size), (across >= 0) & (across < size)
    rows, columns = (one.to(raw.device, non_blocking=True) for one in (hidden_rows, hidden_columns))
    value = torch.as_tensor(fill, dtype=torch.uint8).to(raw.device, non_blocking=True)
    return torch.where(rows[:, :, None, None] & columns[:, None, :, None], value, raw)


OPERATIONS: dict[str, Operation] = {
    "auto_contrast": auto_contrast,
    "brightness": brightness,
    "color": color,
    "contrast": contrast,
    "equalize": equalize,
    "invert": invert,
    "posterize": posterize,
    "rotate": rotate,
    "sharpness": sharpness,
    "shear_x": shear_x,
    "shear_y": shear_y,
    "solarize": solarize,
    "solarize_add": solarize_add,
    "translate_x": translate_x,
    "translate_y": translate_y,
}
