"""Devices by the name that ``--device`` takes."""

from __future__ import annotations

from facesr.bench.errors import FaceSRError, suggest


def gpus(device: str) -> list[int] | None:
    """Numbers of the GPUs that ``cuda`` (all of them), ``cuda:1`` or ``cuda:0,1`` names; None for the processor or another device."""
    kind, colon, numbers = device.partition(":")
    if kind != "cuda":
        if device not in ("cpu", "mps"):
            raise FaceSRError(f"--device {device}: {suggest(device, ('cpu', 'cuda', 'cuda:0', 'mps'))}")
        return None
    import torch

    there = torch.cuda.device_count()
    named = numbers.split(",") if colon else [str(n) for n in range(there)]
    if not named or not all(n.isdigit() and int(n) < there for n in named):
        raise FaceSRError(
            f"--device {device}: this machine has {there} CUDA devices; write it as cuda, cuda:0 or cuda:0,1, or use cpu"
        )
    return [int(n) for n in named]
