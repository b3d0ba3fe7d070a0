"""Figures of published implementations, carried here so that every clone can check against them (``ORIGIN.md`` says whose they are)."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conformance.detweights import image, make_state_dict

VECTORS = Path(__file__).with_name("vectors")
SAMPLES = 400
"""Positions kept of an output of more than twice as many numbers."""


def positions(place: str, size: int) -> np.ndarray[Any, Any]:
    """The positions kept of an output of ``size`` numbers; ``place`` is its path in the oracle."""
    return np.sort(np.random.default_rng(zlib.crc32(place.encode())).choice(size, SAMPLES, replace=False))


def recorded(name: str) -> dict[str, Any]:
    """An oracle: ``meta``, ``inputs``, ``outputs`` and the rebuilt ``state_dict``. Of large outputs, all but the kept numbers are NaN."""
    with np.load(VECTORS / f"{name}.npz") as held:
        arrays = dict(held)
    known: dict[str, Any] = _whole(json.loads(arrays["index"].tobytes()), arrays)
    if "spec" in known and "state_dict" not in known:
        known["state_dict"] = make_state_dict(known["spec"], known["seed"])
        for key, other in known["inputs"].get("alias", {}).items():
            known["state_dict"][key] = known["state_dict"][other]
    return known


def mixed(recipe: dict[str, Any]) -> torch.Tensor:
    """A sum of pseudo-random images in [-1, 1], by their names and shares."""
    parts = [share * image(name, recipe["shape"]) for name, share in recipe["mixed"].items()]
    return torch.stack(parts).sum(0)


def _whole(value: Any, arrays: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_whole(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"mixed", "shape"}:
        return mixed(value)
    if set(value) != {"tensor", "shape", "whole"}:
        return {k: _whole(v, arrays) for k, v in value.items()}
    array = arrays[value["tensor"]]
    if not value["whole"]:
        full = np.full(int(np.prod(value["shape"])), np.nan, np.float64 if array.dtype == np.float64 else np.float32)
        full[positions(value["tensor"], full.size)] = array
        array = full
    return torch.from_numpy(array.reshape(value["shape"]))


def agrees(got: Any, want: Any, **tolerance: float) -> None:
    """``torch.testing.assert_close`` at the numbers of ``want`` that were kept; shapes must be equal."""
    want = torch.as_tensor(want)
    got = torch.as_tensor(got)
    assert got.shape == want.shape, f"{tuple(got.shape)} is not {tuple(want.shape)}"
    if not want.is_floating_point():
        return torch.testing.assert_close(got, want, **tolerance)
    kept = ~want.isnan()
    assert kept.any()
    torch.testing.assert_close(got[kept].to(want.dtype), want[kept], **tolerance)
    return None
