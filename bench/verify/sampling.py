"""Which faces are drawn, and what a sample of that size finds: simple random sampling without replacement.

Of M faces a forger changed k (of one method). n faces are drawn, after the submission is fixed, by a seed nobody knew before. At least one of the k
is among them with probability 1 - C(M - k, n) / C(M, n) (hypergeometric), about 1 - (1 - k/M)^n: for 95 % the rule of three, n = 3 M / k.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Sequence

from facesr.bench.errors import FaceSRError

SURE = 0.95


def chance_found(faces: int, changed: int, drawn: int) -> float:
    """The probability that at least one of ``changed`` faces is among ``drawn`` of ``faces``."""
    if drawn + changed > faces:
        return 1.0
    missed = sum(math.log(faces - changed - i) - math.log(faces - i) for i in range(drawn))
    return 1 - math.exp(missed)


def faces_needed(faces: int, changed: int, sure: float = SURE) -> int:
    """How many faces must be drawn to find one of ``changed`` with probability ``sure``."""
    return next((n for n in range(1, faces + 1) if chance_found(faces, changed, n) >= sure), faces)


def changes_found(faces: int, drawn: int, sure: float = SURE) -> int:
    """How many faces must have been changed, at least, to be found with probability ``sure``."""
    return next((k for k in range(1, faces + 1) if chance_found(faces, k, drawn) >= sure), faces)


def sample_size(sample: str, faces: int) -> int:
    """How many faces ``1%``, ``60`` or ``all`` of them are; never fewer than one."""
    text = sample.strip()
    if text == "all":
        return faces
    number = text.removesuffix("%")
    try:
        value = float(number) if text.endswith("%") else int(number)
    except ValueError:
        raise FaceSRError(f"--sample {sample}: give a share of the faces such as 1%, a number of them, or all") from None
    if not (0 < value <= 100 if text.endswith("%") else value >= 1):
        raise FaceSRError(f"--sample {sample}: give more than none, and 100% at most")
    wanted = math.ceil(faces * value / 100 - 1e-9) if text.endswith("%") else int(value)
    return max(1, min(faces, wanted))


def draw_faces(names: Sequence[str], number: int, seed: int | None = None) -> tuple[int, tuple[str, ...]]:
    """The seed, and the names it draws, in their order. Without ``seed`` one nobody could have known: who submits must not foresee it."""
    seed = secrets.randbits(48) if seed is None else seed
    drawn = set(random.Random(seed).sample(sorted(names), min(number, len(names))))
    return seed, tuple(n for n in names if n in drawn)


def sample_power(faces: int, drawn: int) -> str:
    """What a sample finds, and what it leaves open, in one sentence."""
    if drawn >= faces:
        return f"All {faces:,} faces were computed again: nothing is left to chance."
    least = changes_found(faces, drawn)
    some = [f"{part:g} % of them: {faces_needed(faces, max(1, round(faces * part / 100))):,} faces" for part in (10, 5, 1)]
    return (
        f"{drawn:,} of {faces:,} faces were drawn: who changed {least:,} or more of a method's faces is found with at least 95 % probability; "
        f"changes in fewer may stay unseen, and move a mean by less than {least / faces:.1%} of its metric's range. "
        f"To find with 95 % who changed {'; '.join(some)}."
    )
