"""Reading and writing pSp's checkpoints: the published ``{'state_dict', 'opts', 'latent_avg'}``, and encoders of this project.

An encoder of this project is a safetensors file of ``encoder.*`` and ``latent_avg`` whose metadata says how it is built
(``psp_encoder``: ``EncoderConfig`` as JSON; ``learn_in_w``) and which generator it was trained for (``generator``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.irse import load_strictly
from facesr.bench.weights import load_tensors
from facesr.methods.psp.encoders import Encoder, EncoderConfig, build, describe
from facesr.methods.psp.net import PSPNet

if TYPE_CHECKING:
    from facesr.methods.generators.base import Generator


def metadata(path: Path) -> dict[str, str]:
    """The text metadata of a safetensors file, what a training noted in it among them; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        told = dict(file.metadata() or {})
    noted: dict[str, str] = json.loads(told.pop("facesr", "{}"))
    return told | noted


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under ``prefix.``, without it."""
    return {key[len(prefix) + 1 :]: value for key, value in state.items() if key.startswith(f"{prefix}.")}


def encoder_of(state: Mapping[str, Tensor], config: EncoderConfig) -> Encoder:
    """A frozen encoder in eval mode that takes the tensors of ``state`` themselves, without a copy."""
    with torch.device("meta"):
        encoder = build(config)
    load_strictly(encoder, state, "pSp encoder", assign=True)
    return encoder.eval().requires_grad_(False)


def read(path: Path, generator: Generator | None = None) -> PSPNet:
    """The network a file holds, frozen, in eval mode, on the CPU; its layout is told by its keys.

    ``generator`` takes the place of the checkpoint's decoder; an encoder of this project has none of its own.
    Raises ``FaceSRError`` naming a missing or foreign key.
    """
    told = metadata(path)
    tree = load_tensors(path)
    if "psp_encoder" in told:
        return _own(tree, told, generator, path)
    if "state_dict" not in tree:
        raise FaceSRError(
            f"{path} is no pSp checkpoint: it has no 'state_dict' (its keys: {', '.join(list(tree)[:4])}); "
            "the published file is psp_celebs_super_resolution.pt."
        )
    return assemble(tree, path, generator)


def _own(tree: Mapping[str, Tensor], told: Mapping[str, str], generator: Generator | None, path: Path) -> PSPNet:
    if generator is None:
        raise FaceSRError(f"{path} holds an encoder only: name its generator ({told.get('generator') or 'unknown'}).")
    encoder = encoder_of({k: v.float() for k, v in part(tree, "encoder").items()}, EncoderConfig.from_json(told["psp_encoder"]))
    mean = tree.get("latent_avg")
    return PSPNet(encoder, generator, None if mean is None else mean.float(), learn_in_w=told.get("learn_in_w") == "1").eval()


def assemble(tree: Mapping[str, Any], path: Path, generator: Generator | None = None) -> PSPNet:
    """The network of a published checkpoint that is already loaded (``path`` is for messages); its tensors are taken, not copied."""
    state: dict[str, Tensor] = tree["state_dict"]
    foreign = [key for key in state if not key.startswith(("encoder.", "decoder."))]
    if foreign:
        raise FaceSRError(f"{path} is no pSp checkpoint: its key {foreign[0]!r} is of neither encoder nor decoder.")
    opts = options(tree.get("opts"))
    if "encoder.input_layer.0.weight" not in state:
        raise FaceSRError(f"{path} is no whole pSp checkpoint: the key 'encoder.input_layer.0.weight' is missing.")
    if (channels := state["encoder.input_layer.0.weight"].shape[1]) != 3:
        raise FaceSRError(f"{path} is a pSp for {channels}-channel label maps, not for faces: use psp_celebs_super_resolution.pt.")
    if generator is None:
        generator = _decoder(state, opts, path)
    config = describe(part(state, "encoder"), encoder_type=opts.get("encoder_type"))
    if config.kind == "BackboneEncoderUsingLastLayerIntoW":
        config = EncoderConfig(**{**vars(config), "n_styles": generator.n_styles})
    mean = tree.get("latent_avg")
    starts_there = opts.get("start_from_latent_avg", mean is not None)
    if starts_there and mean is None:
        raise FaceSRError(f"{path} is cut short: its codes are offsets from 'latent_avg', and that key is missing.")
    learn_in_w = bool(opts.get("learn_in_w", config.kind == "BackboneEncoderUsingLastLayerIntoW"))
    net = PSPNet(
        encoder_of(part(state, "encoder"), config), generator, mean if starts_there else None, learn_in_w=learn_in_w, opts=opts
    )
    return net.eval()


def _decoder(state: Mapping[str, Tensor], opts: Mapping[str, Any], path: Path) -> Generator:
    from facesr.methods.generators.stylegan2 import StyleGAN2
    from facesr.methods.generators.stylegan2_keys import from_layout

    decoder = {key: value for key, value in state.items() if key.startswith("decoder.")}
    if not decoder:
        raise FaceSRError(f"{path} holds no decoder (no key begins with 'decoder.'): give the generator it was trained for.")
    generator = from_layout(StyleGAN2, "psp", decoder, path)
    # Options of the first release lack output_size: the network was always 1024 then, and its keys say so.
    if (claimed := opts.get("output_size")) is not None and int(claimed) != generator.size:
        raise FaceSRError(f"{path}: its options say output_size {claimed}, its decoder is of {generator.size}.")
    return generator.eval().requires_grad_(False)


def options(opts: Any) -> dict[str, Any]:
    """The options of a checkpoint as a dict; argparse's Namespace and an absent one too."""
    if opts is None:
        return {}
    return dict(opts) if isinstance(opts, Mapping) else dict(vars(opts))


def published(net: PSPNet) -> dict[str, Any]:
    """What the authors' own loader reads: ``torch.save`` it. Raises where the decoder is no StyleGAN2."""
    from facesr.methods.generators.stylegan2 import StyleGAN2
    from facesr.methods.generators.stylegan2_keys import to_layout

    if not isinstance(net.decoder, StyleGAN2):
        raise FaceSRError(
            "Only a pSp with a StyleGAN2 decoder can be written in the published layout; use tensors() for the encoder."
        )
    state = {f"encoder.{key}": value for key, value in net.encoder.state_dict().items()} | to_layout(net.decoder, "psp")
    return {"state_dict": state, "opts": dict(net.opts), "latent_avg": net.latent_avg}
