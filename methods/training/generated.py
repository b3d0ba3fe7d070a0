"""Training faces that a generator draws: new ones at every step, alone or beside photographs. Nobody's portrait, and no folder needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Interval
from torch import Tensor

from facesr.bench.config import BadValue, Natural
from facesr.bench.imaging import resize, to_uint8
from facesr.methods.generators.opening import open_generator
from facesr.methods.generators.synthetic import SyntheticFaces
from facesr.methods.training import data as faces
from facesr.methods.training.objective import Batch


def check_device(name: str) -> None:
    """Raise ``BadValue`` for a device that torch does not know or this machine does not have."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without CUDA
        raise BadValue(
            f"device {name!r} cannot be had here ({str(error).splitlines()[0]}): use cpu, or cuda where there is one"
        ) from None


@dataclass(frozen=True)
class Generated:
    """The table ``[data.generated]``."""

    generator: str = "mobilestylegan128"
    """A generator by name or file, as for PULSE's ``prior``."""
    share: Annotated[float, Gt(0), Interval(le=1)] = 0.5
    """Of each batch, where there are photographs too; without them all faces are drawn."""
    held_out: Natural = 16
    """Faces drawn for validation where the recipe names none."""
    psi: tuple[float, ...] = (0.6, 1.0)
    """Truncation, drawn between the two."""
    device: str = "cpu"
    """Where they are drawn."""

    def __post_init__(self) -> None:
        check_device(self.device)
        if len(self.psi) != 2 or not 0 <= self.psi[0] <= self.psi[1]:
            raise BadValue(f"psi is {list(self.psi)}: give two rising numbers, such as [0.6, 1.0]")


class GeneratedBatches:
    """``share`` of each batch drawn anew, the rest from ``real``; a step's batch depends on (seed, step, rank) only."""

    def __init__(
        self,
        options: Generated,
        real: faces.FaceBatches | None,
        batch: int,
        size: int,
        factor: int,
        augment: faces.Augment,
        seed: int,
    ) -> None:
        generator = open_generator(options.generator).to(options.device)
        self.drawn = SyntheticFaces(generator, self._rendered, sources=[], latents="", size=size, psi=options.psi)
        self.real, self.batch_size, self.size, self.factor = real, batch, size, factor
        self.augment, self.seed = augment, seed

    def _rendered(self, w: Tensor) -> Tensor:
        images: Tensor = self.drawn.generator.synthesize(w).float()
        return images if images.shape[-1] == self.size else resize(images, self.size, "box")

    def faces(self, n: int, random: torch.Generator) -> faces.Faces:
        """``n`` new faces, as 8-bit images."""
        images, _ = self.drawn.draw(n, random)
        return faces.Faces(tuple(f"generated-{k}" for k in range(n)), to_uint8(images), torch.arange(n).numpy())

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """As ``FaceBatches.batch``, photographs first; ``rows`` of drawn faces are -1."""
        held = self.real.batch(step, rank, world) if self.real is not None else None
        random = torch.Generator().manual_seed(faces.step_seed(self.seed + 1, step, rank))
        drawn = self.faces(self.batch_size - (len(held["names"]) if held else 0), random)
        hr, placement = self.augment.placed(drawn.pixels, random)
        fresh: Batch = {
            "hr": hr, "lr": faces.degrade_batch(hr, self.factor), "names": list(drawn.names), "rows": [-1] * len(hr), **placement._asdict()
        }  # fmt: skip
        if held is None:
            return fresh
        return {k: torch.cat([held[k], v]) if isinstance(v, Tensor) else held[k] + v for k, v in fresh.items()}
