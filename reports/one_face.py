"""All scores of one face as a table."""

from __future__ import annotations

import math
from dataclasses import replace

from facesr.reports.cells import Row, number, rank_columns
from facesr.reports.references import printed
from facesr.reports.scores import Scores
from facesr.reports.table import Table


def face_scores(scores: Scores, face: str, scale: float | None = None) -> Table:
    """Methods x metrics of single images for one face; a cell that did not end ``ok`` shows its status."""
    at = scores.scales[0] if scale is None else scale
    one = scores.only(faces=[face], scales=[at])
    metrics = [m for m in one.metrics if not scores.is_set_metric(m)]
    columns = tuple(one.column(m) for m in metrics)
    found = {(c.method, c.metric): c for c in one.cells()}
    kept = {m: one.values(m, at, kept=True) for m in metrics}
    rows, notes = [], []
    for method in one.methods:
        cells = []
        for metric in metrics:
            cell = replace(found[method, metric], low=math.nan, high=math.nan)
            if cell.failures:
                why = cell.failures[0]
                value = float(kept[metric][method].to_numpy()[0])
                status = why.status.replace("_", " ")
                text = f"{number(replace(cell, mean=value))} ({status})" if math.isfinite(value) else status
                cell = replace(cell, text=text)
                if why.reason:
                    notes.append(f"{method}, {columns[metrics.index(metric)].label}: {why.reason}")
            cells.append(cell)
        rows.append(Row(method, printed(method, scores.cite(method)), tuple(cells)))
    return Table(
        f"face-{face}", f"Scores of {face}", columns, rank_columns(rows, columns), _merged(notes), show_n=False, show_spread=False
    )


def _merged(notes: list[str]) -> tuple[str, ...]:
    """Each reason once, with all the cells it stands for."""
    by_reason: dict[str, list[str]] = {}
    for note in notes:
        where, _, reason = note.partition(": ")
        by_reason.setdefault(reason, []).append(where)
    return tuple(f"{'; '.join(where)}: {reason}" for reason, where in by_reason.items())
