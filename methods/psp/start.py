"""A closed-form start for a small pSp encoder: the best linear encoder, written into the weights of the non-linear one.

From random weights an IR-SE encoder needs tens of thousands of faces to pass ridge regression from pixels to codes. So it begins
there: some channels of every stage carry principal components of the stage before (PReLU slopes of 1 and paired LeakyReLUs of ± make
a linear path), each map2style's last convolution finds the directions that matter to its style, and its linear layer is a ridge
regression to the true codes. All other channels keep their random weights and learn what is not linear.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesr.bench.networks.irse import Bottleneck, SEModule
from facesr.methods.psp.encoders import GradualStyleBlock, GradualStyleEncoder, upsample_add

SLOPE = 0.01
"""Of map2style's LeakyReLU: leaky(u) - leaky(-u) = (1 + SLOPE) u."""
SHARE = 0.8
"""Largest share of a stage's channels that carries the linear path."""


@torch.no_grad()
def linear_start(encoder: GradualStyleEncoder, x: Tensor, codes: Tensor, forms: Tensor) -> None:
    """Fit ``encoder`` to inputs ``x`` (N, 3, s, s) and code offsets ``codes`` (N, 512), N some thousands.

    ``forms`` (n_styles, 512, 512): for each style the quadratic form in which its error counts.
    """
    encoder.eval()
    maps = _body(encoder, x)
    c1, c2, c3 = maps
    carried = int(SHARE * c3.shape[1])
    top = encoder.toplayer
    if isinstance(top, nn.Conv2d):
        components = _components(_pixels(c3[:, :carried]), top.out_channels)
        top.weight.zero_()
        top.weight[: len(components), :carried, 0, 0] = components
    for lateral in (encoder.latlayer1, encoder.latlayer2):
        lateral.weight.mul_(0.1)
    p3 = top(c3)
    p2 = upsample_add(p3, encoder.latlayer1(c2))
    p1 = upsample_add(p2, encoder.latlayer2(c1))
    sources = (p3, p2, p1)
    groups: dict[int, list[int]] = {}
    for i in range(len(encoder.styles)):
        groups.setdefault((i >= encoder.coarse) + (i >= encoder.middle), []).append(i)
    for which, rows in groups.items():
        heads = [cast(GradualStyleBlock, encoder.styles[i]) for i in rows]
        _heads(heads, sources[which], codes, forms[rows])


def _pixels(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B h w, C)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _patches(x: Tensor) -> Tensor:
    """What a 3×3 convolution of stride 2 sees: (B, C, h, w) -> (B, positions, 9 C)."""
    return F.unfold(x, 3, padding=1, stride=2).transpose(1, 2)


def _components(samples: Tensor, count: int) -> Tensor:
    """Up to ``count`` principal directions (k, D) of ``samples`` (M, D), strongest first."""
    centred = samples - samples.mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return cast(Tensor, vectors.T.flip(0)[:count])


def _calibrate(norm: nn.Module, x: Tensor) -> Tensor:
    """Set a batch norm's statistics to those of ``x``; channels that never vary stay as they are."""
    assert isinstance(norm, nn.BatchNorm2d)
    variance, mean = torch.var_mean(x, (0, 2, 3))
    norm.running_mean, norm.running_var = mean, torch.where(variance > 1e-8, variance, 1.0)
    return norm(x)  # type: ignore[no-any-return]


