"""Faces to train on, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facesr.bench.imaging import resize8, write_png


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten smooth pictures of 32 pixels."""
    path = tmp_path_factory.mktemp("faces")
    noise = np.random.default_rng(0)
    for i in range(10):
        coarse = noise.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        write_png(path / f"{i:02d}.png", resize8(coarse, 32, "bicubic-matlab"))
    return path
