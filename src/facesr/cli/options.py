"""How options are read, in every command alike."""

from __future__ import annotations


def names(text: str | None) -> list[str] | None:
    """A comma-separated list; None where the option was not given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
