"""The faces pSp trains on: real ones, and faces with their true W+ codes; each degraded by a random factor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from facesr.bench.config import BadValue, from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import to_tensor
from facesr.methods.generators.base import Generator
from facesr.methods.generators.synthetic import SyntheticFaces
from facesr.methods.psp.preprocess import from_lr
from facesr.methods.psp.recombine import Recombined
from facesr.methods.training import data as faces
from facesr.methods.training.generated import check_device
from facesr.methods.training.objective import Batch


@dataclass(frozen=True)
class Recombination:
    """The table ``[data.recombined]``: faces between the real ones (``facesr.methods.psp.recombine``), made once into ``folder``."""

    folder: str
    faces: int = 15000
    """Faces to render and keep; 0: new ones at every step, for a card."""
    steps: int = 10
    """Of the search for the codes of the ``[[data.train]]`` faces."""
    batch: int = 50
    """Of them in a batch."""
    found: int = 6
    """Real faces with the codes found for them in a batch."""

    def __post_init__(self) -> None:
        if min(self.faces, self.steps, self.batch, self.found) < 0:
            raise FaceSRError("[data.recombined]: faces, steps, batch and found must be at least 0")


@dataclass(frozen=True)
class PSPData:
    """The table ``[data]``. What ``real`` and ``[data.recombined]`` leave of a batch is synthetic, from W."""

    size: int = 128
    factors: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    kernel: str = "bicubic-matlab"
    real: int = 0
    """Real faces in a batch (from ``images_from`` on)."""
    augment: dict[str, Any] = field(default_factory=lambda: {"flip": True})
    """Random changes of the real faces (``facesr.methods.training.data.Augment``)."""
    recombined: dict[str, Any] = field(default_factory=dict)
    latents: str = ""
    """npz whose ``w`` row i made the synthetic face named i. Without it synthetic faces are sampled endlessly."""
    psi: tuple[float, ...] = (0.6, 1.0)
    """Truncation of endless samples, drawn between the two."""
    device: str = "cpu"
    """Where codes are searched, faces drawn and batches put together."""
    train: list[dict[str, Any]] = field(default_factory=list)
    synthetic: list[dict[str, Any]] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_device(self.device)
        if self.train and not self.real and not self.recombined:
            raise BadValue("'train' names faces that no batch takes: say with 'real' how many of a batch are, or leave it out")


class PSPFaces:
    """Real and synthetic faces, each degraded by a random factor; what a step gets depends on (seed, step, rank) only."""

    def __init__(self, data: PSPData, loop_batch: int, seed: int, images_from: int, generator: Generator, side: int) -> None:
        self.data, self.batch_size, self.seed, self.images_from, self.side = data, loop_batch, seed, images_from, side
        self.rows = generator.n_styles
        self.recombination = from_table(Recombination, data.recombined, "[data.recombined]") if data.recombined else None
        self.real = faces.load_faces(data.train, data.size) if data.real or self.recombination else None
        self.recombined: Recombined | None = None
        """Set by ``facesr.methods.psp.training.prepare``: making it takes the losses, too."""
        self.synthetic = SyntheticFaces(
            generator, generator.synthesize, sources=data.synthetic, latents=data.latents, size=data.size, psi=data.psi
        )
        self.augment = from_table(faces.Augment, data.augment, "[data.augment]")
        taken = data.real + (self.recombination.batch + self.recombination.found if self.recombination else 0)
        if taken > loop_batch:
            raise FaceSRError(f"[data]: {taken} real and recombined faces do not fit a batch of {loop_batch}")

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """``hr``, ``given`` (what the encoder gets, in [-1, 1]), ``codes`` (B, n_styles, 512) and ``known`` (B,): where they are true."""
        draw = torch.Generator().manual_seed(faces.step_seed(self.seed, step, rank))
        n_real = self.data.real if step >= self.images_from else 0
        device = self.data.device
        parts = [(self._real(n_real, draw).to(device), torch.zeros(n_real, self.rows, 512, device=device))] if n_real else []
        left = self.batch_size - n_real
        if self.recombined is not None and self.recombination is not None:
            parts += [self.recombined.draw(self.recombination.batch, draw), self._found(self.recombination.found, draw)]
            left -= self.recombination.batch + self.recombination.found
        if left:
            images, w = self.synthetic.draw(left, draw)
            parts.append((images.to(device), w[:, None].expand(-1, self.rows, -1).to(device)))
        hr, codes = (torch.cat(part) for part in zip(*parts, strict=True))
        return {"hr": hr, "given": self.degraded(hr, draw), "codes": codes, "known": torch.arange(len(hr), device=device) >= n_real}

    def degraded(self, hr: Tensor, draw: torch.Generator) -> Tensor:
        """The encoder's inputs (B, 3, side, side) in [-1, 1] for ``hr`` (B, 3, size, size) in [0, 1], a random factor a face."""
        picks = torch.randint(len(self.data.factors), (len(hr),), generator=draw)
        given = torch.empty(len(hr), 3, self.side, self.side, device=hr.device)
        for factor in sorted(set(self.data.factors)):
            rows = torch.tensor([self.data.factors[pick] == factor for pick in picks]).nonzero().flatten().to(hr.device)
            for first in range(0, len(rows), 256):  # a few hundred at a time: enlarging takes memory
                some = rows[first : first + 256]
                given[some] = encoder_input(hr[some], factor, self.data.kernel, self.side)
        return given

    def _real(self, n: int, draw: torch.Generator) -> Tensor:
        assert self.real is not None
        rows = self.real.index[torch.randint(len(self.real), (n,), generator=draw).numpy()]
        return self.augment(self.real.pixels[rows], draw)

    def _found(self, n: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        assert self.real is not None and self.recombined is not None
        rows = torch.randint(len(self.real.names), (n,), generator=draw)
        codes = self.recombined.real[rows.to(self.data.device)]
        return to_tensor(self.real.pixels[rows.numpy()]).to(codes), codes


def encoder_input(hr: Tensor, factor: int, kernel: str, side: int) -> Tensor:
    """The encoder's input (B, 3, side, side) in [-1, 1]: ``hr`` in [0, 1] degraded by ``factor``, then as the method does it."""
    return from_lr(faces.degrade_batch(hr, factor, kernel) if factor > 1 else hr, side)
