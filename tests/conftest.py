"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of real faces, weights and oracles that lies beside a developer's checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("FACESR_FIXTURES", Path(__file__).parents[2] / "shared" / "fixtures"))
    if not folder.is_dir():
        pytest.skip(f"no fixtures at {folder}: set FACESR_FIXTURES to run this test")
    return folder
