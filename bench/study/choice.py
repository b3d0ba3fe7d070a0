"""Which conditions and faces a study takes from a run when nobody names them: those that hold the protocol's ε. What is left out is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from facesr.bench.results import Run

TOLERATED = 0.1
"""A condition with a larger share of its faces outside ε is left out; of the others, the faces outside are not drawn."""


@dataclass(frozen=True)
class Choice:
    """``conditions`` to show; ``left_out``: why not the others; ``outside``: faces that a shown condition has outside ε."""

    conditions: list[str]
    left_out: dict[str, str]
    outside: frozenset[str]


def choose_conditions(run: Run, wanted: Sequence[str], epsilon: float | None, error: Callable[[str, str], float | None]) -> Choice:
    """Take from ``wanted`` what the run has, within ``epsilon`` (None: whatever it is).

    ``error(face, condition)``: the mean squared error against LR, None where there is no image.
    """
    conditions, left_out, outside = [], {}, set[str]()
    for condition in wanted:
        if condition != "hr" and condition not in run.methods:
            left_out[condition] = "the run has no images of it"
            continue
        far = set[str]()
        if condition != "hr" and epsilon is not None:
            errors = {face.name: error(face.name, condition) for face in run.faces}
            there = {name: value for name, value in errors.items() if value is not None}
            far = {name for name, value in there.items() if value > epsilon}
            if len(far) > TOLERATED * len(there):
                left_out[condition] = (
                    f"{len(far)} of {len(there)} faces do not agree with their LR within epsilon = {epsilon:g}, "
                    "which the protocol refuses in a study (--conditions with --outside-epsilon flag shows and marks it)"
                )
                continue
        conditions.append(condition)
        outside |= far
    return Choice(conditions, left_out, frozenset(outside))