def _body(encoder: GradualStyleEncoder, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    conv, norm, act = encoder.input_layer
    carried = 3
    cast(Tensor, conv.weight)[:3] = 0
    for i in range(3):
        cast(Tensor, conv.weight)[i, i, 1, 1] = 1
    cast(Tensor, act.weight)[:3] = 1
    x = act(_calibrate(norm, conv(x)))
    ends = [sum(encoder.config.depths[: k + 1]) for k in range(4)]
    taps = []
    for index, block in enumerate(encoder.body, 1):
        x, carried = _block(cast(Bottleneck, block), x, carried)
        if index in ends[1:]:
            taps.append(x)
    return taps[0], taps[1], taps[2]


def _block(block: Bottleneck, x: Tensor, carried: int) -> tuple[Tensor, int]:
    """Pass the ``carried`` first channels on linearly; returns the output and how many channels carry it then."""
    norm1, conv1, act, conv2, norm2, *se = block.res_layer
    assert isinstance(conv1, nn.Conv2d) and isinstance(conv2, nn.Conv2d) and isinstance(norm2, nn.BatchNorm2d)
    for gate in se:
        cast(SEModule, gate).fc2.weight.zero_()  # every gate half open
    norm2.weight.fill_(0.6)
    inner = _calibrate(norm1, x)
    if not isinstance(block.shortcut_layer, nn.Sequential):
        norm2.weight[:carried] = 0  # the shortcut carries them
        _calibrate(norm2, conv2(act(conv1(inner))))
        return block(x), carried
    conv1.weight[:carried] = 0
    conv1.weight[range(carried), range(carried), 1, 1] = 1
    cast(Tensor, act.weight)[:carried] = 1
    inner = act(conv1(inner))
    components = _components(_patches(inner[:, :carried]).flatten(0, 1), int(SHARE * conv2.out_channels))
    now = len(components)
    conv2.weight[:now] = 0
    conv2.weight[:now, :carried] = components.view(now, carried, 3, 3)
    norm2.weight[:now] = 2  # undoes the half-open gate
    _calibrate(norm2, conv2(inner))
    shortcut = block.shortcut_layer
    assert isinstance(shortcut, nn.Sequential) and isinstance(shortcut[0], nn.Conv2d)
    shortcut[0].weight[:now] = 0
    _calibrate(shortcut[1], shortcut[0](x))
    return block(x), now


def _heads(heads: list[GradualStyleBlock], source: Tensor, codes: Tensor, forms: Tensor) -> None:
    """Heads that read the same map share all but the last convolution's directions and the linear layer."""
    convs = [[layer for layer in head.convs if isinstance(layer, nn.Conv2d)] for head in heads]
    pairs = heads[0].hidden // 2
    signal, doubled = source, False
    for level in range(len(convs[0]) - 1):
        patches = _patches(signal)
        directions = _components(patches.flatten(0, 1), pairs)
        for own in convs:
            _write(own[level], directions, patches.flatten(0, 1), doubled)
        side = int(patches.shape[1] ** 0.5)
        hidden = F.leaky_relu(convs[0][level](_joined(signal, doubled)), SLOPE)
        used = len(directions)
        signal, doubled = (hidden[:, :used] - hidden[:, pairs : pairs + used]) / (1 + SLOPE), True
        assert signal.shape[-1] == side
    z = _patches(signal)[:, 0]
    fitted, solution = _ridge(z, codes, forms.mean(0))
    for head, own, form in zip(heads, convs, forms, strict=True):
        values, vectors = torch.linalg.eigh(form)
        root = vectors * values.clamp(min=0).sqrt() @ vectors.T
        _, best = torch.linalg.eigh(root @ (fitted.T @ fitted) @ root)
        directions = (solution @ root @ best.flip(1)[:, :pairs]).T
        _write(own[-1], directions, z, doubled)
        hidden = F.leaky_relu(own[-1](_joined(signal, doubled)), SLOPE).flatten(1)
        mean = hidden.mean(0)
        _, weights = _ridge(hidden, codes, form, (1e-5, 1e-4, 1e-3))
        head.linear.weight.copy_(weights.T * weights.shape[0] ** 0.5)
        head.linear.bias.copy_(codes.mean(0) - mean @ weights)


def _joined(signal: Tensor, doubled: bool) -> Tensor:
    """A linear signal as the paired channels it came from (leaky(u), leaky(-u))."""
    return torch.cat([F.leaky_relu(signal, SLOPE), F.leaky_relu(-signal, SLOPE)], 1) if doubled else signal


def _write(conv: nn.Conv2d, directions: Tensor, samples: Tensor, doubled: bool) -> None:
    """Make ``conv`` give ± the ``directions`` (k, 9 C) of a linear signal, each centred and of deviation 1 over ``samples``."""
    count = len(directions)
    scale = (samples @ directions.T).std(0).clamp(min=1e-6)
    rows = (directions / scale[:, None]).view(count, -1, 3, 3)
    if doubled:
        rows = torch.cat([rows, -rows], 1) / (1 + SLOPE)
    half = conv.out_channels // 2
    offset = -(samples.mean(0) @ directions.T) / scale
    assert conv.bias is not None
    for start, sign in ((0, 1), (half, -1)):
        conv.weight[start : start + count] = sign * rows
        conv.bias[start : start + count] = sign * offset


def _ridge(
    z: Tensor, y: Tensor, form: Tensor, strengths: tuple[float, ...] = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
) -> tuple[Tensor, Tensor]:
    """Ridge regression of ``y`` (N, 512) on ``z`` (N, D), both centred: the fitted values and the solution (D, 512).

    The strength, in units of the mean variance, is the one with the smallest error (in ``form``) on a tenth held out.
    """
    z, y = z - z.mean(0), y - y.mean(0)
    hold = len(z) // 10
    best: tuple[float, float] | None = None
    for strength in strengths:
        delta = z[:hold] @ _solve(z[hold:], y[hold:], strength) - y[:hold]
        error = float((delta @ form * delta).sum(1).mean())
        if best is None or error < best[0]:
            best = (error, strength)
    assert best is not None
    solution = _solve(z, y, best[1])
    return z @ solution, solution


def _solve(z: Tensor, y: Tensor, strength: float) -> Tensor:
    gram = z.T @ z
    ridge = strength * gram.diagonal().mean() * torch.eye(len(gram))
    return cast(Tensor, torch.linalg.solve(gram + ridge, z.T @ y))
