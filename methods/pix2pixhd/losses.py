"""pix2pixHD's losses: least-squares GAN, feature matching, and the VGG19 distance as it was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from facesr.bench.networks.checkpoints import load_strictly


def lsgan(verdicts: Sequence[Sequence[Tensor]], real: bool) -> Tensor:
    """Mean squared distance of every scale's last output from 1 (real) or 0, summed over the scales."""
    return torch.stack([(scale[-1] - float(real)).square().mean() for scale in verdicts]).sum()


def gan_bce(verdicts: Sequence[Sequence[Tensor]], real: bool) -> Tensor:
    """The option ``--no_lsgan``: binary cross-entropy of every scale's last output, a probability, summed over the scales."""
    with torch.autocast(verdicts[0][-1].device.type, enabled=False):  # torch refuses it in half precision
        terms = [
            nn.functional.binary_cross_entropy(scale[-1].float(), torch.full_like(scale[-1].float(), float(real)))
            for scale in verdicts
        ]
    return torch.stack(terms).sum()


def feature_matching(
    fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]], weight: float = 10.0, sigmoid: bool = False
) -> Tensor:
    """L1 distance of the discriminators' features, the last output left out: Σ over scales and layers of 4 / (n_layers + 1) / scales.

    ``sigmoid``: the last output is that of a sigmoid, so one more counts as a feature, as published.
    """
    n_layers = len(fake[0]) - 2 - sigmoid
    terms = [(a - b.detach()).abs().mean() for f, r in zip(fake, real, strict=True) for a, b in zip(f[:-1], r[:-1], strict=True)]
    return torch.stack(terms).sum() * 4 / (n_layers + 1) / len(fake) * weight


VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)
"""Convolutions of torchvision's VGG19 up to relu5_1; 0 is a max-pooling."""
SLICES = (2, 7, 12, 21, 30)
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


class VGG19Loss(nn.Module):
    """Weighted L1 of relu1_1, 2_1, 3_1, 4_1, 5_1, on images in [-1, 1] **without** ImageNet normalisation, as published.

    ``weights``: torchvision's VGG19 state dict (``features.N.*``), or the published slices' (``sliceK.N.*``).
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for wider in VGG19:
            layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU()] if wider else [nn.MaxPool2d(2)]
            width = wider or width
        self.layers = nn.Sequential(*layers)
        wanted = list(self.layers.state_dict())
        found = {".".join(key.split(".")[-2:]): value for key, value in weights.items() if not key.startswith("classifier")}
        load_strictly(self.layers, {key: found[key] for key in wanted if key in found}, "torchvision's VGG19 features")
        self.eval().requires_grad_(False)

    def features(self, x: Tensor) -> list[Tensor]:
        """The five activations."""
        result = []
        for first, last in zip((0, *SLICES), SLICES, strict=False):
            x = self.layers[first:last](x)
            result.append(x)
        return result

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """A scalar; ``real`` gets no gradient."""
        with torch.no_grad():
            target = self.features(real)
        return torch.stack([w * (a - b).abs().mean() for w, a, b in zip(WEIGHTS, self.features(fake), target, strict=True)]).sum()
