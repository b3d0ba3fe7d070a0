"""FSRNet checkpoints: which layout a file has is told by its keys; sizes and options are read off the shapes.

- cs-giung/FSRNet-pytorch: ``csr_net. fsr_enc. pre_net. fsr_dec. prior_conv{1,2}.``, under ``state_dict`` or ``state_dict_G``; [-1, 1]
- cydiachen/FSRNET_pytorch: ``coarse_SR_Encoder. fine_SR_Encoder. prior_Estimation_Network. fine_SR_Decoder.``, a module pickled whole
  under ``model``; trained on [0, 1] targets
- this project's own safetensors, in the first layout
- the official Torch7 release (``.t7``): a network of its own, see ``facesr.methods.fsrnet.nngraph``
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.bench.weights import WeightsBroken, load_tensors
from facesr.methods.fsrnet.net import Sizes
from facesr.methods.training.export import about

Range = Literal["signed", "unit"]
"""``signed``: images in [-1, 1] in and out; ``unit``: [0, 1] in and out."""

_CYDIACHEN = (
    # Their nets are flat sequences: index of a layer, or of the first of a run of blocks, to our names.
    ("coarse_SR_Encoder", "csr_net", {1: "conv1.1", 2: "conv1.2", 8: "conv2.1"}, (4, 7)),
    ("fine_SR_Encoder", "fsr_enc", {0: "conv1.0", 1: "conv1.1", 16: "conv2.1"}, (3, 15)),
    ("fine_SR_Decoder", "fsr_dec", {0: "conv1.0", 1: "conv1.1", 3: "deconv1.0", 4: "deconv1.1", 10: "conv2.1"}, (6, 9)),
)


@dataclass(frozen=True)
class Checkpoint:
    """A read checkpoint, in our (cs-giung's) key names."""

    state: dict[str, Tensor]
    sizes: Sizes
    range: Range
    layout: str


def read(path: Path | str) -> Checkpoint:
    """Read a checkpoint of any layout. Raises ``WeightsMissing``, or ``FaceSRError`` with what the file is instead."""
    file = Path(path)
    if file.suffix == ".safetensors" and file.is_file():
        noted = about(file)
        if "sizes" in noted:
            options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(noted["sizes"]).items()}
            state = {k: v.float() if v.is_floating_point() else v for k, v in load_tensors(file).items()}
            return Checkpoint(state, Sizes(**options), "signed", "facesr")
    return from_state(_load(file), str(path))


def _load(path: Path) -> Mapping[str, Any]:
    try:
        return load_tensors(path)
    except WeightsBroken as error:
        if "code" not in str(error):
            raise
        from facesr.methods.fsrnet.pickled import load_module_tensors

        return load_module_tensors(path)


def from_state(held: Mapping[str, Any], name: str) -> Checkpoint:
    """Tell the layout of what a file holds."""
    for key in ("state_dict", "state_dict_G", "model"):
        if isinstance(held.get(key), Mapping):
            held = held[key]
    state = {k.removeprefix("module."): v for k, v in held.items() if isinstance(v, Tensor)}
    if any(k.startswith("coarse_SR_Encoder.") for k in state):
        mine = from_cydiachen(state)
        return Checkpoint(mine, sizes_of(mine, name), "unit", "cydiachen")
    if any(k.startswith("csr_net.") for k in state):
        return Checkpoint(state, sizes_of(state, name), "signed", "cs-giung")
    some = ", ".join(list(state)[:3]) or "no tensors"
    raise FaceSRError(f"{name} is no FSRNet checkpoint: it has {some}, and none of the keys csr_net.* or coarse_SR_Encoder.*")


