"""The published recipe in numbers, and TensorFlow's RMSProp against its recurrence."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_space import FieldError, load_architecture, load_space
from trainers.optimisation import MovingAverage, create_recipe_optimiser
from trainers.recipe import RECIPES, Recipe, read_recipe
from trainers.rmsprop_tf import RMSpropTF


def test_the_published_recipe_is_the_default_with_the_papers_numbers() -> None:
    recipe = read_recipe("imagenet")
    assert recipe == Recipe()
    published = {
        "epochs": 350,
        "batch": 4096,
        "optimiser": "rmsprop_tf",
        "learning_rate": 0.016,
        "schedule": "staircase",
        "warmup_epochs": 5.0,
        "decay": 0.97,
        "decay_epochs": 2.4,
        "momentum": 0.9,
        "weight_decay": 1e-5,
        "label_smoothing": 0.1,
        "bn_momentum": 0.01,
        "ema": 0.9999,
        "flip": True,
        "crop_area": 0.08,
        "measured_crop": 0.875,
    }
    assert published.items() <= asdict(recipe).items()


@pytest.mark.parametrize(
    ("name", "dropout"),
    [(f"efficientnet_b{i}", d) for i, d in enumerate((0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5))],
)
def test_dropout_and_stochastic_depth_are_the_familys(name: str, dropout: float) -> None:
    architecture = load_architecture(name)
    assert (architecture.dropout, architecture.drop_path) == (dropout, 0.2)


def test_the_rate_of_the_published_recipe() -> None:
    steps = 312  # of an epoch
    rates = Recipe().learning_rates(350 * steps, steps)
    assert len(rates) == 350 * steps
    assert rates[0] == 0.0
    assert rates[steps] == pytest.approx(0.256 / 5)  # a straight line to 0.256 in 5 epochs
    assert rates[5 * steps - 1] < 0.256
    # the staircase runs from the first step: after 5 epochs two of its steps lie behind
    assert rates[5 * steps] == pytest.approx(0.256 * 0.97**2)
    assert rates[math.ceil(7.2 * steps)] == pytest.approx(0.256 * 0.97**3)
    assert rates[-1] == pytest.approx(0.256 * 0.97**145)
    assert np.diff(rates[5 * steps :]).max() <= 0.0


def test_the_rate_is_in_proportion_to_the_batch() -> None:
    one, two = (
        replace(Recipe(), batch=batch, warmup_epochs=0).learning_rates(10, 10) for batch in (256, 512)
    )
    assert one[0] == pytest.approx(0.016)
    assert np.allclose(two, 2 * one)


def test_a_cosine_ends_near_nothing_after_its_warm_up() -> None:
    recipe = replace(RECIPES["cifar"], batch=256)
    rates = recipe.learning_rates(30 * 100, 100)
    assert rates[200] == rates.max() == pytest.approx(recipe.learning_rate)
    assert rates[1600] == pytest.approx(recipe.learning_rate / 2)
    assert 0.0 <= rates[-1] < 1e-6 * recipe.learning_rate + 1e-6


def recurrence(x, gradients, rates, decay, momentum, eps, l2):
    """TensorFlow's ApplyRMSProp, a number at a time."""
    mean_square, moment = 1.0, 0.0
    for gradient, rate in zip(gradients, rates, strict=True):
        g = gradient + l2 * x
        mean_square += (g * g - mean_square) * (1.0 - decay)
        moment = moment * momentum + rate * g / math.sqrt(mean_square + eps)
        x -= moment
    return x


