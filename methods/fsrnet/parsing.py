"""BiSeNet for faces (Yu et al. 2018, as in zllrunning/face-parsing.PyTorch): 19 classes, from which FSRNet's 11 parsing maps are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from facesr.bench.networks.checkpoints import built, find_state

CLASSES = (
    "background skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip neck neck_l cloth hair hat".split()  # noqa: SIM905
)
"""In the order of the output's channels."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Unit(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn(self.conv(x)).relu()
        return result


class _Basic(nn.Module):
    """ResNet-18's block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        result: Tensor = (y + (x if self.downsample is None else self.downsample(x))).relu()
        return result


class _ResNet18(nn.Module):
    """Features at 1/8, 1/16, 1/32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Basic(64, 64, 1), _Basic(64, 64, 1))
        self.layer2 = nn.Sequential(_Basic(64, 128, 2), _Basic(128, 128, 1))
        self.layer3 = nn.Sequential(_Basic(128, 256, 2), _Basic(256, 256, 1))
        self.layer4 = nn.Sequential(_Basic(256, 512, 2), _Basic(512, 512, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class _Attention(nn.Module):
    """Attention refinement: a channel gate from the mean."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _Unit(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        result: Tensor = x * self.bn_atten(self.conv_atten(adaptive_avg_pool2d(x, 1))).sigmoid()
        return result


class _Context(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnet = _ResNet18()
        self.arm16, self.arm32 = _Attention(256, 128), _Attention(512, 128)
        self.conv_head32, self.conv_head16 = _Unit(128, 128), _Unit(128, 128)
        self.conv_avg = _Unit(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        eighth, sixteenth, last = self.resnet(x)
        mean = self.conv_avg(adaptive_avg_pool2d(last, 1))
        upper = self.conv_head32(interpolate(self.arm32(last) + mean, size=sixteenth.shape[-2:]))
        return eighth, self.conv_head16(interpolate(self.arm16(sixteenth) + upper, size=eighth.shape[-2:])), upper


class _Fusion(nn.Module):
    """Feature fusion: a channel gate over both, added to them."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = _Unit(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        x = self.convblk(torch.cat([spatial, context], 1))
        result: Tensor = x * self.conv2(self.conv1(adaptive_avg_pool2d(x, 1)).relu()).sigmoid() + x
        return result


class _Head(nn.Module):
    def __init__(self, inputs: int, middle: int, classes: int) -> None:
        super().__init__()
        self.conv = _Unit(inputs, middle)
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv_out(self.conv(x))
        return result


class BiSeNet(nn.Module):
    """(B, 3, H, W), ImageNet-normalised RGB, to class scores (B, 19, H, W); trained at 512 × 512."""

    def __init__(self, classes: int = 19) -> None:
        super().__init__()
        self.cp = _Context()
        self.ffm = _Fusion()
        self.conv_out = _Head(256, 256, classes)
        self.conv_out16, self.conv_out32 = _Head(128, 64, classes), _Head(128, 64, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, and those of the two auxiliary heads, all at the input's size."""
        eighth, context8, context16 = self.cp(x)
        outputs = self.conv_out(self.ffm(eighth, context8)), self.conv_out16(context8), self.conv_out32(context16)
        first, second, third = (interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=True) for y in outputs)
        return first, second, third

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BiSeNet:
        """The net with the weights of ``79999_iter.pth``, frozen."""
        what = "net of face-parsing.PyTorch (79999_iter.pth)"
        held = find_state(state, ("conv_out.conv_out.weight",), "the file", what).tensors
        classes = len(held["conv_out.conv_out.weight"])
        return built(lambda: cls(classes), held, what)

    @torch.inference_mode()
    def labels(self, images: Tensor, side: int = 512) -> Tensor:
        """Class of each pixel, (B, side, side) int64, of images (B, 3, H, W), RGB in [0, 1]: enlarged bilinearly first, as published."""
        x = interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
        mean, deviation = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        scores: Tensor = self((x - mean) / deviation)[0]
        return scores.argmax(1)
