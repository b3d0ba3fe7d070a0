"""StyleGAN's published files: PULSE's ``synthesis.pt`` and ``mapping.pt``, and lernapparat's ``for_g_all``; to ours and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from facesr.bench.errors import FaceSRError
from facesr.bench.weights import find, load_tensors
from facesr.methods.generators.ops import make_kernel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from facesr.methods.generators.stylegan1 import StyleGAN1

LAYOUTS = ("pulse", "lernapparat")
_OPTIONAL = ".intermediate.kernel"


def read(cls: type[StyleGAN1], path: str | Path, *, mapping: str | Path | None = None, **options: Any) -> StyleGAN1:
    """The generator of ``path``; PULSE's ``mapping.pt`` is taken from ``mapping``, else from beside ``path`` where it lies there."""
    synthesis, mapped = split(load_tensors(path), path)
    beside = find(path).with_name("mapping.pt")
    if mapped is None and (mapping is not None or beside.is_file()):
        mapped = load_tensors(mapping or beside)
    return from_parts(cls, synthesis, mapped, path, **options)


def split(tree: Mapping[str, Any], path: str | Path) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """(synthesis, mapping or None) under PULSE's names, from a file of either layout."""
    if any(key.startswith("g_synthesis.") for key in tree):
        parts = {part: _part(tree, f"g_{part}.") for part in ("synthesis", "mapping")}
        synthesis = {re.sub(r"\.top_epi\.noise\.", ".noise.", key): value for key, value in parts["synthesis"].items()}
        return synthesis, parts["mapping"] or None
    if "torgb.weight" in tree:
        return dict(tree), None
    some = ", ".join(list(tree)[:3])
    hint = (
        "it is the mapping network, give synthesis.pt with mapping= this"
        if "dense0.weight" in tree
        else f"its keys begin with {some}"
    )
    raise FaceSRError(f"{path}: no StyleGAN synthesis network of a known layout ({', '.join(LAYOUTS)}); {hint}")


def _part(tree: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tree.items() if key.startswith(prefix)}


def from_parts(
    cls: type[StyleGAN1],
    synthesis: Mapping[str, Tensor],
    mapping: Mapping[str, Tensor] | None = None,
    path: str | Path = "state dict",
    **options: Any,
) -> StyleGAN1:
    """A generator of the size that ``synthesis`` has, frozen, in eval mode."""
    sides = [int(match[1]) for key in synthesis if (match := re.match(r"blocks\.(\d+)x\d+\.", key))]
    net = cls(max(sides, default=0), mapped=mapping is not None, **options)
    _load(net.synthesis, synthesis, path)
    if mapping is not None and net.mapping is not None:
        _load(net.mapping, mapping, path)
    return net.eval().requires_grad_(False)


def _load(net: nn.Module, given: Mapping[str, Tensor], path: str | Path) -> None:
    wanted = net.state_dict()
    missing = [key for key in wanted if key not in given and not key.endswith(_OPTIONAL)]
    unknown = [key for key in given if key not in wanted]
    odd = [key for key in wanted if key in given and wanted[key].shape != given[key].shape]
    found = ((missing, "missing"), (unknown, "unknown"), (odd, "of another shape"))
    if what := [f"{len(keys)} {word} ({', '.join(sorted(keys)[:3])})" for keys, word in found if keys]:
        raise FaceSRError(f"{path}: a StyleGAN network has other tensors: {'; '.join(what)}")
    blur = make_kernel((1.0, 2.0, 1.0))[None, None]
    for key in given:
        if key.endswith(_OPTIONAL) and not torch.allclose(given[key].cpu().float(), blur, atol=1e-6):
            raise FaceSRError(f"{path}: {key} is not the published blur [1, 2, 1]")
    net.load_state_dict({key: given.get(key, value) for key, value in wanted.items()})


def to_layout(net: StyleGAN1, layout: str) -> dict[str, dict[str, Tensor]]:
    """The generator's tensors by file: ``synthesis.pt`` and ``mapping.pt`` of PULSE, or lernapparat's one file."""
    if layout not in LAYOUTS:
        raise FaceSRError(f"layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    synthesis = dict(net.synthesis.state_dict())
    mapping = {} if net.mapping is None else dict(net.mapping.state_dict())
    if layout == "pulse":
        return {"synthesis.pt": synthesis} | ({"mapping.pt": mapping} if mapping else {})
    theirs = {}
    for key, value in synthesis.items():
        part, dot, last = key.rpartition("noise.")
        theirs[f"g_synthesis.{part}top_epi.{dot}{last}" if dot else f"g_synthesis.{key}"] = value
    return {"karras2019stylegan-ffhq-1024x1024.for_g_all.pt": {f"g_mapping.{k}": v for k, v in mapping.items()} | theirs}
