"""Rules that reject raters by their scores. Declare one before looking; report both results. Default: none.

Tables are (stimuli, raters), NaN where a rater did not rate. Presentations repeated (K, R in BT.500) are further rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.stats.intervals import F64
from facesr.bench.stats.recovery import remove_bias, table_means, table_sd


@dataclass(frozen=True)
class Screening:
    """Positions of rejected raters by one rule, with a reason each; ``statistic`` (raters, ...) is what the rule looked at."""

    rule: str
    rejected: tuple[int, ...]
    reasons: tuple[str, ...]
    statistic: F64


def _table(table: ArrayLike) -> F64:
    x = np.asarray(table, dtype=np.float64)
    if x.ndim != 2:
        raise FaceSRError(f"screening wants a table (stimuli, raters), got {x.ndim} axes: one row a stimulus")
    return x


def _bt500(x: F64, ddof: int, *, skip_unanimous: bool, divide_by_seen: bool) -> tuple[F64, F64, F64]:
    """Counts P and Q of each rater and the number of presentations to divide by."""
    seen = np.isfinite(x)
    mean, spread = table_means(x, 1)[:, None], table_sd(x, 1, ddof)[:, None]
    n = seen.sum(axis=1)
    m2, m4 = (np.where(seen, (x - mean) ** k, 0.0).sum(axis=1) / np.maximum(n, 1) for k in (2, 4))
    kurtosis = np.divide(m4, m2**2, out=np.full(len(x), np.nan), where=m2 > 0)
    k = np.where((kurtosis >= 2) & (kurtosis <= 4), 2.0, np.sqrt(20))[:, None]
    usable = seen & (spread > 0) if skip_unanimous else seen
    with np.errstate(invalid="ignore"):
        above = ((x >= mean + k * spread) & usable).sum(axis=0)
        below = ((x <= mean - k * spread) & usable).sum(axis=0)
    shown = seen.sum(axis=0) if divide_by_seen else np.full(x.shape[1], len(x))
    return above.astype(np.float64), below.astype(np.float64), shown.astype(np.float64)


def _bt500_decide(rule: str, above: F64, below: F64, shown: F64) -> Screening:
    both = above + below
    share = np.divide(both, shown, out=np.zeros(len(both)), where=shown > 0)
    # Nothing outside on either side: the quotient 0/0 means a rater nothing speaks against.
    lopsided = np.divide(np.abs(above - below), both, out=np.ones(len(both)), where=both > 0)
    out = np.flatnonzero((share > 0.05) & (lopsided < 0.3))
    if len(out) == len(both):  # a rule that rejects everybody says nothing about anybody
        out = out[:0]
    reasons = tuple(
        f"{both[i]:.0f} of {shown[i]:.0f} scores far from the panel's: {above[i]:.0f} above, {below[i]:.0f} below" for i in out
    )
    return Screening(rule, tuple(map(int, out)), reasons, np.stack([above, below, shown], axis=1))


def bt500(table: ArrayLike) -> Screening:
    """ITU-R BT.500 A1-2.3.1, applied once: sample standard deviation, unanimous stimuli skipped, shares of the stimuli seen.

    A stimulus all agree on has S = 0, where >= and <= hold for everybody: counted literally, a few such stimuli reject most of a
    panel. Panels of 20 or fewer cannot reach the sqrt(20) S limit. Source: ITU-R BT.500-14 A1-2.3.1.
    """
    return _bt500_decide("bt500", *_bt500(_table(table), 1, skip_unanimous=True, divide_by_seen=True))


def bt500_literal(table: ArrayLike, ddof: int = 0) -> Screening:
    """The rule word for word, unanimous stimuli and all, dividing by all stimuli; ``ddof`` 0 as sureal has it, 1 as the text.

    For conformance with other programs only: use ``bt500``.
    """
    return _bt500_decide("bt500-literal", *_bt500(_table(table), ddof, skip_unanimous=False, divide_by_seen=False))


def p913_bias_bt500(table: ArrayLike, ddof: int = 1, *, literal: bool = False) -> Screening:
    """BT.500 on scores with rater bias removed first (P.913 12.4 then A1-2.3.1), as sureal's P913 model does literally."""
    scores = remove_bias(_table(table)).scores
    found = bt500_literal(scores, ddof) if literal else bt500(scores)
    return Screening("p913-12.4", found.rejected, found.reasons, found.statistic)


