"""Arithmetic against real networks."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode

from search_space import Architecture, cost, load_space
from tests.test_architecture import ARCHITECTURES


def built_cost(architecture: Architecture, num_classes: int, in_channels: int) -> tuple[int, int]:
    """MACs by torch's own counter, and parameters of the module."""
    with torch.device("meta"):
        model = architecture.build(num_classes, in_channels).eval()
        image = torch.empty(1, in_channels, architecture.image_size, architecture.image_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return counter.get_total_flops() // 2, sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("preset", ["efficientnet", "digits"])
def test_cost_is_exact_on_random_architectures_of_a_preset(preset: str) -> None:
    space, rng = load_space(preset), np.random.default_rng(1)
    for _ in range(30):
        architecture = space.decode(space.random(rng))
        assert tuple(cost(architecture)) == built_cost(architecture, 1000, 3)


@settings(max_examples=40, deadline=None)
@given(ARCHITECTURES)
def test_cost_is_exact_on_odd_sizes_and_any_blocks(architecture: Architecture) -> None:
    assert tuple(cost(architecture, 7, 1)) == built_cost(architecture, 7, 1)


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
