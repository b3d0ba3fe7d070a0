"""pSp as a method of the bench."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from facesr.bench.errors import FaceSRError, WeightsMissing, suggest
from facesr.bench.method import Method, Restored

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.methods.psp.net import PSPNet

WEIGHTS = Path(__file__).parent / "weights"


class PSP(Method):
    """One pass: an encoder gives a face's W+ codes, a fixed generator draws it.

    ``checkpoint``: the published ``psp_celebs_super_resolution.pt``, or an encoder of this project ('' for the one that comes with
    it). ``generator``: the one an encoder without a decoder was trained for ('' for the one it names).
    ``samples``: further plausible faces, by mixing the styles ``latent_mask`` ('8,9,10'; '' for those of 64 pixels and up) with a
    random face's, wholly or by ``mix_alpha``. ``refine_steps``: at most so many steps of a search after the encoder, each about as long
    as three passes, until the face shrinks to LR within ``eps`` (not in the paper; the default weights take about 25).
    ``preprocess``: ``lr`` feeds the LR face itself; ``script`` degrades it once more by ``resize_factor``, as the release's inference
    script does to any image.
    """

    cite: ClassVar[str] = "richardson2021encoding"
    terms: ClassVar[str] = "own code after pixel2style2pixel (MIT); generators trained on FFHQ are for non-commercial use"

    def __init__(
        self,
        *,
        size: int = 128,
        scale: int = 8,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: str = "",
        generator: str = "",
        samples: int = 0,
        latent_mask: str = "",
        mix_alpha: float | None = None,
        refine_steps: int = 0,
        eps: float = 1e-3,
        kernel: str = "bicubic-matlab",
        preprocess: Literal["lr", "script"] = "lr",
        resize_factor: int = 8,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        super().__init__(size=size, scale=scale, seed=seed, device=device)
        problems = [
            f"{name} {value!r} is unknown, {suggest(str(value), choices)}"
            for name, value, choices in (("preprocess", preprocess, ("lr", "script")), ("precision", precision, ("fp32", "bf16")))
            if value not in choices
        ]
        problems += [
            f"{name} {value} is negative" for name, value in (("samples", samples), ("refine_steps", refine_steps)) if value < 0
        ]
        if mix_alpha is not None and not 0 <= mix_alpha <= 1:
            problems.append(f"mix_alpha {mix_alpha} is not between 0 and 1")
        if not eps > 0:
            problems.append(f"eps {eps} is not positive")
        try:
            self.rows = [int(row) for row in latent_mask.split(",") if row.strip()]
        except ValueError:
            problems.append(f"latent_mask {latent_mask!r} is not numbers joined by commas")
        if problems:
            raise FaceSRError(f"Wrong pSp settings: {'; '.join(problems)}.")
        self.checkpoint, self.generator = checkpoint, generator
        self.samples, self.mix_alpha = samples, mix_alpha
        self.refine_steps, self.eps, self.kernel = refine_steps, eps, kernel
        self.preprocess, self.resize_factor, self.precision = preprocess, resize_factor, precision
        self._net: PSPNet | None = None

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> PSP:
        """A loaded pSp from the file ``path``, its layout told by its keys; ``options`` go to the constructor."""
        method = cls(**{"checkpoint": str(path), **options})
        method.load()
        return method

    @property
    def net(self) -> PSPNet:
        """The network, loaded when first asked for."""
        if self._net is None:
            self.load()
        assert self._net is not None
        return self._net

    def _file(self) -> Path:
        from facesr.bench.weights import find

        if self.checkpoint:
            return find(self.checkpoint)
        own = sorted(WEIGHTS.glob("*.safetensors"))
        if not own:
            raise WeightsMissing("pSp's own weights are not here: give checkpoint=, for example psp_celebs_super_resolution.pt.")
        return own[0]

    def _generator(self, path: Path) -> str:
        """The generator's name: as asked, or as the encoder's file says; '' where the checkpoint has its own."""
        from facesr.methods.psp.checkpoint import metadata

        told = metadata(path)
        return self.generator or told.get("generator", "mobilestylegan128" if "psp_encoder" in told else "")

    def load(self) -> None:
        """Load encoder and generator. Raises ``WeightsMissing``."""
        if self._net is not None:
            return
        from facesr.methods.priors import open_generator
        from facesr.methods.psp.checkpoint import read

        path = self._file()
        name = self._generator(path)
        self._net = read(path, open_generator(name) if name else None).to(self.device)

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of the checkpoint and of the generator's files."""
        from facesr.bench.weights import sha256
        from facesr.methods.priors import digests

        path = self._file()
        name = self._generator(path)
        return {path.name: sha256(path)} | (digests(name) if name else {})

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Tensor | Restored:
        """Faces in [0, 1] of the generator's size for ``lr`` (B, 3, h, h) in [0, 1]; see ``Method.restore``."""
        import torch

        from facesr.methods.inputs import check_lr

        given = check_lr(lr, "pSp", list(names)).to(self.device)
        with torch.no_grad(), self._autocast():
            codes = self.net.encode(self._input(given))
        if self.refine_steps:
            codes = self._refine(codes, given)
        with torch.no_grad():
            images = self._draw(codes)
            if not self.samples:
                return images
            return Restored(images, samples=torch.stack([self._draw(self._mixed(codes, names, k)) for k in range(self.samples)]))

    def _autocast(self) -> AbstractContextManager[object]:
        import torch

        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def _input(self, lr: Tensor) -> Tensor:
        from facesr.methods.psp.preprocess import as_script, from_lr

        side = self.net.encoder.config.input_size
        return from_lr(lr, side) if self.preprocess == "lr" else as_script(lr, self.resize_factor, side)

    def _draw(self, codes: Tensor) -> Tensor:
        """Images in [0, 1] (values outside are left to the caller) from W+ codes."""
        with self._autocast():
            images = self.net.decoder.synthesize(codes.float())
        return (images.float() + 1) / 2

    def _mixed(self, codes: Tensor, names: Sequence[str], k: int) -> Tensor:
        """Codes whose fine styles are those of a random face: of its own for each (seed, name, k)."""
        import torch

        from facesr.methods.pulse.method import face_seed

        seeds = [face_seed(self.seed, f"{name}#{k}") for name in (names or [""] * len(codes))]
        z = torch.cat([torch.randn(1, 512, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        rows = self.rows or range(min(self.net.encoder.config.middle + 1, codes.shape[1] - 1), codes.shape[1])
        return self.net.mix(codes, list(rows), self.net.styles(z.to(codes)), self.mix_alpha)

    def _refine(self, codes: Tensor, lr: Tensor) -> Tensor:
        from facesr.bench.imaging import resize
        from facesr.methods.psp.refine import refine

        def shrink(images: Tensor) -> Tensor:
            """As the bench measures it: clipped, reduced to the HR size by the box average, then degraded."""
            images = images.clamp(0, 1)
            if images.shape[-1] > self.size:
                images = resize(images, self.size, "box")
            return resize(images, lr.shape[-1], self.kernel)

        # A twentieth is left for the rounding of the saved image.
        return refine(codes.float(), lr, shrink, self._draw, steps=self.refine_steps, eps=0.95 * self.eps).codes
