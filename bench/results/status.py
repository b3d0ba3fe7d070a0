"""How a cell of the grid (image x method x metric) may end."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The status of a cell; every other than ``ok`` comes with a reason in one sentence."""

    OK = "ok"
    MISSING = "missing"
    """There is no image: the method or folder left the face out, or the run has not come to it yet."""
    NO_FACE = "no_face"
    """The metric found no face in HR or SR."""
    NOT_CONVERGED = "not_converged"
    """A search stopped outside its limit. Its image is kept and scored; means leave it out and count it as failed."""
    FAILED = "failed"
    WEIGHTS_MISSING = "weights_missing"
    """A weight file is not on this machine."""
    SKIPPED = "skipped"
    """The method or metric does not serve this size, scale or set."""


SERVED = frozenset({Status.OK, Status.NOT_CONVERGED})
"""There is an SR image."""
RETRIED = frozenset({Status.FAILED, Status.WEIGHTS_MISSING, Status.MISSING})
"""A later run computes such cells again."""
