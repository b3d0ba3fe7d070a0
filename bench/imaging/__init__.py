"""Pixels: lossless files, colour, and the one named resampler per degradation."""

from facesr.bench.imaging.files import encode_png, image_size, read_picture, read_rgb, to_tensor, to_uint8, write_png, write_whole
from facesr.bench.imaging.resample import KERNELS, resize, resize8

__all__ = [
    "KERNELS",
    "encode_png",
    "image_size",
    "read_picture",
    "read_rgb",
    "resize",
    "resize8",
    "to_tensor",
    "to_uint8",
    "write_png",
    "write_whole",
]
