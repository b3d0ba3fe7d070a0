"""pix2pixHD's ``latest_net_G.pth`` (and ``_D``, ``_E``): bare state dicts, whose keys and shapes tell the net and its sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import built, find_state, reading_sizes
from facesr.bench.weights import load_tensors
from facesr.methods.pix2pixhd.net import FeatureEncoder, GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator, Norm
from facesr.methods.pix2pixhd.stages import FIRST, TwoStage, first_stage

Generator = GlobalGenerator | LocalEnhancer | TwoStage

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


MARKS = ("model.1.", "scale0_layer0.", "layer0.")
"""How the first convolution's key begins: of generators and encoder, of discriminators with and without intermediate features."""


def read_pix2pixhd(path: Path | str, what: str = "pix2pixHD generator") -> dict[str, Tensor]:
    """A state dict with plain keys. Raises ``WeightsMissing``, ``WeightsBroken``, or ``FaceSRError`` for a file of another kind."""
    return cleaned(find_state(load_tensors(path), MARKS, str(path), what).tensors)


def cleaned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the running statistics that instance norm wrote before PyTorch 0.4 (the published loader ignores them too).

    Batch norm keeps its own: it is known by having weights.
    """
    return {k: v for k, v in state.items() if k.split(".")[-1] not in STATISTICS or k.rsplit(".", 1)[0] + ".weight" in state}


def _convolutions(state: Mapping[str, Tensor], prefix: str) -> list[tuple[int, Tensor]]:
    """Index and weight of the convolutions directly in a sequence."""
    found = [(int(m.group(1)), v) for k, v in state.items() if (m := re.fullmatch(rf"{prefix}\.(\d+)\.weight", k)) and v.dim() == 4]
    return sorted(found, key=lambda item: item[0])


def _blocks(state: Mapping[str, Tensor], prefix: str) -> list[int]:
    return sorted({int(m.group(1)) for k in state if (m := re.match(rf"{prefix}\.(\d+)\.conv_block\.", k))})


def _norm(state: Mapping[str, Tensor], first: str) -> Norm:
    return "batch" if first in state else "instance"


def generator(state: Mapping[str, Tensor], name: str = "the checkpoint") -> Generator:
    """The generator a state dict belongs to, loaded; with its first stage where the file has one."""
    first = {k.removeprefix(FIRST): v for k, v in state.items() if k.startswith(FIRST)}
    if first:
        second = generator({k: v for k, v in state.items() if not k.startswith(FIRST)}, name)
        if not isinstance(second, GlobalGenerator):
            raise FaceSRError(f"{name} has a first stage and a local enhancer: a first stage goes with a global generator")
        return TwoStage(first_stage(first, name), second)
    if "model.1.weight" not in state:
        some = ", ".join(list(state)[:3]) or "no tensors"
        raise FaceSRError(f"{name} is no pix2pixHD generator: it has {some}, and not model.1.weight")
    what = f"{name}, as a pix2pixHD generator"
    blocks = _blocks(state, "model")
    convolutions = _convolutions(state, "model")
    norm = _norm(state, "model.2.weight")
    levels = sorted({m.group(1) for k in state if (m := re.match(r"model(\d+)_1\.", k))}, key=int)
    last = f"model{levels[-1]}_2" if levels else "model"
    with reading_sizes(what):
        ngf, inputs = state["model.1.weight"].shape[:2]
        n_down = sum(1 for i, _ in convolutions if i < blocks[0]) - 1 if blocks else (len(convolutions) - 2) // 2
        outputs = _convolutions(state, last)[-1][1].shape[0]
    if not levels:
        return built(lambda: GlobalGenerator(inputs, outputs, ngf, n_down, len(blocks), norm), state, what)
    local, width = len(_blocks(state, last)), ngf >> len(levels)
    return built(lambda: LocalEnhancer(inputs, outputs, width, n_down, len(blocks), len(levels), local, norm), state, what)


def discriminator(state: Mapping[str, Tensor], name: str = "the checkpoint") -> MultiscaleDiscriminator:
    """The discriminator a ``latest_net_D.pth`` belongs to, loaded: with intermediate features, or without."""
    scales = sorted({int(m.group(1)) for k in state if (m := re.match(r"(?:scale|layer)(\d+)[._]", k))})
    if not scales:
        raise FaceSRError(f"{name} is no pix2pixHD discriminator: it has {', '.join(list(state)[:3])}")
    features = any(k.startswith("scale") for k in state)
    first = "scale0_layer0.0.weight" if features else "layer0.0.weight"
    convolutions = [k for k, v in state.items() if v.dim() == 4 and k.startswith(("scale0_", "layer0."))]
    norm = _norm(state, "scale0_layer1.1.weight" if features else "layer0.3.weight")
    what = f"{name}, as a pix2pixHD discriminator"
    with reading_sizes(what):
        ndf, inputs = state[first].shape[:2]
    layers = len(convolutions) - 2
    return built(lambda: MultiscaleDiscriminator(inputs, ndf, layers, len(scales), features, norm), state, what)


def encoder(state: Mapping[str, Tensor], name: str = "the checkpoint") -> FeatureEncoder:
    """The feature encoder a ``latest_net_E.pth`` belongs to, loaded."""
    convolutions = _convolutions(state, "model")
    if len(convolutions) < 4 or _blocks(state, "model"):
        raise FaceSRError(f"{name} is no pix2pixHD feature encoder: its keys are those of another net")
    ngf, inputs = convolutions[0][1].shape[:2]
    outputs, n_down, norm = convolutions[-1][1].shape[0], (len(convolutions) - 2) // 2, _norm(state, "model.2.weight")
    return built(lambda: FeatureEncoder(inputs, outputs, ngf, n_down, norm), state, f"{name}, as a pix2pixHD feature encoder")
