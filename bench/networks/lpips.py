"""LPIPS v0.1 (Zhang et al. 2018) as one differentiable module: torchvision's ImageNet trunks, the ``lpips`` package's linear heads.

Written from its description, equal to richzhang/PerceptualSimilarity (BSD-2). The input range is not guessed: it is [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.networks.checkpoints import find_state, load_strictly
from facesr.bench.weights import heads_file

Trunk = Literal["alex", "vgg", "squeeze"]
# The last layer of each tap, as slices of torchvision's ``features``.
TAPS: dict[str, tuple[int, ...]] = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30), "squeeze": (2, 5, 8, 10, 11, 12, 13)}
BUILDERS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def load_features(features: nn.Sequential, weights: Mapping[str, Any], what: str) -> None:
    """Fill the first layers of a torchvision network from a file of the whole: deeper layers and the classifier are left out."""
    found = find_state(weights, ("features.0.weight", "0.weight"), "the file", f"{what} (its first layer is features.0)").tensors
    plain = {key.removeprefix("features."): value for key, value in found.items()}
    own = set(features.state_dict())
    load_strictly(features, {key: value for key, value in plain.items() if key in own}, what)


class LPIPS(nn.Module):
    """The perceptual distance of two batches (B, 3, H, W), RGB in [-1, 1]: (B,) values, lower is nearer.

    ``trunk``: 'alex', 'vgg' or 'squeeze'; ``weights``: torchvision's state dict of that network, whole or its ``features`` only
    (with or without that prefix). Nothing is downloaded. Frozen, always in eval mode.
    """

    def __init__(self, trunk: Trunk, weights: Mapping[str, Any], heads: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        if trunk not in TAPS:
            raise FaceSRError(f"No LPIPS trunk {trunk!r}: {suggest(trunk, TAPS)}")
        import torchvision.models

        network: Any = getattr(torchvision.models, BUILDERS[trunk])(weights=None)
        self.features: nn.Sequential = network.features[: TAPS[trunk][-1]]
        load_features(self.features, weights, f"{BUILDERS[trunk]} of torchvision")
        self.taps = TAPS[trunk]
        if heads is None:
            heads = torch.load(heads_file(trunk), map_location="cpu", weights_only=True)
        for index in range(len(self.taps)):
            self.register_buffer(f"lin{index}", heads[f"lin{index}.model.1.weight"].clone())
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> LPIPS:
        """Stays in eval mode whatever its parent does."""
        return super().train(False)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Channel-normalised features of every tap."""
        x = (x - self.get_buffer("shift")) / self.get_buffer("scale")
        found = []
        for index, layer in enumerate(self.features, 1):
            x = layer(x)
            if index in self.taps:
                # 1e-20 under the root changes nothing but the gradient where all channels are 0: it would be NaN
                found.append(x / ((x.square().sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10))
        return found

    def features_of(self, x: Tensor) -> list[Tensor]:
        """Per tap (B, C, h, w): the distance of two batches is the summed squared difference of these."""
        maps = enumerate(self.maps(x))
        return [m * (self.get_buffer(f"lin{k}") / (m.shape[2] * m.shape[3])).sqrt() for k, m in maps]

    def layers(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """The distance of each tap, (B,)."""
        if x.shape != y.shape or x.ndim != 4 or x.shape[1] != 3:
            raise FaceSRError(
                f"LPIPS compares two RGB batches (B, 3, H, W) in [-1, 1] of one shape, not {tuple(x.shape)} and {tuple(y.shape)}."
            )
        pairs = zip(self.maps(x), self.maps(y), strict=True)
        return [((a - b).square() * self.get_buffer(f"lin{k}")).sum(1).mean((1, 2)) for k, (a, b) in enumerate(pairs)]

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B,) distances."""
        return torch.stack(self.layers(x, y)).sum(0)
