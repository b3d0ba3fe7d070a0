"""Training pix2pixHD as a super-resolution net: the published losses and schedule, further terms as options of the recipe.

The input is LR enlarged by MATLAB's bicubic kernel (the net keeps the size); the discriminators see it beside the image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from facesr.bench.config import BadValue, from_table
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.imaging import resize
from facesr.methods.fsrnet.method import FSRNet
from facesr.methods.pix2pixhd.checkpoint import generator as built
from facesr.methods.pix2pixhd.checkpoint import read_pix2pixhd
from facesr.methods.pix2pixhd.losses import VGG19Loss, feature_matching, gan_bce, lsgan
from facesr.methods.pix2pixhd.method import Pix2PixHD
from facesr.methods.pix2pixhd.net import GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator, Norm, initialise
from facesr.methods.pix2pixhd.stages import Judges, TwoStage, read_first
from facesr.methods.pix2pixhd.start import widen
from facesr.methods.training.data import enlarge_batch, expand
from facesr.methods.training.identity import IdentityLoss
from facesr.methods.training.job import Job, face_batches
from facesr.methods.training.objective import Batch, Objective, Phase, grid, make_optimiser, psnr_y, unwrapped
from facesr.methods.training.recipe import Recipe
from facesr.methods.training.trunks import losses_noted, lpips, tensors


@dataclass(frozen=True)
class Pix2PixHDSizes:
    """The table ``[net]``: the generator and the discriminators. The defaults are the published options."""

    kind: Literal["global", "local"] = "global"
    ngf: int = 64
    n_down: int = 4
    n_blocks: int = 9
    n_enhancers: int = 1
    n_blocks_local: int = 3
    norm: Norm = "instance"
    """The published option ``--norm``. Instance normalisation makes the output blind to the input's brightness and contrast."""
    ndf: int = 64
    n_layers: int = 3
    num_d: int = 2
    norm_d: Norm = "instance"
    boxes: tuple[tuple[int, ...], ...] = ()
    """Further small discriminators, each of one box (top, left, height, width) of the image: eyes and mouth of aligned faces."""
    ndf_boxes: int = 24
    first: str = ""
    """An FSRNet weight file whose image the generator gets and adds to (``methods/pix2pixhd/stages.py``); ``default``: this project's."""
    start: str = ""
    """A generator's weight file to begin with, of as many channels or fewer (``methods/pix2pixhd/start.py``); ``default``: this project's."""
    strength: float = 1.0
    """With ``first``: how much of what the generator adds the saved weights add. Below 1 lies between the regression's image and the game's:
    fewer dB and more detail than the one, more like the person and less harsh than the other (Wang et al. 2018, ESRGAN, section 3.4)."""

    def __post_init__(self) -> None:
        idle = [name for name in ("n_enhancers", "n_blocks_local") if getattr(self, name) != getattr(Pix2PixHDSizes, name)]
        if self.kind == "global" and idle:
            raise BadValue(f"{' and '.join(idle)} are of the local enhancer: give kind = 'local', or leave them out")
        if self.ndf_boxes != Pix2PixHDSizes.ndf_boxes and not self.boxes:
            raise BadValue("ndf_boxes is the width of the discriminators of 'boxes', and there are none: leave it out")
        if self.strength != 1 and not self.first:
            raise BadValue("strength is how much is added to the image of 'first', and there is none: leave it out")
        if not 0 < self.strength <= 1:
            raise BadValue(f"strength {self.strength} is not above 0 and at most 1")

    def generator(self) -> GlobalGenerator | LocalEnhancer:
        """Image to image, 3 channels each."""
        if self.kind == "local":
            return LocalEnhancer(3, 3, self.ngf, self.n_down, self.n_blocks, self.n_enhancers, self.n_blocks_local, self.norm)
        return GlobalGenerator(3, 3, self.ngf, self.n_down, self.n_blocks, self.norm)


