"""Named weight files: where from, sha256, terms, cache. Only tensors are loaded, code is never unpickled. No torch on import."""

from __future__ import annotations

from facesr.bench.errors import WeightsMissing
from facesr.bench.weights.entries import Weight, catalogue, named
from facesr.bench.weights.files import WeightsBroken, sha256
from facesr.bench.weights.store import fetch, find, verify, where, with_fetch
from facesr.bench.weights.tensors import load_tensors

__all__ = [
    "Weight",
    "WeightsBroken",
    "WeightsMissing",
    "catalogue",
    "fetch",
    "find",
    "load_tensors",
    "named",
    "sha256",
    "verify",
    "where",
    "with_fetch",
]
