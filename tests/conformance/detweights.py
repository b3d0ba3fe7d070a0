"""Pseudo-random weights and images that any program can rebuild: numpy's frozen legacy generator, seeded by crc32(key) ^ seed.

A recipe maps a state dict's keys to (shape, dtype, distribution, location, scale), so that a network of the published layout can be filled
with the same numbers wherever the recorded answers were made.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

KINDS = {"float32": torch.float32, "int64": torch.int64}


def draw(
    key: str,
    shape: Sequence[int],
    dtype: str = "float32",
    dist: str = "normal",
    loc: float = 0.0,
    scale: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """One tensor: ``normal`` or ``uniform`` in [0, 1), times ``scale`` plus ``loc``; or ``const``."""
    if dist == "const":
        return torch.full(tuple(shape), loc, dtype=KINDS[dtype])
    generator = np.random.RandomState((zlib.crc32(key.encode()) ^ seed) & 0xFFFFFFFF)
    count = int(np.prod(shape)) if len(shape) else 1
    values = generator.standard_normal(count) if dist == "normal" else generator.random_sample(count)
    return torch.from_numpy((loc + scale * values).astype(np.float32).reshape(tuple(shape)))


def make_state_dict(spec: Mapping[str, Sequence[Any]], seed: int = 0) -> dict[str, Tensor]:
    """The weights of a recipe."""
    return {key: draw(key, *how, seed=seed) for key, how in spec.items()}


def image(name: str, shape: Sequence[int], lo: float = -1.0, hi: float = 1.0) -> Tensor:
    """A fairly smooth random image (N, C, H, W) in [lo, hi]: coarse noise enlarged bilinearly, and fine noise."""
    batch, channels, height, width = shape
    coarse = draw(f"img.{name}", (batch, channels, max(2, height // 8), max(2, width // 8)))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False) * 0.6
    values = (smooth + 0.15 * draw(f"img.fine.{name}", shape)).clamp(-1, 1)
    return lo + (values + 1) / 2 * (hi - lo)
