"""Weight files that a training leaves: safetensors, fp16 where asked, with the facts a loader needs as text metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facesr.bench.imaging import write_whole

KEY = "facesr"
"""The metadata entry: a JSON object."""


def write_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], half: bool = True) -> None:
    """Write ``tensors`` whole or not at all. ``half``: matrices and kernels as fp16 (vectors and integers stay)."""
    from safetensors.torch import save

    kind = torch.float16 if half else torch.float32
    # One entry: safetensors writes several in no fixed order, and the same training should give the same file.
    about = json.dumps({**metadata, "precision": "fp16" if half else "fp32"}, sort_keys=True)
    # Vectors (biases, norms and their statistics, small variances above all) stay as they are: they are few, and count.
    ready = {
        k: (v.to(kind) if v.is_floating_point() and v.dim() > 1 else v).detach().cpu().contiguous() for k, v in tensors.items()
    }
    write_whole(path, save(ready, metadata={KEY: about}))


def about(path: Path) -> dict[str, Any]:
    """What ``write`` noted in a weight file; empty for other files."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as opened:
        held: dict[str, Any] = json.loads((opened.metadata() or {}).get(KEY, "{}"))
    return held
