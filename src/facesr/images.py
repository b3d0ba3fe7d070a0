"""Images as callers of the public API hold them: files, PIL images, arrays and tensors, as 8-bit RGB and back."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8
from facesr.bench.imaging import read_lr, read_rgb, to_tensor
from facesr.bench.imaging.decode import FORMATS
from facesr.bench.imaging.files import decode_rgb
from facesr.bench.reading import read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from facesr.bench.imaging.lowres import LR

    AnyImage = str | PathLike[str] | Image | NDArray[Any] | Tensor
    """A file, a PIL image, an array (H, W, 3) or (N, H, W, 3), or a tensor (3, H, W) or (N, 3, H, W); uint8, or float in [0, 1]."""
    AnyImages = AnyImage | Sequence[AnyImage]

Form = Literal["pil", "uint8", "float", "tensor"]


@dataclass(frozen=True)
class Pixels:
    """``values``: (N, H, W, 3), RGB, uint8. ``single``: one image came without a batch axis. ``form``: what it came as."""

    values: U8
    single: bool
    form: Form

    def like(self, values: U8) -> Any:
        """Other images (N, H, W, 3) uint8 in the form these came in."""
        if self.form == "pil":
            from PIL import Image

            made = [Image.fromarray(v) for v in values]
            return made[0] if self.single else made
        shown: Any = values
        if self.form == "float":
            shown = values.astype(np.float32) / 255
        elif self.form == "tensor":
            shown = to_tensor(values)
        return shown[0] if self.single else shown


def pixels(images: AnyImages, what: str) -> Pixels:
    """8-bit RGB of ``images``; floats are rounded to the nearest of 256 levels, as a file would hold them.

    ``what`` names them in errors: a wrong shape, a range that is neither 8-bit nor [0, 1], images of different sizes.
    """
    if isinstance(images, list | tuple):
        if not images:
            raise FaceSRError(f"{what}: no image")
        parts = [pixels(image, what) for image in images]
        sizes = sorted({p.values.shape[1:3] for p in parts})
        if len(sizes) > 1:
            raise FaceSRError(f"{what}: images of one batch must be of one size, not of {sizes[0]} and {sizes[-1]} (rows, columns)")
        return Pixels(np.concatenate([p.values for p in parts]), False, parts[0].form)
    if isinstance(images, str | PathLike):
        return Pixels(read_rgb(Path(images))[None], True, "pil")
    if hasattr(images, "getbands"):  # PIL, without importing it
        return Pixels(_from_pil(images, what)[None], True, "pil")
    if np.ma.is_masked(images):
        raise FaceSRError(f"{what}: an array with masked pixels, which would be scored as if they were there; fill them first")
    tensor = hasattr(images, "detach")
    array = images.detach().cpu().float().numpy() if tensor and images.dtype.is_floating_point else np.asarray(images)  # type: ignore[union-attr]
    if tensor and array.ndim >= 3:
        array = np.moveaxis(array, -3, -1)
    if array.ndim not in (3, 4) or array.shape[-1] != 3 or 0 in array.shape:
        want = "(3, H, W) or (N, 3, H, W)" if tensor else "(H, W, 3) or (N, H, W, 3)"
        got = tuple(images.shape) if hasattr(images, "shape") else type(images).__name__
        raise FaceSRError(f"{what}: give RGB images as {want}, not {got}")
    form: Form = "tensor" if tensor else "uint8" if array.dtype == np.uint8 else "float"
    values = np.ascontiguousarray(_levels(array, what))
    return Pixels(values if values.ndim == 4 else values[None], values.ndim == 3, form)


def lr_pixels(images: AnyImages) -> LR:
    """LR images (N, h, w, 3): 8-bit as they are; floats as float32 in [0, 1], not rounded, since LR need not be (``quantize = false``)."""
    if isinstance(images, list | tuple) and images:
        parts = [lr_pixels(image) for image in images]
        if len({(p.shape[1:], p.dtype) for p in parts}) > 1:
            raise FaceSRError("lr: images of one batch must be of one size, all of them 8-bit or none")
        return np.concatenate(parts)
    if isinstance(images, str | PathLike):
        return read_lr(Path(images))[None]
    eight = pixels(images, "lr")
    if not (hasattr(images, "dtype") and "float" in str(images.dtype)):
        return eight.values
    tensor = hasattr(images, "detach")
    array: Any = images.detach().cpu().float().numpy() if tensor else images  # type: ignore[union-attr]
    array = np.moveaxis(array, -3, -1) if tensor else array
    return np.ascontiguousarray(np.clip(array, 0, 1), np.float32).reshape(eight.values.shape)


def _from_pil(image: Any, what: str) -> U8:
    """As its file would be read, where it was opened from one and not changed; else by way of a PNG in memory, so that orientation, profile,
    declared colours, transparency and depth mean what they mean in a file."""
    from PIL.PngImagePlugin import PngInfo

    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise FaceSRError(f"{what}: a PIL image of {image.n_frames} frames; give one of them, as image.copy()")
    if any(";16" in str(tile) for tile in getattr(image, "tile", ())):  # Pillow cuts RGB of 16 bits to 8 as it loads
        raise FaceSRError(f"{what}: a PIL image of 16-bit pixels; give 8-bit RGB")
    try:
        if (file := _its_file(image)) is not None:
            return decode_rgb(file, what)
        colours, buffer = PngInfo(), io.BytesIO()
        said = image.info
        if "srgb" in said:
            colours.add(b"sRGB", bytes([int(said["srgb"]) & 3]))
        elif "gamma" in said:
            colours.add(b"gAMA", round(float(said["gamma"]) * 100_000).to_bytes(4, "big"))
        if len(said.get("chromaticity", ())) == 8:
            colours.add(b"cHRM", b"".join(round(float(v) * 100_000).to_bytes(4, "big") for v in said["chromaticity"]))
        image.save(buffer, "PNG", exif=image.getexif(), compress_level=0, pnginfo=colours)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise FaceSRError(f"{what}: a PIL image of mode {image.mode} is not 8-bit RGB ({error})") from None
    return decode_rgb(buffer.getvalue(), what)


def _its_file(image: Any) -> bytes | None:
    """The bytes of the file that a PIL image was opened from, where it still shows that file's one picture."""
    from PIL import Image

    name, file = getattr(image, "filename", ""), getattr(image, "fp", None)
    if image.format not in FORMATS:
        return None
    if name and Path(name).is_file():
        data = read_bytes(name)
    elif isinstance(file, io.BytesIO) and not file.closed:
        data = file.getvalue()
    else:
        return None
    with Image.open(io.BytesIO(data)) as again:
        same = again.mode == image.mode and again.size == image.size and again.tobytes() == image.tobytes()
    return data if same else None


def _levels(array: NDArray[Any], what: str) -> U8:
    if array.dtype == np.uint8:
        return np.asarray(array, np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise FaceSRError(f"{what}: values are {array.dtype}; give uint8, or float in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # rounding of a network's last layer is let through; NaN is not
        raise FaceSRError(f"{what}: values run from {low:g} to {high:g}; give uint8, or float in [0, 1]")
    levels: U8 = np.floor(np.clip(array, 0, 1) * 255 + 0.5).astype(np.uint8)
    return levels
