"""MobileStyleGAN (Belousov, 2021): a wavelet StyleGAN2 of 8 million parameters, distilled from FFHQ at 1024².

The inverse Haar transform is the sums and differences it is; everything works channels-last, where a 1×1 convolution is one
matrix product. Source of the layout: the published graph (``mobilestylegan_ir``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import find_state, load_strictly
from facesr.bench.weights import find_weight, load_tensors
from facesr.methods.generators.base import Generator, Noise
from facesr.methods.generators.files import IR_FILES, IR_WEIGHTS
from facesr.methods.generators.mobilestylegan_ir import read_ir
from facesr.methods.generators.ops import SQRT2

WIDTHS = (512, 512, 512, 512, 256, 128, 64)
"""Channels of the layers, which work at 8², 16² … 512²."""


class _InverseHaar(torch.autograd.Function):
    """Four bands (B, 4c, h, w), in blocks LL, a, b, c, to (B, c, 2h, 2w).

    out[2i+p, 2j+q] = ½ (LL + (−1)^p a + (−1)^q b + (−1)^(p+q) c). The transform is orthogonal, so its gradient is the forward
    Haar transform, and neither pass keeps anything.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        b, c4, h, w = x.shape
        c = c4 // 4
        bands = x.permute(0, 2, 3, 1).reshape(b, h, w, 4, c)
        out = x.new_empty(b, h, 2, w, 2, c)
        even, odd = bands[..., 0, :] + bands[..., 1, :], bands[..., 0, :] - bands[..., 1, :]
        plus, minus = bands[..., 2, :] + bands[..., 3, :], bands[..., 2, :] - bands[..., 3, :]
        torch.add(even, plus, out=out[:, :, 0, :, 0])
        torch.sub(even, plus, out=out[:, :, 0, :, 1])
        torch.add(odd, minus, out=out[:, :, 1, :, 0])
        torch.sub(odd, minus, out=out[:, :, 1, :, 1])
        return out.mul_(0.5).view(b, 2 * h, 2 * w, c).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        b, c, h2, w2 = grads[0].shape
        g = grads[0].permute(0, 2, 3, 1).reshape(b, h2 // 2, 2, w2 // 2, 2, c)
        out = g.new_empty(b, h2 // 2, w2 // 2, 4, c)
        left, right = g[..., 0, :] + g[..., 1, :], g[..., 0, :] - g[..., 1, :]
        torch.add(left[:, :, 0], left[:, :, 1], out=out[..., 0, :])
        torch.sub(left[:, :, 0], left[:, :, 1], out=out[..., 1, :])
        torch.add(right[:, :, 0], right[:, :, 1], out=out[..., 2, :])
        torch.sub(right[:, :, 0], right[:, :, 1], out=out[..., 3, :])
        return out.mul_(0.5).view(b, h2 // 2, w2 // 2, 4 * c).permute(0, 3, 1, 2)


def inverse_haar(x: Tensor) -> Tensor:
    """Bands (B, 4c, h, w) in blocks LL, a, b, c -> (B, c, 2h, 2w)."""
    out: Tensor = _InverseHaar.apply(x)
    return out


ROWS = 1024
"""Pixels worked on at a time: their channels stay in a core's second-level cache from the matrix product to the activation."""


class _StyledConv(torch.autograd.Function):
    """LeakyReLU .2 of a modulated depthwise 3×3, a 1×1 convolution and noise, channels last.

    The scales commute with the depthwise kernel, so they go into each face's 1×1 kernel. The rest is done a few rows of pixels at a time:
    maps of 128² are larger than the caches, and each step by itself over a whole map took as long as the matrix products.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scales: Tensor, depthwise: Tensor, weight: Tensor, bias: Tensor, noise: Tensor) -> Tensor:
        channels = x.shape[1]
        between = F.conv2d(x, depthwise, padding=1, groups=channels)
        rows = between.permute(0, 2, 3, 1).flatten(1, 2)  # (B, hw, C)
        out = rows.new_empty(*rows.shape[:2], len(weight))
        added = noise.flatten(1)[..., None].expand(len(x), -1, 1)
        for face in range(len(x)):
            kernel = (weight * scales[face]).t()
            for part in _parts(rows.shape[1]):
                some = torch.addmm(bias, rows[face, part], kernel, out=out[face, part])
                F.leaky_relu_(some.add_(added[face, part]), 0.2)
        ctx.save_for_backward(x if ctx.needs_input_grad[2] else None, rows, scales, depthwise, weight, out)
        ctx.noise_shape = noise.shape
        return out.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, rows, scales, depthwise, weight, out = ctx.saved_tensors
        need_x, need_scales, need_depthwise, need_weight, need_bias, need_noise = ctx.needs_input_grad
        b, _, h, w = grads[0].shape
        grad = grads[0].permute(0, 2, 3, 1).reshape(b, h * w, -1)
        back = torch.empty_like(rows)
        d_scales = torch.zeros_like(scales) if need_scales else None
        d_weight = torch.zeros_like(weight) if need_weight else None
        d_bias = weight.new_zeros(len(weight)) if need_bias else None
        d_noise = grad.new_empty(b, h * w) if need_noise else None
        for face in range(b):
            for part in _parts(h * w):
                g = torch.ops.aten.leaky_relu_backward(grad[face, part], out[face, part], 0.2, True)
                before = torch.mm(g, weight, out=back[face, part])
                if d_scales is not None:
                    d_scales[face] += (before * rows[face, part]).sum(0)
                before.mul_(scales[face])
                if d_weight is not None:
                    d_weight.addmm_(g.t(), rows[face, part] * scales[face])
                if d_bias is not None:
                    d_bias += g.sum(0)
                if d_noise is not None:
                    torch.sum(g, 1, out=d_noise[face, part])
        # Where the depthwise kernel is fixed the input was not kept: only its shape counts then, and ``rows`` has it.
        d_x, d_depthwise, _ = torch.ops.aten.convolution_backward(
            back.view(b, h, w, -1).permute(0, 3, 1, 2), rows.view(b, h, w, -1).permute(0, 3, 1, 2) if x is None else x, depthwise,
            None, [1, 1], [1, 1], [1, 1], False, [0, 0], depthwise.shape[0], [need_x, need_depthwise, False],
        )  # fmt: skip
        return d_x, d_scales, d_depthwise, d_weight, d_bias, _noise_like(d_noise, ctx.noise_shape, h, w)


def styled_conv(x: Tensor, scales: Tensor, depthwise: Tensor, weight: Tensor, bias: Tensor, noise: Tensor) -> Tensor:
    """What ``_StyledConv`` computes, a whole map at a time: a GPU has no use for parts that fit a cache, and starts each one slowly."""
    x = F.conv2d(x.contiguous(), depthwise.contiguous(), padding=1, groups=x.shape[1])
    x = F.conv2d(x * scales[:, :, None, None], weight[:, :, None, None], bias)
    return F.leaky_relu(x + noise, 0.2)


def _parts(pixels: int) -> Iterator[slice]:
    return (slice(first, first + ROWS) for first in range(0, pixels, ROWS))


def _noise_like(grad: Tensor | None, shape: torch.Size, h: int, w: int) -> Tensor | None:
    return None if grad is None else grad.view(-1, 1, h, w).sum_to_size(shape)


class Modulation(nn.Module):
    """Scales channels by an affine map of w."""

    def __init__(self, channels: int, style_dim: int = 512) -> None:
        super().__init__()
        self.style = nn.Linear(style_dim, channels)

    def scales(self, w: Tensor) -> Tensor:
        """(B, channels) for ``w`` (B, 512)."""
        return cast(Tensor, self.style(w))

    def modulate(self, x: Tensor, w: Tensor) -> Tensor:
        """``x`` (B, C, h, w') times the scales of ``w`` (B, 512)."""
        return x * self.scales(w)[:, :, None, None].to(x.dtype)


class SeparableStyledConv(Modulation):
    """Modulate → depthwise 3×3 → 1×1 → noise, bias, LeakyReLU .2 (demodulation is folded into the kernel)."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs)
        self.depthwise = nn.Parameter(torch.empty(inputs, 1, 3, 3))
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.register_buffer("noise", torch.zeros(1, 1, size, size))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, inputs, s, s) -> (B, outputs, s, s)."""
        noise = self.noise if noise is None else noise
        parts = [part.to(x.dtype) for part in (self.scales(w), self.depthwise, self.weight.flatten(1), self.bias, noise)]
        out: Tensor = _StyledConv.apply(x, *parts) if x.device.type == "cpu" else styled_conv(x, *parts)
        return out


class FirstConv(SeparableStyledConv):
    """The convolution at 4²: a full 3×3 kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4)
        del self.depthwise
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, 512, 4, 4) -> (B, 512, 4, 4)."""
        x = F.conv2d(self.modulate(x, w), self.weight, self.bias, padding=1)
        return F.leaky_relu_(x.add_((self.noise if noise is None else noise).to(x.dtype)), 0.2)


class Layer(nn.Module):
    """Doubles the size by an inverse Haar transform of modulated channels, then two convolutions; takes three styles."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.up = Modulation(inputs)
        self.conv1 = SeparableStyledConv(inputs // 4, outputs, size)
        self.conv2 = SeparableStyledConv(outputs, outputs, size)

    def forward(self, x: Tensor, w: Tensor, noise: Sequence[Tensor | None] = (None, None)) -> Tensor:
        """(B, inputs, s, s) and styles (B, 3, 512) -> (B, outputs, 2s, 2s)."""
        x = inverse_haar(self.up.modulate(x, w[:, 0]))
        return self.conv2(self.conv1(x, w[:, 1], noise[0]), w[:, 2], noise[1])  # type: ignore[no-any-return]


class ToBands(Modulation):
    """Modulate → 1×1 to the four bands of RGB."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs)
        self.weight = nn.Parameter(torch.empty(12, inputs, 1, 1))
        self.bias = nn.Parameter(torch.empty(12))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(B, inputs, s, s) -> RGB (B, 3, 2s, 2s)."""
        return inverse_haar(F.conv2d(self.modulate(x, w), self.weight, self.bias))


class Trunk(Generator):
    """Mapping network and the first ``layers`` layers: what the 1024² and the 128² generator share."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.mapping = nn.ModuleList(nn.Linear(512, 512) for _ in range(8))
        self.constant = nn.Parameter(torch.empty(1, 512, 4, 4))
        self.first = FirstConv(512)
        widths = (512, *WIDTHS)
        self.layers = nn.ModuleList(Layer(widths[i], widths[i + 1], 8 << i) for i in range(layers))

    @property
    def noise_sizes(self) -> list[int]:
        return [4] + [8 << i for i in range(len(self.layers)) for _ in range(2)]

    def map(self, z: Tensor) -> Tensor:
        z = z.to(self.constant.dtype)
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping:
            w = F.leaky_relu(layer(w), 0.2) * SQRT2
        return w

    def features(self, w: Tensor, noise: Noise = None) -> Tensor:
        """What the last of the trunk's layers gives, (B, C, r, r), for W+ codes (B, rows, 512)."""
        maps = self._noise(noise, len(w))
        x = self.constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = self.first(x, w[:, 0], maps[0])
        for i, layer in enumerate(self.layers):
            x = layer(x, w[:, 1 + 3 * i : 4 + 3 * i], maps[1 + 2 * i : 3 + 2 * i])
        return cast(Tensor, x)

    def _noise(self, noise: Noise, batch: int) -> list[Tensor | None]:
        if noise is None or noise == "fixed":
            return [None] * len(self.noise_sizes)
        given = self.random_noise(batch) if noise == "random" else self._check_noise(noise, batch)
        convs = [module for module in self.modules() if isinstance(module, SeparableStyledConv)][: len(given)]
        return [conv.noise.std() * each for conv, each in zip(convs, given, strict=True)]

    def take(self, tensors: Mapping[str, Tensor], source: str | Path) -> Self:
        """Load parameters by their names (all must be there, ``mean_style`` may), freeze, go channels-last and to eval mode."""
        what = f"{source}, as a {type(self).__name__}"
        state = dict(find_state(tensors, ("constant",), str(source), f"{type(self).__name__} weight file").tensors)
        mean = state.pop("mean_style", None)
        load_strictly(self, state, what)
        self.mean_style = None if mean is None else mean.float()
        self.to(memory_format=torch.channels_last)
        return self.requires_grad_(False).eval()


class MobileStyleGAN(Trunk):
    """The published generator: 1024², 23 styles (one a modulation; the published graph gives all of them the same w).

    Noise maps given to ``synthesize`` are standard normal: each is multiplied by its layer's strength, which is the standard
    deviation of the stored map.
    """

    size, n_styles = 1024, 23

    def __init__(self) -> None:
        super().__init__(7)
        self.to_rgb = ToBands(64)

    def synthesize(self, w_plus: Tensor, noise: Noise = None) -> Tensor:
        w = self.broadcast(w_plus)
        return self.to_rgb(self.features(w, noise), w[:, 22])  # type: ignore[no-any-return]

    @classmethod
    def from_checkpoint(cls, path: str | Path | None = None, **options: object) -> Self:
        """From the folder with the wheel's four IR files, one of those files, or our own ``.safetensors``; None: the known weights.

        (``facesr weights fetch`` names them ``random-face-*``.)
        """
        if options:
            raise FaceSRError(f"MobileStyleGAN takes no option {next(iter(options))!r}")
        if path is None:
            return cls._from_ir([find_weight(name) for name in IR_WEIGHTS])
        path = Path(path)
        if path.suffix in (".xml", ".bin"):
            path = path.parent
        if path.is_dir():
            return cls._from_ir([path / name for name in IR_FILES])
        return cls().take(load_tensors(path), path)

    @classmethod
    def _from_ir(cls, files: Sequence[Path]) -> Self:
        tensors = {name: torch.from_numpy(array.copy()) for name, array in read_ir(files).items()}
        return cls().take(tensors, files[-1])
