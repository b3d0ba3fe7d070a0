"""PULSE (Menon et al. 2020): a search of a face generator's latent space for a face that shrinks to the given one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facesr.methods.pulse.method import PULSE

__all__ = ["PULSE"]


def __getattr__(name: str) -> Any:
    if name == "PULSE":  # torch is loaded when the method is named, not when the package is looked at
        from facesr.methods.pulse.method import PULSE

        return PULSE
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
