"""LR images: 8-bit PNG as a camera's, or, where a protocol leaves them unrounded, float32 in [0, 1] as ``.npy``, which loses nothing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesr.bench import reading
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.decode import decode
from facesr.bench.imaging.files import U8, encode_png
from facesr.bench.imaging.resample import matrix, resize8

F32 = NDArray[np.float32]
LR = NDArray[Any]
"""(H, W, 3) or (N, H, W, 3): uint8, or float32 in [0, 1]."""
NPY = ".npy"
MAX_PIXELS = 64 << 20


def lr_suffix(quantize: bool) -> str:
    """Of LR files: ``.png`` where they are rounded to 8 bits, else ``.npy``."""
    return ".png" if quantize else NPY


def degrade(hr: U8, side: int, kernel: str, quantize: bool) -> LR:
    """LR of an HR image (H, W, 3) uint8: rounded half up to 8 bits, or float32, clipped to [0, 1] and not rounded."""
    if quantize:
        return resize8(hr, side, kernel)
    rows, columns = matrix(kernel, hr.shape[0], side), matrix(kernel, hr.shape[1], side)
    small = np.einsum("yh,hwc,xw->yxc", rows, hr / 255.0, columns, optimize=True)
    lr: F32 = np.clip(small, 0, 1).astype(np.float32)
    return lr


def encode_lr(image: LR) -> bytes:
    """The file of an LR image; the same image gives the same bytes."""
    if image.dtype == np.uint8:
        return encode_png(np.asarray(image, np.uint8))
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(image, np.float32), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def decode_lr(data: bytes, name: str) -> LR:
    """An LR image from a file's bytes; ``name`` is for messages. Raises ``FaceSRError`` for what is neither."""
    if not data.startswith(b"\x93NUMPY"):
        return decode(data, name).pixels
    try:
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"format version {version[0]}.{version[1]}, 1.0 is read")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=10_000)
        if dtype != np.dtype("<f4") or len(shape) != 3 or shape[2] != 3 or not 0 < shape[0] * shape[1] <= MAX_PIXELS:
            raise ValueError(f"it holds {dtype} {shape}, float32 (rows, columns, 3) is expected")
        stream.seek(0)
        image = np.lib.format.read_array(stream, allow_pickle=False, max_header_size=10_000)
    except Exception as error:  # numpy parses the header as Python, and raises what that raises
        raise FaceSRError(f"{name}: not an unrounded LR image ({' '.join(str(error).split())[:200]})") from None
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise FaceSRError(f"{name}: an unrounded LR image has values in [0, 1], this has others")
    return np.ascontiguousarray(image)


def read_lr(path: Path | str) -> LR:
    """An LR image as it was given to the methods."""
    return decode_lr(reading.read_bytes(path), str(path))


def rounded(image: LR) -> U8:
    """LR for a screen: 8-bit, rounded half up where it is not."""
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    levels: U8 = np.floor(np.clip(image, 0, 1) * 255.0 + 0.5).astype(np.uint8)
    return levels


def unit(image: LR) -> NDArray[np.float64]:
    """LR as float64 in [0, 1]."""
    values: NDArray[np.float64] = image / 255.0 if image.dtype == np.uint8 else image.astype(np.float64)
    return values
