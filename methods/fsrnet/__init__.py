"""FSRNet and FSRGAN (Chen et al. 2018): face super-resolution with landmark and parsing priors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facesr.methods.fsrnet.method import FSRGAN, FSRNet

__all__ = ["FSRGAN", "FSRNet"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # torch is loaded when the method is named, not when the package is looked at
        from facesr.methods.fsrnet import method

        return getattr(method, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
