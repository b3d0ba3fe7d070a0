"""Aligned faces in one small file, to carry them to the machine that trains: WebP images in a zip archive."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from facesr.bench.data.sources import Source
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import decode_rgb
from facesr.bench.imaging.resample import resize8

QUALITY = 92
"""Of WebP: about 4.4 kB for a portrait of 128 pixels, 2,500 of them in 11 MB. For training, never for measuring: it is lossy."""


@dataclass(frozen=True)
class Packed:
    """How many faces are in ``path``, and which images of the source are not, with the reason."""

    path: Path
    faces: int
    bytes: int
    left_out: tuple[tuple[str, str], ...]


def pack(source: Path, path: Path, size: int = 128, quality: int = QUALITY) -> Packed:
    """Write the square images of ``source`` (a folder, a .zip or a .parquet file), reduced to ``size`` by the box average, to ``path``.

    The same faces give the same bytes. Raises ``FaceSRError`` where no image can be packed, or ``path`` exists or is no .zip.
    """
    from PIL import Image

    if path.suffix.lower() != ".zip":
        raise FaceSRError(f"--out {path}: name a .zip file")
    if not source.exists():
        raise FaceSRError(f"no folder or archive {source}")
    if path.exists():
        raise FaceSRError(f"{path} is there already: name another --out")
    held: dict[str, bytes] = {}
    left: list[tuple[str, str]] = []
    for item in Source(source).items():
        try:
            if item.reason:
                raise FaceSRError(item.reason)
            pixels = decode_rgb(item.read(), item.name)
            if pixels.shape[0] != pixels.shape[1] or pixels.shape[0] < size:
                raise FaceSRError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels, not a square of {size} or more")
        except FaceSRError as error:
            if item.image:
                left.append((item.name, str(error).removeprefix(f"{item.name}: ")))
            continue
        buffer = io.BytesIO()
        Image.fromarray(resize8(pixels, size, "box")).save(buffer, "WEBP", quality=quality, method=6)
        name = str(PurePosixPath(item.name).with_suffix(".webp"))
        held[name if name not in held else f"{item.name}.webp"] = buffer.getvalue()
    if not held:
        raise FaceSRError(f"{source}: no square image of {size} pixels or more ({len(left)} others)")
    beside = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
        for name, data in held.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # a fixed date
    beside.replace(path)
    return Packed(path, len(held), path.stat().st_size, tuple(left))


__all__ = ["QUALITY", "Packed", "pack"]
