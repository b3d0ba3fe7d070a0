"""Which metric predicts people: each against MOS, a composite judged on faces and methods it never saw, and what to trust, said in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import fixed
from facesr.bench.stats.correlation import (
    Ranking,
    _z,
    clusters_of_faces,
    correlation_interval,
    difference_p,
    face_groups,
    jackknife_interval,
    krocc,
    metrics_against_people,
    srocc,
)
from facesr.bench.stats.intervals import F64, Interval

FOLDS = 10
"""Most groups of faces in the cross-validation of the composite."""
FACES_WITHIN = 5
"""Fewest faces of a method for a rank correlation within it."""


@dataclass(frozen=True)
class Order:
    """Pairs of methods that people tell apart, (better, worse): those a metric's means order alike, and those it turns round."""

    same: tuple[tuple[str, str], ...]
    reversed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Composite:
    """A weighted sum of metrics, judged only by predictions for faces and methods that its weights never saw.

    ``predicted``: held-out MOS of each stimulus used. ``weights``: of each metric, in MOS points per standard deviation towards better,
    none below zero, fitted to all stimuli (for use elsewhere; no figure here comes from that fit). ``rmse``: in MOS points.
    ``p``: two-sided, of its SROCC against the best single metric's.
    """

    predicted: tuple[float, ...]
    weights: Mapping[str, float]
    folds: int
    srocc: Interval
    plcc: Interval
    krocc: Interval
    rmse: float
    p: float


@dataclass(frozen=True)
class Validation:
    """Metrics against people over the same stimuli (``used``: which of those given). ``level`` of every interval; all are over faces.

    ``within``: SROCC within methods, averaged over them: what is left when the gap between bad and good methods is taken away.
    ``orders``: by metric. ``composite`` is None where ``composite_refused`` says why. ``trusted``: the metric to read for this
    comparison, None where none can be recommended; ``sentences``: the verdict first, then what it rests on.
    """

    ranking: Ranking
    level: float
    used: NDArray[np.bool_]
    within: Mapping[str, Interval]
    orders: Mapping[str, Order]
    composite: Composite | None
    composite_refused: str
    trusted: str | None
    sentences: tuple[str, ...]


