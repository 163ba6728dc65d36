"""The shorter ways of convolving give the sums of the long one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from search_space.convolutions import DepthwiseConv2d, PointwiseConv2d, same_pad, window


@settings(deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([3, 5, 7]),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
)
def test_a_depthwise_convolution_equals_torchs(
    height: int, width: int, kernel: int, stride: int, same: bool, channels_last: bool
) -> None:
    torch.manual_seed(height * 100 + width)
    layer = DepthwiseConv2d(4, kernel, stride, same=same).double()
    x = torch.randn(2, 4, height, width, dtype=torch.double, requires_grad=True)
    given_x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    padded = same_pad(x, kernel, stride) if same else functional.pad(x, (kernel // 2,) * 4)
    expected = functional.conv2d(padded, layer.weight, None, stride, 0, groups=4)
    got = layer(given_x)
    assert got.shape == expected.shape == (2, 4, -(-height // stride), -(-width // stride))
    torch.testing.assert_close(got, expected)
    upstream = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(got, (x, layer.weight), upstream),
        torch.autograd.grad(expected, (x, layer.weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@settings(deadline=None)
@given(st.integers(1, 40), st.sampled_from([3, 5, 7]), st.integers(1, 3), st.booleans())
def test_a_window_holds_all_taps_that_meet_pixels_and_no_more_than_it_must(
    side: int, kernel: int, stride: int, same: bool
) -> None:
    part = window(side, kernel, stride, same)
    outputs = -(-side // stride)
    padding = part.before + part.first  # of the whole kernel
    meets = [
        any(0 <= output * stride - padding + tap < side for output in range(outputs)) for tap in range(kernel)
    ]
    kept = [part.first <= tap < part.first + part.taps for tap in range(kernel)]
    assert all(keeps or not meeting for keeps, meeting in zip(kept, meets, strict=True))
    assert meets[part.first]
    assert meets[part.first + part.taps - 1]
    assert (outputs - 1) * stride - part.before + part.taps == side + part.after


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("side", [1, 3])
def test_a_pointwise_convolution_equals_torchs(bias: bool, side: int) -> None:
    torch.manual_seed(0)
    layer = PointwiseConv2d(8, 5, bias=bias).double()
    x = torch.randn(3, 8, side, side, dtype=torch.double).contiguous(memory_format=torch.channels_last)
    got = layer(x)
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, functional.conv2d(x, layer.weight, layer.bias))
    torch.testing.assert_close(layer(x.contiguous()), got)


def test_an_export_shows_convolutions() -> None:
    layers = torch.nn.Sequential(PointwiseConv2d(4, 4, bias=False), DepthwiseConv2d(4, 5, 1, same=True))
    program = torch.export.export(layers, (torch.randn(2, 4, 1, 1),))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert sum("conv2d" in name for name in called) == 2
    assert not any("linear" in name for name in called)
