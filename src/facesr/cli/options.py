"""How options are read, in every command alike."""

from __future__ import annotations

import re


def names(text: str | None) -> list[str] | None:
    """A comma-separated list; None where the option was not given. Commas between brackets belong to a value (``std=[58.4,57.1,57.4]``)."""
    return None if text is None else [name.strip() for name in re.split(r",(?![^\[\]]*\])", text) if name.strip()]


def factor(text: str) -> float:
    """A downscaling factor: 8, or 6.4 where LR images of one's own make it so."""
    value = float(text)
    if not 0 < value < 1e6:
        raise ValueError(text)
    return int(value) if value == int(value) else value
