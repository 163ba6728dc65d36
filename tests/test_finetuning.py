"""Fine-tuning: what learns and what stays, gone on with to the same bits, other networks and channels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_space import FieldError, InputError, load_space
from search_space.network import Network
from tests.bundles import TINY
from tests.checkpoint_files import checkpoint
from tests.processes import Forked
from tests.small_training import RECIPE, SEED, STEPS, assert_same_bits, data, network
from trainers.checkpoints import read_checkpoint
from trainers.data import Dataset
from trainers.device_data import DeviceImages
from trainers.finetuning import (
    Finetuning,
    Freezing,
    Start,
    normalised_as,
    parts_of,
    start_from,
    start_network,
)
from trainers.full import Saving, seeded_network, train_fully
from trainers.full_step import FullTraining
from trainers.ranks import ALONE, Ranks
from trainers.recipe import Recipe

PLAIN = replace(RECIPE, dropout=0.0, drop_path=0.0, ema=0.0)
RECIPES = {
    "sgd": replace(RECIPE, optimiser="sgd", schedule="cosine", ema=0.0),
    "sgd, no momentum": replace(PLAIN, optimiser="sgd", momentum=0.0),
    "rmsprop_tf": replace(RECIPE, accumulate=2),
    "adamw": replace(RECIPE, optimiser="adamw", learning_rate=0.01),
}
STAGED = Finetuning(unfreeze="staged", stage_epochs=0.5)


def start_of(finetuning: Finetuning) -> Start:
    """Weights that nobody else draws, of the network of `tests.small_training`."""
    drawn = seeded_network(network(), PLAIN, data(), 99, "cpu")
    tensors = {name: v for name, v in drawn.state_dict().items() if not name.startswith("classifier.")}
    return Start(finetuning=finetuning, facts={"weights": "w"}, tensors=tensors)


def training_of(finetuning: Finetuning, recipe: Recipe = PLAIN, ranks: Ranks = ALONE) -> FullTraining:
    model = seeded_network(network(), recipe, data(), SEED, "cpu")
    start_network(model, start_of(finetuning))
    images, size = DeviceImages(data().train, data(), "cpu"), network().image_size
    return FullTraining(model, images, recipe, size, SEED, None, ranks, Freezing(model, finetuning))


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """The tensors, batch norm's statistics among them, that are other than before."""
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def names_in(training: FullTraining, parts: int) -> set[str]:
    """The tensors of the parts that begin first."""
    model = training.model
    assert isinstance(model, Network)
    its = {id(module) for part in parts_of(model)[:parts] for top in part for module in top.modules()}
    owners = {name: id(module) for name, module in model.named_modules()}
    return {name for name in model.state_dict() if owners[name.rpartition(".")[0]] in its}


# --- what learns when --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_what_does_not_learn_stays_bit_for_bit_and_all_else_changes(name: str) -> None:
    recipe = RECIPES[name]
    training = training_of(STAGED, recipe)
    before, moved = state_of(training.model), set()
    for step in range(3 * STEPS):
        first = state_of(training.model)
        training.advance()
        learning = 1 + step // 3  # a part begins every half of an epoch of six steps
        now = changed(training.model, first)
        assert now <= names_in(training, learning), step
        assert changed(training.measured, before) <= names_in(training, learning)  # also of the average
        moved |= now
        if training.step == training.steps:
            training.end_epoch()
    assert moved == changed(training.model, before) == names_in(training, 6)
    classifier = {"classifier.weight", "classifier.bias"}
    head = training_of(Finetuning(unfreeze="head"), recipe)
    before = state_of(head.model)
    for _ in range(3):
        head.advance()
    assert changed(head.model, before) == classifier
    whole = training_of(Finetuning(), recipe)
    before = state_of(whole.model)
    for _ in range(2):
        whole.advance()
    assert changed(whole.model, before) == set(before)


def test_every_part_begins_once_from_the_classifier_to_the_stem() -> None:
    model = TINY.build(10, 1)
    assert isinstance(model, Network)
    parts = parts_of(model)
    assert parts == [
        [model.classifier],
        [model.head],
        list(model.blocks[1:]),
        [model.blocks[0]],
        [model.stem],
    ]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_parts_hold_every_parameter_once(seed: int) -> None:
    space = load_space("digits", {"image_size": 16})
    model = space.decode(space.random(np.random.default_rng(seed))).build(10, 1)
    assert isinstance(model, Network)
    found = [id(p) for part in parts_of(model) for module in part for p in module.parameters()]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


