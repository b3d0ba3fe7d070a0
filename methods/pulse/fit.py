"""The Gaussian of W before its last LeakyReLU: PULSE searches there, where styles are nearly normal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesr.bench.networks.checkpoints import find_state, load_strictly
from facesr.bench.weights import load_tensors
from facesr.methods.generators.base import Generator

SAMPLES = 1 << 14
"""Samples of a fit: the mean's standard error is then .8 % of a standard deviation (published: a million, on a GPU)."""


@dataclass(frozen=True)
class GaussianFit:
    """``mean`` and ``std`` (512,) of LeakyReLU(5)(w), the inverse of the mapping's last LeakyReLU(.2)."""

    mean: Tensor
    std: Tensor

    def styles(self, latent: Tensor) -> Tensor:
        """Normal ``latent`` (B, n, 512) to styles: LeakyReLU(.2)(latent·std + mean)."""
        return F.leaky_relu(latent * self.std + self.mean, 0.2)

    def to(self, device: str) -> GaussianFit:
        """The same on another device."""
        return GaussianFit(self.mean.to(device), self.std.to(device))

    @classmethod
    def read(cls, path: str | Path) -> GaussianFit:
        """PULSE's ``gaussian_fit.pt``: {'mean', 'std'}."""
        held = find_state(load_tensors(path), ("mean", "std"), str(path), "Gaussian fit (PULSE's gaussian_fit.pt)").tensors
        values = nn.Module()
        for key in ("mean", "std"):
            values.register_buffer(key, torch.zeros(512))
        load_strictly(values, held, f"{path}, as PULSE's Gaussian fit")
        return cls(values.get_buffer("mean"), values.get_buffer("std"))

    @classmethod
    def of(cls, styles: Tensor) -> GaussianFit:
        """Fit to styles (N, 512) that a mapping network gave."""
        before = F.leaky_relu(styles, 5)
        return cls(before.mean(0), before.std(0))

    @classmethod
    @torch.no_grad()
    def sample(cls, generator: Generator, samples: int = SAMPLES, seed: int = 0) -> GaussianFit:
        """Fit to ``samples`` styles of the generator's own mapping; the same numbers for the same seed."""
        where = next(generator.parameters()).device
        source = torch.Generator().manual_seed(seed)
        total, squares = torch.zeros(512, dtype=torch.float64), torch.zeros(512, dtype=torch.float64)
        for start in range(0, samples, 4096):
            z = torch.randn(min(4096, samples - start), 512, generator=source)
            before = F.leaky_relu(generator.map(z.to(where)), 5).cpu().double()
            total += before.sum(0)
            squares += before.square().sum(0)
        mean = total / samples
        variance = (squares - samples * mean.square()) / (samples - 1)
        return cls(mean.float(), variance.clamp(min=0).sqrt().float())
