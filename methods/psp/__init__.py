"""pSp, pixel2style2pixel (Richardson et al. 2021): an encoder straight into W+ of a fixed face generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facesr.methods.psp.method import PSP, PSPRefined

__all__ = ["PSP", "PSPRefined"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # torch is loaded when the method is named, not when the package is looked at
        from facesr.methods.psp import method

        return getattr(method, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