@given(st.integers(1, 9), st.floats(0, 50), st.floats(0.001, 10))
def test_parts_that_learn_become_more_and_are_never_none(
    parts: int, epoch: float, stage_epochs: float
) -> None:
    staged = Finetuning(unfreeze="staged", stage_epochs=stage_epochs)
    now, later = (staged.learning(parts, e) for e in (epoch, epoch + stage_epochs))
    assert 1 <= now <= later <= parts
    assert later == parts or later > now
    assert Finetuning().learning(parts, epoch) == parts
    assert Finetuning(unfreeze="head").learning(parts, epoch) == 1


def test_a_third_of_an_epoch_three_times_is_an_epoch() -> None:
    staged = Finetuning(unfreeze="staged", stage_epochs=1 / 3)
    assert [staged.learning(9, step / 6) for step in (0, 1, 2, 4, 6)] == [1, 1, 2, 3, 4]


def test_momentum_of_a_part_that_begins_late_is_that_of_a_first_step() -> None:
    """Fused SGD with a momentum of nothing, beside torch's plain one that has seen no step."""
    recipe = replace(PLAIN, optimiser="sgd", weight_decay=0.0, momentum=0.9)
    training = training_of(STAGED, recipe)
    for _ in range(3):
        training.advance()
    head = training.model.head[0].weight  # type: ignore[index, union-attr]
    before = head.detach().clone()
    training.advance()
    rate = float(training._rates[3])
    assert head.grad is not None
    expected = before - rate * (head.grad + 0.9 * head.grad)  # Nesterov's first
    assert torch.allclose(head, expected, rtol=1e-5, atol=1e-8)
    assert not torch.equal(head, before)


