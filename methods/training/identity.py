"""Identity loss: 1 - cosine of MobileFaceNet embeddings of aligned faces. Claims are measured with another recogniser (SFace)."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from facesr.bench.align import similarity
from facesr.bench.networks.checkpoints import load_strictly

FRAME = ((47.1, 60.1), (79.7, 60.2), (63.4, 78.5), (49.6, 92.1), (77.6, 92.0))
"""Mean five points of faces aligned in the CelebA-HQ frame, in pixels of 128 (YuNet on 240 training faces; deviations about 2 px)."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6()
    )


class _Inverted(nn.Module):
    """MobileNetV2's inverted residual."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inputs * expand
        last = nn.Conv2d(wide, outputs, 1, bias=False)
        self.conv = nn.Sequential(_unit(inputs, wide, 1), _unit(wide, wide, 3, stride, wide), last, nn.BatchNorm2d(outputs))
        self.add = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.conv(x) if self.add else self.conv(x)
        return result


class _Separable(nn.Module):
    """Depthwise, norm, ReLU, pointwise, norm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn2(self.pointwise(self.bn1(self.depthwise(x)).relu())).relu()
        return result


class _Global(nn.Module):
    """7 × 7 depthwise convolution down to one pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn(self.depthwise(x))
        return result


class MobileFaceNet(nn.Module):
    """Chen et al. 2018, in the variant of the released ``mobilefacenet.pt``: (B, 3, 112, 112) normalised RGB to (B, 128)."""

    STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
    """Expansion, channels, blocks, stride of the first block."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _unit(3, 64, stride=2)
        self.dw_conv = _Separable(64)
        blocks: list[nn.Module] = []
        width = 64
        for expand, outputs, count, stride in self.STAGES:
            for i in range(count):
                blocks.append(_Inverted(width, outputs, stride if i == 0 else 1, expand))
                width = outputs
        self.features = nn.Sequential(*blocks)
        self.conv2 = _unit(width, 512, 1)
        self.gdconv = _Global(512)
        self.conv3 = nn.Conv2d(512, 128, 1)
        self.bn = nn.BatchNorm2d(128)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings, not normalised."""
        x = self.gdconv(self.conv2(self.features(self.dw_conv(self.conv1(x)))))
        result: Tensor = self.bn(self.conv3(x)).flatten(1)
        return result


@functools.cache
def _grid_map(points: tuple[tuple[float, float], ...], size: int) -> Tensor:
    """``affine_grid``'s matrix that takes the 112 × 112 template to where ``points`` (in pixels of ``size``) are."""
    forward = np.vstack([similarity(np.asarray(points)), [0, 0, 1]])
    back = np.linalg.inv(forward)
    to_pixels = np.array([[56, 0, 55.5], [0, 56, 55.5], [0, 0, 1]])  # [-1, 1] over 112 pixels, edges at the ends
    to_unit = np.array([[2 / size, 0, 1 / size - 1], [0, 2 / size, 1 / size - 1], [0, 0, 1]])
    return torch.tensor((to_unit @ back @ to_pixels)[:2], dtype=torch.float32)


def five_point_crop(images: Tensor, landmarks: Tensor | None = None) -> Tensor:
    """Five-point crops (B, 3, 112, 112) of ``images`` (B, 3, S, S), bilinear, differentiable.

    ``landmarks`` (B, 5, 2) in pixels of S; without them all faces are taken to lie at ``FRAME``, as aligned faces nearly do.
    """
    size = images.shape[-1]
    if landmarks is None:
        points = tuple((x * size / 128 + (size / 128 - 1) / 2, y * size / 128 + (size / 128 - 1) / 2) for x, y in FRAME)
        theta = _grid_map(points, size).expand(len(images), 2, 3)
    else:
        theta = torch.stack([_grid_map(tuple(map(tuple, face)), size) for face in landmarks.tolist()])
    grid = nn.functional.affine_grid(theta.to(images.device), [len(images), 3, 112, 112], align_corners=False)
    return nn.functional.grid_sample(images.float(), grid, align_corners=False)


class IdentityLoss(nn.Module):
    """1 - cosine similarity, one value a face. ``weights``: the state dict of ``mobilefacenet.pt``."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.net = MobileFaceNet()
        own = set(self.net.state_dict())
        # The file has a classifier and a head beside the net.
        load_strictly(self.net, {key: value for key, value in weights.items() if key in own}, "mobilefacenet.pt")
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def embed(self, images: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) RGB in [0, 1] to unit vectors (B, 128)."""
        x = (five_point_crop(images, landmarks) - self.get_buffer("mean")) / self.get_buffer("deviation")
        return nn.functional.normalize(self.net(x).float())

    def forward(self, fake: Tensor, real: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """(B,) losses in [0, 2]; ``real`` gets no gradient."""
        with torch.no_grad():
            target = self.embed(real, landmarks)
        return 1 - (self.embed(fake, landmarks) * target).sum(1)
