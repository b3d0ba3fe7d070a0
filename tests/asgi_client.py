"""Starlette's test client on httpx: the newest Starlette warns that it would rather have httpx2, which need not be installed for this."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

from facesr.dashboard.rating.api import Limits
from facesr.dashboard.rating.limits import Limiter

__all__ = ["TestClient", "generous"]


def generous() -> Limits:
    """Limits that tests of other things do not meet."""
    return Limits(Limiter(1e6, 1e6), Limiter(1e6, 1e6), Limiter(1e6, 1e6))
