"""StyleGAN2 (Karras et al. 2020) in plain PyTorch: any size from 8 to 1024, four published key layouts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facesr.bench.networks.checkpoints import normal_weight
from facesr.bench.weights import load_tensors
from facesr.methods.generators import stylegan2_keys
from facesr.methods.generators.base import Generator, Noise, check_size
from facesr.methods.generators.ops import EqualLinear, PixelNorm, channels_last
from facesr.methods.generators.stylegan2_layers import StyledConv, ToRGB


def channels_of(size: int, multiplier: float = 2) -> dict[int, int]:
    """Channels at each resolution: 512 to 64 pixels' half, then halving (``multiplier`` 2 is NVIDIA's config-f)."""
    wide = {4: 512, 8: 512, 16: 512, 32: 512}
    wide |= {side: int(16384 / side * multiplier) for side in (64, 128, 256, 512, 1024)}
    return {side: c for side, c in wide.items() if side <= size}


class StyleGAN2(Generator):
    """StyleGAN2's mapping and synthesis; its ``state_dict`` has the names and shapes of rosinality's (and pSp's ``decoder``).

    ``channels``: channels at each resolution where they are not ``channels_of(size, channel_multiplier)``;
    ``n_mlp``: layers of the mapping network.
    """

    def __init__(
        self,
        size: int = 1024,
        *,
        channel_multiplier: float = 2,
        style_dim: int = 512,
        n_mlp: int = 8,
        channels: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__()
        check_size(size)
        self.size, self.style_dim, self.levels = size, style_dim, int(math.log2(size))
        self.n_styles = 2 * self.levels - 2
        width = dict(channels or channels_of(size, channel_multiplier))
        mapping = (EqualLinear(style_dim, style_dim, lr_mul=0.01, activate=True) for _ in range(n_mlp))
        self.style = nn.Sequential(PixelNorm(), *mapping)
        self.input = nn.Module()
        self.input.register_parameter("input", nn.Parameter(normal_weight(1, width[4], 4, 4)))
        self.conv1 = StyledConv(width[4], width[4], style_dim)
        self.to_rgb1 = ToRGB(width[4], style_dim, up=False)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        for level in range(3, self.levels + 1):
            inputs, outputs = width[2 ** (level - 1)], width[2**level]
            self.convs.append(StyledConv(inputs, outputs, style_dim, up=True))
            self.convs.append(StyledConv(outputs, outputs, style_dim))
            self.to_rgbs.append(ToRGB(outputs, style_dim))
        for i, side in enumerate(self.noise_sizes):
            self.noises.register_buffer(f"noise_{i}", normal_weight(1, 1, side, side))

    @property
    def noise_sizes(self) -> list[int]:
        return [2 ** ((i + 5) // 2) for i in range(2 * self.levels - 3)]

    def map(self, z: Tensor) -> Tensor:
        w: Tensor = self.style(z)
        return w

    def synthesize(self, w_plus: Tensor, noise: Noise = None) -> Tensor:
        w = self.broadcast(w_plus)
        maps = self._noise(noise, len(w))
        if len(w) > 1 and w.device.type == "cpu" and not torch.is_grad_enabled():
            # One by one the style goes into the kernel, and the activations stay in the cache.
            faces = range(len(w))
            return torch.cat([self._image(w[i : i + 1], [n[i : i + 1] if len(n) > 1 else n for n in maps]) for i in faces])
        return self._image(w, maps)

    def _image(self, w: Tensor, maps: list[Tensor]) -> Tensor:
        x = channels_last(self.input.get_parameter("input").expand(len(w), -1, -1, -1))
        x = self.conv1(x, w[:, 0], maps[0])
        rgb = self.to_rgb1(x, w[:, 1])
        for i, to_rgb in enumerate(self.to_rgbs):
            x = self.convs[2 * i](x, w[:, 2 * i + 1], maps[2 * i + 1])
            x = self.convs[2 * i + 1](x, w[:, 2 * i + 2], maps[2 * i + 2])
            rgb = to_rgb(x, w[:, 2 * i + 3], rgb)
        return rgb  # type: ignore[no-any-return]

    def _noise(self, noise: Noise, batch: int) -> list[Tensor]:
        if noise is None or noise == "fixed":
            return [self.noises.get_buffer(f"noise_{i}") for i in range(len(self.noise_sizes))]
        if noise == "random":
            return self.random_noise(batch)
        return self._check_noise(noise, batch)

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> StyleGAN2:
        layout, theirs, mean = stylegan2_keys.unwrap(load_tensors(path), path)
        net = cls.from_layout(layout, theirs, path, **options)
        if mean is not None:
            net.mean_style = mean.float()
        return net

    @classmethod
    def from_layout(cls, layout: str, theirs: Mapping[str, Tensor], path: str | Path = "state dict", **given: Any) -> StyleGAN2:
        """A generator of the sizes that ``theirs`` has, in eval mode, frozen; ``given`` go to the constructor."""
        held = stylegan2_keys.describe_stylegan2(layout, theirs, path)
        options: dict[str, Any] = {"channels": held.channels, "n_mlp": held.n_mlp, "style_dim": held.style_dim} | given
        net = cls(2**held.levels, **options)
        stylegan2_keys.fill_stylegan2(net, held)
        return net.eval().requires_grad_(False)

    def to_layout(self, layout: str) -> dict[str, Tensor]:
        """The generator's tensors under the keys and shapes of ``layout``, one of ``stylegan2_keys.LAYOUTS``."""
        return stylegan2_keys.to_stylegan2(self.state_dict(), layout, self.levels, len(self.style) - 1, self.mean_style)
