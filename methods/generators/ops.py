"""Plain-PyTorch forms of the operations StyleGAN's CUDA extensions do, on any device."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from facesr.bench.networks.checkpoints import normal_weight

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


def double(image: Tensor) -> Tensor:
    """``upfirdn2d(image, [1, 3, 3, 1]² / 16, up=2, pad=(2, 1))``: bilinear doubling of the zero-padded image, cut back."""
    return F.interpolate(F.pad(image, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)[..., 2:-2, 2:-2]


def make_kernel(taps: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0), gain: float = 1.0) -> Tensor:
    """The outer product of ``taps`` with itself, summing to ``gain``."""
    k = torch.tensor(taps)
    k = torch.outer(k, k)
    return k / k.sum() * gain


def fused_leaky_relu(x: Tensor, bias: Tensor, slope: float = 0.2, gain: float = SQRT2) -> Tensor:
    """``gain * leaky_relu(x + bias)``; ``bias`` (C,) runs along dimension 1 of ``x``."""
    return F.leaky_relu(x + bias.view(1, -1, *[1] * (x.dim() - 2)), slope) * gain


def channels_last(x: Tensor) -> Tensor:
    """``x`` with its channels side by side in memory, where CPU convolutions and depthwise filters run up to five times faster."""
    return x.contiguous(memory_format=torch.channels_last)


class _FrozenConv(torch.autograd.Function):
    """Convolution with a kernel that is not trained: keeps no activation for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None, padding: int, groups: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.padding, ctx.groups = padding, groups
        return F.conv2d(x, kernel, bias, padding=padding, groups=groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        kernel = ctx.saved_tensors[0].to(grad.dtype)  # half precision's, where the way forward was made in it
        side = kernel.shape[-1]
        back = kernel.flip(2, 3) if ctx.groups > 1 else kernel.flip(2, 3).transpose(0, 1)
        return F.conv2d(grad, back, padding=side - 1 - ctx.padding, groups=ctx.groups), None, None, None, None


class _FrozenConvUp(torch.autograd.Function):
    """Transposed convolution of stride 2 with a kernel that is not trained: keeps no activation for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.padding = padding
        return F.conv_transpose2d(x, kernel, stride=2, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        kernel = ctx.saved_tensors[0].to(grad.dtype)
        return F.conv2d(grad, kernel, stride=2, padding=ctx.padding), None, None


def conv(x: Tensor, kernel: Tensor, bias: Tensor | None = None, *, padding: int = 0, groups: int = 1) -> Tensor:
    """``conv2d`` of stride 1 that, while ``kernel`` and ``bias`` are frozen, keeps nothing of ``x`` for its gradient."""
    frozen = not kernel.requires_grad and (bias is None or not bias.requires_grad)
    if frozen and x.requires_grad and torch.is_grad_enabled():
        out: Tensor = _FrozenConv.apply(x, kernel, bias, padding, groups)
        return out
    return F.conv2d(x, kernel, bias, padding=padding, groups=groups)


def conv_up(x: Tensor, kernel: Tensor, *, padding: int = 0) -> Tensor:
    """``conv_transpose2d`` of stride 2, ``kernel`` (in, out, k, k); a frozen kernel keeps nothing of ``x``."""
    if not kernel.requires_grad and x.requires_grad and torch.is_grad_enabled():
        out: Tensor = _FrozenConvUp.apply(x, kernel, padding)
        return out
    return F.conv_transpose2d(x, kernel, stride=2, padding=padding)


def blur(x: Tensor, kernel: Tensor, bias: Tensor | None = None, *, padding: int = 1) -> Tensor:
    """Every channel of ``x`` convolved with the symmetric ``kernel`` (k, k), zeros outside, plus ``bias`` (C,)."""
    channels = x.shape[1]
    return conv(x, kernel.to(x).expand(channels, 1, *kernel.shape[-2:]), bias, padding=padding, groups=channels)


def _pieces(pixels: Tensor) -> tuple[Tensor, ...]:
    """``pixels`` (N, C) in parts that stay in a core's cache; a GPU takes all at once."""
    return torch.split(pixels, max(1, (1 << 18) // pixels.shape[1])) if pixels.device.type == "cpu" else (pixels,)


def _exact(x: Tensor) -> torch.dtype:
    """What sums over ``x`` are kept in: half precision has no digits for them."""
    return torch.promote_types(x.dtype, torch.float32)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) of each channel of one face (1, C, H, W), in pieces that fit the cache.

    Batch normalisation's own sums run over a million pixels in float32, which cost PULSE's images 1e-4.
    """
    pixels = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    mean = pixels.mean(0, dtype=_exact(x))
    pieces = [(piece - mean).square_().sum(0) for piece in _pieces(pixels)]
    return mean, torch.stack(pieces).sum(0) / len(pixels)


def _joined(faces: list[Tensor]) -> Tensor:
    return faces[0] if len(faces) == 1 else torch.cat(faces)


class _LeakyInstanceStyle(torch.autograd.Function):
    """Instance normalisation of one face is batch normalisation of a batch of one, fused with its affine map.

    Leaky ReLU is done in place before it, and its gradient in place after it: at 1024 pixels each fresh tensor is 64 MiB of new pages.
    Faces are taken apart in here: the gradient of a slice would be copied into zeros of another layout.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, slope: float, eps: float) -> Tensor:
        x = F.leaky_relu_(x, slope)
        scale, shift = scale.to(_exact(x)), shift.to(_exact(x))
        found = [_moments(face) for face in torch.split(x, 1)]
        mean, variance = (torch.stack(part) for part in zip(*found, strict=True))
        ctx.save_for_backward(x, scale, mean, torch.rsqrt(variance + eps))
        ctx.slope, ctx.eps = slope, eps
        faces = zip(torch.split(x, 1), found, scale, shift, strict=True)
        return _joined([F.batch_norm(face, *moments, s, b, training=False, eps=eps) for face, moments, s, b in faces])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scales, means, deviations = ctx.saved_tensors
        faces = zip(torch.split(grad, 1), torch.split(x, 1), scales, means, deviations, strict=True)
        parts = [_back(*of_face, ctx.slope) for of_face in faces]
        dx, scale, shift = (list(part) for part in zip(*parts, strict=True))
        return _joined(dx), torch.stack(scale), torch.stack(shift), None, None


def _back(grad: Tensor, x: Tensor, scale: Tensor, mean: Tensor, deviation: Tensor, slope: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of one face's ``x`` (1, C, H, W), scale and shift (C,); ``deviation``: one over it.

    Two passes in pieces that fit the cache: batch normalisation's own sums put the gradient of the last style off by a thousandth.
    """
    whole = torch.empty_like(x, dtype=scale.dtype, memory_format=torch.channels_last)
    flat = (t.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for t in (grad.to(scale.dtype), x.to(scale.dtype), whole))
    split_grad, split_x, split_whole = map(_pieces, flat)
    d_shift = torch.stack([g.sum(0) for g in split_grad]).sum(0)
    d_scale = torch.stack([(part - mean).mul_(g).sum(0) for g, part in zip(split_grad, split_x, strict=True)]).sum(0) * deviation
    by_grad, pixels = scale * deviation, x.shape[2] * x.shape[3]
    by_x = -by_grad * deviation * d_scale / pixels
    constant = -by_grad * d_shift / pixels - by_x * mean
    for g, part, out in zip(split_grad, split_x, split_whole, strict=True):
        torch.addcmul(constant, part, by_x, out=out).addcmul_(g, by_grad)
        torch.ops.aten.leaky_relu_backward.grad_input(out, part, slope, True, grad_input=out)
    return whole.to(x.dtype), d_scale, d_shift


def leaky_instance_style(x: Tensor, scale: Tensor, shift: Tensor, slope: float = 0.2, eps: float = 1e-5) -> Tensor:
    """``scale * instance_norm(leaky_relu(x)) + shift``: AdaIN. ``x`` (B, C, H, W) is overwritten; ``scale`` and ``shift`` (B, C)."""
    out: Tensor = _LeakyInstanceStyle.apply(x, scale, shift, slope, eps)
    return out


class PixelNorm(nn.Module):
    """Divide each vector by its root mean square (eps 1e-8)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class EqualLinear(nn.Module):
    """Linear layer whose weight is scaled by ``lr_mul / sqrt(fan in)`` at run time; optionally with the fused activation."""

    def __init__(self, inputs: int, outputs: int, *, bias_init: float = 0.0, lr_mul: float = 1.0, activate: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal_weight(outputs, inputs, std=1 / lr_mul))
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self.scale, self.lr_mul, self.activate = lr_mul / math.sqrt(inputs), lr_mul, activate

    def forward(self, x: Tensor) -> Tensor:
        if self.activate:
            return fused_leaky_relu(F.linear(x, self.weight * self.scale), self.bias * self.lr_mul)
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)
