"""A face and a batch of faces, as methods, metrics and runs pass them around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Face:
    """One prepared HR image. ``name`` is its stem, unique in the data set (pairing is by name, never by order).

    ``landmarks``: five points (left eye, right eye, nose, left and right mouth corner, as seen in the image),
    (x, y) in pixels of the prepared image, pixel centres at integers; ``None`` where unknown.
    """

    name: str
    path: Path
    sha256: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    landmarks: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class Batch:
    """Faces that are measured together. ``hr`` (N, H, W, 3) and ``lr`` (N, h, w, 3): RGB, uint8, as stored on disk."""

    faces: tuple[Face, ...]
    hr: U8
    lr: U8 | None = None

    def __len__(self) -> int:
        return len(self.faces)
