"""Nearest-neighbour enlargement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facesr.bench.imaging import resize
from facesr.bench.method import Method

if TYPE_CHECKING:
    from torch import Tensor


class Nearest(Method):
    """Each LR pixel as a block: what a MOS study shows as the example of a 1."""

    batch_size = 64

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Tensor:
        """Enlarge (B, 3, h, w) to (B, 3, size, size)."""
        return resize(lr, self.size, "nearest")
