"""After pSp's encoder, not in the paper and off by default: a short search of codes until the face shrinks to LR within eps, and
back-projection of what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from facesr.bench.imaging import resize
from facesr.methods.psp.linear import Descent

PULL = 80.0
"""Weight of LR's error against the losses that the rows of a ``Descent`` were probed with."""
FIRST = 30
"""Steps of a ``Descent`` at most; the others are Adam's."""


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
    learning_rate: float = 0.04,
    descent: Descent | None = None,
) -> Refined:
    """Adam on W+ for the mean squared error of ``shrink(synthesize(codes))`` against ``lr`` (B, 3, h, h) in [0, 1].

    A face rests as soon as its error is at most ``eps``, so that it stays as near as may be to where the encoder put it; nothing of
    one face enters another's steps. With ``descent``, which knows what codes do to faces, the ``FIRST`` steps are its: long where a face
    hardly changes to the eye and short where it does, so that the face stays more like the encoder's; Adam's are equal everywhere.
    ``before`` and ``steps`` of the answer are Adam's.
    """

    def error_of(at: Tensor, target: Tensor) -> Tensor:
        return (shrink(synthesize(at)) - target).square().flatten(1).mean(1)

    start = codes.detach()
    if descent:
        start = descent.invert(start, lambda at: PULL * error_of(at, lr), min(FIRST, steps), enough=PULL * eps)
        steps = max(0, steps - FIRST)
    moving = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([moving], lr=learning_rate)
    best = start.clone()
    least = start.new_full((len(start),), torch.inf)
    before, taken = least.clone(), torch.zeros(len(start), dtype=torch.int64)
    for step in range(steps + 1):
        rows = (least > eps).nonzero()[:, 0]  # a face that rests costs nothing more
        error = error_of(moving[rows], lr[rows])
        with torch.no_grad():
            better = error.detach() < least[rows]
            least[rows] = torch.minimum(error.detach(), least[rows])
            best[rows[better]] = moving[rows[better]]
            before = error.detach().clone() if step == 0 else before
        if step == steps or not bool((least > eps).any()):
            break
        taken += (least > eps).cpu()
        optimizer.zero_grad()
        error.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Refined(best.detach(), least, before, taken)


def back_project(images: Tensor, lr: Tensor, kernel: str, steps: int) -> Tensor:
    """``images`` (B, 3, S, S) in [0, 1] after ``steps`` iterative back-projections (Irani and Peleg 1991, "Improving resolution by image
    registration"): what ``lr`` (B, 3, h, h) has and the shrunk image lacks, enlarged by MATLAB's bicubic kernel, is added, and clipped.
    """
    for _ in range(steps):
        lacking = lr - resize(images, lr.shape[-1], kernel)
        images = (images + resize(lacking, images.shape[-1], "bicubic-matlab")).clamp(0, 1)
    return images
