"""Training faces: folders, archives or prepared splits held as one uint8 array, and batches that are a pure function of the step."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
import torch
from annotated_types import Interval
from numpy.typing import NDArray
from torch import Tensor

from facesr.bench.config import BadValue, Count, Natural, from_table
from facesr.bench.data import sources
from facesr.bench.data.dataset import find_dataset
from facesr.bench.data.sources import Item
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.imaging import resize, resize8
from facesr.bench.imaging.files import decode_rgb
from facesr.methods.training.objective import Batch

Spread = Annotated[float, Interval(ge=0)]


class FaceSource(Protocol):
    """Where batches come from. The same step (and rank) gives the same batch, whatever came before: that is what makes resuming exact."""

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The batch of a step for one process of ``world``."""
        ...


@dataclass(frozen=True)
class Faces:
    """``pixels`` (N, S, S, 3) uint8 RGB; ``index[i]``: which row of ``pixels`` entry i of an epoch is (repeats enlarge it)."""

    names: tuple[str, ...]
    pixels: NDArray[np.uint8]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class FaceTable:
    """One ``[[data.train]]``, ``[[data.validation]]`` or ``[[data.synthetic]]`` table: see ``training_images``."""

    folder: str = ""
    csv: str = ""
    column: str = ""
    """Of the CSV; default: ``file``."""
    where: dict[str, str | int | float | bool] = field(default_factory=dict)
    dataset: str = ""
    split: str = ""
    """Of the data set; default: ``train``."""
    first: Natural = 0
    last: int | None = None
    repeat: Count = 1
    """How often each of these faces comes in an epoch."""

    def __post_init__(self) -> None:
        if bool(self.folder) == bool(self.dataset):
            raise BadValue(
                "a data table needs 'folder', where the images are, or 'dataset', a prepared one" + ", not both" * bool(self.folder)
            )
        if (self.column or self.where) and not self.csv:
            raise BadValue("'column' and 'where' choose rows of a table: give it with 'csv', or leave them out")
        if self.csv and self.dataset:
            raise BadValue("'csv' names files of a folder, and a data set has a list of its own: leave it out")
        if self.split and not self.dataset:
            raise BadValue("'split' is a part of a data set: give 'dataset' in place of 'folder', or leave it out")


def expand(path: str, base: Path | None = None) -> Path:
    """A recipe's path: ``$NAME`` and ``~`` expanded, relative to ``base``. A variable that is not set gets one sentence."""
    text = os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111  (expandvars has no pathlib twin)
    if "$" in text:
        raise FaceSRError(f"{path}: the environment variable in it is not set; set it, or give the folder itself")
    found = Path(text)
    return found if found.is_absolute() or base is None else base / found


