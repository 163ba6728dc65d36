"""Images on the device that trains: uint8 until the step that reads them, augmented in whole batches.

All that is random about an epoch (order, shifts, flips, crops) is drawn on the host before it begins, from
one generator, and put on the device in one table. So the draws are the same on every device, and a step
needs nothing from the host: it reads the row of the table that its counter points to, which is what lets a
whole step be captured as a CUDA graph.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from trainers.data import SPLIT_SEED, ImageSet

RESIDENT_SHARE = 0.25  # of a GPU's free memory that images may take, since candidates may share it
CROP_RATIO = 4 / 3  # sides of a crop are within this ratio, as in Inception's preprocessing


def subset_of(labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Indices of `count` images, classes in proportion, ascending; a smaller subset lies in a larger one."""
    generator = np.random.default_rng(SPLIT_SEED)
    place = np.empty(len(labels))  # how far through its class an image comes, 0 to 1
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[generator.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.argsort(place, kind="stable")[:count])


class Normalisation(Protocol):
    """What images are normalised by; see `Dataset`, or `trainers.checkpoints.CheckpointFacts`."""

    @property
    def mean(self) -> tuple[float, ...]: ...

    @property
    def std(self) -> tuple[float, ...]: ...


class DeviceImages:
    """Images of one part, handed out in normalised batches.

    Args:
        images: of the part.
        data: the set they belong to, or another that has the mean and the deviation.
        device: where batches are wanted.
        indices: the images to use, (n,); None is all.
        resident: keep them on the device; None does so where they take little of its memory. Others stay in
            the host's memory, or on disk behind a mapping, and travel batch by batch.
    """

    def __init__(
        self,
        images: ImageSet,
        data: Normalisation,
        device: str,
        indices: npt.NDArray[np.int64] | None = None,
        resident: bool | None = None,
    ) -> None:
        pixels, labels = images.images, images.labels
        if indices is not None:
            pixels, labels = pixels[indices], labels[indices]
        self.device = torch.device(device)
        if resident is None:
            resident = self.device.type == "cpu" or (
                pixels.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(self.device)[0]
            )
        self.resident = resident
        self.images = _tensor(pixels)  # (N, H, W, C)
        if resident:
            self.images = self.images.to(self.device)
        self.labels = _tensor(labels).to(self.device)  # (N,)
        self.mean = torch.tensor(data.mean, device=self.device) * 255.0
        self.scale = 1.0 / (torch.tensor(data.std, device=self.device) * 255.0 + 1e-9)

    def __len__(self) -> int:
        return len(self.labels)

    def fetched(self, index: Tensor) -> Tensor:
        """The raw images at `index` (B,), which lies on the host, as (B, H, W, C) uint8 on the device."""
        if self.resident:
            return self.images[index.to(self.device, non_blocking=True)]
        raw = self.images[index]
        return raw.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else raw

    def normalised(self, raw: Tensor) -> Tensor:
        """Raw images as (B, C, H, W) float32, channels last in memory."""
        return ((raw.float() - self.mean) * self.scale).permute(0, 3, 1, 2)


