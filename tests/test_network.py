"""The modules."""

import os
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

import nas
from search_space import FieldError, Head, InputError, Stage, Stem, cost, load_architecture
from search_space.layers import DropPath, PoolSkip, SameConv2d
from tests.test_architecture import small


def test_logits_features_and_pooling_have_their_shapes() -> None:
    images = torch.zeros(2, 1, 32, 32)
    network = small()
    assert network.build(7, 1).eval()(images).shape == (2, 7)
    assert network.build(7, 1, include_top=False).eval()(images).shape == (2, 16, 8, 8)
    assert network.build(7, 1, include_top=False, pooling="avg").eval()(images).shape == (2, 16)
    assert network.build(7, 1, include_top=False, pooling="max").eval()(images).shape == (2, 16)


def test_keras_like_constructors_take_kerass_arguments() -> None:
    images = torch.zeros(1, 3, 64, 64)
    assert nas.EfficientNetB0(classes=5).eval()(images).shape == (1, 5)
    features = nas.EfficientNetB0(include_top=False, weights=None, pooling="avg")
    assert features.eval()(images).shape == (1, 1280)
    assert sum(p.numel() for p in nas.EfficientNetB1().parameters()) == 7_794_184
    with pytest.raises(InputError, match="no pretrained weights"):
        nas.EfficientNetB0(weights="imagenet")


def test_bn_settings_are_arguments_with_the_papers_defaults() -> None:
    def norms(model: nn.Module) -> set[tuple[float, float | None]]:
        return {(m.eps, m.momentum) for m in model.modules() if isinstance(m, nn.BatchNorm2d)}

    assert norms(load_architecture("efficientnet_b0").build()) == {(1e-3, 0.01)}
    assert norms(small().build(bn_eps=1e-5, bn_momentum=0.1)) == {(1e-5, 0.1)}


def test_se_width_follows_the_blocks_input() -> None:
    model = load_architecture("efficientnet_b0").build()
    second = model.blocks[1]  # 16 channels in, 96 expanded
    assert second.se.reduce.weight.shape == (4, 96, 1, 1)


def test_drop_path_grows_linearly_to_the_last_block_and_keeps_the_mean() -> None:
    model = load_architecture("efficientnet_b0").build()
    for number, block in enumerate(model.blocks):  # without a skip there is nothing to drop
        expected = 0.2 * number / 15 if block.residual else 0.0
        assert block.drop_path.rate == pytest.approx(expected)
    layer = DropPath(0.2).train()
    dropped = layer(torch.ones(20_000, 1, 1, 1))
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.allclose(dropped.unique(), torch.tensor([0.0, 1.25]))
    assert torch.equal(layer.eval()(torch.ones(3, 1, 1, 1)), torch.ones(3, 1, 1, 1))


@pytest.mark.parametrize("size", [7, 8, 15, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (7, 2), (3, 1)])
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int) -> None:
    # TensorFlow: output ceil(n / s); total padding max((out - 1) * s + k - n, 0), the odd pixel at the end
    layer = SameConv2d(1, 1, kernel, stride, bias=False)
    nn.init.ones_(layer.weight)
    image = torch.arange(1.0, size * size + 1).reshape(1, 1, size, size)
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    padded = torch.zeros(size + total, size + total)
    before = total // 2
    padded[before : before + size, before : before + size] = image[0, 0]
    expected = padded.unfold(0, kernel, stride).unfold(1, kernel, stride).sum((2, 3))
    assert torch.allclose(layer(image)[0, 0], expected)


def test_initialisation_follows_the_reference() -> None:
    torch.manual_seed(0)
    model = load_architecture("efficientnet_b0").build()
    depthwise = model.blocks[-1].depthwise[0].weight  # (1152, 1, 3, 3): the fan-out is the kernel's area
    assert depthwise.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.03)
    pointwise = model.head[0].weight
    assert pointwise.std().item() == pytest.approx((2 / 1280) ** 0.5, rel=0.01)
    assert model.classifier.weight.abs().max().item() == pytest.approx(1000**-0.5, rel=0.01)
    assert model.classifier.bias.abs().max().item() == 0.0


def test_residuals_only_where_shapes_agree() -> None:
    blocks = load_architecture("efficientnet_b0").build().blocks
    assert [block.residual for block in blocks].count(True) == 9  # 16 blocks, 7 of them first in a stage


