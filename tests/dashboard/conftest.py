"""What several tests of pages and of the rating server share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_client import TestClient, generous
from facesr.bench.study import Study
from facesr.dashboard.serve import study_app
from small_runs import real_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real runs, of one factor and of two."""
    folder = tmp_path_factory.mktemp("runs")
    real_run(folder / "one")
    real_run(folder / "sweep", "[8, 16]")
    return folder


@pytest.fixture
def copy(runs: Path, tmp_path: Path) -> Path:
    """A run of one's own to break."""
    return Path(shutil.copytree(runs / "one", tmp_path / "copy"))


@pytest.fixture(scope="module")
def client(study: Study) -> Iterator[TestClient]:
    """The whole application without Streamlit, for the module's own ``study``."""
    with TestClient(study_app(study, password="x", streamlit=False, limits=generous()), raise_server_exceptions=False) as made:
        yield made
