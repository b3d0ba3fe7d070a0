"""pSp as a method of the bench."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.imaging import resize
from facesr.bench.method import Outcome, Restored
from facesr.bench.results.status import Status
from facesr.bench.weights import load_tensors, metadata
from facesr.methods.generators.opening import files, open_generator
from facesr.methods.network import NetworkMethod, Precision

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.methods.psp.linear import Descent
    from facesr.methods.psp.net import PSPNet

SEARCHED = "a search after the encoder, not in the paper; a face that stays outside ε counts as not converged"
PROJECTED = "what LR has and the generator's face lacks is added to it (back-projection, Irani and Peleg 1991), not in the paper"
SMALL_GENERATOR = "its faces are drawn by the small generator of this project, not by the published StyleGAN2"
"""Of an encoder of a user's own that was trained for the generator that comes along."""
SEARCH = {"mobilestylegan128": Path(__file__).parent / "weights" / "search-mobilestylegan128.safetensors"}
"""Rows for ``Descent``, by generator."""
REACH = 0.95
"""Share of ``eps`` at which the search rests."""


class PSP(NetworkMethod["PSPNet"]):
    """One pass: an encoder gives a face's W+ codes, a fixed generator draws it.

    ``checkpoint``: the published ``psp_celebs_super_resolution.pt``, or an encoder of this project ('' for the one that comes with
    it). ``generator``: the one an encoder without a decoder was trained for ('' for the one it names).
    ``samples``: further plausible faces, by mixing the styles ``latent_mask`` ('8,9,10'; '' for those of 64 pixels and up) with a
    random face's, wholly or by ``mix_alpha``. ``refine_steps``: at most so many steps of a search after the encoder, each about as long
    as three passes, until the face shrinks to LR within ``eps`` (not in the paper; the default weights take about 30, by what was measured
    of their generator; other generators' codes, and those that need more, are moved by Adam); a face that does not get there is
    ``not_converged``, its image is kept. ``back_projection``: so many times what LR has and the shrunk face lacks is enlarged and
    added to the face (not in the paper), whose pixels then are no longer the generator's alone.
    ``eps``, ``kernel``: of the search and the back-projection; the protocol's own unless set.
    ``precision``: fp32, bf16 or fp16 (torch's automatic mixed precision).
    ``compile``: by ``torch.compile``, a minute for the first face (the pass alone, without a search).
    ``preprocess``: ``lr`` feeds the LR face itself; ``script`` degrades it once more by ``resize_factor``, as the release's inference
    script does to any image.
    """

    cite: ClassVar[str] = "richardson2021encoding"
    default: ClassVar[Path] = Path(__file__).parent / "weights" / "psp-128.safetensors"
    trained_on = ("lpips-squeeze", "identity-onnx:mobilefacenet", "consistency")
    from_protocol: ClassVar[Mapping[str, str]] = {"eps": "consistency.epsilon", "kernel": "degradation.kernel"}
    own_steps: ClassVar[int] = 0
    """``refine_steps`` where none are asked for."""
    own_projections: ClassVar[int] = 0
    """``back_projection`` where none is asked for."""
    terms: ClassVar[str] = "own code after pixel2style2pixel (MIT); generators trained on FFHQ are for non-commercial use"

    def __init__(
        self,
        *,
        size: int = 128,
        scale: float = 8,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: str = "",
        generator: str = "",
        samples: int = 0,
        latent_mask: str = "",
        mix_alpha: float | None = None,
        refine_steps: int | None = None,
        back_projection: int | None = None,
        eps: float = 1e-3,
        kernel: str = "bicubic-matlab",
        preprocess: Literal["lr", "script"] = "lr",
        resize_factor: int = 8,
        precision: Precision = "fp32",
        compile: bool = False,
    ) -> None:
        super().__init__(
            size=size, scale=scale, seed=seed, device=device, checkpoint=checkpoint, precision=precision, compile=compile
        )
        refine_steps = self.own_steps if refine_steps is None else refine_steps
        back_projection = self.own_projections if back_projection is None else back_projection
        counts = {"samples": samples, "refine_steps": refine_steps, "back_projection": back_projection}
        problems = [f"{name} {value} is negative" for name, value in counts.items() if value < 0]
        if compile and refine_steps:
            problems.append("compile is for the pass alone: the search of refine_steps goes back through the generator")
        if mix_alpha is not None and not 0 <= mix_alpha <= 1:
            problems.append(f"mix_alpha {mix_alpha} is not between 0 and 1")
        if not eps > 0:
            problems.append(f"eps {eps} is not positive")
        try:
            self.rows = [int(row) for row in latent_mask.split(",") if row.strip()]
        except ValueError:
            problems.append(f"latent_mask {latent_mask!r} is not numbers joined by commas")
        self.require(*problems, preprocess=(preprocess, ("lr", "script")))
        self.generator = generator
        self.samples, self.mix_alpha = samples, mix_alpha
        self.refine_steps, self.back_projection, self.eps, self.kernel = refine_steps, back_projection, eps, kernel
        self.preprocess, self.resize_factor = preprocess, resize_factor

    def file(self) -> Path:
        if not self.checkpoint and not self.default.is_file():
            raise WeightsMissing("pSp's own weights are not here: give checkpoint=, for example psp_celebs_super_resolution.pt.")
        return super().file()

    def generator_of(self, path: Path) -> str:
        """The generator's name: as asked, or as the encoder's file says; '' where the checkpoint has its own."""
        noted = metadata(path)
        return self.generator or noted.get("generator", "mobilestylegan128" if "psp_encoder" in noted else "")

    def files(self) -> dict[str, Path]:
        path = self.file()
        name = self.generator_of(path)
        search = [SEARCH[name]] if self.refine_steps and name in SEARCH else []
        return {path.name: path} | {file.name: file for file in [*(files(name) if name else []), *search]}

    def open(self) -> PSPNet:
        import torch

        from facesr.methods.psp.checkpoint import read_psp

        path = self.file()
        name = self.generator_of(path)
        net = read_psp(path, open_generator(name) if name else None)
        net.encoder.to(memory_format=torch.channels_last)  # a tenth faster on a processor
        return net

    def compile_net(self, net: PSPNet) -> None:
        import torch

        net.encoder.compile(dynamic=False)
        setattr(net.decoder, "synthesize", torch.compile(net.decoder.synthesize, dynamic=False))  # noqa: B010 - a method, replaced

    @property
    def notes(self) -> Sequence[str]:
        said = {SEARCHED: self.refine_steps, PROJECTED: self.back_projection}
        own = super().notes or ((SMALL_GENERATOR,) if self._small_generator() else ())
        return (*own, *(note for note, steps in said.items() if steps))

    def _small_generator(self) -> bool:
        """Whether the faces are drawn by this project's own generator."""
        try:
            return self.generator_of(self.file()) == "mobilestylegan128"
        except (FaceSRError, OSError):  # loading it says what is wrong
            return False

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Tensor | Restored:
        """Faces in [0, 1] of the generator's size for ``lr`` (B, 3, h, h) in [0, 1]; see ``Method.restore``."""
        import torch

        from facesr.bench.networks.exact import each, one_torch_thread

        given = self.checked(lr, names)
        with torch.no_grad():
            codes = each(self._codes, given)
        outcomes = None
        if self.refine_steps:
            codes, outcomes = self._refined(codes, given)
        with torch.no_grad(), one_torch_thread():
            images = self._finished(each(self._draw, codes), given, outcomes)
            if not self.samples and outcomes is None:
                return images
            mixed = [self._finished(each(self._draw, self._mixed(codes, names, k)), given, outcomes) for k in range(self.samples)]
            return Restored(images, outcomes, torch.stack(mixed) if mixed else None)

    def _finished(self, images: Tensor, lr: Tensor, outcomes: list[Outcome] | None) -> Tensor:
        """After back-projection, which a face that did not converge does without: its ε is to show why."""
        import torch

        from facesr.bench.networks.exact import each
        from facesr.methods.psp.refine import back_project

        if not self.back_projection:
            return images
        sized = each(self._reduced, images)
        pairs = zip(torch.split(sized, 1), torch.split(lr, 1), outcomes or [Outcome()] * len(lr), strict=True)
        return torch.cat(
            [back_project(i, x, self.kernel, self.back_projection) if o.status == Status.OK else i for i, x, o in pairs]
        )

    def _reduced(self, images: Tensor) -> Tensor:
        """Clipped, and of the HR size, by the box average as the bench reduces them."""
        images = images.clamp(0, 1)
        return resize(images, self.size, "box") if images.shape[-1] > self.size else images

    def _codes(self, lr: Tensor) -> Tensor:
        with self.autocast():
            return self.net.encode(self._input(lr))

    def _input(self, lr: Tensor) -> Tensor:
        from facesr.methods.psp.preprocess import as_script, from_lr

        side = self.net.encoder.config.input_size
        return from_lr(lr, side) if self.preprocess == "lr" else as_script(lr, self.resize_factor, side)

    def _draw(self, codes: Tensor) -> Tensor:
        """Images in [0, 1] (values outside are left to the caller) from W+ codes."""
        with self.autocast():
            images = self.net.decoder.synthesize(codes.float())
        return (images.float() + 1) / 2

    def _mixed(self, codes: Tensor, names: Sequence[str], k: int) -> Tensor:
        """Codes whose fine styles are those of a random face: of its own for each (seed, name, k)."""
        import torch

        from facesr.methods.inputs import face_seed

        seeds = [face_seed(self.seed, f"{name}#{k}") for name in (names or [""] * len(codes))]
        z = torch.cat([torch.randn(1, 512, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        rows = self.rows or range(min(self.net.encoder.config.middle + 1, codes.shape[1] - 1), codes.shape[1])
        return self.net.mix(codes, list(rows), self.net.styles(z.to(codes)), self.mix_alpha)

    def _refined(self, codes: Tensor, lr: Tensor) -> tuple[Tensor, list[Outcome]]:
        """Codes after the search, and how each face ended: above ``eps`` it is ``not_converged``, as a face of PULSE is."""
        import torch

        from facesr.bench.networks.exact import one_torch_thread
        from facesr.methods.psp.refine import refine

        def search(start: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            # A twentieth is left for the rounding of the saved image.
            found = refine(
                start.float(), target, self._shrink(target), self._draw,
                steps=self.refine_steps, eps=REACH * self.eps, descent=self._descent,
            )  # fmt: skip
            return found.codes, found.error

        if codes.device.type != "cpu":
            moved, error = search(codes, lr)
        else:
            with one_torch_thread():
                parts = [search(code, face) for code, face in zip(torch.split(codes, 1), torch.split(lr, 1), strict=True)]
            moved, error = torch.cat([code for code, _ in parts]), torch.cat([each for _, each in parts])
        return moved, [self._outcome(float(e)) for e in error]

    @cached_property
    def _descent(self) -> Descent | None:
        """How to search the codes of a generator that was probed for it; ``None``: by Adam."""
        from facesr.methods.psp.linear import Descent

        name = self.generator_of(self.file())
        if name not in SEARCH:
            return None
        generator = self.net.decoder
        return Descent(generator, load_tensors(SEARCH[name])["rows"].to(generator.mean_style))

    def _shrink(self, lr: Tensor) -> Callable[[Tensor], Tensor]:
        """As the bench measures it: clipped, reduced to the HR size by the box average, then degraded."""

        def shrink(images: Tensor) -> Tensor:
            return resize(self._reduced(images), lr.shape[-1], self.kernel)

        return shrink

    def _outcome(self, error: float) -> Outcome:
        if error <= self.eps * (1 + 1e-6):  # float32's 1e-3 is 1.0000000475e-3
            return Outcome()
        steps = f"{self.refine_steps} step{'s' * (self.refine_steps != 1)}"
        return Outcome(
            Status.NOT_CONVERGED, f"pSp's image is {error:.2e} from LR after {steps} of refinement, above eps {self.eps:g}"
        )


class PSPRefined(PSP):
    """pSp, and after its encoder a search that ends when the face shrinks to LR within ``eps``: PULSE's condition, from pSp's start.

    What LR has and that face still lacks is then added (``back_projection``). Not the paper's pSp, though the paper says that all its
    images hold ε. The options are ``PSP``'s.
    """

    batch_size: int = 4
    own_steps: ClassVar[int] = 130
    own_projections: ClassVar[int] = 1
