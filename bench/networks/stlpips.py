"""Shift-tolerant LPIPS (Ghildyal & Liu 2022): LPIPS on trunks that blur before they subsample, with weights of their own.

Written from the paper's description (reflection-padded 3x3 binomial blur of stride 2 in place of strides) and the layout of the
published files, equal to the package ``stlpips-pytorch`` 0.0.2, whose code is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.networks.checkpoints import find_state, load_strictly, reading_sizes
from facesr.bench.networks.lpips import LPIPS, SCALE, SHIFT

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
"""Widths of the convolutions; 0 pools."""


class BlurPool(nn.Module):
    """Binomial 3x3 blur of stride 2 a channel, two pixels of reflection around: (B, C, H, W) to (B, C, H // 2 + 1, ...)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("filt", torch.outer(line, line).expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Blur and subsample."""
        return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), self.get_buffer("filt"), stride=2, groups=x.shape[1])


def alex() -> tuple[nn.Sequential, tuple[int, ...]]:
    """AlexNet with blurred strides, and the layers (counted from 1) where it is tapped."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, padding=2), BlurPool(64), nn.ReLU()]
    layers += [nn.MaxPool2d(3, 1), BlurPool(64), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()]
    layers += [nn.MaxPool2d(3, 1), BlurPool(192), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers), (3, 7, 11, 13, 15)


def vgg() -> tuple[nn.Sequential, tuple[int, ...]]:
    """VGG16 with blurred pooling, tapped before every pool and at the end."""
    layers: list[nn.Module] = []
    taps, width = [], 3
    for wider in VGG16:
        if wider:
            layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU()]
            width = wider
        else:
            taps.append(len(layers))
            layers += [nn.MaxPool2d(2, 1), BlurPool(width)]
    return nn.Sequential(*layers), (*taps, len(layers))


TRUNKS = {"alex": alex, "vgg": vgg}


class ShiftTolerantLPIPS(LPIPS):
    """ST-LPIPS of two batches (B, 3, H, W), RGB in [-1, 1]; ``state``: the published file of that trunk. Frozen, in eval mode."""

    def __init__(self, trunk: Literal["alex", "vgg"], state: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)
        if trunk not in TRUNKS:
            raise FaceSRError(f"No ST-LPIPS trunk {trunk!r}: {suggest(trunk, TRUNKS)}")
        self.features, self.taps = TRUNKS[trunk]()
        # The file names layers 'net.slice3.9.weight': the slice and the place in the whole.
        what = f"ST-LPIPS {trunk}"
        held = find_state(state, ("net.slice1.",), "the file", f"{what} weight file").tensors
        plain = {key.split(".", 2)[2]: value for key, value in held.items() if key.startswith("net.slice")}
        own = set(self.features.state_dict())
        load_strictly(self.features, {key: value for key, value in plain.items() if key in own}, what)
        with reading_sizes(what):
            for index in range(len(self.taps)):
                self.register_buffer(f"lin{index}", held[f"lin{index}.model.1.weight"].float())
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)
