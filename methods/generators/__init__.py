"""Face generators shared by PULSE and pSp: ``StyleGAN1``, ``StyleGAN2``, ``MobileStyleGAN``, each loaded when first named."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facesr.methods.generators.base import Generator
    from facesr.methods.generators.mobilestylegan import MobileStyleGAN
    from facesr.methods.generators.stylegan1 import StyleGAN1
    from facesr.methods.generators.stylegan2 import StyleGAN2

_HOMES = {"Generator": "base", "StyleGAN1": "stylegan1", "StyleGAN2": "stylegan2", "MobileStyleGAN": "mobilestylegan"}

__all__ = ["Generator", "MobileStyleGAN", "StyleGAN1", "StyleGAN2"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
