"""Optimisers whose rate is a tensor, so that a captured step can read it, and the average of weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from trainers.protocol import ProxyProtocol
from trainers.recipe import Recipe
from trainers.rmsprop_tf import RMSpropTF


def create_optimiser(model: nn.Module, protocol: ProxyProtocol, rate: Tensor) -> torch.optim.Optimizer:
    """The protocol's optimiser; it reads its learning rate from `rate`, a number on the model's device.

    Weights of convolutions and linear layers decay; biases and batch norm do not.
    """
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": protocol.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    on_gpu = rate.device.type == "cuda"
    if protocol.optimiser == "adamw":
        betas = (protocol.momentum, 0.999)
        return _quiet(torch.optim.AdamW(groups, lr=rate, betas=betas, fused=True, capturable=on_gpu))
    if protocol.optimiser == "rmsprop":
        momentum = protocol.momentum
        return _quiet(
            torch.optim.RMSprop(
                groups, lr=rate, alpha=0.9, eps=1e-3, momentum=momentum, foreach=True, capturable=on_gpu
            )
        )
    # fused SGD reads a rate that is a tensor without asking the host for it; its signature says float
    return torch.optim.SGD(
        groups, lr=rate, momentum=protocol.momentum, nesterov=protocol.momentum > 0, fused=True
    )


def create_recipe_optimiser(model: nn.Module, recipe: Recipe, rate: Tensor) -> torch.optim.Optimizer:
    """The recipe's optimiser, likewise; everything but batch norm decays, as in the reference."""
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    decaying = [p for p in model.parameters() if id(p) not in norms]
    others = [p for p in model.parameters() if id(p) in norms]
    groups = [
        {"params": decaying, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimiser == "rmsprop_tf":
        return RMSpropTF(groups, rate, decay=0.9, momentum=recipe.momentum, eps=1e-3)
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=(recipe.momentum, 0.999), fused=True)
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=nesterov, fused=True)


def fill_state(optimiser: torch.optim.Optimizer) -> None:
    """Give every parameter a momentum, nothing at first, where parameters begin to learn at different steps.

    Fused SGD takes it of all parameters or of none; from zeros the first step is the same.
    """
    if not isinstance(optimiser, torch.optim.SGD):
        return
    for group in optimiser.param_groups:
        for parameter in group["params"] if group["momentum"] else []:
            if optimiser.state[parameter].get("momentum_buffer") is None:
                optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _quiet(optimiser: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Without torch's warning that steps are run that could be captured: the first ones are."""
    optimiser._warned_capturable_if_run_uncaptured = True
    return optimiser


class MovingAverage:
    """The moving average of a model's weights and of its batch norms' statistics.

    Attributes:
        model: a copy that holds the average.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model)
        self._averages, self._values = (
            [value for value in one.state_dict().values() if value.is_floating_point()]
            for one in (self.model, model)
        )

    @torch.no_grad()
    def update(self, decay: Tensor) -> None:
        """Move towards the model; `decay` is a number on its device."""
        # average += (1 - decay) * (value - average)
        change = torch._foreach_sub(self._values, self._averages)
        torch._foreach_mul_(change, 1.0 - decay)
        torch._foreach_add_(self._averages, change)
