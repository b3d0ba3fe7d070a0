"""Bicubic interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facesr.bench.imaging import resize
from facesr.bench.method import Method

if TYPE_CHECKING:
    from torch import Tensor


class Bicubic(Method):
    """Bicubic interpolation, MATLAB's kernel (a = -0.5): the floor every method must beat."""

    cite = "keys1981cubic"
    batch_size = 64

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Tensor:
        """Enlarge (B, 3, h, w) to (B, 3, size, size)."""
        return resize(lr, self.size, "bicubic-matlab")
