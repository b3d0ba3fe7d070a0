"""Metrics against people: the images that have both, how well each metric predicts MOS, and which to trust, as a table and sentences.

``against_people`` takes a run and a study of it, ``people_of`` any rated images with any scores; pages and reports print what they return.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import fixed, whole
from facesr.bench.stats.clustered import clustered_mean
from facesr.bench.stats.validation import Validation, validate
from facesr.bench.study.analysis import Analysis, plain_value
from facesr.reports.cells import Cell, Column, Row, rank_columns
from facesr.reports.notes import declared
from facesr.reports.scores import Scores
from facesr.reports.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from facesr.bench.stats.correlation import MetricAgreement
    from facesr.bench.stats.intervals import Interval

FEWEST = 6
"""Fewest images with ratings and scores that metrics are compared on."""


@dataclass(frozen=True)
class People:
    """``stimuli``: one row per rated image, with the columns method, face, mos, half (95 % half width) and one per metric.

    ``found``: the judgement of each metric in ``columns``, the composite and the verdict. ``left_out``: metrics not judged, with the reason.
    """

    stimuli: pd.DataFrame
    found: Validation
    columns: Mapping[str, Column]
    left_out: Mapping[str, str]
    declared: tuple[str, ...] = ()
    """Whose weights were rated, and which of the metrics they were trained on."""

    @property
    def agreements(self) -> tuple[MetricAgreement, ...]:
        """One judgement per metric, for the scatter plot."""
        return self.found.ranking.agreements

    @property
    def sentences(self) -> tuple[str, ...]:
        """The verdict (which metric to trust for this comparison), what it rests on, and what was left out."""
        left = [f"{name} is not judged: {why}." for name, why in self.left_out.items()]
        return (*self.found.sentences, *left)


def stimuli(scores: Scores, result: Analysis) -> pd.DataFrame:
    """One row per image that was rated: method, face, mos, half (95 % half width) and the value of every metric of single images."""
    scale = whole(float(result.study.info.get("run", {}).get("scale", 0) or 0)) or scores.scales[0]
    tables = {m: scores.values(m, scale, kept=True) for m in scores.metrics if not scores.is_set_metric(m)}
    rated = rated_images(result)
    rated = rated[rated["method"].isin(scores.methods) & rated["face"].isin(scores.faces)].reset_index(drop=True)
    cells = list(zip(rated["face"], rated["method"], strict=True))
    return rated.assign(**{m: np.array([t.at[cell] for cell in cells], dtype=float) for m, t in tables.items()})


def rated_images(result: Analysis) -> pd.DataFrame:
    """One row per rated image: method, face, mos and half, the half width over raters (NaN with a single rating)."""
    import pandas as pd

    cube, rows = result.analysis.cube, []
    for k, method in enumerate(cube.conditions):
        for f, face in enumerate(cube.faces):
            one = clustered_mean(cube.values[:, [f], k], "none").interval
            if one.n:
                rows.append((method, face, one.mean, (one.high - one.low) / 2))
    return pd.DataFrame(rows, columns=["method", "face", "mos", "half"])


def against_people(scores: Scores, result: Analysis) -> People | None:
    """The run's metrics against the study's people; None where fewer than ``FEWEST`` images have both."""
    table = stimuli(scores, result)
    try:
        made = people_of(table, {m: scores.column(m) for m in table.columns[4:]}, result)
    except FaceSRError:
        return None
    rated = scores.only(methods=[m for m in scores.methods if m in set(table["method"])], metrics=list(made.columns))
    return replace(made, declared=tuple(declared(rated)))


def people_of(table: pd.DataFrame, columns: Mapping[str, Column], result: Analysis) -> People:
    """Judge the metrics of ``table`` (columns method, face, mos, half and those of ``columns``) by the people of a study.

    A metric that does not vary, or is known of too few images, is left out and listed. Raises ``FaceSRError`` where none is left.
    """
    why = {}  # by metric: two metrics may have one label
    for name, column in columns.items():
        known = table.loc[table["mos"].notna(), name].dropna()
        if column.higher_is_better is None:
            why[name] = "it says of itself neither that higher nor that lower is better"
        elif len(known) < FEWEST:
            why[name] = f"{len(known)} rated images have its score, {FEWEST} are needed"
        elif known.nunique() < 3:
            why[name] = f"it has {known.nunique()} different values"
    left_out = {columns[m].label: reason for m, reason in why.items()}
    used = {m: c for m, c in columns.items() if m not in why}
    if not used:
        told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise FaceSRError(f"no metric can be compared with people: {told or 'there are none'}")
    better = {m: bool(c.higher_is_better) for m, c in used.items()}
    apart = [(q.a, q.b) if q.difference > 0 else (q.b, q.a) for q in result.pairs if q.different]
    scored = set(table.loc[table[list(used)].notna().all(axis=1), "method"])
    found = validate(
        {m: table[m].to_numpy(dtype=float) for m in used}, table["mos"], table["half"], list(table["face"]), list(table["method"]), better,
        [pair for pair in apart if set(pair) <= scored], {m: c.label for m, c in used.items()},
    )  # fmt: skip
    return People(table, found, used, left_out)


COLUMNS = {"srocc": ("SROCC", True), "within": ("SROCC within methods", True), "plcc": ("PLCC", True), "krocc": ("KROCC", True),
           "pairs": ("pairs as people", None), "rmse": ("RMSE", False), "rmse_star": ("RMSE*", False),
           "outlier_ratio": ("outlier ratio", False)}  # fmt: skip


def agreement_table(people: People) -> Table:
    """Metrics against people, with the cross-validated composite as the last row; the verdict is the first footnote."""
    found = people.found
    columns = tuple(Column(key, label, higher) for key, (label, higher) in COLUMNS.items())
    rows = []
    for one in people.agreements:
        figures = {k: getattr(one, k) for k in COLUMNS if hasattr(one, k)} | {"within": found.within[one.metric]}
        cells = {k: _number(one.metric, k, v) for k, v in figures.items()}
        order = found.orders[one.metric]
        told = f"{len(order.same)} of {len(order.same) + len(order.reversed)}"
        cells["pairs"] = Cell(one.metric, "pairs", n=one.n, text=told if order.same or order.reversed else "–")
        rows.append(Row(one.metric, people.columns[one.metric].label, tuple(cells.get(k) for k in COLUMNS)))
    made = list(rank_columns(rows, columns))
    if (mix := found.composite) is not None:
        figures = {"srocc": mix.srocc, "plcc": mix.plcc, "krocc": mix.krocc}
        cells = {k: _number("composite", k, v, ranked=False) for k, v in figures.items()}
        cells["rmse"] = Cell("composite", "rmse", mix.rmse, n=mix.srocc.n, digits=3, ranked=False)
        made.append(Row("composite", "composite, on unseen faces and methods", tuple(cells.get(k) for k in COLUMNS)))
    return Table("metrics-mos", "Metrics against people, image by image", columns, tuple(made), _notes(people), corner="Metric")


def _notes(people: People) -> tuple[str, ...]:
    found = people.found
    good = ", ".join(people.columns[m].label for m in found.ranking.as_good)
    notes = [
        *people.sentences,
        "PLCC, RMSE, RMSE* (errors beyond the image's own interval) and outlier ratio after P.1401's monotonic cubic, which flatters a "
        "metric on few images; of the composite without any mapping. Intervals are for other faces (jackknife, t).",
        f"Best rank correlation: {people.columns[found.ranking.best].label}; not distinguishable from it (paired over faces, Holm, .05): {good}.",
    ]
    if found.composite is not None:
        weights = ", ".join(f"{people.columns[m].label} {fixed(w, 2)}" for m, w in found.composite.weights.items() if w > 0)
        notes.append(
            f"Weights of the composite, MOS points per standard deviation, fitted to all images: {weights or 'none above 0'}."
        )
    return (*notes, *people.declared)


def _number(row: str, key: str, one: Interval, *, ranked: bool = True) -> Cell:
    return Cell(row, key, one.mean, one.low, one.high, one.n, digits=3, ranked=ranked)


def join_scores(result: Analysis, scores: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The rated images beside ``scores`` (columns face, method and ``metrics``), by face and method whatever their case.

    Raises ``FaceSRError`` where no image is in both, or one has two scores.
    """
    rated = rated_images(result)

    def key(frame: pd.DataFrame) -> pd.Series[str]:
        return frame["face"].astype(str).str.casefold() + "\n" + frame["method"].astype(str).str.casefold()

    keys = key(scores)
    if keys.duplicated().any():
        first = scores[keys.duplicated()].iloc[0]
        raise FaceSRError(f"the scores have two rows of face {first['face']!r} by {first['method']!r}: one row per image is needed")
    values = scores[list(metrics)].set_axis(keys, axis=0)
    joined = rated.assign(**{m: values[m].reindex(key(rated)).to_numpy(dtype=float) for m in metrics})
    if not np.isfinite(joined[list(metrics)].to_numpy(dtype=float)).any():
        raise FaceSRError(
            "no rated image has a score: ratings are of faces such as "
            f"{_some(rated['face'])} by {_some(rated['method'])}, scores of {_some(scores['face'])} by {_some(scores['method'])}"
        )
    return joined


def _some(names: pd.Series[str]) -> str:
    return ", ".join(map(repr, list(dict.fromkeys(map(str, names)))[:3]))


def as_dict(people: People) -> dict[str, object]:
    """The judgement as plain data: verdict, sentences, one entry per metric, composite; None where a number is not known."""
    found = people.found
    metrics = [
        {**plain_value(one), "label": people.columns[one.metric].label,
         "within": plain_value(found.within[one.metric]), "order": plain_value(found.orders[one.metric])}
        for one in people.agreements
    ]  # fmt: skip
    composite = plain_value(found.composite) if found.composite else {"refused": found.composite_refused}
    ranking = {"best": found.ranking.best, "as_good": list(found.ranking.as_good), "p": plain_value(found.ranking.p)}
    return {
        "schema": "facesr.metrics-against-people/1", "trusted": found.trusted, "sentences": list(people.sentences), "level": found.level,
        "images": int(found.used.sum()), "ranking": ranking, "metrics": metrics, "composite": composite, "left_out": dict(people.left_out),
    }  # fmt: skip
