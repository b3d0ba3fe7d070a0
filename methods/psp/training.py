"""Training pSp: the published losses and degradations, with the true latent of synthetic faces as extra supervision.

As in the paper, LR inputs come from a random factor, the target is the full-resolution face and the generator is fixed. What is
added serves small budgets: synthetic faces, and real ones whose codes were searched, come with their W+ code, so the encoder first
learns codes alone (no generator in the loop, thirty times cheaper a face), then through the generator too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import resize, to_uint8
from facesr.bench.networks.checkpoints import load_strictly
from facesr.bench.networks.lpips import LPIPS
from facesr.bench.weights import load_tensors
from facesr.methods.generators.base import Generator
from facesr.methods.generators.mobilestylegan import Layer, Modulation, Trunk
from facesr.methods.generators.opening import open_generator
from facesr.methods.losses.psp import inner_face, w_norm
from facesr.methods.losses.ranger import Ranger
from facesr.methods.psp.checkpoint import part
from facesr.methods.psp.encoders import EncoderConfig, GradualStyleBlock, GradualStyleEncoder, PSPEncoder, build_encoder
from facesr.methods.psp.faces import PSPData, PSPFaces
from facesr.methods.psp.linear import Features, LinearLosses, Quadratic
from facesr.methods.psp.method import PSP
from facesr.methods.psp.net import PSPNet
from facesr.methods.psp.preprocess import from_lr
from facesr.methods.psp.recombine import Recombined, search_codes
from facesr.methods.psp.start import linear_start
from facesr.methods.training import data as faces
from facesr.methods.training.identity import IdentityLoss
from facesr.methods.training.job import Job, fixed_batches
from facesr.methods.training.objective import OPTIMISERS, Batch, Objective, Phase, grid, make_optimiser
from facesr.methods.training.recipe import Recipe
from facesr.methods.training.trunks import losses_noted, lpips, tensors

OPTIMISERS.setdefault("ranger", Ranger)
PIXELS: dict[str, Callable[[Tensor], Tensor]] = {
    "l2": lambda x: x,
    "l2_crop": inner_face,
    "consistency": lambda x: resize(x, x.shape[-1] // 8, "bicubic-matlab"),
}
"""Losses that are mean squares of a linear map of the difference."""
IMAGE_LOSSES = (*PIXELS, "lpips", "identity")


@dataclass(frozen=True)
class Net:
    """What the table ``[net]`` says beside the encoder's sizes (``EncoderConfig``)."""

    generator: str = "mobilestylegan128"
    start_faces: int = 0
    """Synthetic faces for a closed-form start (``facesr.methods.psp.start``); 0 starts from random weights."""
    start: str = ""
    """Weights of an earlier training to begin with, in place of either; ``default``: this project's."""
    frozen_norms: bool = False
    """Keep the running statistics of batch norm as the start found them."""


@dataclass(frozen=True)
class PSPLosses:
    """The table ``[loss]``: the lambdas of README.md of the released model, and of the latent supervision."""

    l2: float = 1.0
    l2_crop: float = 0.0
    """The same within the published inner face (``facesr.methods.losses.psp.inner_face``)."""
    consistency: float = 0.0
    """Squared error of output and target shrunk eight times: what the LR face fixes. Not in the paper."""
    lpips: float = 0.8
    identity: float = 0.1
    w_norm: float = 0.005
    linear: float = 0.0
    """The image losses with their weights as a quadratic form of codes (``facesr.methods.psp.linear``); for faces whose codes are known."""
    latent: float = 0.0
    """Squared error of the styles that the generator's layers make of the codes, in units of their variance; known codes only."""
    trunk: str = "alex"
    trunk_weights: str = ""
    identity_weights: str = ""
    images_from: int = 0
    """Step from which on the generator takes part; before, the latent is all."""
    images: int = 0
    """Faces of a batch that go through the generator, the first ones (the real faces come first); 0: all."""


