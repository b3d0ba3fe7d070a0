"""When are two values, or two images, the same? First bytes, then a tolerance for machines that round differently.

The tolerances are some five times the largest difference that was measured between a processor with all its vector instructions and the same
with none of them (docs/tutorials/travel.md has the table). They bound what a forger can gain unseen: a mean moves by no more than its tolerance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from facesr.bench.results.cells import ScoreCell
from facesr.bench.results.status import Status

RELATIVE = 1e-3
LAST_DIGIT = 0.2
"""A score may differ by this share of itself, and by this much of the last decimal that its metric is printed with."""
LEVELS = 2
"""8-bit levels by which single values of an image may differ ..."""
MEAN = 0.05
"""... and the mean absolute difference that an image may have."""


class Same(StrEnum):
    """How far two things agree."""

    BYTES = "identical"
    CLOSE = "within tolerance"
    OTHER = "different"


@dataclass(frozen=True)
class Difference:
    """A cell that is not what was claimed: where it is, both values, in words."""

    place: str
    claimed: str
    found: str

    def __str__(self) -> str:
        return f"{self.place}: {self.claimed} claimed, {self.found} found"


def score_tolerance(value: float, digits: int) -> float:
    """By how much a score may differ between machines; ``digits``: decimals that its metric is printed with."""
    return float(LAST_DIGIT * 10.0**-digits + RELATIVE * abs(value))


def same_numbers(claimed: float | None, found: float | None, digits: int) -> Same:
    """Of two scores; None and NaN are "no value"."""
    a, b = (None if v is None or math.isnan(v) else v for v in (claimed, found))
    if a is None or b is None:
        return Same.BYTES if a is b else Same.OTHER
    if a == b:
        return Same.BYTES
    return Same.CLOSE if abs(a - b) <= score_tolerance(b, digits) else Same.OTHER


def same_cells(claimed: ScoreCell, found: ScoreCell, digits: int) -> Same:
    """Of two cells at one place: status, value, interval and n. Reasons are words, and may differ."""
    if claimed.status != found.status or claimed.n != found.n:
        return Same.OTHER
    each = [same_numbers(getattr(claimed, key), getattr(found, key), digits) for key in ("value", "low", "high")]
    return max(each, key=list(Same).index)


def same_images(claimed: NDArray[np.uint8], found: NDArray[np.uint8]) -> Same:
    """Of two 8-bit images."""
    if claimed.shape != found.shape:
        return Same.OTHER
    apart = np.abs(claimed.astype(np.int16) - found.astype(np.int16))
    if not apart.any():
        return Same.BYTES
    return Same.CLOSE if apart.max() <= LEVELS and apart.mean() <= MEAN else Same.OTHER


def cell_words(cell: ScoreCell) -> str:
    """A cell's outcome in words."""
    if cell.value is None or math.isnan(cell.value):
        return cell.status
    interval = "" if cell.low is None and cell.high is None else f" [{cell.low}, {cell.high}]"
    return f"{cell.value:.6g}{interval}" + (f" ({cell.status})" if cell.status != Status.OK else "")
