"""pSp's identity loss: one minus the cosine of two face embeddings, on a fixed crop of an FFHQ-aligned image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from facesr.bench.errors import FaceSRError

CROP = (35, 223, 32, 220)
"""Rows from, to, columns from, to of the face in a 256x256 FFHQ-aligned image (criteria/id_loss.py)."""


@dataclass(frozen=True)
class Identity:
    """``loss``: mean of 1 - cos(SR, HR); ``improvement``: mean of cos(SR, HR) - cos(HR, input); the cosines (B,) themselves."""

    loss: Tensor
    improvement: Tensor
    to_target: Tensor
    to_input: Tensor
    target_to_input: Tensor


class IDLoss(nn.Module):
    """Identity loss through any embedding network of (B, 3, ``side``, ``side``) RGB in [-1, 1] (pSp's: ``Backbone(50, 'ir_se')``).

    The published crop [35:223, 32:220] is of 256x256 images; smaller images (128) are cropped in proportion. No landmark alignment.
    The network is frozen and stays in eval mode. Embeddings are normalised here, so it may give any length.
    """

    def __init__(self, network: nn.Module, side: int = 112) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.side = side

    def train(self, mode: bool = True) -> IDLoss:
        """The embedding network never leaves eval mode: its batch statistics are part of what it measures."""
        super().train(mode)
        self.network.eval()
        return self

    def pooled(self, x: Tensor) -> Tensor:
        """The crop, averaged to ``side`` (adaptive average pooling, as published)."""
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] != x.shape[3]:
            raise FaceSRError(f"The identity loss takes square RGB batches (B, 3, s, s) in [-1, 1], not {tuple(x.shape)}.")
        top, bottom, left, right = (round(edge * x.shape[-1] / 256) for edge in CROP)
        return F.adaptive_avg_pool2d(x[:, :, top:bottom, left:right], self.side)

    def embed(self, x: Tensor) -> Tensor:
        """Unit embeddings (B, D) of images in [-1, 1]."""
        return F.normalize(cast(Tensor, self.network(self.pooled(x))), dim=1)

    def compare(self, y_hat: Tensor, y: Tensor, x: Tensor | None = None) -> Identity:
        """Loss and logged quantities; ``x`` is the input image (``y`` where there is none)."""
        target = self.embed(y).detach()
        given = target if x is None else self.embed(x)
        output = self.embed(y_hat)
        to_target, to_input, views = (output * target).sum(1), (output * given).sum(1), (target * given).sum(1)
        return Identity((1 - to_target).mean(), (to_target - views).mean(), to_target, to_input, views)

    def forward(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Mean of 1 - cos over the batch; gradients flow to ``y_hat`` only."""
        return self.compare(y_hat, y).loss