TERMS = ("gan", "feature_matching", "vgg", "lpips", "l1", "consistency", "identity")


@dataclass(frozen=True)
class Pix2PixHDLosses:
    """The table ``[loss]``: weights; a term whose weight is 0 is left out. The defaults are the published ones."""

    gan: float = 1.0
    least_squares: bool = True
    """False: cross-entropy (the published option ``--no_lsgan``)."""
    feature_matching: float = 10.0
    vgg: float = 10.0
    vgg_weights: str = ""
    """torchvision's VGG19 file."""
    lpips: float = 0.0
    lpips_trunk: str = "squeeze"
    """``alex``, ``vgg`` or ``squeeze``; ``st-vgg``: shift-tolerant LPIPS on VGG16, which invites no weave."""
    lpips_weights: str = ""
    lpips_crop: int = 0
    """Compare at random crops of this side; 0: whole images. A fixed grid of strides invites patterns that only the metric likes."""
    lpips_faces: int = 0
    """How many faces of a batch this term looks at, 0: all."""
    l1: float = 0.0
    """L1 distance to HR."""
    consistency: float = 0.0
    """Mean squared error of the output, degraded again, against LR, in [0, 1]."""
    identity: float = 0.0
    identity_weights: str = ""
    """``mobilefacenet.pt``."""
    identity_faces: int = 0
    """How many faces of a batch the identity term looks at; 0: all."""
    gan_from: int = 0
    """The step at which discriminators and their terms begin."""
    fix_global: int = 0
    """With ``kind = 'local'``: so many first steps train the last enhancer only (published: ``niter_fix_global`` epochs)."""
    stages: tuple[dict[str, float], ...] = ()
    """Later weights: each table has ``from``, a step, and the terms that change there."""

    def at(self, step: int) -> Pix2PixHDLosses:
        """The weights at a step."""
        changes = {k: v for stage in self.stages if step >= stage["from"] for k, v in stage.items() if k != "from"}
        return replace(self, **changes) if changes else self  # type: ignore[arg-type]

    def ever(self, term: str) -> float:
        """The largest weight a term has at any step."""
        return max(float(getattr(self, term)), *(stage.get(term, 0.0) for stage in self.stages), 0.0)

    def __post_init__(self) -> None:
        for stage in self.stages:
            if unknown := [k for k in stage if k not in (*TERMS, "from")]:
                raise FaceSRError(f"[[loss.stages]]: no term {unknown[0]!r}: {suggest(unknown[0], TERMS)}")
            if "from" not in stage:
                raise FaceSRError("[[loss.stages]]: a stage needs 'from', the step at which it begins")


def _begun(sizes: Pix2PixHDSizes) -> nn.Module:
    """The generator as the recipe begins with it."""
    net = sizes.generator()
    initialise(net)
    held: nn.Module | None = None
    if sizes.start:
        file = Pix2PixHD.default if sizes.start == "default" else expand(sizes.start)
        held = built(read_pix2pixhd(file), str(file))
        if not isinstance(net, GlobalGenerator) or isinstance(held, LocalEnhancer):
            raise FaceSRError("[net] start works for kind = 'global' alone")
        widen(held, net)
    if not sizes.first:
        return net
    if not isinstance(net, GlobalGenerator):
        raise FaceSRError("[net] first works for kind = 'global' alone")
    assert FSRNet.default is not None
    whole = TwoStage(read_first(FSRNet.default if sizes.first == "default" else expand(sizes.first)), net)
    if not isinstance(held, TwoStage):
        whole.silence()
    return whole


