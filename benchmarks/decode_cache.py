"""Reading random batches from a prepared cache, beside decoding the same JPEGs with Pillow; one core.

    python benchmarks/decode_cache.py                           ../shared/data/tiny-imagenet-40.tar.gz
    python benchmarks/decode_cache.py photos/ --images 500      a folder or an archive of one's own

Some images of the source, evenly over its classes, are copied as files and prepared at 64 pixels. Every round
reads all of its training part in random batches of 128, both ways, one after the other; the figures are
processor seconds, so that other programs count little. Files and cache are in the system's page cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from trainers import open_cache
from trainers.decoding import decode
from trainers.image_sources import open_source
from trainers.prepare import PrepareOptions, prepare, split

DEFAULT = Path(__file__).parent.parent.parent / "shared" / "data" / "tiny-imagenet-40.tar.gz"
SIZE, BATCH, SHIFT, VALIDATION = 64, 128, 4, 0.1
REPEATS = 10  # of the pass over the cache, which is short
Read = Callable[[np.ndarray], np.ndarray]


def copied(source: Path, number: int, folder: Path) -> None:
    """Write some images of a source as files, one directory a class."""
    opened = open_source(source)
    step = max(1, len(opened.train) // number)
    wanted = {entry.key: entry for entry in opened.train[::step][:number]}
    for key, payload in opened.payloads():
        if key in wanted and not isinstance(payload, np.ndarray):
            content = payload if isinstance(payload, bytes) else Path(payload).read_bytes()
            path = folder / opened.class_names[wanted[key].label] / wanted[key].name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def augmented(images: np.ndarray, generator: torch.Generator) -> torch.Tensor:
    """A batch (B, H, W, C) uint8, each image moved by up to 4 pixels, as (B, C, H, W) float32."""
    x = torch.from_numpy(images)
    batch, side = x.shape[:2]
    offsets = torch.randint(0, 2 * SHIFT + 1, (batch, 2), generator=generator).tolist()
    padded = functional.pad(x, (0, 0, SHIFT, SHIFT, SHIFT, SHIFT))
    for image, wide, (row, column) in zip(x, padded, offsets, strict=True):
        image.copy_(wide[row : row + side, column : column + side])
    return x.float().sub_(118.0).mul_(1 / 66.0).permute(0, 3, 1, 2)


def microseconds(read: Read, order: np.ndarray, generator: torch.Generator | None) -> float:
    """Processor time an image of one pass; with a generator, up to the tensor."""
    began = time.process_time()
    for start in range(0, len(order), BATCH):
        images = read(order[start : start + BATCH])
        if generator is not None:
            augmented(images, generator)
    return 1e6 * (time.process_time() - began) / len(order)


def spread(values: list[float], form: str) -> str:
    """Median, and the smallest and the largest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", nargs="?", type=Path, default=DEFAULT, help="a folder or an archive of images"
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        files, cache = Path(scratch) / "files", Path(scratch) / "cache"
        files.mkdir()
        copied(given.source, given.images, files)
        prepare(files, cache, PrepareOptions(image_size=SIZE, validation=VALIDATION))
        images = np.asarray(open_cache(cache).train.images)  # a plain view of the mapping
        entries, _ = split(open_source(files), VALIDATION)
        paths = [str(files / entry.key) for entry in entries]

        def from_cache(index: np.ndarray) -> np.ndarray:
            return images[index]

        def from_jpegs(index: np.ndarray) -> np.ndarray:
            return np.stack([decode(paths[i], SIZE) for i in index])

        rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
        assert np.array_equal(from_cache(np.arange(50)), from_jpegs(np.arange(50)))
        print(
            f"{len(paths)} images of {given.source.name} at {SIZE} pixels, {given.rounds} rounds; us an image"
        )
        print(f"{'':28} {'cache':>24} {'Pillow':>26} {'ratio':>22}")
        for name, augment in (("random batches", None), ("shifted, as a float tensor", generator)):
            ours, theirs = [], []
            for _ in range(given.rounds):
                order = rng.permutation(len(paths))
                ours.append(microseconds(from_cache, np.tile(order, REPEATS), augment))
                theirs.append(microseconds(from_jpegs, order, augment))
            ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
            cells = (spread(ours, ".2f"), spread(theirs, ".1f"), spread(ratios, ".1f"))
            print(f"{name:28} {cells[0]:>24} {cells[1]:>26} {cells[2]:>22}", flush=True)


if __name__ == "__main__":
    main()
