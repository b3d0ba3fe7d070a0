"""StyleGAN's published files: PULSE's ``synthesis.pt`` and ``mapping.pt``, and lernapparat's ``for_g_all``; to ours and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import find_state, load_strictly
from facesr.bench.weights import find_weight, load_tensors
from facesr.methods.generators.ops import make_kernel

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYOUTS = ("pulse", "lernapparat")
_OPTIONAL = ".intermediate.kernel"


def read_stylegan1(path: str | Path, mapping: str | Path | None = None) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """(synthesis, mapping or None) of ``path``; PULSE's ``mapping.pt`` comes from ``mapping``, else from beside ``path`` where it lies there."""
    synthesis, mapped = split(load_tensors(path), path)
    beside = find_weight(path).with_name("mapping.pt")
    if mapped is None and (mapping is not None or beside.is_file()):
        given = mapping or beside
        mapped = find_state(load_tensors(given), ("dense0.",), str(given), "StyleGAN mapping network").tensors
    return synthesis, mapped


def split(tree: Mapping[str, Any], path: str | Path) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """(synthesis, mapping or None) under PULSE's names, from a file of either layout."""
    hint = "; it is the mapping network, give synthesis.pt with mapping= this" if "dense0.weight" in tree else ""
    what = f"StyleGAN synthesis network of a known layout ({', '.join(LAYOUTS)}){hint}"
    found = find_state(tree, ("torgb.", "g_synthesis."), str(path), what).tensors
    if any(key.startswith("torgb.") for key in found):
        return found, None
    parts = {part: _part(found, f"g_{part}.") for part in ("synthesis", "mapping")}
    synthesis = {re.sub(r"\.top_epi\.noise\.", ".noise.", key): value for key, value in parts["synthesis"].items()}
    return synthesis, parts["mapping"] or None


def _part(tree: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tree.items() if key.startswith(prefix)}


def size_of(synthesis: Mapping[str, Tensor]) -> int:
    """Side of the images that ``synthesis`` makes."""
    sides = [int(match[1]) for key in synthesis if (match := re.match(r"blocks\.(\d{1,4})x\d+\.", key))]
    return max(sides, default=0)


def fill_stylegan1(net: nn.Module, given: Mapping[str, Tensor], path: str | Path) -> None:
    """Load ``given`` strictly; blur kernels may be missing and must be the published one."""
    blur = make_kernel((1.0, 2.0, 1.0))[None, None]
    for key in given:
        if key.endswith(_OPTIONAL) and (given[key].shape != blur.shape or not torch.allclose(given[key].float(), blur, atol=1e-6)):
            raise FaceSRError(f"{path}: {key} is not the published blur [1, 2, 1]")
    load_strictly(net, given, f"{path}, as a StyleGAN network", optional=lambda key: key.endswith(_OPTIONAL))


def to_stylegan1(synthesis: Mapping[str, Tensor], mapping: Mapping[str, Tensor], layout: str) -> dict[str, dict[str, Tensor]]:
    """The tensors by file: ``synthesis.pt`` and ``mapping.pt`` (where ``mapping`` is not empty) of PULSE, or lernapparat's one file."""
    if layout not in LAYOUTS:
        raise FaceSRError(f"layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    if layout == "pulse":
        return {"synthesis.pt": dict(synthesis)} | ({"mapping.pt": dict(mapping)} if mapping else {})
    theirs = {}
    for key, value in synthesis.items():
        part, dot, last = key.rpartition("noise.")
        theirs[f"g_synthesis.{part}top_epi.{dot}{last}" if dot else f"g_synthesis.{key}"] = value
    return {"karras2019stylegan-ffhq-1024x1024.for_g_all.pt": {f"g_mapping.{k}": v for k, v in mapping.items()} | theirs}
