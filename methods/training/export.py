"""Weight files that a training leaves: safetensors, fp16 where asked, with the facts a loader needs as text metadata."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from bench.imaging import write_whole


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], half: bool = True) -> None:
    """Write ``tensors`` whole or not at all. ``half``: floating-point tensors as fp16 (integers stay)."""
    from safetensors.torch import save

    kind = torch.float16 if half else torch.float32
    ready = {k: (v.to(kind) if v.is_floating_point() else v).detach().cpu().contiguous() for k, v in tensors.items()}
    write_whole(path, save(ready, metadata={**metadata, "precision": "fp16" if half else "fp32"}))
