"""Full training: its step against a plain loop, what it measures, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from nas import InputError, load_weights
from search_space import Architecture, load_space
from trainers import Dataset, ImageSet, load_dataset
from trainers.checkpoints import checkpoints_in, read_checkpoint
from trainers.device_data import DeviceImages, EpochPlan
from trainers.digits import load_digits_test
from trainers.evaluation import central, evaluate_network
from trainers.full import Saving, seeded_network, train_fully
from trainers.full_evaluator import FullEvaluator, training_folder
from trainers.full_step import FullTraining, NotFiniteError, seed_at
from trainers.proxy import TrainingDivergedError
from trainers.recipe import Recipe, read_recipe

QUICK = read_recipe({"base": "cifar", "epochs": 2, "batch": 100, "warmup_epochs": 1, "shift": 1, "cutout": 0})


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", 16)


@pytest.fixture(scope="module")
def small() -> Architecture:
    return load_space("digits", {"image_size": 16}).decode([0] * 20)


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    """300 images to train, so that an epoch is three steps."""
    part = ImageSet(digits.train.images[::4], digits.train.labels[::4])
    return replace(digits, train=part, fingerprint="few")


def losses_of(training: FullTraining, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        training.advance()
        found.append(float(training._losses[training.step - 1]))
        if training.step == training.steps:
            training.end_epoch()
    return found


def test_a_step_is_that_of_a_plain_loop(small: Architecture, few: Dataset) -> None:
    """Forward, smoothed cross entropy, L2, RMSProp and the average, written out by hand."""
    recipe = Recipe(
        epochs=2,
        batch=100,
        learning_rate=0.05,
        warmup_epochs=1,
        weight_decay=0.01,
        flip=False,
        crop_area=1.0,
        ema=0.9,
    )
    images = DeviceImages(few.train, few, "cpu")
    training = FullTraining(seeded_network(small, recipe, few, 5, "cpu"), images, recipe, 16, 5)
    plain = seeded_network(small, recipe, few, 5, "cpu").train()
    names = dict(plain.named_parameters())
    norms = {n for n, m in plain.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    state = {n: (torch.ones_like(p), torch.zeros_like(p)) for n, p in names.items()}
    average = {n: p.detach().clone() for n, p in names.items()}
    rates = recipe.learning_rates(6, 3)
    plan = EpochPlan.empty(len(images), recipe, torch.device("cpu"))
    for step in range(5):
        if step % 3 == 0:
            plan.draw(len(images), recipe, torch.Generator().manual_seed(seed_at(5, step // 3)))
        index = plan.host_order[step % 3]
        x = torch.from_numpy(few.train.images[index.numpy()]).float() / 255
        x = ((x - few.mean[0]) / few.std[0]).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        labels = torch.from_numpy(few.train.labels[index.numpy()])
        log = functional.log_softmax(plain(x), 1)
        smooth = 0.9 * functional.one_hot(labels, 10) + 0.1 / 10
        loss = -(smooth * log).sum(1).mean()
        gradients = dict(zip(names, torch.autograd.grad(loss, list(names.values())), strict=True))
        (ours,) = losses_of(training, 1)
        assert ours == pytest.approx(loss.item(), rel=1e-4)
        with torch.no_grad():
            for name, p in names.items():
                g = gradients[name] + (0.0 if name.rpartition(".")[0] in norms else 0.01) * p
                ms, mom = state[name]
                ms.mul_(0.9).add_(0.1 * g * g)
                mom.mul_(0.9).add_(rates[step] * g / torch.sqrt(ms + 1e-3))
                p.sub_(mom)
                decay = min(0.9, (2 + step) / (11 + step))
                average[name] = decay * average[name] + (1 - decay) * p
    for name, p in training.model.named_parameters():
        assert torch.allclose(p, names[name], rtol=1e-3, atol=1e-5), name
    for name, p in training.measured.named_parameters():
        assert torch.allclose(p, average[name], rtol=1e-3, atol=1e-5), name


def test_it_learns_digits_and_the_global_generator_is_left_alone(
    small: Architecture, digits: Dataset
) -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    recipe = replace(QUICK, epochs=3, batch=50, flip=False)
    measured = list(train_fully(small, recipe, digits, 1, test=load_digits_test(16)))
    assert torch.equal(before, torch.get_rng_state())
    assert [m.final for m in measured] == [False, False, True]
    assert measured[-1].accuracy > 0.85
    metrics = measured[-1].metrics
    assert abs(metrics["test_accuracy"] - measured[-1].accuracy) < 0.1
    assert {"epoch", "train_loss", "validation_loss", "validation_top5", "learning_rate"} <= set(metrics)
    assert "test_accuracy" not in measured[0].metrics


def test_every_random_part_changes_the_training_and_a_seed_repeats_it(
    few: Dataset,
) -> None:
    network = load_space("digits", {"image_size": 16}).decode([1] * 20)  # has skips

    def end(seed: int = 0, **changes: object) -> float:
        fixed = {"epochs": 1, "warmup_epochs": 0.0, "flip": False, "shift": 0}
        recipe = replace(QUICK, **{**fixed, **changes})
        *_, last = train_fully(network, recipe, few, seed)
        return last.metrics["train_loss"]

    plain = end()
    assert end() == plain
    changes = [{"shift": 2}, {"flip": True}, {"crop_area": 0.5}, {"dropout": 0.5}, {"drop_path": 0.5}]
    changes += [{"cutout": 4}, {"auto_augment": "cifar10"}]
    assert len({plain, end(1), *(end(**change) for change in changes)}) == 9


def test_images_of_another_size_are_resized_to_the_networks(small: Architecture) -> None:
    larger = load_dataset("digits", 24)
    for crop_area in (1.0, 0.5):
        recipe = replace(QUICK, epochs=1, crop_area=crop_area, measured_crop=0.9)
        *_, last = train_fully(small, recipe, larger, 0)
        assert last.metrics["train_loss"] < 2.4


def test_checkpoints_are_kept_by_count_and_by_best(small: Architecture, few: Dataset, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=5)
    saving = Saving(folder=tmp_path, keep=2, every=2)
    measured = list(
        train_fully(small, recipe, few, 0, saving=saving, weights_path=tmp_path / "model.safetensors")
    )
    names = [path.name for path in checkpoints_in(tmp_path)]
    assert names == ["epoch-0005.safetensors", "epoch-0004.safetensors"]
    best = read_checkpoint(tmp_path / "best.safetensors")
    accuracies = [m.accuracy for m in measured]
    assert best.facts.accuracy == max(accuracies) == best.facts.best_accuracy
    assert best.facts.epoch == best.facts.best_epoch == accuracies.index(max(accuracies)) + 1
    assert (best.resumable, read_checkpoint(tmp_path / names[0]).resumable) == (False, True)
    model = read_checkpoint(tmp_path / "model.safetensors")
    assert model.architecture.key == small.key
    assert model.facts.class_names == few.class_names
    images = DeviceImages(few.validation, few, "cpu")
    found = evaluate_network(model.network(), images, num_classes=10, image_size=16)
    assert found.accuracy == accuracies[-1]  # the file holds what was measured
    built = small.build(10, 1)
    load_weights(built, tmp_path / "model.safetensors")


def test_a_stop_leaves_a_checkpoint_and_the_rest_gives_the_same_end(
    small: Architecture, few: Dataset, tmp_path: Path
) -> None:
    whole = list(train_fully(small, QUICK, few, 3))
    steps: list[int] = []

    def count(done: int, total: int, rate: float) -> None:
        steps.append(done)

    saving = Saving(folder=tmp_path, minutes=None)
    first = list(
        train_fully(small, QUICK, few, 3, saving=saving, on_step=count, stop=lambda: len(steps) == 4)
    )
    assert len(first) == 1
    assert checkpoints_in(tmp_path)[0].name == "epoch-0001-step-00001.safetensors"
    rest = list(train_fully(small, QUICK, few, 3, saving=saving, on_step=count))
    assert steps == [1, 2, 3, 4, 5, 6]
    for one, other in zip(whole, rest, strict=True):
        assert one.accuracy == other.accuracy
        assert one.metrics["train_loss"] == other.metrics["train_loss"]
        assert one.metrics["validation_loss"] == other.metrics["validation_loss"]


def test_a_checkpoint_of_another_training_is_refused(
    small: Architecture, few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving = Saving(folder=tmp_path)
    list(train_fully(small, replace(QUICK, epochs=1), few, 3, saving=saving))
    with pytest.raises(InputError, match="is of a training with another seed$"):
        list(train_fully(small, replace(QUICK, epochs=1), few, 4, saving=saving))
    with pytest.raises(InputError, match="is of a training with another recipe$"):
        list(train_fully(small, QUICK, few, 3, saving=saving))
    wetter = replace(small, dropout=0.7)  # its key is the same
    with pytest.raises(InputError, match="is of a training with another network$"):
        list(train_fully(wetter, replace(QUICK, epochs=1), few, 3, saving=saving))
    monkeypatch.setattr("trainers.full.TRAINER_VERSION", 0)
    with pytest.raises(InputError, match="is of a training with another version of the trainer$"):
        list(train_fully(small, replace(QUICK, epochs=1), few, 3, saving=saving))


def test_a_rate_that_is_too_high_ends_in_a_clear_failure(small: Architecture, few: Dataset) -> None:
    recipe = replace(QUICK, learning_rate=1000.0, epochs=6)
    with pytest.raises(TrainingDivergedError, match="a lower learning_rate"):
        list(train_fully(small, recipe, few, 0))


def test_a_step_without_a_number_names_its_images(small: Architecture, few: Dataset) -> None:
    images = DeviceImages(few.train, few, "cpu")
    training = FullTraining(seeded_network(small, QUICK, few, 0, "cpu"), images, QUICK, 16, 0)
    training.advance()
    with torch.no_grad():
        next(iter(training.model.parameters())).fill_(float("nan"))
    with pytest.raises(NotFiniteError, match="the loss is nan in epoch 1, step 2, at a rate of") as caught:
        training.advance()
    plan = EpochPlan.empty(len(images), QUICK, torch.device("cpu"))
    plan.draw(len(images), QUICK, torch.Generator().manual_seed(seed_at(0, 0)))
    assert caught.value.indices == plan.host_order[1].tolist()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"batch": 400}, "recipe.batch must be at most 300, the training images of digits, got 400"),
        ({"cutout": 16}, "recipe.cutout must be less than 16 pixels, the side of the images, got 16"),
        ({"shift": 8}, "recipe.shift must be less than half of 16 pixels, got 8"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    small: Architecture, few: Dataset, changes: dict, match: str
) -> None:
    with pytest.raises(InputError, match=match):
        list(train_fully(small, replace(QUICK, **changes), few, 0))


def test_a_class_without_images_is_refused(small: Architecture, few: Dataset) -> None:
    kept = few.train.labels != 7
    lacking = replace(few, train=ImageSet(few.train.images[kept], few.train.labels[kept]))
    with pytest.raises(InputError, match="'?7'? has no image in the train part"):
        list(train_fully(small, QUICK, lacking, 0))
    wrong = ImageSet(few.validation.images, few.validation.labels + 5)
    with pytest.raises(InputError, match="in the test part is none of its 10 classes"):
        list(train_fully(small, QUICK, few, 0, test=wrong))  # and not after the last epoch


def test_the_evaluator_goes_on_where_its_worker_was_killed(
    small: Architecture, few: Dataset, tmp_path: Path
) -> None:
    evaluator = FullEvaluator(
        recipe=QUICK, data=few, test=load_digits_test(16), device="cpu", checkpoints=tmp_path
    )
    begun = evaluator.epochs(small, 2)
    first = next(begun)
    del begun
    measured = list(evaluator.epochs(small, 2, tmp_path / "w.safetensors"))
    assert measured[0].metrics == first.metrics  # read back, not trained again
    assert measured[-1].final
    assert 0.0 <= measured[-1].metrics["test_accuracy"] <= 1.0
    assert training_folder(tmp_path, small, 2).is_dir()
    assert evaluator.fingerprint == QUICK.hash("few")
    assert list(evaluator.epochs(small, 2))[-1].metrics == measured[-1].metrics


def test_the_centre_of_an_image_is_its_centre() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8)
    assert torch.equal(central(x, 4, 0.5), x[..., 2:6, 2:6])
    assert torch.equal(central(x, 8), x)
    assert float(central(x, 4).mean()) == pytest.approx(float(x.mean()))
