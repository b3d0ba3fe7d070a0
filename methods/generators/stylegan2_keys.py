"""StyleGAN2's published key layouts: rosinality (the house's own), pSp, BasicSR and stylegan2-ada; all to ours and back.

Every layout is a list of pairs (our key, its key); the tensors are the same numbers, at most of another shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import find_state, load_strictly, reading_sizes
from facesr.methods.generators.ops import make_kernel

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYOUTS = ("rosinality", "psp", "basicsr", "stylegan2-ada")
_MARKS = ("decoder.input.input", "synthesis.b4.const", "constant_input.weight", "input.input")
_BASICSR = (
    (r"^style\.", "style_mlp."),
    (r"^input\.input$", "constant_input.weight"),
    (r"^conv1\.", "style_conv1."),
    (r"^convs\.", "style_convs."),
    (r"\.conv\.blur\.", ".modulated_conv.smooth."),
    (r"\.conv\.(weight|modulation)", r".modulated_conv.\1"),
    (r"^(style_conv.*)\.noise\.weight$", r"\1.weight"),
    (r"^noises\.noise_", "noises.noise"),
)


def key_pairs(layout: str, levels: int, n_mlp: int) -> list[tuple[str, str]]:
    """(our key, ``layout``'s key) of every tensor of a generator with ``levels`` = log2(size)."""
    ours = _keys(levels, n_mlp)
    if layout == "rosinality":
        return [(key, key) for key in ours]
    if layout == "psp":
        return [(key, f"decoder.{key}") for key in ours]
    if layout == "basicsr":
        return [(key, _basicsr(key)) for key in ours]
    return [(key, _ada(key)) for key in ours]


def _keys(levels: int, n_mlp: int) -> list[str]:
    conv = ("conv.weight", "conv.modulation.weight", "conv.modulation.bias", "noise.weight", "activate.bias")
    rgb = ("bias", "conv.weight", "conv.modulation.weight", "conv.modulation.bias")
    keys = [f"style.{i}.{kind}" for i in range(1, n_mlp + 1) for kind in ("weight", "bias")]
    keys += ["input.input", *(f"conv1.{k}" for k in conv), *(f"to_rgb1.{k}" for k in rgb)]
    for i in range(2 * (levels - 2)):
        keys += [f"convs.{i}.{k}" for k in conv] + ([f"convs.{i}.conv.blur.kernel"] if i % 2 == 0 else [])
    for i in range(levels - 2):
        keys += [f"to_rgbs.{i}.{k}" for k in (*rgb, "upsample.kernel")]
    return keys + [f"noises.noise_{i}" for i in range(2 * levels - 3)]


def _basicsr(key: str) -> str:
    for pattern, replacement in _BASICSR:
        key = re.sub(pattern, replacement, key)
    return key


def _ada(key: str) -> str:
    """The stylegan2-ada name; ours of the mapping count from 1, theirs from 0."""
    part = re.sub(r"conv\.modulation", "affine", key)
    part = re.sub(r"(?:\.conv)?\.(blur|upsample)\.kernel", r".resample_filter", part)
    part = part.replace("activate.bias", "bias").replace("conv.weight", "weight").replace("noise.weight", "noise_strength")
    if match := re.match(r"style\.(\d+)\.(.*)", part):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if match := re.match(r"noises\.noise_(\d+)", part):
        i = int(match[1])
        return f"synthesis.b{2 ** ((i + 5) // 2)}.{'conv0' if i % 2 else 'conv1'}.noise_const"
    if match := re.match(r"convs\.(\d+)\.(.*)", part):
        i = int(match[1])
        return f"synthesis.b{2 ** (i // 2 + 3)}.conv{i % 2}.{match[2]}"
    if match := re.match(r"to_rgbs\.(\d+)\.(.*)", part):
        block = f"synthesis.b{2 ** (int(match[1]) + 3)}"
        return f"{block}.resample_filter" if match[2] == "resample_filter" else f"{block}.torgb.{match[2]}"
    for ours, theirs in (("input.input", "b4.const"), ("conv1.", "b4.conv1."), ("to_rgb1.", "b4.torgb.")):
        if part.startswith(ours):
            return f"synthesis.{theirs}{part[len(ours) :]}"
    raise KeyError(key)


def _ada_filters(levels: int) -> list[str]:
    """Further copies of the resampling filter that stylegan2-ada's state dict holds."""
    sides = [2**level for level in range(2, levels + 1)]
    return ["synthesis.b4.resample_filter", *(f"synthesis.b{side}.conv1.resample_filter" for side in sides)]


def unwrap(tree: Mapping[str, Any], path: str | Path) -> tuple[str, dict[str, Tensor], Tensor | None]:
    """(layout, its tensors, mean style or None) of what a checkpoint file holds."""
    what = f"StyleGAN2 generator of a known layout ({', '.join(LAYOUTS)})"
    found = find_state(tree, _MARKS, str(path), what)
    state, mean = found.tensors, found.beside.get("latent_avg")
    mean = state.pop("latent_avg", mean)
    if "decoder.input.input" in state:
        return "psp", {k: v for k, v in state.items() if k.startswith("decoder.")}, mean
    if "synthesis.b4.const" in state:
        if any(k.startswith("mapping.embed") for k in state):
            raise FaceSRError(f"{path}: a class-conditional generator (mapping.embed); faces need an unconditional one")
        return "stylegan2-ada", state, state.get("mapping.w_avg")
    return "basicsr" if "constant_input.weight" in state else "rosinality", state, mean


def _count(keys: Mapping[str, Any], pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in keys)


@dataclass(frozen=True)
class Layout:
    """A generator in a published layout: ``theirs`` under its keys, and the sizes read off them."""

    name: str
    theirs: Mapping[str, Tensor]
    levels: int
    """log2 of the images' side."""
    n_mlp: int
    style_dim: int
    channels: dict[int, int]
    path: str


def describe_stylegan2(layout: str, theirs: Mapping[str, Tensor], path: str | Path = "state dict") -> Layout:
    """The sizes of the generator in ``theirs``; raises ``FaceSRError`` for missing and unknown keys."""
    rgb = r"(decoder\.)?to_rgbs\.\d+\.bias|synthesis\.b(?!4\.)\d+\.torgb\.bias"
    levels = 2 + _count(theirs, rgb)
    n_mlp = _count(theirs, r"(decoder\.)?style(_mlp)?\.\d+\.weight|mapping\.fc\d+\.weight")
    named = key_pairs(layout, levels, n_mlp)
    optional = {b for a, b in named if a.endswith(".kernel")}
    extras = {"mapping.w_avg", *_ada_filters(levels)} if layout == "stylegan2-ada" else set()
    missing = [b for _, b in named if b not in theirs and b not in optional]
    unknown = set(theirs) - {b for _, b in named} - extras
    if missing or unknown:
        what = [f"{len(m)} {word} ({', '.join(sorted(m)[:3])})" for m, word in ((missing, "missing"), (unknown, "unknown")) if m]
        raise FaceSRError(f"{path}: a {layout} StyleGAN2 of {2**levels} pixels has other keys: {'; '.join(what)}")
    with reading_sizes(f"{path}, as a StyleGAN2 generator"):
        style_dim = theirs[dict(named)["conv1.conv.modulation.weight"]].shape[1]
        return Layout(layout, theirs, levels, n_mlp, style_dim, _channels(theirs, dict(named), levels), str(path))


def _channels(theirs: Mapping[str, Tensor], name: Mapping[str, str], levels: int) -> dict[int, int]:
    width = {4: theirs[name["conv1.activate.bias"]].numel()}
    return width | {2 ** (i + 3): theirs[name[f"convs.{2 * i}.activate.bias"]].numel() for i in range(levels - 2)}


def fill_stylegan2(net: nn.Module, layout: Layout) -> None:
    """Load ``layout``'s tensors into ``net``, a generator of its sizes, whole or not at all."""
    wanted, out = net.state_dict(), {}
    for ours, key in key_pairs(layout.name, layout.levels, layout.n_mlp):
        found = layout.theirs.get(key)
        if ours.endswith(".kernel"):
            if found is not None and (found.numel() != 16 or not _is_published(found)):
                raise FaceSRError(f"{layout.path}: {key} is not the published resampling kernel [1, 3, 3, 1]")
            continue
        if found is None or found.numel() != wanted[ours].numel():
            shape = "no tensor" if found is None else f"shape {tuple(found.shape)}"
            raise FaceSRError(f"{layout.path}: {key} has {shape}, {tuple(wanted[ours].shape)} was expected")
        out[ours] = found.reshape(wanted[ours].shape)
    load_strictly(net, out, f"{layout.path}, as a StyleGAN2 generator", optional=lambda key: key.endswith(".kernel"))


def _is_published(kernel: Tensor) -> bool:
    kernel = kernel.float().reshape(4, 4).cpu()
    return bool((kernel / kernel.sum() - make_kernel()).abs().max() < 1e-6)


def to_stylegan2(state: Mapping[str, Tensor], layout: str, levels: int, n_mlp: int, mean_style: Tensor) -> dict[str, Tensor]:
    """A generator's tensors under the keys and shapes of ``layout``, as its authors' own code would load them."""
    if layout not in LAYOUTS:
        raise FaceSRError(f"layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    ada, out = layout == "stylegan2-ada", {}
    for ours, key in key_pairs(layout, levels, n_mlp):
        if layout == "basicsr" and ours.endswith(".kernel"):
            continue  # BasicSR keeps its kernels outside the state dict
        out[key] = _ada_shape(ours, state[ours]) if ada else state[ours]
    if ada:
        out |= {key: make_kernel() for key in _ada_filters(levels)}
        out["mapping.w_avg"] = mean_style
    return out


def _ada_shape(ours: str, tensor: Tensor) -> Tensor:
    if ours.endswith(".kernel"):
        return tensor / 4  # theirs sums to 1, the gain of 4 is in the code
    if ours.startswith("noises.") or (ours.startswith("to_rgb") and ours.endswith("rgb1.bias")):
        return tensor.flatten() if ours.startswith("to_rgb") else tensor[0, 0]
    if re.fullmatch(r"to_rgbs\.\d+\.bias", ours):
        return tensor.flatten()
    if ours.endswith("noise.weight"):
        return tensor.reshape(())
    return tensor[0] if ours == "input.input" or ours.endswith(".conv.weight") else tensor