def two_processes(folder: Path, rank: int) -> None:
    """One of two that train together, staged, with an exchange every second part."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    recipe = replace(PLAIN, optimiser="sgd", accumulate=2)
    training = training_of(Finetuning(unfreeze="staged", stage_epochs=0.25), recipe, Ranks(rank, 2))
    before = state_of(training.model)
    for _ in range(5):  # parts begin at steps 0, 2, 3, 5
        training.advance()
    values = {name: value.clone() for name, value in training.model.named_parameters()}
    moved = changed(training.model, before)
    torch.save((values, sorted(moved), sorted(names_in(training, 3))), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_agree_on_parts_that_begin_late(tmp_path: Path) -> None:
    """Each time a part begins, its gradients are exchanged too."""
    both = [Forked(two_processes, tmp_path, rank) for rank in range(2)]
    outs = [process.communicate(240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    (one, moved, learning), (other, *_) = (
        torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)
    )
    assert moved == learning
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


# --- going on ----------------------------------------------------------------------------------------


def go(folder: Path, recipe: Recipe, start: Start, stop_at: int = -1) -> None:
    """Train until it ends, or until so many steps are done."""
    steps: list[int] = []
    saving = Saving(folder=folder, keep=1, minutes=None)
    for _ in train_fully(
        network(), recipe, data(), SEED, saving=saving, start=start,
        on_step=lambda done, total, rate: steps.append(done), stop=lambda: steps[-1:] == [stop_at],
    ):  # fmt: skip
        pass


@pytest.mark.parametrize("name", ["sgd", "rmsprop_tf", "adamw"])
def test_stopped_before_parts_begin_it_ends_with_the_same_bits(tmp_path: Path, name: str) -> None:
    recipe, start = RECIPES[name], start_of(STAGED)
    go(tmp_path / "whole", recipe, start)
    go(tmp_path / "cut", recipe, start, stop_at=5)  # two parts of six learn, the third begins at step 6
    gone = replace(start, tensors=None)  # the source is not needed any more
    go(tmp_path / "cut", recipe, gone, stop_at=10)
    go(tmp_path / "cut", recipe, gone)
    assert_same_bits(tmp_path / "whole/epoch-0003.safetensors", tmp_path / "cut/epoch-0003.safetensors")
    facts = read_checkpoint(tmp_path / "whole/best.safetensors").facts
    assert facts.start == {"weights": "w", "unfreeze": "staged", "stage_epochs": 0.5}


def test_a_checkpoint_of_another_start_is_refused(tmp_path: Path) -> None:
    start = start_of(STAGED)
    go(tmp_path, RECIPES["sgd"], start, stop_at=2)
    for other in (start_of(Finetuning()), replace(start, facts={"weights": "x"})):
        with pytest.raises(InputError, match="is of a training with another start"):
            go(tmp_path, RECIPES["sgd"], other)
    with pytest.raises(InputError, match="weights to start from are not there"):
        go(tmp_path / "empty", RECIPES["sgd"], replace(start, tensors=None))


# --- weights and images ------------------------------------------------------------------------------


def features_of(path: Path, in_channels: int) -> Network:
    """A network that starts from a checkpoint, to look at."""
    start = start_from(read_checkpoint(path), in_channels, Finetuning())
    model = TINY.build(4, in_channels)
    start_network(model, start)
    assert isinstance(model, Network)
    return model.eval()


def test_grey_images_of_a_colour_network_are_those_in_three_equal_channels(tmp_path: Path) -> None:
    colour = checkpoint(tmp_path / "c.safetensors", in_channels=3, mean=(0.4,) * 3, std=(0.2,) * 3)
    source, grey = read_checkpoint(colour).network(), features_of(colour, 1)
    x = torch.randn(5, 1, 16, 16)
    with torch.no_grad():
        assert torch.allclose(
            source.forward_features(x.expand(-1, 3, -1, -1)), grey.forward_features(x), atol=1e-4
        )


def test_grey_images_of_a_network_with_imagenets_statistics_are_exact_up_to_a_constant(
    tmp_path: Path,
) -> None:
    statistics = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    path = checkpoint(tmp_path / "c.safetensors", in_channels=3, **statistics)
    source, grey = read_checkpoint(path).network(), features_of(path, 1)
    assert isinstance(source, Network)
    normalised = normalised_as(data(), read_checkpoint(path))
    pixels = torch.rand(4, 1, 16, 16)
    means, stds = (torch.tensor(values)[None, :, None, None] for values in statistics.values())
    with torch.no_grad():
        of_colour = source.stem[0]((pixels - means) / stds)  # type: ignore[index]
        of_grey = grey.stem[0]((pixels - normalised.mean[0]) / normalised.std[0])  # type: ignore[index]
        constant = ((normalised.mean[0] - means) / stds).expand(1, 3, 16, 16)
        expected = source.stem[0](constant)  # type: ignore[index]
    assert expected.abs().max() > 0.01  # else the plain sum of the weights would do
    assert torch.allclose(of_colour - of_grey, expected.expand_as(of_grey), atol=1e-5)


def test_colour_images_of_a_grey_network_are_their_mean(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "g.safetensors")
    source, colour = read_checkpoint(path).network(), features_of(path, 3)
    x = torch.randn(5, 3, 16, 16)
    with torch.no_grad():
        mean = source.forward_features(x.mean(1, keepdim=True))
        assert torch.allclose(mean, colour.forward_features(x), atol=1e-4)


def test_the_classifier_is_new_and_the_rest_is_the_sources(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "g.safetensors")
    source, model = read_checkpoint(path).tensors(), features_of(path, 1)
    kept = {name for name, value in model.state_dict().items() if torch.equal(value, source[name])}
    assert source.keys() - kept == {"classifier.weight", "classifier.bias"}


def test_channels_that_cannot_be_made_and_other_networks_are_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.safetensors", in_channels=3, mean=(0.4,) * 3, std=(0.2,) * 3)
    with pytest.raises(InputError, match="takes images of 3 channels, which cannot become 4"):
        start_from(read_checkpoint(path), 4, Finetuning())
    start = start_from(read_checkpoint(path), 3, Finetuning())
    with pytest.raises(InputError, match="weights to start from are of another network: "):
        start_network(network().build(10, 3), start)


def test_images_are_normalised_as_the_source_was_used_to(tmp_path: Path) -> None:
    three = {"in_channels": 3, "mean": (0.4, 0.5, 0.6), "std": (0.1, 0.2, 0.3)}
    colour = read_checkpoint(checkpoint(tmp_path / "c.safetensors", **three))
    found = normalised_as(data(), colour)
    assert (found.mean, found.std) == (pytest.approx((0.5,)), pytest.approx((0.2,)))
    assert found.fingerprint == data().fingerprint
    grey = read_checkpoint(checkpoint(tmp_path / "g.safetensors"))
    assert normalised_as(of_three_channels(), grey).mean == (0.3, 0.3, 0.3)


def of_three_channels() -> Dataset:
    train = replace(data().train, images=data().train.images.repeat(3, axis=3))
    return replace(data(), train=train, mean=(0.1, 0.2, 0.3), std=(0.1,) * 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"unfreeze": "all"}, "unfreeze must be whole or staged or head, got 'all'"),
        ({"unfreeze": "staged", "stage_epochs": 0}, "stage_epochs must be between 0.001"),
        ({"stage_epochs": "1"}, "stage_epochs"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        Finetuning(**given)
