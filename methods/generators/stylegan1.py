"""StyleGAN (Karras et al. 2019) in plain PyTorch, as PULSE searches it: AdaIN, fused up-convolution from 128 pixels on.

Laid out for the search on two cores: everything channels-last, kernels scaled once, a frozen net keeps one activation a layer for
the way back, and from 128 pixels on each face is worked alone, whose activations then stay in the cache.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesr.bench.errors import WeightsMissing
from facesr.bench.networks.checkpoints import normal_weight
from facesr.methods.generators import stylegan1_keys
from facesr.methods.generators.base import Generator, Noise, check_size
from facesr.methods.generators.ops import (
    EqualLinear,
    PixelNorm,
    blur,
    channels_last,
    conv,
    conv_up,
    leaky_instance_style,
    make_kernel,
)

FUSED_FROM = 128
"""Output side from which the up-convolution is the fused one, whose kernel is not mirrored as the other's is."""
ALONE_FROM = 128
"""Output side from which the faces of a batch are worked one by one on a CPU."""


class NoiseWeight(nn.Module):
    """Holder of the per-channel noise strength under its published key."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))


class StyleMod(nn.Module):
    """The affine map from a style to each channel's scale - 1 and shift, under its published key."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.lin = EqualLinear(style_dim, 2 * channels)


class Epilogue(nn.Module):
    """Noise, leaky ReLU 0.2, instance normalisation, style: what follows every convolution."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.noise, self.style_mod = NoiseWeight(channels), StyleMod(channels, style_dim)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """``x`` (B, C, r, r) is overwritten; styles (B, 512), noise (B or 1, 1, r, r)."""
        style = self.style_mod.lin(w).view(len(w), 2, -1)
        x = x.addcmul_(noise.expand(len(x), -1, -1, -1), self.noise.weight.view(1, -1, 1, 1))
        return leaky_instance_style(x, style[:, 0] + 1, style[:, 1])


class Conv(nn.Module):
    """Equalised 3x3 (or 1x1) convolution with bias."""

    def __init__(self, inputs: int, outputs: int, side: int = 3, gain: float = math.sqrt(2.0)) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal_weight(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.padding = gain / math.sqrt(inputs * side**2), side // 2
        self._ready: tuple[tuple[int, int], Tensor] | None = None

    def kernel(self) -> Tensor:
        """The scaled kernel, channels-last; made once while the weight is frozen."""
        if self.weight.requires_grad:
            return self._make()
        state = (self.weight.data_ptr(), self.weight._version)
        if self._ready is None or self._ready[0] != state:
            self._ready = (state, self._make())
        return self._ready[1]

    def _make(self) -> Tensor:
        return channels_last(self.weight * self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return conv(x, self.kernel(), self.bias, padding=self.padding)


class Intermediate(nn.Module):
    """Holder of the [1, 2, 1] blur under its published key."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", make_kernel((1.0, 2.0, 1.0))[None, None])


class ConvUp(Conv):
    """Doubling convolution, [1, 2, 1] blur, bias.

    Nearest doubling before a 3x3 convolution equals one 4x4 transposed convolution with the mirrored kernel: 16 products per pixel
    instead of 36. The fused form, used from 128 pixels on, is the same with the kernel as it is.
    """

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__(inputs, outputs)
        self.fused, self.intermediate = side >= FUSED_FROM, Intermediate()

    def _make(self) -> Tensor:
        w = self.weight if self.fused else self.weight.flip(2, 3)
        w = F.pad(w.transpose(0, 1) * self.scale, (1, 1, 1, 1))
        return channels_last(w[:, :, 1:, 1:] + w[:, :, :-1, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, :-1])

    def forward(self, x: Tensor) -> Tensor:
        return blur(conv_up(x, self.kernel(), padding=1), self.intermediate.kernel, self.bias)


