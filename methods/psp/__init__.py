"""pSp, pixel2style2pixel (Richardson et al. 2021): an encoder straight into W+ of a fixed face generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facesr.methods.psp.method import PSP

__all__ = ["PSP"]


def __getattr__(name: str) -> Any:
    if name == "PSP":  # torch is loaded when the method is named, not when the package is looked at
        from facesr.methods.psp.method import PSP

        return PSP
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
