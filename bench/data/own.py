"""LR images of one's own: a published LR set, camera crops, JPEG'd LR; with HR of the same names, with a photo of each person, or alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from facesr.bench.data.dataset import UNREADABLE, Dataset, listing
from facesr.bench.data.pairing import Partners, Rule
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Face
from facesr.bench.imaging.files import image_size
from facesr.bench.imaging.lowres import NPY, read_lr
from facesr.bench.imaging.resample import KERNELS
from facesr.bench.reading import file_sha256


def own_faces(folder: Path, hr: Dataset | None, references: Path | None, rule: Rule | None = None) -> Dataset:
    """The faces of an LR folder by name (``rule``: how its files are named). With ``hr`` those that have HR; else each with its photo in
    ``references``, where it has one.

    What has no partner is listed in ``unused``. Raises ``FaceSRError`` where nothing pairs.
    """
    files, name = Partners(folder, rule, (NPY,), "--lr-names"), folder.resolve().name
    if not files.images:
        raise FaceSRError(f"{folder} holds no images")
    pairs = files.match([f.name for f in hr.faces] if hr is not None else files.names())
    if 0 < (unrounded := sum(file.suffix == NPY for file in pairs.files.values())) < len(pairs.files):
        raise FaceSRError(
            f"{folder} holds {unrounded} unrounded LR images (.npy) beside {len(pairs.files) - unrounded} others: use a folder for each"
        )
    other = [*listing(folder, (NPY,))[1], *(f"LR {file}" for file in pairs.unused)]
    if hr is not None:
        faces = tuple(replace(f, lr=lr, lr_sha256=_hash(lr)) for f in hr.faces if (lr := pairs.files.get(f.name)))
        unused = [*other, *(f"HR {n}" for n in pairs.without), *hr.unused]
        note = f"{hr.note or hr.name}; LR of the folder {name}"
        return Dataset(hr.name, tuple(sorted(faces, key=lambda f: f.name)), hr.total, note, tuple(unused))
    photos = Partners(references).match(list(pairs.files)) if references else None
    found = []
    for face, lr in sorted(pairs.files.items()):
        photo = photos.files.get(face) if photos else None
        place, known = (photo.resolve(), _hash(photo)) if photo else (Path(), "")
        found.append(Face(face, place, known, lr=lr.absolute(), lr_sha256=_hash(lr)))
    unused = [*other, *(f"photo {n}" for n in (photos.unused if photos else ()))]
    return Dataset(name, tuple(found), len(found), f"LR of the folder {name}, without HR", tuple(unused))


def side_of(faces: tuple[Face, ...]) -> int:
    """The one side, in pixels, of the LR images; unreadable ones cost their own cells later. Raises ``FaceSRError`` for several sizes."""
    sizes: Counter[tuple[int, int]] = Counter()
    for face in faces:
        try:
            assert face.lr is not None
            sizes[read_lr(face.lr).shape[1::-1] if face.lr.suffix == NPY else image_size(face.lr)] += 1
        except FaceSRError:
            continue
    square = [w for w, h in sizes if w == h]
    if len(square) > 1:
        listed = ", ".join(f"{n} of {w} x {h}" for (w, h), n in sorted(sizes.items()))
        raise FaceSRError(
            f"the LR images are of several sizes ({listed} pixels): a run takes one; put them into a folder for each size"
        )
    if not square:
        listed = ", ".join(f"{w} x {h}" for w, h in sorted(sizes)) or "none can be read"
        raise FaceSRError(f"no LR image is a square that can be read ({listed}): crop the faces to squares first")
    return square[0]


def scale_of(size: int, side: int) -> float:
    """The factor from LR to the target, whole where it is, else to four decimals. Raises ``FaceSRError`` where LR is the larger."""
    if side > size:
        raise FaceSRError(f"the LR images have {side} pixels a side, more than the target of {size}: raise --size (or data.size)")
    return size // side if size % side == 0 else round(size / side, 4)


def kernel_problem(kernel: str, size: int, side: int) -> str:
    """Why the protocol's operator cannot bring SR to the size of this LR (whole factors only, say), or ''."""
    try:
        KERNELS[kernel](size, side, side / size)
    except FaceSRError as error:
        return str(error)
    return ""


def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except FaceSRError:
        return UNREADABLE
