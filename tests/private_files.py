"""Real faces, rating tables and weights that lie beside a developer's checkout, and in no repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FIXTURES = Path(os.environ.get("FACESR_FIXTURES", Path(__file__).parents[2] / "shared" / "fixtures"))


def needed(what: str) -> None:
    """Skip the module that calls where ``what`` is not on this machine."""
    if not FIXTURES.is_dir():
        pytest.skip(f"{what} are not here: FACESR_FIXTURES names their folder", allow_module_level=True)
