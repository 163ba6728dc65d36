"""Augmentation in batches: each operation as Pillow does it, and policies as their sources print them."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks import augmentation as benchmark
from benchmarks.augmentation import by_pillow, images_of, pillow_batch
from search_space import InputError
from trainers.augmentation import POLICIES, SIGNED, Policy, augmenter, cutout, sub_policies
from trainers.image_operations import GREY, OPERATIONS

FACTORS = (0.0, 0.01, 0.1, 0.28, 0.64, 1.0, 1.36, 1.72, 2.0)
SLOPES = (0.0, 0.03, -0.27, 0.5, 0.99, -0.99)
PIXELS = (0.0, 3.0, -7.0, 31.0, -32.0, 100.0)
ARGUMENTS: dict[str, tuple[float, ...]] = {
    "auto_contrast": (0.0,),
    "equalize": (0.0,),
    "invert": (0.0,),
    "brightness": FACTORS,
    "color": FACTORS,
    "contrast": FACTORS,
    "sharpness": FACTORS,
    "posterize": tuple(range(1, 9)),
    "solarize": (0, 1, 51, 128, 204, 255, 256),
    "solarize_add": (0, 33, 77, 110, 127),
    "shear_x": SLOPES,
    "shear_y": SLOPES,
    "translate_x": PIXELS,
    "translate_y": PIXELS,
    "rotate": (0, 3, -6, 24, -27, 30, 45, -63, 90, -90, 121, 135, -135),
}


def coloured(size: int, count: int = 6) -> Tensor:
    """Images with smooth colours, noise, a flat one and one of few values, (count, size, size, 3) uint8."""
    generator = torch.Generator().manual_seed(size)
    place = torch.linspace(0.0, 3.0, size)
    phases = torch.rand(count, 1, 1, 3, generator=generator) * 6
    waves = torch.sin(place[:, None, None] * 2 + phases) + torch.cos(place[None, :, None] * 3 - phases)
    noise = torch.randn(count, size, size, 3, generator=generator)
    images = (110 + 40 * waves + 12 * noise).clamp(0, 255).to(torch.uint8)
    images[0] = 77
    images[1] = torch.where(noise[1] > 0, 200, 31).to(torch.uint8)
    return images


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_gives_what_pillow_gives_to_the_last_bit(operation: str, channels: int) -> None:
    for size in (2, 8, 33, 64):
        raw = coloured(size)[..., :channels].contiguous()
        before = raw.clone()
        for argument in ARGUMENTS[operation]:
            done = OPERATIONS[operation](raw, torch.full((len(raw),), argument, dtype=torch.float64))
            assert done.dtype == torch.uint8
            wanted = pillow_batch(raw.numpy(), [[(operation, argument)]] * len(raw))
            np.testing.assert_array_equal(done.numpy(), wanted, err_msg=f"{operation} {argument} {size}")
        assert torch.equal(raw, before)


def test_operations_agree_with_pillow_on_photographs_too() -> None:
    raw = images_of(None, 32, 16)
    for operation, arguments in ARGUMENTS.items():
        for argument in arguments[-2:]:
            done = OPERATIONS[operation](raw, torch.full((len(raw),), argument, dtype=torch.float64))
            np.testing.assert_array_equal(done, pillow_batch(raw.numpy(), [[(operation, argument)]] * 16))


@pytest.mark.parametrize("operation", ["color", "rotate", "posterize", "solarize_add", "contrast"])
def test_each_image_has_its_own_argument(operation: str) -> None:
    raw, values = coloured(16), ARGUMENTS[operation][-4:] * 2
    done = OPERATIONS[operation](raw, torch.tensor(values[:6], dtype=torch.float64))
    for image, argument, result in zip(raw.numpy(), values, done.numpy(), strict=False):
        np.testing.assert_array_equal(result, by_pillow(Image.fromarray(image), operation, argument))


def test_no_bits_leave_black_as_a_shift_by_eight_would() -> None:
    assert not OPERATIONS["posterize"](coloured(8), torch.zeros(6, dtype=torch.float64)).any()


def test_pixels_from_outside_are_grey() -> None:
    raw = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    moved = OPERATIONS["translate_x"](raw, torch.tensor([3.0, -2.0], dtype=torch.float64))
    assert (moved[0, :, 5:] == GREY).all()
    assert (moved[0, :, :5] == 0).all()
    assert (moved[1, :, :2] == GREY).all()
    assert (moved[1, :, 2:] == 0).all()


# The table as the reference prints it, typed anew: operation, probability in tenths, level.
REFERENCE = """
Equalize 8 1 ShearY 8 4 | Color 4 9 Equalize 6 3 | Color 4 1 Rotate 6 8 | Solarize 8 3 Equalize 4 7
Solarize 4 2 Solarize 6 2 | Color 2 0 Equalize 8 8 | Equalize 4 8 SolarizeAdd 8 3 | ShearX 2 9 Rotate 6 8
Color 6 1 Equalize 10 2 | Invert 4 9 Rotate 6 0 | Equalize 10 9 ShearY 6 3 | Color 4 7 Equalize 6 0
Posterize 4 6 AutoContrast 4 7 | Solarize 6 8 Color 6 9 | Solarize 2 4 Rotate 8 9 | Rotate 10 7 TranslateY 8 9
ShearX 0 0 Solarize 8 4 | ShearY 8 0 Color 6 4 | Color 10 0 Rotate 6 2 | Equalize 8 4 Equalize 0 8
Equalize 10 4 AutoContrast 6 2 | ShearY 4 7 SolarizeAdd 6 7 | Posterize 8 2 Solarize 6 10
Solarize 6 8 Equalize 6 1 | Color 8 6 Rotate 4 5
"""
# Table 7 of the paper; operations without a magnitude as they stand there.
CIFAR10 = """
Invert 1 7 Contrast 2 6 | Rotate 7 2 TranslateX 3 9 | Sharpness 8 1 Sharpness 9 3 | ShearY 5 8 TranslateY 7 9
AutoContrast 5 8 Equalize 9 2 | ShearY 2 7 Posterize 3 7 | Color 4 3 Brightness 6 7
Sharpness 3 9 Brightness 7 9 | Equalize 6 5 Equalize 5 1 | Contrast 6 7 Sharpness 6 5
Color 7 7 TranslateX 5 8 | Equalize 3 7 AutoContrast 4 8 | TranslateY 4 3 Sharpness 2 6
Brightness 9 6 Color 2 8 | Solarize 5 2 Invert 0 3 | Equalize 2 0 AutoContrast 6 0 | Equalize 2 8 Equalize 6 4
Color 9 9 Equalize 6 6 | AutoContrast 8 4 Solarize 2 8 | Brightness 1 3 Color 7 0
Solarize 4 5 AutoContrast 9 3 | TranslateY 9 9 TranslateY 7 9 | AutoContrast 9 2 Solarize 8 3
Equalize 8 8 Invert 1 3 | TranslateY 7 9 AutoContrast 9 1
"""
MAGNITUDES = {  # what a level of ten stands for, at 331 and 32 pixels
    "imagenet": {
        "Rotate": [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30],
        "ShearX": [0, 0.03, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21, 0.24, 0.27, 0.3],
        "TranslateY": [0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 150],
        "Color": [0.1, 0.28, 0.46, 0.64, 0.82, 1.0, 1.18, 1.36, 1.54, 1.72, 1.9],
        "Posterize": [1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4],
        "Solarize": [0, 25, 51, 76, 102, 128, 153, 179, 204, 230, 256],
        "SolarizeAdd": [0, 11, 22, 33, 44, 55, 66, 77, 88, 99, 110],
    },
    "cifar10": {
        "TranslateY": list(range(11)),
        "Posterize": [4, 4, 4, 3, 3, 2, 2, 2, 1, 1, 0],
        "Solarize": [256, 231, 205, 180, 154, 128, 103, 77, 52, 26, 0],
    },
}
SAME_AS = {
    "ShearY": "ShearX",
    "TranslateX": "TranslateY",
    **dict.fromkeys(["Contrast", "Brightness", "Sharpness"], "Color"),
}
WITHOUT = ("Equalize", "AutoContrast", "Invert")


@pytest.mark.parametrize(
    ("policy", "printed", "size"), [("imagenet", REFERENCE, 331), ("cifar10", CIFAR10, 32)]
)
def test_the_policy_is_the_published_table(policy: Policy, printed: str, size: int) -> None:
    table = sub_policies(policy, size)
    words = [line.split() for line in printed.strip().replace("\n", " | ").split("|")]
    assert len(words) == len(table) == 25
    scales = {**MAGNITUDES["imagenet"], **MAGNITUDES[policy]}
    for (first, second), line in zip(table, words, strict=True):
        for (name, probability, argument), (said, tenths, level) in zip(
            (first, second), (line[:3], line[3:]), strict=True
        ):
            assert name.replace("_", "") == said.lower()
            assert probability == int(tenths) / 10
            if said not in WITHOUT:
                assert argument == pytest.approx(scales[SAME_AS.get(said, said)][int(level)]), line


def test_trivial_augment_has_its_fourteen_operations_and_thirty_one_strengths() -> None:
    table = sub_policies("trivial", 224)
    steps = [step for (step,) in table]
    assert len(table) == 14 * 31
    assert {probability for _, probability, _ in steps} == {1.0}
    ranges = {
        name: (min(values), max(values))
        for name in {name for name, _, _ in steps}
        for values in [[value for other, _, value in steps if other == name]]
    }
    assert ranges.pop("identity") == ranges.pop("equalize") == ranges.pop("auto_contrast") == (0, 0)
    for name in ("color", "contrast", "brightness", "sharpness"):
        assert ranges.pop(name) == pytest.approx((0.01, 2.0))
    for name in ("shear_x", "shear_y"):
        assert ranges.pop(name) == pytest.approx((0, 0.99))
    assert ranges == {
        "rotate": (0, 135),
        "translate_x": (0, 32),
        "translate_y": (0, 32),
        "posterize": (2, 8),
        "solarize": (0, 256),
    }


def test_translations_are_shares_of_the_side() -> None:
    for policy, share in (("imagenet", 135 / 331), ("cifar10", 9 / 32)):
        for size in (8, 32, 224):
            moves = [a for steps in sub_policies(policy, size) for name, _, a in steps if "translate" in name]
            assert max(moves) == pytest.approx(share * size)
    assert max(a for ((name, _, a),) in sub_policies("trivial", 8) if "translate" in name) == 8


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", POLICIES[1:])
def test_a_batch_is_what_a_loop_with_pillow_makes_of_the_same_draws(policy: Policy, channels: int) -> None:
    for size in (8, 32):
        raw = coloured(size, 150)[..., :channels].contiguous()
        before = raw.clone()
        augment = augmenter(policy, size, channels)
        done = augment(raw, seeded(5))
        np.testing.assert_array_equal(done.numpy(), pillow_batch(raw.numpy(), augment.drawn(150, seeded(5))))
        assert torch.equal(raw, before)
        assert not torch.equal(done, before)


@pytest.mark.parametrize("policy", ["imagenet", "cifar10"])
def test_each_image_draws_its_sub_policy_and_each_step_its_chance(policy: Policy) -> None:
    count = 40_000
    drawn = Counter(name for steps in augmenter(policy, 32, 3).drawn(count, seeded(1)) for name, _ in steps)
    expected: Counter[str] = Counter()
    for steps in sub_policies(policy, 32):
        for name, probability, _ in steps:
            expected[name] += probability / 25  # type: ignore[assignment]
    assert set(drawn) == {name for name, share in expected.items() if share}
    for name, number in drawn.items():  # five deviations of a count that is at least as wide as binomial
        assert abs(number - count * expected[name]) < 7 * (count * expected[name]) ** 0.5, name


def test_sub_policies_come_equally_often_and_within_one_batch() -> None:
    drawn = augmenter("trivial", 32, 3).drawn(43_400, seeded(2))
    numbers = Counter((steps[0][0], abs(steps[0][1])) for steps in drawn if steps)
    turned = [numbers["rotate", 135 * level // 30] for level in range(1, 31)]
    assert min(turned) > 50
    assert max(turned) < 150  # of 100 expected, of deviation 10
    assert len({steps[0][0] for steps in drawn[:128] if steps}) > 8


def test_signs_are_fair_and_only_for_what_has_two_directions() -> None:
    for policy in POLICIES[1:]:
        signs: dict[str, list[bool]] = {}
        for steps in augmenter(policy, 32, 3).drawn(20_000, seeded(3)):
            for name, argument in steps:
                if argument:
                    signs.setdefault(name, []).append(argument < 0)
        for name, negative in signs.items():
            if name in SIGNED:
                assert abs(sum(negative) / len(negative) - 0.5) < 3 / len(negative) ** 0.5, name
            else:
                assert not any(negative), name


def test_a_generator_resumed_resumes_the_augmentation() -> None:
    augment, raw = augmenter("imagenet", 16, 3), coloured(16, 32)
    generator = seeded(7)
    augment(raw, generator)
    state = generator.get_state()
    second = augment(raw, generator)
    again = copy.deepcopy(pickle.loads(pickle.dumps(augment)))
    assert torch.equal(again(raw, torch.Generator().set_state(state)), second)
    assert not torch.equal(augment(raw, generator), second)


def test_what_happens_to_an_image_does_not_depend_on_its_neighbours() -> None:
    for policy in POLICIES[1:]:
        augment, raw = augmenter(policy, 16, 3), coloured(16, 64)
        together = augment(raw, seeded(4))
        others = raw.flip(0).clone()
        others[10] = raw[10]
        assert torch.equal(augment(others, seeded(4))[10], together[10])


def test_the_pieces_that_a_processor_takes_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    augment, raw = augmenter("cifar10", 16, 3), coloured(16, 64)
    whole = augment(raw, seeded(9))
    monkeypatch.setattr("trainers.augmentation._CHUNK", 1000)
    assert torch.equal(augment(raw, seeded(9)), whole)


def test_the_global_generator_is_left_alone() -> None:
    raw = coloured(16)
    before = torch.get_rng_state()
    for policy in POLICIES:
        first = augmenter(policy, 16, 3)(raw, seeded(0))
        torch.manual_seed(1)
        assert torch.equal(augmenter(policy, 16, 3)(raw, seeded(0)), first)
        torch.set_rng_state(before)
    cutout(raw, 4, seeded(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_none_leaves_images_and_generator() -> None:
    generator, raw = seeded(0), coloured(8)
    assert augmenter("none", 8, 3)(raw, generator) is raw
    assert torch.equal(generator.get_state(), seeded(0).get_state())
    assert augmenter("none", 8, 3).drawn(2, generator) == [[], []]
    five = torch.zeros(2, 8, 8, 5, dtype=torch.uint8)
    assert augmenter("none", 8, 5)(five, generator) is five


@pytest.mark.parametrize("policy", POLICIES)
def test_an_empty_batch_and_one_pixel_are_images_too(policy: Policy) -> None:
    empty = torch.zeros(0, 8, 8, 3, dtype=torch.uint8)
    assert augmenter(policy, 8, 3)(empty, seeded(0)).shape == (0, 8, 8, 3)
    for seed in range(20):
        assert augmenter(policy, 1, 1)(coloured(1)[..., :1], seeded(seed)).shape == (6, 1, 1, 1)


def test_mistakes_are_told() -> None:
    with pytest.raises(InputError, match="unknown augmentation policy 'imagnet'; did you mean imagenet"):
        augmenter("imagnet", 32, 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="augmentation trivial is for images of 1 or 3 channels, got 4"):
        augmenter("trivial", 32, 4)
    with pytest.raises(InputError, match="image_size must be at least 1, got 0"):
        augmenter("trivial", 0, 3)
    augment = augmenter("imagenet", 32, 3)
    with pytest.raises(ValueError, match=r"uint8 images \(B, 32, 32, 3\), got torch.uint8 \(6, 16, 16, 3\)"):
        augment(coloured(16), seeded(0))
    with pytest.raises(ValueError, match="got torch.float32"):
        augment(coloured(32).float(), seeded(0))
    with pytest.raises(ValueError, match="size must be 0 or more, got -1"):
        cutout(coloured(8), -1, seeded(0))


def test_cutout_hides_one_square_whose_centre_is_uniform() -> None:
    raw = torch.full((4000, 9, 9, 1), 7, dtype=torch.uint8)
    hidden = cutout(raw, 3, seeded(0))[..., 0] == GREY
    rows, columns = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert torch.equal(hidden.sum((1, 2)), rows * columns)  # a rectangle
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3}  # cut off at the border
    assert abs(float((rows == 2).float().mean()) - 2 / 9) < 0.04
    assert (raw == 7).all()
    centres = hidden.float().mean(0)
    assert centres[4, 4] == pytest.approx(9 / 81, abs=0.02)
    assert centres[0, 0] == pytest.approx(4 / 81, abs=0.02)


def test_cutout_fills_a_channel_with_its_own_value_and_can_hide_all() -> None:
    raw = torch.zeros(3, 8, 8, 3, dtype=torch.uint8)
    filled = cutout(raw, 16, seeded(1), fill=torch.tensor([125, 123, 114]))
    assert (filled == torch.tensor([125, 123, 114], dtype=torch.uint8)).all(3).any((1, 2)).all()
    assert (cutout(raw, 40, seeded(1)) == GREY).all()
    assert cutout(raw, 0, seeded(1)) is raw


def test_the_benchmark_compares_all_policies_and_draws_a_sheet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    few = ["augmentation.py", "--batch", "4", "--sizes", "8", "--steps", "2", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", few)
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[2:]] == ["imagenet", "cifar10", "trivial"]
    assert all(float(line.split()[-1]) > 0 for line in lines[2:])
    sheet = tmp_path / "sheet.png"
    benchmark.draw_sheet(sheet, None, size=8, columns=3)
    assert Image.open(sheet).size == (3 * 12, 4 * 12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("policy", POLICIES)
def test_a_gpu_gives_the_same_images(policy: Policy) -> None:
    raw = coloured(32, 128)
    augment = augmenter(policy, 32, 3)
    on_gpu = augment(raw.cuda(), seeded(0))
    assert on_gpu.is_cuda
    assert torch.equal(on_gpu.cpu(), augment(raw, seeded(0)))
    assert torch.equal(cutout(raw.cuda(), 8, seeded(0)).cpu(), cutout(raw, 8, seeded(0)))
