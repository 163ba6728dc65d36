"""Scaled members are ordinary architectures: written, shown, exported, built and trained like any other."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nas import compound_scale, efficientnet_family, load_weights, write_transferred
from search_space import (
    Architecture,
    InputError,
    SearchSpace,
    cost,
    load_architecture,
    scale_architecture,
    stages_from_timm,
)
from tests.test_cli import nas
from tests.test_cost import built_cost
from trainers import ProxyProtocol, load_dataset
from trainers.proxy import train_candidate

DISCOVERED = Path(__file__).parent.parent / "docs" / "searches" / "cifar10-cpu-best.yaml"
BASELINES = ("efficientnet_b0", "mobilenet_v1", "mobilenet_v2", "mnasnet_a1", "resnet_50", str(DISCOVERED))


def one_dimension(base: Architecture, *, depth: float = 1.0, width: float = 1.0, pixels: float = 1.0):
    return scale_architecture(
        base, depth=depth, width=width, image_size=round(base.image_size * pixels), name=f"{base.name}-one"
    )


WAYS: dict[str, Callable[[Architecture], Architecture]] = {
    "formula": lambda base: compound_scale(base, 1.0).architecture,
    "published": lambda base: efficientnet_family(base)[2].architecture,
    "depth": lambda base: one_dimension(base, depth=2.0),
    "width": lambda base: one_dimension(base, width=1.4),
    "resolution": lambda base: one_dimension(base, pixels=1.3),
}
MEMBERS = [pytest.param(base, way, id=f"{Path(base).stem}-{way}") for base in BASELINES for way in WAYS]
# all five on the cheapest, three on each of the others
COSTED = [
    member for member in MEMBERS if "cifar10" in member.id or member.id.endswith(("formula", "published"))
]


def member_of(base: str, way: str) -> Architecture:
    return WAYS[way](load_architecture(base))


@pytest.mark.parametrize(("base", "way"), MEMBERS)
def test_a_member_is_another_network_and_comes_back_from_its_file(
    base: str, way: str, tmp_path: Path
) -> None:
    member = member_of(base, way)
    assert member.key != load_architecture(base).key
    member.save(tmp_path / "member.yaml")
    assert load_architecture(tmp_path / "member.yaml") == member
    (tmp_path / "member.json").write_text(json.dumps(member.to_dict()))
    assert load_architecture(tmp_path / "member.json").key == member.key


@pytest.mark.parametrize(("base", "way"), COSTED)
def test_a_members_cost_is_that_of_the_built_network(base: str, way: str) -> None:
    member = member_of(base, way)
    assert tuple(cost(member, 10, 3)) == built_cost(member, 10, 3)


@pytest.mark.parametrize("way", ["formula", "published", "depth"])
@pytest.mark.parametrize("base", BASELINES, ids=lambda base: Path(base).stem)
def test_a_small_member_gives_a_logit_a_class(base: str, way: str) -> None:
    found = load_architecture(base)
    thin = scale_architecture(found, depth=0.3, width=0.2, image_size=32)
    member = WAYS[way](thin)
    images = torch.zeros(2, 3, member.image_size, member.image_size)
    with torch.no_grad():
        assert member.build(7).eval()(images).shape == (2, 7)


@pytest.mark.parametrize("base", BASELINES, ids=lambda base: Path(base).stem)
def test_a_written_member_is_shown_and_exported(base: str, in_tmp: Path, capsys) -> None:
    member = member_of(base, "formula")
    member.save("member.yaml")

    def document(*arguments: str):
        code, out, err = nas(capsys, *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    facts = document("show", "member.yaml", "--classes", "10")
    assert (facts["name"], facts["key"]) == (member.name, member.key)
    assert (facts["macs"], facts["params"]) == cost(member, 10)
    assert sum(row["macs"] for row in facts["table"]) == facts["macs"]
    for name in ("out.yaml", "out.json"):
        assert document("export", "member.yaml", "-o", name) == {"files": [name]}
        assert load_architecture(name) == member
    assert len(document("export", "member.yaml", "-o", "folder")["files"]) == 2
    if base in ("mobilenet_v1", "resnet_50"):  # timm's EfficientNet has a head, and no bottlenecks
        code, out, err = nas(capsys, "export", "member.yaml", "-o", "x.timm.json")
        assert (code, out, Path("x.timm.json").exists()) == (2, "", False)
        assert "cannot be said in timm's arguments" in err
        assert err.count("\n") == 1
        return
    document("export", "member.yaml", "-o", "x.timm.json", "--classes", "1000", "--channels", "3")
    arguments = json.loads(Path("x.timm.json").read_text())
    assert replace(member, stages=stages_from_timm(arguments["arch_def"])).key == member.key
    assert arguments["input_size"] == [3, member.image_size, member.image_size]
    again = document("scale", "member.yaml", "--phi", "1")  # and scaled once more
    assert again[0]["macs"] == cost(compound_scale(member, 1.0).architecture).macs


def test_a_member_is_trained_from_its_own_start_and_from_a_smaller_networks(
    tmp_path: Path, digits_space: SearchSpace
) -> None:
    base = digits_space.decode([0] * 20)
    protocol = ProxyProtocol(epochs=1, subset=256)
    source, start, end = (tmp_path / f"{name}.safetensors" for name in ("base", "start", "end"))
    *_, _ = train_candidate(base, protocol, load_dataset("digits", 32), 0, weights_path=source)
    member = one_dimension(base, depth=2.0, pixels=1.25)
    digits = load_dataset("digits", member.image_size)
    *_, last = train_candidate(member, protocol, digits, 0, weights_path=end)
    assert 0.0 < last.accuracy < 1.0
    load_weights(member.build(10, 1), end)
    with pytest.raises(InputError, match="holds weights of another network"):
        load_weights(base.build(10, 1), end)
    transferred = write_transferred(source, member, start, num_classes=10, in_channels=1)
    assert transferred.taken_params == cost(base, 10, 1).params
    model = member.build(10, 1)
    load_weights(model, start)
    images = torch.rand(64, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(64) % 10
    loss = torch.nn.functional.cross_entropy(model.train()(images), labels)
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
