"""Checkpoints: one file, whole or not at all, of tensors and plain values (loading never unpickles code)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from facesr.bench.errors import FaceSRError

FORMAT = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write beside, flush, rename: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load_checkpoint(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint of ``save``; anything else gets one sentence."""
    import pickle

    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise FaceSRError(f"{path}: no checkpoint to resume from; start without --resume") from None
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise FaceSRError(
            f"{path} cannot be read as a checkpoint ({str(error).splitlines()[0]}): delete it and start anew"
        ) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise FaceSRError(f"{path} is not a training checkpoint of this version (format {FORMAT})")
    return state
