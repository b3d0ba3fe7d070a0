"""The LR faces a learned method is given: what is checked of them, before any work, and the seed of each."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError


def check_lr(lr: Tensor, method: str, names: tuple[str, ...] | list[str] = ()) -> Tensor:
    """``lr`` (B, 3, h, h), RGB in [0, 1], as float32; raises ``FaceSRError`` for anything else (grey, empty, NaN, other ranges)."""
    if not isinstance(lr, Tensor) or lr.ndim != 4:
        shape = tuple(lr.shape) if isinstance(lr, Tensor) else type(lr).__name__
        raise FaceSRError(f"{method} takes a batch (B, 3, h, h) of LR faces, not {shape}.")
    problems = []
    if len(lr) == 0:
        problems.append("the batch is empty")
    if lr.shape[1] != 3:
        problems.append(f"{lr.shape[1]} channel{'s' * (lr.shape[1] != 1)} instead of RGB's 3")
    if lr.shape[2] != lr.shape[3] or lr.shape[2] == 0:
        problems.append(f"{lr.shape[3]}x{lr.shape[2]} pixels, which is not a square")
    if not lr.is_floating_point():
        problems.append(f"numbers of type {str(lr.dtype).removeprefix('torch.')} instead of floats in [0, 1]")
    elif not torch.isfinite(lr).all():
        problems.append("NaN or infinity")
    elif lr.numel() and (lr.min() < -1e-3 or lr.max() > 1 + 1e-3):
        problems.append(f"values from {float(lr.min()):.3g} to {float(lr.max()):.3g} instead of [0, 1]")
    if names and len(names) != len(lr):
        problems.append(f"{len(lr)} faces but {len(names)} names")
    if problems:
        raise FaceSRError(f"{method} cannot use these LR faces: {'; '.join(problems)}.")
    return lr.float()


def face_seed(seed: int, name: str) -> int:
    """A face's own seed: neither the order nor the size of a batch enters it."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "little")
