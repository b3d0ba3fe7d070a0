"""pSp's training loss: L2 + LPIPS + identity + w-norm, with the published weights and crops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesr.bench.errors import FaceSRError

CROP = (35, 223, 32, 220)


def w_norm(codes: Tensor, latent_avg: Tensor | None = None) -> Tensor:
    """Mean over the batch of the norm (not squared) of ``codes`` (B, n, 512), taken from ``latent_avg`` (n, 512) where given.

    The norm is over all styles of a face together (criteria/w_norm.py).
    """
    distance = codes if latent_avg is None else codes - latent_avg
    norms: Tensor = torch.linalg.vector_norm(distance.flatten(1), dim=1)
    return norms.mean()


def crop(x: Tensor) -> Tensor:
    """The published inner face, [35:223, 32:220] of 256, in proportion at other sizes."""
    top, bottom, left, right = (round(edge * x.shape[-1] / 256) for edge in CROP)
    return x[:, :, top:bottom, left:right]


@dataclass(frozen=True)
class PSPWeights:
    """The lambdas; defaults are those of the released super-resolution model. The ``_crop`` terms look at the inner face only."""

    l2: float = 1.0
    lpips: float = 0.8
    identity: float = 0.1
    w_norm: float = 0.005
    l2_crop: float = 0.0
    lpips_crop: float = 0.0


class PSPLoss(nn.Module):
    """The weighted sum, with its terms.

    ``lpips``: a perceptual distance of two batches in [-1, 1], giving one value a face or their mean; ``identity``: an
    ``IDLoss``. Either may be None where its lambda is 0.
    """

    def __init__(
        self,
        lpips: Callable[[Tensor, Tensor], Tensor] | None,
        identity: Callable[[Tensor, Tensor], Tensor] | None,
        weights: PSPWeights | None = None,
    ) -> None:
        super().__init__()
        self.weights = weights or PSPWeights()
        if lpips is None and (self.weights.lpips or self.weights.lpips_crop):
            raise FaceSRError(
                "The pSp loss weighs LPIPS but was given no LPIPS network; pass one or set lpips and lpips_crop to 0."
            )
        if identity is None and self.weights.identity:
            raise FaceSRError("The pSp loss weighs identity but was given no identity loss; pass one or set its weight to 0.")
        self.lpips, self.identity = lpips, identity

    def forward(
        self, y_hat: Tensor, y: Tensor, codes: Tensor, latent_avg: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and its unweighted terms for images (B, 3, s, s) in [-1, 1] (published: pooled to 256) and W+ codes (B, n, 512)."""
        terms: dict[str, Tensor] = {}
        weights = self.weights
        if weights.identity and self.identity is not None:
            terms["identity"] = self.identity(y_hat, y)
        if weights.l2:
            terms["l2"] = F.mse_loss(y_hat, y)
        if weights.lpips and self.lpips is not None:
            terms["lpips"] = self.lpips(y_hat, y).mean()
        if weights.lpips_crop and self.lpips is not None:
            terms["lpips_crop"] = self.lpips(crop(y_hat), crop(y)).mean()
        if weights.l2_crop:
            terms["l2_crop"] = F.mse_loss(crop(y_hat), crop(y))
        if weights.w_norm:
            terms["w_norm"] = w_norm(codes, latent_avg)
        if not terms:
            raise FaceSRError("The pSp loss has no term: every weight is 0.")
        total = sum((getattr(weights, name) * value for name, value in terms.items()), start=y_hat.new_zeros(()))
        return total, terms
