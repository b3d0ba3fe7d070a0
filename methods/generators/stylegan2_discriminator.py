"""StyleGAN2's residual discriminator, keys as rosinality's: for training a generator and for its published checkpoints."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesr.bench.networks.checkpoints import normal_weight
from facesr.methods.generators.base import check_size
from facesr.methods.generators.ops import EqualLinear, fused_leaky_relu, upfirdn2d
from facesr.methods.generators.stylegan2 import channels_of
from facesr.methods.generators.stylegan2_layers import Bias, Kernel


class Blur(Kernel):
    """[1, 3, 3, 1] blur before a convolution of stride 2."""

    def __init__(self, side: int) -> None:
        super().__init__(gain=1.0)
        total = 2 + side - 1
        self.pad = ((total + 1) // 2, total // 2)

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, pad=self.pad)


class EqualConv(nn.Module):
    """Convolution whose kernel is scaled by 1 / sqrt(fan in) at run time."""

    def __init__(self, inputs: int, outputs: int, side: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal_weight(outputs, inputs, side, side))
        self.scale, self.stride, self.padding = 1 / math.sqrt(inputs * side**2), stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, stride=self.stride, padding=self.padding)


class Activate(Bias):
    """Bias, leaky ReLU 0.2, times sqrt(2)."""

    def forward(self, x: Tensor) -> Tensor:
        return fused_leaky_relu(x, self.bias)


def conv_layer(inputs: int, outputs: int, side: int, *, down: bool = False, activate: bool = True) -> nn.Sequential:
    """Convolution, blurred and halved where ``down``, activated where asked."""
    layers: list[nn.Module] = [Blur(side)] if down else []
    layers.append(EqualConv(inputs, outputs, side, stride=2 if down else 1, padding=0 if down else side // 2))
    return nn.Sequential(*layers, *([Activate(outputs)] if activate else []))


class DownBlock(nn.Module):
    """Two 3x3 convolutions, the second halving, beside a halving 1x1; the sum over sqrt(2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv_layer(inputs, inputs, 3)
        self.conv2 = conv_layer(inputs, outputs, 3, down=True)
        self.skip = conv_layer(inputs, outputs, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.conv2(self.conv1(x)) + self.skip(x)
        return total / math.sqrt(2.0)


class Discriminator(nn.Module):
    """Images (B, 3, size, size) in [-1, 1] -> scores (B, 1). The batch is a whole number of groups of at most four."""

    def __init__(self, size: int = 1024, *, channel_multiplier: float = 2) -> None:
        super().__init__()
        check_size(size)
        width = channels_of(size, channel_multiplier)
        sides = [size // 2**i for i in range(int(math.log2(size)) - 1)]  # size ... 4
        blocks = [DownBlock(width[a], width[b]) for a, b in itertools.pairwise(sides)]
        self.convs = nn.Sequential(conv_layer(3, width[size], 1), *blocks)
        self.final_conv = conv_layer(width[4] + 1, width[4], 3)
        last = width[4] * 16
        self.final_linear = nn.Sequential(EqualLinear(last, width[4], activate=True), EqualLinear(width[4], 1))

    def forward(self, images: Tensor) -> Tensor:
        x = self.convs(images)
        group = min(len(x), 4)
        # The mean standard deviation within each group is one more channel (minibatch standard deviation, Karras et al. 2018).
        groups = x.view(group, -1, 1, *x.shape[1:])
        spread = torch.sqrt(groups.var(0, correction=0) + 1e-8).mean((2, 3, 4), keepdim=True).squeeze(2)
        x = torch.cat([x, spread.repeat(group, 1, *x.shape[2:])], 1)
        score: Tensor = self.final_linear(self.final_conv(x).flatten(1))
        return score
