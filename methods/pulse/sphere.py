"""PULSE's optimiser: any optimiser whose variables are put back on their initial spheres after each step; and its schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from facesr.methods.pulse.settings import Schedule

OPTIMISERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "sgdm": partial(torch.optim.SGD, momentum=0.9),
    "adamax": torch.optim.Adamax,
}


def radius(x: Tensor) -> Tensor:
    """The norm over all axes from the third on, kept (a latent's row, a noise map); 1e-9 under the root."""
    return x.square().sum(tuple(range(2, x.ndim)), keepdim=True).add(1e-9).sqrt()


class SphericalOptimizer:
    """Steps ``optimizer(params, **options)`` (the inner one is ``.opt``), then gives every variable its initial ``radii`` back.

    (SphericalOptimizer.py of the release; variables are (B, rows, 512) latents or (B, 1, r, r) noise maps.)
    """

    def __init__(self, optimizer: Callable[..., Optimizer], params: Sequence[Tensor], **options: Any) -> None:
        self.params = list(params)
        self.opt = optimizer(self.params, **options)
        with torch.no_grad():
            self.radii = {p: radius(p) for p in self.params}

    @torch.no_grad()
    def step(self) -> None:
        """One step of the inner optimiser and the projection."""
        self.opt.step()
        for p in self.params:
            p.div_(radius(p)).mul_(self.radii[p])


def lr_factor(schedule: Schedule, steps: int) -> Callable[[int], float]:
    """The learning rate's factor at step 0, 1, ...: ``fixed``, ``linear1cycle`` (.1, 1, .1) or ``linear1cycledrop`` (that in 9/10 of
    the steps, then down towards .001)."""

    def cycle(x: float, n: float) -> float:
        return (9 * (1 - abs(x / n - 1 / 2) * 2) + 1) / 10

    def factor(x: int) -> float:
        if schedule == "fixed":
            return 1.0
        if schedule == "linear1cycle":
            return cycle(x, steps)
        long = 0.9 * steps
        return cycle(x, long) if x < long else 1 / 10 + (x - long) / (0.1 * steps) * (1 / 1000 - 1 / 10)

    return factor
