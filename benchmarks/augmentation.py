"""Images a processor-second of augmentation in batches, beside a loop over Pillow's images.

    python benchmarks/augmentation.py                         every policy at 32 and 224 pixels, batch 128
    python benchmarks/augmentation.py --data data/cifar10-32  on images of a cache, see `nas data prepare`
    python benchmarks/augmentation.py --kornia                and kornia's operations, where it is installed
    python benchmarks/augmentation.py --sheet sheet.png       only a picture of what the policies do

Both do the same operations with the same arguments to the same images, from uint8 in memory to uint8 in
memory, and their results are compared. One thread; both in every round one after the other; the ratio is the
median of the rounds' ratios. Processor-seconds, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from trainers.augmentation import POLICIES, augmenter
from trainers.image_operations import GREY, OPERATIONS

ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}
COMPARED = {"equalize": 0.0, "color": 1.72, "sharpness": 1.72, "posterize": 4, "rotate": 24.0}


def by_pillow(image: Image.Image, operation: str, argument: float) -> Image.Image:
    """One operation on one image, as one would write it with Pillow."""
    if operation in ENHANCERS:
        return ENHANCERS[operation](image).enhance(argument)
    rows = {
        "shear_x": (1, argument, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, argument, 1, 0),
        "translate_x": (1, 0, argument, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, argument),
    }
    grey = (GREY,) * len(image.getbands()) if len(image.getbands()) > 1 else GREY
    if operation in rows:
        return image.transform(image.size, Image.Transform.AFFINE, rows[operation], fillcolor=grey)
    match operation:
        case "rotate":
            return image.rotate(argument, fillcolor=grey)
        case "posterize":
            return ImageOps.posterize(image, int(argument))
        case "solarize":
            return ImageOps.solarize(image, int(argument))
        case "solarize_add":
            return image.point(
                [v + int(argument) if v < 128 else v for v in range(256)] * len(image.getbands())
            )
        case "equalize":
            return ImageOps.equalize(image)
        case "auto_contrast":
            return ImageOps.autocontrast(image)
        case "invert":
            return ImageOps.invert(image)
    raise ValueError(operation)


def pillow_batch(pixels: npt.NDArray[np.uint8], plan: list[list[tuple[str, float]]]) -> npt.NDArray[np.uint8]:
    """Each image (B, H, W, C) through its own operations, one after the other."""
    done = []
    for array, steps in zip(pixels, plan, strict=True):
        image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
        for operation, argument in steps:
            image = by_pillow(image, operation, argument)
        done.append(np.asarray(image).reshape(array.shape))
    return np.stack(done)


def images_of(data: str | None, size: int, batch: int) -> Tensor:
    """Real RGB images of a size, (B, H, W, 3): of a cache, or parts of scikit-learn's two photographs."""
    if data:
        from trainers import open_cache

        images = list(open_cache(data).train.images[:batch])
    else:
        from sklearn.datasets import load_sample_images

        photographs, rng = load_sample_images().images, np.random.default_rng(0)
        images = []
        for number in range(batch):
            photograph = photographs[number % len(photographs)]
            side = int(rng.integers(160, len(photograph)))
            top, left = (int(rng.integers(length - side + 1)) for length in photograph.shape[:2])
            images.append(np.ascontiguousarray(photograph[top : top + side, left : left + side]))
    resized = [np.asarray(Image.fromarray(image).resize((size, size))) for image in images]
    return torch.from_numpy(np.stack(resized))


def draw_sheet(path: Path, data: str | None, size: int = 72, columns: int = 10) -> None:
    """Write a picture: a row of images as they are, and one for each policy."""
    raw = images_of(data, size, columns)
    rows = [augmenter(policy, size, 3)(raw, torch.Generator().manual_seed(3)) for policy in POLICIES]
    framed = torch.nn.functional.pad(torch.stack(rows), (0, 0, 2, 2, 2, 2), value=255)  # (P, B, H, W, 3)
    joined = framed.permute(0, 2, 1, 3, 4).reshape(len(rows) * framed.shape[2], -1, 3)
    Image.fromarray(joined.numpy()).save(path, optimize=True)


def rated(ways: dict[str, Callable[[], object]], images: int, rounds: int) -> dict[str, list[float]]:
    """Images a processor-second of each way, in every round."""
    for way in ways.values():
        way()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            rates[name].append(images / (time.process_time() - began))
    return rates


