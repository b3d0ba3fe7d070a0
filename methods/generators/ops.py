"""Plain-PyTorch forms of the operations StyleGAN's CUDA extensions do, on any device."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQRT2 = math.sqrt(2.0)


def upfirdn2d(x: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)) -> Tensor:
    """Insert ``up - 1`` zeros, pad (negative crops), convolve with ``kernel`` (h, w), keep every ``down``-th pixel.

    ``pad``: before and after, on both axes. ``x``: (B, C, H, W). As upfirdn2d of Karras et al. 2020 (its native branch).
    """
    batch, channels, height, width = x.shape
    if up > 1:
        x = F.pad(x.reshape(batch, channels, height, 1, width, 1), (0, up - 1, 0, 0, 0, up - 1))
        x = x.reshape(batch, channels, height * up, width * up)
    x = F.pad(x, (pad[0], pad[1], pad[0], pad[1]))
    weight = kernel.flip(0, 1).to(x).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, stride=down, groups=channels)


def make_kernel(taps: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0), gain: float = 1.0) -> Tensor:
    """The outer product of ``taps`` with itself, summing to ``gain``."""
    k = torch.tensor(taps)
    k = torch.outer(k, k)
    return k / k.sum() * gain


def fused_leaky_relu(x: Tensor, bias: Tensor, slope: float = 0.2, gain: float = SQRT2) -> Tensor:
    """``gain * leaky_relu(x + bias)``; ``bias`` (C,) runs along dimension 1 of ``x``."""
    return F.leaky_relu(x + bias.view(1, -1, *[1] * (x.dim() - 2)), slope) * gain


class PixelNorm(nn.Module):
    """Divide each vector by its root mean square (eps 1e-8)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class EqualLinear(nn.Module):
    """Linear layer whose weight is scaled by ``lr_mul / sqrt(fan in)`` at run time; optionally with the fused activation."""

    def __init__(self, inputs: int, outputs: int, *, bias_init: float = 0.0, lr_mul: float = 1.0, activate: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_mul)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self.scale, self.lr_mul, self.activate = lr_mul / math.sqrt(inputs), lr_mul, activate

    def forward(self, x: Tensor) -> Tensor:
        if self.activate:
            return fused_leaky_relu(F.linear(x, self.weight * self.scale), self.bias * self.lr_mul)
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)
