"""HR to LR: the protocol's degradation, done once and kept in ``lr/``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Face
from facesr.bench.imaging.decode import Picture, decode
from facesr.bench.imaging.files import make_folder, read_picture, write_whole
from facesr.bench.imaging.lowres import LR, degrade, encode_lr, read_lr
from facesr.bench.imaging.resample import resize8
from facesr.bench.reading import file_sha256
from facesr.bench.results.cells import Cells, LrCell
from facesr.bench.run.plan import Plan

Progress = Callable[[str, int, int], None]
"""Called with a stage, how much is done, how much there is."""
T = TypeVar("T")
CHUNK = 16


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Consecutive slices."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def fit_hr(image: U8, size: int, reduce: str, name: str) -> U8:
    """An HR image (H, W, 3) at the protocol's size, reduced by its filter where it is larger; ``name`` is for messages."""
    height, width, _ = image.shape
    if height != width:
        raise FaceSRError(f"{name}: {width} x {height} pixels is not square: align faces first with 'facesr data prepare'")
    if height < size:
        raise FaceSRError(
            f"{name}: {width} x {height} pixels is smaller than the protocol's {size}; enlarging HR would be cheating"
        )
    return resize8(image, size, reduce)


def decode_hr(data: bytes, size: int, reduce: str, name: str) -> Picture:
    """As ``fit_hr``, from a file's bytes, with the notes of what decoding it took."""
    picture = decode(data, name)
    return Picture(fit_hr(picture.pixels, size, reduce, name), picture.notes)


def pixels_digest(image: LR) -> str:
    """sha256 of an image's shape and pixels: the same however its file was compressed."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()


@dataclass
class LrImages:
    """``pixels``: the digest of each LR image's pixels by (scale, face); ``broken``: why a face has none: its HR (or own LR) cannot be read.

    ``notes``: what decoding took, of the faces whose HR was read now.
    """

    pixels: dict[tuple[float, str], str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def known_lr(plan: Plan, cells: Cells) -> tuple[LrImages, list[Face]]:
    """The LR images that are there and current, and the faces of which some are not."""
    have = {(c.scale, c.image): c for c in cells.rows(LrCell)}
    found = LrImages()
    due: list[Face] = []
    for face in plan.data.faces:
        for scale in plan.scales:
            known = have.get((scale, face.name))
            file = plan.lr_file(face.name, scale)
            if known and known.key == plan.degradation_key(face, scale) and file.is_file() and file_sha256(file) == known.sha256:
                found.pixels[scale, face.name] = known.pixels
            elif not due or due[-1] is not face:
                due.append(face)
    return found, due


def make_lr(plan: Plan, cells: Cells, progress: Progress) -> LrImages:
    """Write the LR images that are due; a face whose HR cannot be read costs its own cells only."""
    found, due = known_lr(plan, cells)
    for scale in plan.scales:
        make_folder(plan.out, plan.folder("lr", scale))
    done = 0
    with ThreadPoolExecutor(4) as pool:
        for part in chunks(due, CHUNK):
            made = list(pool.map(lambda f: _lr_files(plan, f, found.notes), part))
            found.broken |= {face.name: rows for face, rows in zip(part, made, strict=True) if isinstance(rows, str)}
            rows = [row for rows in made if not isinstance(rows, str) for row in rows]
            cells.put(rows)
            found.pixels |= {(row.scale, row.image): row.pixels for row in rows}
            done += len(part)
            progress("LR images", done, len(due))
    return found


def _lr_files(plan: Plan, face: Face, notes: dict[str, str]) -> list[LrCell] | str:
    if face.lr is not None:
        return _own_lr(plan, face)
    try:
        picture = read_picture(face.path)
        hr = fit_hr(picture.pixels, plan.size, plan.protocol.data.reduce, str(face.path))
    except FaceSRError as error:
        return f"HR: {error}"
    notes[face.name] = "; ".join(picture.notes)
    made = []
    for scale in plan.scales:
        lr = degrade(hr, plan.size // int(scale), plan.protocol.degradation.kernel, plan.protocol.degradation.quantize)
        data = encode_lr(lr)
        write_whole(plan.lr_file(face.name, scale), data, sync=False)
        known = hashlib.sha256(data).hexdigest()
        made.append(LrCell(scale, face.name, plan.degradation_key(face, scale), known, pixels_digest(lr)))
    return made


def _own_lr(plan: Plan, face: Face) -> list[LrCell] | str:
    """The user's LR image, decoded and kept without loss."""
    (scale,), side = plan.scales, round(plan.size / plan.scales[0])
    assert face.lr is not None
    try:
        lr = read_lr(face.lr)
    except FaceSRError as error:
        return f"LR: {error}"
    if lr.shape != (side, side, 3):
        return f"LR: {face.lr.name} has {lr.shape[1]} x {lr.shape[0]} pixels, the others {side} x {side}"
    data = encode_lr(lr)
    write_whole(plan.lr_file(face.name, scale), data, sync=False)
    return [LrCell(scale, face.name, plan.degradation_key(face, scale), hashlib.sha256(data).hexdigest(), pixels_digest(lr))]