def validate(
    metrics: Mapping[str, ArrayLike],
    mos: ArrayLike,
    half_widths: ArrayLike,
    faces: Sequence[str],
    methods: Sequence[str],
    higher_is_better: Mapping[str, bool],
    told_apart: Sequence[tuple[str, str]],
    labels: Mapping[str, str] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Validation:
    """Judge every metric (values (n,) of the stimuli) by the ``mos`` (n,) of people, with 95 % ``half_widths`` (n,).

    ``faces`` and ``methods`` (n,) name each stimulus. ``told_apart``: pairs of methods, better first, that people tell apart by the
    study's own decision. ``labels``: names of metrics to print. Stimuli with a gap in any metric are left out of all. Raises
    ``FaceSRError`` for lengths that differ or fewer than six stimuli.
    """
    if len(faces) != len(methods):
        raise FaceSRError(f"{len(faces)} names of faces and {len(methods)} of methods: give both for each stimulus")
    ranking = metrics_against_people(metrics, mos, half_widths, faces, higher_is_better, level, seed=seed)
    table = {k: np.asarray(v, dtype=np.float64) * (1 if higher_is_better.get(k, True) else -1) for k, v in metrics.items()}
    y = np.asarray(mos, dtype=np.float64)
    used = np.isfinite(y) & np.logical_and.reduce([np.isfinite(v) for v in table.values()])
    x, y = {k: v[used] for k, v in table.items()}, y[used]
    face = np.array([str(f) for f, u in zip(faces, used, strict=True) if u])
    method = np.array([str(m) for m, u in zip(methods, used, strict=True) if u])
    groups = face_groups(clusters_of_faces(list(face), len(y)))
    orders = {k: _order(v, face, method, told_apart) for k, v in x.items()}
    refused = _composite_refused(x, face, method)
    composite = None if refused else _composite(x, y, face, method, groups, ranking.best, level)
    trusted = _trusted(ranking, orders, told_apart)
    within = {k: _within(v, y, method, groups, level) for k, v in x.items()}
    names = {k: (labels or {}).get(k, k) for k in x}
    said = _sentences(ranking, orders, within, composite, refused, trusted, told_apart, names)
    return Validation(ranking, level, used, within, orders, composite, refused, trusted, said)


def _order(x: F64, face: NDArray[np.str_], method: NDArray[np.str_], told_apart: Sequence[tuple[str, str]]) -> Order:
    """How the means over the faces that both methods have order each pair; a pair without such faces, or equal, is in neither list."""
    by = {m: dict(zip(face[method == m], x[method == m], strict=True)) for m in dict.fromkeys(method)}
    same: list[tuple[str, str]] = []
    turned: list[tuple[str, str]] = []
    for better, worse in told_apart:
        shared = by.get(better, {}).keys() & by.get(worse, {}).keys()
        difference = sum(by[better][f] - by[worse][f] for f in sorted(shared))
        if shared and difference != 0:
            (same if difference > 0 else turned).append((better, worse))
    return Order(tuple(same), tuple(turned))


def _within(x: F64, y: F64, method: NDArray[np.str_], groups: Sequence[NDArray[np.intp]], level: float) -> Interval:
    """Mean SROCC within methods, with a jackknife over faces; NaN where no method has enough faces that differ."""

    def mean(keep: NDArray[np.bool_]) -> float:
        rows = [keep & (method == m) for m in dict.fromkeys(method)]
        rho = [srocc(x[r], y[r]) for r in rows if r.sum() >= FACES_WITHIN]
        known = [r for r in rho if np.isfinite(r)]
        return float(np.mean(known)) if known else np.nan

    everything = np.ones(len(y), dtype=bool)
    left = []
    for g in groups:
        keep = everything.copy()
        keep[g] = False
        left.append(mean(keep))
    point = mean(everything)
    low, high = jackknife_interval(point, np.array(left), level)
    return Interval(point, max(low, -1.0) if np.isfinite(low) else low, min(high, 1.0) if np.isfinite(high) else high, len(y))


# --- the composite ----------------------------------------------------------------------------------------------------------------------


def _composite_refused(x: Mapping[str, F64], face: NDArray[np.str_], method: NDArray[np.str_]) -> str:
    if len(x) < 2:
        return "there is one metric: a composite needs two"
    faces, methods = len(set(face)), len(set(method))
    if faces < 3 or methods < 3:
        return f"a composite is judged on faces and methods it has not seen, which needs three of each: there are {faces} faces and {methods} methods"
    return ""


def _composite(
    x: Mapping[str, F64], y: F64, face: NDArray[np.str_], method: NDArray[np.str_], groups: Sequence[NDArray[np.intp]], best: str, level: float
) -> Composite:  # fmt: skip
    """Predict each stimulus by weights fitted without its face's fold and without its method; intervals take the predictions as they are."""
    columns = np.stack(list(x.values()), axis=1)
    names = sorted(set(face))
    fold = np.array([names.index(f) for f in face]) % min(FOLDS, len(names))
    predicted = np.full(len(y), np.nan)
    for k in range(int(fold.max()) + 1):
        for m in dict.fromkeys(method):
            held, train = (fold == k) & (method == m), (fold != k) & (method != m)
            if held.any() and train.sum() > columns.shape[1]:
                predicted[held] = _predict(columns[train], y[train], columns[held])
    known = np.isfinite(predicted)
    rho = {n: _without(f, predicted, y, groups, known) for n, f in {"srocc": srocc, "plcc": _plain_pearson, "krocc": krocc}.items()}
    single = _without(srocc, x[best], y, groups, known)
    figures = {n: correlation_interval(float(v[0]), v[1:], level, int(known.sum())) for n, v in rho.items()}
    slopes = _fit(columns, y)[1] * columns.std(axis=0)
    return Composite(
        tuple(map(float, predicted)), dict(zip(x, map(float, slopes), strict=True)), int(fold.max()) + 1,
        rmse=float(np.sqrt(np.mean((predicted[known] - y[known]) ** 2))), p=difference_p(_z(rho["srocc"]), _z(single)), **figures,
    )  # fmt: skip


def _without(figure: object, a: F64, b: F64, groups: Sequence[NDArray[np.intp]], known: NDArray[np.bool_]) -> F64:
    """A figure of all known stimuli, then without each group of faces, (1 + groups,)."""
    assert callable(figure)
    keeps = [known]
    for g in groups:
        keep = known.copy()
        keep[g] = False
        keeps.append(keep)
    return np.array([float(figure(a[k], b[k])) for k in keeps])


def _plain_pearson(a: F64, b: F64) -> float:
    """Of predictions that are MOS already: no mapping is fitted."""
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan


def _fit(x: F64, y: F64) -> tuple[float, F64]:
    """Intercept and slopes of a least-squares sum in which no metric, turned towards better, counts backwards. Source: Lawson & Hanson 1974."""
    from scipy.optimize import nnls

    middle, spread = x.mean(axis=0), x.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    slopes = nnls((x - middle) / scale, y - y.mean())[0] / scale
    return float(y.mean() - middle @ slopes), slopes


def _predict(x: F64, y: F64, new: F64) -> F64:
    intercept, slopes = _fit(x, y)
    predicted: F64 = intercept + new @ slopes
    return predicted


# --- the verdict ------------------------------------------------------------------------------------------------------------------------


def _trusted(ranking: Ranking, orders: Mapping[str, Order], told_apart: Sequence[tuple[str, str]]) -> str | None:
    """The metric of the highest SROCC among those whose interval lies above 0 and that turn no pair round that people tell apart."""
    fit = [a for a in ranking.agreements if a.srocc.low > 0 and not orders[a.metric].reversed]
    fit = [a for a in fit if a.metric in ranking.as_good]
    return max(fit, key=lambda a: a.srocc.mean).metric if fit and told_apart else None


def _sentences(
    ranking: Ranking, orders: Mapping[str, Order], within: Mapping[str, Interval], composite: Composite | None, refused: str,
    trusted: str | None, told_apart: Sequence[tuple[str, str]], names: Mapping[str, str],
) -> tuple[str, ...]:  # fmt: skip
    by_name = {a.metric: a for a in ranking.agreements}
    said = [_verdict(ranking, orders, trusted, told_apart, names)]
    if wrong := [k for k, o in orders.items() if o.reversed]:
        told = "; ".join(f"{names[k]} puts {_turned(orders[k].reversed)}" for k in wrong)
        said.append(f"Against people: {told}.")
    if backward := [names[k] for k, a in by_name.items() if a.srocc.high < 0]:
        said.append(
            f"{_list(backward)} point{'s' if len(backward) == 1 else ''} the wrong way: better by the metric is worse to people."
        )
    if weak := [names[k] for k, w in within.items() if by_name[k].srocc.low > 0 and not w.low > 0]:
        said.append(
            f"Within one method {_list(weak)} {'is' if len(weak) == 1 else 'are'} not shown to follow people: "
            "the correlation is that of the gap between methods."
        )
    if composite is None:
        said.append(f"No composite: {refused}.")
    else:
        against = "better than" if composite.p < 0.05 and composite.srocc.mean > by_name[ranking.best].srocc.mean else \
            "worse than" if composite.p < 0.05 else "not distinguishable from"  # fmt: skip
        said.append(
            f"A composite of {len(composite.weights)} metrics, judged on faces and methods it has not seen, reaches SROCC "
            f"{_figure(composite.srocc)}: {against} {names[ranking.best]} alone ({_figure(by_name[ranking.best].srocc)})."
        )
    return tuple(said)


def _verdict(
    ranking: Ranking,
    orders: Mapping[str, Order],
    trusted: str | None,
    told_apart: Sequence[tuple[str, str]],
    names: Mapping[str, str],
) -> str:
    found = {a.metric: a for a in ranking.agreements}
    best = found[ranking.best]
    if trusted is not None:
        others = [names[m] for m in ranking.as_good if m != trusted and found[m].srocc.low > 0 and not orders[m].reversed]
        also = f"; {_list(others)} cannot be told from it" if others else ""
        pairs = len(orders[trusted].same)
        return (
            f"For this comparison trust {names[trusted]}: SROCC {_figure(found[trusted].srocc)} over {found[trusted].faces} faces, and it orders "
            f"{pairs} of the {len(told_apart)} pairs of methods that people tell apart as they do, none the other way{also}."
        )
    if not told_apart:
        return "No metric can be trusted for this comparison: people themselves tell no two of these methods apart, so there is no order to predict."
    if not np.isfinite(best.srocc.low):
        return (
            f"No metric can be trusted for this comparison: {best.faces} faces give no interval of a correlation, three are needed."
        )
    if not any(a.srocc.low > 0 for a in ranking.agreements):
        return (
            f"No metric can be trusted for this comparison: none is shown to follow people at all (best {names[ranking.best]}, SROCC "
            f"{_figure(best.srocc)})."
        )
    return (
        f"No metric can be trusted for this comparison: those that follow people best (up to SROCC {_figure(best.srocc)}) put pairs of methods "
        "the other way from people."
    )


def _turned(pairs: Sequence[tuple[str, str]]) -> str:
    """Pairs that a metric turns round, three of them by name."""
    more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    return ", ".join(f"{worse} over {better}" for better, worse in pairs[:3]) + more


def _figure(one: Interval) -> str:
    return f"{fixed(one.mean, 2)} [{fixed(one.low, 2)}, {fixed(one.high, 2)}]"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
