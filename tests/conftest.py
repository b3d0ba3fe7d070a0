"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

os.environ.setdefault("FACESR_WORKERS", "1")  # small runs: a worker's start costs more than their work


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of real faces, weights and oracles that lies beside a developer's checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("FACESR_FIXTURES", Path(__file__).parents[2] / "shared" / "fixtures"))
    if not folder.is_dir():
        pytest.skip(f"no fixtures at {folder}: set FACESR_FIXTURES to run this test")
    return folder


@pytest.fixture(scope="session")
def detweights(fixtures: Path) -> ModuleType:
    """The oracles' own recipe for pseudo-random weights and images."""
    spec = importlib.util.spec_from_file_location("detweights", fixtures / "oracles/detweights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def oracle(fixtures: Path, detweights: ModuleType) -> Callable[[str], dict[str, Any]]:
    """``oracle(name)``: meta, inputs and outputs of a published implementation, its ``state_dict`` rebuilt where it is a recipe."""
    import torch

    def load(name: str) -> dict[str, Any]:
        known: dict[str, Any] = torch.load(fixtures / "oracles" / f"{name}.pt", weights_only=True)
        if "spec" in known and "state_dict" not in known:
            known["state_dict"] = detweights.make_state_dict(known["spec"], known["seed"])
        return known

    return load
