"""How much the command says: set from -q and -v, read where progress and hints are printed."""

from __future__ import annotations

quiet = False
"""Results and errors only."""
verbose = False
"""Tracebacks of errors too."""


def hint(text: str) -> None:
    """Print what a person may do next, unless the command is to be quiet."""
    if not quiet:
        print(text)