def test_a_network_learns() -> None:
    torch.manual_seed(0)
    model = replace(small(), dropout=0.0, drop_path=0.0).build(2, 1, bn_momentum=0.1)
    images = torch.randn(64, 1, 32, 32)
    labels = (torch.arange(64) % 2).long()
    images[labels == 1] += 1.0
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(20):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (model.eval()(images).argmax(1) == labels).float().mean() > 0.95


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(FieldError, match="num_classes must be at least 1, got 0"):
        small().build(0)
    with pytest.raises(FieldError, match="pooling must be"):
        small().build(pooling="mean", include_top=False)


def test_pooling_skips_average_and_fill_new_channels_with_zeros() -> None:
    skip = PoolSkip(2, 3, 2)
    image = torch.rand(1, 2, 5, 5)
    out = skip(image)
    assert out.shape == (1, 3, 3, 3)
    assert out[0, 0, 1, 1].item() == pytest.approx(image[0, 0, 1:4, 1:4].mean().item())
    assert out[0, 0, 0, 0].item() == pytest.approx(
        image[0, 0, :2, :2].mean().item()
    )  # the border is not zero
    assert out[0, 2].abs().max().item() == 0.0


@pytest.mark.parametrize("op", ["conv", "dsconv", "dsconv_act", "mbconv", "bottleneck"])
@pytest.mark.parametrize("skip", ["identity", "pool", "none"])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_every_block_with_every_skip_runs_on_odd_sizes(op: str, skip: str, padding: str) -> None:
    stages = (
        Stage(op=op, channels=8, repeats=2, stride=2, expansion=3, se_ratio=0.25, skip=skip, kernel=5),
        Stage(op=op, channels=12, repeats=2, expansion=3, skip=skip),
    )
    stem = Stem(channels=8, pool="max")
    network = small(stages=stages, padding=padding, image_size=33, stem=stem, head=Head(channels=0))
    model = network.build(5, 1).train()
    logits = model(torch.rand(4, 1, 33, 33))
    assert logits.shape == (4, 5)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == cost(network, 5, 1).params


def test_resnet_projects_where_shapes_differ_and_activates_after_the_addition() -> None:
    blocks = load_architecture("resnet_50").build().blocks
    assert [len(b.skip) if isinstance(b.skip, nn.Sequential) else 0 for b in blocks] == [
        2, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 2, 0, 0,
    ]  # fmt: skip
    assert blocks[3].spatial[0].stride == (2, 2)  # v1.5
    out = blocks[1](torch.randn(2, 256, 8, 8))
    assert out.min().item() == 0.0


def test_features_only_is_without_the_top() -> None:
    model = small().build(features_only=True).eval()
    image = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(image), model.forward_features(image))
    assert model.num_features == 16


def test_b0_is_built_in_little_more_time_than_its_weights_take_to_draw() -> None:
    # 33 ms of processor time alone on a machine, `benchmarks/cost.py` prints it; here others may run
    b0, weights, ratios = load_architecture("efficientnet_b0"), torch.empty(5_288_548), []
    for _ in range(10):
        began = time.process_time()
        b0.build()
        built = time.process_time()
        weights.normal_()
        ratios.append((built - began) / (time.process_time() - built))
    assert min(ratios) <= 3.0


def test_channels_last_and_autocast_give_the_same_up_to_rounding() -> None:
    torch.manual_seed(0)
    model = load_architecture("mnasnet_a1").build(10).eval()
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(image)
        last = model.to(memory_format=torch.channels_last)(image.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(image)
    assert torch.allclose(last, expected, atol=1e-5)
    assert (rough.float() - expected).abs().max() < 0.05 * expected.abs().max() + 0.02


EVERY_OP = tuple(
    Stage(op=op, channels=8, repeats=2, expansion=2, se_ratio=0.25, skip=skip, stride=stride)
    for op, skip, stride in [
        ("conv", "identity", 2),
        ("dsconv", "pool", 1),
        ("dsconv_act", "none", 1),
        ("mbconv", "identity", 2),
        ("bottleneck", "identity", 1),
    ]
)


def test_torch_export_and_compile_give_what_eager_gives() -> None:
    torch.manual_seed(0)
    model = small(stages=EVERY_OP).build(10).eval()
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(image)
        exported = torch.export.export(model, (image,)).module()
        assert torch.allclose(exported(image), expected, atol=1e-6)
        # inductor takes a minute to compile; `make stress` takes it
        backend = "inductor" if os.environ.get("STRESS_ARCHITECTURES") else "aot_eager"
        compiled = torch.compile(model, fullgraph=True, backend=backend)
        assert torch.allclose(compiled(image), expected, atol=1e-4)
