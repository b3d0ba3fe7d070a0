"""pix2pixHD as a method of the bench, with the project's default weights or a person's own ``latest_net_G.pth``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import U8
from facesr.bench.imaging import resize
from facesr.bench.method import Method
from facesr.bench.weights import find, sha256
from facesr.methods.inputs import check_lr
from facesr.methods.pix2pixhd.checkpoint import generator, read
from facesr.methods.pix2pixhd.net import GlobalGenerator, LocalEnhancer

DEFAULT = Path(__file__).parent / "weights" / "pix2pixhd-x8-128.safetensors"


def tensor2im(images: Tensor) -> U8:
    """The published conversion, images (..., 3, H, W) in [-1, 1] to (..., H, W, 3): clipped, and **truncated** to 8 bits.

    The bench rounds instead; this is here for comparing with files the published code wrote.
    """
    values = ((images.detach().float().cpu().movedim(-3, -1) + 1) / 2 * 255).clamp(0, 255)
    result: U8 = values.numpy().astype("uint8")
    return result


class Pix2PixHD(Method):
    """LR is enlarged bicubically to ``size``; the generator keeps the size. There is no official checkpoint for faces.

    ``checkpoint``: a ``latest_net_G.pth`` (3 channels in and out; GlobalGenerator or LocalEnhancer, any sizes, of old and new PyTorch),
    or a file of this project; default: the project's own weights for ×8 at 128.
    """

    cite: ClassVar[str] = "wang2018pix2pixhd"
    terms: ClassVar[str] = (
        "default weights: trained here on public-domain portraits and MobileStyleGAN faces (StyleGAN2-FFHQ terms: non-commercial)"
    )

    def __init__(
        self,
        *,
        size: int = 128,
        scale: int = 8,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: str = "",
        kernel: str = "bicubic-matlab",
    ) -> None:
        super().__init__(size=size, scale=scale, seed=seed, device=device)
        self.checkpoint, self.kernel = checkpoint, kernel
        self.net: GlobalGenerator | LocalEnhancer | None = None

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> Pix2PixHD:
        """The method with a checkpoint loaded; ``options`` as for the constructor."""
        method = cls(checkpoint=str(path), **options)
        method.load()
        return method

    def _file(self) -> Path:
        if self.checkpoint:
            return Path(find(self.checkpoint))
        if not DEFAULT.is_file():
            raise WeightsMissing(f"{DEFAULT} is missing: reinstall the project, or give checkpoint=PATH")
        return DEFAULT

    def skip(self) -> str | None:
        """The default weights are for ×8 at 128; a person's own serve any size that their strides divide."""
        if not self.checkpoint and (self.size, self.scale) != (128, 8):
            return f"the default weights are for x8 at 128, not x{self.scale} at {self.size}: give a checkpoint"
        return None

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of the checkpoint."""
        try:
            return {"generator": sha256(self._file())}
        except WeightsMissing:
            return {}

    def load(self) -> None:
        """Read the checkpoint and build the generator it describes."""
        file = self._file()
        net = generator(read(file), str(file))
        outputs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)][-1].out_channels
        if (net.inputs, outputs) != (3, 3):
            raise FaceSRError(
                f"{file} is a generator of {net.inputs} to {outputs} channels: super-resolution needs RGB to RGB (--label_nc 0 --no_instance)"
            )
        self.net = net.to(self.device).eval()

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
        x = resize(lr.to(self.device), self.size, self.kernel).clamp(0, 1) * 2 - 1
        result: Tensor = self.net(x) / 2 + 0.5
        return result.clamp(0, 1)
