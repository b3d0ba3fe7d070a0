"""Reading and writing pSp's checkpoints: the published ``{'state_dict', 'opts', 'latent_avg'}``, and encoders of this project.

An encoder of this project is a safetensors file of ``encoder.*`` and ``latent_avg`` whose metadata says how it is built
(``psp_encoder``: ``EncoderConfig`` as JSON; ``learn_in_w``) and which generator it was trained for (``generator``).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import built, find_state, reading_sizes
from facesr.bench.weights import load_tensors, metadata
from facesr.methods.generators.stylegan2 import StyleGAN2
from facesr.methods.psp.encoders import EncoderConfig, PSPEncoder, build_encoder, describe_encoder
from facesr.methods.psp.net import PSPNet

if TYPE_CHECKING:
    from facesr.methods.generators.base import Generator


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under ``prefix.``, without it."""
    return {key[len(prefix) + 1 :]: value for key, value in state.items() if key.startswith(f"{prefix}.")}


def encoder_of(state: Mapping[str, Tensor], config: EncoderConfig, what: str = "the pSp encoder") -> PSPEncoder:
    """A frozen encoder in eval mode that takes the tensors of ``state`` themselves, without a copy."""
    return built(lambda: build_encoder(config), state, what)


def read_psp(path: Path, generator: Generator | None = None) -> PSPNet:
    """The network a file holds, frozen, in eval mode, on the CPU; its layout is read off its keys.

    ``generator`` takes the place of the checkpoint's decoder; an encoder of this project has none of its own.
    Raises ``FaceSRError`` naming a missing or unexpected key.
    """
    told = metadata(path)
    tree = load_tensors(path)
    return _own(tree, told, generator, path) if "psp_encoder" in told else assemble(tree, path, generator)


def _own(tree: Mapping[str, Tensor], told: Mapping[str, str], generator: Generator | None, path: Path) -> PSPNet:
    if generator is None:
        raise FaceSRError(f"{path} holds an encoder only: name its generator ({told.get('generator') or 'unknown'}).")
    state = part(find_state(tree, ("encoder.",), str(path), "pSp encoder").tensors, "encoder")
    encoder = encoder_of(state, EncoderConfig.from_json(told["psp_encoder"]), f"{path}, as a pSp encoder")
    return PSPNet(encoder, generator, mean_of(tree, path), learn_in_w=told.get("learn_in_w") == "1").eval()


def mean_of(beside: Mapping[str, Any], path: Path) -> Tensor | None:
    """``latent_avg`` as float32, or None where there is none."""
    mean = beside.get("latent_avg")
    if mean is None:
        return None
    if not isinstance(mean, Tensor) or not mean.is_floating_point() or not bool(torch.isfinite(mean.float()).all()):
        raise FaceSRError(f"{path}: its 'latent_avg' is no tensor of finite numbers: is the file whole?")
    return mean.float()


def assemble(tree: Mapping[str, Any], path: Path, generator: Generator | None = None) -> PSPNet:
    """The network of a published checkpoint that is already loaded (``path`` is for messages); its tensors are taken, not copied.

    The state dict may lie in wrappers, carry the prefixes of training tools, and hold half or double precision.
    """
    found = find_state(
        tree, ("encoder.input_layer.",), str(path), "pSp checkpoint (the published one is psp_celebs_super_resolution.pt)"
    )
    state, beside = dict(found.tensors), dict(found.beside)
    if "latent_avg" in state:  # some save it among the weights
        beside["latent_avg"] = state.pop("latent_avg")
    foreign = [key for key in state if not key.startswith(("encoder.", "decoder."))]
    if foreign:
        raise FaceSRError(f"{path} is no pSp checkpoint: its key {foreign[0]!r} is of neither encoder nor decoder.")
    opts = stored_options(beside.get("opts"))
    what = f"{path}, as a pSp checkpoint"
    with reading_sizes(what):
        if (channels := state["encoder.input_layer.0.weight"].shape[1]) != 3:
            raise FaceSRError(
                f"{path} is a pSp for {channels}-channel label maps, not for faces: use psp_celebs_super_resolution.pt."
            )
        config = describe_encoder(part(state, "encoder"), encoder_type=opts.get("encoder_type"))
    if generator is None:
        generator = _decoder(state, opts, path)
    if config.kind == "BackboneEncoderUsingLastLayerIntoW":
        config = EncoderConfig(**{**vars(config), "n_styles": generator.n_styles})
    mean = mean_of(beside, path)
    starts_there = opts.get("start_from_latent_avg", mean is not None)
    if starts_there and mean is None:
        raise FaceSRError(f"{path} is cut short: its codes are offsets from 'latent_avg', and that key is missing.")
    learn_in_w = bool(opts.get("learn_in_w", config.kind == "BackboneEncoderUsingLastLayerIntoW"))
    encoder = encoder_of(part(state, "encoder"), config, what)
    return PSPNet(encoder, generator, mean if starts_there else None, learn_in_w=learn_in_w, opts=opts).eval()


def _decoder(state: Mapping[str, Tensor], opts: Mapping[str, Any], path: Path) -> Generator:
    decoder = {key: value for key, value in state.items() if key.startswith("decoder.")}
    if not decoder:
        raise FaceSRError(f"{path} holds no decoder (no key begins with 'decoder.'): give the generator it was trained for.")
    generator = StyleGAN2.from_layout("psp", decoder, path)
    # Options of the first release lack output_size: the network was always 1024 then, and its keys say so.
    if (claimed := opts.get("output_size")) is not None and claimed != generator.size:
        raise FaceSRError(f"{path}: its options say output_size {claimed}, its decoder is of {generator.size}.")
    return generator.eval().requires_grad_(False)


def stored_options(opts: Any) -> dict[str, Any]:
    """The options of a checkpoint as a dict; argparse's Namespace and an absent one too."""
    if opts is None:
        return {}
    if isinstance(opts, argparse.Namespace):
        opts = vars(opts)
    if not isinstance(opts, Mapping):
        raise FaceSRError(f"a pSp checkpoint keeps its options as a table, not as {type(opts).__name__}: is it the right file?")
    return {str(key): value for key, value in opts.items()}


def to_published(net: PSPNet) -> dict[str, Any]:
    """What the authors' own loader reads: ``torch.save`` it. Raises where the decoder is no StyleGAN2."""
    if not isinstance(net.decoder, StyleGAN2):
        raise FaceSRError(
            "Only a pSp with a StyleGAN2 decoder can be written in the published layout; use tensors() for the encoder."
        )
    state = {f"encoder.{key}": value for key, value in net.encoder.state_dict().items()} | net.decoder.to_layout("psp")
    return {"state_dict": state, "opts": dict(net.opts), "latent_avg": net.latent_avg}
