"""Who is served worse, and where one method beats another: scores by the values of an attribute, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facesr.bench.numbers import fixed, p_text
from facesr.bench.stats.correction import holm
from facesr.reports.build import attribute_frame, bands, duel
from facesr.reports.cells import Cell, Column, Row
from facesr.reports.notes import declared
from facesr.reports.scores import Scores
from facesr.reports.table import Table


def attribute_table(scores: Scores, attribute: str, metric: str, scale: float | None = None) -> Table:
    """Values of an attribute x methods: the mean with its interval; each method's worst group is named beneath."""
    found = attribute_frame(scores, attribute, metric, scale)
    column = scores.column(metric)
    columns = tuple(Column(m, m) for m in scores.methods)
    by_key = {(str(r.value), str(r.method)): r for r in found.itertuples(index=False)}
    rows, worst = [], []
    for value in dict.fromkeys(found["value"]):
        cells = []
        for method in scores.methods:
            one = by_key[str(value), method]
            numbers = (float(str(one.mean)), float(str(one.low)), float(str(one.high)))
            cells.append(Cell(method, metric, *numbers, n=int(str(one.n)), digits=scores.digits(metric)))
        rows.append(Row(str(value), str(value), tuple(cells)))
    for method in scores.methods:
        # one face is nobody's group: who is served worst is said of two faces and more
        known = np.isfinite(found["mean"]) & (found["value"] != "unknown") & (found["n"] > 1)
        part = found[(found["method"] == method) & known]
        if len(part) > 1:
            at = part["mean"].idxmin() if column.higher_is_better else part["mean"].idxmax()
            gap = float(part["mean"].max() - part["mean"].min())
            worst.append(
                f"{method}: served worst is {part.loc[at, 'value']} ({column.label} apart by {fixed(gap, scores.digits(metric))})"
            )
    notes = (
        *worst,
        "± half the 95 % interval (over faces). Differences between groups of few faces may be chance.",
        "An attribute is what the data set says of the picture; it explains nothing by itself.",
        *declared(scores.only(metrics=[metric])),
    )
    label = f"{column.label} {column.arrow}".strip()
    return Table(f"{attribute}-{metric}", f"{label} by {attribute}", columns, tuple(rows), notes, corner=attribute)


def duel_by(scores: Scores, a: str, b: str, metric: str, attributes: Sequence[str], scale: float | None = None) -> Table:
    """Where and for whom ``a`` beats ``b``: difference with interval, win rate and paired p over all faces and in every group."""
    heads = {
        "n": "faces",
        "difference": f"{a} − {b}",
        "ends": "95 % interval",
        "wins": f"{a} wins",
        "p": "p paired",
        "holm": "p Holm",
    }
    groups: list[tuple[str, str, Scores]] = [("", "all faces", scores)]
    for attribute in attributes:
        groups += [(attribute, value, scores.only(faces=faces)) for value, faces in bands(scores, attribute).items()]
    found = []
    for attribute, value, part in groups:
        values = part.only(methods=[a, b]).values(metric, scale).dropna()
        found.append(
            (
                attribute,
                value,
                duel(part, a, b, metric, scale) if len(values) > 1 else None,
                len(values),
            )
        )
    adjusted = holm([d.test.p if d else np.nan for _, _, d, _ in found[1:]])
    rows = []
    for (attribute, value, one, n), corrected in zip(found, [np.nan, *adjusted], strict=True):
        words = {"n": f"{n:,}", **dict.fromkeys(list(heads)[1:], "–")}
        if one is not None:
            digits = scores.digits(metric)
            words |= {
                "difference": fixed(one.test.difference, digits), "ends": f"{fixed(one.test.low, digits)} to {fixed(one.test.high, digits)}",
                "wins": f"{one.win_rate:.0%}", "p": p_text(one.test.p), "holm": p_text(float(corrected)),
            }  # fmt: skip
        rows.append(Row(f"{attribute} {value}", value, tuple(Cell(value, key, text=words[key]) for key in heads), attribute))
    columns = tuple(Column(key, label) for key, label in heads.items())
    column = scores.column(metric)
    notes = (
        f"{column.label} {column.arrow}; paired over the faces that both methods have; a tie counts half a win. "
        "p: paired Wilcoxon; Holm over the groups shown. "
        "Intervals: over faces; t, wider for few faces and on the side of the longer tail.",
        *declared(scores.only(methods=[a, b], metrics=[metric])),
    )
    return Table(
        f"{a}-against-{b}-{metric}", f"Where {a} beats {b}, by {column.label}", columns, tuple(rows), notes, corner="", show_n=False
    )
