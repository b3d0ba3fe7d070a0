"""A short search after pSp's encoder: codes are moved until the output shrinks to the LR face within eps. Not in the paper; off by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Refined:
    """``codes`` (B, n, 512) of the least error met, ``error`` (B,) there, ``before`` (B,) where it started, ``steps`` (B,) taken."""

    codes: Tensor
    error: Tensor
    before: Tensor
    steps: Tensor


def refine(
    codes: Tensor,
    lr: Tensor,
    shrink: Callable[[Tensor], Tensor],
    synthesize: Callable[[Tensor], Tensor],
    *,
    steps: int,
    eps: float = 1e-3,
    learning_rate: float = 0.02,
    stay: float = 1e-4,
) -> Refined:
    """Adam on W+ for the mean squared error of ``shrink(synthesize(codes))`` against ``lr`` (B, 3, h, h) in [0, 1].

    ``stay``: weight of the mean squared distance from where a face started. A face rests as soon as its error is at most ``eps``;
    nothing of one face enters another's steps.
    """
    start = codes.detach()
    moving = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([moving], lr=learning_rate)
    best = start.clone()
    least = start.new_full((len(start),), torch.inf)
    before, taken = least.clone(), torch.zeros(len(start), dtype=torch.int64)
    for step in range(steps + 1):
        error = (shrink(synthesize(moving)) - lr).square().flatten(1).mean(1)
        with torch.no_grad():
            better = error.detach() < least
            least = torch.where(better, error.detach(), least)
            best = torch.where(better[:, None, None], moving, best)
            before = error.detach().clone() if step == 0 else before
            going = least > eps
        if step == steps or not bool(going.any()):
            break
        taken += going.cpu()
        optimizer.zero_grad()
        distance = (moving - start).square().flatten(1).mean(1)
        (error + stay * distance).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Refined(best.detach(), least, before, taken)