class StyleDistance(nn.Module):
    """Squared distance of codes in the space of the generator's styles: what its layers see of a code.

    Row i is measured through the affine map of layer i, over the variance of that layer's styles, so that the mean code is at 1.
    A generator whose maps are not known (any but MobileStyleGAN) is measured by the codes themselves.
    """

    def __init__(self, generator: Generator, samples: int = 2000) -> None:
        super().__init__()
        with torch.no_grad():
            w = generator.map(torch.randn(samples, generator.style_dim, generator=torch.Generator().manual_seed(0)))
            spread = w - generator.mean_style
            maps = style_maps(generator) if isinstance(generator, Trunk) else [torch.eye(generator.style_dim)] * generator.n_styles
            forms = [a.T @ a / (spread @ a.T).square().sum(1).mean() for a in maps]
        self.register_buffer("forms", torch.stack(forms), persistent=False)

    def forward(self, codes: Tensor, truth: Tensor) -> Tensor:
        """Mean over the rows: (B, n_styles, 512) twice -> (B,)."""
        delta = (codes - truth).float().transpose(0, 1)
        forms = self.get_buffer("forms")
        return (delta @ forms.to(delta) * delta).sum(2).mean(0)


def style_maps(generator: Trunk) -> list[Tensor]:
    """The affine maps (channels, 512) that rows 0, 1 … of W+ go through first."""
    parts: list[Modulation] = [generator.first]
    for layer in generator.layers:
        parts += [cast(Layer, layer).up, cast(Layer, layer).conv1, cast(Layer, layer).conv2]
    maps = [part.style.weight for part in parts]
    return [maps[min(row, len(maps) - 1)] for row in range(generator.n_styles)]


