"""PULSE's loss, a face at a time: how far the shrunk image is from the given one, and how far a face's styles are apart."""

from __future__ import annotations

import torch
from torch import Tensor

from facesr.bench.imaging import resize
from facesr.methods.pulse.settings import parse_losses


def geocross(latent: Tensor) -> Tensor:
    """Sum of squared geodesic distances between all pairs of a face's styles (B, n, 512), times 512/8: (B,); 0 for one style.

    The angle is 2·atan2(|x - y|, |x + y|), with 1e-9 under both roots.
    """
    if latent.shape[1] == 1:
        return latent.new_zeros(len(latent))
    x, y = latent.unsqueeze(1), latent.unsqueeze(2)
    apart = ((x - y).square().sum(-1) + 1e-9).sqrt()
    along = ((x + y).square().sum(-1) + 1e-9).sqrt()
    angle = 2 * torch.atan2(apart, along)
    return (angle.square() * 512).mean((1, 2)) / 8


class Loss:
    """The published sum for LR faces ``ref`` (B, 3, h, h) in [0, 1]. ``eps``: where L2 and L1 stop pulling.

    Published, a batch has one sum; here every face has its own, and their sum is the published number.
    """

    def __init__(
        self, ref: Tensor, loss_str: str = "100*L2+0.05*GEOCROSS", eps: float = 1e-3, kernel: str = "bicubic-pulse"
    ) -> None:
        self.ref, self.eps, self.kernel = ref, eps, kernel
        self.terms = parse_losses(loss_str)

    def shrink(self, images: Tensor) -> Tensor:
        """D: images (B, 3, s, s) to the side of ``ref``."""
        return resize(images.float(), self.ref.shape[-1], self.kernel)

    def __call__(self, latent: Tensor, images: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """(B,) totals, the unweighted terms (B,) as published, and the error (B,) D(images) against ``ref``, not clamped.

        ``latent``: the W+ codes the images were made of; ``images`` in [0, 1], not clipped.
        """
        difference = (self.shrink(images) - self.ref).flatten(1)
        error = difference.square().mean(1)
        values = {}
        for _, name in self.terms:
            if name == "L2":
                values[name] = error.clamp(min=self.eps)
            elif name == "L1":
                values[name] = 10 * difference.abs().mean(1).clamp(min=self.eps)
            else:
                values[name] = geocross(latent)
        total = sum((weight * values[name] for weight, name in self.terms), start=torch.zeros_like(error))
        return total, values, error.detach()
