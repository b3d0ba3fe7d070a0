"""IR and IR-SE residual networks: ArcFace's face embedding of InsightFace_Pytorch, CurricularFace's, and the body of pSp's encoder.

State-dict names and arithmetic follow InsightFace_Pytorch (MIT) as pSp vendors it: ``input_layer``, ``body.{i}.res_layer.{0..5}``,
``body.{i}.shortcut_layer.{0,1}``, ``output_layer.{0,3,4}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.networks.checkpoints import find_state, load_strictly, reading_sizes

Mode = Literal["ir", "ir_se", "ir_bn"]
"""IR's block, with squeeze and excitation, or with a second batch norm inside (TFace's, AdaFace's)."""
CHANNELS = (64, 128, 256, 512)
DEPTHS: dict[int, tuple[int, int, int, int]] = {50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 152: (3, 8, 36, 3)}


class SEModule(nn.Module):
    """Squeeze and excitation: channels scaled by a two-layer gate of their means, ``reduction`` to one, no biases."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, max(channels // reduction, 1), 1, bias=False)
        self.fc2 = nn.Conv2d(max(channels // reduction, 1), channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        gate = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class Bottleneck(nn.Module):
    """One pre-activated residual block; the second convolution strides. With ``mode='ir_se'`` its branch ends in an ``SEModule``.

    The shortcut is strided subsampling (``MaxPool2d(1, stride)``) where the width stays, else a 1x1 convolution with batch norm.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, mode: Mode = "ir_se") -> None:
        super().__init__()
        if in_channels == channels:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
        else:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        layers: list[nn.Module] = [
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False),
            *([nn.BatchNorm2d(channels)] if mode == "ir_bn" else []),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        self.res_layer = nn.Sequential(*layers, *([SEModule(channels)] if mode == "ir_se" else []))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, ceil(H / stride), ceil(W / stride))."""
        return cast(Tensor, self.res_layer(x) + self.shortcut_layer(x))


def stem(channels: int) -> nn.Sequential:
    """RGB to ``channels`` at full size: 3x3 convolution, batch norm, PReLU."""
    return nn.Sequential(nn.Conv2d(3, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.PReLU(channels))


def stages(depths: Sequence[int], channels: Sequence[int] = CHANNELS, mode: Mode = "ir_se") -> nn.Sequential:
    """The residual body: ``depths[k]`` blocks of ``channels[k]`` a stage, every stage opening with stride 2."""
    blocks: list[nn.Module] = []
    for (before, width), depth in zip(pairwise([channels[0], *channels]), depths, strict=True):
        blocks += [Bottleneck(before, width, 2, mode)] + [Bottleneck(width, width, 1, mode) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


class Backbone(nn.Module):
    """A face embedding network: 112x112 aligned face to a unit vector of 512.

    ``Backbone(50, 'ir_se')`` takes ``model_ir_se50.pth`` (397 keys); ``Backbone(100, 'ir', affine=False)`` is IR-101 and takes
    ``CurricularFace_Backbone.pth`` (672 keys). Input (B, 3, 112, 112) RGB in [-1, 1]; note that the former was trained on BGR
    while pSp feeds it RGB.
    """

    def __init__(
        self, layers: int = 50, mode: Mode = "ir_se", *, drop_ratio: float = 0.4, affine: bool = True, size: int = 112
    ) -> None:
        super().__init__()
        if layers not in DEPTHS:
            raise FaceSRError(f"An IR network has 50, 100 or 152 layers, not {layers}.")
        if mode not in get_args(Mode):
            raise FaceSRError(f"Unknown IR mode {mode!r}; {suggest(mode, get_args(Mode))}")
        self.size = size
        self.input_layer = stem(CHANNELS[0])
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512),
            nn.Dropout(drop_ratio),
            nn.Flatten(),
            nn.Linear(512 * (size // 16) ** 2, 512),
            nn.BatchNorm1d(512, affine=affine),
        )
        self.body = stages(DEPTHS[layers], mode=mode)

    def features(self, x: Tensor) -> Tensor:
        """The embedding (B, 512) before it is normalised."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, self.size, self.size):
            raise FaceSRError(
                f"The face network takes (B, 3, {self.size}, {self.size}), not {tuple(x.shape)}; crop and resize first."
            )
        return cast(Tensor, self.output_layer(self.body(self.input_layer(x))))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 112, 112) in [-1, 1] to unit vectors (B, 512)."""
        y = self.features(x)
        return cast(Tensor, y / y.norm(dim=1, keepdim=True))

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Backbone:
        """Read depth, squeeze-and-excitation and the last norm's affinity off the keys, load strictly, return in eval mode.

        ``state``: what a file holds, in wrappers or not. Raises ``FaceSRError`` naming a missing or unexpected key.
        """
        state = find_state(state, ("input_layer.",), "the file", "IR or IR-SE face network").tensors
        blocks = {key.split(".")[1] for key in state if key.startswith("body.")}
        depth = next((layers for layers, depths in DEPTHS.items() if sum(depths) == len(blocks)), None)
        if depth is None or "output_layer.3.weight" not in state:
            raise FaceSRError(
                f"These weights are not an IR or IR-SE face network: {len(blocks)} blocks, not 24, 49 or 50, or no output_layer."
            )
        with reading_sizes("IR face network"):
            size = 16 * round((state["output_layer.3.weight"].shape[1] / 512) ** 0.5)
        first = "body.0.res_layer.5."
        mode: Mode = "ir_se" if f"{first}fc1.weight" in state else "ir_bn" if f"{first}running_mean" in state else "ir"
        if not 16 <= size <= 512:
            raise FaceSRError(f"These weights are not an IR or IR-SE face network: they are for images of {size} pixels.")
        net = cls(depth, mode, affine="output_layer.4.weight" in state, size=size)
        load_strictly(net, state, "IR face network")
        return net.eval()
