"""Finished images made by any other program."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.imaging import read_rgb, resize, to_tensor
from facesr.bench.imaging.files import SUFFIXES
from facesr.bench.method import Method, Outcome, Restored

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.bench.faces import U8


def index_folder(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem (composed, NFC); two files of one stem are an error, since pairing is by name."""
    found: dict[str, Path] = {}
    try:
        if not folder.is_dir():
            raise FaceSRError(f"no folder {folder}")
        files = sorted(folder.iterdir())
    except OSError as error:
        raise FaceSRError(f"{folder}: cannot be read ({error.strerror or error})") from None
    for file in files:
        if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
            name = unicodedata.normalize("NFC", file.stem)  # some systems write names decomposed
            if name in found:
                raise FaceSRError(f"{folder} has both {found[name].name} and {file.name}: one image per face, please")
            found[name] = file
    return found


def gather(files: dict[str, Path], names: Sequence[str], size: int, reduce: str) -> Restored:
    """Images of the named faces at ``size``; what is absent, broken or of a wrong shape becomes an outcome with its reason."""
    import torch  # here, so that a warm run of finished images starts without it

    images = torch.zeros(len(names), 3, size, size)
    outcomes = []
    for i, name in enumerate(names):
        outcome = Outcome()
        file = files.get(unicodedata.normalize("NFC", name))
        if file is None:
            outcome = Outcome("missing", f"no image named {name}")
        else:
            try:
                images[i] = _fit(read_rgb(file), size, reduce, file)
            except FaceSRError as error:
                outcome = Outcome("failed", str(error))
        outcomes.append(outcome)
    return Restored(images, outcomes)


def _fit(image: U8, size: int, reduce: str, file: Path) -> Tensor:
    height, width, _ = image.shape
    if height != width or height < size:
        raise FaceSRError(f"{file}: {width} x {height} pixels, expected {size} x {size} (or a larger square, which is reduced)")
    tensor = to_tensor(image[None])
    return tensor[0] if height == size else resize(tensor, size, reduce)[0]


class Folder(Method):
    """Images from a folder, paired with the faces by file name (``000123.png`` is face 000123), larger squares reduced by ``reduce``."""

    batch_size = 32
    needs_lr, fixed_batch = False, False

    def __init__(
        self, *, path: str, reduce: str = "box", size: int = 128, scale: int = 8, seed: int = 0, device: str = "cpu"
    ) -> None:
        super().__init__(size=size, scale=scale, seed=seed, device=device)
        from facesr.bench.imaging.resample import KERNELS

        if reduce not in KERNELS:
            raise FaceSRError(f"folder {path}: no filter {reduce!r} for larger images: {suggest(reduce, KERNELS)}")
        self.path, self.reduce = Path(path), reduce

    @cached_property
    def files(self) -> dict[str, Path]:
        """The folder's images by stem (of ``path/x8`` where such a sub-folder exists)."""
        inner = self.path / f"x{self.scale}"
        files = index_folder(inner if inner.is_dir() else self.path)
        if not files:
            raise FaceSRError(f"{self.path} holds no images")
        return files

    def inputs(self, name: str) -> Sequence[Path]:
        """The face's file."""
        file = self.files.get(unicodedata.normalize("NFC", name))
        return [] if file is None else [file]

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Restored:
        """Gather the images of ``names``."""
        return gather(self.files, names, self.size, self.reduce)
