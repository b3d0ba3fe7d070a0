"""Which conditions and faces a study takes from a run when nobody names them: those that have images and hold ε. What is left out is said."""

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


def choose_conditions(
    run: Run,
    wanted: Sequence[str],
    faces: int,
    epsilon: float | None,
    image: Callable[[str, str], bool],
    error: Callable[[str, str], float | None],
) -> Choice:
    """Take from ``wanted`` what the run has, of as many ``faces`` as the study shows, within ``epsilon`` (None: whatever it is).

    ``image(face, condition)``: whether there is one; ``error``: its mean squared error against LR, None where there is no image.
    """
    conditions, left_out, outside = [], {}, set[str]()
    for condition in wanted:
        if condition != "hr" and condition not in run.methods:
            left_out[condition] = "the run has no images of it"
            continue
        if condition != "hr" and (n := sum(image(face.name, condition) for face in run.faces)) < min(faces, len(run.faces)):
            left_out[condition] = f"the run has images of {n} of its {len(run.faces)} faces, and the study shows {faces}"
            continue
        far = set[str]()
        if condition != "hr" and epsilon is not None:
            errors = {face.name: error(face.name, condition) for face in run.faces}
            there = {name: value for name, value in errors.items() if value is not None}
            far = {name for name, value in there.items() if value > epsilon}
            if len(far) > TOLERATED * len(there):
                left_out[condition] = (
                    f"{len(far)} of {len(there)} faces do not agree with their LR within epsilon = {epsilon:g}, "
                    "which this study refuses (--outside-epsilon flag shows and marks them)"
                )
                continue
        conditions.append(condition)
        outside |= far
    for method in run.methods:
        if method not in wanted:
            left_out[method] = "it is not among the protocol's conditions (--conditions names others)"
    return Choice(conditions, left_out, frozenset(outside))
