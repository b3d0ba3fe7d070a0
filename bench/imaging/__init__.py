"""Pixels: lossless files, colour, and the one named resampler per degradation."""

from facesr.bench.imaging.files import encode_png, image_size, read_picture, read_rgb, to_tensor, to_uint8, write_png, write_whole
from facesr.bench.imaging.lowres import decode_lr, read_lr, rounded
from facesr.bench.imaging.resample import KERNELS, resize, resize8

__all__ = [
    "KERNELS",
    "decode_lr",
    "encode_png",
    "image_size",
    "read_lr",
    "read_picture",
    "read_rgb",
    "resize",
    "resize8",
    "rounded",
    "to_tensor",
    "to_uint8",
    "write_png",
    "write_whole",
]
