"""Arithmetic against real networks."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from torch.utils.flop_counter import FlopCounterMode

from search_space import Architecture, Head, Stage, Stem, cost, load_space, memory, preset_names, stage_table
from tests.shapes import shapes_only
from tests.test_architecture import ARCHITECTURES


def built_cost(architecture: Architecture, num_classes: int, in_channels: int) -> tuple[int, int]:
    """MACs by torch's own counter, and parameters of the module, as it is described and would be exported."""
    with shapes_only():
        model = architecture.build(num_classes, in_channels).eval()
        image = torch.empty(1, in_channels, architecture.image_size, architecture.image_size)
    params = sum(p.numel() for p in model.parameters())
    for module in model.modules():  # what the counter does not count only costs time
        for name, child in module.named_children():
            if isinstance(child, torch.nn.BatchNorm2d | torch.nn.SiLU | torch.nn.ReLU | torch.nn.ReLU6):
                setattr(module, name, torch.nn.Identity())
    with pytest.MonkeyPatch.context() as patch, FlopCounterMode(display=False) as counter, torch.no_grad():
        # what runs leaves out the taps of a kernel that meet padding alone, on maps that are smaller than it
        patch.setattr("search_space.convolutions._exported", lambda: True)
        model(image)
    return counter.get_total_flops() // 2, params


# `make stress` raises it
PER_PRESET = int(os.environ.get("STRESS_ARCHITECTURES", "16"))


@pytest.mark.parametrize("preset", preset_names())
def test_cost_is_exact_on_random_architectures_of_a_preset(preset: str) -> None:
    space, rng = load_space(preset), np.random.default_rng(1)
    for number in range(PER_PRESET):
        architecture = space.decode(space.random(rng))
        if number % 2:  # odd sides too
            architecture = replace(architecture, image_size=architecture.image_size + 1 + number % 7)
        assert tuple(cost(architecture)) == built_cost(architecture, 1000, 3)


KERNEL_WIDER_THAN_MAPS = Architecture(
    name="narrow",
    image_size=8,
    stem=Stem(channels=1),
    stages=(
        Stage(op="conv", kernel=1, stride=2, channels=1),
        Stage(op="conv", kernel=3, stride=2, channels=1),
    ),
    head=Head(channels=0),
    padding="symmetric",
)


@settings(max_examples=40, deadline=None)
@given(ARCHITECTURES)
@example(KERNEL_WIDER_THAN_MAPS)
def test_cost_is_exact_on_odd_sizes_and_any_blocks(architecture: Architecture) -> None:
    assert tuple(cost(architecture, 7, 1)) == built_cost(architecture, 7, 1)


@given(ARCHITECTURES)
def test_the_tables_rows_add_up_to_the_cost(architecture: Architecture) -> None:
    rows = stage_table(architecture, 7, 1)
    assert (sum(r.macs for r in rows), sum(r.params for r in rows)) == cost(architecture, 7, 1)


def live_memory(architecture: Architecture) -> int:
    """Bytes by watching a real forward pass: parameters, and the most that one operation and a waiting skip
    hold; batch norm, activations and SE in place."""
    with shapes_only():
        model = architecture.build(7, 1).eval()
        x = torch.empty(1, 1, architecture.image_size, architecture.image_size)
    peak = 0

    def note(module, inputs, output) -> None:
        nonlocal peak
        kept = kept_values if inputs[0] is not kept_tensor else 0
        peak = max(peak, inputs[0].numel() + output.numel() + kept)

    kept_tensor, kept_values = None, 0
    spatial = (torch.nn.Conv2d, torch.nn.MaxPool2d)
    with torch.no_grad():
        for layer in [*model.stem]:
            y = layer(x)
            if isinstance(layer, spatial):
                peak = max(peak, x.numel() + y.numel())
            x = y
        for block in model.blocks:
            kept_tensor, kept_values = (x, x.numel()) if block.residual else (None, 0)
            convs = [
                m
                for n, m in block.named_modules()
                if isinstance(m, spatial) and not n.startswith(("se.", "skip"))
            ]
            hooks = [m.register_forward_hook(note) for m in convs]
            y = block(x)
            for hook in hooks:
                hook.remove()
            if block.residual and not isinstance(block.skip, torch.nn.Identity):
                peak = max(peak, x.numel() + 2 * y.numel())
            x = y
        if architecture.head.channels:
            peak = max(peak, x.numel() + model.head(x).numel())
        else:
            peak = max(peak, x.numel())
    return 4 * (peak + sum(p.numel() for p in model.parameters()))


@settings(max_examples=40, deadline=None)
@given(ARCHITECTURES)
def test_memory_is_what_a_forward_pass_holds(architecture: Architecture) -> None:
    assert memory(architecture, 7, 1) == live_memory(architecture)


def test_cost_takes_at_most_50_microseconds() -> None:
    space, rng = load_space("efficientnet"), np.random.default_rng(2)
    best = float("inf")
    for _ in range(5):  # the least of several: the machine may be busy
        fresh = [space.decode(space.random(rng)) for _ in range(400)]
        began = time.process_time()
        for architecture in fresh:
            cost(architecture)
        best = min(best, (time.process_time() - began) / len(fresh))
    assert best <= 50e-6
