"""pix2pixHD as a method of the bench, with the project's default weights or a person's own ``latest_net_G.pth``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8
from facesr.methods.network import NetworkMethod, Precision

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.methods.pix2pixhd.checkpoint import Generator


def tensor2im(images: Tensor) -> U8:
    """The published conversion, images (..., 3, H, W) in [-1, 1] to (..., H, W, 3): clipped, and **truncated** to 8 bits.

    The bench rounds instead; this is here for comparing with files the published code wrote.
    """
    values = ((images.detach().float().cpu().movedim(-3, -1) + 1) / 2 * 255).clamp(0, 255)
    result: U8 = values.numpy().astype("uint8")
    return result


class Pix2PixHD(NetworkMethod["Generator"]):
    """LR is enlarged bicubically to ``size``; the generator keeps the size. There is no official checkpoint for faces.

    ``checkpoint``: a ``latest_net_G.pth`` (3 channels in and out; GlobalGenerator or LocalEnhancer, any sizes, of old and new PyTorch),
    or a file of this project; default: the project's own weights for ×8 at 128, whose generator works on the image of FSRNet's default
    weights (both in one file) and adds to it. ``precision``: fp32, bf16 or fp16 (torch's automatic mixed precision).
    ``compile``: by ``torch.compile``, a minute for the first face.
    """

    cite: ClassVar[str] = "wang2018pix2pixhd"
    terms: ClassVar[str] = (
        "default weights: trained here on public-domain portraits and MobileStyleGAN faces (StyleGAN2-FFHQ terms: non-commercial)"
    )
    default = Path(__file__).parent / "weights" / "pix2pixhd-x8-128.safetensors"
    default_for = (128, 8)
    trained_on = ("st-lpips-vgg", "identity-onnx:mobilefacenet", "consistency")

    def __init__(
        self,
        *,
        size: int = 128,
        scale: float = 8,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: str = "",
        kernel: str = "bicubic-matlab",
        precision: Precision = "fp32",
        compile: bool = False,
    ) -> None:
        super().__init__(
            size=size, scale=scale, seed=seed, device=device, checkpoint=checkpoint, precision=precision, compile=compile
        )
        self.kernel = kernel

    def files(self) -> dict[str, Path]:
        return {"generator": self.file()}

    def open(self) -> Generator:
        from torch import nn

        from facesr.methods.pix2pixhd.checkpoint import generator, read_pix2pixhd

        file = self.file()
        net = generator(read_pix2pixhd(file), str(file))
        outputs = [m for m in net.modules() if isinstance(m, nn.Conv2d)][-1].out_channels
        if (net.inputs, outputs) != (3, 3):
            raise FaceSRError(
                f"{file} is a generator of {net.inputs} to {outputs} channels: super-resolution needs RGB to RGB (--label_nc 0 --no_instance)"
            )
        return net

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Tensor:
        """See ``Method``."""
        return (self.passed(self.enlarged(lr, names, self.kernel) * 2 - 1) / 2 + 0.5).clamp(0, 1)
