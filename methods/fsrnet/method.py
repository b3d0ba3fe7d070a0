"""FSRNet and FSRGAN as methods of the bench, with the project's default weights or a person's own checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from facesr.bench.imaging import read_rgb, resize, to_tensor
from facesr.methods.network import NetworkMethod, Precision

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.methods.fsrnet.checkpoint import Checkpoint
    from facesr.methods.fsrnet.net import FSRNetwork
    from facesr.methods.fsrnet.nngraph import Torch7FSRNet

TEST_FACE = Path(__file__).parents[2] / "bench" / "data" / "demo" / "images" / "demo-09.png"
FAR, NEAR = 2e-2, 5e-3
"""Mean squared distances from LR: no trained net's answer shrinks to anything farther than ``FAR``; ``NEAR`` is what a right reading gives."""


class FSRNet(NetworkMethod["FSRNetwork | Torch7FSRNet"]):
    """LR is enlarged bicubically to ``size``, then coarse net, prior, fine encoder and decoder give the image.

    ``checkpoint``: cs-giung's, cydiachen's or this project's (told apart by their keys), or the official ``.t7``; default: the project's own
    weights for ×8 at 128. ``range``: what the net was trained on, ``signed`` [-1, 1] or ``unit`` [0, 1]; default: by layout.
    ``residual``: whether the input is added to the output (cydiachen's ``learn_residual``); default: as the file says. Where it does not say,
    a test face decides: the input is added if the net's answer shrinks to its LR with it, and does not without.
    ``precision``: fp32, bf16 or fp16 (torch's automatic mixed precision). ``compile``: by ``torch.compile``, a minute for the first face.
    """

    cite: ClassVar[str] = "chen2018fsrnet"
    terms: ClassVar[str] = (
        "default weights: trained here on public-domain portraits and MobileStyleGAN faces (StyleGAN2-FFHQ terms: non-commercial)"
    )
    default: ClassVar[Path | None] = Path(__file__).parent / "weights" / "fsrnet-x8-128.safetensors"
    default_for: ClassVar[tuple[int, int] | None] = (128, 8)

    def __init__(
        self,
        *,
        size: int = 128,
        scale: float = 8,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: str = "",
        range: Literal["", "signed", "unit"] = "",
        residual: bool | None = None,
        kernel: str = "bicubic-matlab",
        precision: Precision = "fp32",
        compile: bool = False,
    ) -> None:
        super().__init__(
            size=size, scale=scale, seed=seed, device=device, checkpoint=checkpoint, precision=precision, compile=compile
        )
        self.require(range=(range, ("", "signed", "unit")))
        self.range, self.residual, self.kernel = range, residual, kernel
        self.used_range: str = range

    def open(self) -> FSRNetwork | Torch7FSRNet:
        from facesr.bench.networks.checkpoints import built
        from facesr.methods.fsrnet import nngraph
        from facesr.methods.fsrnet.checkpoint import read_fsrnet
        from facesr.methods.fsrnet.net import FSRNetwork

        file = self.file()
        if file.suffix == ".t7":
            self.used_range = self.range or "unit"
            return nngraph.read_graph(file)
        held = read_fsrnet(file)
        self.used_range = self.range or held.range
        net = built(lambda: FSRNetwork(held.sizes), held.state, f"{file}, as an FSRNet")
        net.sizes = dataclasses.replace(net.sizes, residual=self._residual(held, net))
        return net

    def _residual(self, held: Checkpoint, net: FSRNetwork) -> bool:
        """Whether the input is added: as asked, as the file says, else as a test face shows."""
        import torch

        if self.residual is not None or held.stated:
            return held.sizes.residual if self.residual is None else self.residual
        side = max(round(self.size / self.scale), 1)
        lr = resize(to_tensor(read_rgb(TEST_FACE)[None]), side, "bicubic-matlab").clamp(0, 1)
        x = resize(lr, self.size, self.kernel).clamp(0, 1)
        if self.size % net.sizes.stride:  # the faces will be refused, with the reason
            return False
        with torch.inference_mode():
            given = x if self.used_range == "unit" else x * 2 - 1
            answer = net(given).image
            plain, added = (y if self.used_range == "unit" else y / 2 + 0.5 for y in (answer, given + answer))
        errors = [float((resize(y.clamp(0, 1), side, "bicubic-matlab") - lr).square().mean()) for y in (plain, added)]
        return errors[0] > FAR and errors[1] < NEAR

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Tensor:
        """See ``Method``."""
        x = self.enlarged(lr, names, self.kernel)
        self.load()  # ``used_range`` may be the file's
        if self.used_range == "unit":
            return self.passed(x, attrgetter("image")).clamp(0, 1)
        return (self.passed(x * 2 - 1, attrgetter("image")) / 2 + 0.5).clamp(0, 1)


class FSRGAN(FSRNet):
    """FSRNet's net trained with the adversarial and perceptual terms; no default weights: give ``checkpoint`` (or train one)."""

    default: ClassVar[Path | None] = None
    default_for: ClassVar[tuple[int, int] | None] = None
