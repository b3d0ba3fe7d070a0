"""What every face generator offers, whatever its architecture: PULSE searches through it, pSp decodes with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError

Noise = Sequence[Tensor] | Literal["fixed", "random"] | None
"""Per-layer noise maps (B or 1, 1, r, r), ``"random"`` for fresh ones, ``"fixed"`` or None for the stored ones."""

MEAN_SAMPLES = 4096
"""Samples for a mean style where the checkpoint holds none, as rosinality's ``mean_latent(4096)``."""


class Generator(nn.Module):
    """A face generator: z -> w -> image, with one style vector for each of ``n_styles`` layers (W+).

    ``size``: side of the image in pixels; images are (B, 3, size, size), RGB, nominal range [-1, 1], not clipped.
    """

    size: int
    n_styles: int
    style_dim: int = 512

    def __init__(self) -> None:
        super().__init__()
        self._mean_style: Tensor | None = None

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: object) -> Self:
        """The generator a published file holds, frozen and in eval mode; its layout is recognised by its keys."""
        raise NotImplementedError

    def map(self, z: Tensor) -> Tensor:
        """Styles ``w`` (B, 512) of standard normal ``z`` (B, 512)."""
        raise NotImplementedError

    def synthesize(self, w_plus: Tensor, noise: Noise = None) -> Tensor:
        """Images (B, 3, size, size) of ``w_plus`` (B, n_styles, 512), or (B, 512) for one style everywhere."""
        raise NotImplementedError

    @property
    def noise_sizes(self) -> list[int]:
        """Side of each layer's noise map, in the order ``synthesize`` takes them; empty where a net takes none."""
        return []

    @property
    def mean_style(self) -> Tensor:
        """The mean style (512,): the checkpoint's own, else the mean of 4,096 samples of a fixed seed."""
        if self._mean_style is None:
            where = next(self.parameters())
            z = torch.randn(MEAN_SAMPLES, self.style_dim, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                self._mean_style = self.map(z.to(where)).mean(0)
        return self._mean_style

    @mean_style.setter
    def mean_style(self, value: Tensor | None) -> None:
        self._mean_style = None if value is None else value.detach().reshape(-1, self.style_dim)[0]

    def _apply(self, fn, recurse: bool = True) -> Self:  # type: ignore[no-untyped-def]
        # The mean follows ``.to(device)`` like a buffer, without a key of its own in the published state dicts.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._mean_style is not None:
            self._mean_style = fn(self._mean_style)
        return self

    def truncate(self, w: Tensor, psi: float, below: int | None = None) -> Tensor:
        """Pull styles towards the mean: ``mean + psi (w - mean)``; in W+ only the rows before ``below`` if given.

        (Karras et al. 2019, appendix B.)
        """
        mean = self.mean_style.to(w)
        pulled = torch.lerp(mean.expand_as(w), w, psi)
        if below is None or w.dim() == 2:
            return pulled
        return torch.cat([pulled[:, :below], w[:, below:]], dim=1)

    def mix(self, coarse: Tensor, fine: Tensor, layer: int) -> Tensor:
        """Style mixing: W+ codes (B, n_styles, 512) with ``coarse`` in the rows before ``layer`` and ``fine`` from there on."""
        if not 0 <= layer <= self.n_styles:
            raise FaceSRError(f"style mixing at layer {layer}: this generator has layers 0 to {self.n_styles}")
        return torch.cat([self.broadcast(coarse)[:, :layer], self.broadcast(fine)[:, layer:]], dim=1)

    def broadcast(self, w: Tensor) -> Tensor:
        """W+ codes (B, n_styles, 512) from W (B, 512) or W+; refuses any other shape and non-finite numbers."""
        if w.dim() == 2:
            w = w.unsqueeze(1).expand(-1, self.n_styles, -1)
        if w.dim() != 3 or not len(w) or tuple(w.shape[1:]) != (self.n_styles, self.style_dim):
            raise FaceSRError(
                f"styles of shape {tuple(w.shape)}: give (batch, {self.style_dim}) or (batch, {self.n_styles}, {self.style_dim})"
            )
        if not torch.isfinite(w).all():
            raise FaceSRError("styles hold NaN or infinity: give finite numbers")
        return w

    def random_noise(self, batch: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Fresh noise maps (batch, 1, r, r), one per layer, on the generator's device."""
        where = next(self.parameters())
        drawn = "cpu" if generator is None else generator.device
        return [torch.randn(batch, 1, r, r, generator=generator, device=drawn).to(where) for r in self.noise_sizes]

    def forward(self, z: Tensor, psi: float = 1.0, noise: Noise = None) -> Tensor:
        """Images of ``z`` (B, 512): map, truncate by ``psi``, synthesize."""
        w = self.map(z)
        return self.synthesize(self.truncate(w, psi) if psi != 1.0 else w, noise)

    def _check_noise(self, noise: Sequence[Tensor], batch: int) -> list[Tensor]:
        sizes = self.noise_sizes
        if len(noise) != len(sizes):
            raise FaceSRError(f"{len(noise)} noise maps given: this generator takes {len(sizes)}, one per layer")
        for i, (n, r) in enumerate(zip(noise, sizes, strict=True)):
            if n.dim() != 4 or n.shape[0] not in (1, batch) or tuple(n.shape[1:]) != (1, r, r):
                raise FaceSRError(f"noise map {i} has shape {tuple(n.shape)}: give ({batch}, 1, {r}, {r})")
        return list(noise)


def check_size(size: int) -> None:
    """Refuse an image side that is no power of two from 8 to 1024."""
    if size not in (8, 16, 32, 64, 128, 256, 512, 1024):
        raise FaceSRError(f"generator size {size}: give a power of two from 8 to 1024")
