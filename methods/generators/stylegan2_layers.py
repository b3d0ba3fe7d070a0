"""The layers of StyleGAN2's synthesis network (Karras et al. 2020), keys as rosinality's.

A style scales the *input* channels and its demodulation the *output* channels of one convolution with a shared kernel: the same
numbers as scaling the kernel for every face, without a kernel for every face.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesr.bench.networks.checkpoints import normal_weight
from facesr.methods.generators.ops import SQRT2, EqualLinear, blur, channels_last, conv, conv_up, double, make_kernel


class Kernel(nn.Module):
    """Holder of a resampling kernel under its published key."""

    kernel: Tensor

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.register_buffer("kernel", make_kernel(gain=gain))


class Scalar(nn.Module):
    """Holder of a noise strength under its published key."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class Bias(nn.Module):
    """Holder of a per-channel bias under its published key."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


class ModulatedConv(nn.Module):
    """Convolution (3x3 or 1x1) modulated by a style; ``up`` doubles the side (transposed, then blurred)."""

    def __init__(self, inputs: int, outputs: int, side: int, style_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.scale, self.up, self.padding = 1 / math.sqrt(inputs * side**2), up, side // 2
        if up:
            self.blur = Kernel(gain=4.0)
        self.weight = nn.Parameter(normal_weight(1, outputs, inputs, side, side))
        self.modulation = EqualLinear(style_dim, inputs, bias_init=1.0)

    def forward(self, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve with the shared (or one face's own) ``kernel`` (out, in, k, k), doubling and blurring where this layer does."""
        if self.up:
            return blur(conv_up(x, channels_last(kernel.transpose(0, 1))), self.blur.kernel, bias)
        return conv(x, channels_last(kernel), bias, padding=self.padding)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU 0.2 times sqrt(2)."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style_dim, up=up)
        self.noise = Scalar()
        self.activate = Bias(outputs)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """(B, in, s, s), styles (B, 512) and noise (B or 1, 1, r, r) -> (B, out, r, r); r = 2s when doubling."""
        conv, bias = self.conv, self.activate.bias * SQRT2
        style = conv.modulation(w)  # (B, in)
        kernel = conv.weight[0] * conv.scale
        # leaky_relu(a) * sqrt(2) = leaky_relu(a * sqrt(2)): the gain goes into the factors.
        demod = torch.rsqrt(style.square() @ kernel.square().sum((2, 3)).T + 1e-8) * SQRT2  # (B, out)
        if len(x) == 1 and not torch.is_grad_enabled():
            x = conv(x, kernel * (demod.T * style)[:, :, None, None], bias)
        else:
            x = conv(x * style[:, :, None, None], kernel) * demod[:, :, None, None] + bias[:, None, None]
        added = noise * (self.noise.weight * SQRT2)
        return F.leaky_relu_(x.add_(added.to(x.dtype)), 0.2)  # of one type: half precision plus float32 takes four passes


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB (no demodulation) plus the doubled image of the level below."""

    def __init__(self, inputs: int, style_dim: int, *, up: bool = True) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        if up:
            self.upsample = Kernel(gain=4.0)
        self.conv = ModulatedConv(inputs, 3, 1, style_dim)

    def forward(self, x: Tensor, w: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, in, r, r), styles (B, 512) and the image (B, 3, r/2, r/2) so far -> (B, 3, r, r)."""
        style = self.conv.modulation(w)  # (B, in)
        kernel = self.conv.weight[0, :, :, 0, 0] * self.conv.scale * style[:, None, :]  # (B, 3, in)
        rows = x.permute(0, 2, 3, 1).flatten(1, 2)  # as they lie in memory: the other way round bfloat16 takes ten times as long
        rgb = torch.baddbmm(self.bias.view(1, 1, 3), rows, kernel.transpose(1, 2))
        rgb = rgb.transpose(1, 2).contiguous().view(len(x), 3, *x.shape[2:])
        return rgb if skip is None else rgb.add_(double(skip))
