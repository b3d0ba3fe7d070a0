"""FSRGAN: FSRNet's losses with a perceptual term (VGG16 relu5_3, weight 1e-1) and an adversarial one (BCE, weight 1e-3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.lpips import load_features
from facesr.methods.fsrnet.net import Output, Sizes
from facesr.methods.fsrnet.objective import FSRNetLosses, FSRNetObjective
from facesr.methods.training.data import enlarge_batch
from facesr.methods.training.objective import Batch, Phase, make_optimiser, unwrapped


class SRGANDiscriminator(nn.Module):
    """SRGAN's patch discriminator: (B, 3, H, W) in [-1, 1] to (B, 1, H/16, W/16), the probability of being real."""

    def __init__(self, widths: tuple[int, ...] = (64, 128, 256, 512)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in widths:
            layers += [nn.Conv2d(inputs, width, 3, 1, 1), *([nn.BatchNorm2d(width)] if layers else []), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(width, width, 3, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            inputs = width
        self.model = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 3, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        result: Tensor = self.model(x)
        return result


class VGG16Loss(nn.Module):
    """MSE of ``vgg16.features[:30]`` (relu5_3) of images in [-1, 1], without ImageNet normalisation, as in the port."""

    WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for wider in self.WIDTHS:
            layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU()] if wider else [nn.MaxPool2d(2)]
            width = wider or width
        self.features = nn.Sequential(*layers)
        load_features(self.features, weights, "VGG16 of torchvision")
        self.eval().requires_grad_(False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """A scalar; ``real`` gets no gradient."""
        with torch.no_grad():
            target = self.features(real)
        return nn.functional.mse_loss(self.features(fake), target)


class FSRGANObjective(FSRNetObjective):
    """The discriminator's update, then the generator's, from one forward pass, as the port does."""

    def __init__(self, sizes: Sizes, losses: FSRNetLosses, optimisers: dict[str, Any], vgg: Mapping[str, Tensor] | None) -> None:
        super().__init__(sizes, losses, optimisers.get("net", optimisers))
        judge = SRGANDiscriminator(losses.discriminator_widths)
        self.modules["discriminator"] = judge
        self.optimisers["discriminator"] = make_optimiser(optimisers.get("discriminator", optimisers), judge.parameters())
        if losses.perceptual:
            if vgg is None:
                raise FaceSRError(
                    "[loss] perceptual is above 0 and perceptual_weights names no file: give torchvision's VGG16, or set it to 0"
                )
            self.frozen["vgg"] = VGG16Loss(vgg)

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """Two updates."""
        target = batch["hr"] * 2 - 1
        output: Output = self.modules["net"](enlarge_batch(batch["lr"], target.shape[-1]))
        fake, judge = output.image.float(), self.modules["discriminator"]
        real_term, fake_term = _bce(judge(target), 1.0), _bce(judge(fake.detach()), 0.0)
        yield Phase("discriminator", self.losses.adversarial * (real_term + fake_term), {"d_real": real_term, "d_fake": fake_term})
        parts = self.parts(output, target, batch)
        if self.losses.perceptual:
            parts["perceptual"] = self.frozen["vgg"](fake, target).float()
        bare = unwrapped(judge).requires_grad_(False)
        parts["adversarial"] = _bce(bare(fake), 1.0)
        bare.requires_grad_(True)
        yield Phase("net", self.total(parts), parts)


def _bce(probability: Tensor, label: float) -> Tensor:
    with torch.autocast(probability.device.type, enabled=False):  # torch refuses it in half precision
        return binary_cross_entropy(probability.float(), torch.full_like(probability, label, dtype=torch.float32))
