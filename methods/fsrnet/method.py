"""FSRNet and FSRGAN as methods of the bench, with the project's default weights or a person's own checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.imaging import resize
from facesr.bench.method import Method
from facesr.bench.weights import find, sha256
from facesr.methods.fsrnet.checkpoint import read
from facesr.methods.fsrnet.net import FSRNetwork
from facesr.methods.inputs import check_lr

if TYPE_CHECKING:
    from facesr.methods.fsrnet.nngraph import Torch7FSRNet

DEFAULT = Path(__file__).parent / "weights" / "fsrnet-x8-128.safetensors"


class FSRNet(Method):
    """LR is enlarged bicubically to ``size``, then coarse net, prior, fine encoder and decoder give the image.

    ``checkpoint``: cs-giung's, cydiachen's or this project's (told by its keys), or the official ``.t7``; default: the project's own
    weights for ×8 at 128. ``range``: what the net was trained on, ``signed`` [-1, 1] or ``unit`` [0, 1]; default: by layout.
    ``residual``: add the input to the output (cydiachen's ``learn_residual``, which leaves no trace in a file).
    """

    cite: ClassVar[str] = "chen2018fsrnet"
    terms: ClassVar[str] = (
        "default weights: trained here on public-domain portraits and MobileStyleGAN faces (StyleGAN2-FFHQ terms: non-commercial)"
    )
    default: ClassVar[Path | None] = DEFAULT

    def __init__(
        self,
        *,
        size: int = 128,
        scale: int = 8,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: str = "",
        range: str = "",
        residual: bool | None = None,
        kernel: str = "bicubic-matlab",
    ) -> None:
        super().__init__(size=size, scale=scale, seed=seed, device=device)
        if range not in ("", "signed", "unit"):
            raise FaceSRError(f"range is {range!r}: choose 'signed' for [-1, 1] or 'unit' for [0, 1]")
        self.checkpoint, self.range, self.residual, self.kernel = checkpoint, range, residual, kernel
        self.net: FSRNetwork | Torch7FSRNet | None = None
        self.used_range = range

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> FSRNet:
        """The method with a checkpoint loaded; ``options`` as for the constructor."""
        method = cls(checkpoint=str(path), **options)
        method.load()
        return method

    def _file(self) -> Path:
        if self.checkpoint:
            return Path(find(self.checkpoint))
        if self.default is None:
            raise WeightsMissing(f"{type(self).__name__} has no default weights: train it, or give checkpoint=PATH")
        if not self.default.is_file():
            raise WeightsMissing(f"{self.default} is missing: reinstall the project, or give checkpoint=PATH")
        return self.default

    def skip(self) -> str | None:
        """The default weights are for ×8 at 128; a person's own serve any size that their strides divide."""
        if not self.checkpoint and (self.size, self.scale) != (128, 8):
            return f"the default weights are for x8 at 128, not x{self.scale} at {self.size}: give a checkpoint"
        return None

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of the checkpoint."""
        try:
            return {"net": sha256(self._file())}
        except WeightsMissing:
            return {}

    def load(self) -> None:
        """Read the checkpoint and build the net it describes."""
        file = self._file()
        if file.suffix == ".t7":
            from facesr.methods.fsrnet import nngraph

            self.net = nngraph.read(file).to(self.device)
            self.used_range = self.range or "unit"
            return
        held = read(file)
        sizes = held.sizes if self.residual is None else dataclasses.replace(held.sizes, residual=self.residual)
        net = FSRNetwork(sizes)
        missing, unexpected = net.load_state_dict(held.state, strict=False)
        missing = [k for k in missing if not k.endswith("num_batches_tracked")]
        if missing or unexpected:
            raise FaceSRError(
                f"{file} is not a whole FSRNet: {len(missing)} keys missing, {len(unexpected)} unknown ({(missing + unexpected)[0]})"
            )
        self.net = net.to(self.device).eval()
        self.used_range = self.range or held.range

    @torch.inference_mode()
    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Tensor:
        """See ``Method``."""
        lr = check_lr(lr, type(self).__name__, list(names))
        if lr.shape[-1] * self.scale != self.size:
            side = self.size // self.scale
            raise FaceSRError(
                f"{type(self).__name__} got LR faces of {lr.shape[-1]} px: ×{self.scale} to {self.size} starts at {side} px"
            )
        if self.net is None:
            self.load()
        assert self.net is not None
        x = resize(lr.to(self.device), self.size, self.kernel).clamp(0, 1)
        if self.used_range == "unit":
            image: Tensor = self.net(x).image
        else:
            image = self.net(x * 2 - 1).image / 2 + 0.5
        return image.clamp(0, 1)


class FSRGAN(FSRNet):
    """FSRNet's net trained with the adversarial and perceptual terms; no default weights: give ``checkpoint`` (or train one)."""

    default: ClassVar[Path | None] = None
