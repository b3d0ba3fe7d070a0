"""Training the 128² generator: its last layer and head learn the box average of the 1024² image, everything before is fixed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.methods.generators.mobilestylegan import Layer, MobileStyleGAN
from facesr.methods.generators.mobilestylegan128 import MobileStyleGAN128
from facesr.methods.generators.synthetic import SyntheticFaces
from facesr.methods.training import data as faces
from facesr.methods.training.job import Job
from facesr.methods.training.objective import Batch, Objective, Phase, grid, make_optimiser
from facesr.methods.training.recipe import Recipe
from facesr.methods.training.trunks import lpips


@dataclass(frozen=True)
class GeneratorLosses:
    """The table ``[loss]``, for images in [-1, 1]."""

    l2: float = 10.0
    l1: float = 0.4
    lpips: float = 0.5
    trunk: str = "squeeze"
    trunk_weights: str = ""


@dataclass(frozen=True)
class GeneratorData:
    """The table ``[data]``; without ``synthetic`` faces the 1024² generator renders them as they are needed."""

    latents: str = ""
    psi: tuple[float, ...] = (0.6, 1.0)
    held_out: int = 0
    """Faces rendered at 1024² for validation, of a seed of their own."""
    synthetic: list[dict[str, Any]] = field(default_factory=list)


class Tail(nn.Module):
    """What is trained: the layer at 128² and the head. Features (B, 512, 64, 64) and w (B, 512) to RGB (B, 3, 128, 128)."""

    def __init__(self, generator: MobileStyleGAN128) -> None:
        super().__init__()
        self.layer, self.head = cast(Layer, generator.layers[-1]), generator.head

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """RGB, nominal [-1, 1]."""
        return self.head(self.layer(x, w[:, None].expand(-1, 3, -1)), w)  # type: ignore[no-any-return]


class GeneratorFaces:
    """Batches of synthetic faces and their codes."""

    def __init__(self, source: SyntheticFaces, batch: int, seed: int) -> None:
        self.source, self.batch_size, self.seed = source, batch, seed

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """``hr`` in [0, 1] and ``codes`` (B, 512) of a step."""
        random = torch.Generator().manual_seed(faces.step_seed(self.seed, step, rank))
        hr, codes = self.source.draw(self.batch_size, random)
        return {"hr": hr, "codes": codes}


class GeneratorObjective(Objective):
    """L2 + L1 + LPIPS to the box-averaged image."""

    def __init__(self, full: MobileStyleGAN, losses: GeneratorLosses, optimiser: dict[str, Any]) -> None:
        super().__init__()
        self.losses = losses
        self.small = MobileStyleGAN128.from_full(full)
        self.small.requires_grad_(False)
        tail = Tail(self.small).requires_grad_(True)
        self.modules = {"tail": tail}
        self.averaged = ("tail",)
        self.optimisers = {"tail": make_optimiser(optimiser, relative_rates(tail, float(optimiser["lr"])))}
        self.front = nn.ModuleList([self.small.first, *list(self.small.layers)[:-1]])
        self.frozen = {"front": self.front}
        self.frozen["lpips"] = lpips(losses.trunk, losses.trunk_weights)

    def render(self, codes: Tensor) -> Tensor:
        """Images (B, 3, 128, 128) in [-1, 1] of codes (B, 512)."""
        with torch.no_grad():
            w = codes[:, None].expand(-1, self.small.n_styles, -1)
            x = self.small.constant.to(codes.device).expand(len(codes), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.front[0](x, codes)
            for i, layer in enumerate(list(self.front)[1:]):
                x = layer(x, w[:, 1 + 3 * i : 4 + 3 * i])
        return self.modules["tail"](x, codes).float()  # type: ignore[no-any-return]

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """One update."""
        target, image = batch["hr"] * 2 - 1, self.render(batch["codes"])
        parts = {
            "l2": (image - target).square().mean(),
            "l1": (image - target).abs().mean(),
            "lpips": self.frozen["lpips"](image, target).float().mean(),
        }
        yield Phase("tail", sum((getattr(self.losses, k) * v for k, v in parts.items()), torch.zeros(())), parts)

    def validate(self, batch: Batch) -> dict[str, float]:
        """PSNR of RGB and LPIPS against the box-averaged 1024² image."""
        target, image = batch["hr"] * 2 - 1, self.render(batch["codes"]).clamp(-1, 1)
        mse = (image - target).square().mean((1, 2, 3)) / 4
        return {"psnr": float((-10 * mse.log10()).mean()), "lpips": float(self.frozen["lpips"](image, target).mean())}

    def preview(self, batch: Batch) -> Tensor:
        """Rows: output, truth."""
        return grid([self.render(batch["codes"]) / 2 + 0.5, batch["hr"]])

    def export(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The whole small generator: it stands alone."""
        tensors = {**self.small.state_dict(), "mean_style": self.small.mean_style}
        return tensors, {"format": "facesr mobilestylegan128 1"}


def relative_rates(module: nn.Module, lr: float) -> list[dict[str, Any]]:
    """A parameter group a tensor: it moves by about ``lr`` of its own size a step, affine maps of w by a fifth of that.

    The trained tensors' sizes differ a thousandfold (folded demodulation), so one rate for all is either idle or ruinous.
    """
    groups = []
    for name, parameter in module.named_parameters():
        rms = float(parameter.detach().square().mean().sqrt())
        if "noise" in name:
            rate = 0.15 * lr
        elif ".style." in name or ".up." in name:
            rate = 0.2 * lr * max(rms, 0.005 if name.endswith("weight") else 0.05)
        else:
            rate = lr * rms
        groups.append({"params": [parameter], "lr": rate})
    return groups


def box(full: MobileStyleGAN, codes: Tensor) -> Tensor:
    """The truth: 1024² images averaged to 128², one face at a time (memory)."""
    with torch.no_grad():
        return torch.cat([nn.functional.avg_pool2d(full.synthesize(w[None]), 8) for w in codes])


def prepare(recipe: Recipe) -> Job:
    """Networks and data of a ``generator`` recipe; the 1024² generator must be at hand (``facesr weights fetch``)."""
    data = from_table(GeneratorData, recipe.data, "[data]")
    if recipe.net:
        raise FaceSRError(
            f"[net] {next(iter(recipe.net))}: this net is the teacher's own front, and takes no settings: leave [net] out"
        )
    if not isinstance(recipe.optimiser.get("lr"), int | float):
        raise FaceSRError("a generator recipe needs a number as [optimiser] lr, e.g. 2e-3")
    full = MobileStyleGAN.from_checkpoint()
    endless = SyntheticFaces(full, lambda w: box(full, w), sources=[], latents="", size=128, psi=data.psi)
    source = endless
    if data.synthetic:
        source = SyntheticFaces(full, endless.render, sources=data.synthetic, latents=data.latents, size=128)
    objective = GeneratorObjective(full, from_table(GeneratorLosses, recipe.loss, "[loss]"), recipe.optimiser)
    validation = []
    if data.held_out:
        random = torch.Generator().manual_seed(recipe.loop.seed + 1)
        hr, codes = endless.draw(data.held_out, random)
        validation = [{"hr": hr[i : i + 8], "codes": codes[i : i + 8]} for i in range(0, data.held_out, 8)]
    return Job(objective, GeneratorFaces(source, recipe.loop.batch, recipe.loop.seed), validation)
