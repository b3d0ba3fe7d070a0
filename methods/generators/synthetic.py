"""Synthetic training faces with the code that made each: from files kept beside their codes, or sampled without end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.methods.generators.base import Generator
from facesr.methods.training import data as faces


def read_codes(path: str) -> Tensor:
    """``w`` (N, 512) of an npz whose row i made the face named i."""
    file = faces.expand(path)
    try:
        with np.load(file) as held:
            return torch.from_numpy(held["w"].astype(np.float32))
    except (OSError, KeyError, ValueError) as error:
        raise FaceSRError(f"{file}: cannot be read as codes of synthetic faces ({error})") from None


class SyntheticFaces:
    """``draw`` gives faces (n, 3, size, size) in [0, 1] and their codes (n, 512).

    ``sources``: tables that name image files, whose stems are their rows in ``latents``, an npz. Without them z is drawn, mapped by
    ``generator``, truncated by a ψ between the two of ``psi`` and rendered by ``render``, which takes W and gives images in [-1, 1].
    """

    def __init__(
        self,
        generator: Generator,
        render: Callable[[Tensor], Tensor],
        *,
        sources: list[dict[str, Any]],
        latents: str,
        size: int,
        psi: tuple[float, ...] = (0.6, 1.0),
    ) -> None:
        if bool(sources) != bool(latents):
            raise FaceSRError("[[data.synthetic]] faces and data.latents, the npz of their codes, go together: give both or none")
        self.generator, self.render, self.psi = generator, render, psi
        self.files = faces.load_faces(sources, size) if sources else None
        self.codes = read_codes(latents) if latents else None

    def draw(self, n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` faces and codes, a pure function of ``random``'s state."""
        if self.files is None or self.codes is None:
            return self._sample(n, random)
        rows = torch.randint(len(self.files), (n,), generator=random).tolist()
        images = torch.from_numpy(self.files.pixels[rows]).permute(0, 3, 1, 2).float() / 255
        return images, self.codes[[int(self.files.names[row]) for row in rows]]

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        """The first ``n`` faces and codes (fewer where there are fewer files)."""
        if self.files is None or self.codes is None:
            return self.draw(n, torch.Generator().manual_seed(0))
        images = torch.from_numpy(self.files.pixels[:n]).permute(0, 3, 1, 2).float() / 255
        return images, self.codes[[int(name) for name in self.files.names[:n]]]

    @torch.no_grad()
    def _sample(self, n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        low, high = self.psi
        psi = low + (high - low) * torch.rand(n, 1, generator=random)
        mean = self.generator.mean_style  # wherever the loop has put the generator
        z = torch.randn(n, self.generator.style_dim, generator=random).to(mean)
        w = mean + psi.to(mean) * (self.generator.map(z) - mean)
        return self.render(w).add(1).div(2).clamp(0, 1).cpu(), w.cpu()
