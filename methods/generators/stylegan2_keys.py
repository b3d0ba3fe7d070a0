"""StyleGAN2's published key layouts: rosinality (the house's own), pSp, BasicSR and stylegan2-ada; all to ours and back.

Every layout is a list of pairs (our key, its key); the tensors are the same numbers, at most of another shape.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError
from facesr.bench.weights import load_tensors
from facesr.methods.generators.ops import make_kernel

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.methods.generators.stylegan2 import StyleGAN2

LAYOUTS = ("rosinality", "psp", "basicsr", "stylegan2-ada")
_WRAPPERS = ("g_ema", "params_ema", "state_dict", "G_ema", "params", "g")
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


def pairs(layout: str, levels: int, n_mlp: int) -> list[tuple[str, str]]:
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
    mean = tree.get("latent_avg")
    for wrapper in _WRAPPERS:
        if isinstance(tree.get(wrapper), Mapping):
            tree = tree[wrapper]
            break
    if "decoder.input.input" in tree:
        return "psp", {k: v for k, v in tree.items() if k.startswith("decoder.")}, mean
    if "synthesis.b4.const" in tree:
        if any(k.startswith("mapping.embed") for k in tree):
            raise FaceSRError(f"{path}: a class-conditional generator (mapping.embed); faces need an unconditional one")
        return "stylegan2-ada", dict(tree), tree.get("mapping.w_avg")
    if "constant_input.weight" in tree:
        return "basicsr", dict(tree), mean
    if "input.input" in tree:
        return "rosinality", dict(tree), mean
    some = ", ".join(list(tree)[:3])
    raise FaceSRError(f"{path}: no StyleGAN2 generator of a known layout ({', '.join(LAYOUTS)}); its keys begin with {some}")


def _count(keys: Mapping[str, Any], pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in keys)


def read(cls: type[StyleGAN2], path: str | Path, **options: Any) -> StyleGAN2:
    """Build and load a generator from a file of any of the layouts; ``options`` go to the constructor."""
    layout, theirs, mean = unwrap(load_tensors(path), path)
    net = from_layout(cls, layout, theirs, path, **options)
    if mean is not None:
        net.mean_style = mean
    return net.eval().requires_grad_(False)


def from_layout(
    cls: type[StyleGAN2], layout: str, theirs: Mapping[str, Tensor], path: str | Path = "state dict", **options: Any
) -> StyleGAN2:
    """A generator of the size and widths that ``theirs`` has, loaded with it, whole or not at all."""
    rgb = r"(decoder\.)?to_rgbs\.\d+\.bias|synthesis\.b(?!4\.)\d+\.torgb\.bias"
    levels = 2 + _count(theirs, rgb)
    n_mlp = _count(theirs, r"(decoder\.)?style(_mlp)?\.\d+\.weight|mapping\.fc\d+\.weight")
    named = pairs(layout, levels, n_mlp)
    optional = {b for a, b in named if a.endswith(".kernel")}
    extras = {"mapping.w_avg", *_ada_filters(levels)} if layout == "stylegan2-ada" else set()
    missing = [b for _, b in named if b not in theirs and b not in optional]
    unknown = set(theirs) - {b for _, b in named} - extras
    if missing or unknown:
        what = [f"{len(m)} {word} ({', '.join(sorted(m)[:3])})" for m, word in ((missing, "missing"), (unknown, "unknown")) if m]
        raise FaceSRError(f"{path}: a {layout} StyleGAN2 of {2**levels} pixels has other keys: {'; '.join(what)}")
    options.setdefault("channels", _channels(theirs, dict(named), levels))
    style_dim = theirs[dict(named)["conv1.conv.modulation.weight"]].shape[1]
    net = cls(2**levels, n_mlp=n_mlp, style_dim=style_dim, **options)
    net.load_state_dict(_ours(net, named, theirs, path))
    return net


def _channels(theirs: Mapping[str, Tensor], name: Mapping[str, str], levels: int) -> dict[int, int]:
    width = {4: theirs[name["conv1.activate.bias"]].numel()}
    return width | {2 ** (i + 3): theirs[name[f"convs.{2 * i}.activate.bias"]].numel() for i in range(levels - 2)}


def _ours(net: StyleGAN2, named: list[tuple[str, str]], theirs: Mapping[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    wanted, out = net.state_dict(), {}
    for ours, key in named:
        if ours.endswith(".kernel"):
            found = theirs.get(key)
            if found is not None and not bool(((found / found.sum()).cpu() - make_kernel()).abs().max() < 1e-6):
                raise FaceSRError(f"{path}: {key} is not the published resampling kernel [1, 3, 3, 1]")
            out[ours] = wanted[ours]
            continue
        if theirs[key].numel() != wanted[ours].numel():
            raise FaceSRError(f"{path}: {key} has shape {tuple(theirs[key].shape)}, {tuple(wanted[ours].shape)} was expected")
        out[ours] = theirs[key].reshape(wanted[ours].shape).float()
    return out


def to_layout(net: StyleGAN2, layout: str) -> dict[str, Tensor]:
    """The generator's tensors under the keys and shapes of ``layout``, as its authors' own code would load them."""
    if layout not in LAYOUTS:
        raise FaceSRError(f"layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    state, ada = net.state_dict(), layout == "stylegan2-ada"
    n_mlp = len(net.style) - 1
    out = {}
    for ours, key in pairs(layout, int(math.log2(net.size)), n_mlp):
        if layout == "basicsr" and ours.endswith(".kernel"):
            continue  # BasicSR keeps its kernels outside the state dict
        out[key] = _ada_shape(ours, state[ours]) if ada else state[ours]
    if ada:
        out |= {key: make_kernel() for key in _ada_filters(net.levels)}
        out["mapping.w_avg"] = net.mean_style
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
