"""The 128² generator: MobileStyleGAN cut after the layer that works at 128², and a small head that gives the box-averaged image.

The head is what the two layers left out (256², 512²) become when they are averaged to 128² before their non-linearities instead
of after them: the same convolutions, each on the coarse grid (``from_full``). That alone is 30.7 dB from the truth; the
fine-tuned weights that come with the project are nearer (see their model card).
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesr.bench.errors import FaceSRError
from facesr.bench.weights import load_tensors
from facesr.methods.generators.base import Noise
from facesr.methods.generators.files import SMALL
from facesr.methods.generators.mobilestylegan import Layer, MobileStyleGAN, Modulation, SeparableStyledConv, Trunk, inverse_haar


class HeadConv(SeparableStyledConv):
    """A ``StyledConv`` whose channels are scaled by two affine maps of w: the one before and the one after the Haar transform."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs, outputs, size)
        self.up = nn.Linear(512, inputs)
        noise = self.noise
        del self.noise
        self.noise = nn.Parameter(noise)

    def scales(self, w: Tensor) -> Tensor:
        """The product of both (B, inputs) for ``w`` (B, 512)."""
        return cast(Tensor, self.style(w) * self.up(w))


class Head(nn.Module):
    """Features (B, 256, 128, 128) and one style (B, 512) -> RGB (B, 3, 128, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [HeadConv(256, 128, 128), HeadConv(128, 128, 128), HeadConv(128, 64, 128), HeadConv(64, 64, 128)]
        )
        self.rgb = Modulation(64)
        self.weight = nn.Parameter(torch.empty(3, 64, 1, 1))
        self.bias = nn.Parameter(torch.empty(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """RGB, nominal [-1, 1]."""
        for conv in self.convs:
            x = conv(x, w)
        return F.conv2d(self.rgb.modulate(x, w), self.weight, self.bias)


class MobileStyleGAN128(Trunk):
    """The 128² generator: 16 styles (1 + 3 · 5; the head takes the last). Its weights come with the project."""

    size, n_styles = 128, 16

    def __init__(self) -> None:
        super().__init__(5)
        self.head = Head()

    def synthesize(self, w_plus: Tensor, noise: Noise = None) -> Tensor:
        w = self.broadcast(w_plus)
        return self.head(self.features(w, noise), w[:, -1])  # type: ignore[no-any-return]

    @classmethod
    def from_checkpoint(cls, path: str | Path | None = None, **options: object) -> Self:
        """From a ``.safetensors`` of ``facesr train generator``; None: the weights that come with the project."""
        if options:
            raise FaceSRError(f"MobileStyleGAN128 takes no option {next(iter(options))!r}")
        path = SMALL if path is None else Path(path)
        return cls().take(load_tensors(path), path)

    @classmethod
    @torch.no_grad()
    def from_full(cls, full: MobileStyleGAN) -> Self:
        """The untrained small generator: the last two layers averaged to 128² convolution by convolution."""
        small = cls()
        own = small.state_dict()
        own.update({name: value for name, value in full.state_dict().items() if name in own})
        small.load_state_dict(own)
        small.mean_style = full.mean_style
        parts = itertools.product((5, 6), ("conv1", "conv2"))
        for conv, (i, name) in zip(small.head.convs, parts, strict=True):
            _average(cast(HeadConv, conv), cast(Layer, full.layers[i]), name, 2 ** (i - 4))
        small.head.rgb.style.load_state_dict(full.to_rgb.style.state_dict())
        small.head.weight.copy_(full.to_rgb.weight[:3] / 2)
        small.head.bias.copy_(full.to_rgb.bias[:3] / 2)
        return small.to(memory_format=torch.channels_last)


def _average(head: HeadConv, layer: Layer, name: str, pool: int) -> None:
    conv: SeparableStyledConv = getattr(layer, name)
    head.bias.copy_(conv.bias)
    head.noise.copy_(F.avg_pool2d(conv.noise, pool))
    if name == "conv2":
        head.up.weight.zero_()
        head.up.bias.fill_(1)
        head.style.load_state_dict(conv.style.state_dict())
        head.depthwise.copy_(_coarse(conv.depthwise, pool))
        head.weight.copy_(conv.weight)
        return
    head.up.load_state_dict(layer.up.style.state_dict())
    head.style.weight.copy_(conv.style.weight.repeat(4, 1))
    head.style.bias.copy_(conv.style.bias.repeat(4))
    if pool == 2:  # all four bands are there: averaging after the 3×3 is exact
        head.depthwise.copy_(torch.cat([_coarse_band(conv.depthwise, band) for band in range(4)]))
        head.weight.copy_(conv.weight.repeat(1, 4, 1, 1))
    else:  # the bands a, b, c are gone with the averaging before: start without them
        head.depthwise.copy_(_coarse(conv.depthwise, pool).repeat(4, 1, 1, 1))
        head.weight.zero_()
        head.weight[:, : conv.weight.shape[1]].copy_(conv.weight / 2)


def _coarse(kernel: Tensor, pool: int) -> Tensor:
    """The 3×3 kernel on the coarse grid that enlarging (bilinear) → ``kernel`` → averaging by ``pool`` is."""
    impulse = torch.zeros(1, 1, 7, 7)
    impulse[..., 3, 3] = 1
    fine = F.interpolate(impulse, scale_factor=pool, mode="bilinear", align_corners=False)
    response = F.avg_pool2d(F.conv2d(fine.expand(-1, kernel.shape[0], -1, -1), kernel, padding=1, groups=kernel.shape[0]), pool)
    return response[0, :, None, 2:5, 2:5].flip(-1, -2)


def _coarse_band(kernel: Tensor, band: int) -> Tensor:
    """The same for one band of a wavelet picture: inverse Haar → ``kernel`` → averaging by 2."""
    c = kernel.shape[0]
    impulse = torch.zeros(1, 4 * c, 7, 7)
    impulse[:, band * c : (band + 1) * c, 3, 3] = 1
    response = F.avg_pool2d(F.conv2d(inverse_haar(impulse), kernel, padding=1, groups=c), 2)
    return response[0, :, None, 2:5, 2:5].flip(-1, -2)