def _pearson(a: F64, b: F64) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    x, y = a[both] - a[both].mean() if both.any() else a[both], b[both] - b[both].mean() if both.any() else b[both]
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / scale) if scale > 0 else 0.0


def _spearman(a: F64, b: F64) -> float:
    from scipy.stats import rankdata

    both = np.isfinite(a) & np.isfinite(b)
    return _pearson(rankdata(a[both]), rankdata(b[both]))


def vqeg_hdtv(table: ArrayLike, threshold: float = 0.75) -> Screening:
    """Reject raters whose Pearson correlation with the MOS of the stimuli they saw is below ``threshold``.

    A rater who gave one score throughout correlates 0. Source: VQEG HDTV test plan, Annex I; P.913 Annex A.
    """
    x = _table(table)
    mos = table_means(x, 1)
    r = np.array([_pearson(x[:, i], mos) for i in range(x.shape[1])])
    out = np.flatnonzero(r < threshold)
    reasons = tuple(f"correlation with the MOS {r[i]:.2f} < {threshold:g}" for i in out)
    return Screening("vqeg-hdtv", tuple(map(int, out)), reasons, r)


def vqeg_multimedia(
    table: ArrayLike, condition: Sequence[object], by_stimulus: float = 0.75, by_condition: float = 0.8
) -> Screening:
    """Reject raters who correlate below ``by_stimulus`` over stimuli and below ``by_condition`` over condition means.

    ``condition`` names the condition (the HRC: here the method) of each row. Source: VQEG Multimedia test plan, Annex VI.
    """
    x = _table(table)
    if len(condition) != len(x):
        raise FaceSRError(f"{len(condition)} condition names for {len(x)} stimuli: give one per row")
    names = np.asarray([str(c) for c in condition])
    mos = table_means(x, 1)
    groups = [names == n for n in dict.fromkeys(names.tolist())]
    means, panel = (
        np.stack([table_means(x[g], 0) for g in groups]),
        np.array([table_means(x[g].reshape(1, -1), 1)[0] for g in groups]),
    )
    r = np.array([(_pearson(x[:, i], mos), _pearson(means[:, i], panel)) for i in range(x.shape[1])])
    out = np.flatnonzero((r[:, 0] < by_stimulus) & (r[:, 1] < by_condition))
    reasons = tuple(
        f"correlation {r[i, 0]:.2f} < {by_stimulus:g} over stimuli, {r[i, 1]:.2f} < {by_condition:g} over conditions" for i in out
    )
    return Screening("vqeg-multimedia", tuple(map(int, out)), reasons, r)


def bt1788(table: ArrayLike, most: float = 0.85) -> Screening:
    """Reject raters whose lower of Pearson and Spearman correlation with the MOS is below min(``most``, mean - sd of all raters).

    Source: ITU-R BT.1788 Annex 2 (SAMVIQ), as NTIA's MATLAB reads it.
    """
    x = _table(table)
    mos = table_means(x, 1)
    r = np.array([min(_pearson(x[:, i], mos), _spearman(x[:, i], mos)) for i in range(x.shape[1])])
    limit = min(most, float(r.mean() - r.std(ddof=1))) if len(r) > 1 else -1.0
    out = np.flatnonzero(r < limit)
    reasons = tuple(f"correlation with the MOS {r[i]:.2f} < {limit:.2f}" for i in out)
    return Screening("bt1788", tuple(map(int, out)), reasons, r)


def none(table: ArrayLike) -> Screening:
    """Keep every rater: the default, since a rule chosen after looking is a choice of results."""
    return Screening("none", (), (), np.zeros(_table(table).shape[1]))


RULES: dict[str, Callable[[ArrayLike], Screening]] = {
    "none": none,
    "bt500": bt500,
    "p913-12.4": p913_bias_bt500,
    "vqeg-hdtv": vqeg_hdtv,
    "bt1788": bt1788,
}
"""Rules a study may declare by name; ``vqeg-multimedia`` as well, which also needs the conditions."""


def screen(table: ArrayLike, rule: str, condition: Sequence[object] = ()) -> Screening:
    """Apply a declared rule by name. Raises ``FaceSRError`` for a name that is none."""
    if rule == "vqeg-multimedia":
        return vqeg_multimedia(table, condition)
    if rule not in RULES:
        raise FaceSRError(f"no screening rule {rule!r}: {suggest(rule, [*RULES, 'vqeg-multimedia'])}")
    return RULES[rule](table)
