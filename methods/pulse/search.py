"""PULSE's search (PULSE.py of the release), for several faces at once and each as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from facesr.methods.generators.base import Generator
from facesr.methods.pulse.fit import GaussianFit
from facesr.methods.pulse.loss import Loss
from facesr.methods.pulse.settings import Settings
from facesr.methods.pulse.sphere import OPTIMISERS, SphericalOptimizer, lr_factor


@dataclass(frozen=True)
class Found:
    """What a search found: ``last`` and ``best`` images (B, 3, s, s) in [0, 1] (best: of the lowest loss), and their errors (B,).

    ``history`` (steps, B): the error of D(image) against the LR face at every step, before clamping at eps.
    """

    last: Tensor
    best: Tensor
    last_error: Tensor
    best_error: Tensor
    history: Tensor

    @classmethod
    def together(cls, faces: Sequence[Found]) -> Found:
        """One ``Found`` of several of one face each."""
        last, best, last_error, best_error = (
            torch.cat([getattr(face, name) for face in faces]) for name in ("last", "best", "last_error", "best_error")
        )
        return cls(last, best, last_error, best_error, torch.cat([face.history for face in faces], 1))

    @property
    def least_error(self) -> Tensor:
        """(B,) the least error at any step: what the release compares with eps."""
        return self.history.min(0).values


def draw(generator: Generator, seeds: Sequence[int], settings: Settings) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Start of a search: the latent (B, n or 1, 512), every noise map, and those among them that are optimised.

    Each face has its own random stream on the CPU, in the published order (latent, noise 0, 1, ...; a zero map draws nothing): face i
    starts as the release does on a CPU after ``torch.manual_seed(seeds[i])``.
    """
    device = next(generator.parameters()).device
    rows = 1 if settings.tile_latent else generator.n_styles
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def normal(*shape: int) -> Tensor:
        return torch.cat([torch.randn(1, *shape, generator=stream) for stream in streams]).to(device)

    latent = normal(rows, 512).requires_grad_()
    noise, trained = [], []
    sizes = [] if settings.noise_type == "stored" else generator.noise_sizes
    for layer, side in enumerate(sizes):
        if settings.noise_type == "zero" or layer in settings.bad_layers:
            noise.append(torch.zeros(len(seeds), 1, side, side, device=device))
            continue
        noise.append(normal(1, side, side))
        if settings.noise_type == "trainable" and layer < settings.num_trainable_noise_layers:
            trained.append(noise[-1].requires_grad_())
    return latent, noise, trained


def search(generator: Generator, fit: GaussianFit, ref: Tensor, seeds: Sequence[int], settings: Settings) -> Found:
    """Search a face for each of ``ref`` (B, 3, h, h), RGB in [0, 1]; ``seeds``: one per face.

    The loss of each face is its own, their sum is differentiated, and every optimiser here works number by number: so a face does
    not feel the others of its batch.
    """
    latent, noise, trained = draw(generator, seeds, settings)
    sphere = SphericalOptimizer(OPTIMISERS[settings.opt_name], [latent, *trained], lr=settings.learning_rate)
    scheduler = LambdaLR(sphere.opt, lr_factor(settings.lr_schedule, settings.steps))
    loss = Loss(ref, settings.loss_str, settings.eps, settings.kernel)
    lowest = ref.new_full((len(ref),), torch.inf)
    best, best_error, history = ref.new_empty(0), lowest.clone(), []
    for _ in range(settings.steps):
        sphere.opt.zero_grad()
        codes = fit.styles(latent.expand(-1, generator.n_styles, -1))
        with _precision(ref, settings.bf16):
            images = (generator.synthesize(codes, noise or None) + 1) / 2
        total, _, error = loss(codes if latent.shape[1] > 1 else codes[:, :1], images)
        total.sum().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            better = total < lowest
            lowest = torch.where(better, total, lowest)
            best = torch.where(better[:, None, None, None], images, best) if best.numel() else images.clone()
            best_error = torch.where(better, error, best_error)
            history.append(error)
        sphere.step()
        scheduler.step()
    return Found(images.detach().float().clamp(0, 1), best.detach().float().clamp(0, 1), error, best_error, torch.stack(history))


def _precision(ref: Tensor, bf16: bool) -> AbstractContextManager[object]:
    return torch.autocast(ref.device.type, dtype=torch.bfloat16) if bf16 else nullcontext()
