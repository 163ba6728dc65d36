"""Proxy training on real handwritten digits."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nas import FieldError, InputError, load_weights
from nas.search import measured_by
from search_space import SearchSpace, cost, load_space
from trainers import ImageSet, ProxyProtocol, load_dataset
from trainers.device_data import DeviceImages, EpochPlan, shifted, subset_of
from trainers.digits import load_digits_test
from trainers.proxy import ProxyEvaluator, TrainingDivergedError, measure, train_candidate
from trainers.training_step import TrainingStep

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
    accuracy, _ = measure(model, DeviceImages(digits.validation, digits, "cpu"))
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
        moved = shifted(images, torch.randint(0, 3, (2, 2), generator=generator), 1)
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
    images = DeviceImages(digits.train, digits, "cpu")
    x = images.normalised(images.fetched(torch.arange(len(images))))
    assert x.shape == (1200, 1, 32, 32)
    assert x.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert x.std().item() == pytest.approx(1.0, abs=1e-3)
    assert torch.equal(images.labels, torch.from_numpy(digits.train.labels))


def _plan(protocol: ProxyProtocol, images: int) -> EpochPlan:
    plan = EpochPlan.empty(images, protocol, torch.device("cpu"))
    plan.draw(images, protocol, torch.Generator().manual_seed(0))
    return plan


def test_an_epoch_sees_every_image_once_and_mirrors_half() -> None:
    protocol = ProxyProtocol(batch=100, shift=0, flip=True)
    plan = _plan(protocol, 1050)
    assert plan.order.shape == (10, 100)
    assert len(set(plan.order.flatten().tolist())) == 1000
    raw = torch.randint(0, 255, (100, 8, 8, 3), dtype=torch.uint8)
    flipped = plan.augmented(raw, torch.tensor([3]), 0)
    same = (flipped == raw).flatten(1).all(1)
    mirrored = (flipped == raw.flip(2)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert torch.equal(mirrored, plan.mirrored[3])
    assert 25 < mirrored.sum() < 75


def test_crops_keep_the_area_they_are_asked_for_and_stay_inside() -> None:
    plan = _plan(ProxyProtocol(batch=500, crop_area=0.25), 5000)
    height, width, vertical, horizontal = plan.crops.unbind(1)
    area = height * width
    assert 0.2 < area.min() < 0.3  # a side that would be longer than the image is cut
    assert area.max() <= 1.0
    assert ((height / width) <= 4 / 3 + 1e-4).all()
    assert (vertical.abs() + height <= 1.0001).all()
    assert (horizontal.abs() + width <= 1.0001).all()
    # a horizontal ramp from -1 to 1: the crop's mean is its centre, its range is its width
    ramp = torch.linspace(-1 + 1 / 64, 1 - 1 / 64, 64).expand(500, 1, 64, 64)
    cropped = plan.cropped(ramp.contiguous(), torch.tensor([0]))
    torch.testing.assert_close(cropped.mean((1, 2, 3)), horizontal[0], atol=0.02, rtol=0)
    torch.testing.assert_close(
        cropped[:, 0].amax((1, 2)) - cropped[:, 0].amin((1, 2)), 2 * width[0] * 63 / 64, atol=0.04, rtol=0
    )


def test_a_subset_keeps_the_classes_share_and_smaller_ones_lie_in_larger_ones() -> None:
    labels = np.repeat(np.arange(4), [400, 200, 100, 300])
    small, large = subset_of(labels, 100), subset_of(labels, 500)
    assert set(small) <= set(large)
    assert np.bincount(labels[small]).tolist() == [40, 20, 10, 30]
    assert (np.diff(small) > 0).all()
    assert subset_of(labels, 1000).tolist() == list(range(1000))


def test_a_subset_is_all_that_is_trained_on(digits_space: SearchSpace, digits) -> None:
    chosen = subset_of(digits.train.labels, 256)
    few = replace(digits, train=ImageSet(digits.train.images[chosen], digits.train.labels[chosen]))
    network = digits_space.decode(SMALLEST)
    (one,) = train_candidate(network, replace(QUICK, subset=256), digits, 0)
    (other,) = train_candidate(network, QUICK, few, 0)
    assert (one.accuracy, one.metrics["train_loss"]) == (other.accuracy, other.metrics["train_loss"])


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": "adamw", "learning_rate": 3e-3},
        {"optimiser": "rmsprop", "learning_rate": 3e-3},
        {"schedule": "linear", "warmup": 0.1},
        {"schedule": "constant", "warmup": 0.0, "learning_rate": 0.03},
        {"crop_area": 0.5, "shift": 0},
        {"width": 1.5},
        {"ema": 0.9},
        {"precision": "bfloat16"},
        {"label_smoothing": 0.1, "momentum": 0.0},
    ],
)
def test_every_way_of_training_learns_and_repeats(settings, digits_space: SearchSpace, digits) -> None:
    protocol = ProxyProtocol(epochs=2, **settings)
    network = digits_space.decode(SMALLEST)
    runs = [list(train_candidate(network, protocol, digits, 0)) for _ in range(2)]
    assert [m.accuracy for m in runs[0]] == [m.accuracy for m in runs[1]]
    assert runs[0][-1].accuracy > 0.5
    assert protocol.hash("d") != ProxyProtocol(epochs=2).hash("d")


@pytest.mark.parametrize("schedule", ["one_cycle", "linear", "constant"])
def test_the_rate_rises_to_its_height_and_falls_to_nothing(schedule) -> None:
    protocol = ProxyProtocol(schedule=schedule, learning_rate=0.5, warmup=0.2)
    rates = protocol.learning_rates(1000)
    assert rates.argmax() == pytest.approx(200, abs=1)
    assert rates.max() == pytest.approx(0.5, rel=0.01)
    assert (np.diff(rates[:199]) > 0).all()
    assert rates[0] < 0.01
    if schedule == "constant":
        assert (rates[200:] == 0.5).all()
    else:
        assert (np.diff(rates[201:]) < 0).all()
        assert rates[-1] < 0.01


def test_a_thinner_and_smaller_proxy_stands_for_the_candidate(digits_space: SearchSpace) -> None:
    candidate = digits_space.decode(SMALLEST)
    proxy = ProxyProtocol(width=0.5, image_size=16).network(candidate)
    assert proxy.image_size == 16
    assert [s.repeats for s in proxy.stages] == [s.repeats for s in candidate.stages]
    assert cost(proxy).params < 0.5 * cost(candidate).params
    assert ProxyProtocol(image_size=32).network(candidate) is candidate
    data = load_dataset("digits", 16)
    (measured,) = train_candidate(candidate, ProxyProtocol(epochs=1, image_size=16), data, 0)
    assert measured.accuracy > 0.1


def test_networks_that_differ_only_when_thin_are_measured_apart(digits) -> None:
    space = load_space("mnasnet")
    point = [2, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 2, 1, 2, 1, 0, 1, 2, 0, 0, 2, 0, 1, 0, 2, 1, 3, 1]
    point += [1, 0, 2, 0, 2, 0, 1, 0, 2, 0]
    assert space.decisions[3].name == "stage1.skip"
    networks = [space.decode([*point[:3], skip, *point[4:]]) for skip in (0, 1)]
    thin = [ProxyProtocol(width=0.5).network(network) for network in networks]
    assert networks[0].key == networks[1].key  # the block widens, so it has no skip
    assert thin[0].key != thin[1].key  # 16 channels in and out: it has one
    proxies = ProxyEvaluator(ProxyProtocol(width=0.5), digits)
    assert measured_by(proxies, networks[0]) != measured_by(proxies, networks[1])
    full = ProxyEvaluator(ProxyProtocol(), digits)
    assert measured_by(full, networks[0]) == measured_by(full, networks[1])


def test_weights_of_a_thinner_proxy_are_not_kept(tmp_path, digits_space: SearchSpace, digits) -> None:
    protocol = ProxyProtocol(epochs=1, subset=64, width=0.5)
    list(train_candidate(digits_space.decode(SMALLEST), protocol, digits, 0, weights_path=tmp_path / "w"))
    assert not list(tmp_path.iterdir())


def test_several_seeds_are_averaged(digits_space: SearchSpace, digits) -> None:
    network = digits_space.decode(SMALLEST)
    protocol = ProxyProtocol(epochs=1, seeds=3, subset=256)
    measured = list(ProxyEvaluator(protocol, digits, "cpu").epochs(network, 1))
    assert [m.final for m in measured] == [False, False, True]
    alone = [next(train_candidate(network, protocol, digits, seed)).accuracy for seed in (3, 4, 5)]
    assert measured[-1].accuracy == pytest.approx(sum(alone) / 3)
    assert len(set(alone)) > 1


def test_images_that_do_not_live_on_the_device_train_the_same(digits_space: SearchSpace, digits) -> None:
    losses = []
    for resident in (True, False):
        torch.manual_seed(0)
        model = digits_space.decode(SMALLEST).build(10, 1).to(memory_format=torch.channels_last)
        images = DeviceImages(digits.train, digits, "cpu", resident=resident)
        losses.append(TrainingStep(model, images, QUICK, torch.Generator().manual_seed(0)).epoch())
    assert losses[0] == losses[1]


def test_a_captured_step_trains_as_one_that_is_run(monkeypatch, digits_space: SearchSpace, digits) -> None:
    """The order of events on a GPU, with stand-ins for its streams and its graph."""
    replayed = []

    class Stream:
        def wait_stream(self, other: object) -> None:
            pass

    class Graph:
        def __init__(self, step) -> None:
            self.replay = lambda: (replayed.append(1), step())

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    for name in ("stream", "device"):
        monkeypatch.setattr(torch.cuda, name, lambda it: contextlib.nullcontext())
    monkeypatch.setattr(TrainingStep, "_captured", lambda self: Graph(self._step))
    network = digits_space.decode(SMALLEST)
    for subset in (64, 256):  # fewer steps an epoch than the warm-up has, and more
        protocol = ProxyProtocol(epochs=2, subset=subset, ema=0.9)
        plain, graphed = (
            [m.metrics["train_loss"] for m in train_candidate(network, protocol, digits, 0, graph=graph)]
            for graph in (False, True)
        )
        assert plain == graphed
    assert len(replayed) == (2 * 2 - 3) + (2 * 8 - 3)


def test_a_loss_that_is_no_number_ends_the_epoch_at_once(digits_space: SearchSpace, digits) -> None:
    model = digits_space.decode(SMALLEST).build(10, 1)
    training = TrainingStep(model, DeviceImages(digits.train, digits, "cpu"), QUICK, torch.Generator())
    torch.nn.init.constant_(model.classifier.bias, float("nan"))
    assert np.isnan(training.epoch())
    assert training._row.item() == 1


def test_a_loss_far_above_guessing_is_divergence(monkeypatch, digits_space: SearchSpace, digits) -> None:
    monkeypatch.setattr(TrainingStep, "epoch", lambda self: 240.0)
    with pytest.raises(TrainingDivergedError, match="the training loss is 240 in epoch 1"):
        next(train_candidate(digits_space.decode(SMALLEST), QUICK, digits, 0))


def test_data_that_cannot_be_trained_on_are_refused(digits_space: SearchSpace, digits) -> None:
    network = digits_space.decode(SMALLEST)
    cases = {
        "protocol.subset must be at most 1200": (replace(QUICK, subset=1201), digits),
        "protocol.batch must be at most 20, protocol.subset, got 32": (replace(QUICK, subset=20), digits),
        "digits has one class only": (QUICK, replace(digits, class_names=("0",))),
        "takes 16-pixel images": (replace(QUICK, image_size=16), digits),
    }
    for message, (protocol, data) in cases.items():
        with pytest.raises(InputError, match=message):
            next(train_candidate(network, protocol, data, 0))


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
