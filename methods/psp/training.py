"""Training pSp: the published losses and degradations, with the true latent of synthetic faces as extra supervision.

As in the paper, LR inputs come from a random factor, the target is the full-resolution face and the generator is fixed. What is
added serves small budgets: synthetic faces come with the W+ code that made them, so the encoder first learns codes alone (no
generator in the loop, ten times cheaper a step), then through the generator too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.errors import FaceSRError
from bench.networks.irse import load_strictly
from bench.networks.lpips import LPIPS
from bench.weights import load_tensors
from methods.generators.base import Generator
from methods.generators.mobilestylegan import Layer, Modulation, Trunk
from methods.generators.synthetic import SyntheticFaces
from methods.losses.psp import crop, w_norm
from methods.losses.ranger import Ranger
from methods.priors import open_generator
from methods.psp.checkpoint import part
from methods.psp.encoders import Encoder, EncoderConfig, GradualStyleBlock, GradualStyleEncoder, build
from methods.psp.net import PSPNet
from methods.psp.preprocess import from_lr
from methods.psp.start import linear_start
from methods.training import data as faces
from methods.training.identity import IdentityLoss
from methods.training.job import Job, fixed_batches
from methods.training.objective import OPTIMISERS, Batch, Objective, Phase, grid, make_optimiser
from methods.training.recipe import Recipe, fill

OPTIMISERS.setdefault("ranger", Ranger)
IMAGE_LOSSES = ("l2", "l2_crop", "lpips", "identity")


@dataclass(frozen=True)
class Net:
    """What the table ``[net]`` says beside the encoder's sizes (``EncoderConfig``)."""

    generator: str = "mobilestylegan128"
    start_faces: int = 0
    """Synthetic faces for a closed-form start (``methods.psp.start``); 0 starts from random weights."""
    start: str = ""
    """Weights of an earlier training to begin with, in place of either."""
    frozen_norms: bool = False
    """Keep the running statistics of batch norm as the start found them."""


@dataclass(frozen=True)
class Losses:
    """The table ``[loss]``: the lambdas of README.md of the released model, and of the latent supervision."""

    l2: float = 1.0
    l2_crop: float = 0.0
    """The same within the published inner face (``methods.losses.psp.crop``)."""
    lpips: float = 0.8
    identity: float = 0.1
    w_norm: float = 0.005
    latent: float = 0.0
    """Squared error of the styles that the generator's layers make of the codes, in units of their variance; synthetic faces only."""
    trunk: str = "alex"
    trunk_weights: str = ""
    identity_weights: str = ""
    images_from: int = 0
    """Step from which on the generator takes part; before, the latent is all."""
    images: int = 0
    """Faces of a batch that go through the generator, the first ones (the real faces come first); 0: all."""


@dataclass(frozen=True)
class Data:
    """The table ``[data]``."""

    size: int = 128
    factors: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    kernel: str = "bicubic-matlab"
    real: int = 0
    """Real faces in a batch (from ``images_from`` on)."""
    augment: dict[str, Any] = field(default_factory=lambda: {"flip": True})
    """Random changes of the real faces (``methods.training.data.Augment``)."""
    latents: str = ""
    """npz whose ``w`` row i made the synthetic face named i. Without it synthetic faces are sampled endlessly."""
    psi: tuple[float, ...] = (0.6, 1.0)
    """Truncation of endless samples, drawn between the two."""
    train: list[dict[str, Any]] = field(default_factory=list)
    synthetic: list[dict[str, Any]] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)


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


class PSPFaces:
    """Real and synthetic faces, each degraded by a random factor; what a step gets depends on (seed, step, rank) only."""

    def __init__(self, data: Data, loop_batch: int, seed: int, images_from: int, generator: Generator, side: int) -> None:
        self.data, self.batch_size, self.seed, self.images_from, self.side = data, loop_batch, seed, images_from, side
        self.real = faces.load(data.train, data.size) if data.real else None
        self.synthetic = SyntheticFaces(
            generator, generator.synthesize, sources=data.synthetic, latents=data.latents, size=data.size, psi=data.psi
        )
        self.augment = fill(faces.Augment, data.augment, "[data.augment]")
        if data.real > loop_batch or (data.real and not data.train):
            raise FaceSRError(f"data.real is {data.real}: it takes [[data.train]] faces and a batch of at least as many")

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """``hr``, ``given`` (what the encoder gets, in [-1, 1]), ``codes`` (B, 512) and ``known`` (B,): where they are true."""
        draw = torch.Generator().manual_seed(faces.step_seed(self.seed, step, rank))
        n_real = self.data.real if self.real is not None and step >= self.images_from else 0
        parts = [(self._real(n_real, draw), torch.zeros(n_real, 512))] if n_real else []
        if self.batch_size > n_real:
            parts.append(self.synthetic.draw(self.batch_size - n_real, draw))
        hr, codes = (torch.cat(part) for part in zip(*parts, strict=True))
        return {"hr": hr, "given": self.degraded(hr, draw), "codes": codes, "known": torch.arange(len(hr)) >= n_real}

    def degraded(self, hr: Tensor, draw: torch.Generator) -> Tensor:
        """The encoder's inputs (B, 3, side, side) in [-1, 1] for ``hr`` (B, 3, size, size) in [0, 1], a random factor a face."""
        picks = torch.randint(len(self.data.factors), (len(hr),), generator=draw)
        given = torch.empty(len(hr), 3, self.side, self.side)
        for index, factor in enumerate(self.data.factors):
            rows = (picks == index).nonzero().flatten()
            for first in range(0, len(rows), 256):  # a few hundred at a time: enlarging takes memory
                some = rows[first : first + 256]
                given[some] = enlarge(hr[some], factor, self.data.kernel, self.side)
        return given

    def _real(self, n: int, draw: torch.Generator) -> Tensor:
        assert self.real is not None
        rows = self.real.index[torch.randint(len(self.real), (n,), generator=draw).numpy()]
        return self.augment(self.real.pixels[rows], draw)


