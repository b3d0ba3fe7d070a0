"""Starlette's test client on httpx: the newest Starlette warns that it would rather have httpx2, which need not be installed for this."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

__all__ = ["TestClient"]