class PSPObjective(Objective):
    """Latent, L2, LPIPS, identity and w-norm of a small pSp; only the encoder is trained."""

    def __init__(self, config: EncoderConfig, generator: Generator, net: Net, losses: PSPLosses, optimiser: dict[str, Any]) -> None:
        super().__init__()
        self.losses, self.net = losses, net
        encoder = build_encoder(config)
        self.modules = {"encoder": encoder}
        self.optimisers = {"encoder": make_optimiser(optimiser, _groups(encoder, optimiser))}
        self.averaged = ("encoder",)
        self.config = config
        self.frozen = {"generator": generator, "distance": StyleDistance(generator)}
        self.watch = ("lpips" if losses.lpips else "l2", False)
        if losses.lpips:
            self.frozen["lpips"] = lpips(losses.trunk, losses.trunk_weights)
        if losses.identity or losses.identity_weights:
            self.frozen["identity"] = IdentityLoss(tensors(losses.identity_weights, "[loss] identity_weights"))

    @property
    def generator(self) -> Generator:
        """The fixed generator."""
        return cast(Generator, self.frozen["generator"])

    def codes(self, given: Tensor) -> Tensor:
        """W+ codes (B, n_styles, 512), the mean style added."""
        return self.modules["encoder"](given).float() + self.generator.mean_style  # type: ignore[no-any-return]

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """One update."""
        if self.net.frozen_norms:
            for module in self.modules["encoder"].modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        codes = self.codes(batch["given"])
        parts: dict[str, Tensor] = {"w_norm": w_norm(codes, self.generator.mean_style)}
        if batch["known"].any():
            known = batch["known"]
            parts["latent"] = self.frozen["distance"](codes[known], batch["codes"][known]).mean()
            if self.losses.linear:
                parts["linear"] = self.frozen["linear"](codes[known] - batch["codes"][known]).mean()
        if batch["step"] >= self.losses.images_from:
            n = self.losses.images or len(codes)
            parts |= {k: v.mean() for k, v in self.image_losses(codes[:n], batch["hr"][:n]).items()}
        total = sum((getattr(self.losses, k) * v for k, v in parts.items()), torch.zeros(()))
        yield Phase("encoder", total, parts)

    def image_losses(self, codes: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Those of ``IMAGE_LOSSES`` that have a weight, one value a face; L2 is of [-1, 1]."""
        image = self.generator.synthesize(codes).float()
        return {name: self._loss(name, image, hr * 2 - 1) for name in IMAGE_LOSSES if getattr(self.losses, name)}

    def _loss(self, name: str, image: Tensor, target: Tensor) -> Tensor:
        if name == "lpips":
            return self.frozen["lpips"](image, target).float()  # type: ignore[no-any-return]
        if name == "identity":
            return self.frozen["identity"](image / 2 + 0.5, target / 2 + 0.5)  # type: ignore[no-any-return]
        return PIXELS[name](image - target).square().mean((1, 2, 3))

    def linear_losses(self) -> LinearLosses:
        """The image losses as squared distances of features."""

        def pixels(of: Callable[[Tensor], Tensor]) -> Features:
            return lambda x: [of(x) / of(x)[0].numel() ** 0.5]

        features: dict[str, Features] = {name: pixels(of) for name, of in PIXELS.items()}
        if "lpips" in self.frozen:
            features["lpips"] = cast(LPIPS, self.frozen["lpips"]).features_of
        if "identity" in self.frozen:
            identity = cast(IdentityLoss, self.frozen["identity"])
            features["identity"] = lambda x: [identity.embed(x / 2 + 0.5) / 2**0.5]
        return LinearLosses(features, {name: getattr(self.losses, name) for name in IMAGE_LOSSES})

    def restore(self, batch: Batch) -> Tensor:
        """Images in [-1, 1] of a validation batch (which has ``lr``) or of a training batch (which has what the encoder gets of it)."""
        given = from_lr(batch["lr"], self.config.input_size) if "lr" in batch else batch["given"]
        return self.generator.synthesize(self.codes(given)).float()

    def validate(self, batch: Batch) -> dict[str, float]:
        """LPIPS, identity (cosine) and the mean squared error of the shrunk output."""
        image = self.restore(batch)
        known = [name for name in IMAGE_LOSSES if name in PIXELS or name in self.frozen]
        losses = {name: self._loss(name, image, batch["hr"] * 2 - 1) for name in known}
        factor = batch["hr"].shape[-1] // batch["lr"].shape[-1]
        shrunk = faces.degrade_batch((image / 2 + 0.5).clamp(0, 1), factor)
        scores = {"lpips": float(losses["lpips"].mean())} if "lpips" in losses else {}
        scores |= {"cosine": float(1 - losses["identity"].mean())} if "identity" in losses else {}
        return scores | {
            "l2": float(losses["l2"].mean()),
            "l2_crop": float(losses["l2_crop"].mean()),
            "epsilon": float((shrunk - batch["lr"]).square().mean()),
        }

    def preview(self, batch: Batch) -> Tensor:
        """Rows: LR as the encoder gets it, output, HR."""
        size = batch["hr"].shape[-1]
        given = from_lr(batch["lr"], size) if "lr" in batch else resize(batch["given"], size, "bilinear-pillow")
        return grid([given / 2 + 0.5, self.restore(batch) / 2 + 0.5, batch["hr"]])

    def export(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The encoder, the mean style and what they are for."""
        encoder = cast(PSPEncoder, self.modules["encoder"])
        rows = self.generator.mean_style.expand(self.generator.n_styles, -1).clone()
        tensors, told = PSPNet(encoder, self.generator, rows).tensors()
        used = {term: getattr(self.losses, term) for term in ("lpips", "consistency", "identity")}
        return tensors, {**told, "generator": self.net.generator, **losses_noted(self.losses.trunk, used, PSP, self.net.start)}


def _groups(encoder: PSPEncoder, optimiser: dict[str, Any]) -> list[dict[str, Any]]:
    """The last layers' weights are of size 1 and scaled at run time: they begin small, near the mean style, and learn twice as fast."""
    last = [block.linear.weight for block in encoder.modules() if isinstance(block, GradualStyleBlock)]
    with torch.no_grad():
        for weight in last:
            weight.mul_(0.2)
    known = {id(weight) for weight in last}
    rest = [p for p in encoder.parameters() if id(p) not in known]
    return [{"params": rest}, {"params": last, "lr": 2 * float(optimiser.get("lr", 1e-3))}] if last else [{"params": rest}]


def prepare(recipe: Recipe) -> Job:
    """Networks and data of a ``psp`` recipe."""
    table = dict(recipe.net)
    net = from_table(Net, {f.name: table.pop(f.name) for f in fields(Net) if f.name in table}, "[net]")
    generator = open_generator(net.generator)
    config = from_table(EncoderConfig, {"n_styles": generator.n_styles, "style_dim": generator.style_dim, **table}, "[net]")
    losses = from_table(PSPLosses, recipe.loss, "[loss]")
    data = from_table(PSPData, recipe.data, "[data]")
    wrong = [factor for factor in data.factors if data.size % factor]
    if wrong:
        raise FaceSRError(f"[data]: factor {wrong[0]} does not divide {data.size}: give powers of two up to {data.size}")
    _fits(generator, net.generator, config, data.size)
    objective = PSPObjective(config, generator, net, losses, recipe.optimiser)
    source = PSPFaces(data, recipe.loop.batch, recipe.loop.seed, losses.images_from, generator, config.input_size)
    held_out = faces.load_faces(data.validation, data.size) if data.validation else None
    if held_out is not None and source.real is not None:
        faces.check_apart(source.real, held_out)
    if held_out is None and not data.train and not data.synthetic:
        held_out = _drawn(source, 16)
    if net.start:
        begun = PSP.default if net.start == "default" else faces.expand(net.start)
        load_strictly(objective.modules["encoder"], part(load_tensors(begun), "encoder"), f"{begun}, as this recipe's pSp encoder")
    elif net.start_faces:
        _start(objective, source, net.start_faces)
    for module in (*objective.modules.values(), *objective.frozen.values()):
        module.to(data.device)  # the generator is the one that draws the source's faces
    if source.recombination:  # last: it may take half an hour, and what is wrong with the rest should be reported before
        _recombine(objective, source)
    elif losses.linear:
        raise FaceSRError("[loss]: linear needs the codes of real faces to be searched: add a table [data.recombined]")
    return Job(objective, source, [] if held_out is None else fixed_batches(held_out, 8))


def _fits(generator: Generator, name: str, config: EncoderConfig, size: int) -> None:
    """Codes and images are the generator's, so their sizes are no choice; a recipe that says others gets one sentence."""
    asked = (
        ("[net] n_styles", config.n_styles, generator.n_styles),
        ("[net] style_dim", config.style_dim, generator.style_dim),
        ("[data] size", size, generator.size),
    )
    if wrong := [f"{key} is {said}, and the generator's is {its}" for key, said, its in asked if said != its]:
        raise FaceSRError(f"{'; '.join(wrong)}: leave it out or give the generator's ({name}), or another [net] generator")


def _drawn(source: PSPFaces, n: int) -> faces.Faces:
    """Sampled faces to validate on, where a recipe names no images at all."""
    images, _ = source.synthetic.draw(n, torch.Generator().manual_seed(source.seed + 2))
    return faces.Faces(tuple(f"generated-{k}" for k in range(n)), to_uint8(images), np.arange(n))


def _start(objective: PSPObjective, source: PSPFaces, count: int) -> None:
    encoder = objective.modules["encoder"]
    if not isinstance(encoder, GradualStyleEncoder):
        raise FaceSRError(f"[net]: start_faces is for GradualStyleEncoder, not {objective.config.kind}")
    hr, codes = source.synthetic.first(count)
    given = source.degraded(hr, torch.Generator().manual_seed(0))
    forms = cast(StyleDistance, objective.frozen["distance"]).get_buffer("forms")
    linear_start(encoder, given, codes - objective.generator.mean_style, forms)


def _recombine(objective: PSPObjective, source: PSPFaces) -> None:
    """Search the codes of the real faces from where the encoder puts them, render others between them, and set the linear losses."""
    asked, real, generator = source.recombination, source.real, objective.generator
    assert asked is not None and real is not None
    objective.modules["encoder"].eval()

    @torch.no_grad()
    def start(images: Tensor) -> Tensor:
        return objective.codes(from_lr(images, objective.config.input_size))

    folder = faces.expand(asked.folder)
    codes, rows = search_codes(folder, real.pixels, start, generator, objective.linear_losses(), asked.steps)
    objective.frozen["linear"] = Quadratic(rows)
    source.recombined = Recombined(folder, codes, generator, asked.faces)
