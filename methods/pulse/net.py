"""PULSE as a module: a generator, the Gaussian of its styles, and the search; and how its files are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.networks.exact import one_torch_thread
from facesr.methods.generators.base import Generator
from facesr.methods.generators.stylegan1 import StyleGAN1
from facesr.methods.pulse.fit import GaussianFit
from facesr.methods.pulse.search import Found, search
from facesr.methods.pulse.settings import Settings


class PULSENet(nn.Module):
    """``net(ref)``: faces (B, 3, h, h), RGB in [0, 1], to faces (B, 3, s, s) in [0, 1] that shrink to them; ``s`` is the generator's.

    ``settings`` are the defaults of every call; a call may change them by name, as the release's forward has them.
    """

    def __init__(self, generator: Generator, fit: GaussianFit, settings: Settings | None = None) -> None:
        super().__init__()
        self.generator, self.fit, self.settings = generator, fit, settings or Settings()

    def check(self, ref: Tensor) -> None:
        """Raise ``FaceSRError`` unless the generator's side is a multiple of the LR side."""
        side, own = ref.shape[-1], self.generator.size
        if side > own or own % side:
            raise FaceSRError(f"PULSE's generator makes {own}x{own} faces, which do not shrink to {side}x{side} by a whole factor.")

    def search(self, ref: Tensor, seeds: Sequence[int], **changes: Any) -> Found:
        """Everything the search found; ``seeds``: one per face."""
        self.check(ref)
        if len(seeds) != len(ref):
            raise FaceSRError(f"PULSE needs one seed per face: {len(ref)} faces, {len(seeds)} seeds.")
        settings, fit = replace(self.settings, **changes), self.fit.to(str(ref.device))
        if ref.device.type != "cpu":
            return search(self.generator, fit, ref, seeds, settings)
        with one_torch_thread():  # and one face at a time: see ``facesr.bench.networks.exact``
            return Found.together(
                [search(self.generator, fit, face, [seed], settings) for face, seed in zip(torch.split(ref, 1), seeds, strict=True)]
            )

    def forward(self, ref_im: Tensor, seed: int = 0, **changes: Any) -> Tensor:
        """The last image of each face, as published; every face starts from the same ``seed``, as it would alone."""
        return self.search(ref_im, [seed] * len(ref_im), **changes).last


def find_fit(generator: Generator, checkpoint: Path, gaussian_fit: str | Path | None = None) -> GaussianFit:
    """The Gaussian of a generator's styles: the given file, else ``gaussian_fit.pt`` beside a StyleGAN1's file, else sampled.

    Raises ``WeightsMissing`` for PULSE's synthesis network without either of its companions.
    """
    if gaussian_fit is not None:
        return GaussianFit.read(gaussian_fit)
    if isinstance(generator, StyleGAN1):
        beside = checkpoint.parent / "gaussian_fit.pt"
        if beside.is_file():
            return GaussianFit.read(beside)
        if generator.mapping is None:
            raise WeightsMissing(
                f"{checkpoint} is a synthesis network without its mapping: put gaussian_fit.pt (or mapping.pt) of the PULSE release "
                "beside it, or name it."
            )
    return GaussianFit.sample(generator)
