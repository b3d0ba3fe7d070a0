"""Image files: read by one decoder, written lossless and whole."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facesr.bench import reading
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.decode import Picture, decode, header_size

if TYPE_CHECKING:
    from torch import Tensor

U8 = NDArray[np.uint8]
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif", ".hif")
"""Files that are taken for images when a folder is listed; what they are is decided by their first bytes."""


def read_picture(path: Path | str) -> Picture:
    """Decode an image to 8-bit sRGB, upright, with notes of what was done; see ``facesr.bench.imaging.decode`` for what is refused."""
    return decode(reading.read_bytes(path), str(path))


def read_rgb(path: Path | str) -> U8:
    """The pixels of ``read_picture``: (H, W, 3) uint8. Raises ``FaceSRError``, one sentence, for what is missing, damaged or refused."""
    return read_picture(path).pixels


def decode_rgb(data: bytes, name: str) -> U8:
    """Decode an image held in memory; the same rules as ``read_rgb``. ``name`` is for messages."""
    return decode(data, name).pixels


def image_size(path: Path | str) -> tuple[int, int]:
    """Width and height as stored (before any orientation tag), from the header alone."""
    return header_size(reading.read_bytes(path), str(path))


def encode_png(image: U8) -> bytes:
    """PNG bytes of an 8-bit RGB image (H, W, 3); the same image gives the same bytes."""
    import cv2

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise FaceSRError(f"an image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise FaceSRError("the PNG encoder failed")
    return bytes(data)


def write_png(path: Path | str, image: U8) -> bytes:
    """Save an 8-bit RGB image as PNG; the file appears whole or not at all. Returns the bytes written.

    Not forced to disk: who relies on an image later checks its sha256.
    """
    data = encode_png(image)
    write_whole(Path(path), data, sync=False)
    return data


def write_whole(path: Path, data: bytes | str, sync: bool = True) -> None:
    """Write a file beside its place, force it to disk unless ``sync`` is false, then rename it: it appears whole or not at all."""
    content = data.encode() if isinstance(data, str) else data
    beside = path.with_name(f".{os.getpid()}-{secrets.token_hex(6)}.part")  # no longer than a long name may be
    try:
        with beside.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise FaceSRError(f"{path}: cannot be written ({error.strerror or error}); what was finished before is kept") from None


def make_folder(out: Path, folder: Path) -> None:
    """Make ``folder`` inside ``out``. One that a link leads out of it is refused: what ``out`` holds may come from a stranger."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        inside = folder.resolve().is_relative_to(out.resolve())
    except OSError as error:
        raise FaceSRError(f"{folder}: cannot be written ({error.strerror})") from None
    if not inside:
        raise FaceSRError(f"{folder} is a link that leads out of {out}: remove the link")


def to_tensor(images: U8 | NDArray[np.float32]) -> Tensor:
    """(N, H, W, 3) uint8, or float32 in [0, 1] -> (N, 3, H, W) float32 in [0, 1]."""
    import torch

    given = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return given.float().div_(255) if images.dtype == np.uint8 else given.float()


def to_uint8(images: Tensor) -> U8:
    """(N, 3, H, W) in [0, 1] -> (N, H, W, 3) uint8: clipped, then rounded half up (the published scripts truncate)."""
    import torch

    pixels = (
        images.detach().clamp(0, 1).mul(255).add(0.5).floor().to(torch.uint8)
    )  # where the images are: a quarter of the bytes travel
    array: U8 = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array
