"""Carry the oracles' figures into ``vectors/``: ``PYTHONPATH=tests python -m conformance.carry FOLDER``, the folder of the recorded files.

An oracle is a published implementation's answer to pseudo-random inputs with pseudo-random weights. Weights are a recipe (names, shapes, a
seed), so a file holds figures only. Inputs are kept whole, or as a recipe too where they are large; of large outputs ``SAMPLES`` fixed positions
are kept, the rest reads as NaN.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conformance import SAMPLES, VECTORS, mixed, positions

FIRST_FACE = ("arcface_ir_se50", "insightface_iresnet18", "psp_parts")
"""Networks whose answer to a face does not depend on the other of the two."""

MIXED = {"psp_id_loss": {"y_hat": {"idyh": 1.0}, "y": {"idyh": 0.8, "idy": 0.2}, "x": {"idx": 1.0}}}
"""Inputs that are sums of pseudo-random images: the share of each image, by its name."""


def save(file: Path, arrays: dict[str, Any]) -> None:
    """As ``numpy.savez_compressed``, with LZMA, which is 4 % smaller here; ``numpy.load`` reads either."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as held:
        for name, array in arrays.items():
            with held.open(f"{name}.npy", "w") as out:
                np.lib.format.write_array(out, array)


def flatten(value: Any, place: str, arrays: dict[str, Any], least: int = 2 * SAMPLES) -> Any:
    """``value`` as JSON, its tensors put into ``arrays`` by place."""
    if isinstance(value, dict):
        return {k: flatten(v, f"{place}/{k}", arrays, least) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [flatten(v, f"{place}/{i}", arrays, least) for i, v in enumerate(value)]
    if not isinstance(value, torch.Tensor):
        return value
    array = value.numpy()
    whole = not place.startswith("outputs") or array.size <= least
    arrays[place] = array if whole else array.ravel()[positions(place, array.size)]
    return {"tensor": place, "shape": list(array.shape), "whole": whole}


def carry(file: Path) -> None:
    """One oracle."""
    held = torch.load(file, weights_only=True)
    arrays: dict[str, Any] = {}
    if file.stem in FIRST_FACE:
        held["inputs"], held["outputs"] = (
            {k: v[:1] if torch.is_tensor(v) and v.ndim and len(v) == 2 else v for k, v in held[s].items()}
            for s in ("inputs", "outputs")
        )
    small = file.stat().st_size < 50_000
    for key, shares in MIXED.get(file.stem, {}).items():
        recipe = {"mixed": shares, "shape": list(held["inputs"][key].shape)}
        torch.testing.assert_close(mixed(recipe), held["inputs"][key], atol=1e-6, rtol=0)
        held["inputs"][key] = recipe
    index = {k: flatten(v, k, arrays, 10**9 if small else 2 * SAMPLES) for k, v in held.items()}
    save(VECTORS / f"{file.stem}.npz", {"index": np.frombuffer(json.dumps(index).encode(), np.uint8), **arrays})


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*.pt")):
        carry(path)
