"""What goes into pSp's encoder: a true LR face as it is, or, for reproducing the release, what its inference script makes of an image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import resize, to_tensor, to_uint8

FACTORS = (1, 2, 4, 8, 16, 32)
"""The release's ``resize_factors``."""


def from_lr(lr: Tensor, side: int = 256) -> Tensor:
    """LR faces (B, 3, h, h) in [0, 1] to the encoder's (B, 3, side, side) in [-1, 1].

    Pillow's bilinear filter, as every ``Resize((256, 256))`` of the release; equal to it within 8-bit rounding. Nothing is degraded.
    """
    return resize(lr, side, "bilinear-pillow") * 2 - 1


def degrade_published(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The release's own degradation of an 8-bit image (H, W, 3): its ``BilinearResize``, which is a bicubic filter, truncated to 8 bits.

    Factor 1 is no identity: it moves the picture by half a pixel, as published.
    """
    if factor < 1 or image.shape[0] % factor or image.shape[1] % factor:
        raise FaceSRError(
            f"An image of {image.shape[1]}x{image.shape[0]} does not shrink by {factor}; the release uses {FACTORS} on 256x256."
        )
    small = resize(to_tensor(image[None]), (image.shape[0] // factor, image.shape[1] // factor), "bicubic-pulse")
    truncated = (small.clamp(0, 1) * 255).to(torch.uint8)  # ToPILImage casts, it does not round
    return np.ascontiguousarray(truncated[0].permute(1, 2, 0).numpy())


def bilinear_resize(image: NDArray[np.uint8], side: int = 256) -> NDArray[np.uint8]:
    """Pillow's own bilinear resize of an 8-bit image (H, W, 3)."""
    from PIL import Image

    return np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def as_script(images: Tensor, factor: int, side: int = 256) -> Tensor:
    """Images (B, 3, h, h) in [0, 1] as the release's inference script feeds them: resized to 256, **degraded again** by ``factor``,
    cut to 8 bits, resized to 256; (B, 3, side, side) in [-1, 1]. For reproduction: a true LR face must not go through it.
    """
    out = [bilinear_resize(degrade_published(bilinear_resize(image, 256), factor), side) for image in to_uint8(images)]
    return to_tensor(np.stack(out)).to(images) * 2 - 1
