"""What the metrics' torch networks share: the device, the one place where pixels become [-1, 1], and the size of a pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor


_asked: ContextVar[str] = ContextVar("device of metric networks", default="")


@contextmanager
def on_device(name: str) -> Iterator[None]:
    """Run metric networks on the device ``name``, as a run's ``--device`` asks; without it ``device`` chooses."""
    token = _asked.set(name)
    try:
        yield
    finally:
        _asked.reset(token)


def device() -> torch.device:
    """Where metric networks run: as ``on`` says, else on the first CUDA device, else on the processor."""
    import torch

    return torch.device(_asked.get() or ("cuda" if torch.cuda.is_available() else "cpu"))


def to_network(images: NDArray[Any]) -> Tensor:
    """RGB pixels 0..255 (N, H, W, 3) as float32 (N, 3, H, W) in [-1, 1], channels last in memory, on the metrics' device."""
    import torch

    pixels, where = torch.from_numpy(np.ascontiguousarray(images)), device()
    if where.type == "cuda":  # pinned memory: the copy runs beside what the GPU still computes
        pixels = pixels.pin_memory()
    pixels = pixels.to(where, non_blocking=True)
    return pixels.permute(0, 3, 1, 2).to(torch.float32, copy=True).div_(127.5).sub_(1.0)


def ready(net: Any) -> Any:
    """A torch module frozen, in eval mode, channels last, on the metrics' device."""
    import torch

    return net.eval().requires_grad_(False).to(device(), memory_format=torch.channels_last)


@contextmanager
def exactly() -> Iterator[None]:
    """Inference without gradients, in full float32 on GPUs too: TF32 convolutions would move scores by 1e-3."""
    import torch

    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def batch_slices(n: int) -> Iterator[slice]:
    """Slices of a batch that fit a processor's cache (8 faces) or keep a GPU busy (64)."""
    step = 64 if device().type == "cuda" else 8
    return (slice(i, min(i + step, n)) for i in range(0, n, step))
