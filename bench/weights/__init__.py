"""Named weight files: where from, sha256, terms, cache. Only tensors are loaded, code is never unpickled. No torch on import."""

from __future__ import annotations

from facesr.bench.errors import WeightsMissing
from facesr.bench.weights.entries import Weight, catalogue, named
from facesr.bench.weights.files import WeightsBroken, weight_sha256
from facesr.bench.weights.places import (
    fetch,
    find_weight,
    heads_file,
    load_tensors,
    user_places,
    verify_weight,
    where,
    with_fetch,
    without_fetch,
)
from facesr.bench.weights.tensors import metadata, read_tensors, tensors_in

__all__ = [
    "Weight",
    "WeightsBroken",
    "WeightsMissing",
    "catalogue",
    "fetch",
    "find_weight",
    "heads_file",
    "load_tensors",
    "metadata",
    "named",
    "read_tensors",
    "tensors_in",
    "user_places",
    "verify_weight",
    "weight_sha256",
    "where",
    "with_fetch",
    "without_fetch",
]
