"""pSp's encoders: IR-SE features of three sizes, merged top-down, and one small convolutional head (map2style) a style.

State-dict names and arithmetic follow eladrich/pixel2style2pixel (MIT), models/encoders/psp_encoders.py: ``input_layer``, ``body``,
``styles.{i}.convs.{0,2,..}``, ``styles.{i}.linear``, ``latlayer1``, ``latlayer2``. What is new is ``EncoderConfig``: the same
architecture at other widths, depths, input sizes and style counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesr.bench.config import BadValue, from_table
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.networks.checkpoints import normal_weight
from facesr.bench.networks.irse import CHANNELS, DEPTHS, Mode, stages, stem
from facesr.bench.reading import parse_object

Kind = Literal["GradualStyleEncoder", "BackboneEncoderUsingLastLayerIntoW", "BackboneEncoderUsingLastLayerIntoWPlus"]
Taps = Literal["pyramid", "largest", "smallest"]


LARGEST = 1 << 14
"""No size of a real encoder is near it; a damaged or hostile note could name any."""


@dataclass(frozen=True)
class EncoderConfig:
    """What an encoder looks like; the defaults are the published one for a 1024x1024 StyleGAN2.

    ``kind``: pSp's encoder, or one of its two baselines that read styles off the last feature map through a linear layer.
    ``taps``: which feature maps feed map2style: the ``pyramid`` of three (pSp), or the paper's ablations: all styles from the
    ``largest`` (1/4 of the input) or from the ``smallest`` map (1/16).
    ``coarse``, ``middle``: styles before ``coarse`` come from the smallest map, before ``middle`` from the middle one.
    ``channels``, ``depths``: width and residual blocks of the four stages; ``width``: of the pyramid; ``head``: of map2style
    (both 512 where published). ``input_size``: side of the square input in pixels, a power of two from 32.
    """

    kind: Kind = "GradualStyleEncoder"
    n_styles: int = 18
    mode: Mode = "ir_se"
    taps: Taps = "pyramid"
    coarse: int = 3
    middle: int = 7
    input_size: int = 256
    channels: tuple[int, ...] = CHANNELS
    depths: tuple[int, ...] = DEPTHS[50]
    width: int = 512
    head: int = 512
    style_dim: int = 512

    def __post_init__(self) -> None:
        problems = []
        for name, choices in (("kind", Kind), ("taps", Taps), ("mode", Mode)):
            if (value := getattr(self, name)) not in get_args(choices):
                problems.append(f"{name} {value!r} is unknown, {suggest(str(value), get_args(choices))}")
        if self.input_size < 32 or self.input_size & (self.input_size - 1):
            problems.append(f"input_size {self.input_size} is not a power of two from 32")
        if len(self.channels) != 4 or len(self.depths) != 4 or min(*self.channels, *self.depths) < 1:
            problems.append(f"channels {self.channels} and depths {self.depths} are not four numbers from 1")
        if min(self.n_styles, self.width, self.head, self.style_dim) < 1:
            problems.append(
                f"n_styles {self.n_styles}, width {self.width}, head {self.head}, style_dim {self.style_dim} must be at least 1"
            )
        if max(*self.channels, *self.depths, self.n_styles, self.width, self.head, self.style_dim, self.input_size) > LARGEST:
            problems.append(f"a size is above {LARGEST}")
        if not 0 <= self.coarse <= self.middle:
            problems.append(f"coarse {self.coarse} and middle {self.middle} are not in order")
        if problems:
            raise BadValue(f"Wrong pSp encoder configuration: {'; '.join(problems)}.")

    def to_json(self) -> str:
        """As it stands in the metadata of a weight file."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EncoderConfig:
        """Read it back; unknown fields are refused by name."""
        note = "the note of a pSp encoder's sizes"
        return from_table(cls, parse_object(text, note), note)


