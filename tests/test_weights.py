"""Weights of one network in another of a different scale."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from nas import FieldError, InputError, load_weights, transfer_weights, write_transferred
from nas.weights import NothingAgreesError, Transferred, transferred_state
from search_space import Architecture, Head, Stage, Stem, load_architecture, scale_architecture
from tests.test_architecture import ARCHITECTURES
from trainers.proxy import save_weights

BASE = Architecture(
    name="base",
    image_size=32,
    stem=Stem(channels=8),
    stages=(
        Stage(channels=8, repeats=2, expansion=2, se_ratio=0.25),
        Stage(channels=16, repeats=1, stride=2, expansion=2),
        Stage(channels=16, repeats=2, stride=2, expansion=2),
    ),
    head=Head(channels=24),
)


def trained(architecture: Architecture, num_classes: int = 5, in_channels: int = 1) -> nn.Module:
    """A network none of whose values is an initial one: every tensor is its own, batch norm's as well."""
    model = architecture.build(num_classes, in_channels)
    generator = torch.Generator().manual_seed(7)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            tensor.fill_(1234)
    return model.eval()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Of the base network, with 5 classes and one channel."""
    path = tmp_path / "base.safetensors"
    save_weights(trained(BASE), BASE, path)
    return path


def scaled(depth: float = 1.0, width: float = 1.0, image_size: int = 32) -> Architecture:
    return scale_architecture(BASE, depth=depth, width=width, image_size=image_size, name="scaled")


def names(transferred: Transferred) -> tuple[set[str], set[str]]:
    """Of the layers (a convolution with its batch norm) that were taken, and that were left."""

    def layers(facts) -> set[str]:
        modules = {fact.name.rpartition(".")[0] for fact in facts}
        return {m.rpartition(".")[0] if m[-1].isdecimal() else m for m in modules}

    return layers(transferred.taken), layers(transferred.fresh)


def test_the_same_network_is_taken_whole_as_load_weights_does_it(weights: Path) -> None:
    one, other = BASE.build(5, 1), BASE.build(5, 1)
    load_weights(one, weights)
    transferred = transfer_weights(other, weights)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    assert transferred.fresh == ()
    assert (transferred.source, transferred.target, transferred.share) == ("base", "base", 1.0)
    assert transferred.taken_params == sum(p.numel() for p in one.parameters())
    assert (
        transferred.summary
        == f"{len(one.state_dict())} of {len(one.state_dict())} tensors, 100 % of the parameters"
    )


def test_another_resolution_takes_all_and_gives_the_same_outputs(weights: Path) -> None:
    larger = scaled(image_size=48).build(5, 1).eval()
    assert transfer_weights(larger, weights).fresh == ()
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(larger(images), trained(BASE)(images))


def test_a_deeper_network_takes_each_layer_at_its_stage_and_number(weights: Path) -> None:
    deeper = scaled(depth=2.0).build(5, 1)
    fresh = {name: tensor.clone() for name, tensor in deeper.state_dict().items()}
    transferred = transfer_weights(deeper, weights)
    # blocks of the base: 0 1 | 2 | 3 4; of the deeper one: 0 1 . . | 4 . | 6 7 . .
    moved = {0: 0, 1: 1, 4: 2, 6: 3, 7: 4}
    taken, left = names(transferred)
    assert {int(layer.split(".")[1]) for layer in taken if layer.startswith("blocks")} == set(moved)
    assert {int(layer.split(".")[1]) for layer in left} == {2, 3, 5, 8, 9}  # stem, head, classifier are taken
    before, after = load_file(weights), deeper.state_dict()
    for fact in transferred.taken:
        parts = fact.name.split(".")
        if parts[0] == "blocks":
            parts[1] = str(moved[int(parts[1])])
        assert fact.origin == ".".join(parts)
        assert torch.equal(after[fact.name], before[fact.origin])
        assert fact.shape == tuple(before[fact.origin].shape)
    assert all(torch.equal(after[fact.name], fresh[fact.name]) for fact in transferred.fresh)
    assert {fact.origin for fact in transferred.taken} == set(before)  # nothing of the file is left over
    assert len(transferred.taken) + len(transferred.fresh) == len(after)


def test_names_alone_would_put_a_layer_into_another_stage(weights: Path) -> None:
    # blocks.1 and blocks.2 of these are alike by name and shape, and of two stages
    uniform = replace(BASE, stages=(Stage(channels=8, repeats=2), Stage(channels=8, repeats=2, stride=2)))
    save_weights(trained(uniform), uniform, weights)
    deeper = scale_architecture(uniform, depth=1.5, width=1.0, image_size=32)
    transferred = transfer_weights(deeper.build(5, 1), weights)
    origins = {
        fact.name: fact.origin for fact in transferred.taken if fact.name.endswith("depthwise.0.weight")
    }
    assert origins == {
        "blocks.0.depthwise.0.weight": "blocks.0.depthwise.0.weight",
        "blocks.1.depthwise.0.weight": "blocks.1.depthwise.0.weight",
        "blocks.3.depthwise.0.weight": "blocks.2.depthwise.0.weight",
        "blocks.4.depthwise.0.weight": "blocks.3.depthwise.0.weight",
    }


def test_a_shallower_network_takes_the_first_layers_of_each_stage(weights: Path) -> None:
    transferred = transfer_weights(scaled(depth=0.5).build(5, 1), weights)
    assert transferred.fresh == ()
    origins = {fact.origin.split(".")[1] for fact in transferred.taken if fact.name.startswith("blocks")}
    assert origins == {"0", "2", "3"}


def test_batch_norm_goes_with_its_convolution_and_with_nothing_else(weights: Path) -> None:
    # a wider stem changes the first block's inputs; its projection's outputs, and their norms, agree in shape
    wider = replace(BASE, name="wider", stem=Stem(channels=16))
    model = wider.build(5, 1)
    transferred = transfer_weights(model, weights)
    taken, left = names(transferred)
    assert {"stem", "blocks.0.expand", "blocks.0.depthwise", "blocks.0.project"} <= left
    assert not any(
        "num_batches_tracked" in f.name and f.name.startswith("blocks.0") for f in transferred.taken
    )
    assert not taken & left
    assert {"blocks.1.expand", "blocks.1.project", "head", "classifier"} <= taken
    norm = model.blocks[1].project[1]
    assert norm.num_batches_tracked == 1234
    assert torch.equal(norm.running_var, load_file(weights)["blocks.1.project.1.running_var"])
    assert model.stem[1].num_batches_tracked == 0
    assert 0 < transferred.share < 1


def test_a_classifier_of_other_classes_and_a_stem_of_other_channels_stay_fresh(weights: Path) -> None:
    taken, left = names(transfer_weights(BASE.build(6, 1), weights))
    assert left == {"classifier"}
    taken, left = names(transfer_weights(BASE.build(5, 3), weights))
    assert left == {"stem"}
    taken, left = names(transfer_weights(BASE.build(5, 1), weights, classifier=False))
    assert left == {"classifier"}
    assert "head" in taken
    headless = BASE.build(5, 1, include_top=False)
    assert transfer_weights(headless, weights).fresh == ()


def test_a_layer_of_another_operator_is_not_taken_though_its_shapes_agree(weights: Path) -> None:
    def first_stage(op: str) -> Architecture:
        return replace(BASE, stages=(Stage(op=op, channels=8, skip="none"), *BASE.stages[1:]))

    save_weights(trained(first_stage("dsconv")), first_stage("dsconv"), weights)
    activated = first_stage("dsconv_act").build(5, 1)  # trained for another output: an activation follows
    assert {n: t.shape for n, t in activated.state_dict().items()} == {
        n: t.shape for n, t in load_file(weights).items()
    }
    taken, left = names(transfer_weights(activated, weights))
    assert left == {"blocks.0.depthwise", "blocks.0.project"}
    assert "blocks.1.expand" in taken  # the second stage's


def test_half_precision_is_taken_as_the_networks_own(weights: Path) -> None:
    tensors = {name: t.half() if t.is_floating_point() else t for name, t in load_file(weights).items()}
    save_file(tensors, weights, metadata={"architecture": json.dumps(BASE.to_dict())})
    model = BASE.build(5, 1)
    transfer_weights(model, weights)
    assert model.stem[0].weight.dtype is torch.float32
    assert torch.equal(model.stem[0].weight, tensors["stem.0.weight"].float())


def test_starting_weights_depend_on_the_seed_alone_and_leave_the_generator(weights: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    deeper = scaled(depth=2.0)
    first, facts = transferred_state(weights, deeper, num_classes=5, in_channels=1, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    again, _ = transferred_state(weights, deeper, num_classes=5, in_channels=1, seed=3)
    other, _ = transferred_state(weights, deeper, num_classes=5, in_channels=1, seed=4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    taken = {fact.name for fact in facts.taken}
    drawn = {name for name in set(first) - taken if name.endswith("0.weight")}
    assert drawn
    assert all(torch.equal(first[name], other[name]) for name in taken)
    assert not any(torch.equal(first[name], other[name]) for name in drawn)
    deeper.build(5, 1).load_state_dict(first)
    for wrong in (-1, True, 1.5):
        with pytest.raises(FieldError, match="seed must be"):
            transferred_state(weights, deeper, seed=wrong)


def test_a_written_member_is_ready_to_start_from(weights: Path, tmp_path: Path) -> None:
    deeper, path = scaled(depth=2.0), tmp_path / "family" / "scaled.safetensors"
    transferred = write_transferred(weights, deeper, path, num_classes=5, in_channels=1, seed=3)
    state, same = transferred_state(weights, deeper, num_classes=5, in_channels=1, seed=3)
    assert transferred == same
    model = deeper.build(5, 1)
    load_weights(model, path)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert [p.name for p in path.parent.iterdir()] == ["scaled.safetensors"]
    onward = scale_architecture(deeper, depth=2.0, width=1.0, image_size=64)  # it says itself what it is of
    assert transfer_weights(onward.build(5, 1), path).source == "scaled"


def test_the_facts_are_plain(weights: Path) -> None:
    transferred = transfer_weights(scaled(depth=2.0).build(5, 1), weights)
    facts = json.loads(json.dumps(transferred.to_json()))
    assert facts["taken_params"] == sum(p.numel() for p in BASE.build(5, 1).parameters())
    assert facts["taken_params"] + facts["fresh_params"] == sum(
        p.numel() for p in scaled(depth=2.0).build(5, 1).parameters()
    )
    tensors = f"{facts['taken_tensors']} of {facts['taken_tensors'] + facts['fresh_tensors']} tensors"
    assert transferred.summary == f"{tensors}, {int(1000 * facts['share']) / 10:.1f} % of the parameters"
    nearly = replace(transferred, fresh=(transferred.fresh[0]._replace(params=1),))
    assert nearly.summary.endswith(" 99.9 % of the parameters")
    hardly = replace(transferred, taken=(transferred.taken[0]._replace(params=1),))
    assert hardly.summary.endswith(" less than 0.1 % of the parameters")


def test_nothing_to_take_is_an_error_and_nothing_is_written(weights: Path, tmp_path: Path) -> None:
    wider = scaled(width=2.0)
    model = wider.build(6, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    message = (
        f"^{weights}: no layer of its network, base, has the place and the shapes of one of scaled; "
        "there are no weights to take$"
    )
    with pytest.raises(NothingAgreesError, match=message):
        transfer_weights(model, weights)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(InputError, match="no weights to take"):
        write_transferred(weights, wider, tmp_path / "out" / "w.safetensors", num_classes=6, in_channels=1)
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_used_are_refused_in_one_line(weights: Path, tmp_path: Path) -> None:
    def refused(path: Path, **more) -> str:
        with pytest.raises(InputError) as error:
            transfer_weights(BASE.build(5, 1), path, **more)
        assert "\n" not in str(error.value)
        assert str(error.value).startswith(f"{path}: ")
        return str(error.value)

    assert "no such file of weights" in refused(tmp_path / "missing.safetensors")
    assert "no such file of weights" in refused(tmp_path)
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"garbage")
    assert "cannot be read as safetensors" in refused(garbage)
    garbage.write_bytes(weights.read_bytes()[:-10])
    assert "cannot be read as safetensors" in refused(garbage)
    tensors = load_file(weights)
    for metadata, words in [
        (None, "does not say of which architecture its weights are"),
        ({"architecture": "{"}, "holds an architecture that cannot be read"),
        ({"architecture": "[" * 100_000}, "holds an architecture that cannot be read"),
        ({"architecture": '{"name": "x"}'}, "holds an architecture that cannot be read: "),
        (
            {"architecture": json.dumps(scaled(depth=2.0).to_dict())},
            "its tensors are not of the architecture",
        ),
        ({"architecture": json.dumps(scaled(width=2.0).to_dict())}, "the file names, scaled"),
    ]:
        save_file(tensors, garbage, metadata=metadata)
        assert words in refused(garbage)
    save_file({"some.weight": torch.zeros(3)}, garbage)
    assert "its tensors are not of the source given, base" in refused(garbage, source=BASE)
    with pytest.raises(TypeError, match=r"built by Architecture.build, got Linear"):
        transfer_weights(nn.Linear(1, 1), weights)


def test_a_file_without_an_architecture_needs_a_source_that_fits(weights: Path) -> None:
    save_file(load_file(weights), weights)
    with pytest.raises(InputError, match="give it as source"):
        transfer_weights(BASE.build(5, 1), weights)
    with pytest.raises(InputError, match="its tensors are not of the source given, scaled"):
        transfer_weights(BASE.build(5, 1), weights, source=scaled(depth=2.0))
    assert transfer_weights(BASE.build(5, 1), weights, source=BASE).fresh == ()


def test_the_source_is_not_written_over_and_a_full_disk_is_one_line(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights.read_bytes()
    with pytest.raises(InputError, match="holds the weights to take, and cannot be written over"):
        write_transferred(weights, scaled(depth=2.0), weights, num_classes=5, in_channels=1)
    assert weights.read_bytes() == before
    with pytest.raises(InputError, match="cannot be written"):
        write_transferred(weights, BASE, weights / "below.safetensors", num_classes=5, in_channels=1)

    def full(*arguments, **more) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(InputError, match="w.safetensors: cannot be written: I/O error: No space left"):
        write_transferred(weights, BASE, tmp_path / "w.safetensors", num_classes=5, in_channels=1)
    assert [p.name for p in tmp_path.iterdir()] == [weights.name]


def test_b1_takes_all_of_b0_and_b7_nothing(tmp_path: Path) -> None:
    b0, path = load_architecture("efficientnet_b0"), tmp_path / "b0.safetensors"
    save_weights(b0.build(), b0, path)
    model = load_architecture("efficientnet_b1").build()
    transferred = transfer_weights(model, path)
    assert transferred.summary == "360 of 508 tensors, 67.8 % of the parameters"
    assert transferred.taken_params == 5_288_548
    assert torch.equal(model.blocks[5].expand[0].weight, load_file(path)["blocks.3.expand.0.weight"])
    with pytest.raises(NothingAgreesError, match="one of efficientnet_b7"):
        transfer_weights(load_architecture("efficientnet_b7").build(), path)


@settings(max_examples=25, deadline=None)
@given(ARCHITECTURES, st.sampled_from([1.0, 1.5, 2.0]))
def test_any_network_made_deeper_takes_all_of_the_shallower(
    tmp_path_factory: pytest.TempPathFactory, architecture: Architecture, depth: float
) -> None:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    model = trained(architecture)
    save_weights(model, architecture, path)
    deeper = scale_architecture(architecture, depth=depth, width=1.0, image_size=architecture.image_size + 3)
    taken = transfer_weights(deeper.build(5, 1), path).taken
    state = model.state_dict()
    assert sorted(fact.origin for fact in taken) == sorted(state)
    assert all(fact.shape == tuple(state[fact.origin].shape) for fact in taken)
