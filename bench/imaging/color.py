"""Colour spaces: RGB to studio-range BT.601 luma, the Y of super-resolution papers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def luma(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Y in 16..235 of 8-bit RGB (..., 3), MATLAB's ``rgb2ycbcr``: 16 + 65.481 R + 128.553 G + 24.966 B for [0, 1]; (..., 1), not rounded.

    The casts follow BasicSR's ``to_y_channel``, so that PSNR-Y agrees with it to 1e-9 dB.
    """
    y = images.astype(np.float32) / np.float32(255) @ np.array([65.481, 128.553, 24.966]) + 16.0
    scaled: NDArray[np.float32] = (y / 255.0).astype(np.float32) * np.float32(255)
    return scaled[..., None]
