"""Proxy training on real handwritten digits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nas import FieldError, InputError, load_weights
from search_space import SearchSpace, load_space
from trainers import ImageSet, ProxyProtocol, load_dataset
from trainers.digits import load_digits_test
from trainers.proxy import ProxyEvaluator, TrainingDivergedError, _Batches, _shifted, measure, train_candidate

SMALLEST = [0] * 20
QUICK = ProxyProtocol(epochs=1)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", 32)


def test_the_split_is_fixed_and_its_parts_are_disjoint(digits) -> None:
    test = load_digits_test(32)
    assert (len(digits.train), len(digits.validation), len(test)) == (1200, 300, 297)
    images = [digits.train.images, digits.validation.images, test.images]
    assert all(part.dtype == np.uint8 and part.shape[1:] == (32, 32, 1) for part in images)
    from sklearn.datasets import load_digits as source

    distinct = len({image.tobytes() for image in source().images})
    seen = [{image.tobytes() for image in part} for part in images]
    assert len(set.union(*seen)) == distinct
    assert sum(len(part) for part in seen) == distinct
    assert digits.fingerprint == load_dataset("digits", 32).fingerprint
    assert digits.fingerprint != load_dataset("digits", 16).fingerprint


def test_every_class_is_in_every_part_in_proportion(digits) -> None:
    for part in (digits.train, digits.validation):
        share = np.bincount(part.labels, minlength=10) / len(part)
        assert share.min() > 0.08
        assert share.max() < 0.12


def test_the_quickstarts_recipe_learns_and_is_exact_when_repeated(digits_space: SearchSpace, digits) -> None:
    architecture = digits_space.decode(SMALLEST)
    protocol = ProxyProtocol()
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = list(train_candidate(architecture, protocol, digits, 0))
    assert torch.equal(before, torch.get_rng_state())  # the caller's generator is left alone
    torch.manual_seed(321)
    second = list(train_candidate(architecture, protocol, digits, 0))
    assert [m.accuracy for m in first] == [m.accuracy for m in second]
    assert [m.metrics["train_loss"] for m in first] == [m.metrics["train_loss"] for m in second]
    assert [m.final for m in first] == [False, False, True]
    assert first[-1].accuracy > 0.9
    other = list(train_candidate(architecture, protocol, digits, 1))
    assert other[-1].metrics["train_loss"] != first[-1].metrics["train_loss"]


def test_saved_weights_give_the_measured_accuracy(tmp_path, digits_space: SearchSpace, digits) -> None:
    architecture = digits_space.decode(SMALLEST)
    path = tmp_path / "weights" / "1.safetensors"
    *_, last = train_candidate(architecture, QUICK, digits, 0, weights_path=path)
    model = architecture.build(digits.num_classes, digits.in_channels).to(memory_format=torch.channels_last)
    load_weights(model, path)
    accuracy, _ = measure(model, _Batches(digits.validation, digits, "cpu"))
    assert accuracy == last.accuracy
    assert [p.name for p in path.parent.iterdir()] == ["1.safetensors"]  # no half-written file
    assert all(tensor.is_contiguous() for tensor in load_file(path).values())


def test_weights_of_another_network_are_refused(tmp_path, digits_space: SearchSpace, digits) -> None:
    path = tmp_path / "w.safetensors"
    *_, _ = train_candidate(digits_space.decode(SMALLEST), QUICK, digits, 0, weights_path=path)
    other = digits_space.decode([1] * 20)
    with pytest.raises(InputError, match="holds weights of another network"):
        load_weights(other.build(10, 1), path)
    path.write_bytes(b"garbage")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load_weights(other.build(10, 1), path)


def test_divergence_is_an_error_and_no_accuracy(digits_space: SearchSpace, digits) -> None:
    protocol = replace(QUICK, learning_rate=1e3, epochs=2)
    with pytest.raises(TrainingDivergedError, match="loss is (nan|inf)"):
        for measurement in train_candidate(digits_space.decode(SMALLEST), protocol, digits, 0):
            assert np.isfinite(measurement.metrics["train_loss"])


def test_a_batch_larger_than_the_data_is_refused(digits_space: SearchSpace, digits) -> None:
    with pytest.raises(InputError, match="protocol.batch must be at most 1200"):
        next(train_candidate(digits_space.decode(SMALLEST), ProxyProtocol(batch=1201), digits, 0))


def test_images_of_another_size_are_refused(digits) -> None:
    network = load_space("efficientnet").decode([0] * 35)
    with pytest.raises(InputError, match="takes 224-pixel images, digits holds 32-pixel ones"):
        next(train_candidate(network, QUICK, digits, 0))


def test_shifts_move_whole_images_and_fill_with_zero() -> None:
    images = torch.arange(1, 1 + 2 * 4 * 4, dtype=torch.uint8).reshape(2, 4, 4, 1)
    seen = set()
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        moved = _shifted(images, 1, generator)
        assert moved.shape == images.shape
        for image, original in zip(moved, images, strict=True):
            offsets = [
                (dy, dx)
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
                if torch.equal(image, _rolled(original, dy, dx))
            ]
            assert len(offsets) == 1
            seen.add(offsets[0])
    assert len(seen) == 9


def _rolled(image: torch.Tensor, dy: int, dx: int) -> torch.Tensor:
    """The image moved up by dy and left by dx, by hand."""
    out = torch.zeros_like(image)
    for y in range(4):
        for x in range(4):
            if 0 <= y + dy < 4 and 0 <= x + dx < 4:
                out[y, x] = image[y + dy, x + dx]
    return out


def test_batches_are_normalised_and_channels_last(digits) -> None:
    batches = _Batches(digits.train, digits, "cpu")
    x, labels = batches.batch(torch.arange(len(batches)))
    assert x.shape == (1200, 1, 32, 32)
    assert x.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert x.std().item() == pytest.approx(1.0, abs=1e-3)
    assert torch.equal(labels, torch.from_numpy(digits.train.labels))
    flipped, _ = batches.batch(torch.arange(500), flip=True, generator=torch.Generator().manual_seed(0))
    same = (flipped == x[:500]).flatten(1).all(1)
    mirrored = (flipped == x[:500].flip(3)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 200 < mirrored.sum() < 300


def test_the_evaluator_knows_what_identifies_a_measurement(digits) -> None:
    evaluator = ProxyEvaluator(QUICK, digits)
    assert (evaluator.num_classes, evaluator.in_channels) == (10, 1)
    assert evaluator.fingerprint != ProxyEvaluator(ProxyProtocol(), digits).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"batch": 64},
        {"learning_rate": 0.05},
        {"momentum": 0.5},
        {"weight_decay": 0.01},
        {"label_smoothing": 0.1},
        {"shift": 0},
        {"flip": True},
        {"bn_momentum": 0.01},
    ],
    ids=str,
)
def test_every_field_of_the_protocol_changes_the_training(digits_space: SearchSpace, digits, change) -> None:
    def validation_loss(protocol: ProxyProtocol) -> float:
        few = replace(digits, train=ImageSet(digits.train.images[:192], digits.train.labels[:192]))
        *_, last = train_candidate(digits_space.decode(SMALLEST), protocol, few, 0)
        return last.metrics["validation_loss"]

    assert validation_loss(replace(QUICK, **change)) != validation_loss(QUICK)


def test_flip_must_be_a_truth_value() -> None:
    with pytest.raises(FieldError, match="flip must be true or false, got 'no'"):
        ProxyProtocol(flip="no")  # type: ignore[arg-type]
    assert ProxyProtocol(weight_decay=0).hash("d") == ProxyProtocol(weight_decay=0.0).hash("d")
