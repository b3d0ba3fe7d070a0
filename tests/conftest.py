"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import conformance
import conformance.detweights
from private_files import FIXTURES

settings.register_profile(
    "facesr", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # both go by wall time: a loaded machine fails
settings.load_profile("facesr")
os.environ.setdefault("FACESR_WORKERS", "1")  # small runs: a worker's start costs more than their work


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Which databases a user trusts is remembered in the user's settings: tests have their own."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("settings"))


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of real faces, weights and oracles that lies beside a developer's checkout; tests that need it skip without it."""
    if not FIXTURES.is_dir():
        pytest.skip(f"no fixtures at {FIXTURES}: set FACESR_FIXTURES to run this test")
    return FIXTURES


@pytest.fixture(scope="session")
def detweights() -> ModuleType:
    """The oracles' own recipe for pseudo-random weights and images."""
    return conformance.detweights


@pytest.fixture(scope="session")
def oracle() -> Callable[[str], dict[str, Any]]:
    """``oracle(name)``: meta, inputs and outputs of a published implementation, its ``state_dict`` rebuilt where it is a recipe."""
    return conformance.recorded