def _tensor(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():  # shared and mapped memory is read-only, and nothing here writes
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(np.ascontiguousarray(array) if not isinstance(array, np.memmap) else array)


class Augmentation(Protocol):
    """What a plan depends on; see `trainers.ProxyProtocol`, or `trainers.Recipe`."""

    @property
    def batch(self) -> int: ...

    @property
    def shift(self) -> int: ...

    @property
    def flip(self) -> bool: ...

    @property
    def crop_area(self) -> float: ...


@dataclass(slots=True)
class EpochPlan:
    """What is random about an epoch, a row a step, on the device.

    Attributes:
        host_order: images of the steps, (steps, B) int64, on the host.
        order: the same on the device.
        offsets: rows and columns to move by, (steps, 2, B) int64, 0 to 2 * shift; None without shifts.
        mirrored: (steps, B) bool; None without flips.
        crops: scale and centre of the part that is kept, (steps, 4, B) float32: height and width as shares,
            then vertical and horizontal centre from -1 to 1; None without crops.
    """

    host_order: Tensor
    order: Tensor
    offsets: Tensor | None
    mirrored: Tensor | None
    crops: Tensor | None

    @classmethod
    def empty(cls, images: int, protocol: Augmentation, device: torch.device) -> EpochPlan:
        """Tables to be filled, at addresses that stay."""
        steps, batch = images // protocol.batch, protocol.batch
        return cls(
            host_order=torch.empty((steps, batch), dtype=torch.int64),
            order=torch.empty((steps, batch), dtype=torch.int64, device=device),
            offsets=torch.empty((steps, 2, batch), dtype=torch.int64, device=device)
            if protocol.shift
            else None,
            mirrored=torch.empty((steps, batch), dtype=torch.bool, device=device) if protocol.flip else None,
            crops=torch.empty((steps, 4, batch), device=device) if protocol.crop_area < 1 else None,
        )

    def draw(self, images: int, protocol: Augmentation, generator: torch.Generator) -> None:
        """Draw an epoch on the host and put it in the tables."""
        steps, batch = self.order.shape
        self.host_order.copy_(torch.randperm(images, generator=generator)[: steps * batch].view(steps, batch))
        self.order.copy_(self.host_order)
        if self.offsets is not None:
            self.offsets.copy_(
                torch.randint(0, 2 * protocol.shift + 1, self.offsets.shape, generator=generator)
            )
        if self.mirrored is not None:
            self.mirrored.copy_(torch.rand(self.mirrored.shape, generator=generator) < 0.5)
        if self.crops is not None:
            self.crops.copy_(_drawn_crops(self.crops.shape, protocol.crop_area, generator))

    def part(self, start: int, stop: int) -> EpochPlan:
        """The plan of the images `start` to `stop` of every step; it is drawn with the whole."""
        batch = slice(start, stop)
        return EpochPlan(
            host_order=self.host_order[:, batch],
            order=self.order[:, batch],
            offsets=None if self.offsets is None else self.offsets[:, :, batch],
            mirrored=None if self.mirrored is None else self.mirrored[:, batch],
            crops=None if self.crops is None else self.crops[:, :, batch],
        )

    def augmented(self, raw: Tensor, step: Tensor, shift: int) -> Tensor:
        """A step's raw images moved and mirrored; `step` is (1,) int64 on the device."""
        if self.offsets is not None:
            raw = shifted(raw, self.offsets.index_select(0, step)[0], shift)
        if self.mirrored is not None:
            mirrored = self.mirrored.index_select(0, step)[0]
            raw = torch.where(mirrored[:, None, None, None], raw.flip(2), raw)
        return raw

    def cropped(self, x: Tensor, step: Tensor, size: int | None = None) -> Tensor:
        """A step's images (B, C, H, W), each a part of itself resized to `size` or the whole, bilinearly."""
        size = size or x.shape[-1]
        if self.crops is None:
            return resized(x, size)
        height, width, vertical, horizontal = self.crops.index_select(0, step)[0].unbind()
        zero = torch.zeros_like(height)
        rows = torch.stack([width, zero, horizontal, zero, height, vertical], 1)
        shape = [*x.shape[:2], size, size]
        grid = functional.affine_grid(rows.view(-1, 2, 3), shape, align_corners=False)
        parts = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
        return parts.contiguous(memory_format=torch.channels_last)


def resized(x: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) at another size, bilinearly and antialiased; as they are where they have it."""
    if x.shape[-2:] == (size, size):
        return x
    return functional.interpolate(x, (size, size), mode="bilinear", antialias=True)


def shifted(images: Tensor, offsets: Tensor, shift: int) -> Tensor:
    """Each image (B, H, W, C) moved by its own offset (2, B) - shift; the border is zero."""
    _, height, width, _ = images.shape
    padded = functional.pad(images, (0, 0, shift, shift, shift, shift))
    rows = offsets[0][:, None] + torch.arange(height, device=images.device)  # (B, H)
    columns = offsets[1][:, None] + torch.arange(width, device=images.device)  # (B, W)
    which = torch.arange(len(images), device=images.device)
    return padded[which[:, None, None], rows[:, :, None], columns[:, None, :]]


def _drawn_crops(shape: torch.Size, least_area: float, generator: torch.Generator) -> Tensor:
    """Random parts (steps, 4, B), see `EpochPlan.crops`: area uniform, ratio uniform in its logarithm."""
    area, ratio, *places = torch.rand(shape, generator=generator).unbind(1)
    area = least_area + (1.0 - least_area) * area
    stretch = torch.exp((ratio - 0.5) * math.log(CROP_RATIO))  # the square root of height / width
    sides = [(area.sqrt() * stretch).clamp(max=1.0), (area.sqrt() / stretch).clamp(max=1.0)]
    centres = [(2.0 * place - 1.0) * (1.0 - side) for place, side in zip(places, sides, strict=True)]
    return torch.stack([*sides, *centres], 1)
