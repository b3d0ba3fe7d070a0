"""FSRNet checkpoints: a file's layout is recognised by its keys; sizes and options are read off the shapes.

- cs-giung/FSRNet-pytorch: ``csr_net. fsr_enc. pre_net. fsr_dec. prior_conv{1,2}.``, under ``state_dict`` or ``state_dict_G``; [-1, 1]
- cydiachen/FSRNET_pytorch: ``coarse_SR_Encoder. fine_SR_Encoder. prior_Estimation_Network. fine_SR_Decoder.``, a module pickled whole
  under ``model``; trained on [0, 1] targets
- this project's own safetensors, in the first layout, sizes and options in the metadata
- the official Torch7 release (``.t7``): a network of its own, see ``facesr.methods.fsrnet.nngraph``
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import find_state, reading_sizes
from facesr.bench.reading import parse_object
from facesr.bench.weights import WeightsBroken, find_weight, load_tensors, metadata
from facesr.methods.fsrnet.net import Sizes
from facesr.methods.fsrnet.pickled import load_module_tensors

Range = Literal["signed", "unit"]
"""``signed``: images in [-1, 1] in and out; ``unit``: [0, 1] in and out."""

_CYDIACHEN = (
    # Their nets are flat sequences: index of a layer, or of the first of a run of blocks, to our names.
    ("coarse_SR_Encoder", "csr_net", {1: "conv1.1", 2: "conv1.2", 8: "conv2.1"}, (4, 7)),
    ("fine_SR_Encoder", "fsr_enc", {0: "conv1.0", 1: "conv1.1", 16: "conv2.1"}, (3, 15)),
    ("fine_SR_Decoder", "fsr_dec", {0: "conv1.0", 1: "conv1.1", 3: "deconv1.0", 4: "deconv1.1", 10: "conv2.1"}, (6, 9)),
)


MARKS = ("csr_net.conv1.", "coarse_SR_Encoder.1.")


@dataclass(frozen=True)
class Checkpoint:
    """A read checkpoint, in our (cs-giung's) key names. ``stated``: whether the file itself says ``residual``, which leaves no trace in keys."""

    state: dict[str, Tensor]
    sizes: Sizes
    range: Range
    layout: str
    stated: bool = False


def read_fsrnet(path: Path | str) -> Checkpoint:
    """Read a checkpoint of any layout. Raises ``WeightsMissing``, or ``FaceSRError`` with what the file is instead."""
    file = find_weight(path)
    noted = metadata(file)
    found = from_state(_load(file), str(path))
    if "sizes" not in noted:
        return found
    note = f"{file}: the note of its sizes"
    sizes = from_table(Sizes, parse_object(noted["sizes"], note), note)
    return Checkpoint(found.state, sizes, "signed", "facesr", stated=True)


def _load(path: Path) -> Mapping[str, Any]:
    try:
        return load_tensors(path)
    except WeightsBroken as error:
        if "code" not in str(error):
            raise
        return load_module_tensors(path)


def from_state(held: Mapping[str, Any], name: str) -> Checkpoint:
    """Find the net in what a file holds; its keys say the layout."""
    state = find_state(held, MARKS, name, "FSRNet checkpoint").tensors
    if any(k.startswith("coarse_SR_Encoder.") for k in state):
        mine = from_cydiachen(state)
        return Checkpoint(mine, sizes_of(mine, name), "unit", "cydiachen")
    return Checkpoint(state, sizes_of(state, name), "signed", "cs-giung")


def from_cydiachen(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """cydiachen's key names to ours (cs-giung's)."""
    result = {}
    for key, value in state.items():
        result[_renamed(key)] = value
    return result


def _renamed(key: str) -> str:
    match = re.fullmatch(r"(\w+)\.(\d+)\.(.+)", key)
    if match is None:
        raise FaceSRError(f"a key {key!r} does not belong to cydiachen's FSRNet")
    prefix, rest, i = match[1], match[3], int(match[2])
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
    """How many numbers stand where ``pattern`` has its group; counted, so that a foreign 'res_blocks.999999999' builds no such net."""
    return len({m.group(1) for key in state if (m := re.match(pattern, key))})


def sizes_of(state: Mapping[str, Tensor], name: str = "the checkpoint") -> Sizes:
    """Sizes and options that ``state`` (our key names) fixes; ``residual`` leaves no trace and stays False."""
    with reading_sizes(f"{name}, as an FSRNet"):
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
            hourglass_depth=_count(state, r"pre_net\.hg_blocks\.0\.res(\d+)_1\."),
            landmarks=heads[0],
            parsing=heads[1],
            shared=second in state and torch.equal(state[first], state[second]),
            fuse="features" if extra == prior_width else "maps",
            deconv_kernel=4 if deconvolutions[0][1].shape[-1] == 4 else 3,
            norm="batch" if "csr_net.conv1.2.weight" in state else "instance",
        )