class Pix2PixHDObjective(Objective):
    """Generator, then discriminators, from the same forward pass, as published."""

    def __init__(self, sizes: Pix2PixHDSizes, losses: Pix2PixHDLosses, optimisers: dict[str, Any]) -> None:
        super().__init__()
        self.sizes, self.schedule, self.losses = sizes, losses, losses
        self.verdict = lsgan if losses.least_squares else gan_bce
        generator = _begun(sizes)
        whole = MultiscaleDiscriminator(
            6, sizes.ndf, sizes.n_layers, sizes.num_d, norm=sizes.norm_d, sigmoid=not losses.least_squares
        )
        discriminator = Judges(whole, sizes.boxes, sizes.ndf_boxes, sizes.n_layers, sizes.norm_d) if sizes.boxes else whole
        initialise(discriminator)
        self.modules = {"generator": generator, "discriminator": discriminator}
        self.optimisers = {
            name: make_optimiser(optimisers[name], [p for p in module.parameters() if p.requires_grad])
            for name, module in self.modules.items()
        }
        self.averaged = ("generator",)
        if losses.ever("vgg"):
            self.frozen["vgg"] = VGG19Loss(tensors(losses.vgg_weights, "[loss] vgg_weights"))
        if losses.ever("lpips"):
            self.frozen["lpips"] = lpips(losses.lpips_trunk, losses.lpips_weights, "[loss] lpips_weights")
            self.watch = ("lpips", False)
        if losses.ever("identity"):
            self.frozen["identity"] = IdentityLoss(tensors(losses.identity_weights, "[loss] identity_weights"))

    def _global_grad(self, on: bool) -> None:
        generator = unwrapped(self.modules["generator"])
        if isinstance(generator, LocalEnhancer):
            generator.requires_grad_(on)
            for part in generator.enhancer(generator.n_enhancers):
                part.requires_grad_(True)

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """The generator's update, then the discriminators'."""
        self.losses = self.schedule.at(batch["step"])
        if self.losses.fix_global:
            self._global_grad(batch["step"] >= self.losses.fix_global)
        adversarial = batch["step"] >= self.losses.gan_from and (self.losses.gan > 0 or self.losses.feature_matching > 0)
        real, given = batch["hr"] * 2 - 1, enlarge_batch(batch["lr"], batch["hr"].shape[-1])
        fake: Tensor = self.modules["generator"](given).float()
        parts = self._image_terms(fake, real, batch)
        if not adversarial:
            yield self._generator_phase(parts)
            return
        judge = self.modules["discriminator"]
        of_real = judge(torch.cat([given, real], 1))
        # In the generator's update the discriminators take no part: no gradients for them.
        bare = unwrapped(judge).requires_grad_(False)
        of_fake = bare(torch.cat([given, fake], 1))
        bare.requires_grad_(True)
        parts["gan"] = self.losses.gan * self.verdict(_floats(of_fake), real=True)
        parts["feature_matching"] = feature_matching(
            _floats(of_fake), _floats(of_real), self.losses.feature_matching, sigmoid=not self.losses.least_squares
        )
        yield self._generator_phase(parts)
        real_term = self.verdict(_floats(of_real), real=True)
        fake_term = self.verdict(_floats(judge(torch.cat([given, fake.detach()], 1))), real=False)
        yield Phase("discriminator", (real_term + fake_term) / 2, {"d_real": real_term, "d_fake": fake_term})

    def _generator_phase(self, parts: dict[str, Tensor]) -> Phase:
        return Phase("generator", torch.stack(list(parts.values())).sum(), parts)

    def _image_terms(self, fake: Tensor, real: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms that need no discriminator."""
        weight, parts = self.losses, {}
        if weight.vgg:
            parts["vgg"] = weight.vgg * self.frozen["vgg"](fake, real).float()
        if weight.lpips:
            some = slice(weight.lpips_faces or None)
            pair = _same_crop(fake[some], real[some], weight.lpips_crop)
            parts["lpips"] = weight.lpips * self.frozen["lpips"](*pair).float().mean()
        if weight.l1:
            parts["l1"] = weight.l1 * (fake - real).abs().mean()
        if weight.consistency:
            again = resize(fake / 2 + 0.5, batch["lr"].shape[-1], "bicubic-matlab")
            parts["consistency"] = weight.consistency * (again - batch["lr"]).square().mean()
        if weight.identity:
            some = slice(weight.identity_faces or None)
            parts["identity"] = weight.identity * self.frozen["identity"](fake[some] / 2 + 0.5, real[some] / 2 + 0.5).mean()
        return parts or {"nothing": 0 * fake.sum()}

    def validate(self, batch: Batch) -> dict[str, float]:
        """PSNR-Y, and LPIPS and identity loss where the recipe has their networks; LPIPS of bicubic to compare with."""
        real, given = batch["hr"] * 2 - 1, enlarge_batch(batch["lr"], batch["hr"].shape[-1])
        fake = self.modules["generator"](given).float()
        scores = {"psnr": float(psnr_y(fake / 2 + 0.5, batch["hr"]).mean())}
        if "lpips" in self.frozen:
            scores["lpips"] = float(self.frozen["lpips"](fake, real).mean())
            scores["lpips_bicubic"] = float(self.frozen["lpips"](given, real).mean())
        if "identity" in self.frozen:
            scores["identity"] = float(self.frozen["identity"](fake / 2 + 0.5, batch["hr"]).mean())
            scores["identity_bicubic"] = float(self.frozen["identity"](given / 2 + 0.5, batch["hr"]).mean())
        return scores

    def preview(self, batch: Batch) -> Tensor:
        """Rows: bicubic, output, HR."""
        given = enlarge_batch(batch["lr"], batch["hr"].shape[-1])
        fake: Tensor = self.modules["generator"](given)
        return grid([given / 2 + 0.5, fake.float() / 2 + 0.5, batch["hr"]])

    def export(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The generator, with the published key names."""
        used = {term: self.schedule.ever(term) for term in ("lpips", "consistency", "identity")}
        told = losses_noted(self.schedule.lpips_trunk, used, Pix2PixHD, self.sizes.start)
        told |= {"sizes": json.dumps(asdict(self.sizes)), "format": "facesr pix2pixhd 1"}
        net = unwrapped(self.modules["generator"])
        return net.weaker(self.sizes.strength) if isinstance(net, TwoStage) else net.state_dict(), told


def _same_crop(a: Tensor, b: Tensor, side: int) -> tuple[Tensor, Tensor]:
    if not side or side >= a.shape[-1]:
        return a, b
    top, left = (int(torch.randint(a.shape[d] - side + 1, ())) for d in (2, 3))
    return a[:, :, top : top + side, left : left + side], b[:, :, top : top + side, left : left + side]


def _floats(outputs: list[list[Tensor]]) -> list[list[Tensor]]:
    return [[x.float() for x in scale] for scale in outputs]


def prepare(recipe: Recipe) -> Job:
    """Networks and data of a ``pix2pixhd`` recipe."""
    missing = [name for name in ("generator", "discriminator") if not isinstance(recipe.optimiser.get(name), dict)]
    if missing:
        raise FaceSRError(
            f"a pix2pixhd recipe needs the table [optimiser.{missing[0]}], e.g. name = 'adam', lr = 2e-4, betas = [0.5, 0.999]"
        )
    if strange := [name for name in recipe.optimiser if name not in ("generator", "discriminator")]:
        raise FaceSRError(
            f"[optimiser] has {strange[0]!r}: each of [optimiser.generator] and [optimiser.discriminator] has its own"
        )
    sizes, losses = from_table(Pix2PixHDSizes, recipe.net, "[net]"), from_table(Pix2PixHDLosses, recipe.loss, "[loss]")
    if losses.fix_global and sizes.kind == "global":
        raise FaceSRError(
            "[loss] fix_global trains the local enhancer alone for a while: give [net] kind = 'local', or leave it out"
        )
    objective = Pix2PixHDObjective(sizes, losses, recipe.optimiser)
    source, validation = face_batches(recipe)
    return Job(objective, source, validation)


__all__ = ["Pix2PixHDLosses", "Pix2PixHDObjective", "Pix2PixHDSizes", "prepare"]
