"""Bias: beside every mean the group of faces that is served worst, and how far it lies behind the best, with intervals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.intervals import mean_interval
from facesr.reports.build import bands
from facesr.reports.cells import Cell, Column, Row
from facesr.reports.notes import declared
from facesr.reports.references import printed
from facesr.reports.scores import POWER, Scores
from facesr.reports.table import Table

F64 = NDArray[np.float64]
COLUMNS = (
    Column("all", "all faces"),
    Column("group", "worst group"),
    Column("worst", "its mean"),
    Column("gap", "gap to the best group"),
)
LEAST = 5
"""People of a group that can be served worst: a few faces are nobody's group, and two that agree by chance have too short an interval."""


def gap_interval(a: F64, b: F64, pairs: int = 1, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of ``a`` less mean of ``b`` with Welch's interval, Bonferroni over ``pairs`` comparisons. Needs two values on each side.

    The two groups are chosen because they lie farthest apart: with ``pairs`` all pairs of groups, the interval holds for whichever were chosen.
    """
    from scipy.stats import t

    x, y = (np.asarray(v, np.float64) for v in (a, b))
    if min(len(x), len(y)) < 2:
        raise FaceSRError(f"a gap needs two values in each group, these have {len(x)} and {len(y)}")
    gap = float(x.mean() - y.mean())
    parts = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    spread = float(sum(parts))
    if spread == 0:
        return gap, gap, gap
    df = spread**2 / (parts[0] ** 2 / (len(x) - 1) + parts[1] ** 2 / (len(y) - 1))
    half = float(t.ppf(1 - (1 - level) / 2 / pairs, df)) * spread**0.5
    return gap, gap - half, gap + half


def bias_table(scores: Scores, attribute: str, scale: float | None = None) -> Table:
    """Metrics and methods: the mean of all faces, the worst group with its mean, and its gap to the best group, each with its interval.

    Groups are of people: several photos of one (attribute ``person``) count as their mean. Raises ``FaceSRError`` where no face has the attribute,
    or fewer than two of its groups have ``LEAST`` people.
    """
    at = scores.scales[0] if scale is None else scale
    everyone = bands(scores, attribute)
    who = {face: scores.attributes.get(face, {}).get("person") or face for face in scores.faces}
    people = {name: len({who[f] for f in faces}) for name, faces in everyone.items()}
    groups = {name: faces for name, faces in everyone.items() if name != "unknown" and people[name] >= LEAST}
    if len(groups) < 2:
        counts = ", ".join(f"{name}: {n}" for name, n in people.items())
        raise FaceSRError(
            f"{attribute} has {len(groups)} groups of {LEAST} people or more here ({counts}): there is no gap between groups"
        )
    metrics = [m for m in scores.metrics if not scores.is_set_metric(m)]
    if not metrics:
        raise FaceSRError("no metric of single faces is in view: a worst group is one of faces")
    rows = [
        Row(f"{metric} {method}", printed(method, scores.cite(method)), cells, _heading(scores, metric))
        for metric in metrics
        for method in scores.methods
        if (cells := _cells(scores, method, metric, at, groups, who))
    ]
    left = {name: n for name, n in people.items() if name not in groups}
    sizes = ", ".join(f"{name} {people[name]:,}" for name in groups)
    notes = (
        "The gap is that of the best group's mean to the worst's; its interval holds whichever two groups lie farthest apart (Welch, Bonferroni "
        f"over all pairs of groups: {len(list(combinations(groups, 2)))}). The other intervals: over all faces, and over the group's people; t.",
        f"People in the groups: {sizes}"
        + (f"; not compared: {', '.join(f'{k} {n:,}' for k, n in left.items())}." if left else "."),
        "A gap whose interval begins above 0 is a difference between these groups of people; what the attribute goes along with (age, glasses) "
        "is not taken out. Several photos of one person (attribute 'person') count as their mean; the first column is over faces.",
        *declared(scores.only(metrics=metrics)),
    )
    caption = f"Whom each method serves worst, by {attribute}" + (f", ×{at}" if len(scores.scales) > 1 else "")
    return Table(f"bias-{attribute}", caption, COLUMNS, tuple(rows), notes)


def _heading(scores: Scores, metric: str) -> str:
    column = scores.column(metric)
    return f"{column.label}{f' ({column.unit})' if column.unit else ''} {column.arrow}"


def _cells(
    scores: Scores, method: str, metric: str, scale: float, groups: dict[str, list[str]], who: dict[str, str]
) -> tuple[Cell, ...]:
    """Mean of all faces, the worst group's name and mean, and the gap."""
    values = scores.only(metrics=[metric]).values(metric, scale)[method]
    part = {name: values.loc[faces].dropna() for name, faces in groups.items()}
    known = {name: v.groupby([who[str(f)] for f in v.index]).mean().to_numpy(np.float64) for name, v in part.items()}
    known = {name: x for name, x in known.items() if len(x) >= LEAST and np.isfinite(x).all()}
    digits, power = scores.digits(metric), scores.digits(metric) >= POWER
    look = {"digits": 1 if power else digits, "power": power, "ranked": False}

    def cell(what: str, mean: float, low: float, high: float, n: int) -> Cell:
        return Cell(method, f"{metric}, {what}", mean, low, high, n, **look)  # type: ignore[arg-type]

    total = mean_interval(values.to_numpy(np.float64))
    first = cell("all faces", total.mean, total.low, total.high, total.n)
    if len(known) < 2:
        return (first, *(Cell(method, metric, text="–") for _ in COLUMNS[1:]))
    sign = 1 if scores.column(metric).higher_is_better else -1
    order = sorted(known, key=lambda name: sign * float(known[name].mean()))
    worst, best = known[order[0]], known[order[-1]]
    one = mean_interval(worst)
    gap = gap_interval(*((best, worst) if sign > 0 else (worst, best)), len(known) * (len(known) - 1) // 2)
    return (
        first,
        Cell(method, metric, text=order[0]),
        cell(f"worst: {order[0]}", one.mean, one.low, one.high, one.n),
        cell(f"gap to {order[-1]}", *gap, len(worst) + len(best)),
    )
