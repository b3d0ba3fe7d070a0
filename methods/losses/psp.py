"""What pSp's training loss has beside L2, LPIPS and identity: the w-norm, and the published inner face."""

from __future__ import annotations

import torch
from torch import Tensor

CROP = (35, 223, 32, 220)


def w_norm(codes: Tensor, latent_avg: Tensor | None = None) -> Tensor:
    """Mean over the batch of the norm (not squared) of ``codes`` (B, n, 512), taken from ``latent_avg`` (n, 512) where given.

    The norm is over all styles of a face together (criteria/w_norm.py).
    """
    distance = codes if latent_avg is None else codes - latent_avg
    norms: Tensor = torch.linalg.vector_norm(distance.flatten(1), dim=1)
    return norms.mean()


def inner_face(x: Tensor) -> Tensor:
    """The published inner face, [35:223, 32:220] of 256, in proportion at other sizes."""
    top, bottom, left, right = (round(edge * x.shape[-1] / 256) for edge in CROP)
    return x[:, :, top:bottom, left:right]
