"""The options of a PULSE search, checked together; no torch here, so that a method can be made and listed cheaply."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from facesr.bench.config import BadValue, Count, Natural, Positive
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.protocol import Kernel

Schedule = Literal["fixed", "linear1cycle", "linear1cycledrop"]
TERMS = ("L1", "L2", "GEOCROSS")


def parse_losses(text: str) -> list[tuple[float, str]]:
    """``100*L2+0.05*GEOCROSS`` as [(100, 'L2'), (.05, 'GEOCROSS')]."""
    found = []
    for piece in text.replace(" ", "").split("+"):
        match = re.fullmatch(r"([0-9.]+(?:[eE]-?[0-9]+)?)\*(\w+)", piece)
        if match is None:
            raise FaceSRError(f"PULSE's loss {text!r} is not a sum of weight*TERM such as '100*L2+0.05*GEOCROSS' (at {piece!r}).")
        if match[2] not in TERMS:
            raise FaceSRError(f"PULSE's loss has no term {match[2]!r}; {suggest(match[2], TERMS)}")
        found.append((float(match[1]), match[2]))
    return found


NoiseType = Literal["zero", "fixed", "trainable", "stored"]


@dataclass(frozen=True)
class Settings:
    """The options of the release, under its names, with its defaults except ``eps`` (the paper's; the release has 2e-3).

    ``noise_type``: the release's three, or ``stored``, the generator's own maps, none drawn (for MobileStyleGAN, which knows one noise
    only). ``bad_noise_layers``: noise layers that are zero, joined by dots. ``kernel``: the downscaling D. ``bf16``: run the generator in
    bfloat16 (the loss stays in float32).
    """

    loss_str: str = "100*L2+0.05*GEOCROSS"
    eps: Positive = 1e-3
    noise_type: NoiseType = "trainable"
    num_trainable_noise_layers: Natural = 5
    tile_latent: bool = False
    bad_noise_layers: str = "17"
    opt_name: Literal["sgd", "adam", "sgdm", "adamax"] = "adam"
    learning_rate: Positive = 0.4
    steps: Count = 100
    lr_schedule: Schedule = "linear1cycledrop"
    kernel: Kernel = "bicubic-pulse"
    bf16: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(\d+(\.\d+)*)?", self.bad_noise_layers):
            raise BadValue(f"bad_noise_layers {self.bad_noise_layers!r} is not numbers joined by dots")
        try:
            parse_losses(self.loss_str)
        except FaceSRError as error:
            raise BadValue(str(error).rstrip(".")) from None

    @property
    def bad_layers(self) -> frozenset[int]:
        """The numbers in ``bad_noise_layers``."""
        return frozenset(int(layer) for layer in str(self.bad_noise_layers).split(".") if layer)
