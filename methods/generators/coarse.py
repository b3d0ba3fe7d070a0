"""The first layers of MobileStyleGAN with a small head that draws 32² or 64²: cheap pictures to train an encoder's coarse styles on.

A pass forward and back through the three layers that lead to 32² costs a tenth of one through the 128² generator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import FaceSRError
from bench.weights import load_tensors
from methods.generators.base import Noise
from methods.generators.mobilestylegan import Modulation, Trunk
from methods.generators.mobilestylegan128 import HeadConv

WIDTH = 128
LAYERS = {32: 3, 64: 4}
"""Layers of the trunk that lead to a side."""


class CoarseHead(nn.Module):
    """Features (B, 512, s, s) and a style (B, 512) -> RGB (B, 3, s, s), nominal [-1, 1]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([HeadConv(512, WIDTH, size), HeadConv(WIDTH, WIDTH, size), HeadConv(WIDTH, WIDTH, size)])
        self.rgb = Modulation(WIDTH)
        self.weight = nn.Parameter(torch.empty(3, WIDTH, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """RGB."""
        for conv in self.convs:
            x = conv(x, w)
        return F.conv2d(self.rgb.modulate(x, w), self.weight, self.bias)

    @torch.no_grad()
    def begin(self, x: Tensor) -> None:
        """Initial weights, for features like ``x``: unit scales, every input channel brought to a root mean square of 1."""
        for conv in self.convs:
            own = cast(HeadConv, conv)
            for affine in (own.style, own.up):
                affine.weight.zero_()
                affine.bias.fill_(1)
            own.noise.zero_()
            own.bias.zero_()
            own.depthwise.normal_(0, 0.05)
            own.depthwise[:, :, 1, 1] += 1
            own.weight.normal_(0, own.weight.shape[1] ** -0.5)
        first = cast(HeadConv, self.convs[0])
        first.depthwise.div_(x.square().mean((0, 2, 3)).sqrt().clamp(min=1e-6)[:, None, None, None])
        self.rgb.style.weight.zero_()
        self.rgb.style.bias.fill_(1)
        self.weight.normal_(0, 0.3 * WIDTH**-0.5)


class CoarseGenerator(Trunk):
    """``size`` 32 or 64. It takes the full 16 styles and uses the first ones: 1 + 3 a layer, the head the last of them."""

    n_styles = 16

    def __init__(self, size: int) -> None:
        if size not in LAYERS:
            raise FaceSRError(f"no coarse generator of side {size}: there are {', '.join(map(str, LAYERS))}")
        super().__init__(LAYERS[size])
        self.size = size
        self.head = CoarseHead(size)

    def synthesize(self, w_plus: Tensor, noise: Noise = None) -> Tensor:
        w = self.broadcast(w_plus)
        return self.head(self.features(w, noise), w[:, 3 * len(self.layers)])  # type: ignore[no-any-return]

    @classmethod
    def of(cls, generator: Trunk, size: int) -> Self:
        """An untrained one on the trunk of ``generator``."""
        coarse = cls(size)
        own = coarse.state_dict()
        own.update({name: value for name, value in generator.state_dict().items() if not name.startswith("head.") and name in own})
        coarse.load_state_dict(own)
        coarse.mean_style = generator.mean_style
        coarse.to(memory_format=torch.channels_last)
        z = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            coarse.head.begin(coarse.features(coarse.broadcast(coarse.map(z))))
        return coarse

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: object) -> Self:
        """From a ``.safetensors`` of ``facesr train generator`` with ``net.size`` 32 or 64."""
        if options:
            raise FaceSRError(f"CoarseGenerator takes no option {next(iter(options))!r}")
        tensors = load_tensors(path)
        if "head.convs.0.noise" not in tensors:
            raise FaceSRError(f"{path} is no coarse generator: it has no head; make one with 'facesr train generator'")
        return cls(tensors["head.convs.0.noise"].shape[-1]).take(tensors, path)
