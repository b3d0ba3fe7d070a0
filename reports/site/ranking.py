"""Places in a leaderboard: from which to which a method may stand, given that faces are a sample.

By a metric of single faces, methods are told apart by the paired Wilcoxon test over faces they share, Holm-corrected within the metric (the
letters of ``facesr table``). A method's best place is one more than the number of methods that are better beyond chance, its worst the
number that are not worse beyond chance. By a score of the whole set, where there is no test, two are told apart where their own intervals
do not meet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from facesr.bench.stats.pairwise import compare_methods
from facesr.reports.cells import Cell
from facesr.reports.scores import Scores


@dataclass(frozen=True)
class Place:
    """A method by one metric: the best and the worst place it may have. Without a value both are 0."""

    cell: Cell
    best: int
    worst: int

    @property
    def text(self) -> str:
        """``1``, ``2–4``, or a dash."""
        return "–" if not self.best else str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


def ranking(scores: Scores, metric: str, scale: float) -> list[Place]:
    """Methods by the mean of a metric, best first; those without a value last."""
    cells = {c.method: c for c in scores.only(metrics=[metric], scales=[scale]).cells()}
    live = [m for m, c in cells.items() if math.isfinite(c.mean)]
    sign = 1 if scores.column(metric).higher_is_better else -1
    apart = _of_sets(cells, live) if scores.is_set_metric(metric) else _of_faces(scores, metric, scale, live)
    places = []
    for method in sorted(live, key=lambda m: (-sign * cells[m].mean, m)):
        better = [o for o in live if apart.get(frozenset((method, o))) and sign * (cells[o].mean - cells[method].mean) > 0]
        worse = [o for o in live if apart.get(frozenset((method, o))) and sign * (cells[o].mean - cells[method].mean) < 0]
        places.append(Place(cells[method], 1 + len(better), len(live) - len(worse)))
    return places + [Place(c, 0, 0) for m, c in cells.items() if m not in live]


def _of_faces(scores: Scores, metric: str, scale: float, live: list[str]) -> Mapping[frozenset[str], bool]:
    values = scores.values(metric, scale)
    rated = [m for m in live if values[m].notna().sum() > 1]
    pairs = compare_methods(values[rated], rated) if len(rated) > 1 else []
    return {frozenset((p.a, p.b)): p.different for p in pairs}


def _of_sets(cells: Mapping[str, Cell], live: list[str]) -> Mapping[frozenset[str], bool]:
    def apart(a: Cell, b: Cell) -> bool:
        known = all(math.isfinite(v) for c in (a, b) for v in (c.low, c.high))
        return known and (a.high < b.low or b.high < a.low)

    return {frozenset((a, b)): apart(cells[a], cells[b]) for a in live for b in live if a != b}
