"""Decoding images in processes that write straight into mapped files; nothing but counts comes back.

An image becomes RGB (or grey), upright as its EXIF data say; the centre square of its shorter side is scaled
to the size with Pillow's antialiased bicubic filter, which is scaling the shorter side and then cropping the
centre. Pillow's ``draft``, which decodes a JPEG at a half or less, is not used: at twice the size asked for
it is two to three times as fast, but moves pixels of photographs by 1 to 2 of 255 on average and 45 at most.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from search_space import InputError
from trainers.image_sources import Payload

RESIZED = "upright by EXIF; shorter side scaled (Pillow, bicubic, antialiased), then the centre square"


class Task(NamedTuple):
    """One image to decode: where it goes (a file's number, a row), and what it is."""

    file: int
    row: int
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The files that images are written to.

    Attributes:
        files: NumPy files of uint8 (N, H, W, C).
        image_size: H and W.
        channels: C, 3 or 1.
    """

    files: tuple[Path, ...]
    image_size: int
    channels: int


@dataclass(slots=True)
class Decoded:
    """What became of a batch.

    Attributes:
        images: how many were tried.
        failed: file, row and reason of those that could not be decoded.
        histograms: (files, C, 256) int64: how often each file's channel has each value.
    """

    images: int
    histograms: npt.NDArray[np.int64]
    failed: list[tuple[int, int, str]] = field(default_factory=list)


def decode(payload: Payload, image_size: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    """One image as (image_size, image_size, channels) uint8.

    Args:
        payload: the path of an encoded image, its contents, or pixels.
        image_size: pixels.
        channels: 3 (RGB) or 1 (grey).

    Raises:
        Exception: whatever Pillow raises on an image that cannot be read.
    """
    if isinstance(payload, np.ndarray):
        opened = Image.fromarray(payload)
    else:
        opened = Image.open(payload if isinstance(payload, str) else io.BytesIO(payload))
    with opened as image:
        mode = "RGB" if channels == 3 else "L"
        ImageOps.exif_transpose(image, in_place=True)
        upright = _eight_bits(image)
        if upright.mode != mode:
            upright = upright.convert(mode)
        width, height = upright.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        small = upright.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(small).reshape(image_size, image_size, channels)


def decode_file(path: Path | str, image_size: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    """The image of a file that a user names, as `decode` gives it; of an animation the first.

    Raises:
        InputError: there is no such file, it is no image, is damaged, or has more pixels than Pillow takes
            for a file that was made to fill the memory.
    """
    try:
        there, folder = Path(path).is_file(), Path(path).is_dir()
    except (OSError, ValueError):  # a name that no file can have
        there = folder = False
    if not there:
        raise InputError(f"{path}: {'is a folder; name the images in it' if folder else 'no such image'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as where data are prepared
            return decode(str(path), image_size, channels)
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(f"{path}: has more than {most:,} pixels; scale it down first") from None
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: {_reason(error)}") from None
    except Exception as error:  # a decoder may raise anything on bad data
        raise InputError(f"{path}: cannot be read as an image: {_reason(error)}") from None


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16 bits a pixel (medical ones, say) by its upper eight; Pillow would clip it to white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"has pixels of 32 bits (mode {image.mode})")
    return image


def decode_all(batches: Iterable[list[Task]], target: Target, workers: int) -> Generator[Decoded, None, None]:
    """Decode batches, in this process or in several, into the target's files.

    Closing the iterator ends the processes.

    Args:
        batches: taken as they are needed.
        target: files that exist and are large enough.
        workers: processes; 1 is this one.

    Raises:
        InputError: a worker died.
    """
    if workers == 1:
        writer = _Writer(target)
        for batch in batches:
            yield writer(batch)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(target, stop))
    running: set[Future[Decoded]] = set()
    try:
        for batch in batches:
            with _no_interrupts():  # a process inherits what is blocked when it starts
                running.add(pool.submit(_work, batch))
            if len(running) >= 3 * workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenProcessPool:
        raise InputError(
            "a process that decodes images died, perhaps for want of memory; try fewer --workers"
        ) from None
    finally:
        stop.set()  # what was begun and is no longer wanted
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Writer:
    """Decodes batches into the mapped files of a target."""

    def __init__(self, target: Target, stop: Event | None = None) -> None:
        self.target, self.stop = target, stop
        self.files = [np.load(path, mmap_mode="r+") for path in target.files]

    def __call__(self, batch: list[Task]) -> Decoded:
        size, channels = self.target.image_size, self.target.channels
        result = Decoded(len(batch), np.zeros((len(self.files), channels, 256), np.int64))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF data and very large images
            for file, row, payload in batch:
                if self.stop is not None and self.stop.is_set():
                    break
                try:
                    image = decode(payload, size, channels)
                except Exception as error:  # a decoder may raise anything on bad data
                    result.failed.append((file, row, _reason(error)))
                    continue
                self.files[file][row] = image
                for channel in range(channels):
                    values = image[..., channel].ravel()
                    result.histograms[file, channel] += np.bincount(values, minlength=256)
        return result


def _reason(error: Exception) -> str:
    """One line that is the same for a file and for an archive's member."""
    if isinstance(error, UnidentifiedImageError):
        return "is no image, or is empty"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


_writer: _Writer | None = None  # of a worker process


def _start_worker(target: Target, stop: Event) -> None:
    global _writer
    _writer = _Writer(target, stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it is killed; the pool's own pipe would keep it waiting."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(batch: list[Task]) -> Decoded:
    assert _writer is not None
    return _writer(batch)
