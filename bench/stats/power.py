"""How large a study must be: by simulation from variance components, and the planning tables of VQEG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.clustered import Components, clustered_mean
from facesr.bench.stats.intervals import F64
from facesr.bench.stats.pairwise import detectable_difference


def check_known(parts: Components, source: str) -> None:
    """Raise ``FaceSRError`` where a study would be planned with what its pilot cannot tell."""
    if parts.unknown:
        raise FaceSRError(
            f"{source} cannot tell how far ratings differ by {', '.join(parts.unknown)}: that takes at least two raters who saw two faces in two "
            "conditions; leave it out to plan with typical figures"
        )
    if parts.rating == 0:
        raise FaceSRError(f"the ratings of {source} do not vary, so they plan nothing: leave it out to plan with typical figures")


TYPICAL = Components(rater=0.55, face=0.34, rater_condition=0.27, face_condition=0.36, rater_face=0.31, residual=0.91)
"""Measured on 19 raters x 27 prompts x 5 image generators, "appeal" (AVT, TU Ilmenau, 2022): one study, an orientation."""


def typical(scale: tuple[float, float] = (1, 5)) -> Components:
    """``TYPICAL`` on another scale: the same shares of its range."""
    factor = (scale[1] - scale[0]) / 4
    return Components(*(v * factor for v in vars(TYPICAL).values()))


OverWhat = Literal["ratings", "raters", "both"]
"""Whether a claim is about these raters and faces, other raters, or other raters and faces."""


@dataclass(frozen=True)
class StudySize:
    """``raters`` see ``faces`` each in every condition, or only ``faces_per_rater`` of them, balanced over faces."""

    raters: int
    faces: int
    faces_per_rater: int | None = None

    @property
    def seen(self) -> int:
        """Faces each rater sees."""
        return self.faces if self.faces_per_rater is None else self.faces_per_rater

    @property
    def df(self) -> int:
        """Degrees of freedom of the two-way clustered t test."""
        return min(self.raters, self.faces) - 1

    def check(self) -> None:
        """Raise ``FaceSRError`` for a design no test can be made of."""
        if self.raters < 2 or self.faces < 2 or not 1 <= self.seen <= self.faces:
            raise FaceSRError(
                f"a study needs two raters and two faces, and a rater sees 1 to {self.faces} faces, "
                f"got {self.raters} raters, {self.faces} faces, {self.seen} per rater"
            )
        if self.raters * self.seen < self.faces:
            raise FaceSRError(
                f"{self.raters} raters who see {self.seen} faces each leave some of {self.faces} faces without a rating: "
                f"let each see {-(-self.faces // self.raters)} or more"
            )


def check_chances(alpha: float, target: float, difference: float) -> None:
    """Raise one ``FaceSRError`` for chances outside (0, 1) or a difference that is none."""
    wrong = [
        f"{name} is a chance between 0 and 1, got {v:g}"
        for name, v in (("alpha", alpha), ("target power", target))
        if not 0 < v < 1
    ]
    if not 0 < abs(difference) < np.inf:
        wrong.append(f"the difference to find is a number of rating points other than 0, got {difference:g}")
    if wrong:
        raise FaceSRError("; ".join(wrong))


def standard_error(parts: Components, design: StudySize, over: OverWhat = "both") -> float:
    """Standard error of a difference of two conditions' MOS that the same raters and faces share: main effects cancel."""
    variance = parts.residual**2 / (design.raters * design.seen)
    if over in ("raters", "both"):
        variance += parts.rater_condition**2 / design.raters
    if over == "both":
        variance += parts.face_condition**2 / design.faces
    return float(np.sqrt(2 * variance))


def _null(parts: Components, design: StudySize, draws: int, seed: int) -> tuple[F64, F64]:
    """Simulated mean differences without a true difference, and the standard errors the clustered test would give them."""
    design.check()
    rng = np.random.default_rng(seed)
    r, f, k = design.raters, design.faces, design.seen
    rater, face, noise = (np.sqrt(2) * v for v in (parts.rater_condition, parts.face_condition, parts.residual))
    if k < f:
        return _null_partial(rng, design, rater, face, noise, min(draws, 1000))
    mean = rng.normal(0, np.sqrt(rater**2 / r + face**2 / f + noise**2 / (r * f)), draws)
    by_rater = (rater**2 + noise**2 / f) * rng.chisquare(r - 1, draws) / (r - 1) / r
    by_face = (face**2 + noise**2 / r) * rng.chisquare(f - 1, draws) / (f - 1) / f
    residual = noise**2 * rng.chisquare((r - 1) * (f - 1), draws) / ((r - 1) * (f - 1)) / (r * f)
    return mean, np.sqrt(residual + np.maximum(by_rater - residual, 0) + np.maximum(by_face - residual, 0))