class ScaledLinear(nn.Module):
    """StyleGAN's linear layer: weights drawn N(0, 1) and scaled by 1 / sqrt(in) at run time."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal_weight(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) to (B, outputs)."""
        return F.linear(x, self.weight * self.weight.shape[1] ** -0.5, self.bias)


class GradualStyleBlock(nn.Module):
    """map2style: 3x3 convolutions of stride 2 (with bias) and LeakyReLU(0.01) until one pixel is left, then a linear layer.

    (B, inputs, ``spatial``, ``spatial``) to (B, outputs); ``hidden`` channels in between (published: as many as outputs).
    """

    def __init__(self, inputs: int, outputs: int, spatial: int, hidden: int | None = None) -> None:
        super().__init__()
        self.hidden = hidden or outputs
        widths = [inputs] + [self.hidden] * (spatial.bit_length() - 1)
        convs = [layer for a, b in pairwise(widths) for layer in (nn.Conv2d(a, b, 3, 2, 1), nn.LeakyReLU())]
        self.convs = nn.Sequential(*convs)
        self.linear = ScaledLinear(self.hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """One style a face."""
        return cast(Tensor, self.linear(self.convs(x).flatten(1)))


def upsample_add(x: Tensor, y: Tensor) -> Tensor:
    """``y`` plus ``x`` (B, C, h, w) enlarged to its size, bilinearly with ``align_corners=True`` as published."""
    return F.interpolate(x, size=y.shape[-2:], mode="bilinear", align_corners=True) + y


class PSPEncoder(nn.Module):
    """What the three published encoders share: the stem, the residual body and the check of the input."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.input_layer = stem(config.channels[0])
        self.body = stages(config.depths, config.channels, config.mode)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features after the second, third and fourth stage: 1/4, 1/8 and 1/16 of the input's side."""
        side = self.config.input_size
        if x.ndim != 4 or len(x) == 0 or tuple(x.shape[1:]) != (3, side, side):
            raise FaceSRError(f"The pSp encoder takes (B, 3, {side}, {side}) RGB in [-1, 1], B > 0, not {tuple(x.shape)}.")
        ends = [sum(self.config.depths[: k + 1]) for k in range(4)]
        x = self.input_layer(x)
        taps = []
        for index, block in enumerate(self.body, 1):
            x = block(x)
            if index in ends[1:]:
                taps.append(x)
        return taps[0], taps[1], taps[2]


class GradualStyleEncoder(PSPEncoder):
    """pSp's encoder: (B, 3, s, s) in [-1, 1] to W+ offsets (B, n_styles, 512), to which ``latent_avg`` is added."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        c = config
        self.coarse, self.middle = {
            "pyramid": (c.coarse, c.middle),
            "largest": (0, 0),
            "smallest": (c.n_styles, c.n_styles),
        }[c.taps]
        sides = (c.input_size // 16, c.input_size // 8, c.input_size // 4)
        self.styles = nn.ModuleList(
            GradualStyleBlock(c.width, c.style_dim, sides[(i >= self.coarse) + (i >= self.middle)], c.head)
            for i in range(c.n_styles)
        )
        # The published pyramid adds the last stage's 512 channels as they are; where widths differ, a 1x1 convolution goes between.
        self.toplayer = nn.Identity() if c.channels[3] == c.width else nn.Conv2d(c.channels[3], c.width, 1)
        self.latlayer1 = nn.Conv2d(c.channels[2], c.width, 1)
        self.latlayer2 = nn.Conv2d(c.channels[1], c.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """W+ offsets (B, n_styles, 512)."""
        c1, c2, c3 = self.maps(x)
        p3 = self.toplayer(c3)
        p2 = upsample_add(p3, self.latlayer1(c2))
        p1 = upsample_add(p2, self.latlayer2(c1))
        sources = (p3, p2, p1)
        return torch.stack([head(sources[(i >= self.coarse) + (i >= self.middle)]) for i, head in enumerate(self.styles)], dim=1)


class LastLayerIntoW(PSPEncoder):
    """``BackboneEncoderUsingLastLayerIntoW``: the last map's mean through a linear layer, one style (B, 512) for every row."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        self.linear = ScaledLinear(config.channels[3], config.style_dim)

    def forward(self, x: Tensor) -> Tensor:
        """W offsets (B, 512)."""
        return cast(Tensor, self.linear(self.maps(x)[2].mean((2, 3))))


class LastLayerIntoWPlus(PSPEncoder):
    """``BackboneEncoderUsingLastLayerIntoWPlus``: the last map pooled to 7x7, two linear layers to W+."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        last = config.channels[3]
        self.output_layer_2 = nn.Sequential(
            nn.BatchNorm2d(last), nn.AdaptiveAvgPool2d((7, 7)), nn.Flatten(), nn.Linear(last * 49, config.style_dim)
        )
        self.linear = ScaledLinear(config.style_dim, config.style_dim * config.n_styles)

    def forward(self, x: Tensor) -> Tensor:
        """W+ offsets (B, n_styles, 512)."""
        codes = self.linear(self.output_layer_2(self.maps(x)[2]))
        return cast(Tensor, codes.view(len(x), self.config.n_styles, self.config.style_dim))


ENCODERS: Mapping[str, type[PSPEncoder]] = {
    "GradualStyleEncoder": GradualStyleEncoder,
    "BackboneEncoderUsingLastLayerIntoW": LastLayerIntoW,
    "BackboneEncoderUsingLastLayerIntoWPlus": LastLayerIntoWPlus,
}


def build_encoder(config: EncoderConfig | None = None) -> PSPEncoder:
    """The encoder a configuration describes."""
    config = config or EncoderConfig()
    return ENCODERS[config.kind](config)


def describe_encoder(state: Mapping[str, Tensor], *, input_size: int = 256, encoder_type: str | None = None) -> EncoderConfig:
    """The configuration of an encoder, inferred from its keys and shapes (``encoder.`` prefix removed).

    The number of convolutions of each map2style tells which map it reads, and with a pyramid the input size too; ``input_size`` is
    for encoders that have none.
    """
    if "input_layer.0.weight" not in state:
        raise FaceSRError(
            "These weights hold no pSp encoder: the key 'encoder.input_layer.0.weight' is missing; is it the right file?"
        )
    blocks = sorted({int(key.split(".")[1]) for key in state if key.startswith("body.")})
    outputs = [state[f"body.{i}.res_layer.3.weight"].shape[0] for i in blocks if f"body.{i}.res_layer.3.weight" in state]
    channels = tuple(dict.fromkeys(outputs))
    shared: dict[str, Any] = {
        "mode": "ir_se" if "body.0.res_layer.5.fc1.weight" in state else "ir",
        "channels": channels,
        "depths": tuple(outputs.count(c) for c in channels),
        "input_size": input_size,
    }
    heads = sorted({int(key.split(".")[1]) for key in state if key.startswith("styles.")})
    if not heads:
        plus = "output_layer_2.3.weight" in state
        dim = state["linear.weight"].shape
        kind = "BackboneEncoderUsingLastLayerIntoWPlus" if plus else "BackboneEncoderUsingLastLayerIntoW"
        rows = dim[0] // dim[1] if plus else 18
        return EncoderConfig(**{**shared, "kind": encoder_type or kind, "n_styles": rows})
    depth = [sum(key.startswith(f"styles.{i}.convs.") and key.endswith("weight") for key in state) for i in heads]
    low = min(depth)
    weight = state["styles.0.convs.0.weight"]
    shared |= {
        "n_styles": len(heads),
        "width": weight.shape[1],
        "head": weight.shape[0],
        "style_dim": state["styles.0.linear.weight"].shape[0],
    }
    if len(set(depth)) > 1:
        shared |= {"input_size": 16 << low, "coarse": depth.count(low), "middle": depth.count(low) + depth.count(low + 1)}
    else:
        shared["taps"] = "largest" if 4 << low == input_size else "smallest"
    return EncoderConfig(**shared)