class FirstBlock(nn.Module):
    """The block at 4x4, which starts from a learned constant."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.ones(1, channels, 4, 4))
        self.bias = nn.Parameter(torch.ones(channels))
        self.epi1, self.epi2 = Epilogue(channels, style_dim), Epilogue(channels, style_dim)
        self.conv = Conv(channels, channels)

    def forward(self, w: Tensor, noise: list[Tensor]) -> Tensor:
        """Styles (B, 2, 512) and two noise maps -> (B, C, 4, 4)."""
        x = self.const.expand(len(w), -1, -1, -1) + self.bias[:, None, None]
        x = self.epi1(channels_last(x), w[:, 0], noise[0])
        return self.epi2(self.conv(x), w[:, 1], noise[1])  # type: ignore[no-any-return]


class Block(nn.Module):
    """A block that doubles the side."""

    def __init__(self, inputs: int, outputs: int, side: int, style_dim: int) -> None:
        super().__init__()
        self.conv0_up, self.epi1 = ConvUp(inputs, outputs, side), Epilogue(outputs, style_dim)
        self.conv1, self.epi2 = Conv(outputs, outputs), Epilogue(outputs, style_dim)

    def forward(self, x: Tensor, w: Tensor, noise: list[Tensor]) -> Tensor:
        """(B, in, r/2, r/2), styles (B, 2, 512), two noise maps -> (B, out, r, r)."""
        x = self.epi1(self.conv0_up(x), w[:, 0], noise[0])
        return self.epi2(self.conv1(x), w[:, 1], noise[1])  # type: ignore[no-any-return]


class Mapping(nn.Module):
    """Eight dense layers from z to w; keys ``dense0`` to ``dense7``."""

    def __init__(self, style_dim: int) -> None:
        super().__init__()
        self.norm = PixelNorm()
        for i in range(8):
            self.add_module(f"dense{i}", Dense(style_dim))

    def forward(self, z: Tensor) -> Tensor:
        z = self.norm(z)
        for i in range(8):
            z = F.leaky_relu(self.get_submodule(f"dense{i}")(z), 0.2)
        return z


class Dense(EqualLinear):
    """A mapping layer: gain sqrt(2), learning rate multiplier 0.01 on weight and bias."""

    def __init__(self, style_dim: int) -> None:
        super().__init__(style_dim, style_dim, lr_mul=0.01)
        self.scale *= math.sqrt(2.0)


class Synthesis(nn.Module):
    """W+ to image; keys as PULSE's ``synthesis.pt``."""

    def __init__(self, size: int, style_dim: int) -> None:
        super().__init__()
        width = {2**level: min(8192 // 2 ** (level - 1), 512) for level in range(2, int(math.log2(size)) + 1)}
        self.torgb = Conv(width[size], 3, 1, gain=1.0)
        self.blocks = nn.ModuleDict({"4x4": FirstBlock(512, style_dim)})
        for side in list(width)[1:]:
            self.blocks[f"{side}x{side}"] = Block(width[side // 2], width[side], side, style_dim)

    def forward(self, w: Tensor, noise: list[Tensor]) -> Tensor:
        """Styles (B, n_styles, 512) and as many noise maps -> images."""
        split = w.device.type == "cpu"
        x = self.blocks["4x4"](w[:, :2], noise[:2])
        for i, (side, block) in enumerate(list(self.blocks.items())[1:], 1):
            if split and len(w) > 1 and int(side.partition("x")[0]) >= ALONE_FROM:
                return torch.cat(
                    [
                        self._finish(x[b : b + 1], w[b : b + 1], [n[b : b + 1] if len(n) > 1 else n for n in noise], i)
                        for b in range(len(w))
                    ]
                )
            x = block(x, w[:, 2 * i : 2 * i + 2], noise[2 * i : 2 * i + 2])
        return self.torgb(x)  # type: ignore[no-any-return]

    def _finish(self, x: Tensor, w: Tensor, noise: list[Tensor], start: int) -> Tensor:
        for i, block in list(enumerate(self.blocks.values()))[start:]:
            x = block(x, w[:, 2 * i : 2 * i + 2], noise[2 * i : 2 * i + 2])
        return self.torgb(x)  # type: ignore[no-any-return]


class StyleGAN1(Generator):
    """StyleGAN's ``mapping`` and ``synthesis``; each has the state dict of PULSE's file of that name.

    ``mapped``: whether the mapping network is there; PULSE's ``synthesis.pt`` alone has none.
    """

    def __init__(self, size: int = 1024, *, mapped: bool = True, style_dim: int = 512) -> None:
        super().__init__()
        check_size(size)
        self.size, self.style_dim, self.n_styles = size, style_dim, 2 * int(math.log2(size)) - 2
        self.synthesis = Synthesis(size, style_dim)
        self.mapping = Mapping(style_dim) if mapped else None
        self._fixed: list[Tensor] | None = None

    @property
    def noise_sizes(self) -> list[int]:
        return [2 ** (i // 2 + 2) for i in range(self.n_styles)]

    def map(self, z: Tensor) -> Tensor:
        if self.mapping is None:
            raise WeightsMissing(
                "this StyleGAN has no mapping network: give mapping.pt as well (from_checkpoint(path, mapping=...))"
            )
        w: Tensor = self.mapping(z)
        return w

    def synthesize(self, w_plus: Tensor, noise: Noise = None) -> Tensor:
        w = self.broadcast(w_plus)
        images: Tensor = self.synthesis(w, self._noise(noise, w))
        return images

    def _noise(self, noise: Noise, w: Tensor) -> list[Tensor]:
        if noise is None or noise == "fixed":
            # The published files hold no noise: the same draw of a fixed seed for every face, made once.
            if self._fixed is None or self._fixed[0].device != w.device or self._fixed[0].dtype != w.dtype:
                self._fixed = self.random_noise(1, torch.Generator().manual_seed(0))
            return self._fixed
        if noise == "random":
            return self.random_noise(len(w))
        return self._check_noise(noise, len(w))

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> StyleGAN1:
        """``path``: PULSE's ``synthesis.pt`` (with ``mapping=`` path of ``mapping.pt``, or that file beside it) or lernapparat's."""
        return cls.from_parts(*stylegan1_keys.read_stylegan1(path, options.pop("mapping", None)), path, **options)

    @classmethod
    def from_parts(
        cls,
        synthesis: dict[str, Tensor],
        mapping: dict[str, Tensor] | None = None,
        path: str | Path = "state dict",
        **options: Any,
    ) -> StyleGAN1:
        """A generator of the size that ``synthesis`` has, frozen, in eval mode; ``path`` is for messages."""
        net = cls(stylegan1_keys.size_of(synthesis), mapped=mapping is not None, **options)
        stylegan1_keys.fill_stylegan1(net.synthesis, synthesis, path)
        if mapping is not None and net.mapping is not None:
            stylegan1_keys.fill_stylegan1(net.mapping, mapping, path)
        return net.eval().requires_grad_(False)

    def to_layout(self, layout: str) -> dict[str, dict[str, Tensor]]:
        """The generator's tensors by file, as ``pulse`` or ``lernapparat`` publish them."""
        mapping = {} if self.mapping is None else self.mapping.state_dict()
        return stylegan1_keys.to_stylegan1(self.synthesis.state_dict(), mapping, layout)
