"""FSRNet (Chen, Tai, Liu, Shen, Yang: FSRNet, CVPR 2018): coarse net, prior estimation, fine encoder, fine decoder.

Layers and names follow the PyTorch port that most checkpoints come from (cs-giung); every size is a parameter, and the points where
the ports disagree (shared residual blocks, heads, what is fused, the deconvolution's kernel, a global skip) are options.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from facesr.bench.config import BadValue
from facesr.bench.errors import FaceSRError

LARGEST = 1 << 14
"""No size of a real net is near it; a damaged or hostile note could name any."""


@dataclass(frozen=True)
class Sizes:
    """What a checkpoint fixes. The defaults are the published net: 3.3 M parameters, 16² to 128²."""

    width: int = 64
    """Channels of the fine encoder."""
    coarse_width: int = 64
    deconv_widths: tuple[int, ...] = (64,)
    """Channels after each ×2 deconvolution; their number is how often the image is halved before the fine encoder (published: once)."""
    prior_width: int = 128
    coarse_blocks: int = 3
    encoder_blocks: int = 12
    decoder_blocks: int = 3
    prior_blocks: int = 2
    hourglasses: int = 2
    hourglass_depth: int = 3
    landmarks: int = 81
    """Landmark heat maps of the prior head, 0 for none."""
    parsing: int = 11
    """Parsing maps of the prior head, 0 for none."""
    shared: bool = False
    """One residual block used again and again, as cs-giung's ``[block] * n`` does."""
    fuse: Literal["features", "maps"] = "features"
    """What the decoder gets beside the encoder's features: the prior net's features, or its maps (liang23333's port)."""
    deconv_kernel: Literal[3, 4] = 3
    """3 in the ports, 4 in the paper."""
    norm: Literal["batch", "instance"] = "batch"
    residual: bool = False
    """Add the input to the output and clamp (cydiachen's ``learn_residual``)."""

    @property
    def maps(self) -> int:
        """Channels of the prior's heads together."""
        return self.landmarks + self.parsing

    @property
    def stride(self) -> int:
        """Image pixels a feature pixel covers."""
        return 1 << len(self.deconv_widths)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            low = 0 if field.name in ("landmarks", "parsing") or field.name.endswith("_blocks") else 1
            if isinstance(value, int) and not isinstance(value, bool) and value < low:
                raise BadValue(f"FSRNet's {field.name} is {value}: it must be at least {low}")
            if isinstance(value, int) and value > LARGEST:
                raise BadValue(f"FSRNet's {field.name} is {value}: it must be at most {LARGEST}")
        if self.hourglass_depth > 10 or len(self.deconv_widths) > 10:
            raise BadValue("FSRNet halves an image at most 10 times")
        if not all(0 < width <= LARGEST for width in self.deconv_widths):
            raise BadValue(f"FSRNet's deconv_widths are {self.deconv_widths}: each must be from 1 to {LARGEST}")
        if self.fuse == "maps" and not self.maps:
            raise BadValue("FSRNet with fuse = 'maps' needs landmark or parsing maps: set landmarks or parsing above 0")


class Output(NamedTuple):
    """``coarse`` and ``image`` (B, 3, H, W), nominal [-1, 1]; ``prior`` (B, maps, H/2, W/2), or the features where there is no head."""

    coarse: Tensor
    prior: Tensor
    image: Tensor


def _norm(kind: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels)


class NormBlock(nn.Module):
    """Reflection pad, conv 3, norm, ReLU, pad, conv 3, norm, plus the input."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            _norm(norm, channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            _norm(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same shape."""
        result: Tensor = x + self.layers(x)
        return result


def _blocks(count: int, channels: int, sizes: Sizes) -> nn.Sequential:
    if sizes.shared and count:
        return nn.Sequential(*[NormBlock(channels, sizes.norm)] * count)
    return nn.Sequential(*(NormBlock(channels, sizes.norm) for _ in range(count)))


