"""Finished images made by any other program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.data.pairing import Partners, Rule
from facesr.bench.errors import FaceSRError, some, suggest
from facesr.bench.imaging import resize, to_tensor
from facesr.bench.imaging.files import read_picture
from facesr.bench.imaging.resample import KERNELS
from facesr.bench.method import Method, Outcome, Restored
from facesr.bench.results.status import Status

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.bench.faces import U8


def gather_images(partners: Partners, names: Sequence[str], size: int, reduce: str) -> Restored:
    """Images of the named faces at ``size``; what is absent, broken or of a wrong shape becomes an outcome with its reason.

    The outcome of an image that was changed as it was read (turned upright, converted to sRGB) is ok and says so.
    """
    import torch  # here, so that a warm run of finished images starts without it

    images = torch.zeros(len(names), 3, size, size)
    outcomes = []
    for i, name in enumerate(names):
        try:
            file = partners.find(name)
            if file is None:
                outcomes.append(Outcome(Status.MISSING, f"no image named {name}"))
                continue
            picture = read_picture(file)
            images[i] = _fit(picture.pixels, size, reduce, file)
            outcomes.append(Outcome(reason="; ".join(picture.notes)))
        except FaceSRError as error:
            outcomes.append(Outcome(Status.FAILED, str(error)))
    return Restored(images, outcomes)


def _fit(image: U8, size: int, reduce: str, file: Path) -> Tensor:
    height, width, _ = image.shape
    if height != width or height < size:
        raise FaceSRError(f"{file}: {width} x {height} pixels, expected {size} x {size} (or a larger square, which is reduced)")
    tensor = to_tensor(image[None])
    return tensor[0] if height == size else resize(tensor, size, reduce)[0]


class Folder(Method):
    """Images from a folder, paired with the faces by file name (``000123.png`` is face 000123), larger squares reduced by ``reduce``.

    ``suffix``, ``pattern``, ``pairs``: other ways in which the files may be named, see ``facesr.bench.data.pairing.Rule``.
    """

    batch_size = 32
    needs_lr, fixed_batch = False, False

    def __init__(
        self, *, path: str, reduce: str = "box", suffix: str = "", pattern: str = "", pairs: str = "", size: int = 128, scale: float = 8,
        seed: int = 0, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__(size=size, scale=scale, seed=seed, device=device)
        if reduce not in KERNELS:
            raise FaceSRError(f"folder {path}: no filter {reduce!r} for larger images: {suggest(reduce, KERNELS)}")
        self.path, self.reduce, self.rule = Path(path), reduce, Rule(str(suffix), str(pattern), str(pairs))

    @cached_property
    def partners(self) -> Partners:
        """The folder's images by face (of ``path/x8`` where such a sub-folder exists)."""
        inner = self.path / f"x{self.scale}"
        return Partners(inner if inner.is_dir() else self.path, self.rule)

    def check(self, names: Sequence[str]) -> Sequence[str]:
        """Refuse a folder of which nothing is a face's; say which of its images are no face's."""
        unused = self.partners.match(names).unused
        return [f"{len(unused)} images of {self.path} belong to no face: {some(unused)}"] if unused else []

    def inputs(self, name: str) -> Sequence[Path]:
        """The face's file."""
        try:
            file = self.partners.find(name)
        except FaceSRError:  # several could be it: the face's outcome says so
            return []
        return [] if file is None else [file]

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Restored:
        """Gather the images of ``names``."""
        return gather_images(self.partners, names, self.size, self.reduce)