def enlarge(hr: Tensor, factor: int, kernel: str, side: int) -> Tensor:
    """The encoder's input (B, 3, side, side) in [-1, 1]: ``hr`` in [0, 1] degraded by ``factor``, then as the method does it."""
    return from_lr(faces.degrade(hr, factor, kernel) if factor > 1 else hr, side)


class PSPObjective(Objective):
    """Latent, L2, LPIPS, identity and w-norm of a small pSp; only the encoder is trained."""

    watch = ("lpips", False)

    def __init__(self, config: EncoderConfig, generator: Generator, net: Net, losses: Losses, optimiser: dict[str, Any]) -> None:
        super().__init__()
        self.losses, self.net = losses, net
        encoder = build(config)
        self.modules = {"encoder": encoder}
        self.optimisers = {"encoder": make_optimiser(optimiser, _groups(encoder, optimiser))}
        self.averaged = ("encoder",)
        self.config = config
        self.frozen = {"generator": generator, "distance": StyleDistance(generator)}
        self.frozen["lpips"] = LPIPS(losses.trunk, load_tensors(faces.expand(losses.trunk_weights)))  # type: ignore[arg-type]
        self.frozen["identity"] = IdentityLoss(load_tensors(faces.expand(losses.identity_weights)))

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
            parts["latent"] = self.frozen["distance"](codes[known], batch["codes"][known][:, None]).mean()
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
        if name == "l2":
            return (image - target).square().mean((1, 2, 3))
        if name == "l2_crop":
            return crop(image - target).square().mean((1, 2, 3))
        if name == "lpips":
            return self.frozen["lpips"](image, target).float()  # type: ignore[no-any-return]
        return self.frozen["identity"](image / 2 + 0.5, target / 2 + 0.5)  # type: ignore[no-any-return]

    def restore(self, batch: Batch) -> Tensor:
        """Images in [-1, 1] of a validation batch."""
        return self.generator.synthesize(self.codes(from_lr(batch["lr"], self.config.input_size))).float()

    def validate(self, batch: Batch) -> dict[str, float]:
        """LPIPS, identity (cosine) and the mean squared error of the shrunk output."""
        image = self.restore(batch)
        losses = {name: self._loss(name, image, batch["hr"] * 2 - 1) for name in IMAGE_LOSSES}
        factor = batch["hr"].shape[-1] // batch["lr"].shape[-1]
        shrunk = faces.degrade((image / 2 + 0.5).clamp(0, 1), factor)
        return {
            "lpips": float(losses["lpips"].mean()),
            "cosine": float(1 - losses["identity"].mean()),
            "l2": float(losses["l2"].mean()),
            "l2_crop": float(losses["l2_crop"].mean()),
            "epsilon": float((shrunk - batch["lr"]).square().mean()),
        }

    def preview(self, batch: Batch) -> Tensor:
        """Rows: LR as the encoder gets it, output, HR."""
        size = batch["hr"].shape[-1]
        return grid([from_lr(batch["lr"], size) / 2 + 0.5, self.restore(batch) / 2 + 0.5, batch["hr"]])

    def export(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The encoder, the mean style and what they are for."""
        encoder = cast(Encoder, self.modules["encoder"])
        rows = self.generator.mean_style.expand(self.generator.n_styles, -1).clone()
        tensors, told = PSPNet(encoder, self.generator, rows).tensors()
        return tensors, {**told, "generator": self.net.generator}


def _groups(encoder: Encoder, optimiser: dict[str, Any]) -> list[dict[str, Any]]:
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
    net = fill(Net, {f.name: table.pop(f.name) for f in fields(Net) if f.name in table}, "[net]")
    generator = open_generator(net.generator)
    config = fill(EncoderConfig, {"n_styles": generator.n_styles, **table}, "[net]")
    losses = fill(Losses, recipe.loss, "[loss]")
    data = fill(Data, recipe.data, "[data]")
    wrong = [factor for factor in data.factors if data.size % factor]
    if wrong:
        raise FaceSRError(f"[data]: factor {wrong[0]} does not divide {data.size}: give powers of two up to {data.size}")
    objective = PSPObjective(config, generator, net, losses, recipe.optimiser)
    source = PSPFaces(data, recipe.loop.batch, recipe.loop.seed, losses.images_from, generator, config.input_size)
    if net.start:
        load_strictly(objective.modules["encoder"], part(load_tensors(faces.expand(net.start)), "encoder"), "pSp encoder")
    elif net.start_faces:
        _start(objective, source, net.start_faces)
    held_out = faces.load(data.validation, data.size) if data.validation else None
    return Job(objective, source, [] if held_out is None else fixed_batches(held_out, 8))


def _start(objective: PSPObjective, source: PSPFaces, count: int) -> None:
    encoder = objective.modules["encoder"]
    if not isinstance(encoder, GradualStyleEncoder):
        raise FaceSRError(f"[net]: start_faces is for GradualStyleEncoder, not {objective.config.kind}")
    hr, codes = source.synthetic.first(count)
    given = source.degraded(hr, torch.Generator().manual_seed(0))
    forms = cast(StyleDistance, objective.frozen["distance"]).get_buffer("forms")
    linear_start(encoder, given, codes - objective.generator.mean_style, forms)
