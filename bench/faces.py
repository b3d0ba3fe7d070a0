"""A face and a batch of faces, as methods, metrics and runs pass them around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Face:
    """One prepared HR image. ``name`` is its stem, unique in the data set (pairing is by name, never by order).

    ``landmarks``: five points (left eye, right eye, nose, left and right mouth corner, as seen in the image),
    (x, y) in pixels of the prepared image, pixel centres at integers; ``None`` where unknown. ``lr``: the face's own LR file, where LR is
    not made from HR; then ``path`` may be another photo of the person, or empty (``sha256`` is '').
    """

    name: str
    path: Path
    sha256: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    landmarks: tuple[tuple[float, float], ...] | None = None
    lr: Path | None = None
    lr_sha256: str = ""


@dataclass(frozen=True)
class Batch:
    """Faces that are measured together. ``hr`` (N, H, W, 3; see ``against``) and ``lr`` (N, h, w, 3): RGB as stored on disk, uint8; unrounded
    LR is float32 in [0, 1]."""

    faces: tuple[Face, ...]
    hr: U8
    lr: U8 | F32 | None = None
    against: Literal["hr", "person", "nothing"] = "hr"
    """What ``hr`` holds: HR, other photos of the people, or nothing."""

    def __len__(self) -> int:
        return len(self.faces)
