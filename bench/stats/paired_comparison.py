"""Which of two: Bradley-Terry abilities from paired comparisons, with standard errors and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.clustered import clusters_of
from facesr.bench.stats.correction import holm
from facesr.bench.stats.intervals import F64


@dataclass(frozen=True)
class BradleyTerry:
    """Log-abilities that average zero: P(i beats j) = 1 / (1 + exp(score_j - score_i)).

    ``covariance`` (n, n) of the scores; ``low``, ``high`` their intervals; ``p`` (n, n): tests of score differences,
    Holm-corrected over pairs, t with ``df`` degrees of freedom. ``over``: whose other draws the errors speak of, ``comparisons``
    where each is independent, ``raters``, or ``raters and faces``. ``undefined``: why errors and tests are NaN, '' where known.
    """

    names: tuple[str, ...]
    scores: F64
    low: F64
    high: F64
    covariance: F64
    p: F64
    comparisons: int
    over: str = "comparisons"
    df: float = np.inf
    undefined: str = ""

    @property
    def clustered(self) -> bool:
        """Whether the errors let choices of one rater (and about one face) hang together."""
        return self.over != "comparisons"

    def probability(self, a: str, b: str) -> float:
        """Chance that ``a`` is chosen over ``b``."""
        i, j = self.names.index(a), self.names.index(b)
        return float(1 / (1 + np.exp(self.scores[j] - self.scores[i])))


def _check(wins: F64, names: Sequence[str]) -> None:
    n = len(names)
    if wins.shape != (n, n) or n < 2 or not (wins >= 0).all():
        raise FaceSRError(f"wins must be a ({n}, {n}) table of counts, wins[i, j] how often i beat j, got shape {wins.shape}")
    reach = (wins > 0) | np.eye(n, dtype=bool)
    for _ in range(n):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    if not reach.all():
        stuck = [names[i] for i in range(n) if not (reach[i].all() and reach[:, i].all())]
        raise FaceSRError(
            f"no finite Bradley-Terry scores: some of {', '.join(stuck)} never won or never lost against the rest; collect more comparisons"
        )


def _cells(wins: F64, by_rater: ArrayLike | None, by_cell: ArrayLike | None) -> F64 | None:
    """Wins by rater and face, (raters, faces, n, n); one 'face' where only raters are known."""
    if by_cell is None and by_rater is None:
        return None
    given, name, axes = (by_cell, "by_cell", 4) if by_cell is not None else (by_rater, "by_rater", 3)
    cells = np.asarray(given, dtype=np.float64)
    shape = "(raters, faces, n, n)" if axes == 4 else "(raters, n, n)"
    if cells.ndim != axes or cells.shape[-2:] != wins.shape:
        raise FaceSRError(f"{name} must be tables of wins {shape} with n = {len(wins)}, got shape {cells.shape}")
    if not np.allclose(cells.sum(axis=tuple(range(axes - 2))), wins):
        raise FaceSRError(f"{name} must add up to wins: it holds {cells.sum():g} comparisons, wins {wins.sum():g}")
    if not (cells >= 0).all():
        raise FaceSRError(f"{name} holds counts of wins, got {cells.min():g}")
    return cells if axes == 4 else cells[:, None]


def bradley_terry(
    wins: ArrayLike, names: Sequence[str], level: float = 0.95, by_rater: ArrayLike | None = None, by_cell: ArrayLike | None = None
) -> BradleyTerry:
    """Maximum-likelihood Bradley-Terry scores. ``wins[i, j]``: how often i was chosen over j; count a tie half to each.

    ``by_rater`` (raters, n, n), adding up to ``wins``, lets the choices of one rater hang together; ``by_cell`` (raters, faces, n, n)
    those about one face too: use it wherever faces are known. Errors are then undefined, with a sentence, where they cannot be
    estimated (one rater, one face, choices all alike). Raises ``FaceSRError`` where scores would be infinite (someone never won or
    never lost) or a table does not fit. Source: Bradley & Terry 1952; Hunter 2004 for existence; Newton's method on the concave
    log-likelihood; Liang & Zeger 1986 and Cameron, Gelbach & Miller 2011 for clusters; jackknife by one step for few of them (CR3).
    """
    w = np.asarray(wins, dtype=np.float64)
    _check(w, names)
    cells = _cells(w, by_rater, by_cell)
    played = w + w.T
    scores = np.zeros(len(names))
    for _ in range(100):
        gradient, information = _derivatives(w, played, scores)
        step = np.linalg.pinv(information) @ gradient
        scores = scores + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-12:
            break
    scores = scores - scores.mean()
    if cells is None:
        covariance = np.asarray(np.linalg.pinv(_derivatives(w, played, scores)[1]), dtype=np.float64)
        return _result(names, scores, [covariance], np.inf, level, int(w.sum()), "comparisons", "")
    faces = by_cell is not None
    parts, df, why = _clustered(cells, scores, faces)
    return _result(names, scores, parts, df, level, int(w.sum()), "raters and faces" if faces else "raters", why)


def _derivatives(w: F64, played: F64, scores: F64) -> tuple[F64, F64]:
    """Gradient (n,) and information (n, n) of the log-likelihood; leading axes of ``w`` are kept."""
    p = 1 / (1 + np.exp(scores[None, :] - scores[:, None]))
    weight = played * p * (1 - p)
    diagonal = weight.sum(axis=-1)[..., None] * np.eye(len(scores))
    return (w - played * p).sum(axis=-1), diagonal - weight


def _clustered(cells: F64, scores: F64, faces: bool) -> tuple[list[F64], float, str]:
    """Covariances whose largest counts: over raters and faces together, raters alone, faces alone; df; why they are unknown."""
    axes = [(1, "rater"), (0, "face")] if faces else [(1, "rater")]
    found, df = [], np.inf
    for axis, unit in axes:
        tables = cells.sum(axis=axis)
        tables = tables[tables.sum(axis=(1, 2)) > 0]
        count = tables.sum(axis=(1, 2))
        if len(tables) < 2:
            return [], 0.0, f"all choices are of one {unit}: how far another's would differ is not known"
        clusters = clusters_of(count / count.sum(), np.arange(len(count)))
        df = min(df, clusters.df)
        if clusters.df < 1 - 1e-9:
            return (
                [],
                df,
                f"the choices rest on the equivalent of {clusters.effective:.1f} {unit}s: too few to know what others would choose",
            )
        one = _jackknife(tables, scores)
        if one is None:
            return [], df, f"without one of the {unit}s there are no scores: its choices alone tie a condition to the rest"
        found.append(one)
    if faces:
        flat = cells.reshape(-1, *cells.shape[2:])
        own = _jackknife(flat[flat.sum(axis=(1, 2)) > 0], scores)
        found.insert(0, found[0] + found[1] - (own if own is not None else np.zeros_like(found[0])))
    return found, df, ""


def _jackknife(tables: F64, scores: F64) -> F64 | None:
    """Covariance from the shift of the scores when each table is left out, by one Newton step; None where one cannot be."""
    gradients, information = _derivatives(tables, tables + tables.swapaxes(1, 2), scores)
    left = information.sum(axis=0) - information
    ones = np.full(left.shape[1:], 1 / len(scores))  # fills the direction in which all scores move together
    whole = np.linalg.eigvalsh(information.sum(axis=0) + ones)[-1]
    if np.linalg.eigvalsh(left + whole * ones)[:, 0].min() < 1e-9 * whole:
        return None
    shifts = np.linalg.solve(left + whole * ones, gradients[..., None])[..., 0]
    groups = len(tables)
    covariance: F64 = shifts.T @ shifts * (groups - 1) / groups
    return covariance


def _result(
    names: Sequence[str], scores: F64, parts: list[F64], df: float, level: float, comparisons: int, over: str, why: str
) -> BradleyTerry:
    from scipy.special import stdtr, stdtrit

    n = len(names)

    def error(contrast: F64) -> float:
        variance = max((float(contrast @ part @ contrast) for part in parts), default=np.nan)
        return float(np.sqrt(variance)) if variance > 1e-20 else np.nan

    centred = np.eye(n) - 1 / n
    half = float(stdtrit(df, (1 + level) / 2)) * np.array([error(row) for row in centred]) if parts else np.full(n, np.nan)
    pairs = list(combinations(range(n), 2))
    raw = []
    for i, j in pairs:
        se = error(np.eye(n)[i] - np.eye(n)[j])
        raw.append(2 * float(stdtr(df, -abs(scores[i] - scores[j]) / se)) if np.isfinite(se) else np.nan)
    if parts and not np.isfinite(raw).any():
        why = f"all {over} choose alike, so how far others would differ is not known"
    p = np.where(np.eye(n) > 0, 1.0, np.nan)
    for (i, j), value in zip(pairs, holm(raw), strict=True):
        p[i, j] = p[j, i] = value
    covariance = parts[0] if parts else np.full((n, n), np.nan)
    return BradleyTerry(tuple(names), scores, scores - half, scores + half, covariance, p, comparisons, over, df, why)