def ratio(rates: list[float], others: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(rates, others, strict=True))


def measure_policies(args: argparse.Namespace) -> None:
    """Print a line for each policy and size."""
    print(f"{'images a processor-second':30}{'batches':>10}{'Pillow':>10}{'ratio':>8}")
    for size in args.sizes:
        raw = images_of(args.data, size, args.batch)
        pixels = raw.numpy()
        for policy in POLICIES[1:]:
            augment = augmenter(policy, size, 3)
            draws = torch.Generator().manual_seed(0)
            batched, looped = [], []
            for _ in range(args.steps):
                state = draws.get_state()
                plan = augment.drawn(len(raw), draws)
                assert np.array_equal(
                    augment(raw, torch.Generator().set_state(state)).numpy(), pillow_batch(pixels, plan)
                )
                batched.append(state)
                looped.append(plan)
            rates = rated(
                {
                    "batches": lambda a=augment, s=batched, r=raw: [  # type: ignore[misc]
                        a(r, torch.Generator().set_state(one)) for one in s
                    ],
                    "Pillow": lambda p=pixels, s=looped: [pillow_batch(p, one) for one in s],  # type: ignore[misc]
                },
                args.steps * len(raw),
                args.rounds,
            )
            ours, theirs = (statistics.median(rates[name]) for name in ("batches", "Pillow"))
            line = f"{policy}, {size} pixels"
            print(f"{line:30}{ours:10.0f}{theirs:10.0f}{ratio(rates['batches'], rates['Pillow']):8.2f}")


def kornia_operations() -> dict[str, Callable[[Tensor, float], Tensor]]:
    """kornia's functions for `COMPARED`, of images (B, 3, H, W) float from 0 to 1."""
    from kornia import enhance
    from kornia.geometry import transform

    return {
        "equalize": lambda x, _: enhance.equalize(x),
        "color": enhance.adjust_saturation_with_gray_subtraction,
        "sharpness": enhance.sharpness,
        "posterize": lambda x, bits: enhance.posterize(x, int(bits)),
        "rotate": lambda x, angle: transform.rotate(x, torch.full((len(x),), angle), mode="nearest"),
    }


def measure_kornia(args: argparse.Namespace) -> None:
    """Print a line for each operation and size, and the largest difference from Pillow's."""
    import kornia

    title = f"against kornia {kornia.__version__}"
    print(f"\n{title:30}{'ours':>10}{'kornia':>10}{'ratio':>8}{'levels':>8}")
    for size in args.sizes:
        raw = images_of(args.data, size, args.batch)
        for name, theirs in kornia_operations().items():
            value = COMPARED[name]
            argument = torch.full((len(raw),), value, dtype=torch.float64)

            def ours(name: str = name, argument: Tensor = argument, raw: Tensor = raw) -> Tensor:
                return torch.cat(
                    [OPERATIONS[name](x, a) for x, a in zip(raw.split(32), argument.split(32), strict=True)]
                )

            def others(
                theirs: Callable[[Tensor, float], Tensor] = theirs, value: float = value, raw: Tensor = raw
            ) -> Tensor:
                parts = (theirs(x.permute(0, 3, 1, 2).float() / 255, value) for x in raw.split(32))
                return torch.cat([(y * 255).round().byte().permute(0, 2, 3, 1) for y in parts])

            apart = (ours().int() - others().int()).abs()
            away = "" if name == "rotate" else f"{int(apart.max()):8d}"  # another border
            rates = rated({"ours": ours, "kornia": others}, len(raw), args.rounds)
            medians = "".join(f"{statistics.median(rates[way]):10.0f}" for way in ("ours", "kornia"))
            line = f"{name}, {size} pixels"
            print(f"{line:30}{medians}{ratio(rates['ours'], rates['kornia']):8.2f}{away}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", help="a cache of RGB images; two photographs by default")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 224])
    parser.add_argument("--steps", type=int, default=4, help="batches a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kornia", action="store_true", help="compare with kornia's operations too")
    parser.add_argument("--sheet", type=Path, help="write a picture, and measure nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.sheet:
        draw_sheet(args.sheet, args.data)
        return
    print(f"batch {args.batch}, one thread, torch {torch.__version__}, {args.rounds} rounds")
    measure_policies(args)
    if args.kornia:
        measure_kornia(args)


if __name__ == "__main__":
    main()