def _null_partial(
    rng: np.random.Generator, design: StudySize, rater: float, face: float, noise: float, draws: int
) -> tuple[F64, F64]:
    """The same from whole tables: each rater sees a run of faces that starts where the last one's ended."""
    seen = np.zeros((design.raters, design.faces), dtype=bool)
    for i in range(design.raters):
        seen[i, (i * design.seen + np.arange(design.seen)) % design.faces] = True
    means, errors = np.empty(draws), np.empty(draws)
    for i in range(draws):
        d = rng.normal(0, rater, (design.raters, 1)) + rng.normal(0, face, (1, design.faces))
        found = clustered_mean(np.where(seen, d + rng.normal(0, noise, seen.shape), np.nan))
        means[i], errors[i] = found.mean, found.se
    return means, errors


@dataclass(frozen=True)
class Power:
    """Chance that a true ``difference`` is found at ``alpha``, simulated; and the difference found with chance ``target``."""

    design: StudySize
    alpha: float
    difference: float
    power: float
    target: float
    detectable: float


def study_power(
    parts: Components, design: StudySize, difference: float = 0.1, alpha: float = 0.05, target: float = 0.8,
    draws: int = 20_000, seed: int = 0,
) -> Power:  # fmt: skip
    """Simulate studies and count how often the two-way clustered test finds ``difference``; ``alpha`` is a pair's own level.

    For k conditions divide alpha by k (k - 1) / 2 (Bonferroni). Complete designs are simulated by their sufficient statistics,
    partial ones by whole rating tables. Raises ``FaceSRError`` for a design no test can be made of.
    """
    from scipy.special import stdtrit

    check_chances(alpha, target, difference)
    mean, se = _null(parts, design, draws, seed)
    critical = float(stdtrit(design.df, 1 - alpha / 2))

    def at(delta: float) -> float:
        return float((np.abs(mean + delta) > critical * se).mean())

    low, high = 0.0, 10 * float(np.median(se)) + 1e-9
    while at(high) < target and high < 1e6:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) < target else (low, middle)
    return Power(design, alpha, difference, at(difference), target, high)


def power_grid(
    parts: Components, raters: Sequence[int], faces: Sequence[int], alpha: float = 0.05, target: float = 0.8,
    difference: float = 0.1, faces_per_rater: int | None = None, seed: int = 0,
) -> list[Power]:  # fmt: skip
    """``study_power`` for every number of raters with every number of faces, raters first.

    Raises ``FaceSRError`` before any work for the designs among them that cannot be, all together.
    """
    designs = [StudySize(r, f, faces_per_rater) for r in raters for f in faces]
    check_chances(alpha, target, difference)
    wrong = []
    for design in designs:
        try:
            design.check()
        except FaceSRError as error:
            wrong.append(str(error))
    if wrong:
        raise FaceSRError("; ".join(dict.fromkeys(wrong)))
    return [study_power(parts, design, difference, alpha, target, seed=seed) for design in designs]


def size_sentence(parts: Components, raters: int, faces: int, difference: float, alpha: float, comparisons: int) -> str:
    """What a study of these raters and faces can find of two conditions, and how many faces (or raters) would find ``difference``.

    From the closed standard error and a shifted t, 80 % power at ``alpha`` over ``comparisons`` (Bonferroni); ``study_power`` simulates.
    """
    level = alpha / max(comparisons, 1)

    def finds(r: int, f: int) -> bool:
        return detectable_difference(standard_error(parts, StudySize(r, f)), min(r, f) - 1, level) <= difference

    if not difference > 0:
        return ""
    now = detectable_difference(standard_error(parts, StudySize(raters, faces)), min(raters, faces) - 1, level)
    if not np.isfinite(now) or now == 0:
        return ""
    pairs = "1 pair" if comparisons == 1 else f"{comparisons} pairs"
    said = (
        f"With {raters} raters and {faces} faces, differences of {now:.2f} MOS are found with 80 % power (α = {alpha:g}, {pairs})"
    )
    if now <= difference:
        return f"{said}."
    sizes = [int(v) for v in np.unique(np.rint(np.geomspace(2, 5000, 400)))]
    more_faces = next((f for f in sizes if f > faces and finds(raters, f)), None)
    more_raters = next((r for r in sizes if r > raters and finds(r, faces)), None)
    ways = [f"{n:,} {what}" for n, what in ((more_faces, "faces"), (more_raters, "raters")) if n is not None]
    need = (
        f"about {' or '.join(ways)} would be needed"
        if ways
        else "neither more faces nor more raters alone would do, both are needed"
    )
    return f"{said}; for {difference:.2f} MOS {need}."