def _rows(source: FaceTable, folder: Path) -> list[Item]:
    table = expand(source.csv)
    if not folder.is_dir():
        raise FaceSRError(f"{folder}: csv names files of a folder; unpack it, or leave csv out")
    column = source.column or "file"
    where = {k: str(v) for k, v in source.where.items()}
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise FaceSRError(f"{table}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise FaceSRError(f"{table}: not CSV ({error})") from None
    missing = [k for k in (column, *where) if rows and k not in rows[0]]
    if missing:
        raise FaceSRError(f"{table} has no column {missing[0]!r}: {suggest(missing[0], rows[0])}")
    return [Item(row[column], folder / row[column]) for row in rows if all(row[k] == v for k, v in where.items())]


def training_images(source: dict[str, Any], size: int = 128, read: bool = True) -> list[Item]:
    """The images one ``[[data.train]]`` table names; ``first:last`` of them. Those in an archive are held as bytes, if ``read``.

    ``folder``: all images in a folder, a .zip or a .parquet file, or with ``csv`` the rows whose columns match ``where``. ``dataset``
    and ``split``: a data set that ``facesr data prepare`` made at ``size``.
    """
    asked = from_table(FaceTable, source, "a data table of the recipe")
    chosen = slice(asked.first, asked.last)
    if asked.dataset:
        held = find_dataset(asked.dataset, asked.split or "train", size)
        return [Item(face.path.name, face.path) for face in held.faces][chosen]
    folder = expand(asked.folder)
    if not folder.exists():
        raise FaceSRError(f"{folder}: no such folder or archive; a recipe's data are named in its [[data.train]] tables")
    found = _rows(asked, folder) if asked.csv else [i for i in sources.Source(folder).items(read) if i.image or not i.reason]
    _report([f"{item.name}: {item.reason}" for item in found[chosen] if item.reason], folder)
    if not found[chosen]:
        raise FaceSRError(f"{folder}: no image matches {asked.where or 'the recipe'}")
    return found[chosen]


def load_faces(sources: Sequence[dict[str, Any]], size: int) -> Faces:
    """Read every image of ``sources`` into one array; larger squares are reduced by the box average.

    Raises one ``FaceSRError`` that names the files of a source that are no such faces, with how many there are.
    """
    names: list[str] = []
    pixels: list[NDArray[np.uint8]] = []
    index: list[int] = []
    for source in sources:
        first = len(pixels)
        wrong = []
        for item in training_images(source, size):
            try:
                face = _fitted(decode_rgb(item.read(), item.name), size, item.name)
            except FaceSRError as error:
                wrong.append(str(error))
                continue
            names.append(item.stem)
            pixels.append(face)
        _report(wrong, source.get("folder") or source.get("dataset", ""))
        index += list(range(first, len(pixels))) * from_table(FaceTable, source, "a data table of the recipe").repeat
    if not pixels:
        raise FaceSRError("the recipe names no training data: add a [[data.train]] table with a folder")
    return Faces(tuple(names), np.stack(pixels), np.asarray(index))


def _report(wrong: Sequence[str], place: object) -> None:
    if wrong:
        files = "1 file is" if len(wrong) == 1 else f"{len(wrong)} files are"
        more = f"; ... ({len(wrong) - 10} more)" if len(wrong) > 10 else ""
        raise FaceSRError(
            f"{place}: {files} no aligned face to train on: {'; '.join(wrong[:10])}{more}. Mend them, or take them out"
        )


def check_apart(train: Faces, held_out: Faces) -> None:
    """Raise ``FaceSRError`` where a picture is in training and in validation data, whatever its file is called.

    File names say nothing: folders of people have an 0001.png each.
    """
    known = {face.tobytes(): name for face, name in zip(held_out.pixels, held_out.names, strict=True)}
    both = [(known[face.tobytes()], name) for face, name in zip(train.pixels, train.names, strict=True) if face.tobytes() in known]
    if both:
        pictures = "1 picture is" if len(both) == 1 else f"{len(both)} pictures are"
        raise FaceSRError(
            f"{pictures} in validation and training data ({' and '.join(both[0])}{', ...' * (len(both) > 1)}): split a recipe's with first "
            "and last, and keep one copy of each file in a folder"
        )


def _fitted(image: NDArray[np.uint8], size: int, file: str) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if height != width or height < size:
        raise FaceSRError(
            f"{file}: {width} x {height} pixels, the recipe trains on aligned faces of {size} x {size}: prepare them first "
            "('facesr data prepare NAME --from FOLDER --align'); larger squares are reduced"
        )
    return image if height == size else resize8(image, size, "box")


def enlarge_batch(lr: Tensor, size: int) -> Tensor:
    """What a network that keeps the size is given: ``lr`` (B, 3, h, w) in [0, 1], enlarged by MATLAB's bicubic kernel, clipped, in [-1, 1]."""
    return resize(lr.float(), size, "bicubic-matlab").clamp(0, 1) * 2 - 1


def degrade_batch(hr: Tensor, factor: int, kernel: str = "bicubic-matlab") -> Tensor:
    """``hr`` (B, 3, S, S) in [0, 1] to the 8-bit LR image (B, 3, S/factor, S/factor) in [0, 1] that a protocol would hand out."""
    return as_8_bit(resize(hr, hr.shape[-1] // factor, kernel))


def as_8_bit(images: Tensor) -> Tensor:
    """``images`` as an 8-bit file would hold them, still in [0, 1]."""
    return images.clamp(0, 1).mul(255).add(0.5).floor().div(255)


class Placement(NamedTuple):
    """How an image was changed: first moved by ``moves`` (B, 2), (down, right) in pixels of the window over it, then flipped."""

    moves: Tensor
    flips: Tensor


@dataclass(frozen=True)
class Augment:
    """Random changes of the HR image, before it is degraded. All zero: none."""

    flip: bool = True
    shift: Natural = 0
    """Up to this many pixels each way, the border mirrored."""
    gain: Spread = 0.0
    """Standard deviation of the logarithm of a gain common to the channels."""
    colour: Spread = 0.0
    """The same, a channel by itself."""
    offset: Spread = 0.0
    """Standard deviation of an offset, in units of the range."""
    darken: Spread = 0.0
    """Standard deviation of the logarithm of an exponent that is 1 or more: skin darkens, white stays white. Most collections of
    portraits hold few people with dark skin."""

    def __call__(self, images: NDArray[np.uint8], generator: torch.Generator) -> Tensor:
        """(B, S, S, 3) uint8 to (B, 3, S, S) in [0, 1]."""
        return self.placed(images, generator)[0]

    def placed(self, images: NDArray[np.uint8], generator: torch.Generator) -> tuple[Tensor, Placement]:
        """The same, and where the pixels went."""
        n = len(images)
        moves, flips = torch.zeros(n, 2, dtype=torch.long), torch.zeros(n, dtype=torch.bool)
        if self.shift:
            moves = torch.randint(-self.shift, self.shift + 1, (n, 2), generator=generator)
            images = np.stack([_shift(image, *move) for image, move in zip(images, moves.tolist(), strict=True)])
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        if self.flip:
            flips = torch.rand(n, generator=generator) < 0.5
            x = torch.where(flips.view(n, 1, 1, 1), x.flip(3), x)
        if self.gain or self.colour or self.offset:
            gain = self.gain * torch.randn(n, 1, 1, 1, generator=generator) + self.colour * torch.randn(
                n, 3, 1, 1, generator=generator
            )
            x = (x * gain.exp() + self.offset * torch.randn(n, 1, 1, 1, generator=generator)).clamp(0, 1)
        if self.darken:
            x = x ** (self.darken * torch.randn(n, 1, 1, 1, generator=generator).abs()).exp()
        return x, Placement(moves, flips)


def _shift(image: NDArray[np.uint8], dy: int, dx: int) -> NDArray[np.uint8]:
    size = image.shape[0]
    pad = max(abs(dy), abs(dx))
    wide = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
    return wide[pad + dy : pad + dy + size, pad + dx : pad + dx + size]


class FaceBatches:
    """Shuffled epochs over ``faces``; a step's faces and changes depend on (seed, step, rank) only."""

    def __init__(self, faces: Faces, batch: int, factor: int, augment: Augment | None = None, seed: int = 0) -> None:
        if batch < 1 or factor < 1 or faces.pixels.shape[1] % factor:
            raise FaceSRError(
                f"cannot train in batches of {batch} at ×{factor} from {faces.pixels.shape[1]} pixels: check batch and factor"
            )
        self.faces, self.size, self.factor, self.seed = faces, batch, factor, seed
        self.augment = augment or Augment(flip=False)
        self._orders: dict[int, NDArray[np.int64]] = {}

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            self._orders = {epoch: np.random.default_rng([self.seed, epoch]).permutation(self.faces.index)}
        return self._orders[epoch]

    def rows(self, step: int, rank: int = 0, world: int = 1) -> list[int]:
        """Which faces a step takes; the processes of a step take neighbouring slices of the same order."""
        start = (step * world + rank) * self.size
        return [int(self._order(i // len(self.faces))[i % len(self.faces)]) for i in range(start, start + self.size)]

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """``hr``, ``lr``, ``names``, ``rows`` (row of each face in ``faces.pixels``), ``moves`` and ``flips`` (see ``Placement``)."""
        rows = self.rows(step, rank, world)
        generator = torch.Generator().manual_seed(step_seed(self.seed, step, rank))
        hr, placement = self.augment.placed(self.faces.pixels[rows], generator)
        names = [self.faces.names[i] for i in rows]
        return {"hr": hr, "lr": degrade_batch(hr, self.factor), "names": names, "rows": rows, **placement._asdict()}


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """A 63-bit seed for one step of one process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)