@given(
    x=st.floats(-3, 3),
    gradients=st.lists(st.floats(-5, 5), min_size=1, max_size=8),
    rate=st.floats(1e-4, 1.0),
    l2=st.sampled_from([0.0, 1e-5, 0.1]),
)
def test_rmsprop_is_tensorflows(x: float, gradients: list[float], rate: float, l2: float) -> None:
    rates = [rate / (1 + n) for n in range(len(gradients))]  # a rate that changes tells where it is applied
    parameter = torch.nn.Parameter(torch.tensor([x], dtype=torch.float64))
    lr = torch.zeros((), dtype=torch.float64)
    optimiser = RMSpropTF([parameter], lr, decay=0.9, momentum=0.9, eps=1e-3, weight_decay=l2)
    for gradient, now in zip(gradients, rates, strict=True):
        lr.fill_(now)
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
    expected = recurrence(x, gradients, rates, 0.9, 0.9, 1e-3, l2)
    assert parameter.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_torchs_own_rmsprop_is_another() -> None:
    ends = []
    for make in (
        lambda p: RMSpropTF(p, 0.1, decay=0.9, momentum=0.9, eps=1e-3),
        lambda p: torch.optim.RMSprop(p, 0.1, alpha=0.9, momentum=0.9, eps=1e-3),
    ):
        parameter = torch.nn.Parameter(torch.tensor([1.0]))
        optimiser = make([parameter])
        for _ in range(3):
            parameter.grad = torch.tensor([0.02])
            optimiser.step()
        ends.append(1.0 - parameter.item())
    assert ends[1] > 10 * ends[0]  # its mean square starts at nothing, so that its first steps leap


def test_everything_but_batch_norm_decays() -> None:
    model = load_architecture("efficientnet_b0").build(10)
    groups = create_recipe_optimiser(model, Recipe(), torch.zeros(())).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    norms = {n for n, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    decaying, others = ({names[id(p)] for p in group["params"]} for group in groups)
    assert (groups[0]["weight_decay"], groups[1]["weight_decay"]) == (1e-5, 0.0)
    assert {name.rpartition(".")[0] for name in others} == norms
    assert {"classifier.bias", "blocks.0.se.reduce.bias", "stem.0.weight"} <= decaying
    assert len(decaying) + len(others) == len(names)


def test_the_average_follows_weights_and_statistics() -> None:
    space = load_space("digits")
    model = space.decode(space.random(np.random.default_rng(0))).build(10, 1)
    average = MovingAverage(model)
    before = {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(1)
    average.update(torch.tensor(0.75))
    for name, value in before.items():
        assert torch.allclose(average.model.state_dict()[name], value + 0.25, atol=1e-6), name
    assert any(name.endswith("running_var") for name in before)


def test_a_recipe_is_read_from_a_name_or_from_what_differs() -> None:
    assert read_recipe("cifar") == RECIPES["cifar"]
    assert read_recipe({"base": "cifar", "epochs": 60}) == replace(RECIPES["cifar"], epochs=60)
    assert read_recipe({"epochs": 60}).optimiser == "rmsprop_tf"
    assert read_recipe(asdict(RECIPES["cifar"])) == RECIPES["cifar"]  # as a run keeps it


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("imagnet", "must be imagenet or cifar or transfer, got 'imagnet'; did you mean imagenet"),
        ({"base": "cifar10"}, "base must be imagenet or cifar or transfer"),
        ({"learnin_rate": 1}, "learnin_rate is an unknown key; did you mean learning_rate"),
        ({"epochs": 0}, "epochs must be between 1 and 100000, got 0"),
        ({"epochs": 3}, "warmup_epochs must be at most 3, the epochs, got 5"),
        ({"accumulate": 3}, "accumulate must divide the batch of 4096 into parts of 2"),
        ({"dropout": 1.0}, "dropout must be between 0 and 0.999"),
        ({"optimiser": "rmsprop"}, "optimiser must be rmsprop_tf or sgd or adamw"),
        ({"auto_augment": "randaugment"}, "auto_augment must be none or imagenet"),
        (7, "must be a recipe's name or hold keys and values"),
    ],
)
def test_mistakes_in_a_recipe_are_named(given: object, match: str) -> None:
    with pytest.raises(FieldError, match=match):
        read_recipe(given)


def test_a_hash_tells_recipes_and_data_apart() -> None:
    recipe = Recipe()
    hashes = {recipe.hash("a"), recipe.hash("b"), replace(recipe, epochs=351).hash("a")}
    assert len(hashes) == 3
    assert recipe.hash("a") == read_recipe({"epochs": 350}).hash("a")
