"""FSRNet's losses (paper eq. 5-8; weights as in both PyTorch ports), for the training loop."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facesr.methods.fsrnet.net import FSRNetwork, Output, Sizes
from facesr.methods.training.data import enlarge_batch
from facesr.methods.training.objective import Batch, Objective, Phase, grid, make_optimiser, psnr_y


@dataclass(frozen=True)
class FSRNetLosses:
    """The table ``[loss]``."""

    coarse: float = 1.0
    image: float = 1.0
    prior: float = 1.0
    """Weight of the prior maps, where a batch has them (``maps``, and ``has_maps`` a face)."""
    perceptual: float = 0.0
    """FSRGAN's perceptual term (published: 1e-1)."""
    perceptual_weights: str = ""
    """torchvision's VGG16 file."""
    adversarial: float = 0.0
    """FSRGAN's adversarial term (published: 1e-3); above 0 it makes the recipe an FSRGAN's."""
    discriminator_widths: tuple[int, ...] = (64, 128, 256, 512)


class FSRNetObjective(Objective):
    """MSE of the coarse and the final image, and of the prior maps."""

    def __init__(self, sizes: Sizes, losses: FSRNetLosses, optimiser: dict[str, Any]) -> None:
        super().__init__()
        net = FSRNetwork(sizes)
        self.sizes, self.losses = sizes, losses
        self.modules = {"net": net}
        self.optimisers = {"net": make_optimiser(optimiser, net.parameters())}
        self.averaged = ("net",)

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """One update."""
        target = batch["hr"] * 2 - 1
        output: Output = self.modules["net"](enlarge_batch(batch["lr"], target.shape[-1]))
        parts = self.parts(output, target, batch)
        yield Phase("net", self.total(parts), parts)

    def parts(self, output: Output, target: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The losses, unweighted."""
        parts = {
            "coarse": nn.functional.mse_loss(output.coarse.float(), target),
            "image": nn.functional.mse_loss(output.image.float(), target),
        }
        if "maps" in batch and self.sizes.maps:
            error = (output.prior.float() - batch["maps"]).pow(2).mean((1, 2, 3))
            has = batch["has_maps"].float()
            parts["prior"] = (error * has).sum() / has.sum().clamp(min=1)
        return parts

    def total(self, parts: dict[str, Tensor]) -> Tensor:
        """Their weighted sum."""
        return sum((getattr(self.losses, k) * v for k, v in parts.items()), torch.zeros(()))

    def validate(self, batch: Batch) -> dict[str, float]:
        """PSNR of luma, of the output and of the bicubic input."""
        given = enlarge_batch(batch["lr"], batch["hr"].shape[-1])
        output: Output = self.modules["net"](given)
        return {
            "psnr": float(psnr_y(output.image / 2 + 0.5, batch["hr"]).mean()),
            "psnr_coarse": float(psnr_y(output.coarse / 2 + 0.5, batch["hr"]).mean()),
            "psnr_bicubic": float(psnr_y(given / 2 + 0.5, batch["hr"]).mean()),
        }

    def preview(self, batch: Batch) -> Tensor:
        """Rows: bicubic, coarse, output, HR."""
        given = enlarge_batch(batch["lr"], batch["hr"].shape[-1])
        output: Output = self.modules["net"](given)
        return grid([given / 2 + 0.5, output.coarse / 2 + 0.5, output.image / 2 + 0.5, batch["hr"]])

    def export(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The net's state and its sizes."""
        return self.modules["net"].state_dict(), {"sizes": json.dumps(dataclasses.asdict(self.sizes)), "format": "facesr fsrnet 1"}
