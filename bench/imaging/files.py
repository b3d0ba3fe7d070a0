"""Reading and writing images: 8-bit RGB and nothing else, with one sentence for everything that is not."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError

if TYPE_CHECKING:
    from torch import Tensor

U8 = NDArray[np.uint8]
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_SIDE = 16_384
"""Larger images are refused before they are decoded (a decompression bomb, or a whole slide)."""


def read_rgb(path: Path | str) -> U8:
    """Decode an 8-bit RGB image to (H, W, 3) uint8.

    Greyscale and palette images without transparency become RGB, losslessly. Raises ``FaceSRError``, one sentence, for files that
    are missing, truncated, 16-bit, CMYK, animated, with an alpha channel that is used, or larger than ``MAX_SIDE``.
    """
    file = Path(path)
    try:
        data = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise FaceSRError(f"{file}: cannot be read ({error.strerror or error})") from None
    return _decode(data, str(file))


def read_bytes(data: bytes, name: str) -> U8:
    """Decode an image held in memory; the same rules as ``read_rgb``. ``name`` is for messages."""
    return _decode(np.frombuffer(data, dtype=np.uint8), name)


def _decode(data: U8, file: str) -> U8:
    import cv2

    if plain := _plain_png(data):
        if max(plain) > MAX_SIDE:
            raise FaceSRError(f"{file}: {plain[0]} x {plain[1]} pixels; images may have up to {MAX_SIDE} a side")
        if data[-12:].tobytes() == _IEND:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
            if image is not None:
                return np.asarray(image, dtype=np.uint8)
    if data[:4].tobytes() == b"\x89PNG" and data.tobytes().rfind(_IEND) < 0:
        raise FaceSRError(f"{file}: broken or truncated image (a PNG without its end)")
    return _decode_any(data, file)


_IEND = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def _plain_png(data: U8) -> tuple[int, int] | None:
    """Width and height when these are the bytes of an ordinary 8-bit RGB PNG, which OpenCV decodes fastest."""
    head = data[:33].tobytes()
    if (
        len(head) < 33
        or head[:8] != b"\x89PNG\r\n\x1a\n"
        or head[24:26] != b"\x08\x02"
        or data[33:2048].tobytes().find(b"tRNS") >= 0
    ):
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _decode_any(data: U8, file: str) -> U8:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data.tobytes())) as picture:
            problem = _problem(picture)
            if problem:
                raise FaceSRError(f"{file}: {problem}")
            picture.load()
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except UnidentifiedImageError:
        raise FaceSRError(f"{file}: not an image this program can read") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise FaceSRError(f"{file}: broken or truncated image ({error})") from None


def _problem(picture: object) -> str:
    mode, (width, height) = picture.mode, picture.size  # type: ignore[attr-defined]
    if max(width, height) > MAX_SIDE:
        return f"{width} x {height} pixels; images may have up to {MAX_SIDE} a side"
    if getattr(picture, "n_frames", 1) > 1:
        return f"animated, {picture.n_frames} frames; save one of them as PNG"  # type: ignore[attr-defined]
    if mode in ("CMYK", "YCCK", "LAB", "HSV") or mode.startswith(("I", "F")):
        return f"mode {mode} (16-bit, float or not RGB); save it as 8-bit RGB"
    alpha = mode in ("RGBA", "LA", "PA") or "transparency" in picture.info  # type: ignore[attr-defined]
    if alpha and min(picture.convert("RGBA").getchannel("A").getextrema()) < 255:  # type: ignore[attr-defined]
        return "has transparent pixels, whose colour is undefined; save it without an alpha channel"
    return ""


def image_size(path: Path | str) -> tuple[int, int]:
    """Width and height, from the header alone."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return picture.size
    except UnidentifiedImageError:
        raise FaceSRError(f"{path}: not an image this program can read") from None
    except OSError as error:
        raise FaceSRError(f"{path}: cannot be read ({error.strerror or error})") from None


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
    """Write a file beside its place, force it to disk unless told not to, then rename it: it appears whole or not at all."""
    content = data.encode() if isinstance(data, str) else data
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise FaceSRError(f"{path}: cannot be written ({error.strerror or error}); what was finished before is kept") from None


def to_tensor(images: U8) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(255)


def to_uint8(images: Tensor) -> U8:
    """(N, 3, H, W) in [0, 1] -> (N, H, W, 3) uint8: clipped, then rounded half up (the published scripts truncate)."""
    array: U8 = images.detach().clamp(0, 1).mul(255).add(0.5).floor().permute(0, 2, 3, 1).to("cpu").numpy().astype(np.uint8)
    return np.ascontiguousarray(array)
