"""Ranger, pSp's optimiser: rectified Adam, gradient centralisation and Lookahead in one (lessw2020/Ranger, Apache-2.0).

Written from its description; equal to pSp's training/ranger.py, whose first steps (before rectification starts) are un-normalised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from facesr.bench.errors import FaceSRError


class Ranger(Optimizer):
    """RAdam + gradient centralisation + Lookahead.

    ``lr``: step size; ``alpha``, ``k``: every ``k`` steps the slow weights move by ``alpha`` towards the fast ones, which restart
    there; ``threshold``: rectified steps begin where the approximated length of the moving average exceeds it; ``centralize``:
    the mean over all but the first axis is taken off the gradients of weights with more than one axis.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        *,
        alpha: float = 0.5,
        k: int = 6,
        threshold: float = 5,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0,
        centralize: bool = True,
    ) -> None:
        problems = [
            f"{name} {value} is not {rule}"
            for name, value, rule, fine in (
                ("lr", lr, "positive", lr > 0),
                ("alpha", alpha, "between 0 and 1", 0 <= alpha <= 1),
                ("k", k, "at least 1", k >= 1),
                ("eps", eps, "positive", eps > 0),
            )
            if not fine
        ]
        if problems:
            raise FaceSRError(f"Wrong Ranger settings: {'; '.join(problems)}.")
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "k": k,
            "threshold": threshold,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "centralize": centralize,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step from the gradients in ``.grad``; returns the closure's loss where one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group)
        return loss

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p), slow=p.clone())
        assert p.grad is not None
        grad = p.grad
        if group["centralize"] and grad.dim() > 1:
            grad = grad - grad.mean(dim=tuple(range(1, grad.dim())), keepdim=True)
        beta1, beta2 = group["betas"]
        state["step"] += 1
        state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        state["exp_avg"].mul_(beta1).add_(grad, alpha=1 - beta1)
        if group["weight_decay"]:
            p.add_(p, alpha=-group["weight_decay"] * group["lr"])
        size, length = rectification(state["step"], beta1, beta2, group["threshold"])
        if length > group["threshold"]:
            p.addcdiv_(state["exp_avg"], state["exp_avg_sq"].sqrt().add_(group["eps"]), value=-size * group["lr"])
        else:
            p.add_(state["exp_avg"], alpha=-size * group["lr"])
        if state["step"] % group["k"] == 0:
            state["slow"].add_(p - state["slow"], alpha=group["alpha"])
            p.copy_(state["slow"])


def rectification(step: int, beta1: float, beta2: float, threshold: float) -> tuple[float, float]:
    """RAdam's step factor and the length of the second moment's average at ``step`` (Liu et al. 2020, eq. 5 and algorithm 2)."""
    decay = beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * decay / (1 - decay)
    bias1 = 1 - beta1**step
    if length <= threshold:
        return 1 / bias1, length
    ratio = (length - 4) / (longest - 4) * (length - 2) / length * longest / (longest - 2)
    return math.sqrt((1 - decay) * ratio) / bias1, length