class Residual(nn.Module):
    """The pre-activation bottleneck of stacked hourglass networks (Newell et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.convBlock = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, half, 1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, outputs, 1),
        )
        self.skipConv = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        result: Tensor = self.convBlock(x) + (x if self.skipConv is None else self.skipConv(x))
        return result


class HourGlass(nn.Module):
    """An hourglass of ``depth`` max-poolings; a side that does not halve is brought back to the upper branch's size."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for n in range(depth, 0, -1):
            for part in (1, 2):
                self.add_module(f"res{n}_{part}", Residual(channels, channels))
        self.res_center = Residual(channels, channels)
        for n in range(1, depth + 1):
            self.add_module(f"res{n}_3", Residual(channels, channels))

    def _level(self, x: Tensor, n: int) -> Tensor:
        upper = getattr(self, f"res{n}_1")(x)
        lower = getattr(self, f"res{n}_2")(nn.functional.max_pool2d(x, 2))
        lower = self._level(lower, n - 1) if n > 1 else self.res_center(lower)
        lower = getattr(self, f"res{n}_3")(lower)
        result: Tensor = upper + nn.functional.interpolate(lower, size=upper.shape[-2:], mode="nearest")
        return result

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same shape."""
        return self._level(x, self.depth)


def _strided(inputs: int, widths: tuple[int, ...], first: int, norm: str) -> nn.Sequential:
    """Halve once for each width: a ``first`` × ``first`` convolution, then 3 × 3 ones, each with norm and ReLU."""
    layers: list[nn.Module] = []
    for index, width in enumerate(widths):
        kernel = first if index == 0 else 3
        layers += [nn.Conv2d(inputs, width, kernel, 2, kernel // 2, bias=False), _norm(norm, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers)


class Coarse(nn.Module):
    """Coarse SR net: image to image."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.coarse_width
        self.conv1 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, width, 3, bias=False), _norm(sizes.norm, width), nn.ReLU())
        self.res_blocks = _blocks(sizes.coarse_blocks, width, sizes)
        self.conv2 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(width, 3, 3, bias=False), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape, in [-1, 1]."""
        result: Tensor = self.conv2(self.res_blocks(self.conv1(x)))
        return result


class FineEncoder(nn.Module):
    """Fine SR encoder: coarse image to features at 1/stride."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.conv1 = _strided(3, (*reversed(sizes.deconv_widths[:-1]), width), 3, sizes.norm)
        self.res_blocks = _blocks(sizes.encoder_blocks, width, sizes)
        self.conv2 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=False), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, width, H/stride, W/stride) in [-1, 1]."""
        result: Tensor = self.conv2(self.res_blocks(self.conv1(x)))
        return result


class Prior(nn.Module):
    """Prior estimation net: coarse image to features from which the maps are read."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.prior_width
        self.conv1 = _strided(3, (*reversed(sizes.deconv_widths[:-1]), width // 2), 7, sizes.norm)
        # The port that shares blocks elsewhere does not share these.
        self.res_blocks = nn.Sequential(
            Residual(width // 2, width), *(NormBlock(width, sizes.norm) for _ in range(sizes.prior_blocks))
        )
        self.hg_blocks = nn.Sequential(*(HourGlass(width, sizes.hourglass_depth) for _ in range(sizes.hourglasses)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, prior_width, H/stride, W/stride)."""
        result: Tensor = self.hg_blocks(self.res_blocks(self.conv1(x)))
        return result


class Decoder(nn.Module):
    """Fine SR decoder: features and prior to the image."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        extra = sizes.prior_width if sizes.fuse == "features" else sizes.maps
        self.conv1 = nn.Sequential(nn.Conv2d(width + extra, width, 3, padding=1, bias=False), _norm(sizes.norm, width), nn.ReLU())
        layers: list[nn.Module] = []
        for outputs in sizes.deconv_widths:
            # Kernel 3 needs one row of output padding to double the side, kernel 4 none.
            layers += [nn.ConvTranspose2d(width, outputs, sizes.deconv_kernel, 2, 1, 4 - sizes.deconv_kernel, bias=False)]
            layers += [_norm(sizes.norm, outputs), nn.ReLU()]
            width = outputs
        self.deconv1 = nn.Sequential(*layers)
        self.res_blocks = _blocks(sizes.decoder_blocks, width, sizes)
        self.conv2 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(width, 3, 3, bias=False), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """(B, width + prior, h, w) to (B, 3, h * stride, w * stride) in [-1, 1]."""
        result: Tensor = self.conv2(self.res_blocks(self.deconv1(self.conv1(x))))
        return result


class FSRNetwork(nn.Module):
    """The four nets together: a bicubically enlarged LR image (B, 3, H, W) in [-1, 1] to ``Output``."""

    def __init__(self, sizes: Sizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or Sizes()
        self.csr_net = Coarse(sizes)
        self.fsr_enc = FineEncoder(sizes)
        self.pre_net = Prior(sizes)
        self.fsr_dec = Decoder(sizes)
        self.prior_conv1 = nn.Conv2d(sizes.prior_width, sizes.landmarks, 1) if sizes.landmarks else None
        self.prior_conv2 = nn.Conv2d(sizes.prior_width, sizes.parsing, 1) if sizes.parsing else None

    def heads(self, features: Tensor) -> Tensor:
        """The prior net's features to landmark heat maps, then parsing maps; the features themselves where there is no head."""
        maps = [head(features) for head in (self.prior_conv1, self.prior_conv2) if head is not None]
        return torch.cat(maps, 1) if maps else features

    def forward(self, x: Tensor) -> Output:
        """(B, 3, H, W) in [-1, 1], H and W multiples of the stride."""
        step = self.sizes.stride
        if x.dim() != 4 or x.shape[1] != 3 or x.shape[-1] % step or x.shape[-2] % step or not x.shape[0]:
            raise FaceSRError(
                f"FSRNet got a tensor of shape {tuple(x.shape)}: it needs (B, 3, H, W), B at least 1, sides multiples of {step}"
            )
        coarse = self.csr_net(x)
        features = self.pre_net(coarse)
        prior = self.heads(features)
        image = self.fsr_dec(torch.cat([self.fsr_enc(coarse), features if self.sizes.fuse == "features" else prior], 1))
        if self.sizes.residual:
            image = (x + image).clamp(-1, 1)
        return Output(coarse, prior, image)
