"""pix2pixHD (Wang et al. 2018): conditional GAN between images of one size, here from the enlarged LR face to HR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facesr.methods.pix2pixhd.method import Pix2PixHD

__all__ = ["Pix2PixHD"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # torch is loaded when the method is named, not when the package is looked at
        from facesr.methods.pix2pixhd.method import Pix2PixHD

        return Pix2PixHD
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
