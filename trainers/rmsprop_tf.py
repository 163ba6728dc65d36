"""RMSProp as TensorFlow has it, which EfficientNets were trained with.

With gradient g, rate lr, decay rho and momentum mu (tensorflow/core/kernels/training_ops.cc, ApplyRMSProp):

    ms  = rho * ms + (1 - rho) * g ** 2            ms starts at 1
    mom = mu * mom + lr * g / sqrt(ms + epsilon)   epsilon inside the root, the rate inside the momentum
    var = var - mom

torch's own starts ms at 0, adds epsilon to the root, and multiplies the momentum by the rate of the day. With
a small ms at the start, epsilon 1e-3 and a rate that falls, all three differ visibly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class RMSpropTF(torch.optim.Optimizer):
    """RMSProp in TensorFlow's form, for dense gradients.

    Args:
        params: parameters, or groups of them.
        lr: the rate; a number, or a tensor on the parameters' device, which is read at each step.
        decay: of the mean square.
        momentum: of the steps.
        eps: inside the root.
        weight_decay: factor of the parameter that is added to its gradient (L2).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor,
        *,
        decay: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "decay": decay,
            "momentum": momentum,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; what the closure returns, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._step(params, group)
        return loss

    def _step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        states = [self._state(p) for p in params]
        squares = [state["mean_square"] for state in states]
        moments = [state["momentum"] for state in states]
        grads: list[Tensor] = [p.grad for p in params]  # type: ignore[misc]
        if group["weight_decay"]:
            grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, grads, grads, 1.0 - group["decay"])
        roots = torch._foreach_add(squares, group["eps"])
        torch._foreach_sqrt_(roots)
        changes = torch._foreach_div(grads, roots)
        torch._foreach_mul_(changes, group["lr"])
        torch._foreach_mul_(moments, group["momentum"])
        torch._foreach_add_(moments, changes)
        torch._foreach_sub_(params, moments)

    def _state(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["mean_square"] = torch.ones_like(parameter, memory_format=torch.preserve_format)
            state["momentum"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state
