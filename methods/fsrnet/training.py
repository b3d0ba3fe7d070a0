"""Training FSRNet and FSRGAN: the published losses (paper eq. 5-8; weights as in both PyTorch ports), sizes as parameters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import resize
from facesr.bench.networks.checkpoints import load_strictly
from facesr.methods.fsrnet.net import FSRNetwork, Output, Sizes
from facesr.methods.fsrnet.priors import PriorBatches, PriorOptions, make_prior
from facesr.methods.training.data import expand
from facesr.methods.training.generated import GeneratedBatches
from facesr.methods.training.job import Job, face_batches
from facesr.methods.training.objective import Batch, Objective, Phase, grid, make_optimiser, psnr_y
from facesr.methods.training.recipe import Recipe


@dataclass(frozen=True)
class Losses:
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


def enlarge(lr: Tensor, size: int) -> Tensor:
    """The net's input: ``lr`` (B, 3, h, w) in [0, 1], enlarged by MATLAB's bicubic kernel, clipped, in [-1, 1]."""
    return resize(lr.float(), size, "bicubic-matlab").clamp(0, 1) * 2 - 1


class FSRNetObjective(Objective):
    """MSE of the coarse and the final image, and of the prior maps."""

    def __init__(self, sizes: Sizes, losses: Losses, optimiser: dict[str, Any]) -> None:
        super().__init__()
        net = FSRNetwork(sizes)
        self.sizes, self.losses = sizes, losses
        self.modules = {"net": net}
        self.optimisers = {"net": make_optimiser(optimiser, net.parameters())}
        self.averaged = ("net",)

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """One update."""
        target = batch["hr"] * 2 - 1
        output: Output = self.modules["net"](enlarge(batch["lr"], target.shape[-1]))
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
        given = enlarge(batch["lr"], batch["hr"].shape[-1])
        output: Output = self.modules["net"](given)
        return {
            "psnr": float(psnr_y(output.image / 2 + 0.5, batch["hr"]).mean()),
            "psnr_coarse": float(psnr_y(output.coarse / 2 + 0.5, batch["hr"]).mean()),
            "psnr_bicubic": float(psnr_y(given / 2 + 0.5, batch["hr"]).mean()),
        }

    def preview(self, batch: Batch) -> Tensor:
        """Rows: bicubic, coarse, output, HR."""
        given = enlarge(batch["lr"], batch["hr"].shape[-1])
        output: Output = self.modules["net"](given)
        return grid([given / 2 + 0.5, output.coarse / 2 + 0.5, output.image / 2 + 0.5, batch["hr"]])

    def export(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The net's state and its sizes."""
        return self.modules["net"].state_dict(), {"sizes": json.dumps(dataclasses.asdict(self.sizes)), "format": "facesr fsrnet 1"}


def prepare(recipe: Recipe) -> Job:
    """Networks and data of an ``fsrnet`` recipe."""
    table = dict(recipe.net)
    start = str(table.pop("start", ""))
    sizes, losses = from_table(Sizes, table, "[net]"), from_table(Losses, recipe.loss, "[loss]")
    objective = _objective(sizes, losses, recipe.optimiser)
    if start:
        _begin(objective.modules["net"], start)
    prior = recipe.data.get("prior")
    source, validation = face_batches(dataclasses.replace(recipe, data={k: v for k, v in recipe.data.items() if k != "prior"}))
    if prior is None:
        return Job(objective, source, validation)
    if isinstance(source, GeneratedBatches):
        raise FaceSRError(
            "[data]: prior maps are made for photographs, and generated faces have none: take out one of the two tables"
        )
    options = from_table(PriorOptions, prior, "[data.prior]")
    stride = sizes.stride
    return Job(
        objective,
        PriorBatches(source, make_prior(options, source.faces), source.faces.pixels.shape[1] // stride, sizes.maps),
        validation,
    )


def _begin(net: nn.Module, start: str) -> None:
    """Fill ``net`` from the weight file ``start``; ``default``: this project's own."""
    from facesr.methods.fsrnet.checkpoint import read
    from facesr.methods.fsrnet.method import FSRNet

    file = FSRNet.default if start == "default" else expand(start)
    assert file is not None
    load_strictly(net, read(file).state, f"{file}, as this recipe's FSRNet")


def _objective(sizes: Sizes, losses: Losses, optimiser: dict[str, Any]) -> FSRNetObjective:
    if not losses.adversarial:
        return FSRNetObjective(sizes, losses, optimiser)
    from facesr.methods.fsrnet.gan import FSRGANObjective
    from facesr.methods.training.trunks import tensors

    vgg = (
        tensors(losses.perceptual_weights, "[loss] perceptual_weights") if losses.perceptual and losses.perceptual_weights else None
    )
    return FSRGANObjective(sizes, losses, optimiser, vgg)
