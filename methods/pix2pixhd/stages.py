"""Two stages in one net: a regression net's image, and a pix2pixHD generator that adds what regression leaves out.

A small training budget cannot pay for both tasks at once: drawn from scratch, eyes and mouths came out broken. The first stage stays as
it was trained; the generator begins by adding nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import built
from facesr.methods.fsrnet.checkpoint import read_fsrnet, sizes_of
from facesr.methods.fsrnet.net import FSRNetwork
from facesr.methods.pix2pixhd.net import GlobalGenerator, MultiscaleDiscriminator, Norm

FIRST = "first."
"""Keys of the first stage in a weight file; the generator's keep their published names."""


class TwoStage(nn.Module):
    """(B, 3, H, W) enlarged LR in [-1, 1] to the same shape: ``first``'s image plus the generator's answer to it, clipped."""

    def __init__(self, first: FSRNetwork, generator: GlobalGenerator) -> None:
        super().__init__()
        self.first, self.model = first.requires_grad_(False), generator.model
        self.inputs, self.step = generator.inputs, generator.step

    def train(self, mode: bool = True) -> TwoStage:
        """The first stage stays in eval mode."""
        super().train(mode)
        self.first.eval()
        return self

    def weaker(self, strength: float) -> dict[str, Tensor]:
        """The state of a net that adds ``strength`` times as much, nearly: the factor stands before the last layer's tanh."""
        last = f"model.{len(self.model) - 2}."
        return {key: value * strength if key.startswith(last) else value for key, value in self.state_dict().items()}

    def silence(self) -> None:
        """The generator adds nothing until it is trained."""
        last = self.model[-2]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        with torch.no_grad():
            base: Tensor = self.first(x).image
        added: Tensor = self.model(base)
        return (base.float() + added.float()).clamp(-1, 1)


def first_stage(state: Mapping[str, Tensor], name: str) -> FSRNetwork:
    """FSRNet from its part of a two-stage weight file, or from a file of its own (``read_first``)."""
    sizes = dataclasses.replace(sizes_of(state, name), residual=True)
    return built(lambda: FSRNetwork(sizes), state, f"{name}, its first stage as an FSRNet")


def read_first(file: Path) -> FSRNetwork:
    """This project's FSRNet weights as a first stage."""
    held = read_fsrnet(file)
    if held.range != "signed" or not held.sizes.residual:
        raise FaceSRError(f"{file}: a first stage works on [-1, 1] and adds its input; train it with 'facesr train fsrnet'")
    return first_stage(held.state, str(file))


class Judges(nn.Module):
    """The multiscale discriminator of the whole image, and one of a single scale for each box (top, left, height, width).

    Faces are aligned, so a box holds both eyes, or the mouth, of every face. Gives the lists of all, as if they were further scales.
    """

    def __init__(self, whole: MultiscaleDiscriminator, boxes: Sequence[Sequence[int]], ndf: int, n_layers: int, norm: Norm) -> None:
        super().__init__()
        self.whole, self.boxes = whole, [tuple(box) for box in boxes]
        self.parts = nn.ModuleList(MultiscaleDiscriminator(whole.inputs, ndf, n_layers, 1, norm=norm) for _ in boxes)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """(B, inputs, H, W), image and condition one after the other."""
        found: list[list[Tensor]] = self.whole(x)
        for (top, left, height, width), part in zip(self.boxes, self.parts, strict=True):
            found = found + part(x[:, :, top : top + height, left : left + width])
        return found


__all__ = ["FIRST", "Judges", "TwoStage", "first_stage", "read_first"]