def from_cydiachen(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """cydiachen's key names to ours (cs-giung's)."""
    result = {}
    for key, value in state.items():
        result[_renamed(key)] = value
    return result


def _renamed(key: str) -> str:
    prefix, index, rest = key.split(".", 2)
    i = int(index)
    for theirs, ours, layers, (first, last) in _CYDIACHEN:
        if prefix == theirs and i in layers:
            return f"{ours}.{layers[i]}.{rest}"
        if prefix == theirs and first <= i < last:
            return f"{ours}.res_blocks.{i - first}.{rest.replace('conv_block.', 'layers.')}"
    if prefix == "prior_Estimation_Network":
        if i < 3:
            return f"pre_net.conv1.{i}.{rest}"
        if i < 6:
            return f"pre_net.res_blocks.{i - 3}.{rest.replace('conv_block.', 'layers.')}"
        return f"pre_net.hg_blocks.{i - 6}.{rest}"
    raise FaceSRError(f"a key {key!r} does not belong to cydiachen's FSRNet")


def to_cydiachen(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our key names to cydiachen's (there are no prior heads: ``prior_conv*`` is left out)."""
    result = {}
    for key, value in state.items():
        part, rest = key.split(".", 1)
        if part == "pre_net":
            kind, index, tail = rest.split(".", 2)
            offset = {"conv1": 0, "res_blocks": 3, "hg_blocks": 6}[kind]
            tail = tail if tail.startswith("convBlock") else tail.replace("layers.", "conv_block.")
            result[f"prior_Estimation_Network.{int(index) + offset}.{tail}"] = value
            continue
        for theirs, ours, layers, (first, _) in _CYDIACHEN:
            if part == ours and rest.startswith("res_blocks."):
                _, index, tail = rest.split(".", 2)
                result[f"{theirs}.{int(index) + first}.{tail.replace('layers.', 'conv_block.')}"] = value
            elif part == ours:
                place = next(i for i, mine in layers.items() if rest.startswith(f"{mine}."))
                result[f"{theirs}.{place}.{rest.removeprefix(layers[place] + '.')}"] = value
    return result


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    found = [int(m.group(1)) for key in state if (m := re.match(pattern, key))]
    return max(found, default=-1) + 1


def sizes_of(state: Mapping[str, Tensor], name: str = "the checkpoint") -> Sizes:
    """Sizes and options that ``state`` (our key names) fixes; ``residual`` leaves no trace and stays False."""
    try:
        width = state["fsr_enc.conv2.1.weight"].shape[0]
        extra = state["fsr_dec.conv1.0.weight"].shape[1] - width
        prior_width = state["pre_net.res_blocks.0.convBlock.8.weight"].shape[0]
        deconvolutions = sorted(
            (int(m.group(1)), v)
            for k, v in state.items()
            if (m := re.fullmatch(r"fsr_dec\.deconv1\.(\d+)\.weight", k)) and v.dim() == 4
        )
        blocks = {part: _count(state, rf"{part}\.res_blocks\.(\d+)\.") for part in ("csr_net", "fsr_enc", "fsr_dec", "pre_net")}
        heads = [state[k].shape[0] if (k := f"prior_conv{i}.weight") in state else 0 for i in (1, 2)]
        first, second = (f"fsr_enc.res_blocks.{i}.layers.1.weight" for i in (0, 1))
        return Sizes(
            width=width,
            coarse_width=state["csr_net.conv1.1.weight"].shape[0],
            deconv_widths=tuple(v.shape[1] for _, v in deconvolutions),
            prior_width=prior_width,
            coarse_blocks=blocks["csr_net"],
            encoder_blocks=blocks["fsr_enc"],
            decoder_blocks=blocks["fsr_dec"],
            prior_blocks=blocks["pre_net"] - 1,
            hourglasses=_count(state, r"pre_net\.hg_blocks\.(\d+)\."),
            hourglass_depth=_count(state, r"pre_net\.hg_blocks\.0\.res(\d+)_1\.") - 1,
            landmarks=heads[0],
            parsing=heads[1],
            shared=second in state and torch.equal(state[first], state[second]),
            fuse="features" if extra == prior_width else "maps",
            deconv_kernel=4 if deconvolutions[0][1].shape[-1] == 4 else 3,
            norm="batch" if "csr_net.conv1.2.weight" in state else "instance",
        )
    except (KeyError, IndexError) as error:
        raise FaceSRError(f"{name} is not a whole FSRNet: {error} is missing") from None
