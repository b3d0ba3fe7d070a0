"""Training FSRNet and FSRGAN: the published losses (paper eq. 5-8; weights as in both PyTorch ports), sizes as parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import load_strictly
from facesr.methods.fsrnet.checkpoint import read_fsrnet
from facesr.methods.fsrnet.gan import FSRGANObjective
from facesr.methods.fsrnet.method import FSRNet
from facesr.methods.fsrnet.net import Sizes
from facesr.methods.fsrnet.objective import FSRNetLosses, FSRNetObjective
from facesr.methods.fsrnet.priors import PriorBatches, PriorOptions, make_prior
from facesr.methods.training.data import expand
from facesr.methods.training.generated import GeneratedBatches
from facesr.methods.training.job import Job, face_batches
from facesr.methods.training.recipe import Recipe
from facesr.methods.training.trunks import tensors


def prepare(recipe: Recipe) -> Job:
    """Networks and data of an ``fsrnet`` recipe."""
    table = dict(recipe.net)
    start = str(table.pop("start", ""))
    sizes, losses = from_table(Sizes, table, "[net]"), from_table(FSRNetLosses, recipe.loss, "[loss]")
    _check_losses(losses, recipe.loss, "prior" in recipe.data)
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


def _check_losses(losses: FSRNetLosses, given: Mapping[str, Any], prior: bool) -> None:
    """Entries that nothing would look at are refused."""
    if losses.prior and "prior" in given and not prior:
        raise FaceSRError("[loss] prior weighs prior maps, and there are none: add [data.prior], or leave it out")
    of_gan = [
        name for name in ("perceptual", "perceptual_weights", "discriminator_widths") if name in given and getattr(losses, name)
    ]
    if of_gan and not losses.adversarial:
        raise FaceSRError(
            f"[loss] {of_gan[0]} is FSRGAN's, and adversarial is 0: give adversarial a weight (published: 1e-3), or leave it out"
        )


def _begin(net: nn.Module, start: str) -> None:
    """Fill ``net`` from the weight file ``start``; ``default``: this project's own."""
    file = FSRNet.default if start == "default" else expand(start)
    assert file is not None
    load_strictly(net, read_fsrnet(file).state, f"{file}, as this recipe's FSRNet")


def _objective(sizes: Sizes, losses: FSRNetLosses, optimiser: dict[str, Any]) -> FSRNetObjective:
    if not losses.adversarial:
        return FSRNetObjective(sizes, losses, optimiser)
    vgg = (
        tensors(losses.perceptual_weights, "[loss] perceptual_weights") if losses.perceptual and losses.perceptual_weights else None
    )
    return FSRGANObjective(sizes, losses, optimiser, vgg)
