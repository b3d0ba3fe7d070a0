"""insightface's ``iresnet`` (recognition/arcface_torch, MIT): another block and another key layout than the IR networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import find_state, load_strictly, reading_sizes

DEPTHS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    200: (6, 26, 60, 6),
}
EPS = 1e-5


class IBasicBlock(nn.Module):
    """Batch norm, 3x3, batch norm, PReLU, 3x3 with the stride, batch norm; shortcut 1x1 with batch norm where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels, eps=EPS)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels, eps=EPS)
        self.prelu = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels, eps=EPS)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels, eps=EPS)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H / stride, W / stride)."""
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return cast(Tensor, y + (x if self.downsample is None else self.downsample(x)))


class IResNet(nn.Module):
    """iresnet18, 34, 50, 100 or 200: (B, 3, 112, 112) RGB in [-1, 1] to (B, 512), **not** normalised, as published."""

    def __init__(self, layers: int = 50, *, features: int = 512, dropout: float = 0.0) -> None:
        super().__init__()
        if layers not in DEPTHS:
            raise FaceSRError(f"An iresnet has {', '.join(map(str, DEPTHS))} layers, not {layers}.")
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64, eps=EPS)
        self.prelu = nn.PReLU(64)
        before = 64
        for index, (depth, width) in enumerate(zip(DEPTHS[layers], (64, 128, 256, 512), strict=True), 1):
            blocks = [IBasicBlock(before, width, 2)] + [IBasicBlock(width, width, 1) for _ in range(depth - 1)]
            setattr(self, f"layer{index}", nn.Sequential(*blocks))
            before = width
        self.bn2 = nn.BatchNorm2d(512, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512 * 7 * 7, features)
        self.features = nn.BatchNorm1d(features, eps=EPS)
        nn.init.constant_(self.features.weight, 1.0)
        self.features.weight.requires_grad = False  # published: the last scale stays 1, so that only directions are learned

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 112, 112) in [-1, 1] to embeddings (B, 512)."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, 112, 112):
            raise FaceSRError(f"An iresnet takes (B, 3, 112, 112), not {tuple(x.shape)}; align and crop first.")
        y = self.prelu(self.bn1(self.conv1(x)))
        for index in range(1, 5):
            y = getattr(self, f"layer{index}")(y)
        y = torch.flatten(self.bn2(y), 1)
        return cast(Tensor, self.features(self.fc(self.dropout(y))))

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> IResNet:
        """Read the depth off the keys, load strictly, return in eval mode. Raises ``FaceSRError`` naming a wrong key.

        ``state``: what a file holds, in wrappers or not.
        """
        state = find_state(state, ("layer1.0.",), "the file", "insightface iresnet").tensors
        blocks = {found.group() for key in state if (found := re.match(r"layer\d\.\d+\.", key))}
        depth = next((layers for layers, depths in DEPTHS.items() if sum(depths) == len(blocks)), None)
        if depth is None or "fc.weight" not in state:
            raise FaceSRError(
                f"These weights are not an insightface iresnet: {len(blocks)} blocks named layerN.M, expected 8, 16, 24, 49 or 98."
            )
        with reading_sizes("insightface iresnet"):
            features = state["fc.weight"].shape[0]
        net = cls(depth, features=features)
        load_strictly(net, state, "insightface iresnet")
        return net.eval()
